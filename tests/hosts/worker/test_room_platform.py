"""One room at the edge, awake and hibernating, without a runtime; several objects of a room are in
``test_shards.py``.
"""

import logging

import pytest

from breathing_room.core.config import DAY_MS
from breathing_room.core.errors import StoreError
from breathing_room.core.snapshot import decode_snapshot
from breathing_room.core.wire import JOIN_LATE, NORMAL_CLOSURE
from breathing_room.hosts.common.store_mode.migration import JOBS_MISSED_MAX, ROUNDS
from breathing_room.hosts.common.store_mode.records import CONTROL, Control, RoomControl, encode_control
from breathing_room.hosts.worker.hibernation import REST, SNAPSHOT
from breathing_room.stores import MemoryStore
from hosts.worker.objects import BROKEN
from room_adapter import Objects

TIMES = {"push_ms": 1_000, "lease_ms": 60_000, "grace_ms": 15_000, "snapshot_ms": 10_000}


def an_edge(**settings: int) -> Objects:
    return Objects(sockets_per_object=50, **{**TIMES, **settings})


async def test_hibernation_changes_nothing_and_costs_nothing() -> None:
    """A room that hibernated has the same presence afterwards, wrote no row for it, and resumes with its
    connections.
    """
    objects = an_edge()
    wires = [await objects.join(f"visitor-{number}", "release") for number in range(5)]
    await objects.settle()
    before, written = await objects.presence(), objects[0].written
    objects.sleep()
    assert await objects.presence() == before
    assert objects[0].written == written
    await objects.send(wires[0], "mood", mood="gratitude")
    await objects.settle()
    assert (await objects.presence())["moods"] == {"gratitude": 1, "release": 4}
    assert all(wire.presence["moods"]["gratitude"] == 1 for wire in wires)


async def test_an_observer_who_goes_costs_no_row() -> None:
    """
    Nothing follows from the end of a connection that only observed: a room that hibernated meanwhile writes
    no row and sets no alarm for it, and has a subscriber less.
    """
    objects = an_edge()
    await objects.join("visitor-1", "release")
    watching = [await objects.open(f"watcher-{number}") for number in range(3)]
    for wire in watching:
        await objects.send(wire, "observe")
    await objects.send(await objects.join("visitor-2"), "mood", mood="release")
    written = objects[0].written
    for wire, code in zip(watching, (BROKEN, NORMAL_CLOSURE, 4_999), strict=True):
        objects.sleep()
        await objects.part(wire, code)
    assert objects[0].written == written
    assert (await objects.awake(0)).room.subscriber_count == 2


async def test_connected_visitors_are_in_no_row_until_they_are_suspect() -> None:
    """The visitor of a connection is in its attachment, and the row has only visitors whose connections
    broke.
    """
    objects = an_edge()
    wires = [await objects.join(f"visitor-{number}") for number in range(4)]
    assert decode_snapshot(objects[0].rows[REST][1:]).count == 0
    await objects.part(wires[0], BROKEN)
    assert decode_snapshot(objects[0].rows[REST][1:]).count == 1
    assert (await objects.presence())["count"] == 4


async def test_after_a_deploy_the_count_is_the_last_known_until_all_are_back() -> None:
    """When all connections were dropped the room resumes from its snapshot as stale, and who reconnects is
    counted once.
    """
    objects = an_edge()
    for number in range(3):
        await objects.join(f"visitor-{number}")
    await objects.settle()
    assert SNAPSHOT in objects[0].rows
    objects[0].crash()
    presence = await objects.presence()
    assert (presence["count"], presence["low"], presence["method"]) == (3, 0, "stale")
    for number in range(3):
        await objects.join(f"visitor-{number}")
    assert await objects.presence() == {"count": 3, "low": 3, "high": 3, "method": "counted", "moods": {}}


