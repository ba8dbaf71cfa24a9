"""The chart of bills, read back from its SVG."""

import itertools
import re
from xml.etree import ElementTree as ET

import pytest

from breathing_room.lab.cost.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Series, draw, short

SVG = "{http://www.w3.org/2000/svg}"


def lines_of(svg: str) -> list[tuple[bool, list[tuple[float, float]]]]:
    """Read the lines: whether each is thin, and its points."""
    return [
        (
            "stroke-dasharray" in line.attrib,
            [(float(x), float(y)) for x, y in (point.split(",") for point in line.attrib["points"].split())],
        )
        for line in ET.fromstring(svg).iter(f"{SVG}polyline")
    ]


def labels_of(svg: str) -> dict[str, float]:
    """Read the labels and how far down each is."""
    return {text.text or "": float(text.get("y", "0")) for text in ET.fromstring(svg).iter(f"{SVG}text")}


def test_both_axes_are_logarithmic_from_corner_to_corner() -> None:
    """Ten times the people and ten times the money are the same step everywhere, from the lower left to the
    upper right.
    """
    [(thin, points)] = lines_of(draw([Series("a", [(10, 1), (100, 10), (1_000, 100)])], "t"))
    assert not thin
    assert points[0] == (LEFT, HEIGHT - BOTTOM)
    assert points[2] == (WIDTH - RIGHT, TOP)
    assert points[1] == ((points[0][0] + points[2][0]) / 2, (points[0][1] + points[2][1]) / 2)


def test_what_costs_nothing_is_drawn_at_the_bottom() -> None:
    """A logarithm has no zero: less than a dollar is drawn as a dollar, and the axis says so."""
    svg = draw([Series("free", [(10, 0), (1_000, 0.2)])], "t")
    [(_, points)] = lines_of(svg)
    assert {y for _, y in points} == {HEIGHT - BOTTOM}
    assert "≤ $1" in labels_of(svg)


def test_behind_a_broken_limit_the_line_is_thin() -> None:
    """A line goes up to where its limit breaks, a cross stands there on the line, and it goes on thin."""
    points = [(10, 10), (100, 100), (1_000, 1_000)]
    svg = draw([Series("kv", points, breaks_at=100)], "t")
    (solid, before), (thin, after) = lines_of(svg)
    assert (solid, thin) == (False, True)
    assert before[-1] == after[0]
    assert len(before) == len(after) == 2
    x, y = before[-1]
    assert f"M{x - 5:.1f} {y - 5:.1f}l10 10" in svg
    assert svg.count("l10 10m0 -10l-10 10") == 2  # and the one of the legend


def test_names_that_would_lie_on_one_another_are_moved_apart() -> None:
    """Lines that end in one place have labels at least a line's height apart, all of them within the chart,
    in their order.
    """
    series = [Series(f"way {index}", [(10, 5), (1_000, 50 + index)]) for index in range(12)]
    labels = labels_of(draw(series, "t"))
    heights = [labels[each.name] for each in series]
    assert heights == sorted(heights, reverse=True)
    assert all(upper - lower >= 16.9 for upper, lower in itertools.pairwise(heights))
    assert min(heights) >= TOP
    assert max(heights) <= HEIGHT - BOTTOM + 5


def test_a_name_cannot_break_the_drawing() -> None:
    """Titles and names are escaped, and the mark of a crowd outside the chart is drawn at its edge."""
    svg = draw([Series('<b>&"', [(10, 1), (100, 5)])], "<i>", mark=10_000_000)
    assert {'<b>&"', "<i>"} <= labels_of(svg).keys()
    assert re.search(rf'd="M{WIDTH - RIGHT:.1f} {TOP}V', svg)


@pytest.mark.parametrize(
    ("value", "words"), [(1, "1"), (100, "100"), (1_000, "1k"), (100_000, "100k"), (10_000_000, "10M")]
)
def test_powers_of_ten_are_short(value: float, words: str) -> None:
    """An axis says thousands and millions by a letter."""
    assert short(value) == words
