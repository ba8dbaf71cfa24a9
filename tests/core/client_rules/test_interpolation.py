"""The count that is displayed between two polls."""

from hypothesis import assume, given
from hypothesis import strategies as st

from breathing_room.core.client_rules.interpolation import Interpolator

PEOPLE = st.integers(0, 2_000_000)


def test_the_displayed_count_goes_to_the_next_one() -> None:
    """The displayed count goes to the next one in even steps until the next poll, and stays there."""
    interpolator = Interpolator().retarget(100, 90, 110, now_ms=0, length_ms=30_000)
    interpolator = interpolator.retarget(106, 95, 115, now_ms=30_000, length_ms=30_000)
    assert [interpolator.at(30_000 + step) for step in range(0, 35_000, 5_000)] == [
        100,
        101,
        102,
        103,
        104,
        105,
        106,
    ]
    assert interpolator.at(1_000_000) == 106


def test_the_first_count_is_shown_at_once() -> None:
    """The first count is displayed at once, and so is the first after an unknown one: never a rise from 0."""
    interpolator = Interpolator()
    assert interpolator.at(0) is None
    interpolator = interpolator.retarget(500, 450, 560, now_ms=0, length_ms=30_000)
    assert interpolator.at(0) == 500
    interpolator = interpolator.retarget(None, 20, None, now_ms=30_000, length_ms=30_000)
    assert interpolator.at(30_000) is None
    assert interpolator.retarget(510, 450, 560, now_ms=60_000, length_ms=30_000).at(60_000) == 510


def test_an_interpolation_begins_in_the_new_interval() -> None:
    """A displayed count outside the new interval is replaced at once by the nearest end of the interval."""
    interpolator = Interpolator().retarget(1_000, 1_000, 1_000, now_ms=0, length_ms=0)
    interpolator = interpolator.retarget(200, 150, 260, now_ms=1_000, length_ms=10_000)
    assert (interpolator.at(1_000), interpolator.at(11_000)) == (260, 200)
    interpolator = interpolator.retarget(900, 800, None, now_ms=11_000, length_ms=10_000)
    assert (interpolator.at(11_000), interpolator.at(21_000)) == (800, 900)


@given(
    st.lists(st.tuples(PEOPLE, PEOPLE, PEOPLE, st.integers(0, 60_000), st.integers(0, 90_000)), min_size=1),
    st.lists(st.floats(0, 1.5), min_size=1, max_size=5),
)
def test_the_displayed_count_is_in_the_interval_and_goes_one_way(
    presences: list[tuple[int, int, int, int, int]], shares: list[float]
) -> None:
    """The displayed count is in the interval and moves in one direction, for any sequence of presences and
    times.
    """
    interpolator = Interpolator()
    now_ms = 0
    for *people, length_ms, waited_ms in presences:
        low, count, high = sorted(people)
        interpolator = interpolator.retarget(count, low, high, now_ms=now_ms, length_ms=length_ms)
        shown = [interpolator.at(now_ms + round(share * length_ms)) for share in sorted(shares)]
        assert all(one is not None and low <= one <= high for one in shown)
        known = [one for one in shown if one is not None]
        assert known in (sorted(known), sorted(known, reverse=True))
        assert interpolator.at(now_ms + length_ms) == count
        now_ms += waited_ms


@given(PEOPLE, PEOPLE, st.integers(1, 60_000), st.integers(0, 60_000))
def test_a_clock_that_steps_back_shows_the_beginning(
    start: int, end: int, length_ms: int, back_ms: int
) -> None:
    """Before the start of the interpolation the start is displayed."""
    assume(start != end)
    interpolator = Interpolator(start, end, 100_000, length_ms)
    assert interpolator.at(100_000 - back_ms) == start
