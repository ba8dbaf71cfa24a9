"""Charts as SVG: the numbers are where they belong, and said in words."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from breathing_room.core.history import HOUR_MS
from breathing_room.hosts.server.admin.charts import day_chart, nice_top, shade_of, short, week_chart
from inside import NOON_MS

SVG = "{http://www.w3.org/2000/svg}"


def sample(hours_ago: float, count: int | None, spread: int = 0) -> dict[str, Any]:
    """Make up a sample."""
    at_ms = NOON_MS - round(hours_ago * HOUR_MS)
    return {"at_ms": at_ms, "count": count, "low": (count or 0) - spread, "high": (count or 0) + spread}


def paths(svg: str, name: str) -> list[str]:
    """Find the lines of a class."""
    return [path.get("d", "") for path in ET.fromstring(svg).iter("path") if path.get("class") == name]


@pytest.mark.parametrize(
    ("highest", "top", "step"),
    [
        (0, 3, 1),
        (3, 3, 1),
        (4, 4, 1),
        (6, 6, 2),
        (23, 25, 5),
        (101, 150, 50),
        (999, 1_000, 200),
        (12_345, 15_000, 5_000),
    ],
)
def test_axes_end_with_round_figures(highest: float, top: int, step: int) -> None:
    """An axis ends at or above what it shows, with 3 to 5 marks at round figures."""
    assert nice_top(highest) == (top, step)


def test_marks_are_short() -> None:
    """Thousands and millions are said with a letter."""
    assert [short(people) for people in (0, 999, 1_000, 1_500, 2_000_000)] == ["0", "999", "1k", "1.5k", "2M"]


def test_a_day_is_drawn_where_it_belongs() -> None:
    """The earliest sample is at the left, the latest at the right; the interval is around the line, and all
    of it is within the axis.
    """
    svg = day_chart([sample(0.1, 40, 10), sample(0, 80, 20)], [], now_ms=NOON_MS)
    (line,), (band,) = paths(svg, "line"), paths(svg, "band")
    assert line.endswith("L354.0 40.0")  # 100 is the top of the axis: 80 is 30 of its 150 units below 10
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line)]
    assert heights[0] > heights[1]
    ends = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", band)]
    assert min(ends) < min(heights)
    assert max(ends) > max(heights)
    assert all(10 <= y <= 160 for y in ends)
    assert "from 40 at 11:54 to 80 at 12:00, now 80" in svg


def test_what_is_missing_breaks_the_line() -> None:
    """An hour without samples is a gap, and no bridge over it; a lone sample is still to be seen."""
    timeline = [sample(5, 10), sample(4.95, 10), sample(4, None), sample(3, 20)]
    assert len(paths(day_chart(timeline, [], now_ms=NOON_MS), "line")) == 2
    assert "h0" in paths(day_chart(timeline, [], now_ms=NOON_MS), "line")[1]


def test_the_usual_count_is_a_step_line() -> None:
    """The averages of the hours that are shown are drawn as stairs,
    which end where an hour was never seen.
    """
    week = [{"hour": hour, "count": 10.0} for hour in (80, 81, 83)]
    (stairs,) = paths(day_chart([], week, now_ms=NOON_MS), "usual")
    assert (stairs.count("M"), stairs.count("V"), stairs.count("H")) == (2, 1, 3)


def test_a_chart_without_data_says_so() -> None:
    """Before anything is known both charts are there, and say so."""
    assert "no data yet" in day_chart([], [], now_ms=NOON_MS)
    assert "no data yet" in week_chart([], now_ms=NOON_MS)
    assert not paths(day_chart([sample(1, None)], [], now_ms=NOON_MS), "line")


def test_a_week_has_all_its_hours() -> None:
    """The map has 168 cells, the fullest is the lightest, those never seen are empty, and this hour is
    outlined.
    """
    week = [{"hour": hour, "count": float(hour)} for hour in range(160)]
    cells = list(ET.fromstring(week_chart(week, now_ms=NOON_MS)).iter("rect"))
    kinds = [cell.get("class", "") for cell in cells]
    assert len(cells) == 168
    assert "shade-5" in kinds[159]
    assert "shade-0" in kinds[0]
    assert all("shade-none" in kind for kind in kinds[160:])
    assert [index for index, kind in enumerate(kinds) if kind.endswith("now")] == [84]
    title = cells[84].find("title")
    assert title is not None
    assert title.text == "Thu 12:00, 84 people"
    assert "most on Sun at 15:00, 159 on average; fewest on Mon at 00:00, 0" in week_chart(
        week, now_ms=NOON_MS
    )


def test_shades_are_equal_steps() -> None:
    """Six shades from nothing to the highest, which is the last of them and not one beyond."""
    assert [shade_of(mean, 60) for mean in (0, 9, 10, 31, 59, 60)] == [0, 0, 1, 3, 5, 5]
    assert shade_of(0, 0) == 0
