"""The clock that jumps."""

from breathing_room.lab.sim.clock import FIRST, LAST, VirtualClock


def test_actions_are_taken_by_time_then_rank_then_order() -> None:
    """The first actions of an instant run before those of visitors, the last after, and a visitor's own in
    the order of scheduling.
    """
    clock, done = VirtualClock(0), list[tuple[int, str]]()
    for at_ms, rank, name in (
        (5, 2, "b"),
        (5, LAST, "z"),
        (5, 2, "c"),
        (9, 1, "late"),
        (5, FIRST, "a"),
        (4, 9, "early"),
    ):
        clock.at(at_ms, rank, lambda now_ms, name=name: done.append((now_ms, name)))  # type: ignore[misc]
    clock.run(9)

    assert done == [(4, "early"), (5, "a"), (5, "b"), (5, "c"), (5, "z")]
    assert clock.now_ms == 9
    clock.run(10)
    assert done[-1] == (9, "late")


def test_what_lies_in_the_past_is_done_now() -> None:
    """An action may ask for another one at once, or for one that should have been: time does not run
    backwards.
    """
    clock, done = VirtualClock(100), list[int]()
    clock.at(50, 1, done.append)
    clock.at(100, 2, lambda now_ms: clock.at(now_ms - 30, 1, done.append))
    clock.run(101)

    assert done == [100, 100]
