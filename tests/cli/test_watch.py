"""`breathing-room watch`, as it is typed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from threading import Thread
from typing import IO, Any

import httpx
import pytest
from click.testing import CliRunner
from rich.console import Console

from breathing_room.cli import main
from breathing_room.cli.operator import TOKEN_VARIABLE
from breathing_room.cli.watch import ago, bar, breath, encoded, fetch_pattern, line, sparkline, view
from breathing_room.core.breath import PATTERNS
from breathing_room.core.presence import Presence
from harness import Serve, ServerProcess
from program import program
from terminal import terminal

PATIENCE_S = 20.0

TOKEN = "a-token-of-32-characters-or-more-0"

NOW_MS = 1_767_225_600_000
PRESENCE = Presence(
    room="lobby",
    count=10_240,
    low=9_270,
    high=11_310,
    method="counted",
    sample_rate=1.0,
    moods={"gratitude": 3_072, "release": 1_024},
    unspoken=6_144,
    mood_intervals={},
    label="about 10,000",
    as_of_ms=NOW_MS,
    stale_after_ms=30_000,
    poll_ms=30_000,
)
UNKNOWN = Presence(
    room="lobby",
    count=None,
    low=2,
    high=None,
    method="unknown",
    sample_rate=1.0,
    moods={"gratitude": 2},
    unspoken=0,
    mood_intervals={},
    label="unknown",
    as_of_ms=NOW_MS,
    stale_after_ms=30_000,
    poll_ms=30_000,
)


class Reader:
    """The lines that a program prints, as they come."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for text in stream:
                self.lines.append(text.rstrip("\n"))

    def until(self, wanted: str) -> str:
        """Wait for a line that matches, and return it."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            for text in self.lines:
                if re.search(wanted, text):
                    return text
            time.sleep(0.01)
        raise AssertionError(f"no line matches {wanted}: {self.lines}")


@contextmanager
def watching(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Reader, Reader]]:
    """A watch in a pipe: the process, its output, and its complaints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "breathing_room", "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield process, Reader(process.stdout), Reader(process.stderr)
    finally:
        process.kill()
        process.wait()


def join(server: ServerProcess, visitor: str) -> None:
    """Join by a heartbeat."""
    httpx.post(
        f"{server.url}/v1/rooms/lobby/heartbeat", json={"visitor": visitor, "mood": "release"}
    ).raise_for_status()


def drawn(presence: Presence | None, trouble: str | None = None, now_ms: int = NOW_MS) -> str:
    """What a terminal would show, without its colours."""
    console = Console(file=StringIO(), width=80)
    with console.capture() as capture:
        console.print(view(presence, trouble, now_ms, PATTERNS["4-7-8"], [1, None, 2]))
    return capture.get()


def test_once_prints_what_is_known_now(server: ServerProcess) -> None:
    """One line, and the exit status is 0."""
    join(server, "watched-0123456789abcdef")
    result = CliRunner().invoke(main, ["watch", server.url, "--once"])
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ lobby: 1 \(.*\); gratitude 0, .*release 1.*, unspoken 0\n",
        result.output,
    )


def test_once_as_json_is_the_presence(server: ServerProcess) -> None:
    """With the keys of the protocol."""
    result = CliRunner().invoke(main, ["watch", server.url, "--once", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.output).keys() == httpx.get(f"{server.url}/v1/rooms/lobby").json().keys()


def test_the_default_room_is_the_servers(serve: Serve) -> None:
    """U2: without --room the server's default room is watched, in a pipe as on a terminal."""
    server = serve("--default-room", "evening", "--open-rooms", "false")
    result = CliRunner().invoke(main, ["watch", server.url, "--once"])
    assert result.exit_code == 0, result.output
    assert re.search(r"Z evening: 0 \(", result.output)
    with terminal("watch", server.url) as screen:
        screen.until_shown("evening.*0 people.*(breathe|hold)")


def test_once_without_a_server_fails(unused_tcp_port: int) -> None:
    """The exit status is 1, and the message is a sentence."""
    result = CliRunner().invoke(main, ["watch", f"http://127.0.0.1:{unused_tcp_port}", "--once"])
    assert result.exit_code == 1
    assert result.output == f"Error: no answer from http://127.0.0.1:{unused_tcp_port}: connection refused\n"


def test_what_is_no_address_is_a_usage_error() -> None:
    """The exit status is 2."""
    assert CliRunner().invoke(main, ["watch", "ftp://example.org"]).exit_code == 2


def test_what_is_no_room_of_ours_is_said(server: ServerProcess) -> None:
    """A server that will never have us is not asked for ever."""
    result = CliRunner().invoke(main, ["watch", f"{server.url}/elsewhere"])
    assert result.exit_code == 1
    assert "refused the connection" in result.output


def test_a_pipe_gets_a_line_for_every_change(server: ServerProcess) -> None:
    """The watcher itself is not counted; Ctrl-C is how it ends, and no failure."""
    with watching(server.url) as (process, out, err):
        out.until("lobby: 0 ")
        join(server, "watched-0123456789abcdef")
        out.until("lobby: 1 ")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert err.lines == []


@pytest.mark.parametrize("flags", [(), ("--admin",)], ids=["a room", "a server"])
def test_ctrl_c_ends_what_a_script_started_in_the_background(serve: Serve, flags: tuple[str, ...]) -> None:
    """
    A shell without job control lets its background jobs ignore SIGINT; "until Ctrl-C" holds for them as for
    `crowd` and `serve`.
    """
    server = serve(env={TOKEN_VARIABLE: TOKEN})
    watch = [sys.executable, "-m", "breathing_room", "watch", *flags, server.url]
    with program(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *watch],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, TOKEN_VARIABLE: TOKEN},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, complaints) == (0, "")


