"""Bill against crowd, both logarithmic, as an SVG: no plotting library is needed, and a browser scales it.

Lines end in their names; a cross stands where a limit breaks, and the line goes on thin behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import log10
from typing import Final

WIDTH: Final = 920
HEIGHT: Final = 560
LEFT, RIGHT, TOP, BOTTOM = 74, 190, 54, 56

COLORS: Final = ("#f4c069", "#5fc9d8", "#a493f7", "#f07d98", "#9fd67f", "#e6e2d3", "#6f9bf5", "#d98b4c", "#7fd6b4", "#c98be0", "#b0b8cc", "#e0d46c")  # fmt: skip
"""Those of the page's moods, and more of their kind."""

FONT: Final = 'font-family="ui-sans-serif, system-ui, sans-serif" font-size="13" fill="#98a3bd"'

FLOOR_USD: Final = 1.0
"""A logarithmic axis has no zero: lower prices are drawn at the bottom."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line of the chart.

    Attributes:
        name: What it is.
        points: People and dollars a month, in order.
        breaks_at: The smallest crowd that breaks a limit, None for none.
    """

    name: str
    points: Sequence[tuple[float, float]]
    breaks_at: float | None = None


def draw(series: Sequence[Series], title: str, *, mark: float | None = None) -> str:
    """Draw the lines as SVG.

    Args:
        series: At least one, each of at least two points.
        title: What stands above.
        mark: A crowd at which to draw a line from top to bottom.
    """
    people = [point[0] for each in series for point in each.points]
    dollars = [max(point[1], FLOOR_USD) for each in series for point in each.points]
    x_low, x_high = log10(min(people)), log10(max(people))
    y_low, y_high = 0, max(2, -int(-log10(max(dollars)) // 1))

    def x(value: float) -> float:
        return LEFT + (log10(value) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return (
            HEIGHT
            - BOTTOM
            - (log10(max(value, FLOOR_USD)) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#0d1325"/>',
        f'<text x="{LEFT}" y="30" font-size="16" fill="#e6ebf7">{escape(title)}</text>',
    ]
    for power in range(round(x_low), round(x_high) + 1):
        at = x(10**power)
        parts.append(_line(at, TOP, at, HEIGHT - BOTTOM))
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{short(10**power)}</text>'
        )
    for power in range(y_low, y_high + 1):
        at = y(10**power)
        label = "≤ $1" if power == 0 else f"${short(10**power)}"
        parts.append(_line(LEFT, at, WIDTH - RIGHT, at))
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">people at a time</text>'
        f'<text transform="translate(18 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">a month</text>'
    )
    if mark is not None:
        at = x(min(max(mark, 10**x_low), 10**x_high))
        parts.append(
            f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e6ebf7" stroke-opacity=".6" stroke-dasharray="3 4"/>'
        )
    heights = _apart([y(each.points[-1][1]) for each in series])
    for index, each in enumerate(series):
        color = COLORS[index % len(COLORS)]
        whole = [point for point in each.points if each.breaks_at is None or point[0] <= each.breaks_at]
        beyond = each.points[max(len(whole) - 1, 0) :]
        for points, style in (
            (whole, 'stroke-width="2.5"'),
            (beyond, 'stroke-width="1.2" stroke-dasharray="2 5"'),
        ):
            if len(points) > 1:
                path = " ".join(f"{x(people):.1f},{y(dollars):.1f}" for people, dollars in points)
                parts.append(
                    f'<polyline points="{path}" fill="none" stroke="{color}" stroke-linejoin="round" {style}/>'
                )
        if each.breaks_at is not None and 10**x_low <= each.breaks_at <= 10**x_high:
            parts.append(_cross(x(each.breaks_at), y(_at(each.points, each.breaks_at)), color))
        end = y(each.points[-1][1])
        parts.append(
            f'<path d="M{WIDTH - RIGHT + 2} {end:.1f}L{WIDTH - RIGHT + 16} {heights[index]:.1f}" stroke="{color}" stroke-opacity=".5"/>'
            f'<text x="{WIDTH - RIGHT + 20}" y="{heights[index] + 4:.1f}" fill="{color}">{escape(each.name)}</text>'
        )
    parts.append(
        f"{_cross(WIDTH - RIGHT + 26, 26, '#98a3bd')}"
        f'<text x="{WIDTH - RIGHT + 38}" y="30" font-size="12">a limit breaks</text></svg>'
    )
    return "\n".join(parts) + "\n"


def short(value: float) -> str:
    """Write a power of ten briefly."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:,.0f}{letter}"
    return f"{value:,.0f}"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ffffff" stroke-opacity=".09"/>'


def _cross(x: float, y: float, color: str) -> str:
    return f'<path d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10" stroke="{color}" stroke-width="2.5" stroke-linecap="round"/>'


def _at(points: Sequence[tuple[float, float]], people: float) -> float:
    """Interpolate a line between two of its points, straight on logarithmic axes."""
    for (left, low), (right, high) in pairwise(points):
        if people <= right:
            share = (log10(people) - log10(left)) / (log10(right) - log10(left))
            return float(max(low, FLOOR_USD) ** (1 - share) * max(high, FLOOR_USD) ** share)
    return points[-1][1]


def _apart(heights: list[float], gap: float = 17.0) -> list[float]:
    """Move labels that would overlap, keeping their order."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    placed = list(heights)
    above = TOP - gap
    for index in order:
        above = placed[index] = max(heights[index], above + gap)
    below = HEIGHT - BOTTOM + gap
    for index in reversed(order):
        below = placed[index] = min(placed[index], below - gap)
    return placed
