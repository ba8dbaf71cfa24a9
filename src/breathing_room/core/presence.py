"""The presence: what is published of a room.

How many people are here, how they feel, and how that is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from breathing_room.core.config import MERGED, UNSPOKEN, RoomConfig

Method: TypeAlias = Literal["counted", "sampled", "stale", "estimated", "unknown"]

Interval: TypeAlias = tuple[int, int, int]
"""The people of one mood: how many, and the ends of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of a presence.

    Attributes:
        count: How many, or None.
        low: The lower end of the interval.
        high: The upper end, or None.
        method: How the count was obtained.
        cells: By mood, the unspoken last; None for moods that are merged because they are too small.
        sample_rate: The share of visitors without a connection who are asked to report, above 0 and up to 1.
    """

    count: int | None
    low: int
    high: int | None
    method: Method
    cells: tuple[Interval | None, ...]
    sample_rate: float


def merge_cells(cells: Sequence[Interval], min_cell_size: int) -> tuple[Interval | None, ...]:
    """Suppress the moods of so few people that these might be recognized.

    A reader who knows the count can subtract what is published from it. So at least two moods are suppressed,
    and with them as many of the next larger ones as it takes until they are ``min_cell_size`` people
    together; and if there are not that many people at all, every mood is.

    Args:
        cells: By mood.
        min_cell_size: The fewest people that a published mood may have; 0 suppresses nothing.

    Returns:
        The cells, None in place of those that are merged.

    Source: the threshold rule with secondary suppression; Hundepool et al., Statistical Disclosure Control
        (2012), ch. 4.
    """
    if not min_cell_size:
        return tuple(cells)
    order = sorted(range(len(cells)), key=lambda index: cells[index][0])
    merged: list[int] = []
    people = 0
    for index in order:
        if cells[index][0] >= min_cell_size and (not merged or (len(merged) > 1 and people >= min_cell_size)):
            break
        merged.append(index)
        people += cells[index][0]
    return tuple(None if index in merged else cell for index, cell in enumerate(cells))


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """How many people are in a room, and in which mood.

    Attributes:
        room: The room's name.
        count: People here, or None when it is not known.
        low: The lower end of a 95 % interval for the number of people.
        high: Its upper end, or None when it is not known.
        method: How the count was obtained.
        sample_rate: The share of visitors who are asked to report, above 0 and up to 1.
        epoch: The number of the epoch, by default the day, under which new visitors draw their tickets.
        moods: People by mood, every declared mood in the declared order. None for a mood with fewer people
            than ``min_cell_size``, and for those that it is merged with.
        unspoken: People who named no mood, or None likewise. With the moods it sums to the count, or while
            that is None to the people known of; the merged ones are the rest.
        mood_intervals: For every mood and ``unspoken``, the ends of its 95 % interval, the upper one None
            where it is not known; None where the mood is merged.
        label: The count rounded to its own precision, for people to read.
        as_of_ms: When this was true, milliseconds since 1970-01-01 UTC.
        stale_after_ms: How long a client without a live connection may show it as live.
        poll_ms: The time between two polls of a client.
    """

    room: str
    count: int | None
    low: int
    high: int | None
    method: Method
    sample_rate: float
    epoch: int = 0
    moods: Mapping[str, int | None]
    unspoken: int | None
    mood_intervals: Mapping[str, tuple[int, int | None] | None]
    label: str
    as_of_ms: int
    stale_after_ms: int
    poll_ms: int

    @property
    def people(self) -> dict[str, int]:
        """People by mood, ``unspoken`` and, where moods are merged and the count is known, ``merged``
        included.
        """
        cells = {**self.moods, UNSPOKEN: self.unspoken}
        people = {mood: cell for mood, cell in cells.items() if cell is not None}
        if self.count is not None and len(people) < len(cells):
            people[MERGED] = self.count - sum(people.values())
        return people


def precision(low: int, high: int) -> int:
    """Return the step that a count with this interval is rounded to.

    Returns:
        The largest of 1, 2, 5, 10, 20, 50, … that is at most half the interval's width; at least 1. The count
        is thus never shown finer than it is known, and rounding moves it by at most a quarter of the width.
    """
    half_width = (high - low) // 2
    step = 1
    while True:
        for factor in (2, 5, 10):
            if step * factor > half_width:
                return step * {2: 1, 5: 2, 10: 5}[factor]
        step *= 10


def read_label(count: int | None, low: int, high: int | None, *, shown: int | None) -> tuple[str, int | None]:
    """Return the label of a count: rounded to its own precision, with hysteresis.

    A count near the border of two steps would flip the label with every visitor. So the shown figure
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
        figure = count  # A crowd is never rounded to 0: its reader is in it.
    # Rounding may leave an interval that begins or ends near the count; it holds two steps, so one back is
    # inside.
    if figure > high:
        figure -= step
    elif figure < low:
        figure += step
    return (f"{figure:,}" if step == 1 else f"about {figure:,}"), figure


def describe(
    room: str, config: RoomConfig, counts: Counts, *, at_ms: int, label_shown: int | None
) -> Presence:
    """Return the presence of counts.

    Args:
        room: The room's name.
        config: How it works.
        counts: The counts.
        at_ms: Their time.
        label_shown: The figure that the label shows now, or None.
    """
    label, _ = read_label(counts.count, counts.low, counts.high, shown=label_shown)
    *moods, unspoken = (cell and cell[0] for cell in counts.cells)
    intervals = (cell and (cell[1], None if counts.high is None else cell[2]) for cell in counts.cells)
    return Presence(
        room=room,
        count=counts.count,
        low=counts.low,
        high=counts.high,
        method=counts.method,
        sample_rate=counts.sample_rate,
        epoch=at_ms // config.epoch_ms,
        moods=dict(zip(config.moods, moods, strict=True)),
        unspoken=unspoken,
        mood_intervals=dict(zip((*config.moods, UNSPOKEN), intervals, strict=True)),
        label=label,
        as_of_ms=at_ms,
        stale_after_ms=config.stale_after_ms,
        poll_ms=config.poll_ms,
    )
