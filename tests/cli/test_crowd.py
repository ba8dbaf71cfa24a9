"""`breathing-room crowd`, as it is typed."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner

from breathing_room.cli import main
from breathing_room.cli.crowd import duration
from breathing_room.client import connect
from harness import Serve, ServerProcess
from terminal import terminal
from tiers import figure, longer

PATIENCE_S = 20.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "breathing_room", "crowd", *arguments]


def count(server: ServerProcess) -> Any:
    """Return the count over HTTP, without caches."""
    return httpx.get(f"{server.url}/v1/rooms/lobby").json()["count"]


@pytest.fixture
def crowd_of_100(server_with_grace: ServerProcess) -> Iterator[subprocess.Popen[str]]:
    """A crowd that has come and stays until it is ended."""
    process = subprocess.Popen(
        command(server_with_grace.url, "--people", "100", "--visit", "0", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until_count(server_with_grace, 100, within_s=PATIENCE_S)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.fixture
def server_with_grace(serve: Serve) -> ServerProcess:
    """A server on which a broken socket keeps its person for a second."""
    return serve("--grace-ms", "1000")


def until_count(server: ServerProcess, wanted: int, *, within_s: float) -> None:
    """Wait until an observer receives a count with an interval of one number."""

    async def wait() -> None:
        async with asyncio.timeout(within_s), connect(server.url, observe=True) as room:
            async for seen in room:
                if seen.low == seen.count == seen.high == wanted:
                    return

    asyncio.run(wait())


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("500ms", 500),
        ("90s", 90_000),
        ("15m", 900_000),
        ("1h", 3_600_000),
        ("1.5m", 90_000),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_a_duration_has_a_unit(text: str, length_ms: int) -> None:
    """Milliseconds, seconds, minutes, hours; only nothing needs none."""
    assert duration(text) == length_ms


@pytest.mark.parametrize("text", ["15", "m", "-1s", "1d", "1 s", "1e3s", "", "1m30s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message shows what a duration is."""
    with pytest.raises(click.BadParameter, match="15m"):
        duration(text)


