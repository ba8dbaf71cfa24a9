"""Deltas: what a replica that holds a part of a room sends to the others, and their encoding.

A *delta* holds, for each room, the sums of the sender (``summary.py``), which replace those of its last
delta, and the keys of the visitors who came and left since. So it grows with rooms and with recent events,
never with the number of visitors. Servers append deltas to a shared log (``ports.EventLog``); the objects of
one room send them to their coordinator (``coordinator.py``).

The encoding is that of ``codec.py``, with the header in JSON and the keys in columns. Stored deltas have the
header's keys, so these differ from the names in this module.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from breathing_room.core.codec import (
    DAMAGE,
    ColumnReader,
    lease_columns,
    read,
    read_count,
    read_number,
    split_keys,
    write,
)
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.errors import HostError
from breathing_room.core.estimate.legacy_sampling import LegacySums
from breathing_room.core.estimate.panel import PanelSums
from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.leases import NO_LEASES, Leases
from breathing_room.core.summary import Summary
from breathing_room.core.wire import ROOM_NAME

MAGIC: Final = b"BRN1"
NODE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")

MoodsOf: TypeAlias = Callable[[str], tuple[str, ...]]
"""Returns the moods that a room declares here."""

PeerId: TypeAlias = tuple[str, int]
"""The name of a replica and its epoch. One that restarts has another epoch, and so is another peer."""

EntryId: TypeAlias = tuple[int, int]
"""The position of an entry in the log: its time in ms, by the log's clock, and its number within that."""

BEGINNING: Final[EntryId] = (0, 0)
"""The position before all entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomDelta:
    """What a replica sends about one room.

    Attributes:
        summary: Its sums.
        connected: Visitors who connected since the last delta: they are counted here.
        reported: Visitors who took a seat, or gave up one that is not here; a replica with a connection of
            theirs counts them.
        disconnected: Visitors whose last connection here ended; a replica that has another one counts them.
        seats: The seats of the panel, for the successor to take over.
    """

    summary: Summary
    connected: tuple[VisitorKey, ...] = ()
    reported: tuple[VisitorKey, ...] = ()
    disconnected: tuple[VisitorKey, ...] = ()
    seats: Leases = NO_LEASES


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What a replica sends at a tick, about all its rooms.

    Attributes:
        sender: The replica that sent it.
        lease_ms: How long the sender may send nothing after it.
        read: The last entry of the log that the sender had read. Its sums do not reflect what came after.
        leaving: Whether it is the last one: the sender holds no lease any more.
        successor: The replica that takes over the seats of a sender that is about to leave; None for none.
        rooms: What it holds, by room.
    """

    sender: PeerId
    lease_ms: int
    read: EntryId = BEGINNING
    leaving: bool = False
    successor: PeerId | None = None
    rooms: Mapping[str, RoomDelta] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdminCommand:
    """A command of an operator: ``forget`` or ``drain``, and the name of the replica to which it applies."""

    verb: str
    name: str


VERBS: Final = ("forget", "drain")


def encode_delta(delta: Delta, moods_of: MoodsOf) -> bytes:
    """Encode a delta.

    A room of connections takes some 150 bytes of it, and each key 16.
    """
    name, epoch = delta.sender
    header = {
        "node": name,
        "epoch": epoch,
        "lease_ms": delta.lease_ms,
        "read": delta.read,
        "leaving": delta.leaving,
        **({"heir": delta.successor} if delta.successor is not None else {}),
        "rooms": {room: _header_of(part, moods_of(room)) for room, part in delta.rooms.items()},
    }
    return write(MAGIC, header, *(column for part in delta.rooms.values() for column in _columns(part)))


def encode_admin_command(command: AdminCommand) -> bytes:
    """Encode a command."""
    return write(MAGIC, {command.verb: command.name})


def decode(value: bytes, moods_of: MoodsOf) -> Delta | AdminCommand:
    """Decode a delta or a command, perhaps of a machine with other settings.

    Args:
        value: The encoded value.
        moods_of: The moods that a room declares here; visitors of any other are unspoken.

    Raises:
        HostError: It is of another format, damaged, or of a later version.
    """
    try:
        header, columns = read(MAGIC, value, "a delta")
        for verb in VERBS:
            if verb in header:
                return AdminCommand(verb, _name(header[verb]))
        rooms = {
            _room(room): _read_room(part, columns, moods_of(room)) for room, part in header["rooms"].items()
        }
        columns.end()
        return Delta(
            sender=_peer_id(header["node"], header["epoch"]),
            lease_ms=read_count(header["lease_ms"]),
            read=_entry_id(*header["read"]),
            leaving=bool(header["leaving"]),
            successor=_peer_id(*header["heir"]) if "heir" in header else None,
            rooms=rooms,
        )
    except DAMAGE as error:
        raise HostError("a damaged delta") from error


