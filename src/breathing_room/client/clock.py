"""What time it is at the server.

A beat carries our time and comes back with the server's. If both ways took equally long, the server's clock is
ahead of ours by ``now - (sent + received) / 2``; however unequal they were, that is wrong by half of the round
trip at most. So every beat gives an interval that holds the truth, and the shortest trip gives the best one.
"""

from collections import deque
from dataclasses import dataclass

SAMPLES = 8
"""At 20 s a beat the estimate is under three minutes old; a quartz clock drifts some 10 ms in that time at worst."""


@dataclass(frozen=True, slots=True)
class _Sample:
    offset_ms: float
    error_ms: float


class ServerClock:
    """The server's wall clock, estimated from beats; our own until the first one."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES)

    @property
    def offset_ms(self) -> float:
        """How far the server's clock is ahead of ours, in milliseconds."""
        return min(self._samples, key=lambda sample: sample.error_ms).offset_ms if self._samples else 0.0

    @property
    def error_ms(self) -> float | None:
        """How wrong `offset_ms` can be, in milliseconds; None before the first beat."""
        return min((sample.error_ms for sample in self._samples), default=None)

    def learn(self, *, sent_ms: float, now_ms: float, received_ms: float) -> None:
        """Take in an answered beat: our clock when it left and when it came back, the server's in between."""
        if received_ms < sent_ms:
            return  # Our clock was set back meanwhile.
        sample = _Sample(now_ms - (sent_ms + received_ms) / 2, (received_ms - sent_ms) / 2)
        # Intervals that do not meet cannot both hold the truth: one of the clocks was set, and the old ones are void.
        # The server tells whole milliseconds, which blurs each sample by one.
        if any(
            abs(old.offset_ms - sample.offset_ms) > old.error_ms + sample.error_ms + 2
            for old in self._samples
        ):
            self._samples.clear()
        self._samples.append(sample)
