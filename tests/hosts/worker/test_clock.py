"""The edge's one time."""

import pytest

from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.worker import clock


def test_both_times_are_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that sleeps and moves has no other clock: both times are the wall's, also when it steps back."""
    wall = iter([1_000, 900])
    monkeypatch.setattr(clock, "wall_ms", lambda: next(wall))
    edge = clock.EdgeClock()
    assert [edge.now_ms(), edge.now_ms()] == [1_000, 900]
    assert clock.EdgeClock.wall_ms is Clock.wall_ms
