"""The policy ``every``: each report is a write."""

from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.core.write_policies.records import Record, Traffic


class EveryPolicy(WritePolicy):
    """Each report is a write, to a key of its own. A crash loses no report that was written."""

    name = "every"
    _number = 0

    def _take(self, record: Record) -> None:
        # Reports of one millisecond are distinguished by a number, and sorted by it.
        self._number = (self._number + 1) % 1_000_000
        self._put(f"{self.prefix}{self._now_ms:013}-{self._number:06}", [record])

    def writes_per_day(self, traffic: Traffic) -> float:
        """As many as there are reports."""
        return traffic.reports
