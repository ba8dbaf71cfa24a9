"""What the objects of a room tell each other: as it was written, or refused; and what is heard twice, late or not at all."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.cluster import BEGINNING, Message, Part
from breathing_room.core.codec import pack, unpack
from breathing_room.core.config import MOODS, RoomConfig
from breathing_room.core.errors import HostError
from breathing_room.core.room import Room
from breathing_room.core.shards import LOG_KEYS_MAX, Hub, News, Report, Spoke
from breathing_room.core.summary import Summary
from core.playing import ANN, BOB, CAT, visitor

ROOM, NOW_MS = "lobby", 1_000_000
NOBODY = Room(ROOM, RoomConfig(), now_ms=NOW_MS).summary(NOW_MS)


def moods_of(_: str) -> tuple[str, ...]:
    return MOODS


def people(count: int) -> Summary:
    return replace(NOBODY, people=(count, 0, 0, 0, 0))


def a_hub() -> Hub:
    return Hub(ROOM, ("0", NOW_MS), NOBODY, late_ms=6_000, lease_ms=60_000, now_ms=NOW_MS)


def a_spoke(shard: int) -> Spoke:
    return Spoke(ROOM, (str(shard), NOW_MS), NOBODY, late_ms=6_000)


def exchange(hub: Hub, spoke: Spoke, part: Part, now_ms: int = NOW_MS) -> tuple[News, list[Message]]:
    """Let a child call its parent, over the wire."""
    shard = int(spoke.own[0])
    report = Report.decode(spoke.report(part, 1, now_ms).encode(moods_of), moods_of)
    _, say_all = hub.hear(shard, report, now_ms)
    news = News.decode(hub.news(shard, people(5), now_ms, say_all=say_all).encode(moods_of), moods_of)
    return news, list(spoke.hear(news))


def test_a_child_hears_the_sum_of_all_others_and_what_it_has_not_read() -> None:
    """
    Of two children and the parent, each hears the sum of the others, and each claim once, its own among them.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, Part(summary=people(3)))
    exchange(hub, two, Part(summary=people(4), came=(ANN,)))
    news, entries = exchange(hub, one, Part(summary=people(3), came=(BOB,)))
    assert news.others.summaries[0].people == (9, 0, 0, 0, 0)
    assert [entry.parts[ROOM].came for entry in entries] == [(ANN,), (BOB,)]
    assert news.others.unread == 2, "the other child has read none of them"
    assert not news.say_all
    _, entries = exchange(hub, one, Part(summary=people(3)))
    assert entries == []
    exchange(hub, two, Part(summary=people(4)))
    exchange(hub, two, Part(summary=people(4)))
    news, _ = exchange(hub, one, Part(summary=people(3)))
    assert news.others.unread == 0


def test_an_answer_that_was_lost_is_given_again() -> None:
    """
    What the parent said counts as read once the child has said so, and not before.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, Part(summary=people(3)))
    exchange(hub, two, Part(summary=people(4), came=(ANN,)))
    hub.hear(1, one.report(Part(summary=people(3)), 1, NOW_MS), NOW_MS)
    hub.news(1, people(5), NOW_MS)  # which never arrived
    _, entries = exchange(hub, one, Part(summary=people(3)))
    assert [entry.parts[ROOM].came for entry in entries] == [(ANN,)]


def test_words_that_were_overtaken_change_nothing() -> None:
    """
    News that is older than what a child knows, and a report older than what the parent knows.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, Part(summary=people(3)))
    old_report = one.report(Part(summary=people(1)), 1, NOW_MS)
    old_news = hub.news(1, people(5), NOW_MS)
    exchange(hub, two, Part(summary=people(4), came=(ANN,)))
    exchange(hub, one, Part(summary=people(3)))
    known = one.others(ROOM, NOW_MS)
    assert list(one.hear(old_news)) == []
    assert one.others(ROOM, NOW_MS) == known
    hub.hear(1, old_report, NOW_MS)
    assert hub.children[1].summary.people == (3, 0, 0, 0, 0)