def test_a_crowd_of_200_sums_up_what_it_saw(server: ServerProcess) -> None:
    """The summary is one JSON object, and its figures are those of the room."""
    ended = subprocess.run(
        command(
            server.url,
            "--people",
            "200",
            "--visit",
            "0",
            "--moods",
            "gratitude,release",
            "--for",
            "3s",
            "--json",
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not ended.stderr
    summary = json.loads(ended.stdout)
    assert {
        name: summary[name] for name in ("people", "others", "joined", "present", "count", "left", "returned")
    } == {
        "people": 200,
        "others": 0,
        "joined": 200,
        "present": 200,
        "count": 200,
        "left": 0,
        "returned": 0,
    }
    assert summary["ends"] == summary["errors"] == {}
    assert summary["full_count_heard_by"] == 200
    assert summary["full_count_ms_median"] <= summary["full_count_ms_worst"] < 2_500
    assert summary["joins_per_s"] == pytest.approx(200_000 / summary["gathered_ms"], rel=0.05)
    # One reply to the join and at most one broadcast a second: with people times seconds, and not people².
    assert 1 <= summary["messages_per_person"] <= 6
    assert 200 <= summary["bytes_per_person"] / summary["messages_per_person"] <= 400


def test_a_killed_crowd_is_gone_after_its_grace(server_with_grace: ServerProcess, crowd_of_100: Any) -> None:
    """Sockets that broke without a word count for the grace, and not for longer than two seconds after it."""
    crowd_of_100.kill()
    until_count(server_with_grace, 0, within_s=1 + 2)


def test_an_interrupted_crowd_leaves(server_with_grace: ServerProcess, crowd_of_100: Any) -> None:
    """After Ctrl-C the room is empty at once, the summary is printed, and the exit status is 0."""
    crowd_of_100.send_signal(signal.SIGINT)
    until_count(server_with_grace, 0, within_s=2)
    out, err = crowd_of_100.communicate(timeout=PATIENCE_S)
    assert crowd_of_100.returncode == 0, err
    assert json.loads(out)["present"] == 100


def test_a_second_interrupt_is_obeyed_at_once(server_with_grace: ServerProcess, crowd_of_100: Any) -> None:
    """
    A second interrupt does not wait for a server that hangs, and the exit status is that of an interrupted
    program.
    """
    os.kill(server_with_grace.process.pid, signal.SIGSTOP)
    try:
        crowd_of_100.send_signal(signal.SIGINT)
        time.sleep(0.3)  # Two signals that are sent together are delivered as one.
        crowd_of_100.send_signal(signal.SIGINT)
        interrupted_at_s = time.monotonic()
        out, _ = crowd_of_100.communicate(timeout=PATIENCE_S)
        assert time.monotonic() - interrupted_at_s < 1.5
    finally:
        os.kill(server_with_grace.process.pid, signal.SIGCONT)
    assert crowd_of_100.returncode == 130
    assert json.loads(out)["joined"] == 100


def test_without_a_server_no_visitor_can_join(unused_tcp_port: int) -> None:
    """The exit status is 1 and the message says why."""
    result = CliRunner().invoke(main, ["crowd", f"http://127.0.0.1:{unused_tcp_port}"])
    assert result.exit_code == 1
    assert (
        f"no visitor could join: no answer from http://127.0.0.1:{unused_tcp_port}: connection refused"
        in result.output
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["ftp://example.org"],
        ["--people", "0"],
        ["--mode", "socket", "--people", "1000000000"],
        ["--mode", "telepathy"],
        ["--leaves", "1.5"],
        ["--observe-every", "often"],
        ["--visit", "forever"],
        ["--rate", "0"],
        ["--rate", "inf"],
        ["--mood-changes", "-1"],
        ["--room", "No Room"],
    ],
)
def test_a_wrong_option_is_a_usage_error(arguments: list[str]) -> None:
    """The exit status is 2, before anything is connected."""
    result = CliRunner().invoke(main, ["crowd", *arguments])
    assert result.exit_code == 2, result.output
    assert "Error:" in result.output


def test_an_unknown_mood_is_a_usage_error(server: ServerProcess) -> None:
    """The message names the moods that there are."""
    result = CliRunner().invoke(main, ["crowd", server.url, "--moods", "release,melancholy"])
    assert result.exit_code == 2
    assert "gratitude, presence, release, connection" in result.output


def test_the_summary_is_for_people_too(server: ServerProcess) -> None:
    """Without --json it is a few lines of words."""
    result = CliRunner().invoke(
        main, ["crowd", server.url, "--people", "5", "--for", "1500ms", "--visit", "0"]
    )
    assert result.exit_code == 0, result.output
    assert "5 visitors, of whom 5 were present at the end" in result.output
    assert "5; this crowd was 5" in result.output
    assert count(server) == 0


def test_a_terminal_shows_the_crowd_come_and_go(server: ServerProcess) -> None:
    """A bar while visitors join, the room's count meanwhile, and the summary in its place."""
    with terminal("crowd", server.url, "--people", "30", "--rate", "30") as screen:
        screen.until_shown(r"joining.*/30.*count \d")
        screen.until_shown("present.*30/30")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.until_ended() == 0
        screen.until_shown("30 visitors, of whom 30 were present at the end")


POLLED = ("--mode", "poll", "--poll-ms", "1000", "--presence-max-age-s", "0", "--heartbeat-ms", "2000")


def test_a_crowd_comes_as_the_room_says(serve: Serve) -> None:
    """
    In a polling room the crowd polls: its reads and reports are summed up, and the room's count is compared
    with the truth.
    """
    server = serve(*POLLED)
    plan = (
        "--people",
        "100",
        "--visit",
        "0",
        "--mood-changes",
        "0",
        "--for",
        "3s",
        "--observe-every",
        "500ms",
    )
    ended = subprocess.run(
        command(server.url, *plan, "--json"), capture_output=True, text=True, timeout=60, check=True
    )
    summary = json.loads(ended.stdout)
    wanted = {"mode": "poll", "people": 100, "others": 0, "joined": 100, "present": 100, "count": 100}
    assert {name: summary[name] for name in wanted} == wanted
    assert summary["errors"] == summary["ends"] == {}
    assert summary["leaves"] == 100
    assert 100 <= summary["reports"] <= 300
    assert summary["reads"] >= 200
    assert 3 <= summary["observations"] <= len(summary["rows"]) <= 7
    last = summary["rows"][-1]
    assert (last["own"], last["count"], last["verdict"]) == (100, 100, "covered")
    assert count(server) == 0


@pytest.mark.parametrize("mode", ["socket", "poll", "legacy"])
def test_the_default_room_is_the_servers(serve: Serve, mode: str) -> None:
    """U2: without --room a crowd of every kind fills the server's default room."""
    server = serve("--default-room", "evening", "--open-rooms", "false", *POLLED[2:])
    plan = (
        "--people",
        "20",
        "--visit",
        "0",
        "--mood-changes",
        "0",
        "--for",
        "2s",
        "--observe-every",
        "500ms",
    )
    result = CliRunner().invoke(main, ["crowd", server.url, *plan, "--mode", mode, "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert (summary["joined"], summary["errors"]) == (20, {})
    assert summary["count"] == 20 or mode == "legacy", "legacy clients take minutes to be counted"


def test_looks_are_printed_as_they_are_taken(serve: Serve) -> None:
    """A row for each under a head, the summary below them; on sockets as well."""
    server = serve(*POLLED)
    plan = ["--people", "20", "--visit", "0", "--for", "1800ms", "--observe-every", "1s"]
    for mode, words in (("poll", "reads/s"), ("socket", "95 % interval")):
        result = CliRunner().invoke(main, ["crowd", server.url, *plan, "--mode", mode])
        assert result.exit_code == 0, result.output
        head, first, second, *rest = result.output.splitlines()
        assert words in head
        assert first.split()[:2] == ["0:01", "20"]
        assert second.split()[:3] == ["0:02", "20", "20"]
        assert "observations" in "".join(rest)


@pytest.fixture
def crowd_of_20(server: ServerProcess) -> Iterator[subprocess.Popen[str]]:
    """A crowd of 20 on sockets that prints a row every 200 ms until it is interrupted."""
    process = subprocess.Popen(
        command(
            server.url, "--people", "20", "--visit", "0", "--mood-changes", "0", "--observe-every", "200ms"
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    """Read what a process prints up to the first line that matches."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if re.search(pattern, line):
            return lines
    raise AssertionError("\n".join(lines))


def test_a_count_with_another_visitor_in_it_is_not_called_wrong(
    server: ServerProcess, crowd_of_20: subprocess.Popen[str]
) -> None:
    """
    U5: one browser more than our own 20 made a right count of 21 MISSES in every row, and an error in the
    last line.

    The rows before the other visitor came are covered. From then on none is judged, and the summary says why.
    """
    before = read_until(crowd_of_20, r" 20 +20 +20 to 20 ")

    async def visit() -> list[str]:
        async with connect(server.url):
            return await asyncio.to_thread(read_until, crowd_of_20, r" 21 +21 to 21 ")

    (*_, shared) = asyncio.run(visit())
    crowd_of_20.send_signal(signal.SIGINT)
    out, err = crowd_of_20.communicate(timeout=PATIENCE_S)
    assert crowd_of_20.returncode == 0, err
    assert "outside" not in shared + out
    assert "covered" in before[-1]
    assert "not judged" in shared
    assert "not judged: there are other visitors" in out
    assert "bias" not in out


def test_a_crowd_that_comes_to_others_judges_no_count(server: ServerProcess) -> None:
    """
    U5: the room's people of before were taken for still there, so that the room was called wrong when they
    left.

    The crowd knows its own people only: a count of its own 10, when the other has left, is as little judged
    as one of 11.
    """

    async def visit_first() -> str:
        async with connect(server.url) as visitor:
            await anext(aiter(visitor))
            running = await asyncio.create_subprocess_exec(
                *command(server.url, "--people", "10", "--visit", "0", "--observe-every", "200ms", "--json"),
                stdout=subprocess.PIPE,
            )
            async for seen in visitor:
                if seen.count == 11:
                    break
        await asyncio.to_thread(until_count, server, 10, within_s=PATIENCE_S)
        running.send_signal(signal.SIGINT)
        out, _ = await running.communicate()
        return out.decode()

    summary = json.loads(asyncio.run(visit_first()))
    assert (summary["others"], summary["others_since_ms"]) == (1, 0)
    assert (summary["covered"], summary["outside"], summary["bias"], summary["error"]) == (0, 0, None, None)
    assert {row["verdict"] for row in summary["rows"]} <= {"joining", "others"}


def test_alone_in_a_room_a_count_above_ours_is_outside(server: ServerProcess) -> None:
    """
    U5: with --alone the caller vouches that there are no others, and what the room counts too many is an
    error.
    """

    async def visit_first() -> str:
        async with connect(server.url) as visitor:
            await anext(aiter(visitor))
            plan = ["--people", "10", "--visit", "0", "--for", "1500ms", "--alone", "--json"]
            running = await asyncio.create_subprocess_exec(
                *command(server.url, *plan), stdout=subprocess.PIPE
            )
            out, _ = await running.communicate()
            return out.decode()

    summary = json.loads(asyncio.run(visit_first()))
    assert (summary["observations"], summary["covered"], summary["outside"]) == (1, 0, 1)
    assert summary["bias"] == pytest.approx(0.1)


def test_legacy_clients_are_a_crowd_too(server: ServerProcess) -> None:
    """No client that speaks the planning document's wire is refused, and none sends a leave."""
    plan = [
        "--people",
        "30",
        "--visit",
        "0",
        "--mood-changes",
        "0",
        "--for",
        "1s",
        "--mode",
        "legacy",
        "--json",
    ]
    result = CliRunner().invoke(main, ["crowd", server.url, *plan])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert [summary[name] for name in ("mode", "joined", "reports", "leaves")] == ["legacy", 30, 30, 0]
    assert summary["errors"] == {}


def test_a_terminal_shows_a_crowd_that_polls(serve: Serve) -> None:
    """The count with its interval, and the rates of reads and reports; rows above the bar."""
    server = serve(*POLLED)
    with terminal(
        "crowd", server.url, "--people", "30", "--visit", "0", "--observe-every", "500ms"
    ) as screen:
        screen.until_shown(r"present.*30/30.*count 30 \(30 to 30\).*reads/s.*reports/s")
        screen.until_shown(r"0:0\d +30 +30 +30 to 30 +covered")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.until_ended() == 0
        screen.until_shown("intervals covered this crowd, 0 outside")


def test_help_says_how_it_is_used() -> None:
    """With an example."""
    result = CliRunner().invoke(main, ["crowd", "--help"])
    assert result.exit_code == 0
    assert "Example: breathing-room crowd" in result.output


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["socket", "poll"])
def test_a_crowd_is_counted_for_as_long_as_it_stays(serve: Serve, mode: str) -> None:
    """
    People come, change mood and leave for some seconds, or for ten minutes: the interval of nearly every
    observation covers them.
    """
    server = serve("--heartbeat-ms", "2000") if mode == "poll" else serve()
    people, stay, lasts, every = longer(("60", "6s", "8s", "1s"), ("2000", "2m", "10m", "5s"))
    ended = subprocess.run(
        command(
            *(
                server.url,
                "--mode",
                mode,
                "--people",
                people,
                "--visit",
                stay,
                "--for",
                lasts,
                "--observe-every",
                every,
            ),
            *("--alone", "--seed", "1", "--json"),
        ),
        capture_output=True,
        text=True,
        check=True,
    )
    figure(ended.stdout)
    seen = json.loads(ended.stdout)
    assert seen["covered"] + seen["outside"] >= 4
    assert seen["outside"] <= 0.1 * (seen["covered"] + seen["outside"])
