"""Write policies: what is written to a store of the people who report, and when.

A policy stands between the reports of one room and any store. It is told of every report and answers with orders. All of
them write the same thing, *records*, so one function reads back what any of them left behind.

===========  =============================================  =========  ============  ====================================
policy       writes                                         loss_ms    silence_ms    writes a day, of s seats
===========  =============================================  =========  ============  ====================================
every        each report                                            0             0  s · day · r
lazy         a visitor's first report in a window;             60,000        60,000  at most s · day · (1 / window + c)
             changes at its end
bucketed     one batch of all reports                          10,000        10,000  day / (bucket + 1 / s r) < 8,640
on_change    who came, felt otherwise, or went                  1,000     1,801,000  s · day · (c + 1 / renew) at most
snapshot     everybody, in one value                           10,000        10,000  at most day / snapshot = 8,640
===========  =============================================  =========  ============  ====================================

r is how often a seat reports, and c how often it changes: comes, feels otherwise, goes. ``writes_per_day`` computes it.

What a crash may lose
---------------------
When the process dies, each visitor is read back as it was at some instant of the last ``loss_ms``: here or not, with that
ticket and that mood. Signs of life are those from before then, and may be older still by ``silence_ms`` at most; so whoever
reads back lets leases last so much longer. To both comes whatever time the host's timer and the store's put take.

One write a second to one key
-----------------------------
Some stores refuse more (Workers KV, https://developers.cloudflare.com/kv/platform/limits/). An order that comes too soon
waits for its second, and a later one takes its place.

Who remembers
-------------
``every`` and ``bucketed`` know nobody but those of the batch, so that several writers may share a store, each under its own
prefix. A goodbye is then a record like any other, since another writer may hold an older one; and a mood lasts for one
lease after it was last named, so a beat should name it. The others remember the seats of the room, and are its only writer.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import exp
from typing import ClassVar, Final, Literal, TypeAlias

from breathing_room.core.config import DAY_MS, UNSPOKEN
from breathing_room.core.errors import ConfigError, HostError
from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.tickets import TICKETS

KEY_REST_MS: Final = 1_000
"""The least time between two writes to one key."""

# --- What goes in, and what comes out ---------------------------------------------------------------------------

Kind: TypeAlias = Literal["join", "beat", "mood", "leave"]


@dataclass(frozen=True, slots=True)
class SeatReport:
    """A visitor of the panel reported.

    Attributes:
        visitor: Whose report it is.
        ticket: In [0, 1).
        mood: None says nothing about it.
        kind: Why it came. Who cannot tell says ``beat``.
    """

    visitor: VisitorKey
    ticket: float
    mood: str | None = None
    kind: Kind = "beat"


@dataclass(frozen=True, slots=True)
class Put:
    """Keep a value for so long."""

    key: str
    value: bytes
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget a value."""

    key: str


Order: TypeAlias = Put | Delete


@dataclass(frozen=True, slots=True)
class Writes:
    """The answer to a report.

    Attributes:
        orders: What to do with the store, in this order.
        wake_at_ms: When the policy wants to be woken, None for never; it replaces every earlier wish.
    """

    orders: tuple[Order, ...]
    wake_at_ms: int | None


