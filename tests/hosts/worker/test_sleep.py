"""A room at the edge hibernates, is deployed again, and moves to a server and back; no visitor is lost on the
way.
"""

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from breathing_room.client import Timing, connect
from breathing_room.client.room_connection import TIME_AT_S
from breathing_room.hosts.worker.hibernation import BILLED
from breathing_room.stores import SqliteStore
from breathing_room.testing.host_context import ask
from breathing_room.testing.peer import WireSocket
from harness import Serve
from hosts.worker.conftest import TIMES, Start
from hosts.worker.platform_fakes import Service
from hosts.worker.runtime import Runtime

PEOPLE = 300
ROOM = "/v1/rooms/lobby"

# Python starts several times here, and rooms hibernate: on a busy machine that takes long.
pytestmark = pytest.mark.timeout(400)

# The platform hibernates an object after 10 s without work.
SLEEP_S = 12.5

# Long enough for all to reconnect, and for nothing to expire while the room hibernates.
SLOW = TIMES | {
    "BREATHING_ROOM_LEASE_MS": "60000",
    "BREATHING_ROOM_GRACE_MS": "60000",
    "BREATHING_ROOM_JOIN_MS": "60000",
    "BREATHING_ROOM_LOG_LEVEL": "debug",
}


async def presence(url: str) -> dict[str, Any]:
    return (await ask(url, "GET", ROOM)).json()


async def join(url: str, visitor: str, mood: str | None = None) -> WireSocket:
    socket = await WireSocket.open(url, f"{ROOM}/socket")
    socket.send_message("join", visitor=visitor, mood=mood)
    await socket.receive("presence")
    return socket


async def people_join(url: str, mood: str, count: int = PEOPLE) -> dict[str, WireSocket]:
    """Join a few at a time, so that a busy machine answers all of them in time."""
    visitors = [secrets.token_urlsafe(16) for _ in range(count)]
    sockets: dict[str, WireSocket] = {}
    for begin in range(0, count, 20):
        some = visitors[begin : begin + 20]
        sockets |= zip(
            some, await asyncio.gather(*(join(url, visitor, mood) for visitor in some)), strict=True
        )
    return sockets


async def sees(url: str, **expected: Any) -> None:
    """Read the presence until it is as expected."""
    deadline_s = time.monotonic() + 10
    while (seen := await presence(url)) is not None and not seen.items() >= expected.items():
        assert time.monotonic() < deadline_s, seen
        await asyncio.sleep(0.05)


def wakes(worker: Runtime) -> list[int]:
    """List with how many connections the room woke, each time."""
    return [int(line.split()[-2]) for line in worker.lines if " woke, with " in line]


def messages(worker: Runtime) -> int:
    """Count the messages of clients that the object was called for."""
    return sum(line.endswith(f"{BILLED} message") for line in worker.lines)


async def sleeps(worker: Runtime, wake: Callable[[], Awaitable[object]]) -> None:
    """Wait until the room hibernates, and wake it; on a busy machine it may still have had work the first
    time.

    Raises:
        AssertionError: Something keeps it awake.
    """
    before = len(wakes(worker))
    for _ in range(3):
        await asyncio.sleep(SLEEP_S)
        await wake()
        deadline_s = time.monotonic() + 2
        while time.monotonic() < deadline_s:  # The log may arrive later than the answer.
            if len(wakes(worker)) > before:
                return
            await asyncio.sleep(0.05)
    raise AssertionError("the room does not hibernate")


def moods(**people: int) -> dict[str, int]:
    return dict.fromkeys(("gratitude", "presence", "release", "connection"), 0) | people


