"""The base of all write policies, and of those that keep the seats of the room."""

from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from typing import ClassVar

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.errors import ConfigError
from breathing_room.core.identity import VisitorKey
from breathing_room.core.write_policies.records import (
    KEY_REST_MS,
    Delete,
    Put,
    Record,
    SeatReport,
    Seats,
    Traffic,
    Write,
    Writes,
    encode_records,
    later,
)


class WriteQueue:
    """Writes, at most one a second for one key."""

    def __init__(self) -> None:
        self._writes: list[Write] = []
        # The keys of the last second, the oldest first, and what waits for them.
        self._written_at_ms: dict[str, int] = {}
        self._waiting: dict[str, Write] = {}

    @property
    def next_at_ms(self) -> int | None:
        """When to call ``pop_due``, None for never. Nothing may be due then."""
        return next(iter(self._written_at_ms.values())) + KEY_REST_MS if self._waiting else None

    def pop_due(self, now_ms: int) -> None:
        """Release the waiting writes whose second is over."""
        while self._written_at_ms:
            key, written_at_ms = next(iter(self._written_at_ms.items()))
            if written_at_ms + KEY_REST_MS > now_ms:
                break
            del self._written_at_ms[key]
            if (write := self._waiting.pop(key, None)) is not None:
                self.write(write, now_ms)

    def write(self, write: Write, now_ms: int) -> None:
        """Add a write; if its key was written within a second, it waits and replaces the one that waits."""
        if write.key in self._written_at_ms:
            self._waiting[write.key] = write
        else:
            self._writes.append(write)
            self._written_at_ms[write.key] = now_ms

    def take(self) -> tuple[Write, ...]:
        """Remove and return the writes that are not waiting."""
        writes, self._writes = tuple(self._writes), []
        return writes


@dataclass(kw_only=True, eq=False)
class WritePolicy:
    """The writes that follow from the reports of one room.

    A policy has a ``name`` and implements ``_take`` and ``writes_per_day``; where writes wait,
    ``_write_due``, ``_flush`` and ``_next_at_ms`` as well, and ``unwritten`` if writers may have it. It
    writes with ``_put`` and ``_delete``, and sets ``loss_ms`` and ``heartbeat_lag_ms`` to what it promises.
    One that keeps seats is a ``StatefulPolicy``.

    Attributes:
        prefix: The prefix of every key. Two policies in use must not share one.
        lease_ms: How long a seat lasts after a report.
        retention_ms: How long records stay in the store after their lease, for readers that count expiries.
        seats: The seats of a former run, from ``live_seats``. Only stateful policies need them.
        loss_ms: A crash loses the reports of this time before it, at most.
        heartbeat_lag_ms: A stored heartbeat may be older than the last one by this.
    """

    name: ClassVar[str]
    prefix: str = field(kw_only=False)
    lease_ms: int
    retention_ms: int = 0
    seats: InitVar[Seats | None] = None
    loss_ms: int = field(default=0, init=False)
    heartbeat_lag_ms: int = field(default=0, init=False)

    def __post_init__(self, seats: Seats | None) -> None:
        del seats
        self._now_ms = 0
        self._queue = WriteQueue()

    def report(self, report: SeatReport, *, now_ms: int) -> Writes:
        """Add a report. A time before the last one counts as the last one."""
        self._pass_time(now_ms)
        # A visitor who joins and names no mood has none, even if there was one the last time.
        mood = UNSPOKEN if report.kind == "join" and report.mood is None else report.mood
        self._take(Record(report.visitor, report.ticket, mood, self._now_ms, report.kind != "leave"))
        return self._answer()

    def on_timer(self, *, now_ms: int) -> Writes:
        """Write what is due. An early or late call does no harm."""
        self._pass_time(now_ms)
        return self._answer()

    def flush(self, *, now_ms: int) -> Writes:
        """Write what waits, before a graceful stop. A key that was written within a second still waits."""
        self._pass_time(now_ms)
        self._flush()
        return self._answer()

    def unwritten(self) -> list[Record]:
        """Return the records that are not written yet."""
        return []

    def writes_per_day(self, traffic: Traffic) -> float:
        """Return the number of writes in a day, at most or on average."""
        raise NotImplementedError

    # --- Implemented by policies ---------------------------------------------------------------------------

    def _take(self, record: Record) -> None:
        """Write a record now, or keep it for later."""
        raise NotImplementedError

    def _write_due(self) -> None:
        """Write what is due by now; called before every report, too."""

    def _flush(self) -> None:
        """Write all that waits."""

    def _next_at_ms(self) -> int | None:
        """When ``_write_due`` has something to write, None for never."""
        return None

    # --- Used by policies ----------------------------------------------------------------------------------

    def _pass_time(self, now_ms: int) -> None:
        self._now_ms = max(self._now_ms, now_ms)
        self._queue.pop_due(self._now_ms)
        self._write_due()

    def _answer(self) -> Writes:
        deadlines = (self._queue.next_at_ms, self._next_at_ms())
        next_timer_ms = min((deadline for deadline in deadlines if deadline is not None), default=None)
        return Writes(self._queue.take(), next_timer_ms)

    def _put(self, key: str, records: Iterable[Record]) -> None:
        """Put records under a key, for as long as a reader may need them."""
        ttl_ms = self.lease_ms + self.heartbeat_lag_ms + self.retention_ms
        self._queue.write(Put(key, encode_records(records), ttl_ms), self._now_ms)

    def _delete(self, key: str) -> None:
        self._queue.write(Delete(key), self._now_ms)


class StatefulPolicy(WritePolicy):
    """A policy that keeps the seats of the room."""

    def __post_init__(self, seats: Seats | None) -> None:
        super().__post_init__(seats)
        # The one whose last report is the oldest comes first.
        self._seats = dict(sorted((seats or {}).items(), key=lambda seat: seat[1].reported_at_ms))

    def _key_of(self, visitor: VisitorKey) -> str:
        return f"{self.prefix}{visitor.hex()}"

    def _remember(self, record: Record) -> tuple[Record | None, Record]:
        """Merge a record; return the former one of its visitor, and the merged one."""
        former = self._seats.pop(record.visitor, None)
        record = later(former, record)
        if record.here:
            self._seats[record.visitor] = record
        return former, record

    def _expired(self) -> list[Record]:
        """Remove and return the records whose leases have ended."""
        expired = []
        while self._seats:
            record = next(iter(self._seats.values()))
            if record.reported_at_ms + self.lease_ms > self._now_ms:
                break
            expired.append(self._seats.pop(record.visitor))
        return expired


def at_least(name: str, value_ms: int, least_ms: int) -> int:
    """Return a length of time if it is not below the least time between two writes of a key.

    Raises:
        ConfigError: It is below.
    """
    if value_ms < least_ms:
        raise ConfigError(
            f"{name} must be at least {least_ms:,}, since no key is written more than once a second"
        )
    return value_ms
