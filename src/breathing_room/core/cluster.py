"""One room over many machines: what they tell each other, and what follows from it.

Theory of operation
-------------------
Every machine that holds a part of a room is a *node*. It holds its own people, and tells the others the sums (``summary.py``) at
every tick, in one *message* for all its rooms. Messages travel through a log that has one order for everybody (a stream of
Redis). Nobody asks anybody for anything: to say who is in a room, a node adds its own sums to the last that it heard. So the
work of a tick grows with rooms × nodes, and never with people.

*Leases of nodes.* A node that was not heard from for ``late_ms`` is in doubt, with all its people (``doubted``). After the lease that
its messages name it is gone, and its people with it: by then they came back elsewhere, or never will. Its seats of the panel stay in
doubt for as long as a seat has a lease, since their people go on reporting, to somebody else.

*Nobody is counted twice.* A message names, by their keys, those who came in since the last one: it claims them. Whoever holds the
same visitor lets go; so the last to claim a visitor counts it, and as the log has one order, all agree who that is. Until the others
hear that somebody let go, the visitor is in the sums of two. Those are few, and bounded: a message says up to where its node had read
the log, so they are the claims after the least of those places, and ours that are not in the log yet. The interval leaves them open:
``low`` is less by so many. Most of them are people who come back: while a node is drained, or has died, its people are silent, and
somebody else's newcomers. So the count takes newcomers for silent people of other nodes, as long as there are any.

*Cut off.* A node that does not hear itself hears nobody. It goes on with the last sums that it knows: ``low`` is its own people,
``high`` is everybody, and as many newcomers as came before in such a time. Leases of other nodes do not end meanwhile.

*The rate.* One sampling rate holds for all nodes. It is kept beside the log and set by whoever first sees that it should change; what was
announced before goes on being acted on for ``spread_ms``, and ``late_ms`` more, until which a node that is not in doubt has read it.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, inf, isfinite, sqrt
from typing import Any, Final, NamedTuple, TypeAlias

from breathing_room.core.codec import DAMAGE, ColumnReader, lease_columns, read, split_keys, write
from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.errors import HostError
from breathing_room.core.estimate import Z
from breathing_room.core.estimate.coin import CoinSums
from breathing_room.core.estimate.panel import PanelSums
from breathing_room.core.events import Paced
from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.leases import NO_LEASES, Leases
from breathing_room.core.presence import Facts, Presence, describe, read_label
from breathing_room.core.rate import Rate
from breathing_room.core.summary import NO_PEERS, PeerState, Summary, add_up, doubted, facts, without_people
from breathing_room.core.wire import ROOM_NAME

# --- What nodes tell each other -----------------------------------------------------------------------------------

MAGIC: Final = b"BRN1"
NODE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")

LATE_TICKS: Final = 6
"""A node that missed so many ticks is in doubt. A busy machine may be a few late."""

NodeId: TypeAlias = tuple[str, int]
"""A node's name and its epoch. A node that starts again has the name of before and another epoch: it is another node."""

EntryId: TypeAlias = tuple[int, int]
"""An entry of the log: when it was taken, in milliseconds by the clock of the log, and its number within that."""

BEGINNING: Final[EntryId] = (0, 0)
"""The place before all entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a node tells of one room.

    Attributes:
        summary: Its sums.
        came: Those who came in over a socket since the last message: they are counted here.
        reported: Those who took a seat, or gave one up that is not here; whoever has a socket of theirs counts them.
        gone: Those whose last socket here ended: whoever else has one counts them.
        seats: The seats of the panel, for the heir to take over.
    """

    summary: Summary
    came: tuple[VisitorKey, ...] = ()
    reported: tuple[VisitorKey, ...] = ()
    gone: tuple[VisitorKey, ...] = ()
    seats: Leases = NO_LEASES


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a node tells at a tick.

    Attributes:
        node: Who tells it.
        lease_ms: How long it may be silent after it.
        read: The last entry of the log that the node had read. Its sums do not know of what came after.
        leaving: Whether it is the last one: everybody has gone, and so will the node.
        heir: Who shall take the seats over, of a node that is about to leave; None for nobody.
        parts: Its rooms.
    """

    node: NodeId
    lease_ms: int
    read: EntryId = BEGINNING
    leaving: bool = False
    heir: NodeId | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator tells the nodes: ``forget`` or ``drain``, and the name of the node that is meant."""

    verb: str
    name: str


