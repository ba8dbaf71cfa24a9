"""A restart is not an exodus: what people are shown while a server dies and comes back."""

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from breathing_room.core.snapshot import Snapshot, decode_snapshot, encode_snapshot
from breathing_room.core.wire import RESTART
from breathing_room.stores import SqliteStore
from breathing_room.testing.peer import WireSocket
from harness import Serve
from tiers import longer

LEASE_MS = 6_000
PUSH_MS = 50
SNAPSHOT_MS = 150
FLAGS = (
    "--lease-ms",
    str(LEASE_MS),
    "--grace-ms",
    "500",
    "--push-ms",
    str(PUSH_MS),
    "--snapshot-ms",
    str(SNAPSHOT_MS),
)

SHORT_LEASE_MS = 4_000
SHORT = (
    "--lease-ms",
    str(SHORT_LEASE_MS),
    "--grace-ms",
    "100",
    "--push-ms",
    str(PUSH_MS),
    "--snapshot-ms",
    "100",
)

SLACK_S = 4.0
"""Between what a deadline says and what a busy machine makes of it."""

PEOPLE = 20
ROUNDS = longer(10, 200)

Presence = dict[str, Any]


def visitor(index: int) -> str:
    """Name a visitor."""
    return f"visitor-{index:08}"


async def join(url: str, name: str, room: str = "lobby", *, after_s: float = 0) -> WireSocket:
    """Open a socket as a visitor; the answer has been read."""
    await asyncio.sleep(after_s)
    socket = await WireSocket.open(url, f"/v1/rooms/{room}/socket")
    socket.send_message("join", visitor=name)
    await socket.receive("presence")
    return socket


async def get(url: str, room: str = "lobby") -> Presence:
    """Request the presence."""
    async with httpx.AsyncClient() as client:
        return dict((await client.get(f"{url}/v1/rooms/{room}")).json())


async def stored(data: Path, room: str = "lobby") -> Snapshot | None:
    """Read the last snapshot of a room, beside the server that writes it."""
    store = await SqliteStore.open(data, read_only=True)
    try:
        value = await store.get(f"snapshot/{room}")
    finally:
        await store.close()
    return None if value is None else decode_snapshot(value)


async def until(is_so: Callable[[], Awaitable[bool]], *, within_s: float = 5.0) -> None:
    """Wait for something to be so."""
    async with asyncio.timeout(within_s):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.02)


async def until_stored(data: Path, people: int) -> None:
    """Wait for a snapshot that was taken from now on, with so many people in it."""
    now_ms = time.time() * 1_000

    async def is_so() -> bool:
        snapshot = await stored(data)
        return snapshot is not None and snapshot.count == people and snapshot.as_of_ms >= now_ms

    await until(is_so)


async def until_counted(url: str, people: int, *, within_s: float = 5.0) -> None:
    """Wait until every visitor was counted."""

    async def is_so() -> bool:
        presence = await get(url)
        return (presence["method"], presence["count"], presence["low"]) == ("counted", people, people)

    await until(is_so, within_s=within_s)


