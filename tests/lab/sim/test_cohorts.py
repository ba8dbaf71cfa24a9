"""Cohorts against visitors who are drawn one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from breathing_room.lab.sim.cohorts import Cohorts, leaving_law
from breathing_room.lab.sim.visitors import Exponential, LogNormal, VisitLengths
from tiers import longer

STEP_MS = 30_000
STEPS = 240
SEEDS = longer(200, 2_000)
STEPS_LONG = longer(20_000, 200_000)
PER_STEP = 5.0

LAWS: list[VisitLengths] = [Exponential(900_000), LogNormal(900_000, 0.8)]


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def by_cohorts(visits: VisitLengths, seed: int) -> NDArray[np.int64]:
    """Count those who are there at the end of every step."""
    cohorts = Cohorts(visits, STEP_MS, rng(seed))
    here = []
    for _ in range(STEPS):
        cohorts.step(PER_STEP)
        here.append(cohorts.here)
    return np.array(here)


def one_by_one(visits: VisitLengths, seed: int) -> NDArray[np.int_]:
    """The same, of individuals."""
    chance = rng(10_000 + seed)
    arrives = chance.random(chance.poisson(PER_STEP * STEPS)) * STEPS * STEP_MS
    departs = arrives + visits.draw(chance, len(arrives))
    ends = np.arange(1, STEPS + 1) * STEP_MS
    here: NDArray[np.int_] = ((arrives[None, :] <= ends[:, None]) & (ends[:, None] < departs[None, :])).sum(
        axis=1
    )
    return here


@pytest.mark.soak
@pytest.mark.parametrize("visits", LAWS, ids=["exponential", "log-normal"])
def test_cohorts_have_the_law_of_individuals(visits: VisitLengths) -> None:
    """Mean and variance at three times, and the covariance over 10 and 40 steps, agree within four standard
    errors of 200 runs each.

    Of 16 comparisons chance alone fails one in 1,000 times. A mean that is wrong by 0.5 of its spread is
    found 5 times in 6.
    """
    ours = np.array([by_cohorts(visits, seed) for seed in range(SEEDS)], dtype=float)
    theirs = np.array([one_by_one(visits, seed) for seed in range(SEEDS)], dtype=float)
    for step in (9, 59, 239):
        spread = theirs[:, step].std()
        assert abs(ours[:, step].mean() - theirs[:, step].mean()) < 4 * spread * (2 / SEEDS) ** 0.5
        # A variance that is estimated from n normal values has a relative standard error of sqrt(2 / n).
        assert ours[:, step].var() / theirs[:, step].var() == pytest.approx(1, abs=4 * (4 / SEEDS) ** 0.5)
    for lag in (10, 40):
        correlations = [np.corrcoef(here[:, 199], here[:, 199 + lag])[0, 1] for here in (ours, theirs)]
        assert abs(correlations[0] - correlations[1]) < 4 * (2 / SEEDS) ** 0.5


@pytest.mark.soak
@pytest.mark.parametrize("visits", LAWS, ids=["exponential", "log-normal"])
def test_in_a_steady_crowd_the_mean_is_littles_law(visits: VisitLengths) -> None:
    """After a long time the mean and, since it is Poisson, the variance are arrivals a step times the mean
    visit in steps.
    """
    cohorts = Cohorts(visits, STEP_MS, rng(1))
    here = []
    for step in range(STEPS_LONG):
        cohorts.step(PER_STEP)
        if step > 2_000:
            here.append(cohorts.here)
    expected = PER_STEP * visits.mean_ms / STEP_MS

    # Counts are correlated over a mean visit on both sides, their squares over half of one.
    mean_visits = len(here) * STEP_MS / visits.mean_ms
    assert np.mean(here) == pytest.approx(expected, abs=4 * (2 * expected / mean_visits) ** 0.5)
    assert np.var(here) == pytest.approx(expected, rel=4 * (2 / mean_visits) ** 0.5)


def test_every_arrival_leaves() -> None:
    """The law of leaving is a distribution, and without arrivals all visitors leave in the end."""
    for visits in LAWS:
        law = leaving_law(visits, STEP_MS)
        assert law.sum() == pytest.approx(1)
        assert (law >= 0).all()
        cohorts = Cohorts(visits, STEP_MS, rng(2))
        assert cohorts.step(10_000) > 9_000
        for _ in range(len(law)):
            cohorts.step(0)
        assert cohorts.here == 0
