"""Counting from joins alone, against theory and against simulated crowds."""

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

STAY_MS = 900_000
HOUR_MS = 3_600_000

VisitLengths = Callable[[random.Random], float]


def exponential(chance: random.Random) -> float:
    """A stay of 15 minutes on average."""
    return chance.expovariate(1 / STAY_MS)


def log_normal(chance: random.Random) -> float:
    """The same mean, with more short stays and more long ones."""
    return chance.lognormvariate(0, 0.8) * STAY_MS * exp(-0.32)


def steady(_at_ms: float) -> float:
    return 1.0


def growing(at_ms: float) -> float:
    """Joins that double every 20 minutes."""
    return exp(log(2) * (at_ms - 3 * HOUR_MS) / 1_200_000)


def look(
    people: int, stays: VisitLengths, arrivals: Callable[[float], float], seed: int, tracked: float
) -> tuple[int, Estimate, float]:
    """Let a crowd come and go for three hours; return the truth, the estimate, and rate times mean stay of the last minutes."""
    chance = random.Random(seed)
    survival = Survival()
    counter = WriteRate(survival, 2)
    now_ms = at_ms = 0.0
    end_ms = 3 * HOUR_MS
    leaving: list[tuple[float, int]] = []
    truth = number = recent = 0
    completed: list[float] = []
    while (at_ms := at_ms + chance.expovariate(people / STAY_MS)) < end_ms:
        if chance.random() > arrivals(at_ms):
            continue
        number += 1
        visit_ms = stays(chance)
        now_ms = at_ms
        counter.joined(number, number % 2, now_ms=int(now_ms))
        truth += at_ms + visit_ms > end_ms
        recent += at_ms > end_ms - STAY_MS
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
    return truth, estimate, recent / STAY_MS * fmean(completed)


@pytest.mark.soak
@pytest.mark.parametrize("stays", [exponential, log_normal])
@pytest.mark.parametrize("arrivals", [steady, growing])
def test_the_interval_holds_the_truth(stays: VisitLengths, arrivals: Callable[[float], float]) -> None:
    """Of 100 crowds of 300 the interval holds at least 88, and the bias is within three of its own standard errors."""
    # A thousand crowds would show a bias of half a percent where joins grow, beside an interval of a tenth of the crowd.
    crowds = longer(100, 200)
    looks = [look(300, stays, arrivals, seed, tracked=0.3) for seed in range(crowds)]
    held = fmean(estimate.low <= truth <= estimate.high for truth, estimate, _ in looks)
    bias = sum(estimate.count for _, estimate, _ in looks) / sum(truth for truth, _, _ in looks) - 1
    standard_error = stdev(estimate.count / truth for truth, estimate, _ in looks) / sqrt(len(looks))
    # Chance alone is three standard errors below 95 %, 88.5 % of 100, once in 680 times; an interval that holds 80 % is found as often as not.
    assert held >= 0.95 - 3.2 * sqrt(0.95 * 0.05 / crowds)
    assert abs(bias) <= 3 * standard_error
    assert standard_error <= 0.014 * sqrt(100 / crowds)


def test_a_growing_room_misleads_the_plain_write_rate() -> None:
    """Rate times mean stay is far off while a room grows; the sum of shares is not."""
    looks = [look(1_000, exponential, growing, seed, tracked=0.1) for seed in range(30)]
    summed = fmean(estimate.count / truth for truth, estimate, _ in looks)
    plain = fmean(figure / truth for truth, _, figure in looks)
    assert summed == pytest.approx(1, abs=0.03)
    assert abs(plain - 1) > 0.05


def test_in_a_steady_room_it_is_littles_law() -> None:
    """Joins times mean stay is what the sum of shares comes to when nothing changes."""
    survival = Survival()
    counter = WriteRate(survival, 1)
    for number in range(6 * 360):  # One join every ten seconds, each for exactly 20 minutes.
        survival.began(number, now_ms=number * 10_000)
        counter.joined(number, None, now_ms=number * 10_000)
        survival.ended(number - 120, now_ms=number * 10_000)
    estimate, _ = counter.estimate(now_ms=6 * HOUR_MS)
    assert estimate.count == pytest.approx(120, abs=1)