VERBS: Final = ("forget", "drain")


def encode_message(message: Message, moods_of: Callable[[str], tuple[str, ...]]) -> bytes:
    """Write a message: a header, and the keys that it counts.

    A room of people on sockets takes some 150 bytes of it, and each key 16.
    """
    name, epoch = message.node
    header = {
        "node": name,
        "epoch": epoch,
        "lease_ms": message.lease_ms,
        "read": message.read,
        "leaving": message.leaving,
        **({"heir": message.heir} if message.heir is not None else {}),
        "rooms": {room: _write_part(part, moods_of(room)) for room, part in message.parts.items()},
    }
    return write(MAGIC, header, *(column for part in message.parts.values() for column in _columns(part)))


def encode_order(order: Order) -> bytes:
    """Write an order."""
    return write(MAGIC, {order.verb: order.name})


def decode(value: bytes, moods_of: Callable[[str], tuple[str, ...]]) -> Message | Order:
    """Read what ``encode_message`` or ``encode_order`` wrote, perhaps on a machine that is set otherwise.

    Args:
        value: What was written.
        moods_of: The moods that a room declares here; people of any other are unspoken.

    Raises:
        HostError: It is not ours, damaged, or of a later version.
    """
    try:
        header, columns = read(MAGIC, value, "a message of a node")
        for verb in VERBS:
            if verb in header:
                return Order(verb, _name(header[verb]))
        parts = {
            _room(room): _read_part(part, columns, moods_of(room)) for room, part in header["rooms"].items()
        }
        columns.end()
        return Message(
            node=_node_id(header["node"], header["epoch"]),
            lease_ms=_count(header["lease_ms"]),
            read=_entry_id(*header["read"]),
            leaving=bool(header["leaving"]),
            heir=_node_id(*header["heir"]) if "heir" in header else None,
            parts=parts,
        )
    except DAMAGE as error:
        raise HostError("a damaged message of a node") from error


def _columns(part: Part) -> Iterator[bytes]:
    """Write what does not stand in the header: 16 bytes a key, and 26 a seat."""
    for keys in (part.came, part.reported, part.gone):
        yield b"".join(keys)
    yield from lease_columns(part.seats)


def _write_part(part: Part, moods: tuple[str, ...]) -> dict[str, Any]:
    summary, panel, coins = part.summary, part.summary.panel, part.summary.coins
    written: dict[str, Any] = {
        "moods": moods,
        "people": summary.people,
        "silent": summary.silent,
        "restored": summary.restored,
        "unknown": summary.unknown,
        "arrivals_per_s": round(summary.arrivals_per_s, 3),
        "keys": (len(part.came), len(part.reported), len(part.gone)),
    }
    if len(part.seats):
        written["seats"] = len(part.seats)
    if not panel.is_idle or panel.rate < 1.0 or panel.lapsed:
        written["panel"] = {name: getattr(panel, name) for name in PanelSums.__slots__}
    if not coins.is_idle:
        written["coins"] = {
            name: getattr(coins, name) for name in ("repeats", "weights", "observed_ms", "heard")
        }
    return written


def _read_part(written: dict[str, Any], columns: ColumnReader, moods_here: tuple[str, ...]) -> Part:
    here = {mood: index for index, mood in enumerate((*moods_here, UNSPOKEN))}
    moods = [here.get(str(mood), len(here) - 1) for mood in (*written["moods"], UNSPOKEN)]

    def tally(numbers: Any) -> tuple[int, ...]:
        translated = [0] * len(here)
        for mood, number in zip(moods, numbers, strict=True):
            translated[mood] += _count(number)
        return tuple(translated)

    nobody = (0,) * len(here)
    panel, coins = PanelSums(tally=nobody, restored_tally=nobody), CoinSums(repeats=nobody, weights=nobody)
    if (sums := written.get("panel")) is not None:
        panel = PanelSums(
            tally=tally(sums["tally"]),
            restored_tally=tally(sums["restored_tally"]),
            seats=_count(sums["seats"]),
            restored=_count(sums["restored"]),
            fresh=bool(sums["fresh"]),
            lapsed=_number(sums["lapsed"]),
            window_ms=_number(sums["window_ms"], least=1),
            theta=_number(sums["theta"], least=1e-9, most=1),
            rate=_number(sums["rate"], least=1e-9, most=1),
            arrivals_per_ms=_number(sums["arrivals_per_ms"]),
        )
        _no_more(panel.restored_tally, panel.tally)
    if (sums := written.get("coins")) is not None:
        coins = CoinSums(
            repeats=tally(sums["repeats"]),
            weights=tally(sums["weights"]),
            observed_ms=_count(sums["observed_ms"]),
            heard=bool(sums["heard"]),
        )
    summary = Summary(
        people=tally(written["people"]),
        silent=tally(written["silent"]),
        restored=_count(written["restored"]),
        panel=panel,
        coins=coins,
        unknown=bool(written["unknown"]),
        arrivals_per_s=_number(written["arrivals_per_s"]),
    )
    _no_more(summary.silent, summary.people)
    came, reported, gone = (split_keys(columns.take(_count(count) * KEY_BYTES)) for count in written["keys"])
    seats = NO_LEASES
    if count := _count(written.get("seats", 0)):
        seats = columns.leases(count, len(moods) - 1, tickets=True)
        seats = replace(seats, mood_of=bytes(moods[mood] for mood in seats.mood_of))
    return Part(summary=summary, came=came, reported=reported, gone=gone, seats=seats)


