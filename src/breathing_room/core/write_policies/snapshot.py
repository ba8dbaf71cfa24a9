"""The policy ``snapshot``: the whole room is one value."""

from dataclasses import dataclass
from math import exp

from breathing_room.core.config import DAY_MS
from breathing_room.core.write_policies.policy import StatefulPolicy, at_least
from breathing_room.core.write_policies.records import KEY_REST_MS, Record, Seats, Traffic


@dataclass(kw_only=True, eq=False)
class SnapshotPolicy(StatefulPolicy):
    """All records are written as one value, ``snapshot_ms`` apart while reports come. A crash loses the
    reports since the last one.

    It is given the seats of a former run, which its first write would otherwise remove.
    """

    name = "snapshot"
    snapshot_ms: int = 10_000

    def __post_init__(self, seats: Seats | None) -> None:
        super().__post_init__(seats)
        self.loss_ms = self.heartbeat_lag_ms = at_least("snapshot_ms", self.snapshot_ms, KEY_REST_MS)
        self._saved_at_ms = -self.snapshot_ms
        self._unsaved = False

    def _take(self, record: Record) -> None:
        self._remember(record)
        self._unsaved = True
        self._write_due()

    def _write_due(self) -> None:
        self._expired()
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
