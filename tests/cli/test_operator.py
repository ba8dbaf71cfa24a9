"""`breathing-room watch --admin`, as it is typed."""

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from rich.console import Console

from breathing_room.cli import main
from breathing_room.cli.operator import LETTERS, TOKEN_VARIABLE, trend, view
from harness import Serve, ServerProcess
from program import program
from terminal import terminal

TOKEN = "a-token-of-32-characters-or-more-0"
NOW_MS = 1_767_268_800_000
DAY_MS = 86_400_000


@pytest.fixture
def watched(serve: Serve) -> ServerProcess:
    """A server that has an operator, and one person."""
    server = serve(env={TOKEN_VARIABLE: TOKEN})
    httpx.post(
        f"{server.url}/v1/rooms/lobby/heartbeat", json={"visitor": "visitor-0123456789"}
    ).raise_for_status()
    return server


def run(*arguments: str, token: str = TOKEN) -> Any:
    """Run the command in a pipe."""
    return CliRunner().invoke(main, ["watch", "--admin", *arguments], env={TOKEN_VARIABLE: token})


def test_once_shows_the_server(watched: ServerProcess) -> None:
    """Who is here, who came today, the rooms, and how the server fares."""
    result = run(watched.url, "--once")
    assert result.exit_code == 0, result.output
    for words in ("1 here now", "people today", "lobby", "store sqlite", "joins 0  reports 1"):
        assert words in result.output


def test_the_default_room_is_the_servers(serve: Serve) -> None:
    """U2: without --room the operator sees the server's default room."""
    server = serve("--default-room", "evening", "--open-rooms", "false", env={TOKEN_VARIABLE: TOKEN})
    result = run(server.url, "--once", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["room"]["room"] == "evening"


def test_json_is_what_the_server_answers(watched: ServerProcess) -> None:
    """One JSON object for each sample, with the keys of /admin.json."""
    result = run(watched.url, "--once", "--json")
    answer = httpx.get(f"{watched.url}/admin.json", headers={"Authorization": f"Bearer {TOKEN}"})
    assert json.loads(result.output).keys() == answer.json().keys()


@pytest.mark.parametrize(
    ("token", "status", "expected"),
    [("", 2, TOKEN_VARIABLE), ("wrong", 1, "the operator's token is wrong"), ("ü", 1, "")],
)
def test_a_token_is_needed(watched: ServerProcess, token: str, status: int, expected: str) -> None:
    """Without a token, or with a wrong one, the command says what is wrong, and does not repeat it."""
    result = run(watched.url, "--once", token=token)
    assert result.exit_code == status
    assert expected in result.output
    assert "Traceback" not in result.output


def test_what_cannot_be_watched(server: ServerProcess, watched: ServerProcess, unused_tcp_port: int) -> None:
    """A server without the page, a room that is not open, no server at all, and an invalid URL have errors of
    their own.
    """
    assert "has no operator's page" in run(server.url, "--once").output
    assert "room not found" in run(watched.url, "--once", "--room", "nowhere").output
    gone = run(f"http://127.0.0.1:{unused_tcp_port}", "--once")
    assert (gone.exit_code, "no response from" in gone.output) == (1, True)
    assert run("ftp://example.org", "--once").exit_code == 2


def test_in_a_pipe_it_goes_on_until_ctrl_c(watched: ServerProcess, tmp_path: Path) -> None:
    """In a pipe it prints one sample at a time, and Ctrl-C ends it without a word."""
    with program(
        [sys.executable, "-m", "breathing_room", "watch", "--admin", watched.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, TOKEN_VARIABLE: TOKEN},
    ) as process:
        assert process.stdout is not None
        while "people today" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=20)
        assert (process.returncode, complaints) == (0, "")


def test_on_a_terminal_it_is_drawn(watched: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the server is drawn in place, and Ctrl-C ends it cleanly."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with terminal("watch", "--admin", watched.url) as screen:
        screen.until_shown("here now.*people today")
        screen.process.send_signal(signal.SIGINT)
        assert screen.until_ended() == 0
        assert "Traceback" not in screen.shown


def test_the_day_is_drawn_by_its_peaks() -> None:
    """Each letter is the highest count of its 20 minutes; an unknown count is a dot, and older samples are
    left out.
    """
    samples: list[dict[str, int | None]] = [
        {"at_ms": NOW_MS - 2 * DAY_MS, "count": 900},
        {"at_ms": NOW_MS - DAY_MS // 2, "count": None},
        {"at_ms": NOW_MS - 1, "count": 7},
        {"at_ms": NOW_MS, "count": 3},
        {"at_ms": NOW_MS - 25 * 60_000, "count": 0},
    ]
    assert trend(samples, NOW_MS) == "·" * (LETTERS - 2) + "▁█"


def test_nothing_known_is_no_zero(watched: ServerProcess) -> None:
    """An unknown count is a question mark; suspect nodes are marked; an error is shown below the last
    response.
    """
    body = json.loads(run(watched.url, "--once", "--json").output)
    body["room"]["presence"] |= {"count": None, "low": 2, "high": None, "method": "unknown"}
    body["nodes"] = [{"node": "ams-1", "people": 9, "delta_age_ms": 4_000, "state": "suspect"}]
    console = Console(file=StringIO(), width=100)
    with console.capture() as capture:
        console.print(view(body, "no answer"))
    for words in (
        "? here now",
        "at least 2; unknown",
        "node ams-1: 9 people, suspect",
        "no answer; retrying",
    ):
        assert words in capture.get()
