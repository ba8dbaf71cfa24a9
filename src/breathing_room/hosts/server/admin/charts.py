"""Charts as SVG, made where the numbers are: no script, one text for whoever cannot see them.

Both are drawn on ``WIDTH`` units, about a phone's width in pixels, so that their words stay readable there. How they look is said
by ``web/admin/admin.css``; what is a matter of numbers is said here. Times are UTC.
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
"""Looks are five minutes apart; after one that is missing the line is broken."""

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CELL: Final = 13.2
SHADES: Final = 6


def clock_time(wall_ms: int) -> str:
    """Say the time of day, UTC."""
    return time.strftime("%H:%M", time.gmtime(wall_ms / 1_000))


def nice_top(highest: float) -> tuple[int, int]:
    """Find a round figure that an axis ends with, and the step of its marks.

    Returns:
        The figure, at least 4 and at least ``highest``, and a step of 1, 2 or 5 times a power of ten of which it has 3 to 5.
    """
    step = 1
    while True:
        for factor in (1, 2, 5):
            marks = max(3, -int(-highest // (step * factor)))
            if marks <= 5:
                return step * factor * marks, step * factor
        step *= 10


def short(people: int) -> str:
    """Say a mark of an axis in few letters: 1,500 is 1.5k."""
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


def day_chart(trail: Sequence[Mapping[str, Any]], usual: Sequence[Mapping[str, Any]], *, now_ms: int) -> str:
    """Draw the count of the last 24 hours with its interval, and dashed what is usual.

    Args:
        trail: Looks in their order: ``at_ms``, ``count``, ``low``, ``high``; a count of None leaves a gap.
        usual: Averages by hour of the week, as ``History.averages`` lists them.
        now_ms: Where the chart ends.
    """
    start_ms = now_ms - DAY_MS
    known = [look for look in trail if look["count"] is not None and look["at_ms"] >= start_ms]
    means = {hour["hour"]: hour["count"] for hour in usual}
    steps = [
        (begin_ms, means[hour_of_week(begin_ms)])
        for begin_ms in range(start_ms - start_ms % HOUR_MS, now_ms, HOUR_MS)
        if hour_of_week(begin_ms) in means
    ]
    highest = max([*(look["high"] for look in known), *(mean for _, mean in steps)], default=0)
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
    # Stairs: an upright line joins hours that follow one another.
    stairs, before_ms = "", -1
    for begin_ms, mean in steps:
        stairs += f"V{y(mean)}" if before_ms + HOUR_MS == begin_ms else f"M{x(begin_ms)} {y(mean)}"
        stairs += f"H{x(min(begin_ms + HOUR_MS, now_ms))}"
        before_ms = begin_ms
    parts.append(f'<path class="usual" d="{stairs}"/>')
    for run in _runs(known):
        upper = [f"{x(look['at_ms'])} {y(look['high'])}" for look in run]
        lower = [f"{x(look['at_ms'])} {y(look['low'])}" for look in reversed(run)]
        line = [f"{x(look['at_ms'])} {y(look['count'])}" for look in run]
        parts.append(f'<path class="band" d="M{"L".join(upper + lower)}Z"/>')
        # A run of one look is a point: a line of no length with round ends.
        parts.append(f'<path class="line" d="M{"L".join(line)}{"h0" if len(line) == 1 else ""}"/>')
    if known:
        parts.append(f'<circle class="dot" cx="{x(known[-1]["at_ms"])}" cy="{y(known[-1]["count"])}" r="3"/>')
    return _svg(DAY_HEIGHT, day_words(known), parts)


def _runs(looks: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Part looks where some are missing between them."""
    runs: list[list[Mapping[str, Any]]] = []
    for look in looks:
        if not runs or look["at_ms"] - runs[-1][-1]["at_ms"] > GAP_MS:
            runs.append([])
        runs[-1].append(look)
    return runs


def day_words(known: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence what the chart of a day shows."""
    if not known:
        return "People over the last 24 hours: nothing is known yet."
    most = max(known, key=lambda look: look["count"])
    least = min(known, key=lambda look: look["count"])
    return (
        f"People over the last 24 hours: from {least['count']:,} at {clock_time(least['at_ms'])} to {most['count']:,} at "
        f"{clock_time(most['at_ms'])}, now {known[-1]['count']:,}. Times are UTC."
    )


def week_chart(averages: Sequence[Mapping[str, Any]], *, now_ms: int) -> str:
    """Draw the averages of a week as a map: a row a day, a column an hour, the lighter the more people.

    Args:
        averages: As ``History.averages`` lists them; hours that were never seen stay empty.
        now_ms: The hour that is outlined.
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
            told = "not seen yet" if mean is None else f"{mean:,.0f} people"
            parts.append(
                f'<rect class="cell shade-{shade}{is_now}" x="{LEFT + hour * CELL:.1f}" y="{row:.1f}" width="{CELL - 1.6:.1f}" '
                f'height="{CELL + 4.4:.1f}" rx="2.5"><title>{name} {hour:02}:00, {told}</title></rect>'
            )
    parts += [
        _text(f"{hour:02}", LEFT + (hour + 0.45) * CELL, height - 6) for hour in (0, 4, 8, 12, 16, 20, 23)
    ]
    return _svg(height, week_words(averages), parts)


def shade_of(mean: float, highest: float) -> int:
    """Say how light a cell is, 0 to ``SHADES - 1``: its share of the highest mean in equal steps."""
    return min(int(SHADES * mean / highest), SHADES - 1) if highest else 0


def week_words(averages: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence what the map of a week shows."""
    if not averages:
        return "People by hour of the week: nothing is known yet."
    most = max(averages, key=lambda hour: hour["count"])
    least = min(averages, key=lambda hour: hour["count"])
    return (
        f"People by hour of the week, {len(averages)} of {HOURS} hours seen: most on {_when(most['hour'])}, "
        f"{most['count']:,.0f} on average; fewest on {_when(least['hour'])}, {least['count']:,.0f}. Times are UTC."
    )


def _when(hour: int) -> str:
    return f"{DAYS[hour // 24]} at {hour % 24:02}:00"