def test_the_error_is_that_of_the_formula() -> None:
    """In a steady room of exponential stays the half width is about 1.96 sqrt(N / 2 + N² / m)."""
    people, tracked = 400, 0.1
    ratios = []
    for seed in range(20):
        _, estimate, _ = look(people, exponential, steady, seed, tracked)
        stays_observed = tracked * people * (3 * HOUR_MS / STAY_MS - 1)
        half_width = 1.96 * sqrt(people / 2 + people**2 / stays_observed)
        ratios.append((estimate.high - estimate.low) / 2 / half_width)
    assert fmean(ratios) == pytest.approx(1, abs=0.12)


def dumb_curve(stays: list[tuple[int, bool]]) -> list[float]:
    """The actuarial estimate, step by step, from whole lists of ages and whether they ended."""
    shares = [1.0]
    for step in range(STEPS):
        reached = [stay for stay in stays if stay[0] // STEP_MS >= step]
        left = sum(ended for age, ended in reached if age // STEP_MS == step)
        censored = sum(not ended for age, ended in reached if age // STEP_MS == step)
        exposed = len(reached) - censored / 2
        shares.append(shares[-1] * (1 - left / exposed) if left else shares[-1])
        if not reached:
            shares += [shares[-1]] * (STEPS + 1 - len(shares))
            break
    return shares


def test_survival_is_the_product_limit() -> None:
    """VisitLengths that ended and that go on make the curve that a plain computation makes."""
    chance = random.Random(3)
    survival = Survival()
    now_ms = 2 * HOUR_MS
    stays = []
    for number in range(400):
        began_at_ms = chance.randrange(0, now_ms // STEP_MS) * STEP_MS
        visit_ms = int(exponential(chance))
        survival.began(number, now_ms=began_at_ms)
        if began_at_ms + visit_ms > now_ms:
            stays.append((now_ms - began_at_ms, False))
        else:
            survival.ended(number, now_ms=began_at_ms + visit_ms)
            stays.append((visit_ms, True))
    shares, terms = survival.curve(now_ms=now_ms)
    assert shares == pytest.approx(dumb_curve(stays))
    assert len(terms) == STEPS
    # Without the censored the curve would fall too fast.
    only_completed = dumb_curve([stay for stay in stays if stay[1]])
    assert shares[90] == pytest.approx(exp(-1), abs=0.06)
    assert only_completed[90] < shares[90] - 0.03


def test_before_anybody_left_everybody_is_here() -> None:
    """With no completed stay the count is that of the joins, exactly."""
    survival = Survival()
    counter = WriteRate(survival, 3)
    for number in range(5):
        counter.joined(number, number % 2, now_ms=number)
        survival.began(number, now_ms=number)
    assert counter.estimate(now_ms=60_000) == (Estimate(5.0, 5.0, 5.0), [3.0, 2.0, 0.0])


def test_nobody_came() -> None:
    """An empty room is empty."""
    assert WriteRate(Survival(), 2).estimate(now_ms=0) == (EMPTY, [0.0, 0.0])


def test_a_change_of_mood_moves_a_person() -> None:
    """The same people are here, one of them in another mood; whoever was unknown comes in with the change."""
    counter = WriteRate(Survival(), 3)
    counter.joined("ann", 0, now_ms=0)
    counter.changed("ann", 1, now_ms=10)
    counter.changed("bob", 0, now_ms=20)
    counter.joined("cem", None, now_ms=30)
    assert counter.estimate(now_ms=40)[1] == [1.0, 1.0, 1.0]


def test_who_comes_again_is_one_person() -> None:
    """A second join replaces the first."""
    counter = WriteRate(Survival(), 2)
    counter.joined("ann", 0, now_ms=0)
    counter.joined("ann", 1, now_ms=30_000)
    assert counter.estimate(now_ms=40_000) == (Estimate(1.0, 1.0, 1.0), [0.0, 1.0])


def test_nobody_stays_for_ever() -> None:
    """Who came too long ago is forgotten, and memory with them."""
    counter = WriteRate(Survival(), 1)
    counter.joined("ann", None, now_ms=0)
    counter.joined("bob", None, now_ms=AGE_MAX_MS + 3 * STEP_MS)
    assert counter.estimate(now_ms=AGE_MAX_MS + 3 * STEP_MS)[0].count == 1
    assert list(counter._visitors) == ["bob"]


def test_the_same_instant_is_in_order_and_the_past_is_not() -> None:
    """Joins that go back in time by more than a step are our caller's error."""
    counter = WriteRate(Survival(), 1)
    counter.joined("ann", None, now_ms=50_000)
    with pytest.raises(HostError, match="order"):
        counter.joined("bob", None, now_ms=30_000)
