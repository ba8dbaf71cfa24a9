"""Estimators beside the room's own, for comparison, fed with the same visitors.

``legacy`` and ``legacy_forced`` are the planning document's figure, taken literally: each client reports with
a probability of 3 % every 30 s, the server keeps a report for 120 s, and divides the number of clients of
whom it has one by 0.03. In ``legacy_forced`` the first heartbeat is always sent, as that document asks for.
Both are *biased*, and are here to show by how much.

``write_rate`` counts from joins alone (``core/estimate/write_rate.py``): of a fixed share of visitors, about
a panel's worth, it receives the times of joining and leaving.

``history`` is the usual count at this hour of the week (``core/estimate/history.py``), from what the room
itself published before.
"""

import heapq
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.estimate import Estimate, Z
from breathing_room.core.estimate.history import history_estimate
from breathing_room.core.estimate.legacy_sampling import CHANCE, HEARTBEAT_MS
from breathing_room.core.estimate.write_rate import Survival, WriteRate
from breathing_room.core.history import History
from breathing_room.core.presence import Presence
from breathing_room.lab.sim.scenario import Scenario
from breathing_room.lab.sim.visitors import Newcomers, VisitLengths

KEPT_MS: Final = 120_000
"""How long the document's server keeps a report: four heartbeats."""

BIASED: Final = ("legacy", "legacy_forced")
"""The estimators that are shown as a warning."""


