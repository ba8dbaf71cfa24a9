"""The range of counts that a room may show for connections of our own, while some of them join and leave.

A room receives a join or a leave later than the client sends it, and its count takes time to travel back. So
a count is right if it was the true number at some instant of the last seconds; it is compared with the range
over these seconds.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

BUCKET_S: Final = 0.05
"""Changes within a bucket are merged: a range may begin this much too early."""

KEPT_S: Final = 60.0
"""How far back a range can begin."""


@dataclass(slots=True)
class _Bucket:
    number: int
    low: int
    high: int
    low_at_end: int
    high_at_end: int


class ExpectedCount:
    """The range of the number of our own connections over a time that ends now.

    At every instant the number lies between the connections that are surely counted (joined, and not yet
    leaving) and those that may be (joining, leaving, or reconnecting).
    """

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque([_Bucket(-1, 0, 0, 0, 0)])

    def record(self, at_s: float, *, low: int, high: int) -> None:
        """Record the least and the greatest number from now on."""
        number, last = int(at_s / BUCKET_S), self._buckets[-1]
        if last.number != number:
            last = _Bucket(number, last.low_at_end, last.high_at_end, 0, 0)
            self._buckets.append(last)
        last.low, last.high = min(last.low, low), max(last.high, high)
        last.low_at_end, last.high_at_end = low, high
        # The bucket before the time that is kept has the numbers at its beginning.
        while len(self._buckets) > 1 and self._buckets[1].number < number - KEPT_S / BUCKET_S:
            self._buckets.popleft()

    def since(self, at_s: float) -> tuple[int, int]:
        """Return the least and the greatest number from an instant until now."""
        number = int(at_s / BUCKET_S)
        low, high = self._buckets[-1].low_at_end, self._buckets[-1].high_at_end
        for bucket in reversed(self._buckets):
            if bucket.number < number:
                return min(low, bucket.low_at_end), max(high, bucket.high_at_end)
            low, high = min(low, bucket.low), max(high, bucket.high)
        return low, high
