"""The page's sentences and its breath, asked directly in Node."""

from typing import Any

import pytest

from breathing_room.core.breath import PATTERNS, moment
from node import node


def presence(
    count: int | None, low: int, high: int | None, method: str = "counted", label: str = ""
) -> dict[str, Any]:
    return {"count": count, "low": low, "high": high, "method": method, "label": label or f"{count:,}"}


ONE, CROWD = presence(1, 1, 1), presence(1001, 1001, 1001)
UNKNOWN = presence(None, 3, None, "unknown", "unknown")


@pytest.mark.parametrize(
    ("given", "state", "sentence"),
    [
        (None, "unknown", "looking for the others"),
        (UNKNOWN, "unknown", "counting who is here"),
        (ONE, "live", "you are the first one here"),
        (ONE, "stale", "you are here"),
        (presence(1, 0, 1), "live", "you are the first one here"),
        (presence(0, 0, 0), "live", "you are here"),
        (presence(2, 2, 2), "stale", "2 people breathing with you"),
        (CROWD, "live", "1,001 people breathing with you"),
        (
            presence(10_240, 9_270, 11_310, label="about 10,000"),
            "live",
            "about 10,000 people breathing with you",
        ),
    ],
)
def test_the_sentence(given: dict[str, Any] | None, state: str, sentence: str) -> None:
    """
    The sentence never says 0, never takes a doubtful 1 for being alone, and writes 1,001 as 1,001.
    """
    assert node("words.js", "it.people(...given)", given, state) == sentence


@pytest.mark.parametrize(
    ("given", "state", "age_ms", "line"),
    [
        (None, "unknown", 0, "not known yet · connecting"),
        (UNKNOWN, "unknown", 0, "not known yet · counting"),
        (UNKNOWN, "unknown", 500, "not known yet · connecting"),
        (CROWD, "live", 0, "counted · now"),
        (CROWD, "live", 500, "counted · a moment ago"),
        (CROWD, "stale", 30_000, "last known · half a minute ago"),
        (CROWD, "stale", 60_000, "last known · a minute ago"),
        (CROWD, "stale", 300_000, "last known · 5 minutes ago"),
        (CROWD, "stale", 3_600_000, "last known · an hour ago"),
        (CROWD, "stale", 10_800_000, "last known · 3 hours ago"),
        (presence(12, 9, 12), "live", 0, "counted · 3 fell silent just now"),
        (presence(12, 4, 12, "stale"), "stale", 0, "last known · 4 to 12 · counting again"),
        (presence(12, 12, 12, "stale"), "stale", 0, "last known · counting again"),
        (presence(10_240, 9_270, 11_310, "sampled"), "live", 0, "sampled · 9,270 to 11,310 · now"),
    ],
)
def test_the_quiet_line(given: dict[str, Any] | None, state: str, age_ms: int, line: str) -> None:
    """
    The quiet line says how the number was obtained and when.
    """
    assert node("words.js", "it.source(...given)", given, state, age_ms) == line


@pytest.mark.parametrize(
    ("unspoken", "merged", "line"),
    [
        (0, 0, ""),
        (1_200, 0, "1,200 unspoken"),
        (0, 7, "7 not told apart"),
        (5, 7, "5 unspoken · 7 not told apart"),
    ],
)
def test_those_without_a_number_of_their_own(unspoken: int, merged: int, line: str) -> None:
    """
    Who named no mood, and who is in a mood too small to be told apart, are quietly said to be there.
    """
    assert node("words.js", "it.unspoken(...given)", unspoken, merged) == line


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=lambda pattern: pattern.name)
def test_the_page_breathes_as_the_core_does(pattern: Any) -> None:
    """
    At any instant the page's breath is the core's: the same phase, and the same time left of it.
    """
    instants = [1_767_225_600_000 + step * 137 for step in range(400)]
    phases = [list(phase) for phase in pattern.phases]
    here = node("breath.js", "given[0].map((now) => it.breathAt(now, given[1]))", instants, phases)
    for now_ms, place in zip(instants, here, strict=True):
        expected = moment(pattern, now_ms)
        assert (place["phase"], place["leftMs"]) == (expected.phase, expected.remaining_ms)


def test_the_lungs_fill_and_empty() -> None:
    """
    The animation is full after the inhale and through the hold, and empty after the exhale and through the rest.
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
