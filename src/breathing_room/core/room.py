"""The room: who is here now, and what follows from what happens.

Rule 1: everything that changes who is present is decided in this file.
Rule 2: this file does not know how it is hosted. It opens no socket, reads no clock and draws no random number.

Theory of operation
-------------------
A room is made of three parts. *Members* (``members.py``) are the visitors with a connection; each has a lease. The *panel* (``panel.py``) are
visitors without one: some of them report, and stand for the others; a visitor who gets a connection leaves the panel. The *broadcaster*
(``broadcaster.py``) decides what is published of both, to whom, and when.

An event goes in, effects come out (``step``): first what was due by time is done, then the event is applied, then it is decided what is
to be sent, to be saved, and when the room wants its timer. Replicas of one room on several machines apply several events
before they decide (``replication/replica.py``); what their peers know comes in as an event like any other (``PeersChanged``). So the
same lines decide what is broadcast on one machine and on a hundred.

The count is the sum of leases and estimate, and so is each end of the interval: ``low`` is without the suspects, ``high`` is with them. While
some of the suspects are left from before a restart, the method is ``stale``; when all of them are back or expired it is ``counted`` again.
So a restart is not an exodus, and needs no rule of its own. A room that has lost its memory altogether is ``unknown`` for one lease,
in which all who have a connection come back.
"""

from collections.abc import Iterable, Mapping
from typing import Self, assert_never

from breathing_room.core.broadcaster import Broadcaster, LastBroadcast
from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.deadlines import TICK_MS, on_grid
from breathing_room.core.effects import Close, Effect, KeepConnections, SaveSnapshot, Step
from breathing_room.core.errors import HostError
from breathing_room.core.estimate.coin import LegacySamplingEstimator
from breathing_room.core.events import (
    Broke,
    Event,
    Heard,
    Inherited,
    Joined,
    Left,
    MoodChanged,
    Moved,
    Observed,
    ObserverLeft,
    Paced,
    PeersChanged,
    Reported,
    Tossed,
    Withdrew,
    Woken,
)
from breathing_room.core.identity import KEY_BYTES, Connection, VisitorKey
from breathing_room.core.leases import RESTORED, SILENT
from breathing_room.core.members import Member, Members
from breathing_room.core.panel import Panel
from breathing_room.core.presence import Presence
from breathing_room.core.snapshot import Snapshot
from breathing_room.core.summary import NO_PEERS, PeerState, Summary
from breathing_room.core.wire import LEASE_ENDED


