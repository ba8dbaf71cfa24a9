"""The policy ``bucketed``: all reports of ten seconds are one write."""

from dataclasses import dataclass, field

from breathing_room.core.config import DAY_MS
from breathing_room.core.identity import VisitorKey
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.core.write_policies.records import Record, Seats, Traffic, later


@dataclass(kw_only=True, eq=False)
class BucketedPolicy(WritePolicy):
    """All reports of ten seconds are one write, to a key of its own. A crash loses one bucket."""

    name = "bucketed"
    bucket_ms: int = 10_000
    _batch: dict[VisitorKey, Record] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self, seats: Seats | None) -> None:
        super().__post_init__(seats)
        self.loss_ms = self.heartbeat_lag_ms = self.bucket_ms
        self._due_at_ms = 0

    def unwritten(self) -> list[Record]:
        """Return the batch."""
        return list(self._batch.values())

    def _take(self, record: Record) -> None:
        if not self._batch:
            self._due_at_ms = self._now_ms + self.bucket_ms
        self._batch[record.visitor] = later(self._batch.get(record.visitor), record)

    def _write_due(self) -> None:
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
