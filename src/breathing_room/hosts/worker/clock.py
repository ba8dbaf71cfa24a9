"""The edge's one time: a machine that sleeps and moves has no other clock than the wall's."""

from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.ports import wall_ms


class EdgeClock(Clock):
    """Reads the wall clock for both times. A room clamps one that steps back."""

    def __init__(self) -> None:
        pass

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC. It stands still while a call computes."""
        return wall_ms()
