"""The two times of a host."""

import time

import pytest

from breathing_room.hosts.common.rooms import clock
from breathing_room.hosts.common.rooms.clock import Clock, WallClock


def test_a_corrected_wall_clock_moves_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine's clock is set forward or back, the time of leases goes on as before, and the shared
    time follows.
    """
    wall_ns, passed_ns = 1_767_225_600_000_000_000, 5_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns)
    monkeypatch.setattr(time, "monotonic_ns", lambda: passed_ns)
    both = Clock()
    assert both.now_ms() == both.wall_ms() == 1_767_225_600_000
    wall_ns, passed_ns = wall_ns - 3_600_000_000_000, passed_ns + 1_500_000_000
    assert both.now_ms() == 1_767_225_601_500
    assert both.wall_ms() == 1_767_225_600_000 - 3_600_000


def test_both_times_are_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that sleeps and moves has no other clock: both times are
    the wall's, also when it steps back.
    """
    wall = iter([1_000, 900])
    monkeypatch.setattr(clock, "wall_ms", lambda: next(wall))
    edge = WallClock()
    assert [edge.now_ms(), edge.now_ms()] == [1_000, 900]
    assert WallClock.wall_ms is Clock.wall_ms
