"""How many people of our own a room may rightly count, while some of them come and go.

A room hears of a join or a leave later than we do, and what it says travels back. So its count is right if it was the true number
at some instant of the last seconds, and the range of the true number over these seconds is what a count is set against.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

BUCKET_S: Final = 0.05
"""Changes within so short a time are kept as one: a range may begin so much early."""

KEPT_S: Final = 60.0
"""A range goes back no further."""


@dataclass(slots=True)
class _Bucket:
    number: int
    fewest: int
    most: int
    fewest_at_last: int
    most_at_last: int


class Headcount:
    """The range of the number of our own people, over a time that ends now.

    At every instant it lies between those who are surely counted (welcomed, and have not begun to leave) and those who may be
    (on their way in, on their way out, or away and coming back).
    """

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque([_Bucket(-1, 0, 0, 0, 0)])

    def note(self, at_s: float, *, fewest: int, most: int) -> None:
        """Note how many there are from now on, at least and at most."""
        number, last = int(at_s / BUCKET_S), self._buckets[-1]
        if last.number != number:
            last = _Bucket(number, last.fewest_at_last, last.most_at_last, 0, 0)
            self._buckets.append(last)
        last.fewest, last.most = min(last.fewest, fewest), max(last.most, most)
        last.fewest_at_last, last.most_at_last = fewest, most
        # The one before the time that is kept says how many there were when it began.
        while len(self._buckets) > 1 and self._buckets[1].number < number - KEPT_S / BUCKET_S:
            self._buckets.popleft()

    def since(self, at_s: float) -> tuple[int, int]:
        """Return the fewest and the most that there were from an instant until now."""
        number = int(at_s / BUCKET_S)
        fewest, most = self._buckets[-1].fewest_at_last, self._buckets[-1].most_at_last
        for bucket in reversed(self._buckets):
            if bucket.number < number:
                return min(fewest, bucket.fewest_at_last), max(most, bucket.most_at_last)
            fewest, most = min(fewest, bucket.fewest), max(most, bucket.most)
        return fewest, most
