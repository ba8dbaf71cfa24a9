"""A room's day, for its operator: distinct visitors, the peak, and the last 24 hours.

*Today* is the epoch, by default the day in UTC. The secret of visitors' keys changes with it, so no visitor
can be recognized across its end, and the figures of today start again. Only the timeline of the last 24 hours
goes on.

Visitors are counted with two sketches (``core/estimate/distinct.py``): one of those with a connection, one of
those who reported without one. A visitor in both is one person in their union. While every visitor without a
connection is asked to report, the union is all visitors. As soon as only a sample is asked, most visitors
without a connection send nothing, so from then on the figure is *at least* so many, until the day ends. It is
not divided by the sample rate: the rate changes over the day, and a visitor who stays long is asked at many
rates.

A visitor who is here when the day begins, leaves and comes back later counts twice: the first time under the
key of the day before.
"""

import base64
import json
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Final

from breathing_room.core.codec import DAMAGE
from breathing_room.core.errors import HostError
from breathing_room.core.estimate.distinct import Sketch
from breathing_room.core.events import Event, Joined, LegacyReported, PanelReported
from breathing_room.core.presence import Presence

SAMPLE_MS: Final = 300_000
SAMPLES_MAX: Final = 288
"""A sample every five minutes, for 24 hours."""

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class DailySample:
    """The count of a room at a time.

    Attributes:
        at_ms: When, milliseconds since 1970-01-01 UTC.
        count: People, or None where it was not known.
        low: The lower end of the 95 % interval.
        high: The upper end, or None.
    """

    at_ms: int
    count: int | None
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class DistinctVisitors:
    """A number of distinct visitors.

    Attributes:
        count: The estimate.
        low: The lower end of its 95 % interval.
        high: The upper end; None where the number of others is not bounded.
    """

    count: int
    low: int
    high: int | None


class DailyStats:
    """The statistics of one room's day.

    Args:
        wall_ms: Milliseconds since 1970-01-01 UTC.
        epoch_ms: The length of a day.

    Attributes:
        peak: The sample with most people today; None before any count was known.
        timeline: The last sample of every five minutes of the last 24 hours.
        rate_min: The lowest sample rate of today.
    """

    def __init__(self, *, wall_ms: int, epoch_ms: int) -> None:
        self._epoch_ms = epoch_ms
        self.timeline: deque[DailySample] = deque(maxlen=SAMPLES_MAX)
        self._begin(wall_ms // epoch_ms)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self.peak: DailySample | None = None
        self.rate_min = 1.0
        self._on_sockets = Sketch()
        self._reporters = Sketch()

    def _turn(self, wall_ms: int) -> None:
        """Reset the statistics when a day is over. A clock that steps back does not bring it back."""
        if wall_ms // self._epoch_ms > self._epoch:
            self._begin(wall_ms // self._epoch_ms)

    @property
    def since_ms(self) -> int:
        """When today began, milliseconds since 1970-01-01 UTC."""
        return self._epoch * self._epoch_ms

    @property
    def ends_ms(self) -> int:
        """When today ends."""
        return self.since_ms + self._epoch_ms

    def add_event(self, event: Event, *, wall_ms: int) -> None:
        """Add the visitor of an event to the sketches."""
        match event:
            case Joined():
                self._turn(wall_ms)
                self._on_sockets.add(event.visitor)
            case PanelReported() | LegacyReported():
                self._turn(wall_ms)
                self._reporters.add(event.visitor)
            case _:
                pass

    def add_presence(self, presence: Presence, *, wall_ms: int) -> None:
        """Add a presence to the timeline."""
        self._turn(wall_ms)
        self.rate_min = min(self.rate_min, presence.sample_rate)
        known = presence.method in {"counted", "sampled"}
        sample = DailySample(wall_ms, presence.count if known else None, presence.low, presence.high)
        if self.timeline and self.timeline[-1].at_ms // SAMPLE_MS == wall_ms // SAMPLE_MS:
            self.timeline.pop()
        self.timeline.append(sample)
        if sample.count is not None and (self.peak is None or sample.count > (self.peak.count or 0)):
            self.peak = sample

    def visitors(self, *, wall_ms: int) -> DistinctVisitors:
        """Return the number of distinct visitors of today."""
        self._turn(wall_ms)
        together = Sketch(self._on_sockets.encode())
        together.merge(self._reporters)
        return _rounded(together, whole=self.rate_min == 1.0)

    def connected_visitors(self, *, wall_ms: int) -> DistinctVisitors:
        """Return the number of distinct visitors of today who had a connection; it is always bounded."""
        self._turn(wall_ms)
        return _rounded(self._on_sockets, whole=True)

    # --- Store ---------------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Encode today as one value for a store; the timeline is not kept."""
        body = {
            "version": VERSION,
            "epoch": self._epoch,
            "epoch_ms": self._epoch_ms,
            "rate_min": self.rate_min,
            "peak": self.peak and asdict(self.peak),
            "on_sockets": base64.b64encode(self._on_sockets.encode()).decode(),
            "reporters": base64.b64encode(self._reporters.encode()).decode(),
        }
        return json.dumps(body, separators=(",", ":")).encode()

    def merge(self, value: bytes) -> None:
        """Merge a stored value of the same day, written by this server before a restart or by another; any
        other day is ignored.

        Raises:
            HostError: It is damaged, or of another version. Nothing was merged.
        """
        try:
            body = json.loads(value)
            if body["version"] != VERSION:
                raise HostError("a day of another version")
            on_sockets, reporters = (
                Sketch(base64.b64decode(body[name], validate=True)) for name in ("on_sockets", "reporters")
            )
            peak = None if body["peak"] is None else _peak(**body["peak"])
            rate_min = float(body["rate_min"])
            is_today = (body["epoch"], body["epoch_ms"]) == (self._epoch, self._epoch_ms)
        except DAMAGE as error:
            raise HostError("a damaged day") from error
        if not is_today:
            return
        self._on_sockets.merge(on_sockets)
        self._reporters.merge(reporters)
        self.rate_min = min(self.rate_min, rate_min)
        if peak is not None and (self.peak is None or (peak.count or 0) > (self.peak.count or 0)):
            self.peak = peak

    # --- Operator's page -----------------------------------------------------------------------------------

    def body(self, *, wall_ms: int) -> dict[str, Any]:
        """Return the figures of today: when it began, the peak, and the distinct visitors."""
        people = self.visitors(wall_ms=wall_ms)
        return {
            "since_ms": self.since_ms,
            "peak": self.peak and asdict(self.peak),
            "people": asdict(people),
            "people_on_sockets": asdict(self.connected_visitors(wall_ms=wall_ms)),
            "rate_min": self.rate_min,
        }

    def timeline_body(self, *, wall_ms: int) -> list[dict[str, Any]]:
        """Return the samples of the last 24 hours."""
        return [
            asdict(sample) for sample in self.timeline if sample.at_ms > wall_ms - SAMPLES_MAX * SAMPLE_MS
        ]


def _rounded(sketch: Sketch, *, whole: bool) -> DistinctVisitors:
    estimate = sketch.estimate()
    return DistinctVisitors(
        round(estimate.count), int(estimate.low), -int(-estimate.high // 1) if whole else None
    )


def _peak(*, at_ms: int, count: int, low: int, high: int) -> DailySample:
    """Validate a stored peak: its count is always known."""
    if (
        not all(isinstance(number, int) for number in (at_ms, count, low, high))
        or not 0 <= low <= count <= high
    ):
        raise ValueError
    return DailySample(at_ms, count, low, high)