@pytest.mark.parametrize("kept", [b"", b"\x01damaged", b"\x00"])
async def test_what_was_kept_and_cannot_be_read_is_unknown(
    kept: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A room whose row is damaged has an unknown count, not a count of 0, and that is logged."""
    objects = an_edge()
    objects[0].rows[REST] = kept
    with caplog.at_level(logging.ERROR):
        presence = await objects.presence()
    assert (presence["count"], presence["method"]) == (None, "unknown")
    assert "of no use" in caplog.text


async def test_without_subscribers_the_alarm_is_late_and_reads_are_exact() -> None:
    """Without a subscriber the alarm is set late, and a read is exact all the same."""
    objects = an_edge()
    wire = await objects.join("visitor-0")
    await objects.settle()
    await objects.part(wire, BROKEN)
    assert objects[0].alarm_at_ms is not None
    assert objects[0].alarm_at_ms >= objects.clock.at_ms + objects.worker.idle_alarm_ms
    assert (await objects.presence())["count"] == 1
    objects.clock.at_ms += TIMES["grace_ms"] + 1_000
    assert (await objects.presence())["count"] == 0


async def test_a_visitor_stays_the_same_over_the_change_of_the_epoch() -> None:
    """A visitor who joined under the last epoch's secret is the same under the new one; that of two epochs
    ago is deleted.
    """
    objects = an_edge(lease_ms=DAY_MS // 2)
    await objects.join("visitor-0")
    await objects.pass_ms(DAY_MS)
    await objects.join("visitor-0")
    assert (await objects.presence())["count"] == 1
    first = {name for name in objects[0].rows if name.startswith("secret/")}
    await objects.pass_ms(DAY_MS)
    await objects.awake(0)
    assert first - objects[0].rows.keys()


async def test_a_store_that_fails_costs_the_backup_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """When the backup cannot be written the room goes on, and counts and logs that."""

    class Full(MemoryStore):
        async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
            del key, value, ttl_ms
            raise StoreError("full", temporary=True)

    objects = an_edge()
    objects.keep_in(Full())
    with caplog.at_level(logging.WARNING):
        await objects.join("visitor-0")
        await objects.settle()
    assert (await objects.presence())["count"] == 1
    assert objects.host.counters.snapshots_failed > 0
    assert "could not be saved" in caplog.text


async def test_a_room_that_moves_out_of_kv_syncs_round_after_round_with_one_alarm_for_each() -> None:
    """
    A room that moves out of KV syncs at the same interval until ``reconcile`` has stopped, with one alarm for
    each round.

    The alarm was set again to the millisecond at which it fired, since the round was only about to begin. The
    platform takes that for done, so in about one of three moves under load the room synced no more, and no
    other alarm of it fired either.
    """
    objects = an_edge()
    store, began_at_ms = MemoryStore(clock=objects.clock.now_ms), objects.clock.at_ms
    room = RoomControl(changed_at_ms=began_at_ms, since_ms=began_at_ms)
    control = Control(as_of_ms=began_at_ms, epoch=began_at_ms // DAY_MS, rooms={"lobby": room})
    await store.put(CONTROL, encode_control(control))
    objects.keep_in(store)
    assert (await objects.awake(0)).platform.progress().syncing
    reconcile_ms = objects.worker.reconcile_ms
    await objects.pass_ms(JOBS_MISSED_MAX * reconcile_ms)
    assert (await objects.awake(0)).platform.progress().syncing
    assert objects[0].alarms == pytest.approx(JOBS_MISSED_MAX * ROUNDS, abs=JOBS_MISSED_MAX)
    await objects.pass_ms(2 * reconcile_ms // ROUNDS)
    assert not (await objects.awake(0)).platform.progress().syncing


async def test_an_alarm_that_fires_early_is_set_again_and_to_another_time() -> None:
    """
    An alarm that fires before its time, by the clock of the object, is set to a later millisecond and does
    its work then.

    That clock read a millisecond less than the platform's in three of eight, and the platform takes an alarm
    that is set, while it fires, to the time at which it fires for done.
    """
    objects = an_edge()
    wire = await objects.open("visitor-0")
    one, rings_at_ms = objects[0], objects[0].alarm_at_ms
    assert one.room is not None
    assert rings_at_ms is not None
    objects.clock.at_ms = rings_at_ms - 1
    one.alarm_at_ms, one.ringing_at_ms = None, rings_at_ms
    one.room.platform.on_timer()
    one.ringing_at_ms = None
    await objects.pass_ms(2)
    assert wire.closed == JOIN_LATE
