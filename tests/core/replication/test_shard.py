"""A shard: its reports, the updates that it gets, and its view of the other replicas."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.codec import pack, unpack
from breathing_room.core.errors import HostError
from breathing_room.core.replication.delta import RoomDelta
from breathing_room.core.replication.shard import CoordinatorUpdate, ShardReport
from core.playing import ANN
from core.replication.calls import NOW_MS, ROOM, a_coordinator, a_shard, exchange, moods_of, people


@given(st.data())
def test_damaged_bytes_are_rejected(data: st.DataObject) -> None:
    """A truncated report, update or state is rejected, and one with a changed byte is decoded or rejected."""
    coordinator, one = a_coordinator(), a_shard(1)
    update, _ = exchange(coordinator, one, RoomDelta(summary=people(3), connected=(ANN,)))
    readers = (
        (ShardReport.decode, one.report(RoomDelta(summary=people(3)), 1, NOW_MS).encode(moods_of)),
        (CoordinatorUpdate.decode, update.encode(moods_of)),
        (a_coordinator().resume, coordinator.encode(moods_of)),
        (a_shard(1).resume, one.encode(moods_of)),
    )
    read, written = data.draw(st.sampled_from(readers))
    at = data.draw(st.integers(0, len(written) - 1))
    changed = bytes([written[at] ^ data.draw(st.integers(1, 255))])
    with pytest.raises(HostError):
        read(written[:at], moods_of)
    with contextlib.suppress(HostError):
        read(written[:at] + changed + written[at + 1 :], moods_of)


def test_an_infinite_number_is_rejected() -> None:
    """An infinity in place of a whole number is rejected as damage: Python's JSON has infinities."""
    coordinator, one = a_coordinator(), a_shard(1)
    update, _ = exchange(coordinator, one, RoomDelta(summary=people(3), connected=(ANN,)))
    report = one.report(RoomDelta(summary=people(3)), 1, NOW_MS)
    for read, written, fields in (
        (ShardReport.decode, report.encode(moods_of), ("number", "sockets")),
        (
            CoordinatorUpdate.decode,
            update.encode(moods_of),
            ("version", "unread", "silent_unread", "newcomers"),
        ),
        (a_coordinator().resume, coordinator.encode(moods_of), ("shards", "version")),
        (a_shard(1).resume, one.encode(moods_of), ("number",)),
    ):
        header, values = unpack(written)
        for name in fields:
            assert name in header
            with pytest.raises(HostError):
                read(pack(header | {name: float("inf")}, *values), moods_of)


def test_a_shard_that_is_cut_off_keeps_its_last_view() -> None:
    """A shard's view holds for ``suspect_after_ms`` after the first failed call; then all others are suspect,
    with the joins that they may have had, until a call succeeds.
    """
    coordinator, one, two = a_coordinator(), a_shard(1), a_shard(2)
    busy = replace(people(4), arrivals_per_s=2.0)
    exchange(coordinator, two, RoomDelta(summary=busy))
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    known = one.peer_state(ROOM, NOW_MS)
    assert (known.summaries[0].members, known.stale) == ((9, 0, 0, 0, 0), False)

    one.failed(NOW_MS)
    one.failed(NOW_MS + 5_000)
    assert one.is_failing
    assert one.peer_state(ROOM, NOW_MS + 6_000) == replace(known, until_ms=NOW_MS + 6_000)
    lost = one.peer_state(ROOM, NOW_MS + 6_001)
    assert (lost.stale, lost.unread, lost.suspect) == (True, None, (9, 0, 0, 0, 0))
    assert 12 < lost.unseen_joins < one.peer_state(ROOM, NOW_MS + 12_000).unseen_joins

    exchange(coordinator, one, RoomDelta(summary=people(3)))
    assert not one.is_failing
    assert one.peer_state(ROOM, NOW_MS) == known


def test_a_new_shard_is_unknown() -> None:
    """Before the first update the other replicas are unknown, and the rate is 1."""
    one = a_shard(1)
    known = one.peer_state(ROOM, NOW_MS)
    assert one.is_new
    assert (known.summaries[0].unknown, known.stale, one.rate) == (True, True, 1.0)


def test_a_shard_that_lost_its_connections_is_another_peer() -> None:
    """The coordinator removes the peer that a restarted shard was before, and adds the shard as a new one."""
    coordinator, one = a_coordinator(), a_shard(1)
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    before = one.own
    one.restart(NOW_MS + 1)
    deltas, resync = coordinator.receive(
        1, one.report(RoomDelta(summary=people(0)), 0, NOW_MS + 1), NOW_MS + 1
    )
    assert one.own == (before[0], NOW_MS + 1)
    assert [(delta.sender, delta.leaving) for delta in deltas] == [(before, True)]
    assert resync
    assert coordinator.states[1].peer.id == one.own
