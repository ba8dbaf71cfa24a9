"""The server's two times.

*Now* drives leases: milliseconds since 1970 by a clock that does not jump. It is anchored to the wall clock once and
then follows the monotonic one, so that a corrected wall clock cannot end a thousand leases at once. *Wall* is
shared with clients: it drives the breath and the hour of the week.
"""

import time


class Clock:
    """Reads both times, in whole milliseconds."""

    def __init__(self) -> None:
        self._anchor_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC, never stepping."""
        return (self._anchor_ns + time.monotonic_ns()) // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC, as the machine has it now."""
        return time.time_ns() // 1_000_000
