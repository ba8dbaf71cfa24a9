"""The server's two times."""

import time

import pytest

from breathing_room.hosts.common.rooms.clock import Clock


def test_a_corrected_wall_clock_moves_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine's clock is set forward or back, the time of leases goes on as before, and the shared time follows."""
    wall_ns, passed_ns = 1_767_225_600_000_000_000, 5_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns)
    monkeypatch.setattr(time, "monotonic_ns", lambda: passed_ns)
    clock = Clock()
    assert clock.now_ms() == clock.wall_ms() == 1_767_225_600_000
    wall_ns, passed_ns = wall_ns - 3_600_000_000_000, passed_ns + 1_500_000_000
    assert clock.now_ms() == 1_767_225_601_500
    assert clock.wall_ms() == 1_767_225_600_000 - 3_600_000
