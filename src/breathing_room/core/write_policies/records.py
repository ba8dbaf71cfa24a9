"""Records: the reports that policies receive, the writes that they return, and the stored form that all of
them share.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from breathing_room.core.config import DAY_MS
from breathing_room.core.errors import HostError
from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.tickets import TICKETS

KEY_REST_MS: Final = 1_000
"""The least time between two writes to one key."""

# --- Reports and writes ------------------------------------------------------------------------------------

Kind: TypeAlias = Literal["join", "heartbeat", "mood", "leave"]


@dataclass(frozen=True, slots=True)
class SeatReport:
    """A report of a visitor of the panel.

    Attributes:
        visitor: Whose report it is.
        ticket: In [0, 1).
        mood: None leaves it as it is.
        kind: Its reason; ``heartbeat`` where that is not known.
    """

    visitor: VisitorKey
    ticket: float
    mood: str | None = None
    kind: Kind = "heartbeat"


@dataclass(frozen=True, slots=True)
class Put:
    """Put a value under a key, with a time to live."""

    key: str
    value: bytes
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key."""

    key: str


Write: TypeAlias = Put | Delete


@dataclass(frozen=True, slots=True)
class Writes:
    """The answer to a report.

    Attributes:
        writes: The writes, in this order.
        next_timer_ms: When to call ``on_timer``, None for never; it replaces every earlier one.
    """

    writes: tuple[Write, ...]
    next_timer_ms: int | None


# --- Records ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """The stored state of a visitor.

    Attributes:
        visitor: The visitor's key.
        ticket: In [0, 1), a multiple of 2^-32.
        mood: The mood that was named, or None.
        reported_at_ms: When the report was received.
        here: False after a leave.
    """

    visitor: VisitorKey
    ticket: float
    mood: str | None
    reported_at_ms: int
    here: bool = True


Seats: TypeAlias = Mapping[VisitorKey, Record]


def later(former: Record | None, record: Record) -> Record:
    """Merge two records of a visitor: the later one holds; a mood stays until another is named or the visitor
    leaves.
    """
    if former is None:
        return record
    if record.reported_at_ms < former.reported_at_ms:
        former, record = record, former
    keeps_mood = record.mood is None and record.here and former.here
    return replace(record, mood=former.mood) if keeps_mood else record


def encode_records(records: Iterable[Record]) -> bytes:
    """Encode records as one value, about 75 bytes each."""
    rows = [
        [
            record.visitor.hex(),
            round(record.ticket * TICKETS),
            record.mood,
            record.reported_at_ms,
            record.here,
        ]
        for record in records
    ]
    return json.dumps(rows, separators=(",", ":")).encode()


def decode_records(value: bytes) -> list[Record]:
    """Decode records.

    Raises:
        HostError: The value is damaged.
    """
    try:
        return [_record(*row) for row in json.loads(value)]
    except (ValueError, TypeError, RecursionError) as error:
        raise HostError("damaged records") from error


def _record(visitor: str, ticket: int, mood: str | None, reported_at_ms: int, here: bool) -> Record:  # noqa: FBT001 - a row
    key = bytes.fromhex(visitor)
    well_typed = type(ticket) is int and type(reported_at_ms) is int and type(here) is bool
    if not (well_typed and len(key) == KEY_BYTES and 0 <= ticket < TICKETS and isinstance(mood, str | None)):
        raise ValueError
    return Record(VisitorKey(key), ticket / TICKETS, mood, reported_at_ms, here)


def merge(values: Iterable[bytes]) -> dict[VisitorKey, Record]:
    """Merge all values that a store holds under a room's prefix.

    Args:
        values: In the order of their keys.

    Returns:
        The latest record of every visitor, those of leaves and expired leases included.

    Raises:
        HostError: A value is damaged.
    """
    merged: dict[VisitorKey, Record] = {}
    for value in values:
        for record in decode_records(value):
            merged[record.visitor] = later(merged.get(record.visitor), record)
    return merged


def live_seats(
    values: Iterable[bytes], *, now_ms: int, lease_ms: int, heartbeat_lag_ms: int
) -> dict[VisitorKey, Record]:
    """Return the live seats of a room, written by any policy.

    Args:
        values: All that a store holds under the room's prefix, in the order of their keys.
        now_ms: The time.
        lease_ms: How long a seat lasts after a report.
        heartbeat_lag_ms: That of the policy.

    Raises:
        HostError: A value is damaged.
    """
    reported_after_ms = now_ms - lease_ms - heartbeat_lag_ms
    return {
        visitor: record
        for visitor, record in merge(values).items()
        if record.here and record.reported_at_ms > reported_after_ms
    }


# --- Number of writes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The reports of a steady crowd.

    Attributes:
        seats: Visitors who report: the count times the rate, which is the panel's size in a large crowd.
        visit_ms: The mean length of a visit.
        heartbeat_ms: The time between two heartbeats of a seat.
        moods_per_visit: Changes of mood in a visit.
        leaves_share: The share of departures with a leave that arrives.
    """

    seats: float
    visit_ms: float
    heartbeat_ms: float
    moods_per_visit: float = 1.0
    leaves_share: float = 0.92

    @property
    def joins(self) -> float:
        """Joins a day."""
        return self.seats * DAY_MS / self.visit_ms

    @property
    def changes(self) -> float:
        """Joins, changes of mood and leaves a day."""
        return self.joins * (1 + self.moods_per_visit + self.leaves_share)

    @property
    def reports(self) -> float:
        """Changes and heartbeats a day."""
        return self.changes + self.seats * DAY_MS / self.heartbeat_ms