def _columns(part: RoomDelta) -> Iterator[bytes]:
    """Encode what is not in the header: 16 bytes a key, and 26 a seat."""
    for keys in (part.connected, part.reported, part.disconnected):
        yield b"".join(keys)
    yield from lease_columns(part.seats)


def _header_of(part: RoomDelta, moods: tuple[str, ...]) -> dict[str, Any]:
    summary, panel, legacy = part.summary, part.summary.panel, part.summary.legacy
    written: dict[str, Any] = {
        "moods": moods,
        "people": summary.members,
        "silent": summary.suspect,
        "restored": summary.restored,
        "unknown": summary.unknown,
        "arrivals_per_s": round(summary.arrivals_per_s, 3),
        "keys": (len(part.connected), len(part.reported), len(part.disconnected)),
    }
    if len(part.seats):
        written["seats"] = len(part.seats)
    if not panel.is_idle or panel.rate < 1.0 or panel.expired:
        written["panel"] = {
            "lapsed" if name == "expired" else name: getattr(panel, name) for name in PanelSums.__slots__
        }
    if not legacy.is_idle:
        written["coins"] = {
            "repeats": legacy.repeats,
            "weights": legacy.weights,
            "observed_ms": legacy.observed_ms,
            "heard": legacy.is_recent,
        }
    return written


def _read_room(written: dict[str, Any], columns: ColumnReader, moods_here: tuple[str, ...]) -> RoomDelta:
    here = {mood: index for index, mood in enumerate((*moods_here, UNSPOKEN))}
    moods = [here.get(str(mood), len(here) - 1) for mood in (*written["moods"], UNSPOKEN)]

    def tally(numbers: Any) -> tuple[int, ...]:
        translated = [0] * len(here)
        for mood, number in zip(moods, numbers, strict=True):
            translated[mood] += read_count(number)
        return tuple(translated)

    summary = _read_summary(written, tally)
    connected, reported, disconnected = (
        split_keys(columns.take(read_count(count) * KEY_BYTES)) for count in written["keys"]
    )
    seats = NO_LEASES
    if count := read_count(written.get("seats", 0)):
        seats = columns.leases(count, len(moods) - 1, tickets=True)
        seats = replace(seats, mood_of=bytes(moods[mood] for mood in seats.mood_of))
    return RoomDelta(
        summary=summary, connected=connected, reported=reported, disconnected=disconnected, seats=seats
    )


def _read_summary(written: dict[str, Any], tally: Callable[[Any], tuple[int, ...]]) -> Summary:
    """Read sums; ``tally`` reads numbers by mood, in the order of the moods that are declared here."""
    members, suspect = tally(written["people"]), tally(written["silent"])
    _no_more(suspect, members)
    none = (0,) * len(members)
    panel, legacy = PanelSums(tally=none, restored_tally=none), LegacySums(repeats=none, weights=none)
    if (sums := written.get("panel")) is not None:
        panel = PanelSums(
            tally=tally(sums["tally"]),
            restored_tally=tally(sums["restored_tally"]),
            seats=read_count(sums["seats"]),
            restored=read_count(sums["restored"]),
            fresh=bool(sums["fresh"]),
            expired=read_number(sums["lapsed"]),
            window_ms=read_number(sums["window_ms"], least=1),
            theta=read_number(sums["theta"], least=1e-9, most=1),
            rate=read_number(sums["rate"], least=1e-9, most=1),
            arrivals_per_ms=read_number(sums["arrivals_per_ms"]),
        )
        _no_more(panel.restored_tally, panel.tally)
    if (sums := written.get("coins")) is not None:
        legacy = LegacySums(
            repeats=tally(sums["repeats"]),
            weights=tally(sums["weights"]),
            observed_ms=read_count(sums["observed_ms"]),
            is_recent=bool(sums["heard"]),
        )
    return Summary(
        members=members,
        suspect=suspect,
        restored=read_count(written["restored"]),
        panel=panel,
        legacy=legacy,
        unknown=bool(written["unknown"]),
        arrivals_per_s=read_number(written["arrivals_per_s"]),
    )


def _room(name: str) -> str:
    if not ROOM_NAME.fullmatch(name):
        raise ValueError
    return name


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NODE_NAME.fullmatch(value):
        raise ValueError
    return value


def _peer_id(name: Any, epoch: Any) -> PeerId:
    return _name(name), read_count(epoch)


def _entry_id(at_ms: Any, number: Any) -> EntryId:
    return read_count(at_ms), read_count(number)


def _no_more(some: Iterable[int], all_of: Iterable[int]) -> None:
    if any(few > many for few, many in zip(some, all_of, strict=True)):
        raise ValueError
