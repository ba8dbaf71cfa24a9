"""The state of a room: its parts, queries, and snapshots.

``Room`` (``room.py``) adds the events. Everything that a room needs to go on is in a *snapshot*
(``snapshot.py``), except connections, which the host keeps. A room is *restored* from one after a crash or a
restart, when every connection is gone, or *resumed* after hibernation, in which the host kept the
connections. Hibernation cannot be observed from outside; a restart can, and the interval is wider after it.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Self

from breathing_room.core.broadcaster import Broadcaster, LastBroadcast
from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.deadlines import TICK_MS, quantize
from breathing_room.core.estimate.legacy_sampling import LegacySamplingEstimator
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.leases import RESTORED, SUSPECT
from breathing_room.core.members import Members
from breathing_room.core.panel import Panel
from breathing_room.core.presence import Presence
from breathing_room.core.snapshot import Snapshot
from breathing_room.core.summary import NO_PEERS, PeerState, Summary

if TYPE_CHECKING:
    from breathing_room.core.effects import Effect


class RoomState:
    """The parts of a room, and what they hold.

    Args:
        name: What the room is called; it is published.
        config: How the room works.
        now_ms: The host's time: milliseconds since 1970-01-01 UTC by a clock that does not jump. The room
            publishes it as ``as_of_ms``.
        unknown: Whether the room may have lost its memory of visitors. Its count is then unknown for one
            lease.
        connection_is_lease: Whether the host reports every disconnect, so that an open connection needs no
            heartbeat.
        rate_is_shared: Whether the sampling rate is set from outside (``RateSet``): one of several replicas
            sees too little to set it.
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
        self._panel = Panel(config, len(self._mood_index), now_ms=now_ms, rate_is_shared=rate_is_shared)
        self._legacy = LegacySamplingEstimator(len(self._mood_index))
        self._unknown_until_ms = quantize(now_ms + config.lease_ms) if unknown else None
        # The keys of a dict: a set that has just grown takes three times as much for each of very many.
        self._observers: dict[Connection, None] = {}
        self._peers = NO_PEERS
        # Closes and connections to keep, of events that were applied.
        self._effects: list[Effect] = []
        # Changes beside those of the members, and how far all of them are counted and saved.
        self._changes = self._unsaved_changes = 0
        self._counted: tuple[int, int, PeerState] = (0, 0, NO_PEERS)
        self._saved_changes = 0
        self._saved_at_ms = now_ms
        self._broadcaster = Broadcaster(name, config, self.summary(now_ms), now_ms=now_ms)

    # --- Queries -------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Leases held, of members and of seats of the panel."""
        return len(self._members) + self._panel.seat_count

    @property
    def suspect_count(self) -> int:
        """Members who are suspect: their connections are gone."""
        return len(self._members.suspects)

    @property
    def connection_count(self) -> int:
        """Connections of members; observers are not among them."""
        return self._members.connection_count

    @property
    def subscriber_count(self) -> int:
        """Connections that receive broadcasts: those of members, and observers."""
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
            at_ms: The time of the estimates.
        """
        return Summary(
            members=tuple(self._members.tally),
            suspect=tuple(self._members.suspect_tally),
            restored=self._members.restored_count,
            panel=self._panel.sums(at_ms),
            legacy=self._legacy.sums(at_ms),
            unknown=self._unknown_until_ms is not None,
        )

    def presence(self, *, now_ms: int) -> Presence:
        """Return the presence of the whole room, peers included, as of the last step.

        Args:
            now_ms: What to publish as ``as_of_ms``.
        """
        return self._broadcaster.presence(now_ms=max(self._now_ms, now_ms))

    def flush(self, *, now_ms: int) -> Presence:
        """Return the presence to send for the effects of a turn, at its end.

        It is that of ``presence``. If it is newer than the last broadcast, another broadcast will follow.
        """
        return self._broadcaster.flush(now_ms=max(self._now_ms, now_ms))

    @property
    def push_ms(self) -> int:
        """The time between two broadcasts."""
        return self._broadcaster.push_ms(self.subscriber_count)

    @property
    def last_broadcast(self) -> LastBroadcast:
        """The last broadcast: what every subscriber has received."""
        return self._broadcaster.last

    def resume_broadcasts(self, last: LastBroadcast | None) -> None:
        """Resume from the last broadcast; None takes the current counts as broadcast."""
        if last is None:
            self._broadcaster.settle(label_shown=self._broadcaster.last.label_shown)
        else:
            self._broadcaster.resume(last)

    @property
    def changes(self) -> int:
        """A number that differs whenever the room's own sums do."""
        return self._changes + self._members.changes

    @property
    def _is_unsaved(self) -> bool:
        return self._unsaved_changes + self._members.unsaved_changes != self._saved_changes

    # --- Snapshots -----------------------------------------------------------------------------------------

    @property
    def hibernation_version(self) -> tuple[object, ...]:
        """A value that differs whenever ``snapshot(connected=False)`` would, by more than the time that
        passed.
        """
        polled = None if self._panel.is_idle and self._legacy.is_idle else self.changes
        # Where there are peers, the host keeps the last broadcast with their state.
        last = () if self._peers.summaries else (self.last_broadcast.at_ms, self.last_broadcast.reply_ahead)
        return (
            *(*last, self._saved_at_ms, self._is_unsaved, self._unknown_until_ms),
            *(bool(self._members.connection_count), self._members.suspect_changes, polled),
        )

    def snapshot(self, *, connected: bool = True) -> Snapshot:
        """Return the state to resume or restore from, except connections, which the host keeps.

        Args:
            connected: Whether members with a connection are included: a host that keeps them with their
                connections (``KeepConnections``) does not need that.
        """
        last = self._broadcaster.last
        return Snapshot(
            room=self.name,
            as_of_ms=self._now_ms,
            moods=self.config.moods,
            members=self._members.leases(self._now_ms, connected=connected),
            panel=self._panel.snapshot(self._now_ms),
            legacy=self._legacy.snapshot(self._now_ms),
            unknown_until_ms=self._unknown_until_ms,
            counted_at_ms=self._broadcaster.counted_at_ms,
            broadcast=last.counts,
            broadcast_at_ms=last.at_ms,
            saved_at_ms=self._saved_at_ms,
            reply_ahead=last.reply_ahead,
            has_unsaved_changes=self._is_unsaved,
            label_shown=last.label_shown,
        )

    @classmethod
    def restore(
        cls, snapshot: Snapshot, config: RoomConfig, *, now_ms: int, connection_is_lease: bool = False
    ) -> Self:
        """Make a room after a crash or a restart, when every connection is gone.

        Members keep what is left of their leases, and are suspect until they come back. If all leases have
        ended meanwhile, it is not known who will come back: the room is unknown for one lease.

        Args:
            snapshot: The last one that was stored.
            config: How the room works from now on; a mood that it does not declare becomes unspoken.
            now_ms: The host's time. If it lies before the snapshot, a clock stepped back, and no time passed.
            connection_is_lease: As of a new room.
        """
        lost = snapshot.count > 0 and snapshot.live_count(now_ms) == 0
        # While the server was down nothing could be received: what was unknown then is unknown for another
        # lease.
        unknown = lost or snapshot.unknown_until_ms is not None
        room = cls(
            snapshot.room, config, now_ms=now_ms, unknown=unknown, connection_is_lease=connection_is_lease
        )
        elapsed_ms = max(0, now_ms - snapshot.as_of_ms)
        mood_here = room._moods_of(snapshot)
        for key, mood, _, left_ms in snapshot.members:
            if left_ms > elapsed_ms:
                longest_ms = config.lease_ms + TICK_MS
                expires_at_ms = now_ms + min(left_ms - elapsed_ms, longest_ms)
                room._members.admit(key, mood_here[mood], SUSPECT | RESTORED, expires_at_ms=expires_at_ms)
        room._panel.restore(snapshot.panel, mood_here, elapsed_ms=elapsed_ms, now_ms=now_ms)
        room._legacy.restore(snapshot.legacy, mood_here, elapsed_ms=elapsed_ms, now_ms=now_ms)
        room._broadcaster.update(room.summary(now_ms), NO_PEERS, at_ms=now_ms)
        room._broadcaster.settle(label_shown=snapshot.label_shown)
        return room

    @classmethod
    def resume(
        cls,
        snapshot: Snapshot,
        config: RoomConfig,
        connections: Mapping[Connection, VisitorKey],
        *,
        observers: Iterable[Connection] = (),
        connection_is_lease: bool = False,
    ) -> Self:
        """Resume after hibernation: the host kept the connections meanwhile.

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
        for key, mood, flags, left_ms in snapshot.members:
            members.admit(key, mood, flags, expires_at_ms=as_of_ms + left_ms)
        room._panel.resume(snapshot.panel, now_ms=as_of_ms)
        room._legacy.restore(snapshot.legacy, range(len(room._mood_index)), elapsed_ms=0, now_ms=as_of_ms)
        for connection, visitor in connections.items():
            members.reconnect(connection, visitor)
        members.mark_unconnected_suspect(now_ms=as_of_ms)  # Those connections ended during hibernation.
        room._observers = dict.fromkeys(observers)
        room._saved_at_ms = snapshot.saved_at_ms
        if snapshot.has_unsaved_changes:
            room._unsaved_changes += 1
        counted_at_ms = as_of_ms if members.changes else snapshot.counted_at_ms
        room._counted = room.changes, 0, NO_PEERS
        room._broadcaster.update(room.summary(counted_at_ms), NO_PEERS, at_ms=counted_at_ms)
        room._broadcaster.resume(
            LastBroadcast(
                snapshot.broadcast, snapshot.broadcast_at_ms, snapshot.label_shown, snapshot.reply_ahead
            )
        )
        return room

    def _moods_of(self, snapshot: Snapshot) -> list[int]:
        """Translate the moods of a snapshot to those of today."""
        unspoken = len(self._mood_index) - 1
        return [self._mood_index.get(mood, unspoken) for mood in (*snapshot.moods, UNSPOKEN)]