@asynccontextmanager
async def witness(url: str, room: str = "lobby") -> AsyncIterator[list[Presence]]:
    """Collect every presence that a client is shown: by polls, and by a socket that reconnects whenever it is
    lost.
    """
    seen: list[Presence] = []

    async def poll() -> None:
        async with httpx.AsyncClient() as client:
            while True:
                with suppress(httpx.TransportError):
                    seen.append((await client.get(f"{url}/v1/rooms/{room}")).json())
                await asyncio.sleep(0.02)

    async def watch() -> None:
        while True:
            with suppress(
                AssertionError, OSError
            ):  # The connection was lost, or nothing new was sent for seconds.
                socket = await WireSocket.open(url, f"/v1/rooms/{room}/socket")
                try:
                    socket.send_message("observe")
                    while True:
                        seen.append(await socket.receive("presence"))
                finally:
                    socket.cut()
            await asyncio.sleep(0.02)

    watching = [asyncio.create_task(poll()), asyncio.create_task(watch())]
    try:
        async with asyncio.timeout(5):
            while not seen:  # noqa: ASYNC110 - What is shown before anything happens belongs to it.
                await asyncio.sleep(0.01)
        yield seen
    finally:
        for task in watching:
            task.cancel()
        for result in await asyncio.gather(*watching, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result


@pytest.mark.soak
async def test_ten_crashes_in_a_row_lose_no_visitor(serve: Serve) -> None:
    """
    Through ten crashes in a row, or more, no client is ever shown another number than that of the people who
    are there: not 0, and no wrong count of any method; and every visitor is counted again within one lease.
    """
    chance = random.Random(247)
    server = serve(*FLAGS)
    people = await asyncio.gather(*(join(server.url, visitor(index)) for index in range(PEOPLE)))
    await until_counted(server.url, PEOPLE)
    methods = []
    async with witness(server.url) as seen:
        for _ in range(ROUNDS):
            await until_stored(server.data, PEOPLE)
            await asyncio.sleep(chance.uniform(0, SNAPSHOT_MS / 1_000))
            server.kill()
            server = await asyncio.to_thread(serve, *FLAGS, port=server.port)
            began_s = time.monotonic()
            methods.append((await get(server.url))["method"])
            for person in people:
                person.cut()
            people = await asyncio.gather(
                *(join(server.url, visitor(index), after_s=chance.uniform(0, 0.3)) for index in range(PEOPLE))
            )
            await until_counted(server.url, PEOPLE)
            assert time.monotonic() - began_s < (LEASE_MS + PUSH_MS) / 1_000 + SLACK_S
            seen += [json.loads(text) for person in people for text in person.texts]
    for person in people:
        person.cut()
    assert methods == ["stale"] * ROUNDS
    assert {presence["count"] for presence in seen} == {PEOPLE}
    assert {presence["high"] for presence in seen} == {PEOPLE}
    assert {presence["method"] for presence in seen} == {"counted", "stale"}
    assert {presence["low"] for presence in seen if presence["method"] == "counted"} == {PEOPLE}
    assert len({presence["low"] for presence in seen if presence["method"] == "stale"}) > PEOPLE // 2
    assert {sum(presence["moods"].values()) + presence["unspoken"] for presence in seen} == {PEOPLE}


async def test_a_visitor_who_does_not_return_is_out_after_the_lease(serve: Serve) -> None:
    """
    After a crash those who come back are counted at once and the others suspect, until what is left of their
    leases ends; then it is counted again.
    """
    server = serve(*SHORT)
    people = [await join(server.url, visitor(index)) for index in range(4)]
    await until_stored(server.data, 4)
    server.kill()
    server = await asyncio.to_thread(serve, *SHORT, port=server.port)
    began_s = time.monotonic()
    async with witness(server.url) as seen:
        back = await join(server.url, visitor(0))
        await until_counted(server.url, 1)
        assert time.monotonic() - began_s < (SHORT_LEASE_MS + PUSH_MS) / 1_000 + SLACK_S
    for person in (*people, back):
        person.cut()
    assert {presence["count"] for presence in seen if presence["method"] == "counted"} == {1}
    stale = [presence for presence in seen if presence["method"] == "stale"]
    assert {(presence["low"], presence["high"]) for presence in stale} <= {(0, 4), (1, 4), (1, 3), (1, 2)}
    assert (stale[-1]["low"], stale[0]["high"]) == (1, 4)


async def test_crash_loses_one_interval_at_most(serve: Serve) -> None:
    """
    A visitor who joined before the last snapshot interval is remembered after a crash in the middle of a
    stream of joins.
    """
    server = serve(*FLAGS)
    joined_at_s: list[float] = []
    people: list[WireSocket] = []
    deadline_s = time.monotonic() + 2
    while time.monotonic() < deadline_s:
        people.append(await join(server.url, visitor(len(people))))
        joined_at_s.append(time.monotonic())
    server.kill()
    killed_at_s = time.monotonic()
    server = await asyncio.to_thread(serve, *FLAGS, port=server.port)
    presence = await get(server.url)
    for person in people:
        person.cut()
    # Half a second for a busy machine to write the snapshot.
    sure = sum(at_s < killed_at_s - SNAPSHOT_MS / 1_000 - 0.5 for at_s in joined_at_s)
    assert sure > PEOPLE
    assert presence["method"] == "stale"
    assert sure <= presence["count"] <= len(people)


async def test_joins_after_an_empty_snapshot_make_the_count_unknown(serve: Serve) -> None:
    """
    A crash soon after people came into a room that was saved as empty leaves it unknown: it is not counted,
    and not 0.
    """
    server = serve(*FLAGS, "--snapshot-ms", "600")
    first = await join(server.url, visitor(0))
    await until_stored(server.data, 1)
    first.send_message("leave")
    await first.ended()

    async def is_empty() -> bool:
        return await stored(server.data) is None

    await until(is_empty)
    people = [await join(server.url, visitor(index)) for index in range(1, 4)]
    server.kill()
    assert await stored(server.data) is None
    server = await asyncio.to_thread(serve, *FLAGS, port=server.port)
    presence = await get(server.url)
    for person in people:
        person.cut()
    assert (presence["method"], presence["count"]) == ("unknown", None)


# --- No usable snapshot -----------------------------------------------------------------------------------


def all_over(value: bytes) -> bytes:
    """End every lease of a snapshot."""
    snapshot = decode_snapshot(value)
    return encode_snapshot(
        replace(snapshot, members=replace(snapshot.members, left_ms=(1,) * snapshot.count))
    )


def undeclared(value: bytes) -> bytes:
    """Give the people of a snapshot a mood that it does not declare."""
    snapshot = decode_snapshot(value)
    return encode_snapshot(
        replace(snapshot, members=replace(snapshot.members, mood_of=b"\x63" * snapshot.count))
    )


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda _: None,
    "empty": lambda _: b"",
    "garbage": lambda value: bytes(len(value)),
    "cut-short": lambda value: value[:-1],
    "of-the-future": lambda value: b"BRS2" + value[4:],
    "bad-header": lambda value: value[:8] + b"[" + value[9:],
    "undeclared": undeclared,
    "all-over": all_over,
}


