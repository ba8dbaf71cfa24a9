"""Charts of the operator's page as SVG, rendered on the server: no script, and a text alternative for each.

Both are ``WIDTH`` units wide, about a phone's width in pixels, so that their text stays readable there.
Colors and strokes are in ``web/admin/admin.css``. Times are UTC.
"""

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from breathing_room.core.history import HOUR_MS, HOURS, hour_of_week

WIDTH: Final = 360
LEFT, RIGHT, TOP, BOTTOM = 36, 6, 10, 20
DAY_HEIGHT: Final = 180
DAY_MS: Final = 86_400_000
GAP_MS: Final = 660_000
"""Samples are five minutes apart; a missing one breaks the line."""

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CELL: Final = 13.2
SHADES: Final = 6


def clock_time(wall_ms: int) -> str:
    """Format the time of day, UTC."""
    return time.strftime("%H:%M", time.gmtime(wall_ms / 1_000))


def nice_top(highest: float) -> tuple[int, int]:
    """Return a round upper end of an axis, and the step of its marks.

    Returns:
        The end, at least ``highest``, and a step of 1, 2 or 5 times a power of ten that fits into it 3 to 5
        times.
    """
    step = 1
    while True:
        for factor in (1, 2, 5):
            marks = max(3, -int(-highest // (step * factor)))
            if marks <= 5:
                return step * factor * marks, step * factor
        step *= 10


def short(people: int) -> str:
    """Format a mark of an axis: 1,500 is 1.5k."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if people >= size:
            return f"{people / size:g}{unit}"
    return str(people)


def _text(words: str, x: float, y: float, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}" class="chart">'
        f"{''.join(parts)}</svg>"
    )


def day_chart(
    timeline: Sequence[Mapping[str, Any]], usual: Sequence[Mapping[str, Any]], *, now_ms: int
) -> str:
    """Draw the count of the last 24 hours with its interval, and the usual count as a dashed line.

    Args:
        timeline: Samples in order: ``at_ms``, ``count``, ``low``, ``high``; a count of None leaves a gap.
        usual: Averages by hour of the week, from ``History.averages``.
        now_ms: The end of the chart.
    """
    start_ms = now_ms - DAY_MS
    known = [sample for sample in timeline if sample["count"] is not None and sample["at_ms"] >= start_ms]
    means = {hour["hour"]: hour["count"] for hour in usual}
    steps = [
        (begin_ms, means[hour_of_week(begin_ms)])
        for begin_ms in range(start_ms - start_ms % HOUR_MS, now_ms, HOUR_MS)
        if hour_of_week(begin_ms) in means
    ]
    highest = max([*(sample["high"] for sample in known), *(mean for _, mean in steps)], default=0)
    top, step = nice_top(highest)

    def x(at_ms: float) -> float:
        share = min(max((at_ms - start_ms) / DAY_MS, 0.0), 1.0)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(people: float) -> float:
        return round(DAY_HEIGHT - BOTTOM - people / top * (DAY_HEIGHT - TOP - BOTTOM), 1)

    parts: list[str] = []
    for mark in range(0, top + 1, step):
        parts.append(f'<path class="grid" d="M{LEFT} {y(mark)}H{WIDTH - RIGHT}"/>')
        parts.append(_text(short(mark), LEFT - 6, y(mark) + 4, "end"))
    first_mark_ms = -(-start_ms // (4 * HOUR_MS)) * 4 * HOUR_MS
    for at_ms in range(first_mark_ms, now_ms + 1, 4 * HOUR_MS):
        parts.append(f'<path class="grid" d="M{x(at_ms)} {DAY_HEIGHT - BOTTOM}v4"/>')
        if LEFT + 8 < x(at_ms) < WIDTH - RIGHT - 8:
            parts.append(_text(clock_time(at_ms), x(at_ms), DAY_HEIGHT - 4))
    # A step line: a vertical stroke joins consecutive hours.
    stairs, before_ms = "", -1
    for begin_ms, mean in steps:
        stairs += f"V{y(mean)}" if before_ms + HOUR_MS == begin_ms else f"M{x(begin_ms)} {y(mean)}"
        stairs += f"H{x(min(begin_ms + HOUR_MS, now_ms))}"
        before_ms = begin_ms
    parts.append(f'<path class="usual" d="{stairs}"/>')
    for run in _runs(known):
        upper = [f"{x(sample['at_ms'])} {y(sample['high'])}" for sample in run]
        lower = [f"{x(sample['at_ms'])} {y(sample['low'])}" for sample in reversed(run)]
        line = [f"{x(sample['at_ms'])} {y(sample['count'])}" for sample in run]
        parts.append(f'<path class="band" d="M{"L".join(upper + lower)}Z"/>')
        # A run of one sample is a point: a line of length 0 with round caps.
        parts.append(f'<path class="line" d="M{"L".join(line)}{"h0" if len(line) == 1 else ""}"/>')
    if known:
        parts.append(f'<circle class="dot" cx="{x(known[-1]["at_ms"])}" cy="{y(known[-1]["count"])}" r="3"/>')
    return _svg(DAY_HEIGHT, day_words(known), parts)


def _runs(samples: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Split samples at gaps."""
    runs: list[list[Mapping[str, Any]]] = []
    for sample in samples:
        if not runs or sample["at_ms"] - runs[-1][-1]["at_ms"] > GAP_MS:
            runs.append([])
        runs[-1].append(sample)
    return runs


def day_words(known: Sequence[Mapping[str, Any]]) -> str:
    """Return the text alternative of the chart of a day."""
    if not known:
        return "People over the last 24 hours: no data yet."
    most = max(known, key=lambda sample: sample["count"])
    least = min(known, key=lambda sample: sample["count"])
    return (
        f"People over the last 24 hours: from {least['count']:,} at {clock_time(least['at_ms'])} to {most['count']:,} at "
        f"{clock_time(most['at_ms'])}, now {known[-1]['count']:,}. Times are UTC."
    )


def week_chart(averages: Sequence[Mapping[str, Any]], *, now_ms: int) -> str:
    """Draw the averages of a week as a heat map: a row per day, a column per hour, lighter for more people.

    Args:
        averages: From ``History.averages``; hours without data stay empty.
        now_ms: The time whose hour is outlined.
    """
    means = {hour["hour"]: hour["count"] for hour in averages}
    highest = max(means.values(), default=0)
    height = TOP + 7 * (CELL + 6) + BOTTOM
    parts: list[str] = []
    for day, name in enumerate(DAYS):
        row = TOP + day * (CELL + 6)
        parts.append(_text(name, LEFT - 6, row + 14, "end"))
        for hour in range(24):
            mean = means.get(24 * day + hour)
            shade = "none" if mean is None else str(shade_of(mean, highest))
            is_now = " now" if 24 * day + hour == hour_of_week(now_ms) else ""
            value = "no data yet" if mean is None else f"{mean:,.0f} people"
            parts.append(
                f'<rect class="cell shade-{shade}{is_now}" x="{LEFT + hour * CELL:.1f}" y="{row:.1f}" width="{CELL - 1.6:.1f}" '
                f'height="{CELL + 4.4:.1f}" rx="2.5"><title>{name} {hour:02}:00, {value}</title></rect>'
            )
    parts += [
        _text(f"{hour:02}", LEFT + (hour + 0.45) * CELL, height - 6) for hour in (0, 4, 8, 12, 16, 20, 23)
    ]
    return _svg(height, week_words(averages), parts)


def shade_of(mean: float, highest: float) -> int:
    """Return the shade of a cell, 0 to ``SHADES - 1``: its share of the highest mean in equal steps."""
    return min(int(SHADES * mean / highest), SHADES - 1) if highest else 0


def week_words(averages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text alternative of the chart of a week."""
    if not averages:
        return "People by hour of the week: no data yet."
    most = max(averages, key=lambda hour: hour["count"])
    least = min(averages, key=lambda hour: hour["count"])
    return (
        f"People by hour of the week, {len(averages)} of {HOURS} hours with data: most on {_when(most['hour'])}, "
        f"{most['count']:,.0f} on average; fewest on {_when(least['hour'])}, {least['count']:,.0f}. Times are UTC."
    )


def _when(hour: int) -> str:
    return f"{DAYS[hour // 24]} at {hour % 24:02}:00"