class Room:
    """Counts the people in one room, by mood.

    Args:
        name: What the room is called; it is published.
        config: How the room works.
        now_ms: The host's time: milliseconds since 1970-01-01 UTC by a clock that does not jump. The room
            publishes it as ``as_of_ms``.
        unknown: Whether there may be people of whom the room has lost all memory. It then says so for one lease.
        connection_is_lease: Whether the host reports every disconnect, so that an open connection needs no heartbeat.
        rate_is_shared: Whether the sampling rate is set from outside (``Paced``): one of several replicas sees too little to set it.
    """

    def __init__(
        self,
        name: str,
        config: RoomConfig,
        *,
        now_ms: int,
        unknown: bool = False,
        connection_is_lease: bool = False,
        rate_is_shared: bool = False,
    ) -> None:
        self.name = name
        self.config = config
        self._now_ms = now_ms
        self._mood_index = {mood: index for index, mood in enumerate((*config.moods, UNSPOKEN))}
        self._connection_is_lease = connection_is_lease
        self._members = Members(config, connection_is_lease=connection_is_lease)
        self._panel = Panel(config, len(self._mood_index), now_ms=now_ms, paced=rate_is_shared)
        self._coins = LegacySamplingEstimator(len(self._mood_index))
        self._unknown_until_ms = on_grid(now_ms + config.lease_ms) if unknown else None
        self._observers: set[Connection] = set()
        self._peers = NO_PEERS
        # Closes and connections to keep, of events that were applied.
        self._effects: list[Effect] = []
        # Changes beside those of the members, and how far all of them are counted and saved.
        self._changes = self._unsaved_changes = 0
        self._counted: tuple[int, int, PeerState] = (0, 0, NO_PEERS)
        self._saved_changes = 0
        self._saved_at_ms = now_ms
        self._broadcaster = Broadcaster(name, config, self.summary(now_ms), now_ms=now_ms)

    # --- Queries ----------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Leases held, of members and of seats of the panel."""
        return len(self._members) + self._panel.seat_count

    @property
    def silent_count(self) -> int:
        """Members who are suspect: their connections are gone."""
        return len(self._members.suspects)

    @property
    def connection_count(self) -> int:
        """Connections of members; observers are not among them."""
        return self._members.connection_count

    @property
    def subscriber_count(self) -> int:
        """Connections that get broadcasts: those of members, and observers."""
        return self._members.connection_count + len(self._observers)

    @property
    def members(self) -> Members:
        """The visitors with a connection; to be read only."""
        return self._members

    @property
    def panel(self) -> Panel:
        """The visitors without a connection; to be read only."""
        return self._panel

    @property
    def now_ms(self) -> int:
        """The time of the last event."""
        return self._now_ms

    @property
    def peers(self) -> PeerState:
        """What is known of the other replicas."""
        return self._peers

    def holds(self, visitor: VisitorKey) -> bool:
        """Return whether a visitor has a lease."""
        return visitor in self._members or self._panel.holds(visitor)

    def summary(self, at_ms: int) -> Summary:
        """Return the room's own sums, as of the last step.

        Args:
            at_ms: What estimates are to be of.
        """
        return Summary(
            people=tuple(self._members.tally),
            silent=tuple(self._members.suspect_tally),
            restored=self._members.restored_count,
            panel=self._panel.sums(at_ms),
            coins=self._coins.sums(at_ms),
            unknown=self._unknown_until_ms is not None,
        )

    def presence(self, *, now_ms: int) -> Presence:
        """Return who is in the room, that of the peers included, as of the last step.

        Args:
            now_ms: What to publish as ``as_of_ms``.
        """
        return self._broadcaster.presence(now_ms=max(self._now_ms, now_ms))

    def flush(self, *, now_ms: int) -> Presence:
        """Return the presence to send for the effects of a turn, at its end.

        It is that of ``presence``; but if it is newer than what was broadcast, the room sees to it that another broadcast follows.
        """
        return self._broadcaster.flush(now_ms=max(self._now_ms, now_ms))

    @property
    def push_ms(self) -> int:
        """The time between two broadcasts."""
        return self._broadcaster.push_ms(self.subscriber_count)

    @property
    def last_broadcast(self) -> LastBroadcast:
        """What every subscriber knows."""
        return self._broadcaster.last

    def resume_broadcasts(self, last: LastBroadcast | None) -> None:
        """Go on from what every subscriber knows; None takes what is known now for that."""
        if last is None:
            self._broadcaster.settle(label_shown=self._broadcaster.last.label_shown)
        else:
            self._broadcaster.resume(last)

    @property
    def changes(self) -> int:
        """A number that differs whenever the room's own sums do."""
        return self._changes + self._members.changes

    # --- Events -----------------------------------------------------------------------------------------------

    def step(self, event: Event, *, now_ms: int) -> Step:
        """Apply one event.

        Args:
            event: What happened.
            now_ms: The host's time. A value earlier than the last one counts as the last one: clocks of
                sleeping hosts do step back.

        Returns:
            The effects to carry out, in order, and when the room wants its timer.

        Raises:
            HostError: The event names a connection that joined already, or a mood that was not declared.
            PeerError: A visitor opened too many connections.
        """
        self.apply(event, now_ms=now_ms)
        return self.conclude(event.connection if isinstance(event, Joined | Observed) else None)

    def apply(self, event: Event, *, now_ms: int) -> None:
        """Apply one event, and decide nothing yet: ``conclude`` is to follow. A refused event changes nothing.

        Args, Raises: As for ``step``.
        """
        now_ms = max(self._now_ms, now_ms)
        self._check(event, now_ms)
        self._now_ms = now_ms
        self._expire()
        members = self._members
        match event:
            case Heard(connection):
                # A heartbeat may cross its own eviction on the wire: not an error. The same goes below.
                if member := members.by_connection(connection):
                    members.renew(member, now_ms=now_ms)
            case Joined(connection, visitor, mood):
                self._join(connection, visitor, mood)
            case Observed(connection):
                self._observers.add(connection)
            case ObserverLeft(connection):
                self._observers.discard(connection)
            case MoodChanged(connection, mood):
                if member := members.by_connection(connection):
                    members.set_mood(member, self._mood_index[mood])
                    members.renew(member, now_ms=now_ms)
                    self._keep(member)
            case Left(connection):
                if member := members.disconnect(connection):
                    members.remove(member)
            case Broke(connection):
                if member := members.disconnect(connection):
                    members.suspect(member, now_ms=now_ms)
            case Reported(visitor, ticket, mood, prefix):
                self._report(visitor, ticket, mood, prefix)
            case Tossed(visitor, mood):
                if visitor not in members:
                    self._coins.report(visitor, self._mood_index[mood], now_ms)
                    self._note_change()
            case Withdrew(visitor):
                self._withdraw(visitor)
            case Moved() | Paced() | Inherited() | PeersChanged():
                self._receive(event)
            case Woken():
                pass
            case _:
                assert_never(event)

    def conclude(self, requester: Connection | None = None, *, claims: int = 0) -> Step:
        """Decide what follows from the events that were applied.

        Args:
            requester: A connection that waits for a first presence, None for none.
            claims: Visitors who joined here of whom the peers may not know yet.
        """
        self.count_up(claims=claims)
        effects, self._effects = self._effects, []
        sent = self._broadcaster.step(requester, subscribers=self.subscriber_count, now_ms=self._now_ms)
        if sent is not None:
            effects.append(sent)
        if self._is_unsaved and self._now_ms >= self._saved_at_ms + self.config.snapshot_ms:
            self._saved_changes = self._unsaved_changes + self._members.unsaved_changes
            self._saved_at_ms = self._now_ms
            effects.append(SaveSnapshot())
        return Step(tuple(effects), self._next_timer_ms())

    def keep(self, effect: KeepConnections) -> None:
        """Have the host keep something beside connections, if those are leases there."""
        if self._connection_is_lease:
            self._effects.append(effect)

    def count_up(self, *, claims: int = 0) -> None:
        """Count anew if anything has changed, so that ``presence`` shows it; ``conclude`` does so itself."""
        state = self.changes, claims, self._peers
        if state != self._counted:
            self._counted = state
            own = self.summary(self._now_ms)
            self._broadcaster.update(own, self._peers, claims=claims, at_ms=self._now_ms)

    def _check(self, event: Event, now_ms: int) -> None:
        """Refuse an event before anything is done about it. Connections whose lease is over by now count as closed."""
        match event:
            case Joined(connection, visitor, mood):
                _check_key(visitor)
                self._members.check_join(connection, visitor, now_ms=now_ms)
            case Reported(visitor, _, mood, _) | Tossed(visitor, mood):
                _check_key(visitor)
            case MoodChanged(_, mood):
                pass
            case _:
                return
        if mood is not None and mood not in self._mood_index:
            raise HostError("a mood that was not declared")

    def _expire(self) -> None:
        """Do what is due by time."""
        now_ms = self._now_ms
        self._effects += [Close(connection, LEASE_ENDED) for connection in self._members.expire(now_ms)]
        panel_at_ms = self._panel.next_at_ms
        if panel_at_ms is not None and panel_at_ms <= now_ms and self._panel.come_due(now_ms):
            self._note_change()
        if (coins_at_ms := self._coins.next_at_ms) is not None and coins_at_ms <= now_ms:
            self._coins.come_due(now_ms)
            self._note_change()
        if self._unknown_until_ms is not None and self._unknown_until_ms <= now_ms:
            self._unknown_until_ms = None
            self._note_change()

    def _join(self, connection: Connection, visitor: VisitorKey, mood: str | None) -> None:
        """Add a connection of a visitor, who is not on the panel any more."""
        self._panel.withdraw(visitor)
        self._coins.forget(visitor)
        self._observers.discard(connection)
        index = None if mood is None else self._mood_index[mood]
        self._members.join(connection, visitor, index, now_ms=self._now_ms)
        if member := self._members.get(visitor):
            self._keep(member)

    def _report(self, visitor: VisitorKey, ticket: float, mood: str | None, prefix: bytes | None) -> None:
        """Take a report: of a member as a heartbeat, of all others for the panel."""
        index = None if mood is None else self._mood_index[mood]
        if member := self._members.get(visitor):
            if member.connections:  # A report that was under way still says something.
                if index is not None:
                    self._members.set_mood(member, index)
                self._members.renew(member, now_ms=self._now_ms)
                self._keep(member)
                return
            index = member.mood if index is None else index
            self._members.remove(member)  # The connection ended, and reports took over.
        self._coins.forget(visitor)
        if self._panel.report(visitor, ticket, index, self._now_ms, prefix):
            self._note_change()

    def _withdraw(self, visitor: VisitorKey) -> None:
        """Remove a visitor who has no connection."""
        member = self._members.get(visitor)
        if member is not None and not member.connections:
            self._members.remove(member)  # The connection ended, and the visitor does not come back.
        elif self._panel.withdraw(visitor):
            self._note_change()

    def _receive(self, event: Moved | Paced | Inherited | PeersChanged) -> None:
        """Take what other replicas of this room said."""
        match event:
            case Moved(visitor):
                self._coins.forget(visitor)
                if self._panel.withdraw(visitor):
                    self._note_change()
                if member := self._members.get(visitor):
                    self._members.remove(member)
            case Paced(rates, changed_at_ms):
                self._panel.pace(rates, changed_at_ms, self._now_ms)
                self._changes += 1
            case Inherited(seats):
                self._panel.inherit(seats, self._members, self._now_ms)
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
        """Have the host keep what its connections are to remember of a member."""
        self.keep(KeepConnections(member.connections, member.key, member.mood))

    @property
    def _is_unsaved(self) -> bool:
        return self._unsaved_changes + self._members.unsaved_changes != self._saved_changes

    def _next_timer_ms(self) -> int | None:
        deadlines = [
            self._members.next_at_ms,
            self._panel.next_at_ms,
            self._coins.next_at_ms,
            self._unknown_until_ms,
            self._broadcaster.next_at_ms(self.subscriber_count),
            self._saved_at_ms + self.config.snapshot_ms if self._is_unsaved else None,
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # --- Snapshots --------------------------------------------------------------------------------------------

    @property
    def rest_stamp(self) -> tuple[object, ...]:
        """A value that differs whenever ``snapshot(connected=False)`` would, by more than the time that passed."""
        polled = None if self._panel.is_idle and self._coins.is_idle else self.changes
        # Where there are peers, the host keeps the last broadcast with what is known of them.
        last = () if self._peers.summaries else (self.last_broadcast.at_ms, self.last_broadcast.reply_ahead)
        return (
            *(*last, self._saved_at_ms, self._is_unsaved, self._unknown_until_ms),
            *(bool(self._members.connection_count), tuple(self._members.suspects), polled),
        )

    def snapshot(self, *, connected: bool = True) -> Snapshot:
        """Return everything that the room would need to go on, connections excepted: those are the host's to remember.

        Args:
            connected: Whether members with a connection are included: a host that keeps them beside their
                connections (``KeepConnections``) does not need that.
        """
        last = self._broadcaster.last
        return Snapshot(
            room=self.name,
            as_of_ms=self._now_ms,
            moods=self.config.moods,
            people=self._members.leases(self._now_ms, connected=connected),
            panel=self._panel.snapshot(self._now_ms),
            coins=self._coins.snapshot(self._now_ms),
            unknown_until_ms=self._unknown_until_ms,
            described_at_ms=self._broadcaster.counted_at_ms,
            announced=last.counts,
            announced_at_ms=last.at_ms,
            saved_at_ms=self._saved_at_ms,
            told_apart=last.reply_ahead,
            unsaved=self._is_unsaved,
            label_shown=last.label_shown,
        )

    @classmethod
    def restore(
        cls, snapshot: Snapshot, config: RoomConfig, *, now_ms: int, connection_is_lease: bool = False
    ) -> Self:
        """Make a room after a crash or a restart, when every connection is gone.

        Members keep what is left of their leases, and are suspect until they come back. If all leases have ended
        meanwhile, it is not known who will come back: the room is unknown for one lease.

        Args:
            snapshot: The last one that was stored.
            config: How the room works from now on; a mood that it does not declare becomes unspoken.
            now_ms: The host's time. If it lies before the snapshot, a clock stepped back, and no time passed.
            connection_is_lease: As of a new room.
        """
        lost = snapshot.count > 0 and snapshot.live_count(now_ms) == 0
        # While the server was down nothing could be received: what was unknown then is unknown for another lease.
        unknown = lost or snapshot.unknown_until_ms is not None
        room = cls(
            snapshot.room, config, now_ms=now_ms, unknown=unknown, connection_is_lease=connection_is_lease
        )
        elapsed_ms = max(0, now_ms - snapshot.as_of_ms)
        mood_here = room._moods_of(snapshot)
        for key, mood, _, left_ms in snapshot.people:
            if left_ms > elapsed_ms:
                longest_ms = config.lease_ms + TICK_MS
                expires_at_ms = now_ms + min(left_ms - elapsed_ms, longest_ms)
                room._members.admit(key, mood_here[mood], SILENT | RESTORED, expires_at_ms=expires_at_ms)
        room._panel.restore(snapshot.panel, mood_here, elapsed_ms=elapsed_ms, now_ms=now_ms)
        room._coins.restore(snapshot.coins, mood_here, elapsed_ms=elapsed_ms, now_ms=now_ms)
        room._broadcaster.update(room.summary(now_ms), NO_PEERS, at_ms=now_ms)
        room._broadcaster.settle(label_shown=snapshot.label_shown)
        return room

    @classmethod
    def wake(
        cls,
        snapshot: Snapshot,
        config: RoomConfig,
        connections: Mapping[Connection, VisitorKey],
        *,
        observers: Iterable[Connection] = (),
        connection_is_lease: bool = False,
    ) -> Self:
        """Go on after a sleep as if there had been none: the host kept the connections meanwhile.

        Args:
            snapshot: Taken after the last step.
            config: The same as then.
            connections: The visitor behind every connection that joined and is still open.
            observers: The connections that only observe, and are still open.
            connection_is_lease: As then.
        """
        room = cls(snapshot.room, config, now_ms=snapshot.as_of_ms, connection_is_lease=connection_is_lease)
        as_of_ms, members = snapshot.as_of_ms, room._members
        room._unknown_until_ms = snapshot.unknown_until_ms
        for key, mood, flags, left_ms in snapshot.people:
            members.admit(key, mood, flags, expires_at_ms=as_of_ms + left_ms)
        room._panel.wake(snapshot.panel, now_ms=as_of_ms)
        room._coins.restore(snapshot.coins, range(len(room._mood_index)), elapsed_ms=0, now_ms=as_of_ms)
        for connection, visitor in connections.items():
            members.reconnect(connection, visitor)
        members.suspect_unconnected(now_ms=as_of_ms)  # Those connections ended while the room slept.
        room._observers = set(observers)
        room._saved_at_ms = snapshot.saved_at_ms
        if snapshot.unsaved:
            room._unsaved_changes += 1
        counted_at_ms = as_of_ms if members.changes else snapshot.described_at_ms
        room._counted = room.changes, 0, NO_PEERS
        room._broadcaster.update(room.summary(counted_at_ms), NO_PEERS, at_ms=counted_at_ms)
        room._broadcaster.resume(
            LastBroadcast(
                snapshot.announced, snapshot.announced_at_ms, snapshot.label_shown, snapshot.told_apart
            )
        )
        return room

    def _moods_of(self, snapshot: Snapshot) -> list[int]:
        """Translate the moods of a snapshot to those of today."""
        unspoken = len(self._mood_index) - 1
        return [self._mood_index.get(mood, unspoken) for mood in (*snapshot.moods, UNSPOKEN)]


def _check_key(visitor: VisitorKey) -> None:
    if len(visitor) != KEY_BYTES:
        raise HostError(f"a visitor's key has {KEY_BYTES} bytes")