async def test_what_cannot_be_restored_is_unknown(serve: Serve) -> None:
    """
    A room whose snapshot is gone, damaged, of a later version, or older than every lease in it is unknown for
    one lease after a crash, and then counted; it is never shown as 0 meanwhile.
    """
    server = serve(*SHORT)
    people = [await join(server.url, visitor(0), room) for room in DAMAGES]

    async def is_stored() -> bool:
        return None not in [await stored(server.data, room) for room in DAMAGES]

    await until(is_stored)
    server.kill()
    for person in people:
        person.cut()
    store = await SqliteStore.open(server.data)
    for room, damage in DAMAGES.items():
        value = await store.get(f"snapshot/{room}")
        assert value is not None
        damaged = damage(value)
        if damaged is None:
            await store.delete(f"snapshot/{room}")
        else:
            await store.put(f"snapshot/{room}", damaged)
    await store.close()

    before_s = time.monotonic()
    server = await asyncio.to_thread(serve, *SHORT, port=server.port)
    started_s = time.monotonic()
    changed_at_s: dict[str, float] = {}

    async def all_changed() -> bool:
        for room in DAMAGES.keys() - changed_at_s.keys():
            presence = await get(server.url, room)
            if presence["method"] == "unknown":
                assert (presence["count"], presence["high"], presence["label"]) == (None, None, "unknown"), (
                    room
                )
            else:
                assert (presence["method"], presence["count"]) == ("counted", 0), room
                changed_at_s[room] = time.monotonic()
        return len(changed_at_s) == len(DAMAGES)

    await until(all_changed)
    for at_s in changed_at_s.values():
        assert before_s + SHORT_LEASE_MS / 1_000 < at_s < started_s + SHORT_LEASE_MS / 1_000 + SLACK_S
    complaints = [line for line in server.lines if "cannot be decoded" in line]
    assert len(complaints) == len(DAMAGES) - len({"gone", "all-over"})