class Baselines:
    """The estimators for comparison, over the visitors of one run.

    Args:
        scenario: Which of them, and for what crowd.
        visits: The distribution of visits.
        rng: Draws which heartbeats are sent.
        keep: Visitors with a ticket below it are individuals.
    """

    def __init__(
        self, scenario: Scenario, visits: VisitLengths, rng: np.random.Generator, keep: float
    ) -> None:
        self._names = scenario.run.estimators
        self._visits = visits
        self._rng = rng
        self._arrives_ms = np.zeros(0, np.int64)
        self._departs_ms = np.zeros(0, np.int64)
        self._new: list[Newcomers] = []
        share = min(keep, scenario.room.panel_size / scenario.crowd.people)
        self._writes = JoinRecorder(share) if "write_rate" in self._names else None
        self._history = History() if "history" in self._names else None
        self._moods = (*scenario.room.moods, UNSPOKEN)
        ages_ms = np.linspace(0, 24 * visits.mean_ms, 10_001)
        self._ages_ms, self._age_law = ages_ms, visits.up_to(ages_ms) / visits.mean_ms

    def add(self, new: Newcomers, tickets: NDArray[np.float64]) -> None:
        """Add visitors who will arrive."""
        self._new.append(new)
        if self._writes is not None:
            self._writes.add(new, tickets)

    def count_present(self, now_ms: int) -> int:
        """Count the individuals who are present."""
        self._arrives_ms = np.concatenate([self._arrives_ms, *(new.arrives_ms for new in self._new)])
        self._departs_ms = np.concatenate([self._departs_ms, *(new.departs_ms for new in self._new)])
        self._new = []
        of_late = self._departs_ms > now_ms - KEPT_MS
        self._arrives_ms, self._departs_ms = self._arrives_ms[of_late], self._departs_ms[of_late]
        return int(((self._arrives_ms <= now_ms) & (now_ms < self._departs_ms)).sum())

    def estimate(
        self, now_ms: int, presence: Presence, outside: int, came_per_ms: float
    ) -> dict[str, Estimate]:
        """Return the estimate of each estimator.

        Args:
            now_ms: The time.
            presence: The presence of the room.
            outside: The number of visitors in cohorts.
            came_per_ms: Their recent arrivals per ms.
        """
        estimates: dict[str, Estimate] = {}
        if presence.count is not None and presence.high is not None:
            estimates["panel"] = Estimate(float(presence.count), float(presence.low), float(presence.high))
        if any(name in self._names for name in BIASED):
            estimates |= self._sample_heartbeats(now_ms, outside, came_per_ms)
        if self._writes is not None:
            estimates["write_rate"] = self._writes.estimate(now_ms)
        if self._history is not None:
            if found := history_estimate(self._history, wall_ms=now_ms, moods=self._moods):
                estimates["history"] = found[0]
            self._history.observe(presence.people, wall_ms=now_ms)
        return {name: estimate for name, estimate in estimates.items() if name in self._names}

    def _sample_heartbeats(self, now_ms: int, outside: int, came_per_ms: float) -> dict[str, Estimate]:
        """Draw the heartbeats of the time for which reports are kept."""
        arrives_ms, departs_ms = self._arrives_ms, self._departs_ms
        settled = 0
        if outside:
            # Most visitors in cohorts have been present for longer, with all four heartbeats. The others are
            # given times: recent arrivals in a steady room, and recent departures.
            young = int(self._rng.binomial(outside, np.interp(KEPT_MS, self._ages_ms, self._age_law)))
            settled = int(self._rng.binomial(outside - young, 1 - (1 - CHANCE) ** (KEPT_MS // HEARTBEAT_MS)))
            latest = self._rng.random(young) * np.interp(KEPT_MS, self._ages_ms, self._age_law)
            came_ms = now_ms - np.interp(latest, self._age_law, self._ages_ms).astype(np.int64)
            left = self._rng.poisson(came_per_ms * KEPT_MS)
            left_ms = now_ms - (self._rng.random(left) * KEPT_MS).astype(np.int64)
            visits_ms = self._visits.draw(self._rng, left).astype(np.int64)
            arrives_ms = np.concatenate([arrives_ms, came_ms, left_ms - visits_ms])
            departs_ms = np.concatenate([departs_ms, np.full(young, now_ms + 1), left_ms])
        came = arrives_ms <= now_ms
        arrives_ms, departs_ms = arrives_ms[came], departs_ms[came]
        last = (np.minimum(now_ms, departs_ms - 1) - arrives_ms) // HEARTBEAT_MS
        before = np.maximum((now_ms - KEPT_MS - arrives_ms) // HEARTBEAT_MS, 0)
        sampled = self._rng.random(len(arrives_ms)) < 1 - (1 - CHANCE) ** np.maximum(last - before, 0)
        first = arrives_ms > now_ms - KEPT_MS
        samples = {"legacy": sampled.sum(), "legacy_forced": (sampled | first).sum()}
        return {name: Estimate(*[(int(count) + settled) / CHANCE] * 3) for name, count in samples.items()}


class JoinRecorder:
    """Feeds ``WriteRate`` with the joins of visitors whose ticket is below a share, and with the ends of
    their visits.

    The end of a visit without a leave is noticed when the lease expires, and is then dated back by the mean
    delay. So an end is known late, and its time is right in the mean; here it is known at once, and right.

    Args:
        share: The share.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._survival = Survival()
        self._counter = WriteRate(self._survival, 1)
        # (time, 0 for joining and 1 for leaving, visitor)
        self._ahead: list[tuple[int, int, int]] = []
        self._number = 0

    def add(self, new: Newcomers, tickets: NDArray[np.float64]) -> None:
        """Add visitors who will arrive and leave."""
        included = tickets < self._share
        for arrives_ms, departs_ms in zip(
            new.arrives_ms[included].tolist(), new.departs_ms[included].tolist(), strict=True
        ):
            self._number += 1
            heapq.heappush(self._ahead, (arrives_ms, 0, self._number))
            heapq.heappush(self._ahead, (departs_ms, 1, self._number))

    def estimate(self, now_ms: int) -> Estimate:
        """Return the estimate; the error of the share is added to the estimator's own."""
        while self._ahead and self._ahead[0][0] <= now_ms:
            at_ms, goes, number = heapq.heappop(self._ahead)
            if goes:
                self._survival.ended(number, now_ms=at_ms)
            else:
                self._survival.began(number, now_ms=at_ms)
                self._counter.joined(number, None, now_ms=at_ms)
        found, _ = self._counter.estimate(now_ms=now_ms)
        thinning = Z * sqrt(found.count * (1 - self._share))
        below = sqrt((found.count - found.low) ** 2 + thinning**2)
        above = sqrt((found.high - found.count) ** 2 + thinning**2)
        return Estimate(
            found.count / self._share,
            max(found.count - below, 0) / self._share,
            (found.count + above) / self._share,
        )
