"""A room over several objects, without a runtime: what connections are
sent, through hibernation and failure.
"""

import asyncio
import itertools
import json
import logging
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breathing_room.core.codec import pack, unpack
from breathing_room.core.events import PanelReported
from breathing_room.core.replication.routing import rank_shards
from breathing_room.core.snapshot import decode_snapshot
from breathing_room.core.wire import NORMAL_CLOSURE
from breathing_room.hosts.worker.hibernation import SHARDS
from breathing_room.lab.cost.strategies.sources import PUSH_ROWS
from breathing_room.stores import MemoryStore
from hosts.worker.objects import BROKEN, Wire
from room_adapter import Objects, durable_object

MOODS = ("gratitude", "presence", "release", "connection")
PUSH_MS, LEASE_MS, GRACE_MS = 1_000, 60_000, 15_000
TIMES = {"push_ms": PUSH_MS, "lease_ms": LEASE_MS, "grace_ms": GRACE_MS}


async def crowd(objects: Objects, people: int, mood: str = "release") -> list[Wire]:
    return [await objects.join(f"visitor-{index}", mood) for index in range(people)]


def counted(people: int, **moods: int) -> dict[str, Any]:
    return {"count": people, "low": people, "high": people, "method": "counted", "moods": moods}


def what_all_were_sent(objects: Objects) -> list[dict[str, Any]]:
    """List the different presences that connections were sent last, without the time."""
    different: dict[str, dict[str, Any]] = {}
    for wire in objects.wires:
        presence = {key: wire.presence[key] for key in ("count", "low", "high", "method")}
        presence["moods"] = {mood: people for mood, people in wire.presence["moods"].items() if people}
        different[json.dumps(presence)] = presence
    return list(different.values())


async def agree(objects: Objects, expected: dict[str, Any]) -> None:
    """Wait until no alarm is set: then a read and every connection have the expected presence."""
    await objects.settle()
    assert await objects.presence() == expected
    assert what_all_were_sent(objects) == [expected]


async def test_every_connection_is_sent_the_whole_count() -> None:
    """
    Two hundred visitors over four objects, none of them over its limit: each connection is sent the count of
    all, also after moods, leaves and broken connections.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    assert [len(objects[shard].wires) for shard in range(4)] == [50, 50, 50, 50]
    await agree(objects, counted(200, release=200))
    for wire in wires[::2]:
        await objects.send(wire, "mood", mood="gratitude")
    await agree(objects, counted(200, release=100, gratitude=100))
    for wire in wires[:20]:
        await objects.part(wire)
    await objects.part(wires[100], BROKEN)
    await objects.pass_ms(3 * PUSH_MS)
    assert (await objects.presence())["low"] == 179
    await objects.pass_ms(GRACE_MS)
    await agree(objects, counted(179, release=90, gratitude=89))


async def test_hibernation_of_all_objects_is_invisible() -> None:
    """
    Objects that hibernated are woken by a mood, a leave and a read; connections are sent the change and
    nothing else, and no alarm is set while nothing happens.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await agree(objects, counted(200, release=200))
    received = [len(wire.received) for wire in wires]
    objects.sleep()
    assert await objects.presence() == counted(200, release=200)
    await objects.pass_ms(3_600_000)
    assert [len(wire.received) for wire in wires] == received
    objects.sleep()
    far = next(wire for wire in wires if wire.shard == 3)
    await objects.send(far, "mood", mood="presence")
    await agree(objects, counted(200, release=199, presence=1))
    objects.sleep()
    await objects.part(far)
    await agree(objects, counted(199, release=199))