async def test_unknown_room_finds_its_people_again(serve: Serve) -> None:
    """
    People who come back into a room that is unknown are among those known of, and counted when the lease is
    over.
    """
    server = serve(*SHORT)
    person = await join(server.url, visitor(0))
    server.kill()
    person.cut()
    server.data.unlink()
    server = await asyncio.to_thread(serve, *SHORT, port=server.port)
    server.kill()
    server = await asyncio.to_thread(serve, *SHORT, port=server.port)
    async with witness(server.url) as seen:
        person = await join(server.url, visitor(0))
        await until_counted(server.url, 1)
    person.cut()
    assert next(presence["count"] for presence in seen if presence["method"] == "counted") == 1
    unknown = [presence for presence in seen if presence["method"] == "unknown"]
    assert {(presence["count"], presence["high"], presence["label"]) for presence in unknown} == {
        (None, None, "unknown")
    }
    assert {presence["low"] for presence in unknown} == {0, 1}


async def test_new_file_begins_counted(serve: Serve, tmp_path: Path) -> None:
    """
    A server that never ran before knows that its rooms are empty; so does one whose people had all left when
    it was stopped.
    """
    server = serve(*FLAGS, data=tmp_path / "new.db")
    assert ((await get(server.url))["method"], (await get(server.url))["count"]) == ("counted", 0)
    person = await join(server.url, visitor(0))
    person.send_message("leave")
    await person.ended()
    await asyncio.to_thread(server.stop)
    server = await asyncio.to_thread(serve, *FLAGS, data=tmp_path / "new.db")
    assert ((await get(server.url))["method"], (await get(server.url))["count"]) == ("counted", 0)


async def test_a_damaged_history_starts_empty(serve: Serve) -> None:
    """A history that cannot be read costs the averages, and nothing else."""
    server = serve(*FLAGS)
    await asyncio.to_thread(server.stop)
    store = await SqliteStore.open(server.data)
    assert await store.get("history/lobby") is not None
    await store.put("history/lobby", b'{"version": 1, "hours": {"7": "nonsense"}}')
    await store.close()
    server = await asyncio.to_thread(serve, *FLAGS)
    async with httpx.AsyncClient() as client:
        history = (await client.get(f"{server.url}/v1/rooms/lobby/history")).json()
    assert all(hour["count"] == 0 for hour in history["hours"])
    assert any("the history of room lobby could not be read" in line for line in server.lines)


# --- A polite stop ----------------------------------------------------------------------------------------

RATE_PROPAGATION_MS = 5_000
MANY = 200


