"""What everybody is told: how many are here, how they feel, and how we know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Method: TypeAlias = Literal["counted", "sampled", "stale", "estimated", "unknown"]

Facts: TypeAlias = tuple[int | None, int, int | None, Method, tuple[int, ...], float]
"""What a presence says: count, low, high, method, people by mood with the unspoken last, and the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """How many people are in a room, and in which mood.

    Attributes:
        room: The room's name.
        count: People here, or None when it is not known.
        low: The lower end of a 95 % interval for the number of people.
        high: Its upper end, or None when it is not known.
        method: How the count was obtained.
        rate: The share of visitors who are asked to report, above 0 and up to 1.
        epoch: The number of the day (or whatever the server's epoch is) under which new visitors draw their tickets.
        moods: People by mood, every declared mood in the declared order.
        unspoken: People who named no mood. With the moods it sums to the count, or while that is None to
            the people known of.
        label: The count rounded to its own precision, for people to read.
        as_of_ms: When this was true, milliseconds since 1970-01-01 UTC.
        valid_ms: How long it may be shown as live by whoever has no live connection.
        next_ms: When a polling client should ask again.
    """

    room: str
    count: int | None
    low: int
    high: int | None
    method: Method
    rate: float
    epoch: int = 0
    moods: Mapping[str, int]
    unspoken: int
    label: str
    as_of_ms: int
    valid_ms: int
    next_ms: int


def precision(low: int, high: int) -> int:
    """Find the step that a count with this interval is rounded to.

    Returns:
        The largest of 1, 2, 5, 10, 20, 50, … that is at most half the interval's width; at least 1. The
        count is thus never shown finer than it is known, and rounding moves it by at most a quarter of the width.
    """
    half_width = (high - low) // 2
    step = 1
    while True:
        for factor in (2, 5, 10):
            if step * factor > half_width:
                return step * {2: 1, 5: 2, 10: 5}[factor]
        step *= 10


def read_label(count: int | None, low: int, high: int | None, *, shown: int | None) -> tuple[str, int | None]:
    """Say a count as people read it: rounded to its own precision, and not jittering.

    A count that wanders about the border of two steps would flip the label with every person. So the shown figure
    stays until the count is three quarters of a step away from it; half a step would be plain rounding.

    Args:
        count: People, or None.
        low: The lower end of its interval, at most ``count``.
        high: The upper end, at least ``count``, or None.
        shown: The figure that is shown now, or None.

    Returns:
        ``12``, ``about 10,000`` or ``unknown``; and the figure to show from now on. It lies in the interval.
    """
    if count is None or high is None:
        return "unknown", None
    step = precision(low, high)
    if shown and shown % step == 0 and 4 * abs(count - shown) < 3 * step and low <= shown <= high:
        figure = shown
    else:
        figure = (count + step // 2) // step * step
    if figure == 0:
        figure = count  # Whoever reads it is here: a crowd is never rounded away.
    # Rounding may leave an interval that begins or ends near the count; it holds two steps, so one back is inside.
    if figure > high:
        figure -= step
    elif figure < low:
        figure += step
    return (f"{figure:,}" if step == 1 else f"about {figure:,}"), figure
