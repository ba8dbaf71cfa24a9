"""The two times of a host.

``now_ms`` drives leases: milliseconds since 1970 by a clock that does not jump. It is anchored to the wall
clock once and then follows the monotonic one, so that a corrected wall clock cannot end a thousand leases at
once. ``wall_ms`` is shared with clients: it drives the breath and the hour of the week.
"""

import time

from breathing_room.ports import wall_ms


class Clock:
    """Reads both times, in whole milliseconds."""

    def __init__(self) -> None:
        self._anchor_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Return the milliseconds since 1970-01-01 UTC by the monotonic clock."""
        return (self._anchor_ns + time.monotonic_ns()) // 1_000_000

    def wall_ms(self) -> int:
        """Return the milliseconds since 1970-01-01 UTC by the wall clock."""
        return wall_ms()


class WallClock(Clock):
    """Reads the wall clock for both times.

    A hibernating object has no other clock. A room clamps one that steps back.
    """

    def __init__(self) -> None:
        pass

    def now_ms(self) -> int:
        """Return the milliseconds since 1970-01-01 UTC; on Cloudflare it stands still between two I/Os."""
        return wall_ms()
