"""An estimate: a count and its interval."""

from math import sqrt
from statistics import NormalDist

import pytest

from breathing_room.core.estimate import EMPTY, Estimate, Z, sum_estimates


def test_the_interval_is_that_of_95_in_100() -> None:
    """The factor of all intervals is the 97.5 % quantile of the normal distribution."""
    assert pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-12) == Z


def test_whole_people_lie_within_their_interval() -> None:
    """The ends are rounded to whole visitors, and never past the published count."""
    assert Estimate(10.2, 8.4, 12.6).rounded(10) == (10, 8, 13)
    assert Estimate(2.4, 2.4, 2.4).rounded(3) == (3, 2, 3)
    assert Estimate(2.6, 2.6, 2.6).rounded(2) == (2, 2, 3)


def test_independent_estimates_add_as_their_variances_do() -> None:
    """Counts add, and the distances to the ends add in quadrature, below and above separately."""
    total = sum_estimates(Estimate(100, 97, 104), Estimate(50, 46, 53))
    assert total == Estimate(150, 150 - 5, 150 + 5)
    many = sum_estimates(*[Estimate(10, 9, 12)] * 16)
    assert (many.count, many.low, many.high) == (160, 156, 168)
    assert many.high - many.count == sqrt(16) * 2


def test_one_estimate_alone_is_itself_and_an_empty_one_adds_0() -> None:
    """A single estimate is returned as it is, and an empty one adds 0."""
    one = Estimate(5.5, 4.5, 7.5)
    assert sum_estimates(one) is one
    assert sum_estimates(one, EMPTY) == one


def test_the_lower_end_of_a_sum_is_at_least_0() -> None:
    """The lower end of a sum stops at 0."""
    assert sum_estimates(Estimate(1, 0, 9), Estimate(0.5, 0, 9), Estimate(0.2, 0, 2)).low >= 0
    assert sum_estimates(Estimate(0, 0, 3), Estimate(0, 0, 4)) == Estimate(0, 0, 5)
