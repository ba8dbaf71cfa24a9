"""The chart of all bills."""

import re

from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.model import bill, breaks_at
from breathing_room.lab.cost.plot import PEOPLE_HIGH, PEOPLE_LOW, PLOTTED, STEPS_A_DECADE, plot
from breathing_room.lab.cost.strategies import STRATEGIES, strategy

BOOK = read_book()


def test_a_line_for_each_strategy_in_its_own_color() -> None:
    """What is drawn by default are known strategies, each with its name and a line of its own color."""
    assert set(PLOTTED) <= set(STRATEGIES)
    names = ("fixed", "self-hosted")
    svg = plot([strategy(name) for name in names], CrowdProfile(), BOOK, plan="paid")
    assert [re.search(rf">{name}<", svg) is not None for name in names] == [True, True]
    assert len({*re.findall(r'<polyline[^>]*stroke="(#\w+)"', svg)}) == 2


def test_it_goes_from_ten_to_ten_million_and_marks_the_limit() -> None:
    """A line has eight points a decade, is thin from the crowd on that breaks a limit, and the mark is drawn
    where it is asked for.
    """
    naive, crowd = strategy("naive"), CrowdProfile(people=1_000)
    assert min(breaks_at(naive, crowd, BOOK, plan="paid").values()) < PEOPLE_HIGH
    marked, plain = (plot([naive], crowd, BOOK, plan="paid", mark=mark) for mark in (True, False))
    solid, thin = (points.split() for points in re.findall(r'<polyline points="([^"]+)"', plain))
    assert len(solid) + len(thin) == 6 * STEPS_A_DECADE + 2  # the point of the break is in both
    assert ('stroke-dasharray="3 4"' in marked, 'stroke-dasharray="3 4"' in plain) == (True, False)


def test_the_title_names_what_the_bills_depend_on() -> None:
    """Plan, visit and hours stand above the chart, so that a picture alone can be checked."""
    svg = plot([strategy("fixed")], CrowdProfile(), BOOK, plan="paid")
    assert "A month, paid plan, visits of 15 min, 24 h a day" in svg
    assert bill(strategy("fixed"), CrowdProfile(people=PEOPLE_LOW), BOOK, plan="paid").total_usd > 0
