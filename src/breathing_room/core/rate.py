"""The sampling rate: the share of visitors without a connection who report.

Intuition: the error of an estimate depends on the number of reports, not on their share. So as many visitors
are sampled as make about ``panel_size`` seats, and all of them while the crowd is smaller than that.

Rules. The rate falls at once, since a surge must be stopped. It rises only when the last change has settled,
and no further than the upper end of what the seats allow: few of them may stand for many people by chance,
none at all for up to four over the rate. So after a crowd has left, the rate recovers in two or three steps,
and no surge follows. In between the rate stays, since a published rate is cached: it is moved only when the
number of seats is further from ``panel_size`` than chance explains (four standard deviations).

While only a sample reports, the seats are checked regularly, and not only on a report: without any visitor
left to report, nothing else would ever raise the rate again.

A rise costs a little bias. It comes when few report; those then weigh less beside the newly sampled, so an
estimate that was too low by chance is corrected, and one that was too high is not. That adds about ``1 /
panel_size`` of the crowd, and fades as visits end.

Clients go on acting on a published rate for a while: caches serve it, tabs are suspended. ``theta`` is the
lowest rate that a client may still act on, so every visitor whose ticket lies below it has been asked,
whichever rate it knows.
"""

from collections import deque
from math import floor, log10, sqrt
from typing import Final

from breathing_room.core.estimate.panel import panel_estimate

RATE_MIN: Final = 1e-6


def rounded(rate: float) -> float:
    """Round a rate down to three digits, so that it is short on the wire; at most 1, at least RATE_MIN."""
    if rate >= 1.0:
        return 1.0
    rate = max(rate, RATE_MIN)
    scale = 10.0 ** (2 - floor(log10(rate)))
    return floor(rate * scale) / scale


class Rate:
    """The rate in force, and earlier ones that clients may still act on.

    Args:
        panel_size: Seats to aim at.
        rate_propagation_ms: How long after a change a client may still act on the rate before: the lifetime
            in caches, stale-while-revalidate included, and the longest poll.
        now_ms: Since when it holds.
        is_shared: Whether it is set from outside, by ``resume``, and never adjusts itself.
    """

    def __init__(
        self, panel_size: int, rate_propagation_ms: int, *, now_ms: int, is_shared: bool = False
    ) -> None:
        self.is_shared = is_shared
        self.panel_size = panel_size
        self.rate_propagation_ms = rate_propagation_ms
        self.current = 1.0
        self.changed_at_ms = now_ms
        self._checked_at_ms = now_ms
        # Rates that were replaced, each with the time until which a client may still act on it.
        self._before: deque[tuple[int, float]] = deque()

    @property
    def seats_max(self) -> float:
        """The largest number of seats that chance explains."""
        return self.panel_size + 4 * sqrt(self.panel_size)

    @property
    def seats_min(self) -> float:
        """The smallest number of seats that chance explains; of a small panel, for which that would be none,
        a quarter.
        """
        return max(self.panel_size - 4 * sqrt(self.panel_size), self.panel_size / 4)

    def theta(self, now_ms: int) -> float:
        """Return the lowest rate that a client may still act on."""
        while self._before and self._before[0][0] <= now_ms:
            self._before.popleft()
        return min(self.current, *(rate for _, rate in self._before)) if self._before else self.current

    @property
    def next_at_ms(self) -> int | None:
        """When theta may rise by itself or the seats should be checked, None for never."""
        times = [self._before[0][0]] if self._before else []
        if self.current < 1.0 and not self.is_shared:
            checks = max(2, (self._checked_at_ms - self.changed_at_ms) // self.rate_propagation_ms + 1)
            times.append(self.changed_at_ms + checks * self.rate_propagation_ms)
        return min(times, default=None)

    @property
    def rates(self) -> tuple[tuple[int, float], ...]:
        """The rate in force, and those that a client may still act on, each with the time until then."""
        return ((0, self.current), *self._before)

    def resume(self, rates: tuple[tuple[int, float], ...], changed_at_ms: int, now_ms: int) -> None:
        """Resume with the rates of a snapshot or of another replica."""
        (_, self.current), *before = rates
        self._before = deque(before)
        self.changed_at_ms = changed_at_ms
        self._checked_at_ms = now_ms

    def adjust(self, seats: int, reports_share: float, now_ms: int) -> bool:
        """Adjust the rate to the panel.

        Args:
            seats: Live leases with a ticket below the current rate.
            reports_share: Reports that arrive, as a share of those that the budget allows.
            now_ms: The room's time.

        Returns:
            Whether the rate changed.
        """
        if self.is_shared:
            return False
        self._checked_at_ms = now_ms
        load = max(seats / self.panel_size, reports_share)
        # What reports cost is known only some time after a change; how many seats there are, at once.
        settled = now_ms >= self.changed_at_ms + 2 * self.rate_propagation_ms
        if seats > self.seats_max or (reports_share > 1.0 and settled):
            self._set(rounded(self.current / load), now_ms)
            return True
        if self.current < 1.0 and settled and seats < self.seats_min and load < 1 / 1.25:
            most = panel_estimate(seats, 0, self.current, ghost_ms=0, window_ms=1).high
            self._set(rounded(min(self.current / load if load else 1.0, self.seats_max / most)), now_ms)
            return True
        return False

    def _set(self, rate: float, now_ms: int) -> None:
        if rate == self.current:
            return
        self._before.append((now_ms + self.rate_propagation_ms, self.current))
        self.current = rate
        self.changed_at_ms = now_ms
