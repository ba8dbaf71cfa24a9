"""The write rate: estimate a crowd from its joins and changes of mood alone.

There are no leaves and no heartbeats: one write when a visitor joins, and one when its mood changes.

Intuition: of the visitors who joined ``a`` ago, a share ``S(a)`` is still here. So the crowd is the sum of
that share over all joins. The planning document's figure, the rate of writes times the mean visit, is the
special case of a constant rate; in a room that fills or empties it is wrong by as much as the rate has
changed within a visit.

Model: visits are independent, of one distribution that does not change, and do not depend on the time of the
join. S is learned from the visits whose end is observed (the panel's, say) by the actuarial form of the
product-limit estimator: in each step of age, of those still under observation, which share left. Visits that
go on are *censored*: they count as under observation up to the age that they reached, and half of the step in
which they reached it. Leaving them out would leave out the long ones. Nothing is known beyond the longest
visit observed so far, and the curve is constant there: with 60 completed visits that overestimates by about
1.5 % in a growing room, with 200 it is not measurable. Visits over ``AGE_MAX_MS`` are taken to end then.

Error: given the joins, the people here are a sum of independent Bernoulli variables, of variance ``Σ S (1 -
S)``. Added to it is the uncertainty of S, by Greenwood's formula carried through the sum: ``Σ_k g_k (Σ_{a ≥
a_k} S(a))²`` with ``g_k = d_k / (n_k (n_k - d_k))``, d_k having left of n_k in step k. For N people of mean
visit T in a steady room, and m completed visits, that is about ``N / 2 + N² / m`` where visits are
exponential. When the observed visits are a large part of the crowd, the two errors are not independent and
the interval is too wide.

A change of mood moves a join from one mood to another; it adds no information on the count.

Work: O(1) per event, amortized; one estimate is linear in the steps of age, 1,440 of them.

Source: Kaplan & Meier, JASA 53 (1958) 457; Greenwood, Reports on Public Health 33 (1926) 1; Little,
Operations Research 9 (1961) 383. Compared with simulation in ``tests/core/estimate/test_write_rate.py``.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from math import sqrt
from typing import Final

from breathing_room.core.errors import HostError
from breathing_room.core.estimate import EMPTY, Estimate, Z

STEP_MS: Final = 10_000
"""The resolution of joins and ages: a hundredth of a typical visit."""

AGE_MAX_MS: Final = 4 * 3_600_000
STEPS: Final = AGE_MAX_MS // STEP_MS


class Survival:
    """The survival function of visits, learned from those whose end is observed."""

    def __init__(self) -> None:
        self._began_at_ms: dict[Hashable, int] = {}
        # Visits that go on, by the step of the clock in which they began; and those that ended, by their age
        # in steps.
        self._open: dict[int, int] = {}
        self._left = [0] * STEPS
        self.completed_count = 0

    def began(self, visit: Hashable, *, now_ms: int) -> None:
        """Add a visit whose end will be observed."""
        if visit not in self._began_at_ms:
            self._began_at_ms[visit] = now_ms
            self._count(now_ms, +1)

    def ended(self, visit: Hashable, *, now_ms: int) -> None:
        """End a visit."""
        began_at_ms = self._began_at_ms.pop(visit, None)
        if began_at_ms is not None:
            self._count(began_at_ms, -1)
            self._left[min(max(now_ms - began_at_ms, 0) // STEP_MS, STEPS - 1)] += 1
            self.completed_count += 1

    def _count(self, began_at_ms: int, by: int) -> None:
        step = began_at_ms // STEP_MS
        self._open[step] = self._open.get(step, 0) + by
        if not self._open[step]:
            del self._open[step]

    def curve(self, *, now_ms: int) -> tuple[list[float], list[float]]:
        """Estimate the survival function.

        Returns:
            Two lists. The shares that last at least 0, 1, 2, … steps, beginning with 1 and never rising; and
            for each step its term ``g`` of Greenwood's formula, 0 for a step in which no visit ended.
        """
        going_on = [0] * STEPS
        for step, visits in self._open.items():
            going_on[min(max(now_ms // STEP_MS - step, 0), STEPS - 1)] += visits
        at_risk = sum(self._left) + sum(going_on)
        shares, terms = [1.0], []
        for left, censored in zip(self._left, going_on, strict=True):
            exposed = at_risk - censored / 2
            # Were all to leave in one step, its term would be infinite: as if half a visit had gone on.
            terms.append(left / (exposed * max(exposed - left, 0.5)) if left else 0.0)
            shares.append(shares[-1] * (1 - left / exposed) if left else shares[-1])
            at_risk -= left + censored
        return shares, terms


class WriteRate:
    """Estimates people from joins and changes of mood.

    Args:
        survival: The survival function of visits; its owner adds visits to it.
        moods_count: Declared moods, and one for the unspoken, which is the last.
    """

    def __init__(self, survival: Survival, moods_count: int) -> None:
        self._survival = survival
        self._moods_count = moods_count
        # Joins by the step of the clock and mood, the oldest first; and where each visitor's is.
        self._joins: deque[tuple[int, list[int]]] = deque()
        self._visitors: dict[Hashable, tuple[int, list[int], int]] = {}

    def joined(self, visitor: Hashable, mood: int | None, *, now_ms: int) -> None:
        """Add a join. It replaces an earlier one of the visitor, who was away since.

        Raises:
            HostError: Its time is before that of the last join.
        """
        step = now_ms // STEP_MS
        if self._joins and step < self._joins[-1][0]:
            raise HostError("joins must come in the order of their times")
        self._trim(step)
        if former := self._visitors.pop(visitor, None):
            former[1][former[2]] -= 1
        if not self._joins or self._joins[-1][0] != step:
            self._joins.append((step, [0] * self._moods_count))
        index = self._moods_count - 1 if mood is None else mood
        tally = self._joins[-1][1]
        tally[index] += 1
        self._visitors[visitor] = (step, tally, index)

    def changed(self, visitor: Hashable, mood: int, *, now_ms: int) -> None:
        """Change a visitor's mood. A visitor without a join joins."""
        known = self._visitors.get(visitor)
        if known is None:
            self.joined(visitor, mood, now_ms=now_ms)
            return
        step, tally, former = known
        tally[former] -= 1
        tally[mood] += 1
        self._visitors[visitor] = (step, tally, mood)

    def estimate(self, *, now_ms: int) -> tuple[Estimate, list[float]]:
        """Estimate how many people are here.

        Returns:
            People, with a 95 % interval; and the expected number in each mood, which sum to the count.
        """
        self._trim(now_ms // STEP_MS)
        shares, terms = self._survival.curve(now_ms=now_ms)
        count = thinning = 0.0
        moods = [0.0] * self._moods_count
        beyond = [0.0] * (STEPS + 1)  # People expected, by their age in steps.
        for step, tally in self._joins:
            # Joins of one step are taken to be in its middle.
            age = max(now_ms - step * STEP_MS - STEP_MS / 2, 0.0) / STEP_MS
            share = _between(shares, age)
            here = share * sum(tally)
            count += here
            thinning += here * (1 - share)
            beyond[min(int(age), STEPS)] += here
            for mood, joins in enumerate(tally):
                moods[mood] += share * joins
        if not count:
            return EMPTY, moods
        unknown, older = 0.0, beyond[STEPS]
        for index in range(STEPS - 1, -1, -1):
            # Of a step's uncertainty, half concerns the people within that step.
            unknown += terms[index] * (older + beyond[index] / 2) ** 2
            older += beyond[index]
        q = thinning / count
        middle = count + Z * Z * q / 2
        half_width = Z * sqrt(thinning + unknown + Z * Z * q * q / 4)
        return Estimate(count, min(max(middle - half_width, 0.0), count), middle + half_width), moods

    def _trim(self, step: int) -> None:
        """Drop joins that are too old to count."""
        while self._joins and self._joins[0][0] < step - STEPS:
            self._joins.popleft()
        oldest = step - STEPS
        while self._visitors:
            visitor, (joined_step, _, _) = next(iter(self._visitors.items()))
            if joined_step >= oldest:
                break
            del self._visitors[visitor]


def _between(shares: Sequence[float], age: float) -> float:
    """Interpolate a curve between two of its steps; 0 beyond its end."""
    index = int(age)
    if index >= len(shares) - 1:
        return 0.0
    return shares[index] + (shares[index + 1] - shares[index]) * (age - index)
