"""A replica: the deltas that it composes, and its steps on those of peers."""

from collections.abc import Sequence
from typing import Any

import pytest

from breathing_room.core import broadcaster, presence
from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import Broadcast, Effect, KeepConnections, Send, Step
from breathing_room.core.errors import ClientError
from breathing_room.core.events import Disconnected, Event, Joined, Left, MoodChanged, PanelReported
from breathing_room.core.identity import VisitorKey
from breathing_room.core.replication.delta import BEGINNING, Delta, EntryId, PeerId, RoomDelta
from breathing_room.core.replication.membership import Membership
from breathing_room.core.replication.replica import Replica
from breathing_room.core.room import Room
from core.playing import ANN, BOB, visitor

HERE, THERE = ("here", 1), ("there", 2)
CONFIG = RoomConfig(moods=("calm", "glad"))


class Place:
    """A node with a replica; it notes the presence whenever one is sent."""

    def __init__(self, *, connection_is_lease: bool = False) -> None:
        self.nodes = Membership(HERE, suspect_after_ms=1_000, seat_lease_ms=1_000, now_ms=0)
        self.room = Room(
            "lobby", CONFIG, now_ms=0, rate_is_shared=True, connection_is_lease=connection_is_lease
        )
        self.replica = Replica(self.room, self.nodes, now_ms=0)
        self.now_ms = 0
        self.entry: EntryId = BEGINNING
        self.sent: list[tuple[int | None, int, int | None]] = []
        self.effects: list[Effect] = []

    def take(self, step: Step) -> None:
        self.effects += step.effects
        self.sent += [self.says() for effect in step.effects if isinstance(effect, Broadcast | Send)]

    def says(self) -> tuple[int | None, int, int | None]:
        presence = self.replica.presence(now_ms=self.now_ms)
        return presence.count, presence.low, presence.high

    def feed(self, event: Event) -> None:
        self.take(self.replica.step(event, now_ms=self.now_ms))

    def join(self, visitor: VisitorKey, mood: str | None = None) -> str:
        tab = f"tab of {visitor.decode()} {len(self.effects)}"
        self.feed(Joined(tab, visitor, mood))
        return tab

    def compose(self) -> RoomDelta:
        return self.replica.compose(self.now_ms)

    def hear(self, part: RoomDelta, node: tuple[str, int] = THERE) -> None:
        """Receive a delta from the log."""
        message = Delta(sender=node, lease_ms=1_000, read=self.entry, rooms={"lobby": part})
        self.entry = (1, self.entry[1] + 1)
        self.nodes.receive(message, self.entry, received_at_ms=self.now_ms, now_ms=self.now_ms)
        self.take(self.replica.receive([message], now_ms=self.now_ms))


def a_part(
    *people: VisitorKey, connected: Sequence[VisitorKey] = (), disconnected: Sequence[VisitorKey] = ()
) -> RoomDelta:
    """Return the delta of a node with connections of these visitors."""
    room = Room("lobby", CONFIG, now_ms=0, rate_is_shared=True)
    for index, one in enumerate(people):
        room.step(Joined(index, one), now_ms=0)
    return RoomDelta(summary=room.summary(0), connected=tuple(connected), disconnected=tuple(disconnected))


def test_a_visitor_who_joins_may_be_in_the_sums_of_a_peer() -> None:
    """A visitor who joins may still be in the sums of another node: low is less by one until it read the
    claim.
    """
    place = Place()
    place.hear(a_part(ANN, connected=[ANN]))
    place.hear(a_part(ANN))
    place.join(ANN)

    assert place.sent[-1] == place.says() == (2, 1, 2)


