"""The room: who is present now, and what follows from each event.

Rule 1: everything that changes who is present is decided in this file.

Rule 2: this file does not know how it is hosted. It opens no socket, reads no clock and draws no random
number.

Theory of operation
-------------------
A room has three parts. *Members* (``members.py``) are the visitors with a connection; each has a lease. The
*panel* (``panel.py``) is visitors without one: some of them report, and stand for the others; a visitor who
gets a connection leaves the panel. The *broadcaster* (``broadcaster.py``) decides what is published of both,
to whom, and when.

``step`` takes an event and returns effects: first, deadlines that are due are handled, then the event is
applied, then the room decides what to send and to save, and when it wants its timer. Replicas of one room on
several machines apply several events before they decide (``replication/replica.py``); the state of their
peers is an event like any other (``PeersChanged``). So the same lines decide what is broadcast on one machine
and on a hundred.

The count is the sum of leases and estimate, and so is each end of the interval: ``low`` is without the
suspects, ``high`` is with them. While some of the suspects are left from before a restart, the method is
``stale``; when all of them are back or expired it is ``counted`` again. So a restart does not look like a
departure of all visitors. A room that has lost its memory altogether is ``unknown`` for one lease, in which
all clients with a connection come back.
"""

from typing import Final, assert_never

from breathing_room.core.effects import Close, KeepConnections, SaveSnapshot, Step
from breathing_room.core.errors import HostError
from breathing_room.core.events import (
    ClaimedElsewhere,
    Disconnected,
    Event,
    HeartbeatReceived,
    Joined,
    Left,
    LegacyReported,
    MoodChanged,
    ObserverJoined,
    ObserverLeft,
    PanelLeft,
    PanelReported,
    PeersChanged,
    RateSet,
    SeatsTransferred,
    TimerFired,
)
from breathing_room.core.identity import KEY_BYTES, Connection, VisitorKey
from breathing_room.core.members import Member
from breathing_room.core.room_state import RoomState
from breathing_room.core.wire import LEASE_ENDED

SUBSCRIBING: Final = (Joined, ObserverJoined)
"""The events after which a connection is sent a first presence."""