# --- Records ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """What a store holds of a visitor.

    Attributes:
        visitor: Who.
        ticket: In [0, 1), a multiple of 2^-32.
        mood: The mood that was named, or None.
        heard_at_ms: When.
        here: False after a goodbye.
    """

    visitor: VisitorKey
    ticket: float
    mood: str | None
    heard_at_ms: int
    here: bool = True


Seats: TypeAlias = Mapping[VisitorKey, Record]


def later(former: Record | None, record: Record) -> Record:
    """Put two records of a visitor together: the later one counts; a mood stays until another is named or they go."""
    if former is None:
        return record
    if record.heard_at_ms < former.heard_at_ms:
        former, record = record, former
    keeps_mood = record.mood is None and record.here and former.here
    return replace(record, mood=former.mood) if keeps_mood else record


def encode_records(records: Iterable[Record]) -> bytes:
    """Write records as one value, about 75 bytes each."""
    rows = [
        [record.visitor.hex(), round(record.ticket * TICKETS), record.mood, record.heard_at_ms, record.here]
        for record in records
    ]
    return json.dumps(rows, separators=(",", ":")).encode()


def decode_records(value: bytes) -> list[Record]:
    """Read records.

    Raises:
        HostError: These are none.
    """
    try:
        return [_record(*row) for row in json.loads(value)]
    except (ValueError, TypeError, RecursionError) as error:
        raise HostError("damaged records") from error


def _record(visitor: str, ticket: int, mood: str | None, heard_at_ms: int, here: bool) -> Record:  # noqa: FBT001 - a row
    key = bytes.fromhex(visitor)
    well_typed = type(ticket) is int and type(heard_at_ms) is int and type(here) is bool
    if not (well_typed and len(key) == KEY_BYTES and 0 <= ticket < TICKETS and isinstance(mood, str | None)):
        raise ValueError
    return Record(VisitorKey(key), ticket / TICKETS, mood, heard_at_ms, here)


def merge(values: Iterable[bytes]) -> dict[VisitorKey, Record]:
    """Put together all that a store holds under a room's prefix.

    Args:
        values: In the order of their keys.

    Returns:
        The latest record of every visitor, goodbyes and lapsed leases included.

    Raises:
        HostError: A value is damaged.
    """
    merged: dict[VisitorKey, Record] = {}
    for value in values:
        for record in decode_records(value):
            merged[record.visitor] = later(merged.get(record.visitor), record)
    return merged


def live_seats(
    values: Iterable[bytes], *, now_ms: int, lease_ms: int, silence_ms: int
) -> dict[VisitorKey, Record]:
    """Rebuild the live seats of a room, whatever policy wrote them.

    Args:
        values: All that a store holds under the room's prefix, in the order of their keys.
        now_ms: The time.
        lease_ms: How long a seat lasts after a report.
        silence_ms: That of the policy.

    Raises:
        HostError: A value is damaged.
    """
    heard_after_ms = now_ms - lease_ms - silence_ms
    return {
        visitor: record
        for visitor, record in merge(values).items()
        if record.here and record.heard_at_ms > heard_after_ms
    }


# --- How much is written ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How a steady crowd reports.

    Attributes:
        seats: Those who report: the count times the rate, which is the panel's size in a large crowd.
        stay_ms: How long they stay, on average.
        beat_ms: How often a seat gives a sign of life.
        moods_per_stay: Changes of mood in a stay.
        leaves_share: The share of goodbyes that arrive.
    """

    seats: float
    stay_ms: float
    beat_ms: float
    moods_per_stay: float = 1.0
    leaves_share: float = 0.92

    @property
    def joins(self) -> float:
        """A day."""
        return self.seats * DAY_MS / self.stay_ms

    @property
    def changes(self) -> float:
        """Joins, moods and goodbyes a day."""
        return self.joins * (1 + self.moods_per_stay + self.leaves_share)

    @property
    def reports(self) -> float:
        """Changes and signs of life a day."""
        return self.changes + self.seats * DAY_MS / self.beat_ms


# --- Policies -----------------------------------------------------------------------------------------------------


class Pen:
    """Gives orders, at most one a second for one key."""

    def __init__(self) -> None:
        self._orders: list[Order] = []
        # The keys of the last second, the oldest first, and what waits for them.
        self._written_at_ms: dict[str, int] = {}
        self._waiting: dict[str, Order] = {}

    @property
    def next_at_ms(self) -> int | None:
        """When to call ``come_due``, None for never. It may come to nothing."""
        return next(iter(self._written_at_ms.values())) + KEY_REST_MS if self._waiting else None

    def come_due(self, now_ms: int) -> None:
        """Give the orders whose second is over."""
        while self._written_at_ms:
            key, written_at_ms = next(iter(self._written_at_ms.items()))
            if written_at_ms + KEY_REST_MS > now_ms:
                break
            del self._written_at_ms[key]
            if (order := self._waiting.pop(key, None)) is not None:
                self.write(order, now_ms)

    def write(self, order: Order, now_ms: int) -> None:
        """Give an order, or have it wait in place of the one that waits."""
        if order.key in self._written_at_ms:
            self._waiting[order.key] = order
        else:
            self._orders.append(order)
            self._written_at_ms[order.key] = now_ms

    def lift(self) -> tuple[Order, ...]:
        """Hand over the orders given so far."""
        orders, self._orders = tuple(self._orders), []
        return orders


