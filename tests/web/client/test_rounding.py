"""Numbers of people, rounded as the server rounds them."""

from random import Random

from breathing_room.core.presence import precision, read_label
from node import node


def intervals() -> list[tuple[int, int, int]]:
    """Counts with their intervals: small ones all, larger ones drawn."""
    rng = Random(14)
    small = [
        (count, low, high)
        for high in range(1, 14)
        for low in range(high + 1)
        for count in range(low, high + 1)
    ]
    drawn = []
    for _ in range(2_000):
        low, high = sorted(rng.randrange(10 ** rng.randrange(1, 8)) for _ in range(2))
        drawn.append((rng.randrange(low, high + 1), low, high))
    return small + drawn


def test_it_rounds_as_python_does() -> None:
    """Step, figure and whether that is exact are those of a label that was not shown before, and lie in the
    interval.
    """
    given = intervals()
    steps = node("rounding.js", "given[0].map(([, low, high]) => it.precision(low, high))", given)
    found = node("rounding.js", "given[0].map((interval) => it.rounded(...interval))", given)
    assert steps == [precision(low, high) for _, low, high in given]
    for (count, low, high), rounded in zip(given, found, strict=True):
        label, figure = read_label(count, low, high, shown=None)
        assert rounded == {"figure": figure, "exact": not label.startswith("about")}, (count, low, high)
        assert low <= rounded["figure"] <= high
