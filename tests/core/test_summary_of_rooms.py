"""The combined counts of several rooms are those of one room with all of their visitors."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.estimate.legacy_sampling import WINDOW_MS
from breathing_room.core.events import (
    Disconnected,
    Event,
    Joined,
    LegacyReported,
    PanelReported,
    RateSet,
    TimerFired,
)
from breathing_room.core.room import Room
from breathing_room.core.summary import as_suspect, combine, without_members
from core.playing import ANN, BOB, visitor
from core.replication.deltas import (
    CONFIG,
    MOODS,
    a_room,
    a_summary,
)

# The node of each visitor, the mood, and whether the connection is lost.
people = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([None, *MOODS]), st.booleans()), max_size=60, unique_by=id
)


def played(events: Sequence[Event], *, rate_set: RateSet | None) -> Room:
    room = a_room()
    if rate_set is not None:
        room.step(rate_set, now_ms=0)
    for event in events:
        room.step(event, now_ms=10)
    room.step(TimerFired(), now_ms=200)
    return room


@given(people)
def test_connections_on_several_nodes_count_as_on_one(crowd: list[tuple[int, str | None, bool]]) -> None:
    """Connections on four nodes, some of them lost, have the counts of one room."""
    events: list[tuple[int, list[Event]]] = []
    for index, (node, mood, breaks) in enumerate(crowd):
        events.append(
            (node, [Joined(index, visitor(f"{index}"), mood), *([Disconnected(index)] if breaks else [])])
        )
    one = played([event for _, happened in events for event in happened], rate_set=None)
    several = [
        played([event for at, happened in events if at == node for event in happened], rate_set=None)
        for node in range(4)
    ]

    assert combine([room.summary(200) for room in several], CONFIG) == combine([one.summary(200)], CONFIG)


@given(people, st.sampled_from([1.0, 0.5, 0.3, 0.04]), st.integers(1, 200))
def test_a_panel_on_several_nodes_counts_as_on_one(
    crowd: list[tuple[int, str | None, bool]], rate: float, later_s: int
) -> None:
    """Seats on four nodes, some of which expire, have the estimate and the interval of one room."""
    rate_set = RateSet(((0, rate),), 0)
    events: list[tuple[int, Event]] = [
        (node, PanelReported(visitor(f"{index}"), index % 16 / 16 * rate, mood))
        for index, (node, mood, _) in enumerate(crowd)
    ]
    renewed: list[tuple[int, Event]] = [
        event for event, (_, _, again) in zip(events, crowd, strict=True) if again
    ]
    at_ms = CONFIG.heartbeat_lease_ms - 1

    def last(node: int | None) -> Room:
        room = played([event for at, event in events if node in {None, at}], rate_set=rate_set)
        for at, event in renewed:
            if node in {None, at}:
                room.step(event, now_ms=at_ms)
        room.step(TimerFired(), now_ms=at_ms + 1_000 * later_s)
        return room

    now_ms = at_ms + 1_000 * later_s
    together = combine([last(node).summary(now_ms) for node in range(4)], CONFIG)
    assert together == combine([last(None).summary(now_ms)], CONFIG)


def test_legacy_reports_on_several_nodes_count_as_on_one() -> None:
    """Legacy reports observed for a whole window on each of two nodes have the estimate of one room."""
    rooms = one, here, there = a_room(), a_room(), a_room()
    for second in range(10):
        for index in range(40):
            for room in (one, here if index % 2 else there):
                room.step(LegacyReported(visitor(f"{index}"), MOODS[index % 2]), now_ms=20_000 * second)
    for room in rooms:
        room.step(TimerFired(), now_ms=WINDOW_MS + 20_000)

    together = combine([room.summary(WINDOW_MS + 20_000) for room in (here, there)], CONFIG)
    assert together == combine([one.summary(WINDOW_MS + 20_000)], CONFIG)
    assert together.count is not None
    assert together.count > 20


def test_nodes_under_different_rates_are_added_as_estimates() -> None:
    """While a rate spreads, the seats of each node are weighted by its own rate."""
    here, there = a_room(), a_room()
    there.step(RateSet(((0, 0.5),), 0), now_ms=0)
    for index in range(4):
        here.step(PanelReported(visitor(f"h{index}"), 0.9, "calm"), now_ms=0)
        there.step(PanelReported(visitor(f"t{index}"), 0.25, "glad"), now_ms=0)

    together = combine([here.summary(0), there.summary(0)], CONFIG)
    assert together.count == 4 + 8
    assert together.method == "sampled"
    assert together.low < 12 < (together.high or 0)
    assert [cell and cell[0] for cell in together.cells] == [4, 8, 0]


def test_a_suspect_node_is_in_high_and_not_in_low() -> None:
    """All connections and seats of a suspect node are in high and not in low, and the method is stale."""
    room = a_room()
    room.step(Joined(1, ANN, "calm"), now_ms=0)
    room.step(PanelReported(BOB, 0.5, "glad"), now_ms=0)
    suspect = as_suspect(room.summary(0))

    known = combine([a_summary(3), suspect], CONFIG)
    assert (known.count, known.low, known.high, known.method) == (5, 3, 5, "stale")
    assert known.cells == ((4, 3, 4), (1, 0, 1), (0, 0, 0))

    seats = combine([a_summary(3), without_members(suspect)], CONFIG)
    assert (seats.count, seats.low, seats.high, seats.method) == (4, 3, 4, "stale")


def test_legacy_reports_of_a_suspect_node_are_not_in_low() -> None:
    """Legacy reports of a suspect node do not raise the lower end."""
    room = a_room()
    for second in range(10):
        room.step(LegacyReported(ANN, "calm"), now_ms=20_000 * second)
    sure = combine([a_summary(3), room.summary(180_000)], CONFIG)
    known = combine([a_summary(3), as_suspect(room.summary(180_000))], CONFIG)

    assert (known.count, known.high) == (sure.count, sure.high)
    assert known.low == 3 < sure.low
