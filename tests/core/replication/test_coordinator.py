"""The coordinator of a room and its shards: what is heard twice, late or not at all."""

from breathing_room.core.replication.coordinator import LOG_KEYS_MAX, Coordinator
from breathing_room.core.replication.delta import BEGINNING, RoomDelta
from breathing_room.core.replication.membership import UNKNOWN
from core.playing import ANN, BOB, CAT, visitor
from core.replication.calls import NOBODY, NOW_MS, ROOM, a_hub, a_spoke, exchange, moods_of, people


def test_a_child_hears_the_sum_of_all_others_and_what_it_has_not_read() -> None:
    """
    Of two children and the parent, each hears the sum of the others, and each claim once, its own among them.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, RoomDelta(summary=people(3)))
    exchange(hub, two, RoomDelta(summary=people(4), came=(ANN,)))
    news, entries = exchange(hub, one, RoomDelta(summary=people(3), came=(BOB,)))
    assert news.peers.summaries[0].people == (9, 0, 0, 0, 0)
    assert [entry.rooms[ROOM].came for entry in entries] == [(ANN,), (BOB,)]
    assert news.peers.unread == 2, "the other child has read none of them"
    assert not news.resync
    _, entries = exchange(hub, one, RoomDelta(summary=people(3)))
    assert entries == []
    exchange(hub, two, RoomDelta(summary=people(4)))
    exchange(hub, two, RoomDelta(summary=people(4)))
    news, _ = exchange(hub, one, RoomDelta(summary=people(3)))
    assert news.peers.unread == 0


def test_an_answer_that_was_lost_is_given_again() -> None:
    """
    What the parent said counts as read once the child has said so, and not before.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, RoomDelta(summary=people(3)))
    exchange(hub, two, RoomDelta(summary=people(4), came=(ANN,)))
    hub.hear(1, one.report(RoomDelta(summary=people(3)), 1, NOW_MS), NOW_MS)
    hub.update(1, people(5), NOW_MS)  # which never arrived
    _, entries = exchange(hub, one, RoomDelta(summary=people(3)))
    assert [entry.rooms[ROOM].came for entry in entries] == [(ANN,)]