class WritePolicy:
    """What all policies share.

    Args:
        prefix: What every key begins with. Two policies at work must not share one.
        lease_ms: How long a seat lasts after a report.
        linger_ms: How long records stay in the store after their lease, for whoever wants to see it end.
        seats: What ``live_seats`` rebuilt of a former run. Only those who remember need it.
    """

    name: ClassVar[str]
    loss_ms: int = 0
    silence_ms: int = 0

    def __init__(self, prefix: str, *, lease_ms: int, linger_ms: int = 0, seats: Seats | None = None) -> None:
        del seats
        self.prefix = prefix
        self.lease_ms = lease_ms
        self.linger_ms = linger_ms
        self._now_ms = 0
        self._pen = Pen()

    def report(self, report: SeatReport, *, now_ms: int) -> Writes:
        """Take a report. Time that runs backwards stands still."""
        self._pass_time(now_ms)
        # Whoever comes in and names no mood has none, whatever it was the last time.
        mood = UNSPOKEN if report.kind == "join" and report.mood is None else report.mood
        self._take(Record(report.visitor, report.ticket, mood, self._now_ms, report.kind != "leave"))
        return self._writes()

    def wake(self, *, now_ms: int) -> Writes:
        """Do what is due. An early or late call does no harm."""
        self._pass_time(now_ms)
        return self._writes()

    def flush(self, *, now_ms: int) -> Writes:
        """Write what waits, before a polite end. What must wait for its key's second still does."""
        self._pass_time(now_ms)
        self._flush()
        return self._writes()

    def unwritten(self) -> list[Record]:
        """List what is known here and not yet ordered to be written."""
        return []

    def writes_per_day(self, traffic: Traffic) -> float:
        """Say what it writes, at most or on average."""
        raise NotImplementedError

    # What a policy is made of.

    def _take(self, record: Record) -> None:
        raise NotImplementedError

    def _come_due(self) -> None:
        """Do what is due now."""

    def _flush(self) -> None:
        """Do now whatever will be due."""

    def _next_at_ms(self) -> int | None:
        return None

    # What it is made with.

    def _pass_time(self, now_ms: int) -> None:
        self._now_ms = max(self._now_ms, now_ms)
        self._pen.come_due(self._now_ms)
        self._come_due()

    def _writes(self) -> Writes:
        wishes = (self._pen.next_at_ms, self._next_at_ms())
        wake_at_ms = min((wish for wish in wishes if wish is not None), default=None)
        return Writes(self._pen.lift(), wake_at_ms)

    def _put(self, key: str, records: Iterable[Record]) -> None:
        ttl_ms = self.lease_ms + self.silence_ms + self.linger_ms
        self._pen.write(Put(key, encode_records(records), ttl_ms), self._now_ms)

    def _delete(self, key: str) -> None:
        self._pen.write(Delete(key), self._now_ms)


class Every(WritePolicy):
    """Each report is a write, to a key of its own. A crash loses nothing that was written."""

    name = "every"
    _number = 0

    def _take(self, record: Record) -> None:
        # Two reports of one millisecond are told apart by a number, and sorted by it.
        self._number = (self._number + 1) % 1_000_000
        self._put(f"{self.prefix}{self._now_ms:013}-{self._number:06}", [record])

    def writes_per_day(self, traffic: Traffic) -> float:
        """As many as there are reports."""
        return traffic.reports


class WithMemory(WritePolicy):
    """A policy that remembers the seats of the room."""

    def __init__(self, prefix: str, *, lease_ms: int, linger_ms: int = 0, seats: Seats | None = None) -> None:
        super().__init__(prefix, lease_ms=lease_ms, linger_ms=linger_ms)
        # The one who was silent longest comes first.
        self._seats = dict(sorted((seats or {}).items(), key=lambda seat: seat[1].heard_at_ms))

    def _key_of(self, visitor: VisitorKey) -> str:
        return f"{self.prefix}{visitor.hex()}"

    def _remember(self, record: Record) -> tuple[Record | None, Record]:
        """Take note of a record; return what was known of its visitor, and what is known now."""
        former = self._seats.pop(record.visitor, None)
        record = later(former, record)
        if record.here:
            self._seats[record.visitor] = record
        return former, record

    def _lapsed(self) -> list[Record]:
        """Forget those whose leases have ended, and return them."""
        lapsed = []
        while self._seats:
            record = next(iter(self._seats.values()))
            if record.heard_at_ms + self.lease_ms > self._now_ms:
                break
            lapsed.append(self._seats.pop(record.visitor))
        return lapsed