def _room(name: str) -> str:
    if not ROOM_NAME.fullmatch(name):
        raise ValueError
    return name


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NODE_NAME.fullmatch(value):
        raise ValueError
    return value


def _node_id(name: Any, epoch: Any) -> NodeId:
    return _name(name), _count(epoch)


def _entry_id(at_ms: Any, number: Any) -> EntryId:
    return _count(at_ms), _count(number)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 2**53:
        raise ValueError
    return value


def _number(value: Any, *, least: float = 0.0, most: float = 2.0**53) -> float:
    if type(value) not in {int, float} or not isfinite(value) or not least <= value <= most:
        raise ValueError
    return float(value)


def _no_more(some: Iterable[int], all_of: Iterable[int]) -> None:
    if any(few > many for few, many in zip(some, all_of, strict=True)):
        raise ValueError


# --- Who is there -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Node:
    """A node as it was last heard of.

    Attributes:
        message: Its last message.
        read: The last entry that it had read by then.
        heard_at_ms: When that was, by our clock.
        sums: Its rooms.
        is_gone: Whether its lease has ended, so that only seats are left of it.
    """

    message: Message
    read: EntryId
    heard_at_ms: int
    sums: dict[str, Summary]
    is_gone: bool = False


class Claims:
    """The claims of a room that somebody may not have read, in the order of the log."""

    def __init__(self) -> None:
        self._entries: list[tuple[EntryId, int]] = []

    def add(self, entry: EntryId, count: int) -> None:
        """Take the claims of an entry."""
        self._entries.append((entry, count))

    def since(self, read: EntryId) -> int:
        """Count those after an entry."""
        return sum(count for entry, count in self._entries if entry > read)

    def trim(self, read: EntryId) -> bool:
        """Forget those up to an entry; tell whether any are left."""
        self._entries = [(entry, count) for entry, count in self._entries if entry > read]
        return bool(self._entries)


UNKNOWN: Final = 2**53
"""As many claims as there may be, where they are not told apart any more."""


