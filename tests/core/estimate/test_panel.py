"""The estimate from a panel, against figures computed by hand, theory, and its own properties."""

import random
from math import ceil, exp, floor, lgamma, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.estimate import EMPTY, Estimate, sum_estimates
from breathing_room.core.estimate.panel import apportion, expected_ghosts, panel_estimate


# With q = 1 - θ: (x + 1.92073 q ± 1.95996 sqrt(V + 0.96036 q²)) / θ, V = x q + g (1 + D / W).
@pytest.mark.parametrize(
    ("seats", "ghosts", "theta", "count", "low", "high"),
    [
        (1, 0, 1.0, 1, 1, 1),
        (400, 0, 1.0, 400, 400, 400),
        (0, 0, 0.01, 0, 0, 380.305),
        (100, 0, 0.1, 1_000, 830.546, 1_204.027),
        (400, 0, 0.04, 10_000, 9_084.81, 11_007.39),
        (10, 2, 1.0, 8, 4.90102, 11.09898),
    ],
)
def test_figures_computed_by_hand(
    seats: float, ghosts: float, theta: float, count: float, low: float, high: float
) -> None:
    """The count is the seats without ghosts over theta, and the ends are Wilson's."""
    estimate = panel_estimate(seats, ghosts, theta, ghost_ms=1, window_ms=4)

    assert (estimate.count, estimate.low, estimate.high) == pytest.approx((count, low, high), rel=1e-5)


@given(st.floats(0, 1e6), st.floats(0, 1), st.floats(1e-6, 1), st.floats(0, 1e6), st.floats(1, 1e7))
def test_an_estimate_lies_in_its_interval(
    seats: float, share: float, theta: float, ghost_ms: float, window_ms: float
) -> None:
    """No value is negative, and the interval contains the count, for any input."""
    estimate = panel_estimate(seats, seats * share, theta, ghost_ms=ghost_ms, window_ms=window_ms)

    assert 0 <= estimate.low <= estimate.count <= estimate.high


def test_ghosts_are_the_rate_of_expiries_times_the_time_of_each() -> None:
    """Eight expiries in 400 s, each a ghost for 100 s, make two expected ghosts."""
    assert expected_ghosts(8, ghost_ms=100_000, window_ms=400_000) == 2.0


@pytest.mark.parametrize(("people", "theta"), [(1_000, 0.4), (10_000, 0.04), (200, 0.05)])
def test_the_interval_covers_the_truth_in_95_of_100(people: int, theta: float) -> None:
    """Of 2,000 crowds the mean estimate is the truth, and 93 to 97.5 % of the intervals cover it."""
    chance = random.Random(20)
    runs, covered, total = 2_000, 0, 0.0
    for _ in range(runs):
        mean, deviation = people * theta, sqrt(people * theta * (1 - theta))
        # A binomial number of so many is drawn well enough by rounding a normal one, but for few it is drawn
        # itself.
        seats = (
            sum(chance.random() < theta for _ in range(people))
            if people <= 200
            else max(0, round(chance.gauss(mean, deviation)))
        )
        estimate = panel_estimate(seats, 0, theta, ghost_ms=0, window_ms=1)
        total += estimate.count
        covered += estimate.low <= people <= estimate.high

    assert total / runs == pytest.approx(people, abs=4 * sqrt(people * (1 - theta) / theta / runs))
    assert 0.93 <= covered / runs <= 0.975


@pytest.mark.parametrize("ghosts", [0.25, 0.5, 1, 2, 5, 10])
def test_an_interval_in_whole_visitors_covers_in_95_of_100(ghosts: float) -> None:
    """At rate 1 with a few ghosts 93 to 97 % of the intervals in whole visitors cover the truth, fewer than
    with ends rounded outwards.
    """
    ghost_ms, window_ms = 240, 1_560
    seats, covered, outwards = 1_000, 0.0, 0.0
    expected_expiries = ghosts * window_ms / ghost_ms
    for expiries, chance in poisson(expected_expiries):
        expected = expected_ghosts(expiries, ghost_ms=ghost_ms, window_ms=window_ms)
        estimate = panel_estimate(seats, expected, 1.0, ghost_ms=ghost_ms, window_ms=window_ms)
        _, low, high = estimate.rounded(round(estimate.count))
        for gone, share in poisson(ghosts):
            truth = seats - gone
            covered += chance * share * (low <= truth <= high)
            outwards += chance * share * (floor(estimate.low) <= truth <= ceil(estimate.high))

    assert 0.93 <= covered <= 0.97
    assert outwards > covered


def poisson(mean: float) -> list[tuple[int, float]]:
    """Return the values of a Poisson number, each with its probability."""
    return [
        (number, exp(number * log(mean) - mean - lgamma(number + 1)))
        for number in range(int(mean + 12 * sqrt(mean)) + 12)
    ]


weights = st.lists(st.integers(0, 10_000).map(float), min_size=1, max_size=33)


@given(st.integers(0, 10**7), weights)
def test_parts_sum_to_the_whole(total: int, shares: list[float]) -> None:
    """Every part is whole and within 1 of its exact share, and the parts sum to the total."""
    parts = apportion(total, shares)

    assert sum(parts) == total
    assert len(parts) == len(shares)
    if whole := sum(shares):
        assert all(abs(part - total * share / whole) < 1 for part, share in zip(parts, shares, strict=True))
    else:
        assert parts[-1] == total


@pytest.mark.parametrize(
    ("total", "shares", "parts"),
    [
        (10, [1, 1, 1], [4, 3, 3]),
        (3, [1, 2], [1, 2]),
        (1, [1, 3], [0, 1]),
        (5, [0, 0], [0, 5]),
        (0, [2, 1], [0, 0]),
    ],
)
def test_the_largest_remainders_are_rounded_up(total: int, shares: list[float], parts: list[int]) -> None:
    """The parts are those of Hamilton's method, computed by hand."""
    assert apportion(total, shares) == parts


def test_estimates_that_are_independent_add_in_quadrature() -> None:
    """Counts add, distances to the ends add in quadrature, and an empty estimate adds 0."""
    first, second = Estimate(100, 97, 106), Estimate(50, 46, 58)

    assert sum_estimates(first, second) == Estimate(150, 145, 160)
    assert sum_estimates(first, EMPTY) == first
