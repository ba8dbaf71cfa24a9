"""The panel: estimate a crowd from the visitors in a sample, who report.

Intuition: sample one in ``1 / θ`` of the visitors; each of them stands for ``1 / θ``. A ticket that each
visitor holds for the whole visit decides whether it is asked, so the same visitors go on reporting, and the
sample is one of visitors, not of heartbeats.

Model: tickets are independent and uniform, so of N visitors ``Binomial(N, θ)`` hold one below θ. Some of
those who reported have left without a leave and are counted until their lease ends: *ghosts*. A ghost cannot
be observed, but its lease expires, and leases expire at an observed rate r. A lease that ends ``τ`` after the
last heartbeat belongs to a visitor who left, on average, half a heartbeat interval b after it. So at any time
there are about ``g = r (τ - b / 2)`` ghosts (Little's law: a rate times a mean time).

Error: with ``x = s - g`` and ``q = 1 - θ`` the variance of x is ``V = x q + g (1 + D / W)``: binomial
thinning of the present visitors, and the ghosts, which are Poisson once for being there and once more for
being inferred from a window W of expiries, where ``D = τ - b / 2``. The interval is Wilson's score interval
with that V, which stays right where few reported.

Source: Wilson, JASA 22 (1927) 209; Little, Operations Research 9 (1961) 383. Compared with simulation in
``docs/topics/estimation.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Self

from breathing_room.core.estimate import Estimate, Z


def expected_ghosts(expiries: float, *, ghost_ms: float, window_ms: float) -> float:
    """Return the expected number of leases of visitors who have left.

    Args:
        expiries: Leases that expired within the window.
        ghost_ms: The mean time for which a ghost is counted.
        window_ms: The window.
    """
    return expiries / window_ms * ghost_ms


def panel_variance(living: float, ghosts: float, theta: float, *, ghost_ms: float, window_ms: float) -> float:
    """Return the variance of ``seats - ghosts`` around theta times the crowd.

    Args:
        living: Seats of visitors who are here.
        ghosts: Expected seats of visitors who have left.
        theta: As for ``panel_estimate``.
        ghost_ms: Likewise.
        window_ms: Likewise.

    Returns:
        The variance, in seats squared.
    """
    return living * (1.0 - theta) + ghosts * (1.0 + ghost_ms / window_ms)


def panel_estimate(
    seats: float, ghosts: float, theta: float, *, ghost_ms: float, window_ms: float
) -> Estimate:
    """Estimate a crowd from its panel.

    Args:
        seats: Live leases with a ticket below ``theta``.
        ghosts: How many of them are expected to be ghosts, at most ``seats``.
        theta: The lowest rate that a client may still act on, above 0 and up to 1.
        ghost_ms: The mean time for which a ghost is counted.
        window_ms: The window in which expiries were counted.

    Returns:
        People, with a 95 % interval.
    """
    if theta == 1.0 and not ghosts:
        return Estimate(seats, seats, seats)  # Every visitor was asked, and no lease expired.
    living = max(seats - ghosts, 0.0)
    q = 1.0 - theta
    variance = panel_variance(living, ghosts, theta, ghost_ms=ghost_ms, window_ms=window_ms)
    middle = living + Z * Z * q / 2
    half_width = Z * sqrt(variance + Z * Z * q * q / 4)
    count = living / theta
    low = (middle - half_width) / theta
    high = (middle + half_width) / theta
    return Estimate(count, min(max(low, 0.0), count), max(high, count))


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSums:
    """The sums from which a panel is estimated; those of several panels add up.

    Attributes:
        tally: Counted seats by mood: those below theta that are not over quota.
        restored_tally: Those of them that are left from before a restart, by mood.
        seats: Leases that are counted, or will be when theta has risen.
        restored: Those of them that are left from before a restart.
        fresh: Whether a report was received within the last heartbeat interval.
        expired: Leases below theta that expired within the window.
        window_ms: That window; infinite where nothing was observed.
        theta: The lowest rate that a client may still act on.
        rate: The rate in force.
        arrivals_per_ms: Reports that arrive.
    """

    tally: tuple[int, ...]
    restored_tally: tuple[int, ...]
    seats: int = 0
    restored: int = 0
    fresh: bool = False
    expired: float = 0
    window_ms: float = inf
    theta: float = 1.0
    rate: float = 1.0
    arrivals_per_ms: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether there is no seat while every visitor is sampled: then the estimate is exactly 0."""
        return not self.seats and self.theta == 1.0

    def plus(self, other: Self) -> Self:
        """Add the seats of another replica under the same theta.

        Windows differ for a while after a start. The expiries of the longer one are scaled to the shorter
        one, so the expected number of ghosts is right, and its error is that of the shorter one.
        """
        window_ms = min(self.window_ms, other.window_ms)
        expired = sum(
            part.expired if part.window_ms == window_ms else part.expired * window_ms / part.window_ms
            for part in (self, other)
        )
        return replace(
            self,
            tally=tuple(map(sum, zip(self.tally, other.tally, strict=True))),
            restored_tally=tuple(map(sum, zip(self.restored_tally, other.restored_tally, strict=True))),
            seats=self.seats + other.seats,
            restored=self.restored + other.restored,
            fresh=self.fresh or other.fresh,
            expired=expired,
            window_ms=window_ms,
            arrivals_per_ms=self.arrivals_per_ms + other.arrivals_per_ms,
        )


def crowd_estimate(panel: PanelSums, *, ghost_ms: float) -> tuple[Estimate, list[Estimate]]:
    """Estimate the crowd behind a panel.

    Args:
        panel: Its sums.
        ghost_ms: The mean time for which a ghost is counted.

    Returns:
        People, and people of each mood, all with 95 % intervals. That of a mood comes from its own seats: a
        share of the whole would claim too much. While some seats are left from before a restart, an interval
        begins where it would without them.
    """
    counted = sum(panel.tally)
    ghosts = expected_ghosts(panel.expired, ghost_ms=ghost_ms, window_ms=panel.window_ms)

    def estimate(seats: int, restored: int) -> Estimate:
        # Ghosts are spread evenly over seats; without a seat there is no ghost.
        among = min(ghosts * seats / counted if counted else ghosts, seats)
        found = panel_estimate(seats, among, panel.theta, ghost_ms=ghost_ms, window_ms=panel.window_ms)
        return replace(found, low=min(found.low, estimate(seats - restored, 0).low)) if restored else found

    crowd = estimate(counted, sum(panel.restored_tally))
    if crowd.count < 1.0 and panel.fresh:
        # A report within the last heartbeat interval: at least one visitor is here, however many ghosts are
        # expected.
        crowd = replace(crowd, count=1.0, high=max(crowd.high, 1.0))
    return crowd, [
        estimate(seats, restored) for seats, restored in zip(panel.tally, panel.restored_tally, strict=True)
    ]


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Split a whole number into whole parts.

    Args:
        total: The number, at least 0.
        weights: Not negative. If all are 0, everything goes to the last.

    Returns:
        Whole parts in the order of the weights, each within 1 of its exact share (largest remainders;
        Hamilton's method).
    """
    whole = sum(weights)
    if whole <= 0:
        return [0] * (len(weights) - 1) + [total]
    exact = [total * weight / whole for weight in weights]
    parts = [int(share) for share in exact]
    remainders = sorted(range(len(weights)), key=lambda index: parts[index] - exact[index])
    for index in remainders[: total - sum(parts)]:
        parts[index] += 1
    return parts
