"""The snapshot of a room: its state, as it is stored.

Leases are kept in columns, 22 bytes each for members and 26 for seats of the panel, so that a snapshot of
100,000 visitors is taken in milliseconds and written as one value. The encoding is that of ``codec.py``, with
the columns of each kind of lease::

    b"BRS1" | u32 header length | header | members | seats | expired seats | sessions | repeats
    members:   16 B keys | 1 B moods | 1 B flags | u32 lease left, ms
    seats:     the same  | u32 tickets
    sessions:  16 B keys | 1 B moods | u32 age, ms
    repeats:   1 B moods | u32 age, ms

Every column is as long as the header's ``counts`` say.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

from breathing_room.core.codec import DAMAGE, lease_columns, pack_u32, read, write
from breathing_room.core.errors import HostError
from breathing_room.core.identity import VisitorKey
from breathing_room.core.leases import NO_LEASES, Leases
from breathing_room.core.presence import Counts, Interval

MAGIC: Final = b"BRS1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSnapshot:
    """The panel at an instant.

    Attributes:
        seats: Its leases.
        expired: Leases that expired lately.
        since_ms: When it began.
        rates: The current rate, and those that a client may still act on, each with the time until which it
            may.
        changed_at_ms: When the rate last changed.
        arrivals_per_ms: Reports that arrive.
        arrived_at_ms: When the last one did.
    """

    seats: Leases = NO_LEASES
    expired: Leases = NO_LEASES
    since_ms: int
    rates: tuple[tuple[int, float], ...]
    changed_at_ms: int
    arrivals_per_ms: float
    arrived_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacySnapshot:
    """The legacy clients at an instant.

    Attributes:
        keys: The sessions' keys, one after another, in the order of their last reports.
        mood_of: One byte each: the mood that was reported last.
        ages_ms: How long ago each reported last.
        repeat_mood_of: The recent random reports, the oldest first: one byte each, the mood.
        repeat_ages_ms: How long ago each was received.
        since_ms: When the first of the sessions reported first; None if there never was one.
    """

    keys: bytes = b""
    mood_of: bytes = b""
    ages_ms: tuple[int, ...] = ()
    repeat_mood_of: bytes = b""
    repeat_ages_ms: tuple[int, ...] = ()
    since_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A room at an instant.

    Attributes:
        room: The room's name.
        as_of_ms: The room's time when it was taken.
        moods: The moods declared then.
        members: The leases of members.
        panel: The panel.
        legacy: The legacy clients.
        unknown_until_ms: Until when the room does not know its count, or None.
        counted_at_ms: When the counts last changed: the time of the estimates.
        broadcast: The counts of the last broadcast.
        broadcast_at_ms: When that was sent.
        saved_at_ms: When the room last asked to be saved.
        reply_ahead: Whether a reply to one connection since then was newer.
        has_unsaved_changes: Whether anything changed since it was saved.
        label_shown: The figure that the label shows, or None.
    """

    room: str
    as_of_ms: int
    moods: tuple[str, ...]
    members: Leases
    panel: PanelSnapshot
    legacy: LegacySnapshot
    unknown_until_ms: int | None
    counted_at_ms: int
    broadcast: Counts
    broadcast_at_ms: int
    saved_at_ms: int
    reply_ahead: bool
    has_unsaved_changes: bool
    label_shown: int | None

    @property
    def count(self) -> int:
        """Leases in it."""
        return len(self.members) + len(self.panel.seats)

    def live_count(self, now_ms: int) -> int:
        """Leases that have not ended by then."""
        elapsed_ms = max(0, now_ms - self.as_of_ms)
        return sum(
            left_ms > elapsed_ms for leases in (self.members, self.panel.seats) for left_ms in leases.left_ms
        )


def with_connected(
    rest: Snapshot, mood_of: Mapping[VisitorKey, int], *, left_ms: int, flags: int = 0
) -> Snapshot:
    """Add members to a snapshot that was taken without those who have a connection.

    Args:
        rest: What ``Room.snapshot(connected=False)`` returned.
        mood_of: The others, with their moods as ``Leases`` has them.
        left_ms: What is left of each one's lease.
        flags: Of SUSPECT and RESTORED, for each of them.
    """
    members = rest.members
    added = Leases(
        keys=members.keys + b"".join(mood_of),
        mood_of=members.mood_of + bytes(mood_of.values()),
        flags=members.flags + bytes([flags]) * len(mood_of),
        left_ms=members.left_ms + (left_ms,) * len(mood_of),
    )
    return replace(rest, members=added)


