"""A replica: a room of which peers hold other parts, on other machines or in other objects.

Theory of operation
-------------------
The room itself counts who is here, and decides what is broadcast (``room.py``). The replica stands before it:
events of the host go through ``step``, deltas of peers through ``receive``, and the state of the peers
reaches the room as an event (``PeersChanged``). However many events follow from one of these, the room
decides once, when all are applied: the state in between is not consistent. How deltas travel is up to the
host.

*Claims.* A visitor who joins is *claimed* by the next delta (``compose``). The last to claim a visitor counts
it, and as deltas are in one order for all replicas, they agree which that is. So a claim of a peer that comes
later in the log than ours removes the visitor here; one that comes before ours does not. Until all peers have
read a claim the visitor may be in the sums of two: how many those may be goes into the interval.

*Standby.* A visitor may have connections to two replicas, tabs of one browser perhaps. The replica that
claimed the visitor last counts it; at the other its connections are on standby: they get every broadcast, and
the room counts them as observers. They are taken back when that replica reports that the visitor's last
connection there ended, or is gone itself, or the visitor sends a message here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp
from typing import Final, Protocol

from breathing_room.core.broadcaster import LastBroadcast
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.effects import KeepConnections, Step
from breathing_room.core.events import (
    ClaimedElsewhere,
    Disconnected,
    Event,
    Joined,
    Left,
    MoodChanged,
    ObserverJoined,
    ObserverLeft,
    PanelLeft,
    PanelReported,
    PeersChanged,
    SeatsTransferred,
    TimerFired,
)
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.leases import NO_LEASES, Leases
from breathing_room.core.presence import Presence
from breathing_room.core.replication.delta import Delta, PeerId, RoomDelta
from breathing_room.core.room import SUBSCRIBING, Room
from breathing_room.core.summary import PeerState

ARRIVALS_S: Final = 60.0
"""Joins are averaged over this time, to bound those at a peer that is suspect."""


class PeerView(Protocol):
    """A view of the peers."""

    @property
    def own(self) -> PeerId:
        """The name and epoch of this replica."""

    def peer_state(self, room: str, now_ms: int) -> PeerState:
        """Return the state of a room at the peers."""


@dataclass(slots=True)
class Standby:
    """A visitor with connections here who is counted at a peer.

    Attributes:
        peer: The peer.
        mood: The visitor's mood here, as an index into the declared moods; one past the last: unspoken.
        connections: The connections.
    """

    peer: PeerId
    mood: int
    connections: list[Connection]


class Replica:
    """One part of a room.

    Args:
        room: The part of the room that is here.
        peers: The view of the peers.
        now_ms: The host's time.
        last: The last broadcast, after hibernation; None where the room knows that itself.

    Attributes:
        room: The room; only the replica steps it.
    """

    def __init__(
        self, room: Room, peers: PeerView, *, now_ms: int, last: LastBroadcast | None = None
    ) -> None:
        self.room = room
        self._peers = peers
        self._moods = (*room.config.moods, UNSPOKEN)
        # To be sent with the next delta: the keys of dicts, for their order.
        self._claimed: dict[VisitorKey, None] = {}
        self._disconnected: dict[VisitorKey, None] = {}
        # Claims that were sent, and not read in the log yet.
        self._sent: set[VisitorKey] = set()
        # How many of both are not in the log yet, as far as is known.
        self._unread = 0
        self._standby: dict[VisitorKey, Standby] = {}
        self._visitor_of = {
            connection: member.key for member in room.members for connection in member.connections
        }
        self._arrivals_per_s = 0.0
        self._arrived = 0
        self._composed_at_ms = now_ms
        self._until_ms = 0.0
        self._update_peers(now_ms, at_ms=room.now_ms)  # The start is no event, and time does not pass.
        room.count_up()
        if last is not None or not room.subscriber_count:
            room.resume_broadcasts(last)

    # --- Queries -------------------------------------------------------------------------------------------

    @property
    def standby_count(self) -> int:
        """Visitors with connections here who are counted at a peer."""
        return len(self._standby)

    @property
    def standby_at(self) -> set[PeerId]:
        """The peers at which visitors with connections here are counted."""
        return {standby.peer for standby in self._standby.values()}

    @property
    def has_keys(self) -> bool:
        """Whether a visitor joined or left whom the next delta is to name."""
        return bool(self._claimed or self._disconnected)

    @property
    def has_unsent(self) -> bool:
        """Whether a delta must be sent or acknowledged before the room may be closed."""
        return bool(self._claimed or self._sent or self._disconnected or self._standby)

    @property
    def peer_leases(self) -> int:
        """Leases that the peers hold."""
        return sum(summary.leases for summary in self.room.peers.summaries)

    def presence(self, *, now_ms: int) -> Presence:
        """Return the presence of the whole room."""
        self._update_peers_if_due(now_ms)
        return self.room.presence(now_ms=now_ms)

    def flush(self, *, now_ms: int) -> Presence:
        """Return the presence to send for the effects of a turn, at its end: as for a room."""
        self._update_peers_if_due(now_ms)
        return self.room.flush(now_ms=now_ms)

    # --- Events of the host --------------------------------------------------------------------------------

    def step(self, event: Event, *, now_ms: int) -> Step:
        """Apply one event of the host, and note what the next delta is to hold.

        Args, Returns, Raises: As for a room.
        """
        room = self.room
        match event:
            case Joined(connection, visitor):
                is_new = not room.holds(visitor)
                if visitor in self._standby:
                    self._take_back(visitor, now_ms)
                room.apply(event, now_ms=now_ms)
                self._visitor_of[connection] = visitor
                if is_new:
                    self._claim(visitor)
                    self._arrived += 1
            case MoodChanged(connection, mood):
                if (moved := self._visitor_of.get(connection)) in self._standby and moved is not None:
                    self._take_back(moved, now_ms, mood)
                room.apply(event, now_ms=now_ms)
            case Left(connection) | Disconnected(connection):
                self._end(event, connection, now_ms)
            case PanelReported(visitor):
                if visitor in self._standby:
                    self._take_back(visitor, now_ms)
                is_new = not room.holds(visitor)
                room.apply(event, now_ms=now_ms)
                if is_new and room.holds(visitor):  # Else the panel has no seat for it.
                    self._claim(visitor)
            case PanelLeft(visitor):
                if not room.holds(visitor):  # The seat is at a peer.
                    self._claimed[visitor] = None
                room.apply(event, now_ms=now_ms)
            case _:
                room.apply(event, now_ms=now_ms)
        return self._conclude(now_ms, requester=event.connection if isinstance(event, SUBSCRIBING) else None)

    def _end(self, event: Left | Disconnected, connection: Connection, now_ms: int) -> None:
        """Remove a connection, on standby or not."""
        visitor = self._visitor_of.pop(connection, None)
        if visitor is not None and (standby := self._standby.get(visitor)) is not None:
            standby.connections.remove(connection)
            if not standby.connections:
                del self._standby[visitor]
            self.room.apply(ObserverLeft(connection), now_ms=now_ms)
            return
        self.room.apply(event, now_ms=now_ms)
        if visitor is not None and not self._is_connected(visitor):
            self._disconnected[visitor] = None

    def _claim(self, visitor: VisitorKey) -> None:
        """Claim a visitor with the next delta. Until it is read, peers may count the visitor still."""
        self._unread += visitor not in self._claimed
        self._claimed[visitor] = None
        self._disconnected.pop(visitor, None)

    def _is_claimed(self, visitor: VisitorKey) -> bool:
        """Return whether our claim of a visitor comes later in the log than what is read now: then the
        visitor stays ours.
        """
        return visitor in self._claimed or visitor in self._sent

    def _take_back(self, visitor: VisitorKey, now_ms: int, mood: str | None = None) -> None:
        """Count a visitor here whose connections are on standby."""
        self._claim(visitor)
        standby = self._standby.pop(visitor)
        for connection in standby.connections:
            joined = Joined(connection, visitor, mood or self._moods[standby.mood])
            self.room.apply(joined, now_ms=now_ms)

    def _is_connected(self, visitor: VisitorKey) -> bool:
        member = self.room.members.get(visitor)
        return member is not None and bool(member.connections)

    # --- Deltas of peers -----------------------------------------------------------------------------------

    def receive(self, deltas: Iterable[Delta] = (), *, down: Iterable[PeerId] = (), now_ms: int) -> Step:
        """Apply deltas of peers and the current state of the peers.

        Args:
            deltas: Deltas of the log, in its order, our own included: after the last of those nothing of ours
                is under way.
            down: Peers that are suspect or gone.
            now_ms: The host's time.
        """
        unread = list(deltas)
        own = self._peers.own
        last_own = max((index for index, delta in enumerate(unread) if delta.sender == own), default=-1)
        for index, delta in enumerate(unread):
            if delta.sender == own:
                if index == last_own:
                    self._acknowledge()
                continue
            if (part := delta.rooms.get(self.room.name)) is not None:
                self._apply_delta(part, delta.sender, now_ms)
                if delta.successor == own and len(part.seats):
                    self._add_seats(part.seats, now_ms)
            if delta.leaving:
                self._release(delta.sender, now_ms)
        for peer in down:
            self._release(peer, now_ms)
        self._update_peers(now_ms)
        return self._conclude(now_ms)

    def acknowledge(self, *, now_ms: int) -> Step:
        """Note that all composed deltas are in the log, and reflected in the view of the peers."""
        self._acknowledge()
        self._update_peers(now_ms)
        return self._conclude(now_ms)

    def adopt(self, connection: Connection, visitor: VisitorKey, mood: int, peer: PeerId) -> None:
        """Resume a connection that was on standby before hibernation."""
        self._standby.setdefault(visitor, Standby(peer, mood, [])).connections.append(connection)
        self._visitor_of[connection] = visitor
        self.room.apply(ObserverJoined(connection), now_ms=self.room.now_ms)

    def _apply_delta(self, part: RoomDelta, peer: PeerId, now_ms: int) -> None:
        """Apply the part of a delta that is about this room."""
        for visitor in part.connected:
            if self._is_claimed(visitor):
                continue
            if (standby := self._standby.get(visitor)) is not None:
                standby.peer = peer
                self._keep(visitor, standby)
            elif self._is_connected(visitor):
                self._put_on_standby(visitor, peer, now_ms)
            elif self.room.holds(visitor):
                self.room.apply(ClaimedElsewhere(visitor), now_ms=now_ms)
        for visitor in part.reported:
            if self._is_claimed(visitor):
                continue
            if self._is_connected(visitor):
                self._claim(visitor)
            elif visitor not in self._standby and self.room.holds(visitor):
                self.room.apply(ClaimedElsewhere(visitor), now_ms=now_ms)
        for visitor in part.disconnected:
            if visitor in self._standby and self._standby[visitor].peer == peer:
                self._take_back(visitor, now_ms)

    def _put_on_standby(self, visitor: VisitorKey, peer: PeerId, now_ms: int) -> None:
        member = self.room.members.get(visitor)
        assert member is not None
        standby = self._standby[visitor] = Standby(peer, member.mood, list(member.connections))
        self.room.apply(ClaimedElsewhere(visitor), now_ms=now_ms)
        for connection in standby.connections:
            self.room.apply(ObserverJoined(connection), now_ms=now_ms)
        self._keep(visitor, standby)

    def _keep(self, visitor: VisitorKey, standby: Standby) -> None:
        """Have the host keep with connections on standby where their visitor is counted."""
        self.room.keep_connections(
            KeepConnections(tuple(standby.connections), visitor, standby.mood, standby.peer)
        )

    def _add_seats(self, seats: Leases, now_ms: int) -> None:
        """Add the seats of a peer that is about to leave; it removes them when it reads our claims."""
        self.room.apply(SeatsTransferred(seats), now_ms=now_ms)
        for visitor, *_ in seats:
            if self.room.panel.holds(visitor):
                self._claim(visitor)

    def _release(self, peer: PeerId, now_ms: int) -> None:
        """Count the visitors with connections here who were counted at a peer that is suspect or gone."""
        for visitor in [visitor for visitor, standby in self._standby.items() if standby.peer == peer]:
            self._take_back(visitor, now_ms)

    def _acknowledge(self) -> None:
        self._sent.clear()
        self._unread = len(self._claimed)

    # --- Own deltas ----------------------------------------------------------------------------------------

    def compose(self, now_ms: int, *, transfers_seats: bool = False) -> RoomDelta:
        """Return the next delta of this room.

        Args:
            now_ms: The host's time.
            transfers_seats: Whether the seats of the panel are to be taken over.
        """
        elapsed_s = (now_ms - self._composed_at_ms) / 1_000
        if elapsed_s > 0:
            decay = exp(-elapsed_s / ARRIVALS_S)
            self._arrivals_per_s = self._arrivals_per_s * decay + (1 - decay) * self._arrived / elapsed_s
            self._arrived = 0
            self._composed_at_ms = now_ms
        # A visitor who reports, or came and went again, is not to be taken from a replica with a connection.
        connected = {visitor: self._is_connected(visitor) for visitor in self._claimed}
        part = RoomDelta(
            summary=replace(self.room.summary(now_ms), arrivals_per_s=self._arrivals_per_s),
            connected=tuple(visitor for visitor, is_connected in connected.items() if is_connected),
            reported=tuple(visitor for visitor, is_connected in connected.items() if not is_connected),
            disconnected=tuple(visitor for visitor in self._disconnected if not self._is_connected(visitor)),
            seats=self.room.panel.snapshot(now_ms).seats if transfers_seats else NO_LEASES,
        )
        self._sent.update(self._claimed)
        self._claimed, self._disconnected = {}, {}
        return part

    def requeue(self, part: RoomDelta) -> None:
        """Queue the keys of a delta again that may not have been delivered, as far as they still hold."""
        self._sent.clear()
        held = (visitor for visitor in (*part.connected, *part.reported) if self.room.holds(visitor))
        self._claimed |= dict.fromkeys(held)
        self._disconnected |= dict.fromkeys(part.disconnected)

    def resync(self) -> None:
        """Claim all connected visitors again: deltas may have been missed."""
        self._claimed |= {member.key: None for member in self.room.members if member.connections}

    # --- Inside --------------------------------------------------------------------------------------------

    def _update_peers(self, now_ms: int, *, at_ms: int | None = None) -> None:
        """Apply the current state of the peers and the time to the room; ``at_ms`` is the room's time if that
        is not now.
        """
        state = self._peers.peer_state(self.room.name, now_ms)
        self._until_ms = state.until_ms
        event = TimerFired() if state == self.room.peers else PeersChanged(state)
        self.room.apply(event, now_ms=now_ms if at_ms is None else at_ms)

    def _update_peers_if_due(self, now_ms: int) -> None:
        """Update the state of the peers if it does not hold any more: the host is late, and a peer may be
        suspect by now.
        """
        if now_ms > self._until_ms:
            self._update_peers(now_ms)
            self.room.count_up(claims=self._unread)

    def _conclude(self, now_ms: int, *, requester: Connection | None = None) -> Step:
        """Let the room decide, once."""
        if now_ms > self._until_ms:
            self._update_peers(now_ms)
        return self.room.conclude(requester, claims=self._unread)