class Nodes:
    """The other nodes of a cluster.

    Args:
        own: Who we are.
        late_ms: After how long a node is in doubt.
        seat_lease_ms: How long a seat of the panel has a lease after a report, in any room.
        now_ms: Our time.
    """

    def __init__(self, own: NodeId, *, late_ms: int, seat_lease_ms: int, now_ms: int) -> None:
        self.own = own
        self.late_ms = late_ms
        self._seat_lease_ms = seat_lease_ms
        self._nodes: dict[NodeId, Node] = {}
        self._claims: dict[str, Claims] = {}
        self._last = self._trimmed_to = BEGINNING
        self._heard_self_at_ms = now_ms

    def __iter__(self) -> Iterator[Node]:
        """Go through them; those of whom only seats are left, too."""
        return iter(self._nodes.values())

    def rooms(self) -> set[str]:
        """Name every room that anybody is in, as far as we know."""
        return {room for node in self for room in node.sums}

    def is_cut_off(self, now_ms: int) -> bool:
        """Tell whether we have not heard ourselves for too long, and so would not hear others either."""
        return now_ms - self._heard_self_at_ms > self.late_ms

    def is_late(self, node: Node, now_ms: int) -> bool:
        """Tell whether a node is in doubt."""
        return node.is_gone or now_ms - node.heard_at_ms > self.late_ms

    def heir(self, now_ms: int) -> NodeId | None:
        """Say who takes over what we leave: one that all agree on, None if nobody is there."""
        return min((node.message.node for node in self if not self.is_late(node, now_ms)), default=None)

    def hear(self, message: Message, entry: EntryId, *, heard_at_ms: int, now_ms: int) -> None:
        """Take a message, our own included.

        Args:
            message: What was said.
            entry: Where it stands in the log.
            heard_at_ms: When it was put there, by our clock.
            now_ms: Our time.
        """
        heard_at_ms = min(heard_at_ms, now_ms)
        if entry <= self._last:  # Another log, whose clock is behind.
            self._claims.clear()
            self._trimmed_to = BEGINNING
        self._last = entry
        for room, part in message.parts.items():
            if claims := len(part.came) + len(part.reported):
                self._claims.setdefault(room, Claims()).add(entry, claims)
        if message.node == self.own:
            if self.is_cut_off(now_ms):
                # The others may be as they were: they get what a lease leaves after lateness to show it.
                for node in self:
                    node.heard_at_ms = max(node.heard_at_ms, now_ms - self.late_ms - 1)
            self._heard_self_at_ms = max(self._heard_self_at_ms, heard_at_ms)
        elif message.leaving:
            self._nodes.pop(message.node, None)
        else:
            # Nobody has read what comes after their own words: that place is of a log that is lost.
            read = message.read if message.read < entry else BEGINNING
            sums = {room: part.summary for room, part in message.parts.items()}
            self._nodes[message.node] = Node(message, read, heard_at_ms, sums)

    def forget(self, name: str) -> list[NodeId]:
        """Let go of every node of a name, at an operator's word; return them."""
        forgotten = [node for node in self._nodes if node[0] == name]
        for node in forgotten:
            del self._nodes[node]
        return forgotten

    def late(self, now_ms: int) -> list[NodeId]:
        """Name those who are in doubt."""
        return [name for name, node in self._nodes.items() if self.is_late(node, now_ms)]

    def lapse(self, now_ms: int) -> None:
        """Let go of nodes whose leases have ended, and of claims that everybody has read. While we are cut off none does."""
        if self.is_cut_off(now_ms):
            return
        for name, node in list(self._nodes.items()):
            silent_ms = now_ms - node.heard_at_ms
            if not node.is_gone and silent_ms > node.message.lease_ms:
                node.is_gone = True
                node.sums = {
                    room: without_people(summary)
                    for room, summary in node.sums.items()
                    if summary.panel.seats
                }
            if node.is_gone and not (node.sums and silent_ms <= self._seat_lease_ms):
                del self._nodes[name]
        read = min((node.read for node in self if not node.is_gone), default=self._last)
        if read > self._trimmed_to:
            self._trimmed_to = read
            self._claims = {room: claims for room, claims in self._claims.items() if claims.trim(read)}

    def _unread(self, room: str, read: EntryId) -> int:
        """Count the claims that come after an entry."""
        if read < self._trimmed_to:
            return UNKNOWN
        claims = self._claims.get(room)
        return 0 if claims is None else claims.since(read)

    def others(self, room: str, now_ms: int) -> PeerState:
        """Say what is known of a room on the other nodes."""
        summaries: list[Summary] = []
        read: list[EntryId] = []
        silent_read: list[EntryId] = []
        changes_at_ms = [self._heard_self_at_ms]
        expected = 0.0
        for node in self:
            summary = node.sums.get(room)
            if summary is None:
                continue
            if self.is_late(node, now_ms):
                expected += summary.arrivals_per_s * (now_ms - node.heard_at_ms) / 1_000
                summary = doubted(summary)
            else:
                changes_at_ms.append(node.heard_at_ms)
                if summary.leases:  # Who holds nobody has nobody to let go of.
                    read.append(node.read)
            if any(summary.silent):
                silent_read.append(node.read)
            summaries.append(summary)
        stale = self.is_cut_off(now_ms)
        return PeerState(
            add_up(summaries),
            unread=self._unread(room, min(read)) if read else None,
            silent=tuple(map(sum, zip(*(summary.silent for summary in summaries), strict=True))),
            silent_unread=self._unread(room, min(silent_read)) if silent_read else 0,
            newcomers=ceil(expected + Z * sqrt(expected)),
            stale=stale,
            until_ms=inf if stale else min(changes_at_ms) + self.late_ms,
        )


