"""The badge."""

from xml.etree import ElementTree as ET

import pytest

from breathing_room.core.presence import Method, Presence
from breathing_room.hosts.common.http.badge import badge

SVG = "{http://www.w3.org/2000/svg}"


def a_presence(label: str, method: Method = "counted") -> Presence:
    """Make a presence with a label."""
    count = None if method == "unknown" else 7
    return Presence(
        room="lobby",
        count=count,
        low=7,
        high=count,
        method=method,
        sample_rate=1.0,
        moods={"calm": 7},
        unspoken=0,
        mood_intervals={},
        label=label,
        as_of_ms=0,
        stale_after_ms=30_000,
        poll_ms=30_000,
    )


@pytest.mark.parametrize("label", ["0", "12", "about 10,000", "unknown", "a <label> & more"])
def test_badge_is_a_picture_of_the_label(label: str) -> None:
    """
    A badge is well-formed SVG, says its label to the eye and to a screen reader, and its two boxes fill its
    width.
    """
    root = ET.fromstring(badge(a_presence(label)))
    assert root.tag == f"{SVG}svg"
    assert [text.text for text in root.iter(f"{SVG}text")] == ["here now", label]
    assert root.get("role") == "img"
    assert label in (root.get("aria-label") or "")
    clip, left, right = root.iter(f"{SVG}rect")
    assert clip.get("width") == root.get("width")
    assert right.get("x") == left.get("width")
    assert int(left.get("width") or 0) + int(right.get("width") or 0) == int(root.get("width") or 0)


def test_badge_is_gray_when_it_is_not_live() -> None:
    """What is not known for sure has another colour, and says why."""
    live, stale, unknown = (
        badge(a_presence("7")),
        badge(a_presence("7", "stale")),
        badge(a_presence("unknown", "unknown")),
    )
    assert "#0f766e" in live
    assert "#0f766e" not in stale + unknown
    assert "(stale)" in stale
