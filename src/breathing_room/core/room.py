"""The room: who is here now.

Rule 1: everything that changes who is present happens in this file.
Rule 2: this file does not know how it is hosted. It opens no socket, reads no clock and draws no random number.

Theory of operation
-------------------
A person is *present* while a lease lasts. A sign of life renews the lease; a goodbye ends it at once; a socket
that breaks shortens it to ``grace_ms``, since most broken sockets come back. Nobody counts up and down: the
count is the number of leases.

Some leases say less than others. A person is *silent* when we hold a lease but have reason to doubt it: the
socket broke, or the room was restored from a snapshot and the person was not heard from since. Silent people are
counted, and the interval says what they leave open: ``low`` is without them, ``high`` is with them. While some of
the silent are left from before a restart, the method is ``stale``; when all of them are back or lapsed it is
``counted`` again. So a restart is not an exodus, and needs no rule of its own. A room that has lost its memory
altogether is ``unknown`` for one lease, in which everybody on a socket comes back.

People without a socket are the business of the panel (``panel.py``): some of them report, and stand for the others.
Whoever gets a socket leaves the panel. The count is the sum of both, and so is each end of the interval.

Some hosts cannot ping, and must not: at an edge the network itself tells of every socket that ends, and a sign of life would
only wake a room that sleeps. There an open socket *is* the lease (``connection_is_lease``), and time ends only the others.

Announcements are coalesced: the first change is told at once, later ones when ``push_ms`` have passed, and
changes that took each other back are not told at all.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self, assert_never

from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.deadlines import TICK_MS, on_grid
from breathing_room.core.effects import Announce, Close, Effect, Save, Step, Tell
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
    Paced,
    Reported,
    Tossed,
    Withdrew,
    Woken,
)
from breathing_room.core.identity import KEY_BYTES, Connection, VisitorKey
from breathing_room.core.leases import RESTORED, SILENT
from breathing_room.core.members import Members
from breathing_room.core.panel import Panel
from breathing_room.core.presence import Presence, describe, read_label
from breathing_room.core.snapshot import Snapshot
from breathing_room.core.summary import Summary
from breathing_room.core.summary import facts as facts_of
from breathing_room.core.wire import LEASE_ENDED


class Room:
    """Counts the people in one room, by mood.

    Args:
        name: What the room is called; it is published.
        config: How the room works.
        now_ms: The host's time: milliseconds since 1970-01-01 UTC by a clock that does not jump. The room
            publishes it as ``as_of_ms``.
        unknown: Whether there may be people of whom the room has lost all memory. It then says so until they
            must have been heard from.
        connection_is_lease: Whether the host reports every disconnect, so that an open connection needs no heartbeat.
        rate_is_shared: Whether the sampling rate is set from outside (``Paced``): one of several machines sees too little to set it.
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
        self.audience_size = 0
        """Connections that are told of every change. The host says it: of those who only observe the room keeps nothing."""
        self._now_ms = now_ms
        self._members = Members(config, connection_is_lease=connection_is_lease)
        self._mood_index = {mood: index for index, mood in enumerate((*config.moods, UNSPOKEN))}
        self._unknown_until_ms = on_grid(now_ms + config.lease_ms) if unknown else None
        self._panel = Panel(config, len(self._mood_index), now_ms=now_ms, paced=rate_is_shared)
        self._coins = LegacySamplingEstimator(len(self._mood_index))
        self._label_shown: int | None = None
        self._descriptions = 0
        self._describe(now_ms)
        self._announced = self._facts
        self._announced_at_ms = now_ms - config.push_ms
        self._untold = False
        self._told_apart = False
        self._saved_at_ms = now_ms
        self._unsaved = False
        self._changed = False
        # How far the changes of the members are known.
        self._members_seen = (0, 0)

    # --- What the room can be asked ---------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Leases held, of people on sockets and of seats of the panel."""
        return len(self._members) + self._panel.seat_count

    @property
    def silent_count(self) -> int:
        """People on sockets whose lease is in doubt: their sockets are gone."""
        return len(self._members.suspects)

    @property
    def connection_count(self) -> int:
        """Sockets of people who joined; observers are not among them."""
        return self._members.connection_count

    @property
    def members(self) -> Members:
        """The visitors with a connection; to be read only."""
        return self._members

    @property
    def panel(self) -> Panel:
        """The people without a socket; to look at, not to touch."""
        return self._panel

    def holds(self, visitor: VisitorKey) -> bool:
        """Tell whether a visitor has a lease."""
        return visitor in self._members or self._panel.holds(visitor)

    def summary(self, at_ms: int) -> Summary:
        """Say in sums what the room knows, as of the last step.

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
        """Say who is here, as of the last step.

        Args:
            now_ms: What to publish as ``as_of_ms``.
        """
        as_of_ms = max(self._now_ms, now_ms)
        if as_of_ms == self._presence.as_of_ms:
            return self._presence
        return replace(self._presence, as_of_ms=as_of_ms, epoch=as_of_ms // self.config.epoch_ms)

    # --- Rest -------------------------------------------------------------------------------------------------

    @property
    def descriptions(self) -> int:
        """How often there was something new to say: a number that differs whenever the summary does."""
        return self._descriptions

    @property
    def rest_stamp(self) -> tuple[object, ...]:
        """Something that differs whenever there is more to know of ``snapshot(connected=False)`` than that time passed."""
        polled = None if self._panel.is_idle and self._coins.is_idle else self._descriptions
        told = (self._announced_at_ms, self._told_apart, self._saved_at_ms, self._unsaved)
        return (
            *told,
            self._unknown_until_ms,
            bool(self._members.connection_count),
            tuple(self._members.suspects),
            polled,
        )

    def snapshot(self, *, connected: bool = True) -> Snapshot:
        """Take everything down, connections excepted: those are the host's to remember.

        Args:
            connected: Whether to take down those who have a connection, too: a host that keeps them beside their
                connections does not need that.
        """
        return Snapshot(
            room=self.name,
            as_of_ms=self._now_ms,
            moods=self.config.moods,
            people=self._members.leases(self._now_ms, connected=connected),
            panel=self._panel.snapshot(self._now_ms),
            coins=self._coins.snapshot(self._now_ms),
            unknown_until_ms=self._unknown_until_ms,
            described_at_ms=self._described_at_ms,
            announced=self._announced,
            announced_at_ms=self._announced_at_ms,
            saved_at_ms=self._saved_at_ms,
            told_apart=self._told_apart,
            unsaved=self._unsaved,
            label_shown=self._label_shown,
        )

    @classmethod
    def restore(
        cls, snapshot: Snapshot, config: RoomConfig, *, now_ms: int, connection_is_lease: bool = False
    ) -> Self:
        """Begin again after a crash or a restart, when every connection is gone.

        People keep what is left of their leases, and are silent until they are heard from. If everybody's lease
        has ended meanwhile, nobody knows who will come back: the room is unknown for one lease.

        Args:
            snapshot: The last one that was stored.
            config: How the room works from now on; a mood that it does not declare becomes unspoken.
            now_ms: The host's time. If it lies before the snapshot, a clock stepped back, and no time passed.
            connection_is_lease: As of a new room.
        """
        lost = snapshot.count > 0 and snapshot.live_count(now_ms) == 0
        # The time for which we were down gave nobody a chance to be heard: what was unknown is so anew.
        unknown = lost or snapshot.unknown_until_ms is not None
        room = cls(
            snapshot.room, config, now_ms=now_ms, unknown=unknown, connection_is_lease=connection_is_lease
        )
        room._label_shown = snapshot.label_shown
        elapsed_ms = max(0, now_ms - snapshot.as_of_ms)
        mood_here = room._moods_of(snapshot)
        for key, mood, _, left_ms in snapshot.people:
            if left_ms > elapsed_ms:
                longest_ms = config.lease_ms + TICK_MS
                expires_at_ms = now_ms + min(left_ms - elapsed_ms, longest_ms)
                room._members.admit(key, mood_here[mood], SILENT | RESTORED, expires_at_ms=expires_at_ms)
        room._panel.restore(snapshot.panel, mood_here, elapsed_ms=elapsed_ms, now_ms=now_ms)
        room._coins.restore(snapshot.coins, mood_here, elapsed_ms=elapsed_ms, now_ms=now_ms)
        room._describe(now_ms)
        room._announced = room._facts  # Nobody is connected: there is nobody to tell.
        return room

    @classmethod
    def wake(
        cls,
        snapshot: Snapshot,
        config: RoomConfig,
        connections: Mapping[Connection, VisitorKey],
        *,
        connection_is_lease: bool = False,
    ) -> Self:
        """Go on after a sleep as if there had been none: the host kept the connections meanwhile.

        Args:
            snapshot: Taken after the last step.
            config: The same as then.
            connections: The visitor behind every connection that joined and is still open.
            connection_is_lease: As then.
        """
        room = cls(snapshot.room, config, now_ms=snapshot.as_of_ms, connection_is_lease=connection_is_lease)
        room._unknown_until_ms = snapshot.unknown_until_ms
        room._label_shown = snapshot.label_shown
        for key, mood, flags, left_ms in snapshot.people:
            room._members.admit(key, mood, flags, expires_at_ms=snapshot.as_of_ms + left_ms)
        room._panel.wake(snapshot.panel, now_ms=snapshot.as_of_ms)
        room._coins.restore(
            snapshot.coins, range(len(room._mood_index)), elapsed_ms=0, now_ms=snapshot.as_of_ms
        )
        for connection, visitor in connections.items():
            room._members.reconnect(connection, visitor)
        room._members.suspect_unconnected(
            now_ms=snapshot.as_of_ms
        )  # Those connections ended while the room slept.
        room._note_changes()
        room._announced = snapshot.announced
        room._announced_at_ms = snapshot.announced_at_ms
        room._saved_at_ms = snapshot.saved_at_ms
        room._unsaved = room._unsaved or snapshot.unsaved
        room._told_apart = snapshot.told_apart
        room._describe(snapshot.as_of_ms if room._changed else snapshot.described_at_ms)
        room._untold = room._told_apart or room._facts != room._announced
        room._changed = False
        return room

    def _moods_of(self, snapshot: Snapshot) -> list[int]:
        """Translate the moods of a snapshot to those of today."""
        unspoken = len(self._mood_index) - 1
        return [self._mood_index.get(mood, unspoken) for mood in (*snapshot.moods, UNSPOKEN)]

    # --- What the room can be told ----------------------------------------------------------------------------

    def step(self, event: Event, *, now_ms: int) -> Step:
        """Tell the room one thing, and learn what to do about it.

        Args:
            event: What happened.
            now_ms: The host's time. A value earlier than the last one counts as the last one: clocks of
                sleeping hosts do step back.

        Returns:
            The orders for the host, and when to wake the room.

        Raises:
            HostError: The event names a connection that joined already, or a mood that was not declared.
            PeerError: A visitor opened too many connections.
        """
        now_ms = max(self._now_ms, now_ms)
        self._check(event, now_ms)
        self._now_ms = now_ms
        effects: list[Effect] = []
        asker: Connection | None = None
        self._come_due(effects)

        match event:
            case Heard(connection):
                # A sign of life may cross its own eviction on the wire: not an error. The same goes below.
                if member := self._members.by_connection(connection):
                    self._members.renew(member, now_ms=now_ms)
            case Joined(connection, visitor, mood):
                asker = connection
                self._join(connection, visitor, mood)
            case Observed(connection):
                asker = connection
            case MoodChanged(connection, mood):
                if member := self._members.by_connection(connection):
                    self._members.set_mood(member, self._mood_index[mood])
                    self._members.renew(member, now_ms=now_ms)
            case Left(connection):
                if member := self._members.disconnect(connection):
                    self._members.remove(member)
            case Broke(connection):
                if member := self._members.disconnect(connection):
                    self._members.suspect(member, now_ms=now_ms)
            case Reported(visitor, ticket, mood, prefix):
                self._report(visitor, ticket, mood, prefix)
            case Tossed(visitor, mood):
                self._toss(visitor, mood)
            case Withdrew(visitor):
                self._withdraw(visitor)
            case Moved() | Paced() | Inherited():
                self._hear(event)
            case Woken():
                pass
            case _:
                assert_never(event)

        self._note_changes()
        self._tell(asker, effects)
        self._save(effects)
        return Step(tuple(effects), self._wake_at_ms())

    def _check(self, event: Event, now_ms: int) -> None:
        """Refuse an event before anything is done about it. Sockets whose lease is over by now count as closed."""
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

    # --- People come, feel, and go ----------------------------------------------------------------------------

    def _join(self, connection: Connection, visitor: VisitorKey, mood: str | None) -> None:
        """Somebody came in over a connection."""
        self._panel.withdraw(visitor)
        self._coins.forget(visitor)
        index = None if mood is None else self._mood_index[mood]
        self._members.join(connection, visitor, index, now_ms=self._now_ms)

    def _report(self, visitor: VisitorKey, ticket: float, mood: str | None, prefix: bytes | None) -> None:
        """Somebody without a socket came in, named a mood, or gave a sign of life."""
        index = None if mood is None else self._mood_index[mood]
        if member := self._members.get(visitor):
            if member.connections:  # Counted already; but a report that was under way still says something.
                if index is not None:
                    self._members.set_mood(member, index)
                self._members.renew(member, now_ms=self._now_ms)
                return
            index = member.mood if index is None else index
            self._members.remove(member)  # The connection ended, and reports took over.
        self._coins.forget(visitor)
        if self._panel.report(visitor, ticket, index, self._now_ms, prefix):
            self._changed = self._unsaved = True

    def _toss(self, visitor: VisitorKey, mood: str) -> None:
        """Somebody who flips coins sent something."""
        if visitor not in self._members:
            self._coins.report(visitor, self._mood_index[mood], self._now_ms)
            self._changed = self._unsaved = True

    def _withdraw(self, visitor: VisitorKey) -> None:
        """Somebody without a connection said goodbye."""
        member = self._members.get(visitor)
        if member is not None and not member.connections:
            self._members.remove(member)  # The connection ended, and the visitor does not come back.
        elif self._panel.withdraw(visitor):
            self._changed = self._unsaved = True

    def _hear(self, event: Moved | Paced | Inherited) -> None:
        """Another machine that holds a part of the room said something."""
        match event:
            case Moved(visitor):
                self._let_go(visitor)
            case Paced(rates, changed_at_ms):
                self._panel.pace(rates, changed_at_ms, self._now_ms)
                self._changed = True
            case Inherited(seats):
                self._panel.inherit(seats, self._members, self._now_ms)
                self._changed = self._unsaved = True
            case _:
                assert_never(event)

    def _let_go(self, visitor: VisitorKey) -> None:
        """Somebody is counted elsewhere from now on."""
        self._coins.forget(visitor)
        if self._panel.withdraw(visitor):
            self._changed = self._unsaved = True
        if member := self._members.get(visitor):
            self._members.remove(member)

    def _come_due(self, effects: list[Effect]) -> None:
        """Do what is due by time."""
        effects += [Close(connection, LEASE_ENDED) for connection in self._members.expire(self._now_ms)]
        panel_at_ms = self._panel.next_at_ms
        if panel_at_ms is not None and panel_at_ms <= self._now_ms and self._panel.come_due(self._now_ms):
            self._changed = self._unsaved = True
        if (coins_at_ms := self._coins.next_at_ms) is not None and coins_at_ms <= self._now_ms:
            self._coins.come_due(self._now_ms)
            self._changed = self._unsaved = True
        if self._unknown_until_ms is not None and self._unknown_until_ms <= self._now_ms:
            self._unknown_until_ms = None
            self._changed = self._unsaved = True

    def _note_changes(self) -> None:
        """Take note of what changed among the members."""
        seen = self._members.changes, self._members.unsaved_changes
        self._changed = self._changed or seen[0] != self._members_seen[0]
        self._unsaved = self._unsaved or seen[1] != self._members_seen[1]
        self._members_seen = seen

    # --- What is told, kept and awaited -----------------------------------------------------------------------

    def _describe(self, at_ms: int) -> None:
        """Put down what the room says until something changes.

        Estimates drift with time alone. That shows with the next change and not before, so that neither a sleep nor
        a needless wake-up can be told from outside.
        """
        self._described_at_ms = at_ms
        self._descriptions += 1
        self._facts = facts = facts_of([self.summary(at_ms)], self.config)
        self._presence = describe(self.name, self.config, facts, at_ms=at_ms, label_shown=self._label_shown)

    @property
    def push_ms(self) -> int:
        """The time between two announcements: it grows with the audience once they would cost too much."""
        listeners = max(self.audience_size, self._members.connection_count)
        return max(self.config.push_ms, listeners * 1_000 // self.config.pushes_per_s)

    def _tell(self, asker: Connection | None, effects: list[Effect]) -> None:
        """Announce what changed, if it is time, and at least answer whoever asked."""
        if self._changed:
            self._changed = False
            self._describe(self._now_ms)
            self._untold = self._told_apart or self._facts != self._announced
        if self._untold and self._now_ms >= self._announced_at_ms + self.push_ms:
            self._untold = self._told_apart = False
            told = self._announced = self._facts
            self._announced_at_ms = self._now_ms
            # The label moves with what everybody is told, and with nothing else.
            _, self._label_shown = read_label(told.count, told.low, told.high, shown=self._label_shown)
            effects.append(Announce(self.presence(now_ms=self._now_ms)))
        elif asker is not None:
            # Whoever is told something that the others were not must be told when it is taken back.
            self._told_apart = self._told_apart or self._untold
            effects.append(Tell(asker, self.presence(now_ms=self._now_ms)))

    def _save(self, effects: list[Effect]) -> None:
        if self._unsaved and self._now_ms >= self._saved_at_ms + self.config.snapshot_ms:
            self._unsaved = False
            self._saved_at_ms = self._now_ms
            effects.append(Save())

    def _wake_at_ms(self) -> int | None:
        wishes = [
            self._members.next_at_ms,
            self._panel.next_at_ms,
            self._coins.next_at_ms,
            self._unknown_until_ms,
            self._announced_at_ms + self.push_ms if self._untold else None,
            self._saved_at_ms + self.config.snapshot_ms if self._unsaved else None,
        ]
        return min((wish for wish in wishes if wish is not None), default=None)


def _check_key(visitor: VisitorKey) -> None:
    if len(visitor) != KEY_BYTES:
        raise HostError(f"a visitor's key has {KEY_BYTES} bytes")
