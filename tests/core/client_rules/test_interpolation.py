"""What is shown between two polls."""

from hypothesis import assume, given
from hypothesis import strategies as st

from breathing_room.core.client_rules.interpolation import Interpolator

PEOPLE = st.integers(0, 2_000_000)


def test_a_count_walks_to_the_next_one() -> None:
    """
    In even steps, until the next poll; then it stands.
    """
    walk = Interpolator().toward(100, 90, 110, now_ms=0, length_ms=30_000)
    walk = walk.toward(106, 95, 115, now_ms=30_000, length_ms=30_000)
    assert [walk.at(30_000 + step) for step in range(0, 35_000, 5_000)] == [100, 101, 102, 103, 104, 105, 106]
    assert walk.at(1_000_000) == 106


def test_the_first_count_is_shown_at_once() -> None:
    """
    Nobody sees a room fill up from 0, be it on coming or after a time in which nothing was known.
    """
    walk = Interpolator()
    assert walk.at(0) is None
    walk = walk.toward(500, 450, 560, now_ms=0, length_ms=30_000)
    assert walk.at(0) == 500
    walk = walk.toward(None, 20, None, now_ms=30_000, length_ms=30_000)
    assert walk.at(30_000) is None
    assert walk.toward(510, 450, 560, now_ms=60_000, length_ms=30_000).at(60_000) == 510


def test_a_walk_begins_in_the_new_interval() -> None:
    """
    What was shown and cannot be true any more is left at once for the nearest end of what can.
    """
    walk = Interpolator().toward(1_000, 1_000, 1_000, now_ms=0, length_ms=0)
    walk = walk.toward(200, 150, 260, now_ms=1_000, length_ms=10_000)
    assert (walk.at(1_000), walk.at(11_000)) == (260, 200)
    walk = walk.toward(900, 800, None, now_ms=11_000, length_ms=10_000)
    assert (walk.at(11_000), walk.at(21_000)) == (800, 900)


@given(
    st.lists(st.tuples(PEOPLE, PEOPLE, PEOPLE, st.integers(0, 60_000), st.integers(0, 90_000)), min_size=1),
    st.lists(st.floats(0, 1.5), min_size=1, max_size=5),
)
def test_what_is_shown_lies_in_the_interval_and_goes_one_way(
    presences: list[tuple[int, int, int, int, int]], shares: list[float]
) -> None:
    """
    Whatever counts follow one another, however early or late.
    """
    walk = Interpolator()
    now_ms = 0
    for *people, length_ms, waited_ms in presences:
        low, count, high = sorted(people)
        walk = walk.toward(count, low, high, now_ms=now_ms, length_ms=length_ms)
        shown = [walk.at(now_ms + round(share * length_ms)) for share in sorted(shares)]
        assert all(one is not None and low <= one <= high for one in shown)
        known = [one for one in shown if one is not None]
        assert known in (sorted(known), sorted(known, reverse=True))
        assert walk.at(now_ms + length_ms) == count
        now_ms += waited_ms


@given(PEOPLE, PEOPLE, st.integers(1, 60_000), st.integers(0, 60_000))
def test_a_clock_that_steps_back_shows_the_beginning(
    start: int, end: int, length_ms: int, back_ms: int
) -> None:
    """
    And nothing outside of the walk.
    """
    assume(start != end)
    walk = Interpolator(start, end, 100_000, length_ms)
    assert walk.at(100_000 - back_ms) == start
