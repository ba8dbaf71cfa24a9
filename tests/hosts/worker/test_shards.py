"""A room over several objects, without a platform: who is told what, who sleeps, and what a failure leaves."""

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


def what_all_hear(objects: Objects) -> list[dict[str, Any]]:
    """List the different things that sockets heard last, without the time."""
    said: dict[str, dict[str, Any]] = {}
    for wire in objects.wires:
        told = {key: wire.said[key] for key in ("count", "low", "high", "method")}
        told["moods"] = {mood: people for mood, people in wire.said["moods"].items() if people}
        said[json.dumps(told)] = told
    return list(said.values())


async def agree(objects: Objects, expected: dict[str, Any]) -> None:
    """Let everything settle: then reads and all sockets say the same, and that is the truth."""
    await objects.settle()
    assert await objects.presence() == expected
    assert what_all_hear(objects) == [expected]


async def test_every_socket_hears_the_whole_room() -> None:
    """
    Two hundred people over four objects, none of them over its limit: each hears of all, also after moods, goodbyes and broken sockets.
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


async def test_sleep_is_invisible_to_all_objects() -> None:
    """
    Objects that lost their memory are woken by a mood, a goodbye and a question; nobody hears anything but the change, and
    nothing is set to wake them while nothing happens.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await agree(objects, counted(200, release=200))
    heard = [len(wire.heard) for wire in wires]
    objects.sleep()
    assert await objects.presence() == counted(200, release=200)
    await objects.pass_ms(3_600_000)
    assert [len(wire.heard) for wire in wires] == heard
    objects.sleep()
    far = next(wire for wire in wires if wire.shard == 3)
    await objects.send(far, "mood", mood="presence")
    await agree(objects, counted(200, release=199, presence=1))
    objects.sleep()
    await objects.part(far)
    await agree(objects, counted(199, release=199))


@pytest.mark.parametrize("push_ms", [1_000, 5_000, 30_000])
async def test_words_are_few(push_ms: int) -> None:
    """
    While something happens everywhere all the time, each child calls the parent once in ``push_ms`` or 5 s and nobody calls a child;
    an object has one alarm and writes two rows for that, and two for a push, as the price model has it. When nothing happens, nothing does.
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


async def test_a_change_is_heard_everywhere_within_three_pushes() -> None:
    """
    A mood told to one object while all others are silent, and while all of them are busy.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await objects.settle()
    await objects.send(wires[-1], "mood", mood="presence")
    await objects.pass_ms(3 * PUSH_MS)
    assert {wire.said["moods"]["presence"] for wire in wires} == {1}


async def test_a_visitor_with_tabs_on_two_objects_is_one_person() -> None:
    """
    The newer tab counts, the older one goes on hearing; when the newer one ends, the older one counts again; and a sleep in between
    changes nothing of it.
    """
    objects = Objects(sockets_per_object=5, **TIMES)
    await crowd(objects, 12)
    older = await objects.join("ann", "gratitude", shard=1)
    await agree(objects, counted(13, release=12, gratitude=1))
    newer = await objects.join("ann", "presence", shard=2)
    said = await objects.presence()
    assert said["low"] <= 13 <= said["high"]
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
async def test_tabs_that_come_and_go_at_once_leave_no_doubt(shards: tuple[int, int, int]) -> None:
    """
    Three tabs of one visitor on any objects; one says goodbye and one breaks, at once or a little later: one person is there, and after
    five pushes that is certain.
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


async def test_who_comes_back_to_another_object_is_not_counted_twice() -> None:
    """
    A socket that broke leaves a silent person for a while; the person comes in elsewhere meanwhile.
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


async def test_an_object_that_cannot_be_reached_is_in_doubt() -> None:
    """
    Calls to and from one object fail: its people are in doubt to the others, and theirs to it, but nobody is dropped, and all is
    well again when calls succeed; and if they never do, they are gone after a lease.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await objects.settle()
    objects.failing.add(2)
    for wire in wires[::10]:
        await objects.send(wire, "mood", mood="gratitude")
    await objects.pass_ms(20 * PUSH_MS)
    said = await objects.presence()
    assert (said["count"], said["low"], said["method"]) == (200, 150, "stale")
    assert said["high"] >= 200
    away = next(wire.said for wire in wires if wire.shard == 2)
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
    assert len(what_all_hear(objects)) == 1


async def test_a_crash_of_one_object_is_no_exodus() -> None:
    """
    One object loses its sockets: its people are there as last known, in doubt, until they are back, here or on another object.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    wires = await crowd(objects, 200)
    await objects.pass_ms(11_000)  # for the snapshot
    lost = [index for index, wire in enumerate(wires) if wire.shard == 1]
    objects[1].crash()
    await objects.join(f"visitor-{lost[0]}")
    await objects.pass_ms(4 * PUSH_MS)
    said = await objects.presence()
    assert (said["count"], said["low"], said["high"], said["method"]) == (200, 151, 200, "stale")
    for index in lost[1:]:
        await objects.join(f"visitor-{index}")
    await agree(objects, counted(200, release=200))


