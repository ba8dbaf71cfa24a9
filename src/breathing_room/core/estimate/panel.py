"""The panel: count a crowd from the few who are asked.

Intuition: ask one in ``1 / θ`` of the people; each who answers stands for ``1 / θ``. Who is asked is decided by a ticket
that everybody holds for the whole stay, so the same few go on answering, and the sample is one of people, not of beats.

Model: tickets are independent and uniform, so of N people ``Binomial(N, θ)`` hold one below θ. Some of those who answered
have gone without a word and are counted until their lease ends: *ghosts*. They are not seen, but their leases are seen to
end in silence, at a rate r; and a lease that ends ``τ`` after a last beat belongs to somebody who left, on average, half a beat
after it. So at any time there are about ``g = r (τ - b / 2)`` of them (Little's law: a rate times a mean time).

Error: with ``x = s - g`` and ``q = 1 - θ`` the variance of x is ``V = x q + g (1 + D / W)``: binomial thinning of the living, and the
ghosts, which are Poisson once for being there and once more for being inferred from a window W of expiries, where
``D = τ - b / 2``. The interval is Wilson's score interval with that V, which stays right where few answered.

Source: Wilson, JASA 22 (1927) 209; Little, Operations Research 9 (1961) 383. Compared with simulation in
``docs/topics/estimation.md``.
"""

from collections.abc import Sequence
from math import sqrt

from breathing_room.core.estimate import Estimate, Z


def expected_ghosts(expiries: float, *, ghost_ms: float, window_ms: float) -> float:
    """Infer how many leases belong to people who have gone.

    Args:
        expiries: Leases that ended in silence within the window.
        ghost_ms: The mean time for which somebody who left in silence is still counted.
        window_ms: The window.
    """
    return expiries / window_ms * ghost_ms


def panel_variance(living: float, ghosts: float, theta: float, *, ghost_ms: float, window_ms: float) -> float:
    """Say how far ``seats - ghosts`` is scattered around theta times the crowd.

    Args:
        living: Seats of people who are there.
        ghosts: Expected seats of people who are not.
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
        theta: The lowest rate that anybody may still be acting on, above 0 and up to 1.
        ghost_ms: The mean time for which somebody who left in silence is still counted.
        window_ms: The window in which silent expiries were counted.

    Returns:
        People, with a 95 % interval.
    """
    if theta == 1.0 and not ghosts:
        return Estimate(seats, seats, seats)  # Everybody was asked, and nobody went without a word.
    living = max(seats - ghosts, 0.0)
    q = 1.0 - theta
    variance = panel_variance(living, ghosts, theta, ghost_ms=ghost_ms, window_ms=window_ms)
    middle = living + Z * Z * q / 2
    half_width = Z * sqrt(variance + Z * Z * q * q / 4)
    count = living / theta
    low = (middle - half_width) / theta
    high = (middle + half_width) / theta
    return Estimate(count, min(max(low, 0.0), count), max(high, count))


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Share a whole number out so that the parts sum to it.

    Args:
        total: What is shared out, at least 0.
        weights: Not negative. If all are 0, everything goes to the last.

    Returns:
        Whole parts in the order of the weights, each within 1 of its exact share (largest remainders; Hamilton's
        method).
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
