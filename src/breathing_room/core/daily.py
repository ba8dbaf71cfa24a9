"""A room's day, for its operator: how many different people came, when most were here, and how the last 24 hours went.

*Today* is the epoch, by default the day in UTC: the secret of visitors' keys changes with it, so nobody can be recognised across
its end, and everything that is said of today begins anew. Only the trail of the last 24 hours goes on.

Who came is kept as two sketches (``core/estimate/distinct.py``), of those on sockets and of those who reported without one. Whoever
does both is one person in the two together. While everybody without a socket is asked to report, the two together are
everybody. As soon as only a sample is asked, most of those without a socket are never heard of; how many came of whom
nothing was heard cannot be said, so from then on the figure is *at least* so many, until the day ends. A share for the
sample is not put in: the rate changes over the day, and who stayed long was asked at many rates.

Somebody who is here when the day begins and goes and comes back later counts twice: once under the key of the day before.
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
"""A look every five minutes, for 24 hours."""

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class DailySample:
    """What was known at a time.

    Attributes:
        at_ms: When, milliseconds since 1970-01-01 UTC.
        count: People, or None where nobody knew.
        low: The lower end of the 95 % interval.
        high: The upper end, or None.
    """

    at_ms: int
    count: int | None
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class People:
    """A number of different people.

    Attributes:
        count: The estimate.
        low: The lower end of its 95 % interval.
        high: The upper end; None where there may have been any number of others.
    """

    count: int
    low: int
    high: int | None


class DailyStats:
    """What is kept of one room's day.

    Args:
        wall_ms: Milliseconds since 1970-01-01 UTC.
        epoch_ms: How long a day is.

    Attributes:
        peak: The look with most people today; None before anything was known.
        trail: The last look of every five minutes of the last 24 hours.
        rate_min: The lowest share of those without a socket who were asked to report today.
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
        """Forget the day that is over. A clock that steps back does not bring it back."""
        if wall_ms // self._epoch_ms > self._epoch:
            self._begin(wall_ms // self._epoch_ms)

    @property
    def since_ms(self) -> int:
        """When today began, milliseconds since 1970-01-01 UTC."""
        return self._epoch * self._epoch_ms

    @property
    def ends_ms(self) -> int:
        """When it ends."""
        return self.since_ms + self._epoch_ms

    def add_event(self, event: Event, *, wall_ms: int) -> None:
        """Take note of whoever an event is of."""
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
        """Take note of what is said of the room."""
        self._turn(wall_ms)
        self.rate_min = min(self.rate_min, presence.sample_rate)
        known = presence.method in {"counted", "sampled"}
        sample = DailySample(wall_ms, presence.count if known else None, presence.low, presence.high)
        if self.timeline and self.timeline[-1].at_ms // SAMPLE_MS == wall_ms // SAMPLE_MS:
            self.timeline.pop()
        self.timeline.append(sample)
        if sample.count is not None and (self.peak is None or sample.count > (self.peak.count or 0)):
            self.peak = sample

    def people(self, *, wall_ms: int) -> People:
        """Say how many different people came today."""
        self._turn(wall_ms)
        together = Sketch(self._on_sockets.encode())
        together.merge(self._reporters)
        return _rounded(together, whole=self.rate_min == 1.0)

    def people_on_sockets(self, *, wall_ms: int) -> People:
        """Say how many of them came over a socket: that is always all of those."""
        self._turn(wall_ms)
        return _rounded(self._on_sockets, whole=True)

    # --- Store ------------------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Write today as one value for a store; the trail is not kept."""
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
        """Take in what was written of the same day, by this server before a restart or by another; a day that is over says nothing.

        Raises:
            HostError: It is damaged, or of another version. Nothing was taken in.
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

    # --- What the page shows ----------------------------------------------------------------------------------

    def body(self, *, wall_ms: int) -> dict[str, Any]:
        """Say of today what fits a row: when it began, the peak, and who came."""
        people = self.people(wall_ms=wall_ms)
        return {
            "since_ms": self.since_ms,
            "peak": self.peak and asdict(self.peak),
            "people": asdict(people),
            "people_on_sockets": asdict(self.people_on_sockets(wall_ms=wall_ms)),
            "rate_min": self.rate_min,
        }

    def timeline_body(self, *, wall_ms: int) -> list[dict[str, Any]]:
        """List the looks of the last 24 hours."""
        return [
            asdict(sample) for sample in self.timeline if sample.at_ms > wall_ms - SAMPLES_MAX * SAMPLE_MS
        ]


def _rounded(sketch: Sketch, *, whole: bool) -> People:
    estimate = sketch.estimate()
    return People(round(estimate.count), int(estimate.low), -int(-estimate.high // 1) if whole else None)


def _peak(*, at_ms: int, count: int, low: int, high: int) -> DailySample:
    """Take a look that was written: a peak is always known."""
    if (
        not all(isinstance(number, int) for number in (at_ms, count, low, high))
        or not 0 <= low <= count <= high
    ):
        raise ValueError
    return DailySample(at_ms, count, low, high)
