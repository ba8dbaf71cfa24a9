"""A part of a room: what it tells of its people, and what it does when others tell of theirs."""

from collections.abc import Sequence

from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import Broadcast
from breathing_room.core.events import Broke, Event, Joined, Reported
from breathing_room.core.identity import VisitorKey
from breathing_room.core.replication.delta import BEGINNING, Delta, EntryId, RoomDelta
from breathing_room.core.replication.membership import Membership
from breathing_room.core.replication.replica import RoomPart
from breathing_room.core.room import Room
from core.playing import ANN, BOB

HERE, THERE = ("here", 1), ("there", 2)
CONFIG = RoomConfig()


class Socket:
    """A socket of somebody."""

    def __init__(self, visitor: VisitorKey) -> None:
        self.visitor = visitor


class Held:
    """The room of which we hold a part; it notes what is said whenever the room would announce something."""

    name = "lobby"
    config = CONFIG

    def __init__(self, nodes: Membership) -> None:
        self.room = Room("lobby", CONFIG, now_ms=0, rate_is_shared=True)
        self.part = RoomPart(nodes, self, lambda: 0)
        self.announced: list[tuple[int | None, int, int | None]] = []

    def step(self, event: Event) -> None:
        for effect in self.room.step(event, now_ms=0).effects:
            if isinstance(effect, Broadcast):
                self.announced.append(self.says())

    def says(self) -> tuple[int | None, int, int | None]:
        presence = self.part.presence()
        return presence.count, presence.low, presence.high


class Place:
    """A node that holds a part, and another that it hears of."""

    def __init__(self) -> None:
        self.nodes = Membership(HERE, late_ms=1_000, seat_lease_ms=1_000, now_ms=0)
        self.held = Held(self.nodes)
        self.part = self.held.part
        self.entry: EntryId = BEGINNING

    def join(self, visitor: VisitorKey) -> Socket:
        socket = Socket(visitor)
        self.part.feed(Joined(socket, visitor))
        return socket

    def compose(self) -> RoomDelta:
        return self.part.compose(0, hands_over=False)

    def hear(self, part: RoomDelta, node: tuple[str, int] = THERE) -> None:
        """Read a message in the log."""
        message = Delta(node=node, lease_ms=1_000, read=self.entry, rooms={"lobby": part})
        self.entry = (1, self.entry[1] + 1)
        self.nodes.hear(message, self.entry, heard_at_ms=0, now_ms=0)
        if node == THERE:
            self.part.hear(part, node)
        else:
            self.part.heard_out()
        self.part.look()


def a_part(
    *people: VisitorKey, came: Sequence[VisitorKey] = (), gone: Sequence[VisitorKey] = ()
) -> RoomDelta:
    """What another node tells that has these people on sockets."""
    room = Room("lobby", CONFIG, now_ms=0, rate_is_shared=True)
    for index, visitor in enumerate(people):
        room.step(Joined(index, visitor), now_ms=0)
    return RoomDelta(summary=room.summary(0), came=tuple(came), gone=tuple(gone))


def test_a_newcomer_may_be_somebody_elses() -> None:
    """
    From the first announcement on, whoever comes in may still be in the sums of another node.
    """
    place = Place()
    place.hear(a_part(ANN, came=[ANN]))
    place.hear(a_part(ANN))
    place.join(ANN)

    assert place.held.announced[-1] == place.held.says() == (2, 1, 2)


def test_what_was_claimed_before_us_takes_nobody_from_us() -> None:
    """
    A claim that is read after somebody came in here, and told before that could be said, is older than ours: the newcomer stays,
    whether our claim is still to be told or under way.
    """
    place = Place()
    place.join(ANN)
    place.hear(a_part(ANN, came=[ANN]))
    assert place.held.room.count == 1

    told = place.compose()
    assert told.came == (ANN,)
    place.hear(a_part(ANN, came=[ANN]))
    assert place.held.room.count == 1

    place.hear(told, HERE)
    place.hear(a_part(ANN, came=[ANN]))
    assert (place.held.room.count, place.part.parked_count) == (0, 1)


def test_what_may_be_lost_is_told_again_and_is_the_newest_then() -> None:
    """
    A claim whose answer was lost is told again, and stands after whatever others claimed in between, though the first is in the log too.
    """
    place = Place()
    place.join(ANN)
    first = place.compose()
    place.part.say_again(first)
    again = place.compose()
    assert again.came == (ANN,)

    place.part.hear(a_part(ANN, came=[ANN]), THERE)
    assert (place.held.room.count, place.part.parked_count) == (1, 0)
    place.hear(again, HERE)
    place.hear(a_part())
    assert place.held.says() == (1, 1, 1)


def test_who_came_and_went_claims_weakly() -> None:
    """
    Somebody whose socket broke before it could be told, and whose lease goes on, is taken from nobody who has a socket of theirs.
    """
    place = Place()
    place.part.feed(Broke(place.join(ANN)))
    told = place.compose()

    assert (told.came, told.reported, told.gone) == ((), (ANN,), (ANN,))
    assert told.summary.silent == told.summary.people


def test_a_report_that_got_no_seat_claims_nobody() -> None:
    """
    Whoever the panel does not ask is not claimed, and leaves no doubt.
    """
    place = Place()
    place.hear(a_part(BOB))
    place.held.room.panel.pace(((0, 0.25),), 0, 0)
    place.part.feed(Reported(ANN, 0.9))

    assert place.compose().reported == ()
    assert place.held.says()[1] == 1


def test_a_node_in_doubt_gives_back_whom_it_took() -> None:
    """
    Whoever is counted on a node that is late, and has a socket here, is counted here from then on: that one is there.
    """
    place = Place()
    place.join(ANN)
    place.hear(place.compose(), HERE)
    place.hear(a_part(ANN, came=[ANN]))
    assert place.held.room.count == 0

    place.part.lose(THERE)
    assert (place.held.room.count, place.part.parked_count) == (1, 0)
    assert place.compose().came == (ANN,)
