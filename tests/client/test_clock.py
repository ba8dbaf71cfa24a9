"""The estimate of the server's clock."""

from hypothesis import given
from hypothesis import strategies as st

from breathing_room.client.clock import ServerClock


def test_before_the_first_sample_our_own_clock_counts() -> None:
    """Nothing is known, so nothing is added."""
    clock = ServerClock()
    assert clock.offset_ms == 0
    assert clock.error_ms is None


@given(
    st.integers(-(10**9), 10**9),
    st.lists(st.tuples(st.floats(0, 5_000), st.floats(0, 5_000)), min_size=1, max_size=20),
)
def test_the_offset_is_right_within_half_a_round_trip(
    offset_ms: int, ways_ms: list[tuple[float, float]]
) -> None:
    """However unequal the two ways are, the estimate is never more wrong than it says."""
    clock, now_ms = ServerClock(), 1_000_000.0
    for there_ms, back_ms in ways_ms:
        sent_ms, now_ms = now_ms, now_ms + there_ms + back_ms
        clock.add_sample(sent_ms=sent_ms, now_ms=sent_ms + there_ms + offset_ms, received_ms=now_ms)
    assert clock.error_ms is not None
    assert abs(clock.offset_ms - offset_ms) <= clock.error_ms + 1e-3


def test_the_shortest_round_trip_wins() -> None:
    """A fast sample wins over a slow and lopsided one, whichever came first."""
    clock = ServerClock()
    clock.add_sample(sent_ms=0, now_ms=1_000 + 1, received_ms=2)
    clock.add_sample(sent_ms=1_000, now_ms=2_000 + 900, received_ms=2_000)
    assert clock.offset_ms == 1_000


def test_a_clock_that_was_set_is_followed_at_once() -> None:
    """When two samples contradict each other, the new one counts."""
    clock = ServerClock()
    clock.add_sample(sent_ms=0, now_ms=1_000 + 1, received_ms=2)
    clock.add_sample(sent_ms=1_000, now_ms=61_005, received_ms=1_010)
    assert clock.offset_ms == 60_000


def test_an_answer_that_came_before_its_request_is_no_sample() -> None:
    """Our own clock was set back in between."""
    clock = ServerClock()
    clock.add_sample(sent_ms=1_000, now_ms=5_000, received_ms=900)
    assert clock.error_ms is None
