"""The policy ``on_change``: changes are writes, and heartbeats rarely."""

from dataclasses import dataclass, field

from breathing_room.core.config import DAY_MS
from breathing_room.core.identity import VisitorKey
from breathing_room.core.write_policies.policy import StatefulPolicy, at_least
from breathing_room.core.write_policies.records import KEY_REST_MS, Record, Seats, Traffic


@dataclass(kw_only=True, eq=False)
class OnChangePolicy(StatefulPolicy):
    """Joins, changes of mood and leaves are writes; a heartbeat is one only when the last write is
    ``renew_ms`` old.

    A crash loses a second of changes. It may leave ghosts in the store, for ``renew_ms`` at most.
    """

    name = "on_change"
    loss_ms: int = field(default=KEY_REST_MS, init=False)
    renew_ms: int = 1_800_000

    def __post_init__(self, seats: Seats | None) -> None:
        super().__post_init__(seats)
        at_least("renew_ms", self.renew_ms, KEY_REST_MS)
        # A write may wait for its key's second.
        self.heartbeat_lag_ms = self.renew_ms + KEY_REST_MS
        self._written_at_ms = {visitor: record.reported_at_ms for visitor, record in self._seats.items()}

    def _take(self, record: Record) -> None:
        former, record = self._remember(record)
        if not record.here:
            self._delete_record(record.visitor)
        elif (
            former is None
            or record.mood != former.mood
            or self._now_ms >= self._written_at_ms[record.visitor] + self.renew_ms
        ):
            self._written_at_ms[record.visitor] = self._now_ms
            self._put(self._key_of(record.visitor), [record])

    def _write_due(self) -> None:
        for record in self._expired():
            self._delete_record(record.visitor)

    def _delete_record(self, visitor: VisitorKey) -> None:
        self._written_at_ms.pop(visitor, None)
        self._delete(self._key_of(visitor))

    def _next_at_ms(self) -> int | None:
        return next(iter(self._seats.values())).reported_at_ms + self.lease_ms if self._seats else None

    def writes_per_day(self, traffic: Traffic) -> float:
        """Every change, every leave that did not arrive, and renewals: an upper bound."""
        expiries = traffic.joins * (1 - traffic.leaves_share)
        return traffic.changes + expiries + traffic.seats * DAY_MS / self.renew_ms
