"""What the server counts about itself. Plain numbers: counting must cost nothing on the hot paths."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Totals since the start."""

    joins: int = 0
    reports: int = 0
    reports_outside: int = 0
    reports_shed: int = 0
    presence_reads: int = 0
    messages_in: int = 0
    announcements: int = 0
    pushes: int = 0
    answers: int = 0
    snapshots: int = 0
    snapshots_failed: int = 0
    histories_failed: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)

    def refuse(self, code: str) -> None:
        """Count an error that a client was told of."""
        self.refusals[code] += 1