def test_an_older_claim_of_a_peer_removes_no_visitor() -> None:
    """A peer's claim that precedes ours in the log does not remove the visitor here, whether ours is composed
    yet or not; one that follows it does.
    """
    place = Place()
    place.join(ANN)
    place.hear(a_part(ANN, connected=[ANN]))
    assert place.room.count == 1

    delta = place.compose()
    assert delta.connected == (ANN,)
    place.hear(a_part(ANN, connected=[ANN]))
    assert place.room.count == 1

    place.hear(delta, HERE)
    place.hear(a_part(ANN, connected=[ANN]))
    assert (place.room.count, place.replica.standby_count) == (0, 1)


def test_a_delta_that_may_be_lost_is_queued_again_as_the_newest() -> None:
    """A delta that may have been lost is queued again, and its claim is newer than the claims of peers in
    between.
    """
    place = Place()
    place.join(ANN)
    first = place.compose()
    place.replica.requeue(first)
    again = place.compose()
    assert again.connected == (ANN,)

    claim = Delta(sender=THERE, lease_ms=1_000, rooms={"lobby": a_part(ANN, connected=[ANN])})
    place.take(place.replica.receive([claim], now_ms=0))
    assert (place.room.count, place.replica.standby_count) == (1, 0)
    place.hear(again, HERE)
    place.hear(a_part())
    assert place.says() == (1, 1, 1)


def test_a_visitor_who_joined_and_disconnected_is_only_reported() -> None:
    """A visitor who joined and disconnected before the delta is in ``reported``: a peer with a connection of
    theirs keeps them.
    """
    place = Place()
    place.feed(Disconnected(place.join(ANN)))
    delta = place.compose()

    assert (delta.connected, delta.reported, delta.disconnected) == ((), (ANN,), (ANN,))
    assert delta.summary.suspect == delta.summary.members


def test_a_report_without_a_seat_claims_no_visitor() -> None:
    """A report that the panel does not keep is not claimed, and does not widen the interval."""
    place = Place()
    place.hear(a_part(BOB))
    place.room.panel.set_rate(((0, 0.25),), 0, 0)
    place.feed(PanelReported(ANN, 0.9))

    assert place.compose().reported == ()
    assert place.says()[1] == 1


def test_visitors_of_a_suspect_peer_are_taken_back() -> None:
    """A visitor with a connection here who is counted at a suspect peer is counted here from then on."""
    place = Place()
    place.join(ANN)
    place.hear(place.compose(), HERE)
    place.hear(a_part(ANN, connected=[ANN]))
    assert place.room.count == 0

    place.take(place.replica.receive(down=[THERE], now_ms=0))
    assert (place.room.count, place.replica.standby_count) == (1, 0)
    assert place.compose().connected == (ANN,)


def test_connections_on_standby_get_broadcasts_and_are_taken_back() -> None:
    """A connection on standby gets broadcasts, and its visitor is counted here again, in the same mood, when
    the last connection at the peer ends.
    """
    place = Place(connection_is_lease=True)
    tab = place.join(ANN, "calm")
    place.hear(place.compose(), HERE)
    place.effects.clear()
    place.hear(a_part(ANN, connected=[ANN]))
    assert (place.room.subscriber_count, place.replica.standby_at) == (1, {THERE})
    assert place.effects[0] == KeepConnections((tab,), ANN, 0, THERE)

    place.effects.clear()
    place.hear(a_part(disconnected=[ANN]))
    assert (place.room.subscriber_count, place.replica.standby_count, place.room.count) == (1, 0, 1)
    assert place.effects[0] == KeepConnections((tab,), ANN, 0)
    assert place.replica.presence(now_ms=0).moods["calm"] == 1

    place.feed(Disconnected(tab))
    assert (place.room.subscriber_count, place.compose().disconnected) == (0, (ANN,))


def test_the_end_of_a_connection_on_standby_does_not_change_the_count() -> None:
    """The end of a connection on standby does not change the count, and leaves no state."""
    place = Place()
    tab = place.join(ANN)
    place.hear(place.compose(), HERE)
    place.hear(a_part(ANN, connected=[ANN]))
    place.feed(Left(tab))
    assert (place.replica.standby_count, place.room.subscriber_count, place.compose().disconnected) == (
        0,
        0,
        (),
    )
    assert place.says()[0] == 1


