"""The policy ``lazy``: the first report of a visitor in a window is a write, and what changed, at its end."""

from dataclasses import dataclass

from breathing_room.core.config import DAY_MS
from breathing_room.core.identity import VisitorKey
from breathing_room.core.write_policies.policy import StatefulPolicy, at_least
from breathing_room.core.write_policies.records import KEY_REST_MS, Record, Seats, Traffic


@dataclass(kw_only=True, eq=False)
class LazyPolicy(StatefulPolicy):
    """A visitor's first report in a window is a write; what changed afterwards is written at the window's
    end.

    A crash loses one window of changes. It saves writes where ``heartbeat_ms`` is shorter than a window.
    """

    name = "lazy"
    window_ms: int = 60_000

    def __post_init__(self, seats: Seats | None) -> None:
        super().__post_init__(seats)
        self.loss_ms = self.heartbeat_lag_ms = at_least("window_ms", self.window_ms, 5 * KEY_REST_MS)
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

    def _write_due(self) -> None:
        self._expired()
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
        """One a window and one a change of each seat, or one a report if those are fewer: an upper bound."""
        return min(traffic.reports, traffic.seats * DAY_MS / self.window_ms + traffic.changes)
