"""What everybody is told of a room of which several machines hold parts."""

from breathing_room.core.cluster import Whole
from core.replication.deltas import CONFIG, a_summary


def test_announcements_are_coalesced() -> None:
    """
    What changed is told once ``push_ms`` have passed, and what did not is not told.
    """
    whole = Whole("lobby", CONFIG, now_ms=0)
    whole.presence(a_summary(1), 0, now_ms=0)
    first = whole.announce(a_summary(1), 0, push_ms=100, now_ms=0)
    assert first is not None
    assert first.label == "1"
    assert whole.announce(a_summary(1), 0, push_ms=100, now_ms=100) is None

    assert whole.announce(a_summary(2), 0, push_ms=200, now_ms=150) is None
    second = whole.announce(a_summary(2), 0, push_ms=200, now_ms=200)
    assert second is not None
    assert (second.count, second.as_of_ms) == (2, 200)
