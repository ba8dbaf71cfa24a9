"""One room over several objects of an edge: what they tell each other.

Theory of operation
-------------------
Where one object is too small for a room, several hold it. The first is the *parent*; it knows its *children*, and they know nobody
else. What they say is what machines say to each other (``delta.py``): sums, and the keys of those who came. Two things differ.

*Nobody ticks.* An object sleeps while nothing happens, so one that is silent is not in doubt. Either side calls the other when there is
something to tell, and either call carries a *report* up and *news* down. A part is in doubt (``doubted``) once calls have failed for
``late_ms``, and gone after a lease. The platform starts an object that died as soon as it is called, so that is nearly never.

*The parent is the log.* It gives claims their order. CoordinatorUpdate brings those that the child has not read, and the sum of all other parts; so
does a child add two summaries, whatever there are. A report says how far its child had read, which bounds those who may be counted
twice: a claim is unread until every part has reported after it. What was lost on the way is told again, because nothing counts as read
before it was acknowledged. If the parent lost its memory, or forgot a child, the child claims all of its people anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Final

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
from breathing_room.core.replication.membership import Claims
from breathing_room.core.replication.shard import CoordinatorUpdate, ShardReport, _at_most, _keys, read_delta
from breathing_room.core.summary import PeerState, Summary, doubted

LOG_KEYS_MAX: Final = 50_000
"""Keys that the log may hold for a child that cannot be reached, 16 bytes each: a row of the edge has at most 2 MB. Beyond it the child
claims everybody anew."""


@dataclass(slots=True)
class ShardState:
    """A child as it was last heard of.

    Attributes:
        node: Its name and epoch.
        number: That of its last report.
        summary: Its sums.
        read: How far it had read by then.
        sockets: The sockets that it holds.
        told: The version of the news that it was told last.
        talked_at_ms: When it was last called, or called us.
        failing_since_ms: Since when calls fail, or None.
    """

    node: PeerId
    number: int
    summary: Summary
    read: EntryId
    sockets: int
    told: int = 0
    talked_at_ms: int = 0
    failing_since_ms: int | None = None


class Coordinator:
    """What the parent of a room knows of its children.

    Args:
        room: The room's name.
        own: Who the parent is.
        nobody: The sums of nobody.
        late_ms: For how long calls to a child may fail before it is in doubt.
        lease_ms: After how long it is gone.
        now_ms: Our time.

    Attributes:
        shards: The number of shards among which people are spread, the parent included.
        version: That of what is known.
    """

    def __init__(
        self, room: str, own: PeerId, nobody: Summary, *, late_ms: int, lease_ms: int, now_ms: int
    ) -> None:
        self.room = room
        self.own = own
        self.shards = 1
        self.version = now_ms
        self._nobody = nobody
        self._late_ms = late_ms
        self._lease_ms = lease_ms
        self._children: dict[int, ShardState] = {}
        self._log: list[Delta] = []
        self._keys = 0
        # The last entry, and the last one that was forgotten.
        self.end: EntryId = (now_ms, 0)
        self._before: EntryId = self.end
        self._claims = Claims()

    @property
    def children(self) -> Mapping[int, ShardState]:
        """The children by their numbers, from 1; to look at, not to touch."""
        return self._children

    @property
    def sockets(self) -> int:
        """The sockets that they hold."""
        return sum(child.sockets for child in self._children.values())

    def touch(self, now_ms: int) -> None:
        """There is something new to tell."""
        self.version = max(self.version + 1, now_ms)

    def say(self, part: RoomDelta, now_ms: int) -> None:
        """Put down what the parent itself has to say."""
        self.touch(now_ms)
        self._write(Delta(node=self.own, lease_ms=self._lease_ms, read=self.end, rooms={self.room: part}))

    def hear(self, shard: int, report: ShardReport, now_ms: int) -> tuple[list[Delta], bool]:
        """Take a report.

        Returns:
            What follows from it for the people of the parent, in order; and whether the child is to claim everybody anew.
        """
        said: list[Delta] = []
        was_told = shard in self._children and not self._is_behind(self._children[shard])
        message = report.delta
        part = message.rooms[self.room]
        child = self._children.get(shard)
        if child is not None and child.node != message.node:
            said.append(self._lose(shard))
            child = None
        knows_us = self._before <= message.read <= self.end
        read = message.read if knows_us else self.end
        # Who has read nothing yet is new, and has nobody.
        resync = message.read != BEGINNING and not (child is not None and knows_us)
        if child is None:
            self.touch(now_ms)
            child = self._children[shard] = ShardState(
                message.node, report.number, part.summary, read, report.sockets
            )
        elif report.number > child.number:
            # How many come in fades with time alone, and only matters once the child is in doubt.
            aged = replace(part.summary, arrivals_per_s=child.summary.arrivals_per_s)
            if (child.summary, child.read) != (aged, read):
                self.touch(now_ms)
            child.number, child.summary, child.sockets = report.number, part.summary, report.sockets
            child.read = max(child.read, read) if knows_us else read
        child.talked_at_ms = now_ms
        if child.failing_since_ms is not None:
            self.touch(now_ms)
            child.failing_since_ms = None
        if part.came or part.reported or part.gone:
            self.touch(now_ms)
            self._write(message)
            said.append(message)
        elif was_told and not said:
            child.told = self.version  # It is news to the others only.
        self._trim()
        return said, resync

    def news(self, shard: int, own: Summary, now_ms: int, *, resync: bool = False) -> CoordinatorUpdate:
        """Say what a child should know.

        Args:
            shard: Its number.
            own: The parent's sums.
            now_ms: Our time.
            resync: Whether it is to claim everybody anew.
        """
        child = self._children[shard]
        others = self._add_up(shard, own, now_ms)
        (summary,) = others.summaries
        message = Delta(
            node=self.own, lease_ms=0, read=self.end, rooms={self.room: RoomDelta(summary=summary)}
        )
        entries: tuple[Delta, ...] = ()
        if child.read < self._before:
            resync = True  # It was away for too long.
        elif unread := self.end[1] - child.read[1]:
            entries = tuple(self._log[-unread:])
        return CoordinatorUpdate(
            version=self.version,
            peers=others,
            delta=message,
            entries=entries,
            rate=own.panel.rate,
            resync=resync,
        )

    def reached(self, shard: int, now_ms: int) -> None:
        """A child answered a call, and had nothing to report, or will by itself."""
        if child := self._children.get(shard):
            child.talked_at_ms = now_ms
            if child.failing_since_ms is not None:
                child.failing_since_ms = None
                self.touch(now_ms)

    def told(self, shard: int, version: int) -> None:
        """A child knows this version, or will ask again."""
        if child := self._children.get(shard):
            child.told = max(child.told, version)

    def fail(self, shard: int, now_ms: int) -> None:
        """A child could not be called."""
        if child := self._children.get(shard):
            child.talked_at_ms = now_ms
            if child.failing_since_ms is None:
                child.failing_since_ms = now_ms
            if self._is_late(child, now_ms):
                self.touch(now_ms)

    def suspect(self, now_ms: int) -> None:
        """The parent lost its people, and so may the children have: all are in doubt until they are heard from."""
        self._write(Delta(node=self.own, lease_ms=0, leaving=True))
        self.own = (self.own[0], now_ms)
        self.touch(now_ms)
        for child in self._children.values():
            child.failing_since_ms = now_ms - self._late_ms - 1

    def behind(self) -> list[int]:
        """Name those who are to be told something."""
        return [shard for shard, child in self._children.items() if self._is_behind(child)]

    def next_at_ms(self, tempo_ms: int) -> int | None:
        """Say when the first of them is to be called.

        One that has something to tell calls us before: it does so after ``tempo_ms``, and hears in return.
        """
        return min(
            (self._due_at_ms(self._children[shard], tempo_ms) for shard in self.behind()), default=None
        )

    def due(self, now_ms: int, tempo_ms: int) -> list[int]:
        """Name those who are to be called now."""
        return [
            shard for shard in self.behind() if self._due_at_ms(self._children[shard], tempo_ms) <= now_ms
        ]

    def expire(self, now_ms: int) -> list[Delta]:
        """Let go of children that could not be called for a whole lease, and of those that hold nobody any more.

        Returns:
            What follows for the people of the parent.
        """
        said = []
        for shard, child in list(self._children.items()):
            failing_ms = 0 if child.failing_since_ms is None else now_ms - child.failing_since_ms
            is_empty = not (child.sockets or child.summary.leases or self._is_behind(child))
            if is_empty or failing_ms > self._lease_ms:
                self.touch(now_ms)
                said.append(self._lose(shard))
        return said

    def peer_state(self, room: str, now_ms: int) -> PeerState:
        """Say what the parent knows of the children together."""
        del room
        return self._add_up(0, None, now_ms)

    # --- Inside -----------------------------------------------------------------------------------------------

    def _add_up(self, without: int, own: Summary | None, now_ms: int) -> PeerState:
        """Add all parts but one. Only the parent has a panel."""
        total = own or self._nobody
        people, silent = list(total.people), list(total.silent)
        restored, unknown, arrivals_per_s = total.restored, total.unknown, total.arrivals_per_s
        read = [] if own is None else [self.end]
        silent_read = [self.end] if any(silent) else []
        expected, until_ms = 0.0, inf
        for shard, child in self._children.items():
            if shard == without:
                continue
            summary = child.summary
            if self._is_late(child, now_ms):
                assert child.failing_since_ms is not None
                expected += summary.arrivals_per_s * (now_ms - child.failing_since_ms) / 1_000
                summary = doubted(summary)
            else:
                read.append(child.read)
                if child.failing_since_ms is not None:
                    until_ms = min(until_ms, child.failing_since_ms + self._late_ms)
            if any(summary.silent):
                silent_read.append(child.read)
            people = [one + other for one, other in zip(people, summary.people, strict=True)]
            silent = [one + other for one, other in zip(silent, summary.silent, strict=True)]
            restored += summary.restored
            unknown = unknown or summary.unknown
            arrivals_per_s += summary.arrivals_per_s
        added = replace(
            total,
            people=tuple(people),
            silent=tuple(silent),
            restored=restored,
            unknown=unknown,
            arrivals_per_s=arrivals_per_s,
        )
        return PeerState(
            (added,),
            unread=self._claims.since(min(read)) if read else None,
            silent=added.silent,
            silent_unread=self._claims.since(min(silent_read)) if silent_read else 0,
            newcomers=_at_most(expected),
            until_ms=until_ms,
        )

    def _is_late(self, child: ShardState, now_ms: int) -> bool:
        return child.failing_since_ms is not None and now_ms - child.failing_since_ms > self._late_ms

    def _is_behind(self, child: ShardState) -> bool:
        return child.told < self.version

    @staticmethod
    def _due_at_ms(child: ShardState, tempo_ms: int) -> int:
        return child.talked_at_ms + (2 * tempo_ms if child.failing_since_ms is None else tempo_ms)

    def _lose(self, shard: int) -> Delta:
        """Forget a child; its last entry says so to everybody else."""
        child = self._children.pop(shard)
        leaving = Delta(node=child.node, lease_ms=0, leaving=True)
        self._write(leaving)
        return leaving

    def _write(self, message: Delta) -> None:
        part = message.rooms.get(self.room)
        self.end = (self.end[0], self.end[1] + 1)
        if part is not None:
            self._claims.add(self.end, len(part.came) + len(part.reported))
            message = replace(message, rooms={self.room: replace(part, summary=self._nobody)})
        self._log.append(message)
        self._keys += _keys(message)
        while self._keys > LOG_KEYS_MAX:
            self._forget(1)

    def _trim(self) -> None:
        """Forget what all children have read."""
        read = min((child.read for child in self._children.values()), default=self.end)
        self._forget(max(0, read[1] - self._before[1]))
        self._claims.trim(read)

    def _forget(self, count: int) -> None:
        self._keys -= sum(map(_keys, self._log[:count]))
        del self._log[:count]
        self._before = (self._before[0], self._before[1] + count)

    # --- Rest -------------------------------------------------------------------------------------------------

    def sleep(self, moods_of: MoodsOf) -> bytes:
        """Write everything, to go on with after a sleep."""
        log = [encode_delta(entry, moods_of) for entry in self._log]
        children = list(self._children.items())
        sums = [
            encode_delta(
                Delta(
                    node=child.node,
                    lease_ms=0,
                    read=child.read,
                    rooms={self.room: RoomDelta(summary=child.summary)},
                ),
                moods_of,
            )
            for _, child in children
        ]
        head = {
            "own": self.own,
            "shards": self.shards,
            "version": self.version,
            "end": self.end,
            "children": [
                (shard, child.number, child.sockets, child.told, child.talked_at_ms, child.failing_since_ms)
                for shard, child in children
            ],
        }
        return pack(head, *sums, *log)

    def wake(self, value: bytes, moods_of: MoodsOf) -> None:
        """Go on from what ``sleep`` wrote.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(value)
        try:
            name, epoch = head["own"]
            said = [read_delta(message, moods_of) for message in values]
            known = head["children"]
            sums, self._log = said[: len(known)], said[len(known) :]
            self.own = (str(name), int(epoch))
            self.shards, self.version = int(head["shards"]), int(head["version"])
            born_at_ms, last = map(int, head["end"])
            self.end, self._before = (born_at_ms, last), (born_at_ms, last - len(self._log))
            self._keys = sum(map(_keys, self._log))
            for index, entry in enumerate(self._log):
                for part in entry.rooms.values():
                    at = (born_at_ms, self._before[1] + index + 1)
                    self._claims.add(at, len(part.came) + len(part.reported))
            self._children = {
                int(shard): ShardState(
                    message.node,
                    number,
                    message.rooms[self.room].summary,
                    message.read,
                    sockets,
                    told,
                    talked_at_ms,
                    failing_since_ms,
                )
                for message, (shard, number, sockets, told, talked_at_ms, failing_since_ms) in zip(
                    sums, known, strict=True
                )
            }
        except DAMAGE as error:
            raise HostError("damaged words of a parent") from error
