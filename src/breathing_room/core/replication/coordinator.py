"""The coordinator of a room that several objects hold: their membership, and their log.

Theory of operation
-------------------
Where one object of an edge is too small for a room, several hold it. The first is the *coordinator*; it knows
the *shards*, and they know no other object. What they send is what servers send each other (``delta.py``):
sums, and the keys of the visitors who came. What is known of them together is a membership like that of a
server (``membership.py``). Two things differ.

*There are no ticks.* An object hibernates while nothing happens, so one that sends nothing is not suspect.
Either side calls the other when it has something to send, and either call carries a *report* up and an
*update* down (``shard.py``). A shard is unreachable since calls to it fail. The platform starts an object
that died as soon as it is called, so that is rare.

*The coordinator is the log.* It gives claims their order. An update brings those that the shard has not read,
and the sum of all other parts; so a shard adds two summaries, however many parts there are. A report holds
the position up to which its shard had read, which bounds the visitors who may be counted twice: a claim is
unread until every part has reported after it. Lost calls are repeated, because nothing counts as read before
it was acknowledged. If the coordinator lost its memory, or removed a shard, the shard claims all of its
visitors again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from breathing_room.core.codec import DAMAGE, pack, unpack
from breathing_room.core.errors import HostError
from breathing_room.core.replication.delta import (
    BEGINNING,
    Delta,
    EntryId,
    MoodsOf,
    PeerId,
    RoomDelta,
    encode_delta,
)
from breathing_room.core.replication.membership import Membership, Peer
from breathing_room.core.replication.shard import CoordinatorUpdate, ShardReport, read_delta
from breathing_room.core.summary import PeerState, Summary, add_members

LOG_KEYS_MAX: Final = 50_000
"""Keys that the log may hold for a shard that cannot be reached, 16 bytes each: a row of the edge has at most
2 MB. Beyond it the shard claims all of its visitors again."""


class DeltaLog:
    """The deltas that a shard may not have read, in their order.

    Args:
        end: The last entry so far.

    Attributes:
        start: The last entry that was dropped.
        end: The last entry.
    """

    def __init__(self, end: EntryId) -> None:
        self.start = self.end = end
        self._entries: list[Delta] = []
        self._keys = 0

    def __len__(self) -> int:
        """Return the number of deltas in it."""
        return len(self._entries)

    def append(self, delta: Delta) -> EntryId:
        """Append a delta, and drop the oldest ones if they hold too many keys; return its place."""
        self.end = (self.end[0], self.end[1] + 1)
        self._entries.append(delta)
        self._keys += _keys(delta)
        while self._keys > LOG_KEYS_MAX:
            self._drop(1)
        return self.end

    def since(self, entry: EntryId) -> tuple[Delta, ...]:
        """Return the deltas after an entry, which is not before ``start``."""
        return tuple(self._entries[entry[1] - self.start[1] :])

    def trim(self, entry: EntryId) -> None:
        """Drop the deltas up to an entry."""
        self._drop(max(0, entry[1] - self.start[1]))

    def _drop(self, count: int) -> None:
        self._keys -= sum(map(_keys, self._entries[:count]))
        del self._entries[:count]
        self.start = (self.start[0], self.start[1] + count)


@dataclass(slots=True)
class ShardState:
    """What a coordinator keeps of a shard.

    Attributes:
        peer: The shard as a peer; it is unreachable since calls to it fail.
        number: That of its last report.
        connections: The number of connections that it holds.
        informed: The version of which it was informed last.
        called_at_ms: When it last was called, or called.
    """

    peer: Peer
    number: int
    connections: int
    informed: int = 0
    called_at_ms: int = 0


class Coordinator:
    """The shards of a room, as its first object knows them.

    Args:
        room: The room's name.
        own: The coordinator itself.
        empty: The sums of an empty room.
        suspect_after_ms: For how long calls to a shard may fail before it is suspect.
        lease_ms: After how long it is removed.
        now_ms: The time.

    Attributes:
        shards: The number of objects among which visitors are spread, the coordinator included.
        version: Rises with every change of which the shards are to be informed.
    """

    def __init__(
        self, room: str, own: PeerId, empty: Summary, *, suspect_after_ms: int, lease_ms: int, now_ms: int
    ) -> None:
        self.room = room
        self.shards = 1
        self.version = now_ms
        self._empty = empty
        self._suspect_after_ms = suspect_after_ms
        self._lease_ms = lease_ms
        self._states: dict[int, ShardState] = {}
        self._begin(own, (now_ms, 0))

    def _begin(self, own: PeerId, end: EntryId) -> None:
        """Begin a log and a membership after an entry."""
        self._log = DeltaLog(end)
        self._members = Membership(
            own, suspect_after_ms=self._suspect_after_ms, seat_lease_ms=0, now_ms=inf, end=end
        )

    @property
    def own(self) -> PeerId:
        """The coordinator itself."""
        return self._members.own

    @property
    def end(self) -> EntryId:
        """The last entry of the log."""
        return self._log.end

    @property
    def states(self) -> Mapping[int, ShardState]:
        """The shards by their numbers, from 1; to be read only."""
        return self._states

    @property
    def connections(self) -> int:
        """The number of connections that the shards hold."""
        return sum(state.connections for state in self._states.values())

    # --- Scaling -------------------------------------------------------------------------------------------

    def add_shards(self, full: int, most: int) -> bool:
        """Double the number of objects if all that are in use are full.

        Args:
            full: How many were found full.
            most: How many there may be.

        Returns:
            Whether all of them were.
        """
        if full < self.shards:
            return False
        self.shards = min(2 * self.shards, most)
        return True

    def remove_shards(self, connections: int, connections_per_shard: int) -> bool:
        """Halve the number of objects if a quarter of them would do.

        Args:
            connections: The number of connections that the coordinator itself holds.
            connections_per_shard: How many an object may hold.

        Returns:
            Whether there are fewer now.
        """
        if self.shards == 1 or 4 * (connections + self.connections) >= self.shards * connections_per_shard:
            return False
        self.shards //= 2
        return True

    # --- Reports and updates -------------------------------------------------------------------------------

    def touch(self, now_ms: int) -> None:
        """Note a change of which the shards are to be informed."""
        self.version = max(self.version + 1, now_ms)

    def append(self, part: RoomDelta, now_ms: int) -> None:
        """Append a delta of the coordinator itself to the log."""
        self.touch(now_ms)
        self._append(Delta(sender=self.own, lease_ms=self._lease_ms, read=self.end, rooms={self.room: part}))

    def receive(self, shard: int, report: ShardReport, now_ms: int) -> tuple[list[Delta], bool]:
        """Apply a report of a shard.

        Returns:
            The deltas that the coordinator's own replica has to apply, in order; and whether the shard is to
            claim all of its visitors again.
        """
        deltas: list[Delta] = []
        was_informed = shard in self._states and not self._is_behind(self._states[shard])
        delta = report.delta
        part = delta.rooms[self.room]
        state = self._states.get(shard)
        if state is not None and state.peer.id != delta.sender:
            deltas.append(self._remove(shard))
            state = None
        knows_us = self._log.start <= delta.read <= self.end
        read = delta.read if knows_us else self.end
        # A shard that has read nothing yet is new, and has no visitors.
        resync = delta.read != BEGINNING and not (state is not None and knows_us)
        if state is None:
            self.touch(now_ms)
            peer = Peer(delta.sender, self._lease_ms, read, {self.room: part.summary}, inf)
            self._members.put(peer)
            state = self._states[shard] = ShardState(peer, report.number, report.connections)
        elif report.number > state.number:
            peer = state.peer
            # The rate of joins decays with time alone, and only matters once the shard is suspect.
            aged = replace(part.summary, arrivals_per_s=peer.sums[self.room].arrivals_per_s)
            if (peer.sums[self.room], peer.read) != (aged, read):
                self.touch(now_ms)
            state.number, state.connections = report.number, report.connections
            peer.sums = {self.room: part.summary}
            peer.read = max(peer.read, read) if knows_us else read
        self._reach(state, now_ms)
        if part.connected or part.reported or part.disconnected:
            self.touch(now_ms)
            self._append(delta)
            deltas.append(delta)
        elif was_informed and not deltas:
            state.informed = self.version  # Only the other shards have to be informed.
        self._log.trim(self._members.trim(now_ms))
        return deltas, resync

    def update(self, shard: int, own: Summary, now_ms: int, *, resync: bool = False) -> CoordinatorUpdate:
        """Return the update for a shard.

        Args:
            shard: Its number.
            own: The coordinator's sums.
            now_ms: The time.
            resync: Whether it is to claim all of its visitors again.
        """
        peer = self._states[shard].peer
        peers = self._members.peer_state(self.room, now_ms, without=peer.id)
        # Only the coordinator has a panel, and it has read all of its own log.
        summary = own
        for other in peers.summaries:
            summary = add_members(summary, other)
        peers = replace(peers, summaries=(summary,), unread=peers.unread or 0, suspect=summary.suspect)
        is_away = peer.read < self._log.start  # For too long: the log does not reach back so far.
        return CoordinatorUpdate(
            version=self.version,
            peers=peers,
            delta=Delta(
                sender=self.own, lease_ms=0, read=self.end, rooms={self.room: RoomDelta(summary=summary)}
            ),
            entries=() if is_away else self._log.since(peer.read),
            rate=own.panel.rate,
            resync=resync or is_away,
        )

    def reached(self, shard: int, now_ms: int) -> None:
        """Note that a call to a shard was answered without a report."""
        if state := self._states.get(shard):
            self._reach(state, now_ms)

    def informed(self, shard: int, version: int) -> None:
        """Note that a shard has this version, or will ask again."""
        if state := self._states.get(shard):
            state.informed = max(state.informed, version)

    def failed(self, shard: int, now_ms: int) -> None:
        """Note that a call to a shard failed."""
        if state := self._states.get(shard):
            state.called_at_ms = now_ms
            if state.peer.suspect_since_ms == inf:
                state.peer.suspect_since_ms = now_ms
            if self._members.is_suspect(state.peer, now_ms):
                self.touch(now_ms)

    def mark_all_suspect(self, now_ms: int) -> None:
        """Mark all shards suspect until they report: the coordinator lost its connections."""
        self._append(Delta(sender=self.own, lease_ms=0, leaving=True))
        self._members.own = (self.own[0], now_ms)
        self.touch(now_ms)
        for peer in self._members:
            peer.suspect_since_ms = now_ms - self._suspect_after_ms - 1

    def behind(self) -> list[int]:
        """Return the shards that do not have the latest version."""
        return [shard for shard, state in self._states.items() if self._is_behind(state)]

    def next_at_ms(self, interval_ms: int) -> int | None:
        """Return when the first of them is to be called, None for never.

        A shard that has something to send calls before that: it does so after ``interval_ms``, and is
        answered with an update.
        """
        return min((self._due_at_ms(shard, interval_ms) for shard in self.behind()), default=None)

    def due(self, now_ms: int, interval_ms: int) -> list[int]:
        """Return the shards that are to be called now."""
        return [shard for shard in self.behind() if self._due_at_ms(shard, interval_ms) <= now_ms]

    def expire(self, now_ms: int) -> list[Delta]:
        """Remove the shards that could not be called for a whole lease, and those without visitors.

        Returns:
            The deltas that the coordinator's own replica has to apply.
        """
        expired = set(self._members.expire(now_ms))
        deltas = []
        for shard, state in list(self._states.items()):
            if state.peer.id in expired or not (
                state.connections or state.peer.sums[self.room].leases or self._is_behind(state)
            ):
                self.touch(now_ms)
                deltas.append(self._remove(shard))
        return deltas

    def peer_state(self, room: str, now_ms: int) -> PeerState:
        """Return the state of all shards together."""
        return self._members.peer_state(room, now_ms)

    # --- Inside --------------------------------------------------------------------------------------------

    def _reach(self, state: ShardState, now_ms: int) -> None:
        state.called_at_ms = now_ms
        if state.peer.suspect_since_ms != inf:
            state.peer.suspect_since_ms = inf
            self.touch(now_ms)

    def _is_behind(self, state: ShardState) -> bool:
        return state.informed < self.version

    def _due_at_ms(self, shard: int, interval_ms: int) -> int:
        state = self._states[shard]
        return state.called_at_ms + (2 * interval_ms if state.peer.suspect_since_ms == inf else interval_ms)

    def _remove(self, shard: int) -> Delta:
        """Remove a shard, and append its leave to the log."""
        peer = self._states.pop(shard).peer
        self._members.drop(peer.id)
        leaving = Delta(sender=peer.id, lease_ms=0, leaving=True)
        self._append(leaving)
        return leaving

    def _append(self, delta: Delta) -> None:
        """Append a delta, without its sums: those are sent as one."""
        rooms = {room: replace(part, summary=self._empty) for room, part in delta.rooms.items()}
        delta = replace(delta, rooms=rooms)
        self._members.claim(delta, self._log.append(delta))

    # --- Hibernation ---------------------------------------------------------------------------------------

    def encode(self, moods_of: MoodsOf) -> bytes:
        """Encode the state that hibernation must not lose."""
        states = self._states.items()
        head = {
            "own": self.own,
            "shards": self.shards,
            "version": self.version,
            "end": self.end,
            "children": [
                (
                    *(shard, state.number, state.connections, state.informed, state.called_at_ms),
                    None if state.peer.suspect_since_ms == inf else state.peer.suspect_since_ms,
                )
                for shard, state in states
            ],
        }
        sums = [
            Delta(
                sender=state.peer.id,
                lease_ms=0,
                read=state.peer.read,
                rooms={self.room: RoomDelta(summary=state.peer.sums[self.room])},
            )
            for _, state in states
        ]
        deltas = (*sums, *self._log.since(self._log.start))
        return pack(head, *(encode_delta(delta, moods_of) for delta in deltas))

    def resume(self, value: bytes, moods_of: MoodsOf) -> None:
        """Decode what ``encode`` returned, and resume from it.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(value)
        try:
            name, epoch = head["own"]
            deltas = [read_delta(delta, moods_of) for delta in values]
            known = head["children"]
            began_at_ms, last = map(int, head["end"])
            sums, entries = deltas[: len(known)], deltas[len(known) :]
            self.shards, self.version = int(head["shards"]), int(head["version"])
            self._begin((str(name), int(epoch)), (began_at_ms, last - len(entries)))
            for delta in entries:
                self._append(delta)
            self._states = {
                int(shard): self._resume_shard(delta, state)
                for delta, (shard, *state) in zip(sums, known, strict=True)
            }
        except DAMAGE as error:
            raise HostError("a damaged row of a coordinator") from error

    def _resume_shard(self, delta: Delta, head: Sequence[Any]) -> ShardState:
        number, connections, informed, called_at_ms, failing_since_ms = head
        suspect_since_ms = inf if failing_since_ms is None else int(failing_since_ms)
        sums = {self.room: delta.rooms[self.room].summary}
        peer = Peer(delta.sender, self._lease_ms, delta.read, sums, suspect_since_ms)
        self._members.put(peer)
        return ShardState(peer, int(number), int(connections), int(informed), int(called_at_ms))


def _keys(delta: Delta) -> int:
    """Return how many keys a delta holds."""
    return sum(
        len(part.connected) + len(part.reported) + len(part.disconnected) for part in delta.rooms.values()
    )
