"""What is usual at this hour, where a room is set to show that while its count is unknown."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from breathing_room.core.history import History
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.stores import MemoryStore, SqliteStore
from breathing_room.testing.peer import WireSocket
from harness import Serve
from inside import NOON_MS, HandClock, host_inside

WEEK_MS = 7 * 86_400_000
HOUR_MS = 3_600_000
PEOPLE = {"gratitude": 4, "release": 5, "unspoken": 1}


def usual(now_ms: int) -> History:
    """Ten people at this hour and the next, in each of the last three weeks."""
    history = History()
    for week in (3, 2, 1):
        begin_ms = (now_ms - week * WEEK_MS) // HOUR_MS * HOUR_MS
        history.observe(PEOPLE, wall_ms=begin_ms)
        history.observe(None, wall_ms=begin_ms + 2 * HOUR_MS)
    return history


async def crashed(path: Path) -> None:
    """Leave what a server with a history leaves when its power goes."""
    store = await SqliteStore.open(path)
    await store.put("running", b"1")
    await store.put("history/lobby", usual(int(time.time() * 1_000)).encode())
    await store.close()


async def first_event(url: str) -> str:
    """Read the first event of a stream."""
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", f"{url}/v1/rooms/lobby/events") as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                return line
    raise AssertionError


async def until_method(url: str, method: str) -> None:
    """Wait until the room answers by a method: it reads its averages when it is open already."""
    async with asyncio.timeout(5), httpx.AsyncClient() as client:
        while (await client.get(f"{url}/v1/rooms/lobby")).json()["method"] != method:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("wanted", [True, False])
async def test_after_a_crash_every_client_is_sent_what_is_usual(
    serve: Serve,
    tmp_path: Path,
    wanted: bool,  # noqa: FBT001 - both columns of a table
) -> None:
    """
    A room that wants it says about ten, labelled ``estimated``, to all who ask in any way; one that does not
    says ``unknown``. Who is surely there is in the interval.
    """
    data = tmp_path / "room.db"
    await crashed(data)
    flags = ["--history-fallback", "true"] if wanted else []
    server = serve("--lease-ms", "60000", "--push-ms", "20", *flags, data=data)
    method = "estimated" if wanted else "unknown"
    await until_method(server.url, method)
    async with httpx.AsyncClient(base_url=server.url) as client:
        presence = (await client.get("/v1/rooms/lobby")).json()
        badge = (await client.get("/v1/rooms/lobby/badge.svg")).text
        other = (await client.get("/api/presence")).json()
    assert presence["method"] == method
    assert presence["count"] == (10 if wanted else None)
    assert f"({method})" in badge
    assert f'"method":"{method}"' in await first_event(server.url)
    assert other["count"] == (10 if wanted else 1)
    if wanted:
        assert presence["low"] <= 10 <= presence["high"]
        assert presence["moods"] == {"gratitude": 4, "presence": 0, "release": 5, "connection": 0}
        assert presence["unspoken"] == 1

    person = await WireSocket.open(server.url, "/v1/rooms/lobby/socket")
    person.send_message("join", visitor="visitor-0123456789")
    received = await person.receive("presence")
    assert (received["method"], received["low"]) == (method, max(1, presence["low"]))
    person.cut()


class Slow(MemoryStore):
    """A store that takes its time to find a history."""

    async def get(self, key: str) -> bytes | None:
        if key.startswith("history/"):
            await asyncio.sleep(0.1)
        return await super().get(key)


class RecordingSubscriber:
    """A subscriber that records what it is sent."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def push(self, encoded: EncodedPresence) -> None:
        self.received.append(encoded.presence.method)

    def close(self, code: int, reason: bytes = b"") -> None:
        """Go."""


async def test_a_subscriber_is_sent_unknown_then_estimated_then_counted() -> None:
    """
    When the averages are read, clients that were sent an unknown count are sent what is usual; and when one
    lease is over, what is. Averages do not learn from themselves.
    """
    clock, store = HandClock(), Slow()
    await store.put("running", b"1")
    await store.put("history/lobby", usual(NOON_MS).encode())
    async with host_inside(
        store=store, clock=clock, history_fallback=True, lease_ms=10_000, grace_ms=1_000, push_ms=20
    ) as host:
        room = host.rooms["lobby"]
        assert (room.presence().method, room.latest().presence.method) == ("unknown", "unknown")
        room.subscribers[subscriber := RecordingSubscriber()] = None
        async with asyncio.timeout(5):
            while not subscriber.received:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        assert subscriber.received == ["estimated"]
        assert room.latest().presence.count == 10
        observed_h = [hour["observed_h"] for hour in (await host.history("lobby")).averages()]
        clock.ms += 5_000
        room.platform._observe(room.presence())
        assert [hour["observed_h"] for hour in (await host.history("lobby")).averages()] == observed_h
        clock.ms += 5_001
        room.on_timer()
        await asyncio.sleep(0)
        assert subscriber.received == ["estimated", "counted"]
        assert room.presence().count == 0
        room.subscribers.clear()


async def test_without_averages_it_stays_unknown() -> None:
    """A room that wants it and has seen this hour in fewer than two weeks says ``unknown``."""
    store = MemoryStore()
    await store.put("running", b"1")
    history = History()
    history.observe(PEOPLE, wall_ms=NOON_MS - WEEK_MS)
    history.observe(None, wall_ms=NOON_MS - WEEK_MS + HOUR_MS)
    await store.put("history/lobby", history.encode())
    async with host_inside(store=store, clock=HandClock(), history_fallback=True) as host:
        await asyncio.sleep(0.05)
        assert host.rooms["lobby"].platform.history is not None
        assert host.presence("lobby").method == "unknown"
