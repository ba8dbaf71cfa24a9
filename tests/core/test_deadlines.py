"""The deadline queue, and timeouts of one length."""

from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.deadlines import NO_DEADLINE, TICK_MS, DeadlineQueue, FixedTimeouts, quantize


class Item:
    """An item of a deadline queue."""

    def __init__(self) -> None:
        self.due_at_ms = NO_DEADLINE


@given(st.integers(-(10**13), 10**13))
def test_the_grid_never_comes_early(at_ms: int) -> None:
    """A quantized instant is a multiple of the tick, not earlier than the given one, and less than a tick
    later.
    """
    assert quantize(at_ms) % TICK_MS == 0
    assert 0 <= quantize(at_ms) - at_ms < TICK_MS


moves = st.tuples(st.sampled_from(["put", "schedule_by", "remove"]), st.integers(0, 4), st.integers(1, 20))


@given(st.lists(moves), st.lists(st.integers(0, 21 * TICK_MS)))
def test_an_item_comes_due_once_where_it_was_put_last(
    moved: list[tuple[str, int, int]], times_ms: list[int]
) -> None:
    """Each item is popped once at its latest deadline, the earliest
    first, and not at all if it was removed.
    """
    queue: DeadlineQueue[Item] = DeadlineQueue()
    items = [Item() for _ in range(5)]
    expected: dict[int, int] = {}
    for how, index, tick in moved:
        at_ms = tick * TICK_MS
        if how == "remove":
            items[index].due_at_ms = NO_DEADLINE
            expected.pop(index, None)
        elif how == "put":
            queue.put(items[index], at_ms)
            expected[index] = at_ms
        else:
            queue.schedule_by(items[index], at_ms)
            expected[index] = min(at_ms, expected.get(index, at_ms))

    seen: list[tuple[int, int]] = []
    for now_ms in [*sorted(times_ms), 21 * TICK_MS]:
        for item, at_ms in queue.pop_due(now_ms):
            assert at_ms <= now_ms
            item.due_at_ms = NO_DEADLINE
            seen.append((at_ms, items.index(item)))

    assert sorted(seen) == sorted((at_ms, index) for index, at_ms in expected.items())
    assert [at_ms for at_ms, _ in seen] == sorted(at_ms for at_ms, _ in seen)
    assert queue.next_at_ms is None


def test_an_item_may_be_put_back_while_others_come_due() -> None:
    """An item that is put again while the due ones are popped is popped again if it is due."""
    queue: DeadlineQueue[Item] = DeadlineQueue()
    item = Item()
    queue.put(item, TICK_MS)
    seen = []
    for item, at_ms in queue.pop_due(3 * TICK_MS):
        seen.append(at_ms)
        queue.put(item, at_ms + TICK_MS)

    assert seen == [TICK_MS, 2 * TICK_MS, 3 * TICK_MS]
    assert queue.next_at_ms == 4 * TICK_MS


def test_items_end_in_their_order() -> None:
    """Items whose time is over are returned once, the oldest first."""
    timeouts = FixedTimeouts[str](100)
    timeouts.start("ann", 0)
    timeouts.start("bob", 50)
    assert timeouts.next_at_ms == 100
    assert timeouts.ended(99) == []
    assert timeouts.ended(150) == ["ann", "bob"]
    assert timeouts.ended(1_000) == []
    assert len(timeouts) == 0
    assert timeouts.next_at_ms is None


def test_start_restarts_and_stop_removes() -> None:
    """A second start moves an item to the end; a stop removes it, and does nothing for an unknown item."""
    timeouts = FixedTimeouts[str](100)
    for name in ("ann", "bob", "eve"):
        timeouts.start(name, 0)
    timeouts.start("ann", 50)
    timeouts.stop("bob")
    timeouts.stop("unknown")
    assert list(timeouts) == ["eve", "ann"]
    assert timeouts.ended(100) == ["eve"]
    assert timeouts.ended(150) == ["ann"]


@given(
    st.lists(st.tuples(st.sampled_from(["start", "stop", "ended"]), st.integers(0, 4), st.integers(0, 60)))
)
def test_it_is_a_table_of_deadlines(calls: list[tuple[str, int, int]]) -> None:
    """Any sequence of calls gives the results of a table that is scanned each time."""
    timeouts, table, now_ms = FixedTimeouts[int](100), {}, 0
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
