"""The page's breath, asked directly in Node."""

from typing import Any

import pytest

from breathing_room.core.breath import PATTERNS, moment
from node import node


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=lambda pattern: pattern.name)
def test_the_page_breathes_as_the_core_does(pattern: Any) -> None:
    """At any instant the page's breath is the core's: the same phase, and the same time left of it."""
    instants = [1_767_225_600_000 + step * 137 for step in range(400)]
    phases = [list(phase) for phase in pattern.phases]
    here = node("breath.js", "given[0].map((now) => it.breathAt(now, given[1]))", instants, phases)
    for now_ms, place in zip(instants, here, strict=True):
        expected = moment(pattern, now_ms)
        assert (place["phase"], place["leftMs"]) == (expected.phase, expected.remaining_ms)


def test_the_lungs_fill_and_empty() -> None:
    """
    The animation is full after the inhale and through the hold, and empty after the exhale and through the
    rest.
    """
    phases = [["inhale", 4_000], ["hold", 4_000], ["exhale", 4_000], ["rest", 4_000]]
    frames = node("breath.js", "it.keyframes(given[0], (full) => ({full}))", phases)
    assert [(frame["offset"], frame["full"]) for frame in frames] == [
        (0, 0),
        (0.25, 1),
        (0.5, 1),
        (0.75, 0),
        (1, 0),
    ]
