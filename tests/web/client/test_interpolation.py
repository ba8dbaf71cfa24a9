"""The count between two polls, asked directly in Node; ``test_polling.py`` replays long walks beside the core's."""

from typing import Any

from breathing_room.core.client_rules.interpolation import Interpolator
from node import node


def walk(*starts_and_presences: tuple[int | None, dict[str, Any]], at_ms: list[int]) -> Any:
    """Walk from counts to presences that came at 0 ms, each in a second, and read what is shown at some instants."""
    return node(
        "interpolation.js",
        "given[0].map(([start, presence]) => {"
        " const walk = new it.Walk(start, start).toward(presence, 0, 1_000);"
        " return given[1].map((ms) => walk.at(ms)); })",
        starts_and_presences,
        at_ms,
    )


def test_a_walk_begins_inside_the_new_interval_and_ends_at_the_count() -> None:
    """
    What lies outside the new interval is moved to its nearest end at once; from there the count is reached with the next poll.
    """
    presence = {"count": 100, "low": 90, "high": 110}
    walks = ((40, presence), (140, presence), (140, {**presence, "high": None}))
    assert walk(*walks, at_ms=[-5, 0, 500, 1_000, 9_000]) == [
        [90, 90, 95, 100, 100],
        [110, 110, 105, 100, 100],
        [140, 140, 120, 100, 100],
    ]


def test_an_unknown_count_is_not_walked_from() -> None:
    """
    The first count after an unknown one is shown at once, and where the count becomes unknown nothing is shown.
    """
    known, unknown = {"count": 100, "low": 90, "high": 110}, {"count": None, "low": 3, "high": None}
    assert walk((None, known), (7, unknown), at_ms=[0, 500]) == [[100, 100], [None, None]]


def test_halves_are_rounded_as_in_the_core() -> None:
    """
    Halfway between two counts the browser and the Python client show the same one, upwards and downwards.

    The core rounded halves to the even number and the browser upwards: halfway from 0 to 5 one showed 2 and the other 3.
    """
    paths = [(start, end) for start in (0, 1, 7) for end in range(12)]
    here = node(
        "interpolation.js", "given.map(([start, end]) => new it.Walk(start, end, 0, 2).at(1))", *paths
    )
    assert here == [Interpolator(start, end, 0, 2).at(1) for start, end in paths]