async def test_three_hundred_people_sleep_three_times(start: Start, kv: Service) -> None:
    """
    The room hibernates three times and is woken by a read, by a message and by a connection that breaks: each
    time the count is right at once, no connection was dropped, and no timer kept it awake.
    """
    worker = start(SLOW, services={"KV": f"kvNamespace {kv.address}"})
    with contextlib.ExitStack() as stack:
        sockets = list((await people_join(worker.url, "release")).values())
        for socket in sockets:
            stack.callback(socket.cut)
        await sees(worker.url, count=PEOPLE, low=PEOPLE, method="counted", moods=moods(release=PEOPLE))

        async def read() -> None:
            seen = await presence(worker.url)
            assert (seen["count"], seen["low"], seen["high"]) == (PEOPLE, PEOPLE, PEOPLE)
            assert seen["method"] == "counted"

        await sleeps(worker, read)
        for socket in sockets[: PEOPLE // 2]:
            socket.send_message("mood", mood="gratitude")
        half = moods(release=PEOPLE // 2, gratitude=PEOPLE // 2)
        await sees(worker.url, count=PEOPLE, low=PEOPLE, moods=half)

        others = itertools.cycle(["connection", "presence"])
        expected: dict[str, int] = {}

        async def change_mood() -> None:
            mood = next(others)
            expected.update(half | {"gratitude": PEOPLE // 2 - 1, mood: 1})
            sockets[0].send_message("mood", mood=mood)

        await sleeps(worker, change_mood)
        for socket in sockets:
            await socket.receive("presence", lambda said: bool(said["moods"] == expected))

        lost: list[WireSocket] = []

        async def break_one() -> None:
            lost.append(sockets.pop(0))
            lost[-1].cut()

        await sleeps(worker, break_one)
        await sockets[0].receive(
            "presence", lambda said: (said["count"], said["low"]) == (PEOPLE, PEOPLE - len(lost))
        )
        assert wakes(worker)[:3] == [0, PEOPLE, PEOPLE]
        assert len(wakes(worker)) == 4
        assert all(socket.is_open for socket in sockets)
        assert not [line for line in worker.lines if not line.startswith("DEBUG")]


async def test_the_heartbeats_of_our_client_are_answered_and_wake_no_object(
    start: Start, kv: Service
) -> None:
    """
    The object hibernates though a client of ours sends a ping every second, and the client stays connected,
    since the runtime answers; a ping that is spelled otherwise wakes the object, which answers it.
    """
    worker = start(SLOW, services={"KV": f"kvNamespace {kv.address}"})
    other = await WireSocket.open(worker.url, f"{ROOM}/socket")
    other.send_message("observe")
    await other.receive("presence")
    timing = Timing(ping_s=1.0, answer_s=5.0, backoff_base_s=60.0)
    async with connect(worker.url, room="lobby", timing=timing) as room:
        deadline_s = time.monotonic() + 20
        while messages(worker) < 1 + 1 + len(TIME_AT_S):  # Observe, join, and the requests for the time.
            assert time.monotonic() < deadline_s, worker.lines
            await asyncio.sleep(0.05)
        before = messages(worker)

        async def read() -> None:
            await sees(worker.url, count=1, low=1, method="counted")

        await sleeps(worker, read)
        assert wakes(worker) == [0, 2]
        assert messages(worker) == before
        assert (room.connection_error, room.state) == (None, "live")

        async def near_miss() -> None:
            other.send_text('{"type": "ping"}')
            assert await other.receive("pong") == {"type": "pong"}

        await sleeps(worker, near_miss)
        assert wakes(worker) == [0, 2, 2]
        assert messages(worker) > before
        assert (room.connection_error, room.state) == (None, "live")
    assert not [line for line in worker.lines if not line.startswith("DEBUG")]
    other.cut()


async def test_a_deploy_is_no_exodus_and_neither_is_a_move(
    start: Start, serve: Serve, kv: Service, tmp_path: Path
) -> None:
    """
    A deploy drops every connection, and so does a move to a server and back: the visitors are counted as last
    known, suspect until each reconnects, and those who poll are counted as before.
    """
    services = {"KV": f"kvNamespace {kv.address}"}
    worker = start(SLOW, services=services)
    people = await people_join(worker.url, "release", 10)
    polling = [secrets.token_urlsafe(16) for _ in range(5)]
    for visitor in polling:
        await ask(worker.url, "POST", f"{ROOM}/heartbeat", {"visitor": visitor, "mood": "presence"})
    there = moods(release=10, presence=5)
    await sees(worker.url, count=15, low=15)
    await asyncio.sleep(2.5)  # for the snapshot
    worker.stop()

    worker = start(SLOW, services=services)
    seen = await presence(worker.url)
    assert (seen["count"], seen["low"], seen["high"], seen["method"], seen["moods"]) == (
        15,
        5,
        15,
        "stale",
        there,
    )
    back = [await join(worker.url, visitor) for visitor in people]
    await sees(worker.url, count=15, low=15, method="counted", moods=there)
    await asyncio.sleep(2.5)
    worker.stop()
    assert {key for key in kv.values if not key.startswith("secret/")} == {
        "snapshot/lobby",
        "note/lobby",
        "history/lobby",
    }

    server = await asyncio.to_thread(
        serve, "--lease-ms", "60000", data=await stored(tmp_path / "moved.db", kv.values)
    )
    seen = await presence(server.url)
    assert (seen["count"], seen["low"], seen["method"], seen["moods"]) == (15, 0, "stale", there)
    for visitor in polling:
        await ask(server.url, "POST", f"{ROOM}/heartbeat", {"visitor": visitor})
    back += [await join(server.url, visitor) for visitor in people]
    await sees(server.url, count=15, low=15, method="counted", moods=there)
    back.append(await join(server.url, secrets.token_urlsafe(16)))
    await asyncio.to_thread(server.stop)

    store = await SqliteStore.open(str(server.data))
    kv.values = {key: await store.get(key) or b"" for key in await store.list("")}
    await store.close()
    worker = start(SLOW, services=services, folder=tmp_path / "another")
    seen = await presence(worker.url)
    assert (seen["count"], seen["low"], seen["method"]) == (16, 0, "stale")
    back += [await join(worker.url, visitor) for visitor in people]
    await sees(worker.url, count=16, low=10)
    for socket in back:
        socket.cut()


async def stored(path: Path, values: Mapping[str, bytes]) -> Path:
    """Write the values of KV into the store of a server."""
    store = await SqliteStore.open(str(path))
    for key, value in values.items():
        await store.put(key, value)
    await store.close()
    return path
