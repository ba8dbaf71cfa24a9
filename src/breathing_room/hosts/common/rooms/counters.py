"""What a host counts about itself. Plain numbers: counting must cost nothing on the hot paths."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Totals since the start.

    Attributes:
        joins: Connections that joined.
        reports: Reports that were admitted or shed, those outside the panel included.
        reports_outside: Reports of visitors who are not in the sample.
        reports_shed: Reports beyond the budget of a room.
        presence_reads: Presences that were read over HTTP.
        messages_in: Messages of connections.
        broadcasts: Broadcasts, however many subscribers each had.
        pushes: Presences that were sent for broadcasts, one for each subscriber.
        answers: ``Send`` effects, each of a presence to one connection.
        snapshots: Snapshots that were stored.
        snapshots_failed: Those that could not be.
        histories_failed: Averages that could not be stored.
        refusals: Errors that clients were sent, by code.
        closes: Connections that the host closed, by close code.
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
        """Count an error that a client was sent."""
        self.refusals[code] += 1