def test_who_was_forgotten_claims_everybody_anew() -> None:
    """
    A child that the parent does not know, one that missed more than the log holds, and all of them when the parent is a new one.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    assert not exchange(hub, one, Part(summary=people(3)))[0].say_all, "it is new, and has nobody"
    exchange(hub, two, Part(summary=people(4)))
    for _ in range(2):
        hub.fail(1, NOW_MS)
    assert [message.node for message in hub.lapse(NOW_MS + 60_001)] == [one.own]
    assert exchange(hub, one, Part(summary=people(3)))[0].say_all
    assert not exchange(hub, one, Part(summary=people(3)))[0].say_all

    many = tuple(visitor(f"v{index}") for index in range(LOG_KEYS_MAX // 2 + 1))
    for _ in range(2):
        exchange(hub, two, Part(summary=people(4), came=many))
    assert exchange(hub, one, Part(summary=people(3)))[0].say_all
    other = Hub(ROOM, ("0", NOW_MS + 1), NOBODY, late_ms=6_000, lease_ms=60_000, now_ms=NOW_MS + 1)
    assert exchange(other, one, Part(summary=people(3)))[0].say_all
    assert one.read == other.end > BEGINNING


def test_both_ends_sleep_and_go_on() -> None:
    """
    A parent and a child that were written and read back say what they would have said.
    """
    hub, one, two = a_hub(), a_spoke(1), a_spoke(2)
    exchange(hub, one, Part(summary=people(3)))
    exchange(hub, two, Part(summary=people(4), came=(ANN, BOB), gone=(CAT,)))
    hub.fail(2, NOW_MS + 1)
    slept, child = a_hub(), a_spoke(1)
    slept.wake(hub.sleep(moods_of), moods_of)
    child.wake(one.sleep(moods_of), moods_of)
    assert slept.children == hub.children
    assert slept.others(ROOM, NOW_MS) == hub.others(ROOM, NOW_MS)
    assert child.others(ROOM, NOW_MS) == one.others(ROOM, NOW_MS)
    assert exchange(slept, child, Part(summary=people(3))) == exchange(hub, one, Part(summary=people(3)))


@given(st.data())
def test_damaged_words_are_refused(data: st.DataObject) -> None:
    """
    A report, news, or what was kept of either end, cut short or with a byte changed, is read, or refused as damaged; nothing else happens.
    """
    hub, one = a_hub(), a_spoke(1)
    news, _ = exchange(hub, one, Part(summary=people(3), came=(ANN,)))
    readers = (
        (Report.decode, one.report(Part(summary=people(3)), 1, NOW_MS).encode(moods_of)),
        (News.decode, news.encode(moods_of)),
        (a_hub().wake, hub.sleep(moods_of)),
        (a_spoke(1).wake, one.sleep(moods_of)),
    )
    read, written = data.draw(st.sampled_from(readers))
    at = data.draw(st.integers(0, len(written) - 1))
    changed = bytes([written[at] ^ data.draw(st.integers(1, 255))])
    with pytest.raises(HostError):
        read(written[:at], moods_of)
    with contextlib.suppress(HostError):
        read(written[:at] + changed + written[at + 1 :], moods_of)


def test_an_infinite_number_is_refused() -> None:
    """
    JSON as Python reads it has infinities; where a whole number should be, one is damage like any other, and not an error of its own.
    """
    hub, one = a_hub(), a_spoke(1)
    news, _ = exchange(hub, one, Part(summary=people(3), came=(ANN,)))
    report = one.report(Part(summary=people(3)), 1, NOW_MS)
    for read, written, fields in (
        (Report.decode, report.encode(moods_of), ("number", "sockets")),
        (News.decode, news.encode(moods_of), ("version", "unread", "silent_unread", "newcomers")),
        (a_hub().wake, hub.sleep(moods_of), ("shards", "version")),
        (a_spoke(1).wake, one.sleep(moods_of), ("number",)),
    ):
        header, values = unpack(written)
        for name in fields:
            assert name in header
            with pytest.raises(HostError):
                read(pack(header | {name: float("inf")}, *values), moods_of)
