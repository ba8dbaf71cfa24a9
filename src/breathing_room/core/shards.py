"""One room over several objects of an edge: what they tell each other.

Theory of operation
-------------------
Where one object is too small for a room, several hold it. The first is the *parent*; it knows its *children*, and they know nobody
else. What they say is what machines say to each other (``cluster.py``): sums, and the keys of those who came. Two things differ.

*Nobody ticks.* An object sleeps while nothing happens, so one that is silent is not in doubt. Either side calls the other when there is
something to tell, and either call carries a *report* up and *news* down. A part is in doubt (``doubted``) once calls have failed for
``late_ms``, and gone after a lease. The platform starts an object that died as soon as it is called, so that is nearly never.

*The parent is the log.* It gives claims their order. News brings those that the child has not read, and the sum of all other parts; so
does a child add two summaries, whatever there are. A report says how far its child had read, which bounds those who may be counted
twice: a claim is unread until every part has reported after it. What was lost on the way is told again, because nothing counts as read
before it was acknowledged. If the parent lost its memory, or forgot a child, the child claims all of its people anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import ceil, inf, sqrt
from typing import Final, Self

from breathing_room.core.cluster import (
    BEGINNING,
    Claims,
    EntryId,
    Message,
    NodeId,
    Part,
    decode,
    encode_message,
)
from breathing_room.core.codec import DAMAGE, pack, unpack
from breathing_room.core.errors import HostError
from breathing_room.core.estimate import Z
from breathing_room.core.summary import PeerState, Summary, doubted

LOG_KEYS_MAX: Final = 50_000
"""Keys that the log may hold for a child that cannot be reached, 16 bytes each: a row of the edge has at most 2 MB. Beyond it the child
claims everybody anew."""

MoodsOf = Callable[[str], tuple[str, ...]]


def order(seed: bytes, shards: int) -> Sequence[int]:
    """Say which shards to try for somebody, the best first: when their number doubles, half of the people have the same first one.

    Args:
        seed: Something that a visitor brings each time.
        shards: How many there are.

    Source: Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6 (1998) 1: highest random weight.
    """
    return sorted(
        range(shards), key=lambda shard: blake2b(shard.to_bytes(2, "little") + seed, digest_size=8).digest()
    )


# --- What travels -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a child tells its parent.

    Attributes:
        number: It rises with every report of the child, so that one that was overtaken is known.
        sockets: The sockets that it holds.
        message: Its sums, the keys of those who came and went, and how far it had read.
    """

    number: int
    sockets: int
    message: Message

    def encode(self, moods_of: MoodsOf) -> bytes:
        """Write it."""
        head = {"number": self.number, "sockets": self.sockets}
        return pack(head, encode_message(self.message, moods_of))

    @classmethod
    def decode(cls, value: bytes, moods_of: MoodsOf) -> Self:
        """Read it.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(value)
        try:
            return cls(
                number=int(head["number"]),
                sockets=int(head["sockets"]),
                message=_message(values[0], moods_of),
            )
        except DAMAGE as error:
            raise HostError("a damaged report") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a parent tells a child.

    Attributes:
        version: It rises with whatever there is to tell, so that news that was overtaken is known.
        others: The sum of all other parts, the parent's included.
        message: The same sum as a message, and how far the child has read with ``entries``.
        entries: What the child had not read of the log.
        rate: The sampling rate.
        say_all: Whether the child is to claim everybody anew.
    """

    version: int
    others: PeerState
    message: Message
    entries: tuple[Message, ...] = ()
    rate: float = 1.0
    say_all: bool = False

    def encode(self, moods_of: MoodsOf) -> bytes:
        """Write it."""
        others = self.others
        head = {
            "version": self.version,
            "unread": others.unread,
            "silent_unread": others.silent_unread,
            "newcomers": others.newcomers,
            "rate": self.rate,
            "say_all": self.say_all,
        }
        return pack(head, *(encode_message(said, moods_of) for said in (self.message, *self.entries)))

    @classmethod
    def decode(cls, value: bytes, moods_of: MoodsOf) -> Self:
        """Read it.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(value)
        try:
            message, *entries = (_message(said, moods_of) for said in values)
            (part,) = message.parts.values()
            others = PeerState(
                (part.summary,),
                unread=None if head["unread"] is None else int(head["unread"]),
                silent=part.summary.silent,
                silent_unread=int(head["silent_unread"]),
                newcomers=int(head["newcomers"]),
            )
            return cls(
                version=int(head["version"]),
                others=others,
                message=message,
                entries=tuple(entries),
                rate=float(head["rate"]),
                say_all=bool(head["say_all"]),
            )
        except DAMAGE as error:
            raise HostError("damaged news") from error


def _message(value: bytes, moods_of: MoodsOf) -> Message:
    said = decode(value, moods_of)
    if not isinstance(said, Message):
        raise HostError("an order among shards")
    return said


# --- What the parent knows ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Child:
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

    node: NodeId
    number: int
    summary: Summary
    read: EntryId
    sockets: int
    told: int = 0
    talked_at_ms: int = 0
    failing_since_ms: int | None = None


class Hub:
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
        self, room: str, own: NodeId, nobody: Summary, *, late_ms: int, lease_ms: int, now_ms: int
    ) -> None:
        self.room = room
        self.own = own
        self.shards = 1
        self.version = now_ms
        self._nobody = nobody
        self._late_ms = late_ms
        self._lease_ms = lease_ms
        self._children: dict[int, Child] = {}
        self._log: list[Message] = []
        self._keys = 0
        # The last entry, and the last one that was forgotten.
        self.end: EntryId = (now_ms, 0)
        self._before: EntryId = self.end
        self._claims = Claims()

    @property
    def children(self) -> Mapping[int, Child]:
        """The children by their numbers, from 1; to look at, not to touch."""
        return self._children

    @property
    def sockets(self) -> int:
        """The sockets that they hold."""
        return sum(child.sockets for child in self._children.values())

    def touch(self, now_ms: int) -> None:
        """There is something new to tell."""
        self.version = max(self.version + 1, now_ms)

    def say(self, part: Part, now_ms: int) -> None:
        """Put down what the parent itself has to say."""
        self.touch(now_ms)
        self._write(Message(node=self.own, lease_ms=self._lease_ms, read=self.end, parts={self.room: part}))

    def hear(self, shard: int, report: Report, now_ms: int) -> tuple[list[Message], bool]:
        """Take a report.

        Returns:
            What follows from it for the people of the parent, in order; and whether the child is to claim everybody anew.
        """
        said: list[Message] = []
        was_told = shard in self._children and not self._is_behind(self._children[shard])
        message = report.message
        part = message.parts[self.room]
        child = self._children.get(shard)
        if child is not None and child.node != message.node:
            said.append(self._lose(shard))
            child = None
        knows_us = self._before <= message.read <= self.end
        read = message.read if knows_us else self.end
        # Who has read nothing yet is new, and has nobody.
        say_all = message.read != BEGINNING and not (child is not None and knows_us)
        if child is None:
            self.touch(now_ms)
            child = self._children[shard] = Child(
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
        return said, say_all

    def news(self, shard: int, own: Summary, now_ms: int, *, say_all: bool = False) -> News:
        """Say what a child should know.

        Args:
            shard: Its number.
            own: The parent's sums.
            now_ms: Our time.
            say_all: Whether it is to claim everybody anew.
        """
        child = self._children[shard]
        others = self._add_up(shard, own, now_ms)
        (summary,) = others.summaries
        message = Message(node=self.own, lease_ms=0, read=self.end, parts={self.room: Part(summary=summary)})
        entries: tuple[Message, ...] = ()
        if child.read < self._before:
            say_all = True  # It was away for too long.
        elif unread := self.end[1] - child.read[1]:
            entries = tuple(self._log[-unread:])
        return News(
            version=self.version,
            others=others,
            message=message,
            entries=entries,
            rate=own.panel.rate,
            say_all=say_all,
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
        self._write(Message(node=self.own, lease_ms=0, leaving=True))
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

    def lapse(self, now_ms: int) -> list[Message]:
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

    def others(self, room: str, now_ms: int) -> PeerState:
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

    def _is_late(self, child: Child, now_ms: int) -> bool:
        return child.failing_since_ms is not None and now_ms - child.failing_since_ms > self._late_ms

    def _is_behind(self, child: Child) -> bool:
        return child.told < self.version

    @staticmethod
    def _due_at_ms(child: Child, tempo_ms: int) -> int:
        return child.talked_at_ms + (2 * tempo_ms if child.failing_since_ms is None else tempo_ms)

    def _lose(self, shard: int) -> Message:
        """Forget a child; its last entry says so to everybody else."""
        child = self._children.pop(shard)
        leaving = Message(node=child.node, lease_ms=0, leaving=True)
        self._write(leaving)
        return leaving

    def _write(self, message: Message) -> None:
        part = message.parts.get(self.room)
        self.end = (self.end[0], self.end[1] + 1)
        if part is not None:
            self._claims.add(self.end, len(part.came) + len(part.reported))
            message = replace(message, parts={self.room: replace(part, summary=self._nobody)})
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
        log = [encode_message(entry, moods_of) for entry in self._log]
        children = list(self._children.items())
        sums = [
            encode_message(
                Message(
                    node=child.node,
                    lease_ms=0,
                    read=child.read,
                    parts={self.room: Part(summary=child.summary)},
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
            said = [_message(message, moods_of) for message in values]
            known = head["children"]
            sums, self._log = said[: len(known)], said[len(known) :]
            self.own = (str(name), int(epoch))
            self.shards, self.version = int(head["shards"]), int(head["version"])
            born_at_ms, last = map(int, head["end"])
            self.end, self._before = (born_at_ms, last), (born_at_ms, last - len(self._log))
            self._keys = sum(map(_keys, self._log))
            for index, entry in enumerate(self._log):
                for part in entry.parts.values():
                    at = (born_at_ms, self._before[1] + index + 1)
                    self._claims.add(at, len(part.came) + len(part.reported))
            self._children = {
                int(shard): Child(
                    message.node,
                    number,
                    message.parts[self.room].summary,
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


# --- What a child knows -------------------------------------------------------------------------------------------


class Spoke:
    """What a child knows of the others.

    Args:
        room: The room's name.
        own: Who the child is.
        nobody: The sums of nobody.
        late_ms: For how long calls to the parent may fail before the child is cut off.

    Attributes:
        rate: The sampling rate.
        read: How far the child has read.
    """

    def __init__(self, room: str, own: NodeId, nobody: Summary, *, late_ms: int) -> None:
        self.room = room
        self.own = own
        self.read = BEGINNING
        self._nobody = nobody
        self._late_ms = late_ms
        self._number = 0
        self._news: News | None = None
        self._failing_since_ms: int | None = None

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever heard from the parent."""
        return self._news is None

    @property
    def is_failing(self) -> bool:
        """Whether the last call failed."""
        return self._failing_since_ms is not None

    @property
    def rate(self) -> float:
        """The sampling rate."""
        return 1.0 if self._news is None else self._news.rate

    def report(self, part: Part, sockets: int, now_ms: int) -> Report:
        """Put down what to tell the parent."""
        self._number = max(self._number + 1, now_ms)
        message = Message(node=self.own, lease_ms=0, read=self.read, parts={self.room: part})
        return Report(number=self._number, sockets=sockets, message=message)

    def hear(self, news: News) -> Sequence[Message]:
        """Take news.

        Returns:
            The entries that were not read before, in order.
        """
        self._failing_since_ms = None
        end, entries = news.message.read, news.entries
        fresh: Sequence[Message] = ()
        is_anew = news.say_all or end[0] != self.read[0]
        if is_anew or end > self.read:
            fresh = entries if is_anew else entries[max(0, self.read[1] - end[1] + len(entries)) :]
            self.read = end
        if self._news is None or is_anew or news.version > self._news.version:
            self._news = replace(news, entries=(), say_all=False)
        return fresh

    def fail(self, now_ms: int) -> None:
        """The parent could not be called."""
        if self._failing_since_ms is None:
            self._failing_since_ms = now_ms

    def others(self, room: str, now_ms: int) -> PeerState:
        """Say what the child knows of the others; once it is cut off, from before only."""
        del room
        if self._news is None:
            return PeerState((replace(self._nobody, unknown=True),), stale=True)
        others, since_ms = self._news.others, self._failing_since_ms
        if since_ms is None:
            return others
        if now_ms - since_ms <= self._late_ms:
            return replace(others, until_ms=since_ms + self._late_ms)
        (summary,) = others.summaries
        return replace(
            others,
            summaries=(doubted(summary),),
            unread=None,
            silent=summary.people,
            newcomers=others.newcomers + _at_most(summary.arrivals_per_s * (now_ms - since_ms) / 1_000),
            stale=True,
        )

    def sleep(self, moods_of: MoodsOf) -> bytes:
        """Write everything, to go on with after a sleep."""
        head = {
            "own": self.own,
            "read": self.read,
            "number": self._number,
            "failing_since_ms": self._failing_since_ms,
        }
        return pack(head, *([] if self._news is None else [self._news.encode(moods_of)]))

    def wake(self, value: bytes, moods_of: MoodsOf) -> None:
        """Go on from what ``sleep`` wrote.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(value)
        try:
            (name, epoch), (born_at_ms, last) = head["own"], head["read"]
            self.own, self.read = (str(name), int(epoch)), (int(born_at_ms), int(last))
            self._number, self._failing_since_ms = int(head["number"]), head["failing_since_ms"]
        except DAMAGE as error:
            raise HostError("damaged words of a child") from error
        self._news = News.decode(values[0], moods_of) if values else None


def _at_most(expected: float) -> int:
    """Bound a Poisson number from above, at 95 %."""
    return ceil(expected + Z * sqrt(expected))


def _keys(message: Message) -> int:
    return sum(len(part.came) + len(part.reported) + len(part.gone) for part in message.parts.values())