def test_a_pipe_gets_json_when_asked_for(server: ServerProcess) -> None:
    """One object a line."""
    with watching(server.url, "--json") as (_, out, _):
        assert json.loads(out.until("lobby"))["count"] == 0


def test_a_lost_server_is_waited_for(serve: Serve) -> None:
    """It says so calmly on standard error, once, and goes on when the server is back."""
    server = serve("--lease-ms", "1000", "--grace-ms", "500")
    with watching(server.url) as (process, out, err):
        out.until("lobby: 0 ")
        server.kill()
        err.until(rf"^no connection \({server.url}: .+\); retrying$")
        serve("--lease-ms", "1000", "--grace-ms", "500", port=server.port)
        err.until("^connected$")
        join(server, "watched-0123456789abcdef")
        out.until("lobby: 1 ")
        assert process.poll() is None
        assert len(err.lines) <= 3


def test_a_terminal_shows_the_room(server: ServerProcess) -> None:
    """On a terminal the room is drawn, with the moods and the breath, and Ctrl-C ends it cleanly."""
    join(server, "watched-0123456789abcdef")
    with terminal("watch", server.url) as screen:
        screen.until_shown("1 person.*gratitude.*(breathe|hold)")
        screen.process.send_signal(signal.SIGINT)
        assert screen.until_ended() == 0
        assert "Traceback" not in screen.shown


def test_a_terminal_says_when_the_server_refuses(server: ServerProcess) -> None:
    """The drawing ends, the message stays, and the exit status is 1."""
    with terminal("watch", f"{server.url}/elsewhere") as screen:
        assert screen.until_ended() == 1
        screen.until_shown("refused the connection")
        assert "Traceback" not in screen.shown


def test_the_view_says_how_many_and_how_it_knows() -> None:
    """Label, interval, method and age in words; a bar for each mood; the breath."""
    text = drawn(PRESENCE, now_ms=NOW_MS + 12_000)
    assert "about 10,000 people" in text
    assert "between 9,270 and 11,310; every visitor was counted, 12 s ago" in text
    assert re.search(r"gratitude +█{9}░+ +3,072", text)
    assert re.search(r"unspoken +█{18}░+ +6,144", text)
    assert re.search(r"(breathe in|hold|breathe out) +[█░]{30} +\d+ s", text)
    assert "▄·█" in text


def test_the_view_does_not_make_up_a_number() -> None:
    """Unknown is said, with what is known at least; no room at all is said, too."""
    assert "how many is not known yet" in drawn(UNKNOWN)
    assert "at least 2" in drawn(UNKNOWN)
    assert "connecting" in drawn(None)
    assert "no connection (connection refused); retrying" in drawn(None, "connection refused")
    assert "no connection (no answer); retrying" in drawn(PRESENCE, "no answer")


def test_a_line_says_the_same() -> None:
    """Time, label, interval, method, moods."""
    assert line(PRESENCE) == (
        "2026-01-01T00:00:00Z lobby: about 10,000 (between 9,270 and 11,310; every visitor was counted); "
        "gratitude 3,072, release 1,024, unspoken 6,144"
    )
    assert json.loads(encoded(PRESENCE))["label"] == "about 10,000"


@pytest.mark.parametrize(
    ("length_ms", "words"),
    [(-50, "just now"), (1_999, "just now"), (2_000, "2 s ago"), (150_000, "2 min ago"), (10**7, "2 h ago")],
)
def test_an_age_is_said_in_words(length_ms: int, words: str) -> None:
    """In the largest unit that fits."""
    assert ago(length_ms) == words


def test_a_sparkline_starts_at_zero() -> None:
    """Heights are proportional, nothing is a dot, and an empty room is flat."""
    assert sparkline([0, 50, 100, None]) == "▁▄█·"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


@pytest.mark.parametrize(
    ("at_ms", "moment"),
    [
        (0, ("breathe in", 0.0, 4)),
        (2_000, ("breathe in", 0.5, 2)),
        (4_000, ("hold", 1.0, 7)),
        (15_000, ("breathe out", 0.5, 4)),
        (18_999, ("breathe out", 1 / 8_000, 1)),
    ],
)
def test_the_breath_follows_the_time(at_ms: int, moment: tuple[str, float, int]) -> None:
    """Lungs fill, hold and empty with the pattern."""
    assert breath(PATTERNS["4-7-8"], at_ms) == pytest.approx(moment)


def test_the_breath_is_the_rooms(serve: Serve, unused_tcp_port: int) -> None:
    """The pattern is fetched from the config, and 4-7-8 if the request fails."""
    server = serve("--breath", "box")
    assert fetch_pattern(f"{server.url}/v1/rooms/lobby/config") == PATTERNS["box"]
    assert fetch_pattern(f"{server.url}/healthz") == PATTERNS["4-7-8"]
    assert fetch_pattern(f"http://127.0.0.1:{unused_tcp_port}/") == PATTERNS["4-7-8"]


def test_a_bar_is_never_longer_than_its_share() -> None:
    """From nothing to all of it."""
    assert bar(0) == "░" * 30
    assert bar(1) == "█" * 30


def test_help_says_how_it_is_used() -> None:
    """With an example."""
    result: Any = CliRunner().invoke(main, ["watch", "--help"])
    assert result.exit_code == 0
    assert "Example: breathing-room watch" in result.output
