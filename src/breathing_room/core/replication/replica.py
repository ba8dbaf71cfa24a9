"""A part of a room, of which others hold other parts: what those must be told of it, and its people of all.

``RoomPart`` stands beside each open room of a machine that is one of several; how words travel is not its business.

A visitor may have sockets on two nodes, tabs of one browser perhaps. The node that was told of the last one counts the visitor; on
the other its sockets are *parked*: they hear everything, and the room knows nothing of them. When the counting node says
that the visitor's last socket there ended, or is gone itself, or the visitor does something here, they are taken back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp
from typing import Any, Final, Protocol

from breathing_room.core.cluster import Whole
from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.events import (
    Broke,
    Event,
    Inherited,
    Joined,
    Left,
    MoodChanged,
    Moved,
    Reported,
    Withdrew,
)
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.leases import NO_LEASES, Leases
from breathing_room.core.presence import Presence
from breathing_room.core.replication.delta import PeerId, RoomDelta
from breathing_room.core.room import Room
from breathing_room.core.summary import PeerState, Summary

ARRIVALS_S: Final = 60.0
"""People who come in are averaged over this time, to say how many more there may be on a node that is not heard of."""


class Peers(Protocol):
    """What is known of those who hold the other parts."""

    @property
    def own(self) -> PeerId:
        """Our own name and epoch."""

    def peer_state(self, room: str, now_ms: int) -> PeerState:
        """Say what is known of a room elsewhere."""


class Held(Protocol):
    """The room of which we hold a part."""

    name: str
    config: RoomConfig

    @property
    def room(self) -> Room:
        """Our part as a room of its own."""

    def step(self, event: Event) -> None:
        """Tell that room something, and nobody else."""


@dataclass(slots=True)
class Parked:
    """A visitor with sockets here who is counted on another node.

    Attributes:
        node: Where.
        mood: What the visitor felt here.
        sessions: The sockets.
    """

    node: PeerId
    mood: str
    sessions: list[Connection]


class RoomPart:
    """What is to be told and known of one open room.

    Args:
        peers: Those who hold the other parts.
        room: The room.
        now_ms: Our time.
    """

    def __init__(self, peers: Peers, room: Held, now_ms: Callable[[], int]) -> None:
        self._peers = peers
        self._room = room
        self._now_ms = now_ms
        self._whole = Whole(room.name, room.config, now_ms=now_ms())
        # To be told with the next message: the keys of dicts, for their order.
        self._claimed: dict[VisitorKey, None] = {}
        self._gone: dict[VisitorKey, None] = {}
        # What was told, and not read in the log yet.
        self._told: set[VisitorKey] = set()
        # How many of both are not in the log yet, as far as we know.
        self._unread = 0
        self._parked: dict[VisitorKey, Parked] = {}
        self._arrivals_per_s = 0.0
        self._arrived = 0
        self._composed_at_ms = now_ms()
        self.look()

    @property
    def has_news(self) -> bool:
        """Whether there is something that the others must know before the room may be closed."""
        return bool(self._claimed or self._told or self._gone or self._parked)

    @property
    def parked_count(self) -> int:
        """Visitors with sockets here who are counted elsewhere."""
        return len(self._parked)

    # --- What happens here ------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Tell the room something, and note what the others must know of it."""
        room = self._room.room
        match event:
            case Joined(_, visitor, mood):
                if not room.holds(visitor):
                    self._claim(visitor)
                    self._arrived += 1
                if visitor in self._parked:
                    self._take_back(visitor)
                self._room.step(event)
            case MoodChanged(session, mood):
                if (visitor := _visitor_of(session)) in self._parked:
                    self._take_back(visitor, mood)
                self._room.step(event)
            case Left(session) | Broke(session):
                self._part(event, session)
            case Reported(visitor):
                if visitor in self._parked:
                    self._take_back(visitor)
                if room.holds(visitor):
                    self._room.step(event)
                    return
                is_claimed = visitor in self._claimed
                self._claim(visitor)
                self._room.step(event)
                if not (is_claimed or room.holds(visitor)):
                    del self._claimed[visitor]  # The panel has no seat for it.
                    self._unread -= 1
            case Withdrew(visitor):
                if not room.holds(visitor):  # The seat is on another node.
                    self._claimed[visitor] = None
                self._room.step(event)
            case _:
                self._room.step(event)

    def _part(self, event: Event, session: object) -> None:
        """A socket ended."""
        visitor = _visitor_of(session)
        if (parked := self._parked.get(visitor)) is not None:
            parked.sessions = [other for other in parked.sessions if other is not session]
            if not parked.sessions:
                del self._parked[visitor]
            return
        self._room.step(event)
        if not self._has_socket(visitor):
            self._gone[visitor] = None

    def _claim(self, visitor: VisitorKey) -> None:
        """Tell everybody that a visitor is counted here. It comes before the room knows, and says so: others may count it still."""
        self._unread += visitor not in self._claimed
        self._claimed[visitor] = None
        self._gone.pop(visitor, None)

    def _is_claimed(self, visitor: VisitorKey) -> bool:
        """Tell whether we claim a visitor later in the log than what we read in it now: then it stays ours."""
        return visitor in self._claimed or visitor in self._told

    def _take_back(self, visitor: VisitorKey, mood: str | None = None) -> None:
        """Count a visitor with parked sockets here."""
        self._claim(visitor)
        parked = self._parked.pop(visitor)
        for session in parked.sessions:
            self._room.step(Joined(session, visitor, mood or parked.mood))

    def _has_socket(self, visitor: VisitorKey) -> bool:
        person = self._room.room.members.get(visitor)
        return person is not None and bool(person.connections)

    # --- What others say --------------------------------------------------------------------------------------

    def hear(self, part: RoomDelta, node: PeerId) -> None:
        """Take what another node says of this room, in the order of the log."""
        for visitor in part.came:
            if self._is_claimed(visitor):
                continue
            if visitor in self._parked:
                self._parked[visitor].node = node
            elif self._has_socket(visitor):
                self._park(visitor, node)
            elif self._room.room.holds(visitor):
                self._room.step(Moved(visitor))
        for visitor in part.reported:
            if self._is_claimed(visitor):
                continue
            if self._has_socket(visitor):
                self._claim(visitor)
            elif visitor not in self._parked and self._room.room.holds(visitor):
                self._room.step(Moved(visitor))
        for visitor in part.gone:
            if visitor in self._parked and self._parked[visitor].node == node:
                self._take_back(visitor)

    def heard_out(self) -> None:
        """Take note that all that we told is in the log, before whatever is heard from now on."""
        self._told.clear()
        self._unread = len(self._claimed)

    def inherit(self, seats: Leases) -> None:
        """Take over the seats of a node that is about to leave; it lets go of them when it hears so."""
        self._room.step(Inherited(seats))
        for visitor, *_ in seats:
            if self._room.room.panel.holds(visitor):
                self._claim(visitor)

    def lose(self, node: PeerId) -> None:
        """A node is gone or in doubt: whoever was counted there and has sockets here is counted here."""
        for visitor in [visitor for visitor, parked in self._parked.items() if parked.node == node]:
            self._take_back(visitor)

    def _park(self, visitor: VisitorKey, node: PeerId) -> None:
        person = self._room.room.members.get(visitor)
        assert person is not None
        mood = (*self._room.config.moods, UNSPOKEN)[person.mood]
        self._parked[visitor] = Parked(node, mood, list(person.connections))
        self._room.step(Moved(visitor))

    # --- What we say ------------------------------------------------------------------------------------------

    def compose(self, now_ms: int, *, hands_over: bool) -> RoomDelta:
        """Put down what the others should know.

        Args:
            now_ms: Our time.
            hands_over: Whether the seats of the panel are to be taken over.
        """
        elapsed_s = (now_ms - self._composed_at_ms) / 1_000
        if elapsed_s > 0:
            faded = exp(-elapsed_s / ARRIVALS_S)
            self._arrivals_per_s = self._arrivals_per_s * faded + (1 - faded) * self._arrived / elapsed_s
            self._arrived = 0
            self._composed_at_ms = now_ms
        # Whoever reports, or came and went again, is not to be taken from somebody who has a socket.
        live = {visitor: self._has_socket(visitor) for visitor in self._claimed}
        part = RoomDelta(
            summary=replace(self._room.room.summary(now_ms), arrivals_per_s=self._arrivals_per_s),
            came=tuple(visitor for visitor, is_live in live.items() if is_live),
            reported=tuple(visitor for visitor, is_live in live.items() if not is_live),
            gone=tuple(visitor for visitor in self._gone if not self._has_socket(visitor)),
            seats=self._room.room.panel.snapshot(now_ms).seats if hands_over else NO_LEASES,
        )
        self._told.update(self._claimed)
        self._claimed, self._gone = {}, {}
        return part

    def say_again(self, part: RoomDelta) -> None:
        """Nobody may have heard this: say it again, as far as it still holds."""
        self._told.clear()
        held = (visitor for visitor in (*part.came, *part.reported) if self._room.room.holds(visitor))
        self._claimed |= dict.fromkeys(held)
        self._gone |= dict.fromkeys(part.gone)

    def say_all(self) -> None:
        """Claim everybody who is here: nobody knows what was said meanwhile."""
        self._claimed |= {person.key: None for person in self._room.room.members if person.connections}

    def look(self) -> None:
        """Take in what is known of the others now."""
        self._whole.others = self._peers.peer_state(self._room.name, self._now_ms())

    def announce(self) -> Presence | None:
        """Say what to tell everybody, if anything has changed and it is time."""
        own, claims, now_ms = self._known()
        return self._whole.announce(own, claims, push_ms=self._room.room.push_ms, now_ms=now_ms)

    def presence(self) -> Presence:
        """Say who is in the whole room."""
        own, claims, now_ms = self._known()
        return self._whole.presence(own, claims, now_ms=now_ms)

    def _known(self) -> tuple[Summary, int, int]:
        """Say what we know ourselves: our sums, how many claims of ours we have not read, and the time."""
        now_ms = self._now_ms()
        if now_ms > self._whole.others.until_ms:  # A tick is late, and somebody else with it.
            self.look()
        return self._room.room.summary(now_ms), self._unread, now_ms


def _visitor_of(session: Any) -> VisitorKey:
    """Say whose socket it is; only sockets of persons come here."""
    visitor: VisitorKey = session.visitor
    return visitor
