"""The estimate from joins alone, against theory and against simulated crowds."""

import heapq
import random
from collections.abc import Callable
from math import exp, log, sqrt
from statistics import fmean, stdev

import pytest

from breathing_room.core.errors import HostError
from breathing_room.core.estimate import EMPTY, Estimate
from breathing_room.core.estimate.write_rate import AGE_MAX_MS, STEP_MS, STEPS, Survival, WriteRate
from tiers import longer

VISIT_MS = 900_000
HOUR_MS = 3_600_000

VisitLengths = Callable[[random.Random], float]


def exponential(chance: random.Random) -> float:
    """Draw a visit of 15 minutes on average."""
    return chance.expovariate(1 / VISIT_MS)


def log_normal(chance: random.Random) -> float:
    """Draw a visit with the same mean, from a law with more short and more long ones."""
    return chance.lognormvariate(0, 0.8) * VISIT_MS * exp(-0.32)


def steady(_at_ms: float) -> float:
    return 1.0


def growing(at_ms: float) -> float:
    """Return the share of joins at an instant, which doubles every 20 minutes."""
    return exp(log(2) * (at_ms - 3 * HOUR_MS) / 1_200_000)


def simulate(
    people: int, visits: VisitLengths, arrivals: Callable[[float], float], seed: int, tracked: float
) -> tuple[int, Estimate, float]:
    """Simulate a crowd for three hours; return the truth, the estimate, and rate times mean visit of the last
    minutes.
    """
    chance = random.Random(seed)
    survival = Survival()
    counter = WriteRate(survival, 2)
    now_ms = at_ms = 0.0
    end_ms = 3 * HOUR_MS
    leaving: list[tuple[float, int]] = []
    truth = number = recent = 0
    completed: list[float] = []
    while (at_ms := at_ms + chance.expovariate(people / VISIT_MS)) < end_ms:
        if chance.random() > arrivals(at_ms):
            continue
        number += 1
        visit_ms = visits(chance)
        now_ms = at_ms
        counter.joined(number, number % 2, now_ms=int(now_ms))
        truth += at_ms + visit_ms > end_ms
        recent += at_ms > end_ms - VISIT_MS
        if chance.random() < tracked:
            while leaving and leaving[0][0] <= now_ms:
                left_ms, who = heapq.heappop(leaving)
                survival.ended(who, now_ms=int(left_ms))
            survival.began(number, now_ms=int(now_ms))
            heapq.heappush(leaving, (at_ms + visit_ms, number))
        if at_ms + visit_ms < end_ms:
            completed.append(visit_ms)
    while leaving and leaving[0][0] <= end_ms:
        left_ms, who = heapq.heappop(leaving)
        survival.ended(who, now_ms=int(left_ms))
    estimate, moods = counter.estimate(now_ms=int(end_ms))
    assert sum(moods) == pytest.approx(estimate.count)
    return truth, estimate, recent / VISIT_MS * fmean(completed)


@pytest.mark.soak
@pytest.mark.parametrize("visits", [exponential, log_normal])
@pytest.mark.parametrize("arrivals", [steady, growing])
def test_the_interval_covers_the_truth(visits: VisitLengths, arrivals: Callable[[float], float]) -> None:
    """At least 88 of 100 intervals cover the truth of crowds of 300, and the bias is within three of its
    standard errors.
    """
    # A thousand crowds would show a bias of half a percent where joins grow, beside an interval of a tenth of
    # the crowd.
    crowds = longer(100, 200)
    samples = [simulate(300, visits, arrivals, seed, tracked=0.3) for seed in range(crowds)]
    coverage = fmean(estimate.low <= truth <= estimate.high for truth, estimate, _ in samples)
    bias = sum(estimate.count for _, estimate, _ in samples) / sum(truth for truth, _, _ in samples) - 1
    standard_error = stdev(estimate.count / truth for truth, estimate, _ in samples) / sqrt(len(samples))
    # Chance alone is three standard errors below 95 %, 88.5 % of 100, once in 680 times; a coverage of 80 %
    # is detected as often as not.
    assert coverage >= 0.95 - 3.2 * sqrt(0.95 * 0.05 / crowds)
    assert abs(bias) <= 3 * standard_error
    assert standard_error <= 0.014 * sqrt(100 / crowds)


def test_a_growing_room_misleads_the_plain_write_rate() -> None:
    """While a room grows, rate times mean visit is off by more than 5 %, and the sum of shares is not."""
    samples = [simulate(1_000, exponential, growing, seed, tracked=0.1) for seed in range(30)]
    summed = fmean(estimate.count / truth for truth, estimate, _ in samples)
    plain = fmean(figure / truth for truth, _, figure in samples)
    assert summed == pytest.approx(1, abs=0.03)
    assert abs(plain - 1) > 0.05


