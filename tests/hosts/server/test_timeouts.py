"""Many deadlines of one length."""

from hypothesis import given
from hypothesis import strategies as st

from breathing_room.hosts.server.timeouts import Timeouts


def test_items_end_in_their_order() -> None:
    """
    What was put in comes back when its time is over, the oldest first, and only once.
    """
    timeouts = Timeouts[str](100)
    timeouts.start("ann", 0)
    timeouts.start("bob", 50)
    assert timeouts.next_at_ms == 100
    assert timeouts.ended(99) == []
    assert timeouts.ended(150) == ["ann", "bob"]
    assert timeouts.ended(1_000) == []
    assert len(timeouts) == 0
    assert timeouts.next_at_ms is None


def test_start_begins_anew_and_stop_forgets() -> None:
    """
    A second start moves an item to the end; a stop takes it out, and of something that is not there does no harm.
    """
    timeouts = Timeouts[str](100)
    for name in ("ann", "bob", "eve"):
        timeouts.start(name, 0)
    timeouts.start("ann", 50)
    timeouts.stop("bob")
    timeouts.stop("nobody")
    assert list(timeouts) == ["eve", "ann"]
    assert timeouts.ended(100) == ["eve"]
    assert timeouts.ended(150) == ["ann"]


@given(
    st.lists(st.tuples(st.sampled_from(["start", "stop", "ended"]), st.integers(0, 4), st.integers(0, 60)))
)
def test_it_is_a_table_of_deadlines(calls: list[tuple[str, int, int]]) -> None:
    """
    Whatever is called, it answers as a table would that is searched whole each time.
    """
    timeouts, table, now_ms = Timeouts[int](100), {}, 0
    for call, item, passes_ms in calls:
        now_ms += passes_ms
        if call == "start":
            timeouts.start(item, now_ms)
            table[item] = now_ms + 100
        elif call == "stop":
            timeouts.stop(item)
            table.pop(item, None)
        else:
            over = {item for item, ends_at_ms in table.items() if ends_at_ms <= now_ms}
            assert set(timeouts.ended(now_ms)) == over
            table = {item: ends_at_ms for item, ends_at_ms in table.items() if item not in over}
        assert set(timeouts) == table.keys()
