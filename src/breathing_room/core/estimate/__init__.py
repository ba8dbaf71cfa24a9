"""Estimators: one file each, with its intuition, its model, its error and its source.

An estimate never travels alone: it carries a 95 % interval.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

Z: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: intervals here hold the truth in 95 of 100 looks."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of people and how well it is known.

    Attributes:
        count: The estimate, unrounded, at least 0.
        low: The lower end of a 95 % interval, at least 0 and at most ``count``.
        high: The upper end, at least ``count``.
    """

    count: float
    low: float
    high: float

    def rounded(self, people: int) -> tuple[int, int, int]:
        """Say it in whole people, as it is published.

        The ends go to the nearest person. Outwards would make it wider by one on average, which is much where only a few ghosts
        are in doubt (``docs/decisions/0015-ends-go-to-the-nearest.md``).

        Args:
            people: How many we say there are.

        Returns:
            That, and the ends of an interval that has it within.
        """
        return people, min(people, round(self.low)), max(people, round(self.high))


EMPTY: Final = Estimate(0.0, 0.0, 0.0)


def sum_estimates(*estimates: Estimate) -> Estimate:
    """Add independent estimates: their variances add, and so do the squares of how far their ends are away."""
    if len(estimates) == 1:
        return estimates[0]
    count = sum(estimate.count for estimate in estimates)
    below = sqrt(sum((estimate.count - estimate.low) ** 2 for estimate in estimates))
    above = sqrt(sum((estimate.high - estimate.count) ** 2 for estimate in estimates))
    return Estimate(count, max(count - below, 0.0), count + above)
