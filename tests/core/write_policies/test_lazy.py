"""The policy that writes a visitor once in a window."""

from breathing_room.core.write_policies.lazy import LazyPolicy
from breathing_room.core.write_policies.records import Writes
from core.write_policies.reporting import LEASE_MS, PREFIX, START_MS, report, said


def test_lazy_writes_a_visitor_once_in_a_window() -> None:
    """The first report is written at once, a change at the window's end, a repeat not at all."""
    policy = LazyPolicy(PREFIX, lease_ms=LEASE_MS, window_ms=60_000)
    assert said(report(policy, 1_000, "join", "release")) == [[(1_000, "release", True)]]
    assert report(policy, 20_000, "heartbeat") == Writes((), None)
    assert report(policy, 30_000, "mood", "gratitude") == Writes((), START_MS + 60_000)
    assert said(policy.on_timer(now_ms=START_MS + 60_000)) == [[(30_000, "gratitude", True)]]
    assert report(policy, 60_100, "heartbeat") == Writes((), START_MS + 61_000)
    assert said(policy.on_timer(now_ms=START_MS + 61_000)) == [[(60_100, "gratitude", True)]]
