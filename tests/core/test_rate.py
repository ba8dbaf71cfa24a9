"""The sampling rate: it falls at once, rises after it has settled, and theta is the lowest one in use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.rate import RATE_MIN, Rate, rounded

RATE_PROPAGATION_MS = 1_000


@pytest.mark.parametrize(
    ("rate", "short"),
    [
        (2.0, 1.0),
        (1.0, 1.0),
        (0.99999, 0.999),
        (0.33333, 0.333),
        (0.0123456, 0.0123),
        (1e-9, RATE_MIN),
        (0, RATE_MIN),
    ],
)
def test_a_rate_is_short(rate: float, short: float) -> None:
    """A rate has three digits, rounded down, between a millionth and 1."""
    assert rounded(rate) == pytest.approx(short, rel=1e-12)


@given(st.floats(RATE_MIN, 1))
def test_rounding_lowers_a_rate_by_at_most_a_percent(rate: float) -> None:
    """Rounding lowers a rate by at most one percent, and never raises it."""
    assert 0.99 * rate <= rounded(rate) <= rate * (1 + 1e-12)


def test_the_rate_is_1_while_the_crowd_is_small() -> None:
    """The rate stays at 1 up to four standard deviations above panel_size, and falls at once with one seat
    more.
    """
    rate = Rate(400, RATE_PROPAGATION_MS, now_ms=0)

    assert not rate.adjust(480, 0.0, 0)
    assert (rate.current, rate.next_at_ms) == (1.0, None)
    assert rate.adjust(481, 0.0, 0)
    assert rate.current == 0.831  # 400 / 481, rounded down


def test_a_surge_is_not_waited_for() -> None:
    """The rate falls again though the last change has not settled."""
    rate = Rate(400, RATE_PROPAGATION_MS, now_ms=0)
    rate.adjust(800, 0.0, 10)
    assert rate.adjust(800, 0.0, 11)

    assert rate.current == 0.25


def test_the_rate_rises_only_when_the_last_change_has_settled() -> None:
    """Few seats raise the rate two rate_propagation_ms after the last change, and not before."""
    rate = Rate(400, RATE_PROPAGATION_MS, now_ms=0)
    rate.adjust(4_000, 0.0, 0)

    assert not rate.adjust(100, 0.0, 2 * RATE_PROPAGATION_MS - 1)
    assert rate.adjust(100, 0.0, 2 * RATE_PROPAGATION_MS)
    assert 0.1 < rate.current <= 0.4


def test_the_rate_stays_while_chance_explains_the_seats() -> None:
    """Seats within four standard deviations of panel_size do not move
    the rate: a published rate is cached.
    """
    rate = Rate(400, RATE_PROPAGATION_MS, now_ms=0)
    rate.adjust(4_000, 0.0, 0)

    assert not any(rate.adjust(seats, 0.0, 9 * RATE_PROPAGATION_MS) for seats in (320, 400, 480))


def test_the_rate_recovers_in_a_few_steps() -> None:
    """Without seats the rate is back at 1 after at most three steps, each at its next_at_ms."""
    rate = Rate(400, RATE_PROPAGATION_MS, now_ms=0)
    rate.adjust(400_000, 0.0, 0)
    assert rate.current == 0.001
    steps = 0
    while rate.current < 1.0:
        assert rate.next_at_ms is not None
        now_ms = rate.next_at_ms
        rate.theta(now_ms)
        steps += rate.adjust(0, 0.0, now_ms)

    assert steps <= 3


def test_reports_cost_no_more_than_their_budget() -> None:
    """Reports at twice the budget halve the rate, once the last change has settled."""
    rate = Rate(400, RATE_PROPAGATION_MS, now_ms=0)

    assert not rate.adjust(10, 2.0, RATE_PROPAGATION_MS)
    assert rate.adjust(10, 2.0, 2 * RATE_PROPAGATION_MS)
    assert rate.current == 0.5


changes = st.lists(st.tuples(st.integers(0, 1_500), st.integers(0, 2_000)), max_size=20)


@given(changes, st.integers(0, 3_000))
def test_theta_is_the_lowest_rate_of_the_last_propagation_time(
    moves: list[tuple[int, int]], later_ms: int
) -> None:
    """Theta is the least of all rates that were in force at some instant of the last rate_propagation_ms, and
    of the current.
    """
    rate = Rate(100, RATE_PROPAGATION_MS, now_ms=0)
    in_force = [(0, 1.0)]  # since when, which
    now_ms = 0
    for pause_ms, seats in moves:
        now_ms += pause_ms
        rate.adjust(seats, 0.0, now_ms)
        in_force.append((now_ms, rate.current))
        assert RATE_MIN <= rate.current <= 1.0
    now_ms += later_ms
    ends = [*(at_ms for at_ms, _ in in_force[1:]), now_ms + 1]
    live = [
        value
        for (_, value), end_ms in zip(in_force, ends, strict=True)
        if end_ms > now_ms - RATE_PROPAGATION_MS
    ]

    assert rate.theta(now_ms) == min(live)


@given(changes, st.integers(0, 5_000))
def test_a_rate_is_resumed_unchanged(moves: list[tuple[int, int]], later_ms: int) -> None:
    """A resumed rate has the same rates, theta and next_at_ms."""
    rate, now_ms = Rate(100, RATE_PROPAGATION_MS, now_ms=0), 0
    for pause_ms, seats in moves:
        now_ms += pause_ms
        rate.adjust(seats, 0.0, now_ms)
    other = Rate(100, RATE_PROPAGATION_MS, now_ms=now_ms)
    other.resume(rate.rates, rate.changed_at_ms, now_ms)
    rate.adjust(100, 0.0, now_ms)

    assert other.theta(now_ms) == rate.theta(now_ms)
    assert other.theta(now_ms + later_ms) == rate.theta(now_ms + later_ms)
    assert (other.current, other.rates, other.next_at_ms) == (rate.current, rate.rates, rate.next_at_ms)