async def test_a_deploy_is_no_exodus() -> None:
    """
    All objects lose their sockets at once: whoever reads first sees everybody in doubt, and each that comes back is certain.
    """
    objects = Objects(sockets_per_object=50, **TIMES)
    await crowd(objects, 200)
    await objects.pass_ms(11_000)
    for one in objects.objects.values():
        one.crash()
    said = await objects.presence()
    assert (said["count"], said["low"], said["method"]) == (200, 0, "stale")
    await objects.pass_ms(3 * PUSH_MS)
    said = await objects.presence()
    assert (said["count"], said["low"], said["high"], said["method"]) == (200, 0, 200, "stale")
    await crowd(objects, 200)
    await agree(objects, counted(200, release=200))


async def test_a_parent_that_lost_its_memory_is_told_all_again() -> None:
    """
    The rows of the first object are lost, with its sockets and all: the others claim everybody anew.
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


async def test_the_panel_is_the_first_objects_and_a_socket_anywhere_ends_a_seat() -> None:
    """
    Reports go to the first object; whoever has a seat and comes in over a socket elsewhere is one person.
    """
    objects = Objects(sockets_per_object=5, **TIMES)
    await crowd(objects, 12)
    parent = await objects.awake(0)
    for name in ("ann", "bob"):
        key = parent.visitor_key(name.ljust(16, "-"))
        parent.feed(PanelReported(key, 0.5, "presence"))
    await objects.pass_ms(6 * PUSH_MS)
    assert await objects.presence() == counted(14, release=12, presence=2)
    await objects.join("ann", "gratitude", shard=2)
    expected = counted(14, release=12, presence=1, gratitude=1)
    for _ in range(2):
        await objects.pass_ms(8 * PUSH_MS)
        assert await objects.presence() == expected
        assert what_all_hear(objects) == [expected]
        parent.feed(PanelReported(parent.visitor_key("ann".ljust(16, "-")), 0.5, "presence"))


async def test_a_sampled_crowd_is_announced_by_all_objects_alike() -> None:
    """
    Where the panel is full, every object says what the first one does: the estimate, its interval, and the rate.
    """
    objects = Objects(sockets_per_object=5, panel_size=5, **TIMES)
    await crowd(objects, 12)
    parent = await objects.awake(0)
    for index in range(40):
        parent.feed(
            PanelReported(parent.visitor_key(f"polling-{index}".ljust(16, "-")), index / 40, "presence")
        )
    await objects.pass_ms(8 * PUSH_MS)
    said = parent.presence()
    assert (said.method, said.sample_rate) == ("sampled", parent.room.panel.rate)
    assert said.sample_rate < 1
    assert {wire.said["sample_rate"] for wire in objects.wires} == {said.sample_rate}
    assert {wire.said["method"] for wire in objects.wires} == {"sampled"}
    assert all(said.low <= wire.said["count"] <= (said.high or 0) for wire in objects.wires)


@pytest.mark.parametrize("damage", ["cut", "without peers", "infinite"])
async def test_a_damaged_row_about_the_other_parts_is_logged_and_does_no_more(
    damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    An object whose row about the others cannot be read wakes all the same, says so in the log, and knows its own sockets.
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
        parent = await objects.awake(0)
    assert "the row of the other objects is of no use" in caplog.text
    assert parent.room.count == len(objects[0].wires) > 0


async def test_a_room_shrinks_to_one_object_and_forgets_the_others() -> None:
    """
    When a quarter of the objects would do, fewer are used, and when the last of the others is empty nothing of it is left; a room
    that never was larger has no row for it, and makes no call.
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
    """
    An object that nobody but onlookers came to hears of everything, and is forgotten when they are gone.
    """
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
    The store gets the people of the first object only; so a server that goes on from it knows that it does not know the count.
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
    When the number of objects doubles, about half of the people go first to where they went before, the others to a new one.
    """
    seeds = [str(index).encode() for index in range(2_000)]
    before = [rank_shards(seed, 4)[0] for seed in seeds]
    after = [rank_shards(seed, 8)[0] for seed in seeds]
    stayed = sum(one == other for one, other in zip(before, after, strict=True))
    assert stayed == pytest.approx(1_000, abs=100)
    assert all(one == other or other >= 4 for one, other in zip(before, after, strict=True))
    assert max(before.count(shard) for shard in range(4)) < 600


# --- Anything may happen ------------------------------------------------------------------------------------------

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
def test_whatever_happens_all_agree_on_the_truth_in_the_end(happened: list[tuple[str, Any, Any]]) -> None:
    """
    People come, feel and go on any object, with tabs on several; objects fall asleep after any event that left them nothing to tell, and cannot
    be reached for a while: once it is calm, everybody hears of everybody who is there, once.
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
    said = await objects.presence()
    assert (said["count"], said["low"], said["high"], said["method"]) == (len(there),) * 3 + ("counted",)
    assert len(what_all_hear(objects)) <= 1
    for wire in objects.wires:
        assert (wire.said["count"], wire.said["moods"]) == (
            len(there),
            {**dict.fromkeys(MOODS, 0), **said["moods"]},
        )
