"""The command that shows what is stored."""

import asyncio
import base64
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main, snapshot
from breathing_room.core.config import RoomConfig
from breathing_room.core.events import Joined
from breathing_room.core.identity import VisitorKey
from breathing_room.core.room import Room
from breathing_room.core.snapshot import encode_snapshot
from breathing_room.hosts.common.rooms import room_store
from breathing_room.stores import SqliteStore
from harness import Serve

START_MS = 1_767_225_600_000
LATER_MS = START_MS + 61_000

KEYS = tuple(VisitorKey(bytes([0xC0 + index]) * 16) for index in range(4))


def a_snapshot() -> bytes:
    """A room of four people, of whom one came in a second before the others."""
    room = Room("lobby", RoomConfig(lease_ms=60_000), now_ms=START_MS)
    for index, (key, mood) in enumerate(zip(KEYS, ("release", "release", "presence", None), strict=True)):
        room.step(Joined(index, key, mood), now_ms=START_MS + (2_000 if index else 0))
    return encode_snapshot(room.snapshot())


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data file with a room, a room of a later version, and other things; it is a minute later."""
    path = tmp_path / "breathing-room.db"

    async def fill() -> None:
        store = await SqliteStore.open(path, clock=lambda: START_MS + 2_000)
        await store.put("snapshot/lobby", a_snapshot(), ttl_ms=61_000)
        await store.put("snapshot/[b]attic[/b]", b"BRS2 and no more")
        await store.put("secret/1", b"hush" * 8, ttl_ms=86_400_000)
        await store.put("history/lobby", bytes(1_536))
        await store.close()

    asyncio.run(fill())
    monkeypatch.setattr(snapshot, "wall_ms", lambda: LATER_MS)
    monkeypatch.chdir(tmp_path)
    return path


def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["snapshot", *arguments], env=env)


def on_a_terminal(data: Path, *, letters: int = 120) -> str:
    """Run the command on a terminal, and return what is seen there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "breathing_room", "snapshot", "--data", str(data)],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": str(letters), "NO_COLOR": "1", "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 4_096):
                seen += piece
        except OSError:
            pass  # How Linux says that the other end is closed.
        os.close(ours)
    assert process.returncode == 0
    return seen.decode()


def test_as_json(data: Path) -> None:
    """The JSON object has the count and live count of every room, and the size and times of every key."""
    result = run("--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "data": data.name,
        "as_of_ms": LATER_MS,
        "rooms": [
            {"room": "[b]attic[/b]", "error": "a snapshot of a later version"},
            {
                "room": "lobby",
                "saved_at_ms": START_MS + 2_000,
                "people": 4,
                "live": 3,
                "moods": {"gratitude": 0, "presence": 1, "release": 2, "connection": 0, "unspoken": 1},
            },
        ],
        "keys": [
            entry("history/lobby", 1_536),
            entry("secret/1", 32, lives_ms=86_400_000),
            entry("snapshot/[b]attic[/b]", 16),
            entry("snapshot/lobby", len(a_snapshot()), lives_ms=61_000),
        ],
    }


def entry(key: str, size_bytes: int, *, lives_ms: int | None = None) -> dict[str, Any]:
    return {
        "key": key,
        "size_bytes": size_bytes,
        "written_at_ms": START_MS + 2_000,
        "expires_at_ms": None if lives_ms is None else START_MS + 2_000 + lives_ms,
    }


def test_in_a_pipe(data: Path) -> None:
    """In a pipe there is a line for a room or a key, with tabs between the fields and no escape codes."""
    size = len(a_snapshot())
    assert run("--data", str(data)).stdout.splitlines() == [
        "room\tsaved\tpeople\tlive now\tmoods",
        "[b]attic[/b]\t\t\t\ta snapshot of a later version",
        "lobby\t59 s ago\t4\t3\tpresence 1, release 2, unspoken 1",
        "",
        "key\tsize\twritten\texpires",
        "history/lobby\t1.5 KB\t59 s ago\tnever",
        "secret/1\t32 B\t59 s ago\tin 23 h",
        "snapshot/[b]attic[/b]\t16 B\t59 s ago\tnever",
        f"snapshot/lobby\t{size} B\t59 s ago\tin 2 s",
    ]


@pytest.mark.slow
def test_on_a_terminal(data: Path) -> None:
    """On a terminal two tables are drawn, without colours where NO_COLOR is set, and with brackets as they
    are.
    """
    seen = on_a_terminal(data)

    assert "────" in seen
    assert "\x1b[3" not in seen
    assert "\t" not in seen
    assert "[b]attic[/b]" in seen


@pytest.mark.slow
def test_no_visitor_is_shown(data: Path) -> None:
    """No form of output holds a visitor's key or a secret, in any usual notation."""
    shown = run().stdout + run("--json").stdout + on_a_terminal(data)

    for private in (*KEYS, b"hush"):
        for notation in (
            private.hex(),
            base64.b64encode(private).decode()[:-2],
            repr(private)[2:-1],
            str(list(private)),
        ):
            assert notation not in shown


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is named, the exit code is 1, and no file is made."""
    result = run("--data", str(tmp_path / "other.db"))

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"Error: cannot use {tmp_path / 'other.db'}: there is no such file\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_ours(tmp_path: Path) -> None:
    """Another file is refused with exit code 1."""
    (tmp_path / "diary.txt").write_text("Dear diary, " * 100)
    result = run("--data", str(tmp_path / "diary.txt"))

    assert result.exit_code == 1
    assert "it is not a data file of Breathing Room" in result.stderr


def test_usage() -> None:
    """An option that does not exist is a mistake of exit code 2."""
    assert run("--yaml").exit_code == 2


@pytest.mark.slow
def test_nothing_stored(tmp_path: Path) -> None:
    """A new file has no rooms and no keys, and says so."""
    asyncio.run(open_and_close(tmp_path / "new.db"))

    assert json.loads(run("--json", "--data", str(tmp_path / "new.db")).stdout)["rooms"] == []
    assert "no room is stored" in on_a_terminal(tmp_path / "new.db")


async def open_and_close(path: Path) -> None:
    await (await SqliteStore.open(path)).close()


def test_the_environment_names_the_file(data: Path) -> None:
    """The variable that names the server's file names it here as well."""
    moved = data.rename(data.with_name("moved.db"))

    assert run("--json", env={"BREATHING_ROOM_DATA": str(moved)}).exit_code == 0


def test_keys_are_those_of_the_server() -> None:
    """The command looks for rooms where the server stores them."""
    assert snapshot.SNAPSHOT == room_store.SNAPSHOT


def test_beside_a_server_and_after_its_death(serve: Serve) -> None:
    """What a live server has stored is shown while it runs, and the same after it was killed."""
    server = serve("--snapshot-ms", "100")
    for number in range(3):
        heartbeat = {"visitor": f"visitor-{number:016}", "mood": "release"}
        httpx.post(f"{server.url}/v1/rooms/lobby/heartbeat", json=heartbeat).raise_for_status()

    give_up_at = time.monotonic() + 20
    while people_in(server.data) != 3:
        assert time.monotonic() < give_up_at, "\n".join(server.lines)
        time.sleep(0.05)
    server.kill()
    assert people_in(server.data) == 3


def people_in(data: Path) -> int | None:
    """People that the command shows in the lobby, None when it is not stored yet."""
    result = run("--json", "--data", str(data))
    assert result.exit_code == 0, result.output
    rooms = {room["room"]: room for room in json.loads(result.stdout)["rooms"]}
    return rooms["lobby"]["people"] if "lobby" in rooms else None
