"""The coordinator of a room and its shards, with reports and updates that are repeated, late or lost."""

from breathing_room.core.replication.coordinator import LOG_KEYS_MAX, Coordinator
from breathing_room.core.replication.delta import BEGINNING, RoomDelta
from breathing_room.core.replication.membership import UNKNOWN
from core.playing import ANN, BOB, CAT, visitor
from core.replication.calls import EMPTY, NOW_MS, ROOM, a_coordinator, a_shard, exchange, moods_of, people


def test_a_shard_gets_the_sum_of_all_others_and_unread_claims() -> None:
    """A shard receives the sum of the other replicas, and each claim once, its own included."""
    coordinator, one, two = a_coordinator(), a_shard(1), a_shard(2)
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    exchange(coordinator, two, RoomDelta(summary=people(4), connected=(ANN,)))
    update, entries = exchange(coordinator, one, RoomDelta(summary=people(3), connected=(BOB,)))
    assert update.peers.summaries[0].members == (9, 0, 0, 0, 0)
    assert [entry.rooms[ROOM].connected for entry in entries] == [(ANN,), (BOB,)]
    assert update.peers.unread == 2, "the other shard has read none of them"
    assert not update.resync
    _, entries = exchange(coordinator, one, RoomDelta(summary=people(3)))
    assert entries == []
    exchange(coordinator, two, RoomDelta(summary=people(4)))
    exchange(coordinator, two, RoomDelta(summary=people(4)))
    update, _ = exchange(coordinator, one, RoomDelta(summary=people(3)))
    assert update.peers.unread == 0


def test_an_update_that_was_lost_is_sent_again() -> None:
    """An update counts as read once the shard has reported so, and not before."""
    coordinator, one, two = a_coordinator(), a_shard(1), a_shard(2)
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    exchange(coordinator, two, RoomDelta(summary=people(4), connected=(ANN,)))
    coordinator.receive(1, one.report(RoomDelta(summary=people(3)), 1, NOW_MS), NOW_MS)
    coordinator.update(1, people(5), NOW_MS)  # which never arrived
    _, entries = exchange(coordinator, one, RoomDelta(summary=people(3)))
    assert [entry.rooms[ROOM].connected for entry in entries] == [(ANN,)]


def test_updates_and_reports_that_were_overtaken_are_ignored() -> None:
    """An update or a report older than the latest one is ignored."""
    coordinator, one, two = a_coordinator(), a_shard(1), a_shard(2)
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    old_report = one.report(RoomDelta(summary=people(1)), 1, NOW_MS)
    old_update = coordinator.update(1, people(5), NOW_MS)
    exchange(coordinator, two, RoomDelta(summary=people(4), connected=(ANN,)))
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    known = one.peer_state(ROOM, NOW_MS)
    assert list(one.receive(old_update)) == []
    assert one.peer_state(ROOM, NOW_MS) == known
    coordinator.receive(1, old_report, NOW_MS)
    assert coordinator.states[1].peer.sums[ROOM].members == (3, 0, 0, 0, 0)


