"""The count between two polls, asked directly in Node; ``test_polling.py`` replays long sequences beside the
core's.
"""

from typing import Any

from breathing_room.core.client_rules.interpolation import Interpolator
from node import node


def displayed(*starts_and_presences: tuple[int | None, dict[str, Any]], at_ms: list[int]) -> Any:
    """Interpolate from counts to presences that came at 0 ms, each in a second, and read the displayed count
    at some instants.
    """
    return node(
        "interpolation.js",
        "given[0].map(([start, presence]) => {"
        " const now = new it.Interpolator(start, start).retarget(presence, 0, 1_000);"
        " return given[1].map((ms) => now.at(ms)); })",
        starts_and_presences,
        at_ms,
    )


def test_it_begins_inside_the_new_interval_and_ends_at_the_count() -> None:
    """
    A displayed count outside the new interval moves to its nearest end at once; from there it reaches the
    count with the next poll.
    """
    presence = {"count": 100, "low": 90, "high": 110}
    changes = ((40, presence), (140, presence), (140, {**presence, "high": None}))
    assert displayed(*changes, at_ms=[-5, 0, 500, 1_000, 9_000]) == [
        [90, 90, 95, 100, 100],
        [110, 110, 105, 100, 100],
        [140, 140, 120, 100, 100],
    ]


def test_it_does_not_start_from_an_unknown_count() -> None:
    """
    The first count after an unknown one is displayed at once, and an unknown count is displayed as none.
    """
    known, unknown = {"count": 100, "low": 90, "high": 110}, {"count": None, "low": 3, "high": None}
    assert displayed((None, known), (7, unknown), at_ms=[0, 500]) == [[100, 100], [None, None]]


def test_halves_are_rounded_as_in_the_core() -> None:
    """
    Halfway between two counts the browser and the Python client show the same one, upwards and downwards.

    The core rounded halves to the even number and the browser upwards: halfway from 0 to 5 one showed 2 and
    the other 3.
    """
    paths = [(start, end) for start in (0, 1, 7) for end in range(12)]
    here = node(
        "interpolation.js", "given.map(([start, end]) => new it.Interpolator(start, end, 0, 2).at(1))", *paths
    )
    assert here == [Interpolator(start, end, 0, 2).at(1) for start, end in paths]
