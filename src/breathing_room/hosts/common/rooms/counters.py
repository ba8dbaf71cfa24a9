"""Counters of a host. Plain integers: an increment must cost next to nothing on the hot paths."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Totals since the start.

    Attributes:
        joins: Connections that joined.
        reports: Reports that were admitted or shed, those outside the sample included.
        reports_outside: Reports of visitors who are not in the sample.
        reports_shed: Reports shed because the room was over its budget.
        presence_reads: Presences read over HTTP.
        messages_in: Messages received over connections.
        broadcasts: Broadcasts, regardless of their subscribers.
        pushes: Presences sent for broadcasts, one per subscriber.
        answers: ``Send`` effects: presences sent to one connection.
        snapshots: Snapshots stored.
        snapshots_failed: Snapshots that could not be stored.
        histories_failed: Histories that could not be stored.
        refusals: Errors sent to clients, by code.
        closes: Connections closed by the host, by close code.
    """

    joins: int = 0
    reports: int = 0
    reports_outside: int = 0
    reports_shed: int = 0
    presence_reads: int = 0
    messages_in: int = 0
    broadcasts: int = 0
    pushes: int = 0
    answers: int = 0
    snapshots: int = 0
    snapshots_failed: int = 0
    histories_failed: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)

    def refuse(self, code: str) -> None:
        """Count an error sent to a client."""
        self.refusals[code] += 1
