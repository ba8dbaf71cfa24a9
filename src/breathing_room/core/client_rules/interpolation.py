"""What to show between two polls: a count that walks from one presence to the next.

Rules. What is shown always lies in the interval of the latest presence: a walk that would begin outside begins at its
nearest end. A walk goes one way, from what is shown now to the count, and takes until the next poll. What was not known is not
walked from: the first count after an unknown one is shown at once, and nobody sees a room fill up from 0.
"""

from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, slots=True)
class Interpolator:
    """A count on its way.

    Attributes:
        start: What was shown when it began; None: nothing.
        end: Where it goes; None: nothing is to be shown.
        began_at_ms: When it began.
        length_ms: How long it takes.
    """

    start: int | None = None
    end: int | None = None
    began_at_ms: int = 0
    length_ms: int = 0

    def at(self, now_ms: int) -> int | None:
        """Say what to show at an instant."""
        if self.end is None or self.start is None or now_ms >= self.began_at_ms + self.length_ms:
            return self.end
        gone = max(0, now_ms - self.began_at_ms) / self.length_ms
        # Halves go up, as `Math.round` has them, so that the browser shows the same; `round` would take the even number.
        return self.start + floor((self.end - self.start) * gone + 0.5)

    def retarget(
        self, count: int | None, low: int, high: int | None, *, now_ms: int, length_ms: int
    ) -> "Interpolator":
        """Turn to a new presence.

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
