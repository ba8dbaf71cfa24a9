"""The broadcaster: what is sent, to which connections, and when; and how often a presence is described."""

from collections.abc import Callable
from typing import Any

import pytest

from breathing_room.core import broadcaster as module
from breathing_room.core import presence
from breathing_room.core.broadcaster import Broadcaster, LastBroadcast
from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import Broadcast, Send
from breathing_room.core.events import Joined, Left, MoodChanged, ObserverJoined, PeersChanged
from breathing_room.core.room import Room
from breathing_room.core.summary import NO_PEERS, PeerState, Summary, as_suspect
from core.playing import ANN, BOB, visitor

CONFIG = RoomConfig(moods=("calm",), push_ms=100, pushes_per_s=100)  # 10 ms a subscriber


def people(count: int) -> Summary:
    """Return the sums of so many visitors without a mood."""
    room = Room("lobby", CONFIG, now_ms=0)
    for index in range(count):
        room.step(Joined(index, visitor(f"{index}")), now_ms=0)
    return room.summary(0)


@pytest.fixture
def descriptions(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the presences that were described."""
    described = 0
    describe = presence.describe

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal described
        described += 1
        return describe(*arguments, **named)

    monkeypatch.setattr(module, "describe", counting)
    return lambda: described


def a_broadcaster() -> Broadcaster:
    return Broadcaster("lobby", CONFIG, people(0), now_ms=1_000)


def test_a_burst_of_joins_costs_one_description(descriptions: Callable[[], int]) -> None:
    """A hundred joins in one turn have a hundred versions, and the flush at its end describes the last one
    only.
    """
    room = Room("lobby", CONFIG, now_ms=0)
    steps = [room.step(Joined(index, visitor(f"{index}")), now_ms=0) for index in range(100)]

    assert [step.effects[0] for step in steps] == [
        Broadcast(1),
        *(Send(index, index + 1) for index in range(1, 100)),
    ]
    assert descriptions() == 0
    assert {room.flush(now_ms=0).count for _ in steps} == {100}
    assert descriptions() == 1
    assert room.presence(now_ms=5).as_of_ms == 5
    assert descriptions() == 1


def test_the_version_rises_when_the_counts_differ() -> None:
    """An update that changes no published count changes no version, and causes no broadcast."""
    broadcaster = a_broadcaster()
    broadcaster.update(people(0), NO_PEERS, at_ms=1_000)
    assert (broadcaster.version, broadcaster.is_dirty) == (0, False)
    broadcaster.update(people(1), NO_PEERS, at_ms=1_000)
    assert (broadcaster.version, broadcaster.is_dirty) == (1, True)
    broadcaster.update(people(0), NO_PEERS, at_ms=1_000)
    assert (broadcaster.version, broadcaster.is_dirty) == (2, False)


def test_broadcasts_are_coalesced() -> None:
    """The first change is broadcast at once, and the next when ``push_ms`` have passed, or more for many
    subscribers.
    """
    broadcaster = a_broadcaster()
    broadcaster.update(people(1), NO_PEERS, at_ms=1_000)
    assert broadcaster.step(None, subscribers=1, now_ms=1_000) == Broadcast(1)
    broadcaster.update(people(2), NO_PEERS, at_ms=1_010)
    assert broadcaster.step(None, subscribers=2, now_ms=1_010) is None
    assert broadcaster.next_at_ms(2) == 1_100
    assert broadcaster.next_at_ms(30) == 1_300
    assert broadcaster.step(None, subscribers=2, now_ms=1_100) == Broadcast(2)
    assert broadcaster.next_at_ms(2) is None


def test_a_reply_ahead_of_the_others_is_followed_by_a_broadcast() -> None:
    """A reply ahead of the broadcast is followed by one, even if its change is reverted."""
    broadcaster = a_broadcaster()
    broadcaster.update(people(1), NO_PEERS, at_ms=1_000)
    broadcaster.step(None, subscribers=1, now_ms=1_000)
    broadcaster.update(people(2), NO_PEERS, at_ms=1_010)
    assert broadcaster.step("tab", subscribers=2, now_ms=1_010) == Send("tab", 2)
    broadcaster.update(people(1), NO_PEERS, at_ms=1_020)
    assert broadcaster.step(None, subscribers=1, now_ms=1_100) == Broadcast(3)


def test_a_flush_that_is_newer_than_the_broadcast_is_followed_by_one() -> None:
    """A flush newer than the broadcast of its turn is followed by one, even if its change is reverted."""
    room = Room("lobby", CONFIG, now_ms=0)
    assert room.step(Joined("tab", ANN), now_ms=0).effects == (Broadcast(1),)
    room.step(MoodChanged("tab", "calm"), now_ms=0)
    assert room.flush(now_ms=0).moods == {"calm": 1}
    room.step(MoodChanged("tab", "unspoken"), now_ms=50)
    assert room.presence(now_ms=50).moods == {"calm": 0}
    (effect,) = room.step(MoodChanged("tab", "unspoken"), now_ms=100).effects
    assert isinstance(effect, Broadcast)


def test_a_change_of_peers_is_broadcast() -> None:
    """Visitors of peers are counted, those of suspect peers widen the interval, and those of removed peers
    are not counted.
    """
    room = Room("lobby", CONFIG, now_ms=0)
    room.step(Joined("tab", ANN), now_ms=0)
    step = room.step(PeersChanged(PeerState((people(2),))), now_ms=100)
    assert [type(effect) for effect in step.effects] == [Broadcast]
    assert room.presence(now_ms=100).count == 3
    lost = as_suspect(people(2))
    room.step(PeersChanged(PeerState((lost,), suspect=lost.suspect, stale=True)), now_ms=200)
    cut_off = room.presence(now_ms=200)
    assert (cut_off.low, cut_off.high, cut_off.method) == (1, 3, "stale")
    room.step(PeersChanged(NO_PEERS), now_ms=300)
    assert room.presence(now_ms=300).count == 1


def test_an_unread_claim_lowers_the_lower_end() -> None:
    """The lower end is without a visitor whose claim a peer may not have read."""
    room = Room("lobby", CONFIG, now_ms=0)
    room.apply(PeersChanged(PeerState((people(2),), unread=0)), now_ms=0)
    room.apply(Joined("tab", ANN), now_ms=0)
    room.conclude("tab", claims=1)
    assert (room.presence(now_ms=0).low, room.presence(now_ms=0).high) == (2, 3)
    room.conclude(claims=0)
    assert (room.presence(now_ms=0).low, room.presence(now_ms=0).high) == (3, 3)


def test_several_events_are_decided_at_once() -> None:
    """Several events applied before a decision are one broadcast, and the presence changes with it."""
    room = Room("lobby", CONFIG, now_ms=0)
    room.apply(Joined("a", ANN), now_ms=0)
    room.apply(Joined("b", BOB), now_ms=0)
    room.apply(Left("a"), now_ms=0)
    room.apply(ObserverJoined("wall"), now_ms=0)
    assert room.presence(now_ms=0).count == 0
    assert room.conclude().effects == (Broadcast(1),)
    assert (room.presence(now_ms=0).count, room.subscriber_count) == (1, 2)


def test_a_resumed_broadcaster_goes_on_where_it_stopped() -> None:
    """A resumed broadcaster does not broadcast the same counts again."""
    before = a_broadcaster()
    before.update(people(1), NO_PEERS, at_ms=1_000)
    before.step(None, subscribers=1, now_ms=1_000)
    for count, is_dirty in (1, False), (2, True):
        after = Broadcaster("lobby", CONFIG, people(count), now_ms=1_000)
        after.resume(before.last)
        assert after.is_dirty is is_dirty
    after = Broadcaster("lobby", CONFIG, people(1), now_ms=1_000)
    after.resume(LastBroadcast(*before.last[:3], reply_ahead=True))
    assert after.is_dirty
