"""The mix of moods, asked directly in Node."""

from typing import Any

from node import node

MOODS = ["gratitude", "release"]


def mix(presence: dict[str, Any] | None) -> list[tuple[Any, ...]]:
    parts = node("mix.js", "it.mixOf(...given)", presence, MOODS)
    return [(part["mood"], part["people"], part["low"], part["high"]) for part in parts]


def test_it_has_every_person() -> None:
    """The parts are the moods in the room's order, the unspoken and the merged, each with its interval."""
    presence = {
        "count": 9,
        "moods": {"release": 5, "gratitude": 3},
        "unspoken": 1,
        "mood_intervals": {"gratitude": [2, 4], "release": [5, 6], "unspoken": [1, 1]},
    }
    assert mix(presence) == [
        ("gratitude", 3, 2, 4),
        ("release", 5, 5, 6),
        ("unspoken", 1, 1, 1),
        ("merged", 0, 0, 0),
    ]


def test_merged_moods_are_what_is_left() -> None:
    """Merged moods have no tallies of their own, and together the rest of the count."""
    presence = {
        "count": 9,
        "moods": {"gratitude": None, "release": 5},
        "unspoken": None,
        "mood_intervals": {"gratitude": None, "release": [5, 5], "unspoken": None},
    }
    assert mix(presence) == [
        ("gratitude", None, None, None),
        ("release", 5, 5, 5),
        ("unspoken", None, None, None),
        ("merged", 4, 4, 4),
    ]


def test_nothing_is_known() -> None:
    """Without a presence every tally is 0."""
    assert [part[1] for part in mix(None)] == [0, 0, 0, 0]


def test_an_older_server() -> None:
    """Tallies without intervals, and moods that the server does not name, are taken as they are."""
    assert mix({"count": 2, "moods": {"release": 2}, "unspoken": 0}) == [
        ("gratitude", None, None, None),
        ("release", 2, 2, 2),
        ("unspoken", 0, 0, 0),
        ("merged", 0, 0, 0),
    ]