# --- What is said -------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What everybody was told last.

    Attributes:
        announced: It, or None.
        announced_at_ms: When.
        label_shown: The figure that the label shows, or None.
    """

    announced: Facts | None
    announced_at_ms: int
    label_shown: int | None


class Whole:
    """What everybody is told of a room of which we hold a part.

    Args:
        room: Its name.
        config: How it works.
        now_ms: Our time.
    """

    def __init__(self, room: str, config: RoomConfig, *, now_ms: int) -> None:
        self.room = room
        self.config = config
        self.others = NO_PEERS
        self._label_shown: int | None = None
        self._announced: Facts | None = None
        self._announced_at_ms = now_ms - config.push_ms

    @property
    def told(self) -> Told:
        """What everybody was told last, to go on with after a sleep."""
        return Told(self._announced, self._announced_at_ms, self._label_shown)

    def wake(self, told: Told) -> None:
        """Go on after a sleep."""
        self._announced, self._announced_at_ms, self._label_shown = told

    def tell_apart(self, own: Summary, claims: int) -> None:
        """Somebody alone is told who is there. If the others do not know that, everybody will be told, even if it is taken back."""
        if self._announced is not None and self.facts(own, claims) != self._announced:
            self._announced = None

    def facts(self, own: Summary, claims: int) -> Facts:
        """Say what is known of the whole room.

        Args:
            own: Our part of it.
            claims: How many visitors came in here whose claims we have not read in the log.
        """
        others = self.others
        return facts(
            [own, *others.summaries],
            self.config,
            moving=0 if others.unread is None else others.unread + claims,
            returned=min(others.silent_unread + claims, sum(others.silent)),
            silent=others.silent,
            newcomers=others.newcomers,
            stale=others.stale,
        )

    def presence(self, own: Summary, claims: int, *, now_ms: int) -> Presence:
        """Say who is in the whole room now."""
        known = self.facts(own, claims)
        return describe(self.room, self.config, known, at_ms=now_ms, label_shown=self._label_shown)

    def announce(self, own: Summary, claims: int, *, push_ms: int, now_ms: int) -> Presence | None:
        """Say what to tell everybody, if anything has changed and it is time.

        Args:
            own: Our part of the room.
            claims: As for ``facts``.
            push_ms: The least time between two announcements.
            now_ms: Our time.
        """
        if now_ms < self._announced_at_ms + push_ms:
            return None
        known = self.facts(own, claims)
        if known == self._announced:
            return None
        self._announced = known
        self._announced_at_ms = now_ms
        _, self._label_shown = read_label(known.count, known.low, known.high, shown=self._label_shown)
        return describe(self.room, self.config, known, at_ms=now_ms, label_shown=self._label_shown)


# --- The rate -----------------------------------------------------------------------------------------------------


def propose(
    pace: Paced, summaries: Iterable[Summary], config: RoomConfig, *, late_ms: int, now_ms: int
) -> Paced | None:
    """Say what the rate of a whole room should become, None for nothing else.

    Args:
        pace: What it is.
        summaries: What every node knows of the room.
        config: How the room works.
        late_ms: How long it may take until every node has heard of it.
        now_ms: The time by the clock that the rates' times are of.
    """
    seats = arrivals_per_ms = 0.0
    for summary in summaries:
        seats += summary.panel.seats
        arrivals_per_ms += summary.panel.arrivals_per_ms
    rate = Rate(config.panel_size, config.spread_ms + late_ms, now_ms=now_ms)
    rate.wake(pace.rates, pace.changed_at_ms, now_ms)
    if not rate.follow(int(seats), config.reports_share(arrivals_per_ms), now_ms):
        return None
    rate.theta(now_ms)  # lets go of those that nobody acts on any more
    return Paced(rate.rates, rate.changed_at_ms)


def encode_pace(pace: Paced) -> bytes:
    """Write a rate for the place that all nodes read it from."""
    return json.dumps({"rates": pace.rates, "changed_at_ms": pace.changed_at_ms}).encode()


def decode_pace(value: bytes) -> Paced:
    """Read it back.

    Raises:
        HostError: It is not one.
    """
    try:
        pace = json.loads(value)
        rates = tuple(
            (_count(until_ms), _number(rate, least=1e-9, most=1)) for until_ms, rate in pace["rates"]
        )
        if not rates:
            raise ValueError
        return Paced(rates, _count(pace["changed_at_ms"]))
    except DAMAGE as error:
        raise HostError("a damaged sampling rate") from error