class Lazy(WithMemory):
    """A visitor's first report in a window is a write; what changed afterwards is written at the window's end.

    A crash loses one window of changes. Pays where a beat is shorter than a window.
    """

    name = "lazy"

    def __init__(
        self,
        prefix: str,
        *,
        lease_ms: int,
        linger_ms: int = 0,
        seats: Seats | None = None,
        window_ms: int = 60_000,
    ) -> None:
        super().__init__(prefix, lease_ms=lease_ms, linger_ms=linger_ms, seats=seats)
        self.loss_ms = self.silence_ms = self.window_ms = at_least("window_ms", window_ms, 5 * KEY_REST_MS)
        self._window_ends_at_ms = 0
        self._seen: set[VisitorKey] = set()
        self._changed: dict[VisitorKey, None] = {}

    def _take(self, record: Record) -> None:
        former, record = self._remember(record)
        if record.visitor not in self._seen:
            self._seen.add(record.visitor)
            self._write(record.visitor)
        elif former is None or not record.here or record.mood != former.mood:
            self._changed[record.visitor] = None

    def _come_due(self) -> None:
        self._lapsed()
        if self._now_ms >= self._window_ends_at_ms:
            self._window_ends_at_ms = (self._now_ms // self.window_ms + 1) * self.window_ms
            self._flush()
            self._seen.clear()

    def _flush(self) -> None:
        for visitor in self._changed:
            self._write(visitor)
        self._changed.clear()

    def _write(self, visitor: VisitorKey) -> None:
        if record := self._seats.get(visitor):
            self._put(self._key_of(visitor), [record])
        else:
            self._delete(self._key_of(visitor))

    def _next_at_ms(self) -> int | None:
        return self._window_ends_at_ms if self._changed else None

    def writes_per_day(self, traffic: Traffic) -> float:
        """One a window and one a change of each seat, and never more than there are reports: an upper bound."""
        return min(traffic.reports, traffic.seats * DAY_MS / self.window_ms + traffic.changes)


class Bucketed(WritePolicy):
    """All reports of ten seconds are one write, to a key of its own. A crash loses one bucket."""

    name = "bucketed"

    def __init__(
        self,
        prefix: str,
        *,
        lease_ms: int,
        linger_ms: int = 0,
        seats: Seats | None = None,
        bucket_ms: int = 10_000,
    ) -> None:
        super().__init__(prefix, lease_ms=lease_ms, linger_ms=linger_ms, seats=seats)
        self.loss_ms = self.silence_ms = self.bucket_ms = bucket_ms
        self._batch: dict[VisitorKey, Record] = {}
        self._due_at_ms = 0

    def unwritten(self) -> list[Record]:
        """List the batch."""
        return list(self._batch.values())

    def _take(self, record: Record) -> None:
        if not self._batch:
            self._due_at_ms = self._now_ms + self.bucket_ms
        self._batch[record.visitor] = later(self._batch.get(record.visitor), record)

    def _come_due(self) -> None:
        if self._now_ms >= self._due_at_ms:
            self._flush()

    def _flush(self) -> None:
        if self._batch:
            self._put(f"{self.prefix}{self._now_ms:013}", self._batch.values())
            self._batch.clear()

    def _next_at_ms(self) -> int | None:
        return self._due_at_ms if self._batch else None

    def writes_per_day(self, traffic: Traffic) -> float:
        """One for each time that a bucket was begun: a bucket, and the wait for the next report."""
        return DAY_MS / (self.bucket_ms + DAY_MS / traffic.reports)


class OnChange(WithMemory):
    """Who comes, feels otherwise, or goes is a write; a sign of life is one only when the last write is ``renew_ms`` old.

    A crash loses a second of changes. It may leave people in the store who had gone in silence, for ``renew_ms`` at most.
    """

    name = "on_change"
    loss_ms = KEY_REST_MS

    def __init__(
        self,
        prefix: str,
        *,
        lease_ms: int,
        linger_ms: int = 0,
        seats: Seats | None = None,
        renew_ms: int = 1_800_000,
    ) -> None:
        super().__init__(prefix, lease_ms=lease_ms, linger_ms=linger_ms, seats=seats)
        self.renew_ms = at_least("renew_ms", renew_ms, KEY_REST_MS)
        # A write may wait for its key's second.
        self.silence_ms = renew_ms + KEY_REST_MS
        self._written_at_ms = {visitor: record.heard_at_ms for visitor, record in self._seats.items()}

    def _take(self, record: Record) -> None:
        former, record = self._remember(record)
        if not record.here:
            self._forget(record.visitor)
        elif (
            former is None
            or record.mood != former.mood
            or self._now_ms >= self._written_at_ms[record.visitor] + self.renew_ms
        ):
            self._written_at_ms[record.visitor] = self._now_ms
            self._put(self._key_of(record.visitor), [record])

    def _come_due(self) -> None:
        for record in self._lapsed():
            self._forget(record.visitor)

    def _forget(self, visitor: VisitorKey) -> None:
        self._written_at_ms.pop(visitor, None)
        self._delete(self._key_of(visitor))

    def _next_at_ms(self) -> int | None:
        return next(iter(self._seats.values())).heard_at_ms + self.lease_ms if self._seats else None

    def writes_per_day(self, traffic: Traffic) -> float:
        """Every change, every goodbye that did not arrive, and renewals: an upper bound."""
        lapses = traffic.joins * (1 - traffic.leaves_share)
        return traffic.changes + lapses + traffic.seats * DAY_MS / self.renew_ms


class InOneValue(WithMemory):
    """Everybody is written as one value, ``snapshot_ms`` apart while reports come. A crash loses what came since.

    It is told of the seats that a former run left behind, or it would write over them.
    """

    name = "snapshot"

    def __init__(
        self,
        prefix: str,
        *,
        lease_ms: int,
        linger_ms: int = 0,
        seats: Seats | None = None,
        snapshot_ms: int = 10_000,
    ) -> None:
        super().__init__(prefix, lease_ms=lease_ms, linger_ms=linger_ms, seats=seats)
        self.loss_ms = self.silence_ms = self.snapshot_ms = at_least("snapshot_ms", snapshot_ms, KEY_REST_MS)
        self._saved_at_ms = -snapshot_ms
        self._unsaved = False

    def _take(self, record: Record) -> None:
        self._remember(record)
        self._unsaved = True
        self._come_due()

    def _come_due(self) -> None:
        self._lapsed()
        if self._now_ms >= self._saved_at_ms + self.snapshot_ms:
            self._flush()

    def _flush(self) -> None:
        if self._unsaved:
            self._unsaved = False
            self._saved_at_ms = self._now_ms
            key = f"{self.prefix}snapshot"
            if self._seats:
                self._put(key, self._seats.values())
            else:
                self._delete(key)

    def _next_at_ms(self) -> int | None:
        return self._saved_at_ms + self.snapshot_ms if self._unsaved else None

    def writes_per_day(self, traffic: Traffic) -> float:
        """One a ``snapshot_ms``, or one a report where those are rarer."""
        between_ms = DAY_MS / traffic.reports
        return DAY_MS / (self.snapshot_ms + between_ms * exp(-self.snapshot_ms / between_ms))


POLICIES: Final[Mapping[str, type[WritePolicy]]] = {
    policy.name: policy for policy in (Every, Lazy, Bucketed, OnChange, InOneValue)
}
"""Every policy, by name."""


def at_least(name: str, value_ms: int, least_ms: int) -> int:
    """Return a length of time, if it is long enough for every key to have its rest within.

    Raises:
        ConfigError: It is not.
    """
    if value_ms < least_ms:
        raise ConfigError(
            f"{name} must be at least {least_ms:,}, since no key is written more than once a second"
        )
    return value_ms