async def test_a_graceful_stop_spreads_the_reconnects(serve: Serve) -> None:
    """
    Before a stop every client is sent a time of its own to come back, spread evenly over the range; the
    server is gone within moments, and its successor has every visitor.
    """
    server = serve(*FLAGS, "--lease-ms", "10000")
    people = await asyncio.gather(*(join(server.url, visitor(index)) for index in range(MANY)))
    await until_counted(server.url, MANY)
    server.process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    ends = await asyncio.gather(*(person.ended() for person in people))
    await asyncio.to_thread(server.process.wait, 10)
    took_s = time.monotonic() - began_s
    assert took_s < RATE_PROPAGATION_MS / 1_000  # It does not wait until they are back.

    assert {end.code for end in ends} == {RESTART}
    reasons = [json.loads(end.reason) for end in ends]
    assert all(reason.keys() == {"retry_ms"} for reason in reasons)
    waits_ms = [reason["retry_ms"] for reason in reasons]
    assert all(isinstance(wait_ms, int) and 0 <= wait_ms <= RATE_PROPAGATION_MS for wait_ms in waits_ms)
    # Even over the range: 40 in each fifth, and with a chance of about one in a million more than 29 off.
    fifths = [
        sum(wait_ms * 5 // (RATE_PROPAGATION_MS + 1) == fifth for wait_ms in waits_ms) for fifth in range(5)
    ]
    assert all(11 <= people_in_fifth <= 69 for people_in_fifth in fifths), fifths
    assert len(set(waits_ms)) > MANY * 9 // 10
    print(f"{MANY} people gone in {took_s:.2f} s; times to come back, by fifths of the range: {fifths}")  # noqa: T201

    server = await asyncio.to_thread(serve, *FLAGS, "--lease-ms", "10000", port=server.port)
    presence = await get(server.url)
    assert (presence["method"], presence["count"], presence["low"]) == ("stale", MANY, 0)
    people = await asyncio.gather(*(join(server.url, visitor(index)) for index in range(MANY)))
    await until_counted(server.url, MANY)
    for person in people:
        person.cut()


async def test_without_a_spread_clients_return_at_once(serve: Serve) -> None:
    """With ``--reconnect-spread-ms 0`` every client may come back at once."""
    server = serve("--reconnect-spread-ms", "0")
    person = await join(server.url, visitor(0))
    await asyncio.to_thread(server.stop)
    assert json.loads((await person.ended()).reason) == {"retry_ms": 0}


async def test_a_stop_does_not_wait_for_unresponsive_clients(serve: Serve) -> None:
    """A client that does not answer a close keeps the server for two seconds at most."""
    server = serve()
    deaf = await join(server.url, visitor(0))
    deaf.answers_pings = False  # Nor anything else.
    began_s = time.monotonic()
    await asyncio.to_thread(server.stop)
    assert time.monotonic() - began_s < 2 + 2 * SLACK_S
    assert (await deaf.ended()).code == RESTART


async def test_people_who_poll_survive_a_restart(serve: Serve) -> None:
    """
    A visitor who reports over HTTP is remembered through a stop, and suspect only until the next report.
    """
    server = serve(*FLAGS)
    body = {"visitor": visitor(0), "mood": "release"}
    async with httpx.AsyncClient() as client:
        await client.post(f"{server.url}/v1/rooms/lobby/heartbeat", json=body)
        await asyncio.to_thread(server.stop)
        server = await asyncio.to_thread(serve, *FLAGS, port=server.port)
        before = await get(server.url)
        after = (
            await client.post(f"{server.url}/v1/rooms/lobby/heartbeat", json={"visitor": visitor(0)})
        ).json()
    assert (before["method"], before["low"], before["high"], before["moods"]["release"]) == ("stale", 0, 1, 1)
    assert (after["method"], after["low"], after["high"], after["moods"]["release"]) == ("counted", 1, 1, 1)


async def test_legacy_clients_survive_a_crash(serve: Serve) -> None:
    """
    In a room of nothing but the planning document's clients there is no lease; yet after a crash it is not
    empty, and who reports again is known to be no newcomer: three repeats within the least window speak for
    100, three newcomers for one.
    """
    server = serve(*FLAGS)

    async def heartbeats() -> Presence:
        async with httpx.AsyncClient() as client:
            for index in range(3):
                body = {"sessionId": f"session-{index}", "mood": "release"}
                await client.post(f"{server.url}/api/heartbeat", json=body)
        return await get(server.url)

    async def are_stored() -> bool:
        snapshot = await stored(server.data)
        return snapshot is not None and len(snapshot.legacy.ages_ms) == 3

    before = await heartbeats()
    await until(are_stored)
    server.kill()
    server = await asyncio.to_thread(serve, *FLAGS, port=server.port)
    restored = await get(server.url)
    after = await heartbeats()
    assert [(seen["count"], seen["method"]) for seen in (before, restored, after)] == [
        (1, "sampled"),
        (1, "sampled"),
        (100, "sampled"),
    ]


async def test_restart_may_change_the_settings(serve: Serve) -> None:
    """
    A restart with other moods and another breath keeps the people; a mood that is gone becomes unspoken.
    """
    server = serve(*FLAGS, "--moods", "calm,curious")
    async with httpx.AsyncClient() as client:
        for index, mood in enumerate(("calm", "curious")):
            body = {"visitor": visitor(index), "mood": mood}
            await client.post(f"{server.url}/v1/rooms/lobby/heartbeat", json=body)
        await asyncio.to_thread(server.stop)
        server = await asyncio.to_thread(serve, *FLAGS, "--moods", "curious,bold", "--breath", "box")
        config = (await client.get(f"{server.url}/v1/rooms/lobby/config")).json()
    presence = await get(server.url)
    assert (presence["count"], presence["moods"], presence["unspoken"]) == (2, {"curious": 1, "bold": 0}, 1)
    assert config["breath"]["pattern"] == "box"