def test_a_mood_here_takes_a_visitor_back() -> None:
    """A visitor who names a mood at a connection on standby is counted here from then on, with that mood."""
    place = Place()
    tab = place.join(ANN)
    place.hear(place.compose(), HERE)
    place.hear(a_part(ANN, connected=[ANN]))
    place.feed(MoodChanged(tab, "calm"))
    assert (place.room.count, place.compose().connected) == (1, (ANN,))
    assert place.room.summary(0).members[0] == 1


def test_a_delta_is_decided_once() -> None:
    """A delta that claims ten visitors causes one broadcast, after all of it is applied."""
    place = Place()
    people = [visitor(f"{index}") for index in range(10)]
    for one in people:
        place.join(one)
    place.hear(place.compose(), HERE)
    place.effects.clear()
    place.now_ms = CONFIG.push_ms
    place.hear(a_part(*people, connected=people))
    assert [type(effect) for effect in place.effects] == [Broadcast]
    assert (place.sent[-1][0], place.room.count, place.replica.standby_count) == (10, 0, 10)


def test_a_rejected_join_claims_no_visitor() -> None:
    """A join beyond the limit is rejected, and its visitor's connections on standby are taken back."""
    place = Place()
    tabs = [place.join(ANN) for _ in range(CONFIG.connections_per_visitor_max)]
    place.hear(place.compose(), HERE)
    place.hear(a_part(ANN, connected=[ANN]))
    with pytest.raises(ClientError):
        place.join(ANN)
    assert (place.room.connection_count, place.replica.standby_count) == (len(tabs), 0)
    assert place.compose().connected == (ANN,)


def test_a_change_of_one_replica_is_described_once_by_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of mood in a cluster of three is described three times, once at each node."""
    described: list[str] = []
    describe = presence.describe

    def counting(*arguments: Any, **named: Any) -> Any:
        described.append(named["at_ms"])
        return describe(*arguments, **named)

    monkeypatch.setattr(broadcaster, "describe", counting)
    names = [HERE, THERE, ("elsewhere", 3)]
    views = {name: Membership(name, suspect_after_ms=60_000, seat_lease_ms=1_000, now_ms=0) for name in names}
    rooms = {name: Room("lobby", CONFIG, now_ms=0, rate_is_shared=True) for name in names}
    replicas = {name: Replica(rooms[name], views[name], now_ms=0) for name in names}
    sent: list[int | None] = []

    def carry_out(name: PeerId, step: Step, now_ms: int) -> None:
        if any(isinstance(effect, Broadcast | Send) for effect in step.effects):
            sent.append(replicas[name].flush(now_ms=now_ms).count)

    entry = 0

    def tick(now_ms: int) -> None:
        nonlocal entry
        deltas = [
            Delta(sender=name, lease_ms=60_000, read=(1, entry), rooms={"lobby": replica.compose(now_ms)})
            for name, replica in replicas.items()
        ]
        for name, replica in replicas.items():
            for index, delta in enumerate(deltas):
                at = (1, entry + 1 + index)
                views[name].receive(delta, at, received_at_ms=now_ms, now_ms=now_ms)
            carry_out(name, replica.receive(deltas, now_ms=now_ms), now_ms)
        entry += len(deltas)

    for index in range(30):
        name = names[index % 3]
        carry_out(name, replicas[name].step(Joined(index, visitor(f"{index}")), now_ms=0), 0)
    for now_ms in range(1_000, 20_000, 1_000):
        tick(now_ms)
    assert sent[-1] == 30
    described.clear()
    sent.clear()

    carry_out(HERE, replicas[HERE].step(MoodChanged(0, CONFIG.moods[0]), now_ms=20_500), 20_500)
    for now_ms in range(21_000, 40_000, 1_000):
        tick(now_ms)
    assert (len(described), sent) == (3, [30, 30, 30])