class Room(RoomState):
    """The room: a ``RoomState``, and the events that change it."""

    # --- Events --------------------------------------------------------------------------------------------

    def step(self, event: Event, *, now_ms: int) -> Step:
        """Apply one event.

        Args:
            event: What happened.
            now_ms: The host's time. A value earlier than the last one counts as the last one: clocks of
                hibernating hosts do step back.

        Returns:
            The effects to carry out, in order, and when the room wants its timer.

        Raises:
            HostError: The event names a connection that joined already, or a mood that was not declared.
            ClientError: A visitor opened too many connections.
        """
        self.apply(event, now_ms=now_ms)
        return self.conclude(event.connection if isinstance(event, SUBSCRIBING) else None)

    def apply(self, event: Event, *, now_ms: int) -> None:
        """Apply one event without deciding what follows: ``conclude`` is to be called next. A rejected event
        changes nothing.

        Args, Raises: As for ``step``.
        """
        now_ms = max(self._now_ms, now_ms)
        self._check(event, now_ms)
        self._now_ms = now_ms
        self._expire()
        members = self._members
        match event:
            case HeartbeatReceived(connection):
                # A heartbeat may cross its own eviction on the wire: not an error. The same goes below.
                if member := members.by_connection(connection):
                    members.renew(member, now_ms=now_ms)
            case Joined(connection, visitor, mood):
                self._join(connection, visitor, mood)
            case ObserverJoined(connection):
                self._observers[connection] = None
            case ObserverLeft(connection):
                self._observers.pop(connection, None)
            case MoodChanged(connection, mood):
                if member := members.by_connection(connection):
                    members.set_mood(member, self._mood_index[mood])
                    members.renew(member, now_ms=now_ms)
                    self._keep(member)
            case Left(connection):
                if member := members.disconnect(connection):
                    members.remove(member)
            case Disconnected(connection):
                if member := members.disconnect(connection):
                    members.mark_suspect(member, now_ms=now_ms)
            case PanelReported(visitor, ticket, mood, prefix):
                self._report(visitor, ticket, mood, prefix)
            case LegacyReported(visitor, mood):
                if visitor not in members:
                    self._legacy.report(visitor, self._mood_index[mood], now_ms)
                    self._note_change()
            case PanelLeft(visitor):
                self._leave_panel(visitor)
            case ClaimedElsewhere() | RateSet() | SeatsTransferred() | PeersChanged():
                self._receive(event)
            case TimerFired():
                pass
            case _:
                assert_never(event)

    def conclude(self, requester: Connection | None = None, *, claims: int = 0) -> Step:
        """Decide what follows from the events that were applied.

        Args:
            requester: A connection that waits for a first presence, None for none.
            claims: Visitors claimed here whose claims the peers may not have read.
        """
        self.count_up(claims=claims)
        effects, self._effects = self._effects, []
        subscribers = self.subscriber_count
        sent = self._broadcaster.step(requester, subscribers=subscribers, now_ms=self._now_ms)
        if sent is not None:
            effects.append(sent)
        save_at_ms = self._saved_at_ms + self.config.snapshot_ms if self._is_unsaved else None
        if save_at_ms is not None and save_at_ms <= self._now_ms:
            self._saved_changes = self._unsaved_changes + self._members.unsaved_changes
            self._saved_at_ms = self._now_ms
            save_at_ms = None
            effects.append(SaveSnapshot())
        deadlines = (
            self._members.next_at_ms,
            self._panel.next_at_ms,
            self._legacy.next_at_ms,
            self._unknown_until_ms,
            self._broadcaster.next_at_ms(subscribers),
            save_at_ms,
        )
        next_timer_ms = min([deadline for deadline in deadlines if deadline is not None], default=None)
        return Step(tuple(effects), next_timer_ms)

    def keep_connections(self, effect: KeepConnections) -> None:
        """Have the host keep data with connections, if open connections are leases there."""
        if self._connection_is_lease:
            self._effects.append(effect)

    def count_up(self, *, claims: int = 0) -> None:
        """Compute the counts again if anything has changed, so that ``presence`` shows it; ``conclude`` does
        so itself.
        """
        changes, peers = self.changes, self._peers
        if changes != self._counted[0] or claims != self._counted[1] or peers is not self._counted[2]:
            self._counted = changes, claims, peers
            own = self.summary(self._now_ms)
            self._broadcaster.update(own, peers, claims=claims, at_ms=self._now_ms)

    def _check(self, event: Event, now_ms: int) -> None:
        """Reject an invalid event before it changes anything.

        Connections whose lease is over by now count as closed.
        """
        match event:
            case Joined(connection, visitor, mood):
                _check_key(visitor)
                self._members.check_join(connection, visitor, now_ms=now_ms)
            case PanelReported(visitor, _, mood, _) | LegacyReported(visitor, mood):
                _check_key(visitor)
            case MoodChanged(_, mood):
                pass
            case _:
                return
        if mood is not None and mood not in self._mood_index:
            raise HostError("a mood that was not declared")

    def _expire(self) -> None:
        """Handle the deadlines that are due."""
        now_ms = self._now_ms
        members_at_ms = self._members.next_at_ms
        if members_at_ms is not None and members_at_ms <= now_ms:
            self._effects += [Close(connection, LEASE_ENDED) for connection in self._members.expire(now_ms)]
        panel_at_ms = self._panel.next_at_ms
        if panel_at_ms is not None and panel_at_ms <= now_ms and self._panel.expire(now_ms):
            self._note_change()
        if (legacy_at_ms := self._legacy.next_at_ms) is not None and legacy_at_ms <= now_ms:
            self._legacy.expire(now_ms)
            self._note_change()
        if self._unknown_until_ms is not None and self._unknown_until_ms <= now_ms:
            self._unknown_until_ms = None
            self._note_change()

    def _join(self, connection: Connection, visitor: VisitorKey, mood: str | None) -> None:
        """Add a connection of a visitor, and remove the visitor's seat."""
        self._panel.remove(visitor)
        self._legacy.remove(visitor)
        self._observers.pop(connection, None)
        index = None if mood is None else self._mood_index[mood]
        self._members.join(connection, visitor, index, now_ms=self._now_ms)
        if member := self._members.get(visitor):
            self._keep(member)

    def _report(self, visitor: VisitorKey, ticket: float, mood: str | None, prefix: bytes | None) -> None:
        """Apply a report: of a member as a heartbeat, of all others to the panel."""
        index = None if mood is None else self._mood_index[mood]
        if member := self._members.get(visitor):
            if member.connections:  # A report that was under way still counts as a heartbeat.
                if index is not None:
                    self._members.set_mood(member, index)
                self._members.renew(member, now_ms=self._now_ms)
                self._keep(member)
                return
            index = member.mood if index is None else index
            self._members.remove(member)  # The connection ended, and reports took over.
        self._legacy.remove(visitor)
        if self._panel.report(visitor, ticket, index, self._now_ms, prefix):
            self._note_change()

    def _leave_panel(self, visitor: VisitorKey) -> None:
        """Remove a visitor who has no connection."""
        member = self._members.get(visitor)
        if member is not None and not member.connections:
            self._members.remove(member)  # The connection ended, and the visitor does not come back.
        elif self._panel.remove(visitor):
            self._note_change()

    def _receive(self, event: ClaimedElsewhere | RateSet | SeatsTransferred | PeersChanged) -> None:
        """Apply an event of other replicas of this room."""
        match event:
            case ClaimedElsewhere(visitor):
                self._legacy.remove(visitor)
                if self._panel.remove(visitor):
                    self._note_change()
                if member := self._members.get(visitor):
                    self._members.remove(member)
            case RateSet(rates, changed_at_ms):
                self._panel.set_rate(rates, changed_at_ms, self._now_ms)
                self._changes += 1
            case SeatsTransferred(seats):
                self._panel.add_seats(seats, self._members, self._now_ms)
                self._note_change()
            case PeersChanged(peers):
                self._peers = peers
            case _:
                assert_never(event)

    def _note_change(self) -> None:
        """Note that sums changed beside those of the members."""
        self._changes += 1
        self._unsaved_changes += 1

    def _keep(self, member: Member) -> None:
        """Have the host keep a member's state with its connections."""
        self.keep_connections(KeepConnections(member.connections, member.key, member.mood))


def _check_key(visitor: VisitorKey) -> None:
    if len(visitor) != KEY_BYTES:
        raise HostError(f"a visitor's key has {KEY_BYTES} bytes")
