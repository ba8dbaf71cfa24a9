"""The network between visitors and the server: a cache at the edge, and packets that are late or lost."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from breathing_room.core.presence import Presence
from breathing_room.lab.sim.meter import Meter

LONG_AGO_MS = -(1 << 62)


class Edge:
    """A shared cache at the edge, of one presence and one config.

    A copy answers for ``max_age_ms``; for ``stale_ms`` more it still does while another is fetched; after
    that a request waits for a new one. That is ``Cache-Control: max-age, stale-while-revalidate`` (RFC 5861).

    Args:
        fetch: Fetches from the origin.
        before_change: Called with the new copy while the former is still in place.
        meter: Where reads are counted.
        max_age_ms: How long a presence answers.
        stale_ms: How much longer it does while another is fetched.
        config_max_age_ms: How long a config answers.
    """

    def __init__(
        self,
        fetch: Callable[[int], Presence],
        before_change: Callable[[Presence], None],
        meter: Meter,
        *,
        max_age_ms: int,
        stale_ms: int,
        config_max_age_ms: int,
    ) -> None:
        self._fetch = fetch
        self._before_change = before_change
        self._meter = meter
        self._max_age_ms = max_age_ms
        self._stale_ms = stale_ms
        self._config_max_age_ms = config_max_age_ms
        self._config_fetched_at_ms = LONG_AGO_MS
        self._fetched_at_ms = LONG_AGO_MS
        self.copy: Presence | None = None

    @property
    def due_at_ms(self) -> int:
        """The time from which on the next poll fetches another copy."""
        return self._fetched_at_ms + self._max_age_ms

    def presence(self, now_ms: int) -> Presence:
        """Answer a poll."""
        self._meter.polls += 1
        served, due_at_ms = self.copy, self.due_at_ms
        if served is not None and now_ms < due_at_ms:
            return served
        new = self.refresh(now_ms)
        return served if served is not None and now_ms < due_at_ms + self._stale_ms else new

    def refresh(self, now_ms: int) -> Presence:
        """Fetch a new copy."""
        self._meter.presence_reads += 1
        self._fetched_at_ms = now_ms
        new = self._fetch(now_ms)
        self._before_change(new)
        self.copy = new
        return new

    def configs(self, count: int, asked_at_ms: Sequence[int]) -> None:
        """Answer requests for the config within a stretch of time that is shorter than its lifetime.

        Args:
            count: How many.
            asked_at_ms: When those came who could be the first after its end, in order.
        """
        self._meter.config_fetches += count
        due_at_ms = self._config_fetched_at_ms + self._config_max_age_ms
        first = bisect_left(asked_at_ms, due_at_ms)
        if first < len(asked_at_ms):
            self._config_fetched_at_ms = asked_at_ms[first]
            self._meter.config_reads += 1


@dataclass(frozen=True, slots=True)
class Network:
    """The delay and the loss of packets.

    Attributes:
        loss_share: The share of requests, and of answers, that are lost.
        delay_ms: The mean time of one way, exponential.
        timeout_ms: How long a client waits for an answer.
    """

    loss_share: float = 0.0
    delay_ms: float = 0.0
    timeout_ms: int = 10_000

    @property
    def is_perfect(self) -> bool:
        """Whether everything arrives at once."""
        return not (self.loss_share or self.delay_ms)