def test_in_a_steady_room_it_is_littles_law() -> None:
    """In a steady room the sum of shares is the join rate times the mean visit."""
    survival = Survival()
    counter = WriteRate(survival, 1)
    for number in range(6 * 360):  # One join every ten seconds, each for exactly 20 minutes.
        survival.began(number, now_ms=number * 10_000)
        counter.joined(number, None, now_ms=number * 10_000)
        survival.ended(number - 120, now_ms=number * 10_000)
    estimate, _ = counter.estimate(now_ms=6 * HOUR_MS)
    assert estimate.count == pytest.approx(120, abs=1)


def test_the_error_is_that_of_the_formula() -> None:
    """In a steady room of exponential visits the half width is about 1.96 sqrt(N / 2 + N² / m)."""
    people, tracked = 400, 0.1
    ratios = []
    for seed in range(20):
        _, estimate, _ = simulate(people, exponential, steady, seed, tracked)
        visits_observed = tracked * people * (3 * HOUR_MS / VISIT_MS - 1)
        half_width = 1.96 * sqrt(people / 2 + people**2 / visits_observed)
        ratios.append((estimate.high - estimate.low) / 2 / half_width)
    assert fmean(ratios) == pytest.approx(1, abs=0.12)


def naive_curve(visits: list[tuple[int, bool]]) -> list[float]:
    """Return the actuarial estimate, step by step, from ages and whether each visit ended."""
    shares = [1.0]
    for step in range(STEPS):
        reached = [visit for visit in visits if visit[0] // STEP_MS >= step]
        left = sum(ended for age, ended in reached if age // STEP_MS == step)
        censored = sum(not ended for age, ended in reached if age // STEP_MS == step)
        exposed = len(reached) - censored / 2
        shares.append(shares[-1] * (1 - left / exposed) if left else shares[-1])
        if not reached:
            shares += [shares[-1]] * (STEPS + 1 - len(shares))
            break
    return shares


def test_survival_is_the_product_limit() -> None:
    """The curve of completed and censored visits is that of a naive computation."""
    chance = random.Random(3)
    survival = Survival()
    now_ms = 2 * HOUR_MS
    visits = []
    for number in range(400):
        began_at_ms = chance.randrange(0, now_ms // STEP_MS) * STEP_MS
        visit_ms = int(exponential(chance))
        survival.began(number, now_ms=began_at_ms)
        if began_at_ms + visit_ms > now_ms:
            visits.append((now_ms - began_at_ms, False))
        else:
            survival.ended(number, now_ms=began_at_ms + visit_ms)
            visits.append((visit_ms, True))
    shares, terms = survival.curve(now_ms=now_ms)
    assert shares == pytest.approx(naive_curve(visits))
    assert len(terms) == STEPS
    # Without the censored the curve would fall too fast.
    only_completed = naive_curve([visit for visit in visits if visit[1]])
    assert shares[90] == pytest.approx(exp(-1), abs=0.06)
    assert only_completed[90] < shares[90] - 0.03


def test_without_a_completed_visit_all_joins_are_present() -> None:
    """Without a completed visit the count is exactly that of the joins."""
    survival = Survival()
    counter = WriteRate(survival, 3)
    for number in range(5):
        counter.joined(number, number % 2, now_ms=number)
        survival.began(number, now_ms=number)
    assert counter.estimate(now_ms=60_000) == (Estimate(5.0, 5.0, 5.0), [3.0, 2.0, 0.0])


def test_a_room_without_joins_is_empty() -> None:
    """Without joins the estimate is exactly 0."""
    assert WriteRate(Survival(), 2).estimate(now_ms=0) == (EMPTY, [0.0, 0.0])


def test_a_change_of_mood_moves_a_visitor() -> None:
    """A change of mood moves a visitor, and adds one who had not joined."""
    counter = WriteRate(Survival(), 3)
    counter.joined("ann", 0, now_ms=0)
    counter.changed("ann", 1, now_ms=10)
    counter.changed("bob", 0, now_ms=20)
    counter.joined("cem", None, now_ms=30)
    assert counter.estimate(now_ms=40)[1] == [1.0, 1.0, 1.0]


def test_a_visitor_who_joins_again_is_one() -> None:
    """A second join of a visitor replaces the first."""
    counter = WriteRate(Survival(), 2)
    counter.joined("ann", 0, now_ms=0)
    counter.joined("ann", 1, now_ms=30_000)
    assert counter.estimate(now_ms=40_000) == (Estimate(1.0, 1.0, 1.0), [0.0, 1.0])


def test_no_visitor_stays_for_ever() -> None:
    """A visitor who joined more than AGE_MAX_MS ago is removed."""
    counter = WriteRate(Survival(), 1)
    counter.joined("ann", None, now_ms=0)
    counter.joined("bob", None, now_ms=AGE_MAX_MS + 3 * STEP_MS)
    assert counter.estimate(now_ms=AGE_MAX_MS + 3 * STEP_MS)[0].count == 1
    assert list(counter._visitors) == ["bob"]


def test_the_same_instant_is_in_order_and_the_past_is_not() -> None:
    """A join earlier than the last by more than a step is a HostError."""
    counter = WriteRate(Survival(), 1)
    counter.joined("ann", None, now_ms=50_000)
    with pytest.raises(HostError, match="order"):
        counter.joined("bob", None, now_ms=30_000)
