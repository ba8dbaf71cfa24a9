"""The broadcaster: what is published of a room, to whom, and when.

Theory of operation
-------------------
A room knows its own sums, and those that its peers, the other replicas of the same room, sent last; on one
machine there are none (``NO_PEERS``). From both follow the *counts* that are published (``summary.py``).
Whenever they differ from the last ones the *version* rises. Effects name a version, and the presence of a
version is described once, when the host asks for it: a burst of a hundred joins in one turn of the host costs
a hundred additions, one description and one encoding.

Broadcasts are coalesced. The first change is broadcast at once, later ones when ``push_ms`` have passed,
which grows with the number of subscribers; changes that cancel out are not broadcast at all. A connection
that joins or begins to observe in between gets a reply of its own, which may be newer than the last broadcast
(*ahead*); then a broadcast follows even if the change was reverted.

Estimates drift with time alone. The drift is published with the next change and not before, so that neither
hibernation nor an extra timer can be observed from outside.
"""

from dataclasses import replace
from typing import NamedTuple

from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import Broadcast, Send
from breathing_room.core.identity import Connection
from breathing_room.core.presence import Counts, Presence, describe, read_label
from breathing_room.core.summary import NO_PEERS, PeerState, Summary, counts


class LastBroadcast(NamedTuple):
    """The last broadcast: what every subscriber has received.

    Attributes:
        counts: Its counts.
        at_ms: When it was sent.
        label_shown: The figure that the label shows, or None.
        reply_ahead: Whether a reply to one connection was newer, so that a broadcast follows in any case.
    """

    counts: Counts
    at_ms: int
    label_shown: int | None = None
    reply_ahead: bool = False


class Broadcaster:
    """Decides what is broadcast.

    Args:
        room: The room's name.
        config: How the room works.
        own: The room's own sums.
        now_ms: The room's time.

    Attributes:
        version: Rises whenever the counts differ from the last ones.
        counted_at_ms: The time of the estimates among the counts.
        is_dirty: Whether a broadcast is due, at once or later.
    """

    def __init__(self, room: str, config: RoomConfig, own: Summary, *, now_ms: int) -> None:
        self.version = 0
        self.counted_at_ms = now_ms
        self.is_dirty = False
        self._room = room
        self._config = config
        self._counts = counts(own, NO_PEERS, config)
        self._last = LastBroadcast(self._counts, now_ms - config.push_ms)
        self._presence: Presence | None = None

    @property
    def last(self) -> LastBroadcast:
        """The last broadcast, to resume from after hibernation."""
        return self._last

    def resume(self, last: LastBroadcast) -> None:
        """Resume from the last broadcast, after hibernation."""
        self._last = last
        self._presence = None
        self._compare()

    def settle(self, *, label_shown: int | None) -> None:
        """Take the current counts as broadcast: there is no subscriber yet."""
        self.resume(self._last._replace(counts=self._counts, label_shown=label_shown, reply_ahead=False))

    def update(self, own: Summary, peers: PeerState, *, claims: int = 0, at_ms: int) -> None:
        """Compute the counts again, after a change.

        Args:
            own: The room's own sums.
            peers: What is known of the other replicas.
            claims: Visitors claimed here whose claims the peers may not have read.
            at_ms: The time of the estimates.
        """
        self.counted_at_ms = at_ms
        counted = counts(own, peers, self._config, claims=claims)
        if counted != self._counts:
            self._counts = counted
            self._presence = None
            self.version += 1
        self._compare()

    def step(self, requester: Connection | None, *, subscribers: int, now_ms: int) -> Broadcast | Send | None:
        """Return what is to be sent now, None for nothing.

        Args:
            requester: A connection that waits for a first presence, None for none.
            subscribers: How many connections get broadcasts.
            now_ms: The room's time.
        """
        if self.is_dirty and now_ms >= self._last.at_ms + self.push_ms(subscribers):
            # The label moves with what is broadcast, and with nothing else.
            _, label_shown = read_label(
                self._counts.count, self._counts.low, self._counts.high, shown=self._last.label_shown
            )
            self._last = LastBroadcast(self._counts, now_ms, label_shown)
            self.is_dirty = False
            return Broadcast(self.version)
        if requester is None:
            return None
        self._note_reply()
        return Send(requester, self.version)

    def push_ms(self, subscribers: int) -> int:
        """Return the time between two broadcasts: it grows with the subscribers once they would cost too
        much.
        """
        return max(self._config.push_ms, subscribers * 1_000 // self._config.pushes_per_s)

    def next_at_ms(self, subscribers: int) -> int | None:
        """Return when the next broadcast is due, None if every subscriber has the current version."""
        return self._last.at_ms + self.push_ms(subscribers) if self.is_dirty else None

    def presence(self, *, now_ms: int) -> Presence:
        """Return the presence of this version, described once; ``now_ms`` becomes its ``as_of_ms``."""
        presence = self._presence
        if presence is None:
            presence = self._presence = describe(
                self._room, self._config, self._counts, at_ms=now_ms, label_shown=self._last.label_shown
            )
        elif presence.as_of_ms != now_ms:
            epoch = now_ms // self._config.epoch_ms
            presence = self._presence = replace(presence, as_of_ms=now_ms, epoch=epoch)
        return presence

    def flush(self, *, now_ms: int) -> Presence:
        """Return the presence to send, at the end of a turn.

        It may be newer than the version that an effect named.
        """
        self._note_reply()
        return self.presence(now_ms=now_ms)

    def _note_reply(self) -> None:
        """Note that a connection is sent a version that was not broadcast."""
        if self.is_dirty and not self._last.reply_ahead:
            self._last = self._last._replace(reply_ahead=True)

    def _compare(self) -> None:
        self.is_dirty = self._last.reply_ahead or self._counts != self._last.counts
