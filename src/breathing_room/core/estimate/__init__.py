"""Estimators: one file each, with its intuition, its model, its error and its source.

Every estimate comes with a 95 % interval.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

Z: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: intervals here cover the true value in 95 of 100
observations.
"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated number of people with its 95 % interval.

    Attributes:
        count: The estimate, unrounded, at least 0.
        low: The lower end of the interval, at least 0 and at most ``count``.
        high: The upper end, at least ``count``.
    """

    count: float
    low: float
    high: float

    def rounded(self, people: int) -> tuple[int, int, int]:
        """Return the estimate in whole people, as it is published.

        The ends go to the nearest whole number. Rounded outwards they would be wider by one on average, which
        is much where only a few leases are suspect (``docs/decisions/0015-ends-go-to-the-nearest.md``).

        Args:
            people: The published count.

        Returns:
            That count, and the ends of an interval that contains it.
        """
        return people, min(people, round(self.low)), max(people, round(self.high))


EMPTY: Final = Estimate(0.0, 0.0, 0.0)


def sum_estimates(*estimates: Estimate) -> Estimate:
    """Add independent estimates: variances add, and so do the squared distances of the ends."""
    if len(estimates) == 1:
        return estimates[0]
    count = sum(estimate.count for estimate in estimates)
    below = sqrt(sum((estimate.count - estimate.low) ** 2 for estimate in estimates))
    above = sqrt(sum((estimate.high - estimate.count) ** 2 for estimate in estimates))
    return Estimate(count, max(count - below, 0.0), count + above)
