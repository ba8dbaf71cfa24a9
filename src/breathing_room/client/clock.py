"""Estimate the server's wall clock from round trips.

A request carries our time and comes back with the server's. If both ways took equally long, the server's
clock is ahead of ours by ``now - (sent + received) / 2``; however unequal they were, that is wrong by half of
the round trip at most. So every answer gives an interval that contains the true offset, and the shortest trip
gives the best.
"""

from collections import deque
from dataclasses import dataclass

SAMPLES = 8
"""Round trips kept; the best one counts, so that a slow network does not hide an older, faster one."""


@dataclass(frozen=True, slots=True)
class _Sample:
    offset_ms: float
    error_ms: float


class ServerClock:
    """The server's wall clock, estimated from round trips; our own until the first one."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES)

    @property
    def offset_ms(self) -> float:
        """How far the server's clock is ahead of ours, in milliseconds."""
        return min(self._samples, key=lambda sample: sample.error_ms).offset_ms if self._samples else 0.0

    @property
    def error_ms(self) -> float | None:
        """How wrong `offset_ms` can be, in milliseconds; None before the first sample."""
        return min((sample.error_ms for sample in self._samples), default=None)

    def add_sample(self, *, sent_ms: float, now_ms: float, received_ms: float) -> None:
        """Add a round trip: our clock when the request left and the answer came, the server's in between."""
        if received_ms < sent_ms:
            return  # Our clock was set back meanwhile.
        sample = _Sample(now_ms - (sent_ms + received_ms) / 2, (received_ms - sent_ms) / 2)
        # Intervals that do not overlap cannot both contain the true offset: one of the clocks was set, and
        # the old samples are void. The server sends whole milliseconds, which blurs each sample by one.
        if any(
            abs(old.offset_ms - sample.offset_ms) > old.error_ms + sample.error_ms + 2
            for old in self._samples
        ):
            self._samples.clear()
        self._samples.append(sample)