@pytest.mark.parametrize("push_ms", [1_000, 5_000, 30_000])
async def test_requests_between_objects_are_few(push_ms: int) -> None:
    """
    While every object changes all the time, each shard sends one report in ``push_ms`` or 5 s, and the
    coordinator sends no requests; an object has one alarm and writes two rows for that, and two for a push,
    as the price model has it. While nothing changes, there are neither requests nor alarms nor rows.
    """
    way = durable_object(objects=4, push_s=Decimal(push_ms) / 1_000, snapshot_s=Decimal(600))
    interval_ms = min(push_ms, int(1_000 * way.sums_s))
    objects = Objects(sockets_per_object=50, **TIMES | {"push_ms": push_ms, "snapshot_ms": 600_000})
    wires = await crowd(objects, 200)
    await objects.pass_ms(2 * push_ms)

    dice = Random(1)

    async def live(times: int) -> None:
        for heartbeat in range(times):
            for wire in wires[heartbeat % 50 :: 50]:
                await objects.send(wire, "mood", mood=dice.choice(MOODS))
            await objects.pass_ms(interval_ms // 10)

    await live(50)
    each = objects.objects.values()
    calls, alarms, written = objects.calls, sum(one.alarms for one in each), sum(one.written for one in each)
    await live(300)
    assert objects.calls - calls == pytest.approx(3 * 30, abs=3)
    assert sum(one.alarms for one in each) - alarms == pytest.approx(4 * 30, abs=4)
    pushes = 30 * interval_ms / push_ms
    assert sum(one.written for one in each) - written <= 4 * (2 * 30 + PUSH_ROWS * pushes) * 1.05
    await objects.settle()
    before = objects.calls
    await objects.pass_ms(3_600_000)
    assert objects.calls == before


async def test_a_change_is_sent_everywhere_within_three_pushes() -> None:
    """
    A mood that one object received reaches the connections of all others, which were idle, within three
    pushes.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await objects.settle()
    await objects.send(wires[-1], "mood", mood="presence")
    await objects.pass_ms(3 * PUSH_MS)
    assert {wire.presence["moods"]["presence"] for wire in wires} == {1}


async def test_a_visitor_with_tabs_on_two_objects_is_one_person() -> None:
    """
    The newer tab counts, and the older one is on standby; when the newer one ends, the older one counts
    again; hibernation in between changes nothing.
    """
    objects = Objects(sockets_per_object=5, **TIMES)
    await crowd(objects, 12)
    older = await objects.join("ann", "gratitude", shard=1)
    await agree(objects, counted(13, release=12, gratitude=1))
    newer = await objects.join("ann", "presence", shard=2)
    presence = await objects.presence()
    assert presence["low"] <= 13 <= presence["high"]
    await agree(objects, counted(13, release=12, presence=1))
    objects.sleep()
    await objects.send(older, "mood", mood="connection")
    await agree(objects, counted(13, release=12, connection=1))
    objects.sleep()
    await objects.part(older)
    await agree(objects, counted(13, release=12, presence=1))
    third = await objects.join("ann", "gratitude", shard=0)
    await objects.settle()
    objects.sleep()
    await objects.part(newer)
    await agree(objects, counted(13, release=12, gratitude=1))
    await objects.part(third)
    await agree(objects, counted(12, release=12))


@pytest.mark.parametrize("shards", list(itertools.product(range(3), repeat=3)))
async def test_tabs_that_come_and_go_at_once_leave_no_suspect(shards: tuple[int, int, int]) -> None:
    """
    Three tabs of one visitor on any objects; one leaves and one breaks, at once or a little later: the
    visitor is counted once, and after five pushes that is certain.
    """
    for gaps_ms in itertools.product((0, PUSH_MS // 4, 2 * PUSH_MS), repeat=2):
        objects = Objects(sockets_per_object=2, **TIMES)
        tabs = []
        for shard in shards:
            tabs.append(await objects.join("ann", "release", shard=shard))
            await objects.pass_ms(gaps_ms[0])
        await objects.part(tabs[0])
        await objects.pass_ms(gaps_ms[1])
        await objects.part(tabs[1], BROKEN)
        await objects.pass_ms(5 * PUSH_MS)
        assert await objects.presence() == counted(1, release=1), gaps_ms


async def test_a_visitor_who_reconnects_to_another_object_is_not_counted_twice() -> None:
    """
    A connection that broke leaves a suspect lease for a while; its visitor joins another object meanwhile.
    """
    objects = Objects(sockets_per_object=5, **TIMES)
    await crowd(objects, 8)
    wire = await objects.join("ann", "gratitude", shard=1)
    await objects.settle()
    await objects.part(wire, BROKEN)
    await objects.pass_ms(2 * PUSH_MS)
    assert await objects.presence() == {
        "count": 9, "low": 8, "high": 9, "method": "counted", "moods": {"release": 8, "gratitude": 1},
    }  # fmt: skip
    await objects.join("ann", "gratitude", shard=0)
    await objects.pass_ms(6 * PUSH_MS)
    assert await objects.presence() == counted(9, release=8, gratitude=1)


async def test_an_object_that_cannot_be_reached_is_suspect() -> None:
    """
    Requests to and from one object fail: its visitors are suspect to the others, and theirs to it, but no
    connection is dropped. The count is certain again when requests succeed; if they never do, the object's
    visitors expire after a lease.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await objects.settle()
    objects.failing.add(2)
    for wire in wires[::10]:
        await objects.send(wire, "mood", mood="gratitude")
    await objects.pass_ms(20 * PUSH_MS)
    presence = await objects.presence()
    assert (presence["count"], presence["low"], presence["method"]) == (200, 150, "stale")
    assert presence["high"] >= 200
    away = next(wire.presence for wire in wires if wire.shard == 2)
    assert (away["count"], away["low"], away["method"]) == (200, 50, "stale")
    objects.failing.clear()
    await agree(objects, counted(200, release=180, gratitude=20))

    objects.failing.add(2)
    await objects.send(wires[0], "mood", mood="presence")
    await objects.pass_ms(LEASE_MS + 20 * PUSH_MS)
    assert (await objects.presence())["count"] == 150
    assert len(objects.wires) == 200
    objects.failing.clear()
    for wire in wires:
        if wire.shard == 2:
            await objects.send(wire, "mood", mood="release")
    await objects.settle()
    assert (await objects.presence())["count"] == 200
    assert len(what_all_were_sent(objects)) == 1


async def test_a_crash_of_one_object_is_no_exodus() -> None:
    """
    One object loses its connections: its visitors are counted as last known, suspect, until they reconnect to
    any object.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await objects.pass_ms(11_000)  # for the snapshot
    lost = [index for index, wire in enumerate(wires) if wire.shard == 1]
    objects[1].crash()
    await objects.join(f"visitor-{lost[0]}")
    await objects.pass_ms(4 * PUSH_MS)
    presence = await objects.presence()
    assert (presence["count"], presence["low"], presence["high"], presence["method"]) == (
        200,
        151,
        200,
        "stale",
    )
    for index in lost[1:]:
        await objects.join(f"visitor-{index}")
    await agree(objects, counted(200, release=200))


async def test_a_deploy_is_no_exodus() -> None:
    """
    All objects lose their connections at once: the first read has all visitors as suspect, and each that
    reconnects is certain.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    await crowd(objects, 200)
    await objects.pass_ms(11_000)
    for one in objects.objects.values():
        one.crash()
    presence = await objects.presence()
    assert (presence["count"], presence["low"], presence["method"]) == (200, 0, "stale")
    await objects.pass_ms(3 * PUSH_MS)
    presence = await objects.presence()
    assert (presence["count"], presence["low"], presence["high"], presence["method"]) == (
        200,
        0,
        200,
        "stale",
    )
    await crowd(objects, 200)
    await agree(objects, counted(200, release=200))


async def test_shards_claim_all_their_visitors_again_if_the_coordinator_lost_its_rows() -> None:
    """
    The rows and the connections of the first object are lost: the shards claim all of their visitors again.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await objects.settle()
    secret = {name: row for name, row in objects[0].rows.items() if name.startswith("secret/")}
    objects[0].crash()
    objects[0].rows = secret
    for shard in (1, 2, 3):
        await objects.send(next(wire for wire in wires if wire.shard == shard), "mood", mood="presence")
    await agree(objects, counted(150, release=147, presence=3))


async def test_the_panel_is_the_first_objects_and_a_connection_anywhere_ends_a_seat() -> None:
    """
    Reports go to the first object; a visitor who has a seat and joins over a connection to another object is
    counted once.
    """
    objects = Objects(sockets_per_object=5, **TIMES)
    await crowd(objects, 12)
    first = await objects.awake(0)
    for name in ("ann", "bob"):
        key = first.visitor_key(name.ljust(16, "-"))
        first.feed(PanelReported(key, 0.5, "presence"))
    await objects.pass_ms(6 * PUSH_MS)
    assert await objects.presence() == counted(14, release=12, presence=2)
    await objects.join("ann", "gratitude", shard=2)
    expected = counted(14, release=12, presence=1, gratitude=1)
    for _ in range(2):
        await objects.pass_ms(8 * PUSH_MS)
        assert await objects.presence() == expected
        assert what_all_were_sent(objects) == [expected]
        first.feed(PanelReported(first.visitor_key("ann".ljust(16, "-")), 0.5, "presence"))


async def test_a_sampled_crowd_is_broadcast_by_all_objects_alike() -> None:
    """
    Where the panel is full, every object broadcasts what the first one does: the estimate, its interval, and
    the rate.
    """
    objects = Objects(sockets_per_object=5, panel_size=5, **TIMES)
    await crowd(objects, 12)
    first = await objects.awake(0)
    for index in range(40):
        first.feed(
            PanelReported(first.visitor_key(f"polling-{index}".ljust(16, "-")), index / 40, "presence")
        )
    await objects.pass_ms(8 * PUSH_MS)
    presence = first.presence()
    assert (presence.method, presence.sample_rate) == ("sampled", first.room.panel.rate)
    assert presence.sample_rate < 1
    assert {wire.presence["sample_rate"] for wire in objects.wires} == {presence.sample_rate}
    assert {wire.presence["method"] for wire in objects.wires} == {"sampled"}
    assert all(presence.low <= wire.presence["count"] <= (presence.high or 0) for wire in objects.wires)


@pytest.mark.parametrize("damage", ["cut", "without peers", "infinite"])
async def test_a_damaged_row_of_the_other_objects_is_logged_and_does_no_more(
    damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    An object whose row about the others cannot be read resumes all the same, logs that, and counts its own
    connections.
    """
    objects = Objects(sockets_per_object=5, **TIMES)
    await crowd(objects, 12)
    await objects.settle()
    objects.sleep()
    rows = objects[0].rows
    header, values = unpack(rows[SHARDS])
    rows[SHARDS] = {
        "cut": rows[SHARDS][:-1],
        "without peers": pack(header),
        "infinite": pack(header | {"announced_at_ms": float("inf")}, *values),
    }[damage]
    with caplog.at_level(logging.ERROR):
        first = await objects.awake(0)
    assert "the row of the other objects is of no use" in caplog.text
    assert first.room.count == len(objects[0].wires) > 0


async def test_a_room_shrinks_to_one_object_and_removes_the_others() -> None:
    """
    When a quarter of the objects would do, fewer are used, and when the last of the others is empty its row
    is deleted; a room that never was larger has no such row, and sends no requests.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 50)
    await agree(objects, counted(50, release=50))
    assert objects.objects.keys() == {0}
    assert SHARDS not in objects[0].rows
    assert objects.calls == 0
    wires += [await objects.join(f"late-{index}", "release") for index in range(150)]
    await objects.settle()
    assert SHARDS in objects[0].rows
    for wire in wires:
        if wire.shard:
            await objects.part(wire)
    await agree(objects, counted(50, release=50))
    for wire in wires[:45]:
        await objects.part(wire)
    await agree(objects, counted(5, release=5))
    assert SHARDS not in objects[0].rows
    calls = objects.calls
    await objects.send(wires[45], "mood", mood="presence")
    await agree(objects, counted(5, release=4, presence=1))
    assert objects.calls == calls


async def test_observers_alone_keep_an_object_in_the_room() -> None:
    """An object with observers only is sent all updates, and is removed when they are gone."""
    objects = Objects(sockets_per_object=5, **TIMES)
    wires = await crowd(objects, 5)
    onlooker = await objects.open("onlooker")
    await objects.send(onlooker, "observe")
    assert onlooker.shard == 1
    await objects.settle()
    await objects.send(wires[0], "mood", mood="presence")
    await agree(objects, counted(5, release=4, presence=1))
    assert onlooker in objects.wires


async def test_a_backup_does_not_pass_for_the_whole() -> None:
    """
    The backup has the visitors of the first object only; so a server that restores it has an unknown count.
    """
    store = MemoryStore()
    objects = Objects(sockets_per_object=5, **TIMES)
    objects.keep_in(store)
    await crowd(objects, 12)
    await objects.pass_ms(11_000)
    stored = decode_snapshot(await store.get("snapshot/lobby") or b"")
    assert stored.unknown_until_ms is not None
    assert json.loads(await store.get("note/lobby") or b"")["people"] == 12


def test_visitors_keep_their_order_of_objects() -> None:
    """
    When the number of objects doubles, about half of the visitors are routed to the same object, the others
    to a new one.
    """
    seeds = [str(index).encode() for index in range(2_000)]
    before = [rank_shards(seed, 4)[0] for seed in seeds]
    after = [rank_shards(seed, 8)[0] for seed in seeds]
    stayed = sum(one == other for one, other in zip(before, after, strict=True))
    assert stayed == pytest.approx(1_000, abs=100)
    assert all(one == other or other >= 4 for one, other in zip(before, after, strict=True))
    assert max(before.count(shard) for shard in range(4)) < 600


# --- Random events ----------------------------------------------------------------------------------------

NAMES = ("ann", "bob", "cat", "dan", "eve", "fay")

events = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from(NAMES), st.integers(0, 3)),
        st.tuples(st.just("mood"), st.integers(0, 20), st.sampled_from(MOODS)),
        st.tuples(st.just("leave"), st.integers(0, 20), st.sampled_from((NORMAL_CLOSURE, BROKEN))),
        st.tuples(st.just("pass"), st.integers(0, 5_000), st.none()),
        st.tuples(st.just("sleep"), st.integers(0, 3), st.none()),
        st.tuples(st.just("fail"), st.sets(st.integers(0, 3), max_size=2), st.none()),
    ),
    max_size=40,
)


@given(events)
@settings(max_examples=settings().max_examples // 2)
def test_all_objects_converge_after_any_events(happened: list[tuple[str, Any, Any]]) -> None:
    """
    Visitors join, change their mood and leave on any object, with tabs on several; objects hibernate after
    any event that left them nothing to send, and cannot be reached for a while: once no alarm is set, every
    connection has been sent the true count.
    """
    asyncio.run(_happen(happened))


async def _happen(happened: list[tuple[str, Any, Any]]) -> None:
    objects = Objects(sockets_per_object=3, **TIMES)
    await crowd(objects, 12)
    await objects.settle()
    visitor_of: dict[int, str] = {}
    for what, one, other in happened:
        wires = objects.wires
        match what:
            case "join":
                wire = await objects.join(one, "release", shard=other)
                visitor_of[id(wire)] = one
            case "mood" if wires:
                await objects.send(wires[one % len(wires)], "mood", mood=other)
            case "leave" if wires:
                await objects.part(wires[one % len(wires)], other)
            case "pass":
                await objects.pass_ms(one)
            case "sleep":
                if objects[one].alarm_at_ms is None:
                    objects[one].sleep()
            case "fail":
                objects.failing = one
            case _:
                pass
    objects.failing = set()
    await objects.pass_ms(LEASE_MS + GRACE_MS)
    await objects.settle()
    there = {visitor_of.get(id(wire), id(wire)) for wire in objects.wires}
    presence = await objects.presence()
    assert (presence["count"], presence["low"], presence["high"], presence["method"]) == (len(there),) * 3 + (
        "counted",
    )
    assert len(what_all_were_sent(objects)) <= 1
    for wire in objects.wires:
        assert (wire.presence["count"], wire.presence["moods"]) == (
            len(there),
            {**dict.fromkeys(MOODS, 0), **presence["moods"]},
        )


@pytest.mark.parametrize(
    "happened",
    [
        [
            ("leave", 0, 1000),
            ("leave", 14, 1000),
            ("join", "ann", 0),
            ("leave", 4, 1000),
            ("join", "ann", 2),
            ("leave", 3, 1000),
        ],
        [
            ("leave", 0, 1000),
            ("leave", 13, 1000),
            ("join", "ann", 0),
            ("join", "ann", 2),
            ("leave", 3, 1000),
            ("leave", 3, 1000),
        ],
    ],
)
async def test_an_empty_shard_stops_reporting(happened: list[tuple[str, Any, Any]]) -> None:
    """
    A shard whose last connection ended reports that and no more, also if the answer has deltas that it had
    not read.

    It reported again that it had read them. By then the coordinator had removed it, took the report for that
    of a new shard, answered with the delta of the removal and removed it again: three objects woke in each
    ``push_ms`` for ever.
    """
    await _happen(happened)
