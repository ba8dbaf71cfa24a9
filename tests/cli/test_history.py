"""The command that takes averages out of a room."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import history, main
from breathing_room.core.history import History
from breathing_room.hosts.common.rooms import room_store
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.stores import SqliteStore
from harness import Serve

MONDAY_MS = 1_767_571_200_000
"""2026-01-05, 00:00 UTC."""


def usual() -> History:
    """Four people in every first hour of a week, one of whom said how they felt."""
    averages = History()
    averages.observe({"release": 1, "unspoken": 3}, wall_ms=MONDAY_MS)
    averages.observe(None, wall_ms=MONDAY_MS + 3_600_000)
    return averages


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["history", "export", *arguments])


def fill(path: Path, key: str, value: bytes) -> None:
    """Keep a value in a data file."""

    async def put() -> None:
        store = await SqliteStore.open(path)
        await store.put(key, value)
        await store.close()

    asyncio.run(put())


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data file with averages, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "breathing-room.db"
    fill(path, "history/lobby", usual().encode())
    return path


EXPECTED = {
    "room": "lobby",
    "timezone": "UTC",
    "hour_0": "Monday 00:00",
    "hours": [
        {
            "hour": 0,
            "count": 4.0,
            "moods": {"release": 1.0, "unspoken": 3.0},
            "observed_h": 1.0,
            "low": None,
            "high": None,
        }
    ],
}


@pytest.mark.usefixtures("data")
def test_averages_are_printed() -> None:
    """
    What is printed is one JSON object on one line: the room, what hours mean, and each hour that was ever
    observed.
    """
    done = run()
    assert (done.exit_code, done.stdout.count("\n")) == (0, 1)
    assert json.loads(done.stdout) == EXPECTED


def test_averages_are_written_to_a_file(data: Path) -> None:
    """With an output it is a file, in place of the former one, and nothing is left beside it."""
    output = data.parent / "history.json"
    output.write_text("old", encoding="utf-8")
    done = run("--data", str(data), "--output", str(output))
    assert (done.exit_code, done.stdout) == (0, "")
    assert json.loads(output.read_bytes()) == EXPECTED
    assert sorted(path.name for path in data.parent.glob("*.json")) == ["history.json"]
    assert not [path for path in data.parent.iterdir() if path.name.startswith(".")]


def test_file_and_server_say_the_same(serve: Serve, data: Path) -> None:
    """
    The export from the file of a server that runs, the export from its address, and what it answers are one
    and the same.
    """
    server = serve(data=data)
    answered = httpx.get(f"{server.url}/v1/rooms/lobby/history").json()
    assert answered == EXPECTED
    assert json.loads(run("--url", server.url).stdout) == answered
    assert json.loads(run("--data", str(data)).stdout) == answered


def test_the_default_room_is_the_servers(serve: Serve, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    U2: without --room it is the default room of the server that is asked, and beside a file that which the
    server is given.
    """
    fill(data, "history/evening", usual().encode())
    server = serve("--default-room", "evening", "--open-rooms", "false", data=data)
    evening = EXPECTED | {"room": "evening"}
    assert json.loads(run("--url", server.url).stdout) == evening
    monkeypatch.setenv("BREATHING_ROOM_DEFAULT_ROOM", "evening")
    assert json.loads(run("--data", str(data)).stdout) == evening


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--room", "garden"), 1, "no history of room garden"),
        (("--room", "The Lobby"), 2, "a room's name"),
        (("--room", "damaged"), 1, "damaged history"),
        (("--data", "nothing.db"), 1, "nothing.db"),
        (("--data", "text.db"), 1, "text.db"),
        (("--url", "ftp://room.example"), 1, "http"),
        (("--url", "http://127.0.0.1:9"), 1, "no response from http://127.0.0.1:9"),
        (("--output", "no/such/folder.json"), 1, "no/such/folder.json: No such file"),
    ],
)
def test_what_is_wrong_is_said(data: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    """Each mistake ends the command with one sentence that names it, and nothing on standard output."""
    fill(data, "history/damaged", b"{}")
    (data.parent / "text.db").write_text("no database at all, only text", encoding="utf-8")
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr
    assert not isinstance(done.exception, OSError)


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """Answer every request alike; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>", 200),
        (b"[]", 200),
        (b'{"room": "other", "hours": []}', 200),
        (b'{"room": "lobby", "hours": 7}', 200),
        (b"[" * 100_000, 200),
        (b'{"error": {}}', 404),
    ],
)
def test_answer_that_is_no_history_is_refused(body: bytes, status: int) -> None:
    """For the URL of another kind of server the command fails with the reason, and writes nothing."""
    with answering(body, status) as url:
        done = run("--url", url, "--room", "lobby")
    assert (done.exit_code, done.stdout) == (1, "")
    assert url in done.stderr


def test_places_are_those_of_the_server() -> None:
    """The command looks where the server keeps it."""
    assert history.HISTORY == room_store.HISTORY
    assert ServerConfig().default_room == history.SERVER_DEFAULT_ROOM