def test_words_that_were_overtaken_change_nothing() -> None:
    """
    CoordinatorUpdate that is older than what a child knows, and a report older than what the parent knows.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, RoomDelta(summary=people(3)))
    old_report = one.report(RoomDelta(summary=people(1)), 1, NOW_MS)
    old_news = hub.update(1, people(5), NOW_MS)
    exchange(hub, two, RoomDelta(summary=people(4), came=(ANN,)))
    exchange(hub, one, RoomDelta(summary=people(3)))
    known = one.peer_state(ROOM, NOW_MS)
    assert list(one.hear(old_news)) == []
    assert one.peer_state(ROOM, NOW_MS) == known
    hub.hear(1, old_report, NOW_MS)
    assert hub.states[1].peer.sums[ROOM].people == (3, 0, 0, 0, 0)


def test_who_was_forgotten_claims_everybody_anew() -> None:
    """
    A child that the parent does not know, one that missed more than the log holds, and all of them when the parent is a new one.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    assert not exchange(hub, one, RoomDelta(summary=people(3)))[0].resync, "it is new, and has nobody"
    exchange(hub, two, RoomDelta(summary=people(4)))
    for _ in range(2):
        hub.failed(1, NOW_MS)
    assert [message.node for message in hub.expire(NOW_MS + 60_001)] == [one.own]
    assert exchange(hub, one, RoomDelta(summary=people(3)))[0].resync
    assert not exchange(hub, one, RoomDelta(summary=people(3)))[0].resync

    many = tuple(visitor(f"v{index}") for index in range(LOG_KEYS_MAX // 2 + 1))
    for _ in range(2):
        exchange(hub, two, RoomDelta(summary=people(4), came=many))
    assert exchange(hub, one, RoomDelta(summary=people(3)))[0].resync
    other = Coordinator(ROOM, ("0", NOW_MS + 1), NOBODY, late_ms=6_000, lease_ms=60_000, now_ms=NOW_MS + 1)
    assert exchange(other, one, RoomDelta(summary=people(3)))[0].resync
    assert one.read == other.end > BEGINNING


def test_both_ends_sleep_and_go_on() -> None:
    """
    A parent and a child that were written and read back say what they would have said.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, RoomDelta(summary=people(3)))
    exchange(hub, two, RoomDelta(summary=people(4), came=(ANN, BOB), gone=(CAT,)))
    hub.failed(2, NOW_MS + 1)
    slept, child = a_hub(), a_spoke(1)
    slept.resume(hub.encode(moods_of), moods_of)
    child.resume(one.encode(moods_of), moods_of)
    assert slept.states == hub.states
    assert slept.peer_state(ROOM, NOW_MS) == hub.peer_state(ROOM, NOW_MS)
    assert child.peer_state(ROOM, NOW_MS) == one.peer_state(ROOM, NOW_MS)
    assert exchange(slept, child, RoomDelta(summary=people(3))) == exchange(
        hub, one, RoomDelta(summary=people(3))
    )


def test_claims_are_open_only_where_a_shard_has_visitors() -> None:
    """
    A shard without visitors has none that another one may have claimed, however little it has read.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, RoomDelta(summary=people(3)))
    exchange(hub, two, RoomDelta(summary=people(0)))
    exchange(hub, one, RoomDelta(summary=people(4), came=(ANN,)))
    assert hub.peer_state(ROOM, NOW_MS).unread == 1, "the shard that claims it has not read it itself"
    exchange(hub, one, RoomDelta(summary=people(4)))
    assert hub.states[2].peer.read < hub.end
    assert hub.peer_state(ROOM, NOW_MS).unread == 0

    exchange(hub, two, RoomDelta(summary=people(1), came=(BOB,)))
    exchange(hub, one, RoomDelta(summary=people(4), came=(CAT,)))
    assert hub.peer_state(ROOM, NOW_MS).unread == 3, "its report was sent before it read any of them"


def test_claims_that_were_dropped_with_the_log_are_as_many_as_there_may_be() -> None:
    """
    After hibernation only the claims of the log are known. Where a shard has not read what the log had to drop before, the lower end
    leaves out all but the coordinator's own visitors; before this was so, that end was too high by those claims.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, RoomDelta(summary=people(3)))
    many = tuple(visitor(f"v{index}") for index in range(LOG_KEYS_MAX // 2 + 1))
    for _ in range(2):
        exchange(hub, two, RoomDelta(summary=people(4), came=many))
    assert hub.peer_state(ROOM, NOW_MS).unread == 2 * len(many)

    resumed = a_hub()
    resumed.resume(hub.encode(moods_of), moods_of)
    assert resumed.peer_state(ROOM, NOW_MS).unread == UNKNOWN
    exchange(resumed, one, RoomDelta(summary=people(3)))
    exchange(resumed, one, RoomDelta(summary=people(3)))
    exchange(resumed, two, RoomDelta(summary=people(4)))
    assert resumed.peer_state(ROOM, NOW_MS).unread == 0, "all have read the whole log"


def test_a_shard_is_suspect_once_calls_have_failed_for_long() -> None:
    """
    A shard that is silent is not suspect, however long. One that cannot be called is, after ``late_ms``, and is removed after a lease; a call
    that succeeds ends that.
    """
    hub, one = a_hub(), a_spoke(1)
    exchange(hub, one, RoomDelta(summary=people(3)))
    assert hub.peer_state(ROOM, NOW_MS + 10**9).silent == (0, 0, 0, 0, 0)

    hub.failed(1, NOW_MS)
    assert hub.peer_state(ROOM, NOW_MS).until_ms == NOW_MS + 6_000
    assert hub.peer_state(ROOM, NOW_MS + 6_000).silent == (0, 0, 0, 0, 0)
    assert hub.peer_state(ROOM, NOW_MS + 6_001).silent == (3, 0, 0, 0, 0)
    hub.reached(1, NOW_MS + 6_001)
    assert hub.peer_state(ROOM, NOW_MS + 6_001).silent == (0, 0, 0, 0, 0)

    hub.failed(1, NOW_MS + 7_000)
    assert hub.expire(NOW_MS + 67_000) == []
    assert [delta.node for delta in hub.expire(NOW_MS + 67_001)] == [one.own]
    assert not hub.states


def test_visitors_are_spread_over_more_objects_once_all_are_full() -> None:
    """
    The number of objects doubles when all were found full, up to a limit, and halves when a quarter of them would do.
    """
    hub = a_hub()
    assert [hub.add_shards(full, 6) for full in (0, 1, 1, 2, 4)] == [False, True, False, True, True]
    assert hub.shards == 6
    assert not hub.remove_shards(15, 10)
    assert hub.remove_shards(14, 10)
    assert hub.shards == 3
    assert hub.remove_shards(0, 10)
    assert hub.shards == 1
    assert not hub.remove_shards(0, 10)
