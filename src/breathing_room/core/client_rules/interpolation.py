"""The displayed count between two polls: it moves from one presence to the next.

Rules. The displayed count always lies in the interval of the latest presence: an interpolation that would
start outside starts at the nearest end. It moves in one direction, from the count displayed now to the new
count, and takes until the next poll. An unknown count is never a start: the first count after it is displayed
at once, and no room appears to fill up from 0.
"""

from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, slots=True)
class Interpolator:
    """A displayed count that moves from one value to another.

    Attributes:
        start: The count displayed at the start; None: none.
        end: The count at the end; None: none is displayed.
        began_at_ms: When the interpolation started.
        length_ms: How long it takes.
    """

    start: int | None = None
    end: int | None = None
    began_at_ms: int = 0
    length_ms: int = 0

    def at(self, now_ms: int) -> int | None:
        """Return the count to display at a time, None for none."""
        if self.end is None or self.start is None or now_ms >= self.began_at_ms + self.length_ms:
            return self.end
        share = max(0, now_ms - self.began_at_ms) / self.length_ms
        # Halves go up, as `Math.round` has them, so that the browser shows the same; `round` would take the
        # even number.
        return self.start + floor((self.end - self.start) * share + 0.5)

    def retarget(
        self, count: int | None, low: int, high: int | None, *, now_ms: int, length_ms: int
    ) -> "Interpolator":
        """Return the interpolation from the count displayed now to that of a new presence.

        Args:
            count: Its count.
            low: The lower end of its interval, at most ``count``.
            high: The upper end, at least ``count``, or None.
            now_ms: The time.
            length_ms: How long until the next presence is expected.
        """
        shown = self.at(now_ms)
        if count is None or shown is None:
            return Interpolator(count, count, now_ms, 0)
        start = max(shown, low) if high is None else min(max(shown, low), high)
        return Interpolator(start, count, now_ms, length_ms)
