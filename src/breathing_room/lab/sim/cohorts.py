"""Visitors who will never be sampled: numbers that arrive in one step of time and leave in another.

Theory of operation
-------------------
Of a Poisson stream of arrivals, those whose visits last a certain number of steps are a Poisson stream too,
independent of those of another number. So each step of arrivals is one Poisson draw per length of visit, for
any size of the crowd; and the number of visitors who are present at the end of a step has exactly the law, in
time too, that it would have if they were drawn one by one.

With a survival function S, those who arrive at a random instant of a step are still present at its j-th end
after it with probability ``Q_j = ∫ S(j d - u) du / d`` over the step d; they leave in step j with ``Q_j -
Q_(j+1)``.
"""

from typing import Final

import numpy as np

from breathing_room.lab.sim.visitors import Floats, VisitLengths

TAIL: Final = 1e-7
"""The tail of the distribution of visits that is cut off."""


class Cohorts:
    """Visitors without individuals.

    Args:
        visits: The distribution of visits.
        step_ms: The length of a step.
        rng: The source of randomness.
    """

    def __init__(self, visits: VisitLengths, step_ms: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._goes_in = leaving_law(visits, step_ms)
        self._leaving = np.zeros(len(self._goes_in), dtype=np.int64)
        self._step = 0
        self.here = 0

    def step(self, expected: float) -> int:
        """Advance by a step; return the number of arrivals, those who left before its end included.

        Args:
            expected: The mean number of arrivals.
        """
        came = self._rng.poisson(expected * self._goes_in)
        at = self._step % len(self._leaving)
        ahead = len(came) - at
        self._leaving[at:] += came[:ahead]
        self._leaving[:at] += came[ahead:]
        count = int(came.sum())
        self.here += count - int(self._leaving[at])
        self._leaving[at] = 0
        self._step += 1
        return count


def leaving_law(visits: VisitLengths, step_ms: int) -> Floats:
    """Return the probability of leaving in each step after the one of arrival; they sum to 1."""
    steps = 2
    while True:
        lasts = np.diff(visits.up_to(np.arange(steps + 1, dtype=np.float64) * step_ms)) / step_ms
        if lasts[-1] < TAIL or steps > 100_000:
            break
        steps *= 2
    lasts = np.concatenate([[1.0], lasts[lasts >= TAIL], [0.0]])
    return -np.diff(lasts)