# The stored name of each field. A store keeps what past versions wrote, so these names stay.
_HEADER_KEYS: Final[Mapping[str, str]] = {
    "room": "room",
    "as_of_ms": "as_of_ms",
    "moods": "moods",
    "unknown_until_ms": "unknown_until_ms",
    "counted_at_ms": "described_at_ms",
    "broadcast_at_ms": "announced_at_ms",
    "saved_at_ms": "saved_at_ms",
    "reply_ahead": "told_apart",
    "has_unsaved_changes": "unsaved",
    "label_shown": "label_shown",
}
_PANEL_KEYS: Final = ("since_ms", "rates", "changed_at_ms", "arrivals_per_ms", "arrived_at_ms")


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Encode a snapshot as one value for a store."""
    panel, legacy = snapshot.panel, snapshot.legacy
    header: dict[str, Any] = {key: getattr(snapshot, field) for field, key in _HEADER_KEYS.items()}
    header["announced"] = astuple(snapshot.broadcast)
    header["panel"] = {key: getattr(panel, key) for key in _PANEL_KEYS}
    header["coins"] = {"since_ms": legacy.since_ms}
    header["counts"] = [
        *(len(snapshot.members), len(panel.seats), len(panel.expired)),
        *(len(legacy.mood_of), len(legacy.repeat_mood_of)),
    ]
    return write(
        MAGIC,
        header,
        *(
            column
            for leases in (snapshot.members, panel.seats, panel.expired)
            for column in lease_columns(leases)
        ),
        *(legacy.keys, legacy.mood_of, pack_u32(legacy.ages_ms)),
        *(legacy.repeat_mood_of, pack_u32(legacy.repeat_ages_ms)),
    )


def decode_snapshot(value: bytes) -> Snapshot:
    """Decode a snapshot.

    Raises:
        HostError: It is not a snapshot, cut short, damaged, or of a later version.
    """
    try:
        header, columns = read(MAGIC, value, "a snapshot")
        panel = header["panel"]
        moods = tuple(map(str, header["moods"]))
        member_count, seat_count, expired_count, session_count, repeat_count = header["counts"]
        members = columns.leases(member_count, len(moods), tickets=False)
        seats = columns.leases(seat_count, len(moods), tickets=True)
        expired = columns.leases(expired_count, len(moods), tickets=True)
        since_ms = header["coins"]["since_ms"]
        legacy = LegacySnapshot(
            keys=columns.keys(session_count),
            mood_of=columns.moods(session_count, len(moods)),
            ages_ms=columns.numbers(session_count),
            repeat_mood_of=columns.moods(repeat_count, len(moods)),
            repeat_ages_ms=columns.numbers(repeat_count),
            since_ms=None if since_ms is None else int(since_ms),
        )
        columns.end()
        count, low, high, method, cells, rate = header["announced"]
        published = tuple(None if cell is None else _cell(*cell) for cell in cells)
        return Snapshot(
            room=str(header["room"]),
            as_of_ms=int(header["as_of_ms"]),
            moods=moods,
            members=members,
            panel=PanelSnapshot(
                seats=seats,
                expired=expired,
                since_ms=int(panel["since_ms"]),
                rates=_rates(panel["rates"]),
                changed_at_ms=int(panel["changed_at_ms"]),
                arrivals_per_ms=float(panel["arrivals_per_ms"]),
                arrived_at_ms=int(panel["arrived_at_ms"]),
            ),
            legacy=legacy,
            unknown_until_ms=None if header["unknown_until_ms"] is None else int(header["unknown_until_ms"]),
            counted_at_ms=int(header["described_at_ms"]),
            broadcast=Counts(count, low, high, method, published, rate),
            broadcast_at_ms=int(header["announced_at_ms"]),
            saved_at_ms=int(header["saved_at_ms"]),
            reply_ahead=bool(header["told_apart"]),
            has_unsaved_changes=bool(header["unsaved"]),
            label_shown=None if header["label_shown"] is None else int(header["label_shown"]),
        )
    except DAMAGE as error:
        raise HostError("a damaged snapshot") from error


def _cell(count: int, low: int, high: int) -> Interval:
    return int(count), int(low), int(high)


def _rates(value: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    rates = tuple((int(until_ms), float(rate)) for until_ms, rate in value)
    if not rates or not all(0 < rate <= 1 for _, rate in rates):
        raise ValueError
    return rates
