"""The count between two polls, asked directly in Node; ``test_polling.py`` replays long walks beside the core's."""

from typing import Any

from breathing_room.core.interpolation import Walk
from node import node


def walk(presence: dict[str, Any], at_ms: list[int], *, start: int | None, length_ms: int = 1_000) -> Any:
    """Walk from a count to a presence that came at 0 ms, and read what is shown at some instants."""
    return node(
        "interpolation.js",
        "(([start, presence, length, at]) => { const walk = new it.Walk(start, start).toward(presence, 0, length);"
        " return at.map((ms) => walk.at(ms)); })(given)",
        start,
        presence,
        length_ms,
        at_ms,
    )


def test_a_walk_begins_inside_the_new_interval_and_ends_at_the_count() -> None:
    """
    What lies outside the new interval is moved to its nearest end at once; from there the count is reached with the next poll.
    """
    presence = {"count": 100, "low": 90, "high": 110}
    instants = [-5, 0, 500, 1_000, 9_000]
    assert walk(presence, instants, start=40) == [90, 90, 95, 100, 100]
    assert walk(presence, instants, start=140) == [110, 110, 105, 100, 100]
    assert walk({**presence, "high": None}, instants, start=140) == [140, 140, 120, 100, 100]


def test_an_unknown_count_is_not_walked_from() -> None:
    """
    The first count after an unknown one is shown at once, and where the count becomes unknown nothing is shown.
    """
    assert walk({"count": 100, "low": 90, "high": 110}, [0, 500], start=None) == [100, 100]
    assert walk({"count": None, "low": 3, "high": None}, [0, 500], start=7) == [None, None]


def test_halves_are_rounded_as_in_the_core() -> None:
    """
    Halfway between two counts the browser and the Python client show the same one, upwards and downwards.

    The core rounded halves to the even number and the browser upwards: halfway from 0 to 5 one showed 2 and the other 3.
    """
    paths = [(start, end) for start in (0, 1, 7) for end in range(12)]
    here = node(
        "interpolation.js", "given.map(([start, end]) => new it.Walk(start, end, 0, 2).at(1))", *paths
    )
    assert here == [Walk(start, end, 0, 2).at(1) for start, end in paths]
