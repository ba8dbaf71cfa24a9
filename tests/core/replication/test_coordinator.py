"""The coordinator of a room and its shards: what is heard twice, late or not at all."""

from breathing_room.core.replication.coordinator import LOG_KEYS_MAX, Coordinator
from breathing_room.core.replication.delta import BEGINNING, RoomDelta
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
    hub.news(1, people(5), NOW_MS)  # which never arrived
    _, entries = exchange(hub, one, RoomDelta(summary=people(3)))
    assert [entry.rooms[ROOM].came for entry in entries] == [(ANN,)]


def test_words_that_were_overtaken_change_nothing() -> None:
    """
    CoordinatorUpdate that is older than what a child knows, and a report older than what the parent knows.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, RoomDelta(summary=people(3)))
    old_report = one.report(RoomDelta(summary=people(1)), 1, NOW_MS)
    old_news = hub.news(1, people(5), NOW_MS)
    exchange(hub, two, RoomDelta(summary=people(4), came=(ANN,)))
    exchange(hub, one, RoomDelta(summary=people(3)))
    known = one.peer_state(ROOM, NOW_MS)
    assert list(one.hear(old_news)) == []
    assert one.peer_state(ROOM, NOW_MS) == known
    hub.hear(1, old_report, NOW_MS)
    assert hub.children[1].summary.people == (3, 0, 0, 0, 0)


def test_who_was_forgotten_claims_everybody_anew() -> None:
    """
    A child that the parent does not know, one that missed more than the log holds, and all of them when the parent is a new one.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    assert not exchange(hub, one, RoomDelta(summary=people(3)))[0].resync, "it is new, and has nobody"
    exchange(hub, two, RoomDelta(summary=people(4)))
    for _ in range(2):
        hub.fail(1, NOW_MS)
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
    hub.fail(2, NOW_MS + 1)
    slept, child = a_hub(), a_spoke(1)
    slept.wake(hub.sleep(moods_of), moods_of)
    child.wake(one.sleep(moods_of), moods_of)
    assert slept.children == hub.children
    assert slept.peer_state(ROOM, NOW_MS) == hub.peer_state(ROOM, NOW_MS)
    assert child.peer_state(ROOM, NOW_MS) == one.peer_state(ROOM, NOW_MS)
    assert exchange(slept, child, RoomDelta(summary=people(3))) == exchange(
        hub, one, RoomDelta(summary=people(3))
    )