def test_a_shard_that_was_removed_resyncs() -> None:
    """A shard resyncs if the coordinator removed it, if it missed more than the log holds, or if the
    coordinator is new.
    """
    coordinator, one, two = a_coordinator(), a_shard(1), a_shard(2)
    assert not exchange(coordinator, one, RoomDelta(summary=people(3)))[0].resync, (
        "it is new, and has no visitors"
    )
    exchange(coordinator, two, RoomDelta(summary=people(4)))
    for _ in range(2):
        coordinator.failed(1, NOW_MS)
    assert [message.sender for message in coordinator.expire(NOW_MS + 60_001)] == [one.own]
    assert exchange(coordinator, one, RoomDelta(summary=people(3)))[0].resync
    assert not exchange(coordinator, one, RoomDelta(summary=people(3)))[0].resync

    many = tuple(visitor(f"v{index}") for index in range(LOG_KEYS_MAX // 2 + 1))
    for _ in range(2):
        exchange(coordinator, two, RoomDelta(summary=people(4), connected=many))
    assert exchange(coordinator, one, RoomDelta(summary=people(3)))[0].resync
    other = Coordinator(
        ROOM, ("0", NOW_MS + 1), EMPTY, suspect_after_ms=6_000, lease_ms=60_000, now_ms=NOW_MS + 1
    )
    assert exchange(other, one, RoomDelta(summary=people(3)))[0].resync
    assert one.read == other.end > BEGINNING


def test_both_ends_sleep_and_go_on() -> None:
    """A coordinator and a shard that were encoded and resumed exchange what they would have exchanged."""
    coordinator, one, two = a_coordinator(), a_shard(1), a_shard(2)
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    exchange(coordinator, two, RoomDelta(summary=people(4), connected=(ANN, BOB), disconnected=(CAT,)))
    coordinator.failed(2, NOW_MS + 1)
    resumed, shard = a_coordinator(), a_shard(1)
    resumed.resume(coordinator.encode(moods_of), moods_of)
    shard.resume(one.encode(moods_of), moods_of)
    assert resumed.states == coordinator.states
    assert resumed.peer_state(ROOM, NOW_MS) == coordinator.peer_state(ROOM, NOW_MS)
    assert shard.peer_state(ROOM, NOW_MS) == one.peer_state(ROOM, NOW_MS)
    assert exchange(resumed, shard, RoomDelta(summary=people(3))) == exchange(
        coordinator, one, RoomDelta(summary=people(3))
    )


def test_claims_are_open_only_where_a_shard_has_visitors() -> None:
    """A claim is not open at a shard without visitors, however little it has read."""
    coordinator, one, two = a_coordinator(), a_shard(1), a_shard(2)
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    exchange(coordinator, two, RoomDelta(summary=people(0)))
    exchange(coordinator, one, RoomDelta(summary=people(4), connected=(ANN,)))
    assert coordinator.peer_state(ROOM, NOW_MS).unread == 1, "the shard that claims it has not read it itself"
    exchange(coordinator, one, RoomDelta(summary=people(4)))
    assert coordinator.states[2].peer.read < coordinator.end
    assert coordinator.peer_state(ROOM, NOW_MS).unread == 0

    exchange(coordinator, two, RoomDelta(summary=people(1), connected=(BOB,)))
    exchange(coordinator, one, RoomDelta(summary=people(4), connected=(CAT,)))
    assert coordinator.peer_state(ROOM, NOW_MS).unread == 3, "its report was sent before it read any of them"


def test_claims_that_were_dropped_with_the_log_are_as_many_as_there_may_be() -> None:
    """After hibernation any number of claims may be open at a shard that has not read what the log dropped:
    counting those of the log only made the lower end too high.
    """
    coordinator, one, two = a_coordinator(), a_shard(1), a_shard(2)
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    many = tuple(visitor(f"v{index}") for index in range(LOG_KEYS_MAX // 2 + 1))
    for _ in range(2):
        exchange(coordinator, two, RoomDelta(summary=people(4), connected=many))
    assert coordinator.peer_state(ROOM, NOW_MS).unread == 2 * len(many)

    resumed = a_coordinator()
    resumed.resume(coordinator.encode(moods_of), moods_of)
    assert resumed.peer_state(ROOM, NOW_MS).unread == UNKNOWN
    exchange(resumed, one, RoomDelta(summary=people(3)))
    exchange(resumed, one, RoomDelta(summary=people(3)))
    exchange(resumed, two, RoomDelta(summary=people(4)))
    assert resumed.peer_state(ROOM, NOW_MS).unread == 0, "all have read the whole log"


def test_a_shard_is_suspect_once_calls_have_failed_for_long() -> None:
    """A shard is suspect ``suspect_after_ms`` after the first call that failed, and is removed after a lease;
    a call that succeeds ends that, and a shard without calls is never suspect.
    """
    coordinator, one = a_coordinator(), a_shard(1)
    exchange(coordinator, one, RoomDelta(summary=people(3)))
    assert coordinator.peer_state(ROOM, NOW_MS + 10**9).suspect == (0, 0, 0, 0, 0)

    coordinator.failed(1, NOW_MS)
    assert coordinator.peer_state(ROOM, NOW_MS).until_ms == NOW_MS + 6_000
    assert coordinator.peer_state(ROOM, NOW_MS + 6_000).suspect == (0, 0, 0, 0, 0)
    assert coordinator.peer_state(ROOM, NOW_MS + 6_001).suspect == (3, 0, 0, 0, 0)
    coordinator.reached(1, NOW_MS + 6_001)
    assert coordinator.peer_state(ROOM, NOW_MS + 6_001).suspect == (0, 0, 0, 0, 0)

    coordinator.failed(1, NOW_MS + 7_000)
    assert coordinator.expire(NOW_MS + 67_000) == []
    assert [delta.sender for delta in coordinator.expire(NOW_MS + 67_001)] == [one.own]
    assert not coordinator.states


def test_visitors_are_spread_over_more_objects_once_all_are_full() -> None:
    """The number of shards doubles when all are full, up to a limit, and halves when a quarter of them is
    enough.
    """
    coordinator = a_coordinator()
    assert [coordinator.add_shards(full, 6) for full in (0, 1, 1, 2, 4)] == [False, True, False, True, True]
    assert coordinator.shards == 6
    assert not coordinator.remove_shards(15, 10)
    assert coordinator.remove_shards(14, 10)
    assert coordinator.shards == 3
    assert coordinator.remove_shards(0, 10)
    assert coordinator.shards == 1
    assert not coordinator.remove_shards(0, 10)
