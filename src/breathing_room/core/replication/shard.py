"""A shard: an object of a room beside the first one, which is the coordinator (``coordinator.py``).

A shard knows the coordinator only. It sends *reports*, and receives *updates*: the deltas that it has not
read, and the state of all other parts of the room, in one sum. Once calls to the coordinator have failed
for ``suspect_after_ms`` it is cut off, and that state is old.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from breathing_room.core.codec import DAMAGE, pack, unpack
from breathing_room.core.errors import HostError
from breathing_room.core.replication.delta import (
    BEGINNING,
    Delta,
    MoodsOf,
    PeerId,
    RoomDelta,
    decode,
    encode_delta,
)
from breathing_room.core.replication.membership import poisson_upper_bound
from breathing_room.core.summary import PeerState, Summary, as_suspect


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """What a shard sends to the coordinator.

    Attributes:
        number: Rises with every report of the shard, so that one that was overtaken is recognized.
        connections: The number of connections that it holds.
        delta: Its sums, the keys of the visitors who came and went, and how far it had read.
    """

    number: int
    connections: int
    delta: Delta

    def encode(self, moods_of: MoodsOf) -> bytes:
        """Encode it."""
        head = {"number": self.number, "sockets": self.connections}
        return pack(head, encode_delta(self.delta, moods_of))

    @classmethod
    def decode(cls, value: bytes, moods_of: MoodsOf) -> Self:
        """Decode it.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(value)
        try:
            return cls(
                number=int(head["number"]),
                connections=int(head["sockets"]),
                delta=read_delta(values[0], moods_of),
            )
        except DAMAGE as error:
            raise HostError("a damaged report of a shard") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorUpdate:
    """What the coordinator sends to a shard.

    Attributes:
        version: Rises with every change, so that an update that was overtaken is recognized.
        peers: What is known of all other parts of the room, the coordinator's included, in one sum.
        delta: The same sum as a delta, and how far the shard has read with ``entries``.
        entries: What the shard had not read of the log.
        rate: The sampling rate.
        resync: Whether the shard is to claim all of its visitors again.
    """

    version: int
    peers: PeerState
    delta: Delta
    entries: tuple[Delta, ...] = ()
    rate: float = 1.0
    resync: bool = False

    def encode(self, moods_of: MoodsOf) -> bytes:
        """Encode it."""
        peers = self.peers
        head = {
            "version": self.version,
            "unread": peers.unread,
            "silent_unread": peers.suspect_unread,
            "newcomers": peers.unseen_joins,
            "rate": self.rate,
            "say_all": self.resync,
        }
        return pack(head, *(encode_delta(delta, moods_of) for delta in (self.delta, *self.entries)))

    @classmethod
    def decode(cls, value: bytes, moods_of: MoodsOf) -> Self:
        """Decode it.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(value)
        try:
            delta, *entries = (read_delta(delta, moods_of) for delta in values)
            (part,) = delta.rooms.values()
            peers = PeerState(
                (part.summary,),
                unread=None if head["unread"] is None else int(head["unread"]),
                suspect=part.summary.suspect,
                suspect_unread=int(head["silent_unread"]),
                unseen_joins=int(head["newcomers"]),
            )
            return cls(
                version=int(head["version"]),
                peers=peers,
                delta=delta,
                entries=tuple(entries),
                rate=float(head["rate"]),
                resync=bool(head["say_all"]),
            )
        except DAMAGE as error:
            raise HostError("a damaged update of a coordinator") from error


def read_delta(value: bytes, moods_of: MoodsOf) -> Delta:
    """Decode a delta.

    Raises:
        HostError: It is damaged, or a command of an operator.
    """
    delta = decode(value, moods_of)
    if not isinstance(delta, Delta):
        raise HostError("expected a delta, not a command of an operator")
    return delta


class Shard:
    """The other parts of a room, as a shard knows them.

    Args:
        room: The room's name.
        own: The shard itself.
        empty: The sums of an empty room.
        suspect_after_ms: For how long calls to the coordinator may fail before the shard is cut off.

    Attributes:
        own: The shard itself.
        read: The last entry of the log that it has read.
    """

    def __init__(self, room: str, own: PeerId, empty: Summary, *, suspect_after_ms: int) -> None:
        self.room = room
        self.own = own
        self.read = BEGINNING
        self._empty = empty
        self._suspect_after_ms = suspect_after_ms
        self._number = 0
        self._update: CoordinatorUpdate | None = None
        self._failing_since_ms: int | None = None

    @property
    def is_new(self) -> bool:
        """Whether no update was ever received."""
        return self._update is None

    @property
    def is_failing(self) -> bool:
        """Whether the last call failed."""
        return self._failing_since_ms is not None

    @property
    def rate(self) -> float:
        """The sampling rate."""
        return 1.0 if self._update is None else self._update.rate

    def restart(self, now_ms: int) -> None:
        """Become another peer of the same name: its connections are lost."""
        self.own = (self.own[0], now_ms)

    def report(self, part: RoomDelta, connections: int, now_ms: int) -> ShardReport:
        """Return the report that holds a delta of the room."""
        self._number = max(self._number + 1, now_ms)
        delta = Delta(sender=self.own, lease_ms=0, read=self.read, rooms={self.room: part})
        return ShardReport(number=self._number, connections=connections, delta=delta)

    def receive(self, update: CoordinatorUpdate) -> Sequence[Delta]:
        """Apply an update.

        Returns:
            The deltas that were not read before, in order.
        """
        self._failing_since_ms = None
        end, entries = update.delta.read, update.entries
        unread: Sequence[Delta] = ()
        is_new_log = update.resync or end[0] != self.read[0]
        if is_new_log or end > self.read:
            unread = entries if is_new_log else entries[max(0, self.read[1] - end[1] + len(entries)) :]
            self.read = end
        if self._update is None or is_new_log or update.version > self._update.version:
            self._update = replace(update, entries=(), resync=False)
        return unread

    def failed(self, now_ms: int) -> None:
        """Note that a call to the coordinator failed."""
        if self._failing_since_ms is None:
            self._failing_since_ms = now_ms

    def peer_state(self, room: str, now_ms: int) -> PeerState:
        """Return the state of the other parts; once the shard is cut off, the last one known."""
        del room
        if self._update is None:
            return PeerState((replace(self._empty, unknown=True),), stale=True)
        # The panel is the coordinator's, and so is the rate that is published.
        peers, since_ms = replace(self._update.peers, rate=self.rate), self._failing_since_ms
        if since_ms is None:
            return peers
        if now_ms - since_ms <= self._suspect_after_ms:
            return replace(peers, until_ms=since_ms + self._suspect_after_ms)
        (summary,) = peers.summaries
        expected = summary.arrivals_per_s * (now_ms - since_ms) / 1_000
        return replace(
            peers,
            summaries=(as_suspect(summary),),
            unread=None,
            suspect=summary.members,
            unseen_joins=peers.unseen_joins + poisson_upper_bound(expected),
            stale=True,
        )

    def encode(self, moods_of: MoodsOf) -> bytes:
        """Encode the state that hibernation must not lose."""
        head = {
            "own": self.own,
            "read": self.read,
            "number": self._number,
            "failing_since_ms": self._failing_since_ms,
        }
        return pack(head, *([] if self._update is None else [self._update.encode(moods_of)]))

    def resume(self, value: bytes, moods_of: MoodsOf) -> None:
        """Decode what ``encode`` returned, and resume from it.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(value)
        try:
            (name, epoch), (began_at_ms, last) = head["own"], head["read"]
            self.own, self.read = (str(name), int(epoch)), (int(began_at_ms), int(last))
            self._number, self._failing_since_ms = int(head["number"]), head["failing_since_ms"]
        except DAMAGE as error:
            raise HostError("a damaged row of a shard") from error
        self._update = CoordinatorUpdate.decode(values[0], moods_of) if values else None
