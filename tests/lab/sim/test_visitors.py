"""Arrivals, and the lengths of visits."""

from pathlib import Path

import numpy as np
import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.sim.scenario import CrowdSettings, parse
from breathing_room.lab.sim.visitors import (
    STEP_MS,
    Arrivals,
    Exponential,
    LogNormal,
    Recorded,
    VisitLengths,
    draw_newcomers,
    levels_at,
    visit_lengths_of,
)

RNG = np.random.Generator(np.random.PCG64(1))
LAWS = [Exponential(900_000), LogNormal(900_000, 0.8), Recorded(np.array([60_000.0, 600_000.0, 1_800_000.0]))]


@pytest.mark.parametrize("visits", LAWS, ids=["exponential", "log-normal", "recorded"])
def test_what_lies_before_an_age_is_what_was_drawn(visits: VisitLengths) -> None:
    """The integral of survival is the mean of min(visit, age) over a million draws, within five standard
    errors; in the end it is the mean.
    """
    drawn = visits.draw(RNG, 1_000_000)
    ages = np.array([0.0, 1_000.0, 60_000.0, 900_000.0, 3_600_000.0])
    for age, expected in zip(ages, visits.up_to(ages), strict=True):
        part = np.minimum(drawn, age)
        assert abs(part.mean() - expected) <= 5 * part.std() / 1_000 + 1e-6
    assert visits.up_to(np.array([1e10]))[0] == pytest.approx(visits.mean_ms)


def test_visits_from_a_file(tmp_path: Path) -> None:
    """One visit in seconds per line; their mean is the crowd's."""
    (tmp_path / "visits.txt").write_text("60\n600\n1800.5\n")
    visits = visit_lengths_of(CrowdSettings(visit=str(tmp_path / "visits.txt")))

    assert visits.mean_ms == pytest.approx(820_166.67)
    assert set(visits.draw(RNG, 100).tolist()) == {60_000.0, 600_000.0, 1_800_500.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "above 0"),
        ("60\nten\n", "one visit in seconds per line"),
        ("60\n-1\n", "above 0"),
        ("nan", "above 0"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str | None, message: str) -> None:
    """A missing file, a word, nothing, and a time that is none are refused with the file's name."""
    path = tmp_path / "visits.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=f"crowd.visit.*{message}"):
        visit_lengths_of(CrowdSettings(visit=str(path)))


def test_arrivals_keep_the_level() -> None:
    """As many arrive as leave, and more where the level rises; where it
    falls, departures are not replaced.
    """
    scenario = parse("[crowd]\npeople = 900\ngather_s = 10\ncurve = [[0, 1], [1, 1], [1.5, 3], [2, 1]]")
    arrivals = Arrivals(scenario, Exponential(900_000))

    def come(from_ms: int, until_ms: int) -> float:
        return float(arrivals.expected(from_ms, until_ms, STEP_MS).sum())

    assert come(0, 60_000) == pytest.approx(900 + 60)
    assert come(60_000, 3_600_000) == pytest.approx(59 * 60)
    assert come(3_600_000, 5_400_000) == pytest.approx(1_800 + 2 * 1_800)
    assert come(5_400_000, 7_200_000) == pytest.approx(2 * 1_800)


def test_the_level_follows_the_curve_and_the_surge() -> None:
    """Straight lines between points, the last one held or the whole repeated; a surge multiplies what it
    finds.
    """
    hours = np.array([0, 0.5, 1, 1.5, 2, 3]) * 3_600_000.0
    curve = "[crowd]\npeople = 100\ncurve = [[0, 1], [1, 3]]\n"
    assert levels_at(parse(curve), hours).tolist() == [100, 200, 300, 300, 300, 300]
    assert levels_at(parse(curve + "period_hours = 2"), hours).tolist() == [100, 200, 300, 200, 100, 300]

    surge = parse(curve + "[run]\nwarm_up_minutes = 60\n[surge]\nin_s = 60\nfactor = 2")
    assert levels_at(surge, np.array([3_600_000.0, 3_630_000.0, 3_660_000.0, 9e6])).tolist() == [
        300,
        450,
        600,
        600,
    ]


def test_newcomers_arrive_in_order() -> None:
    """So many in each step, within it, sorted, and no visit has no length."""
    new = draw_newcomers(RNG, np.array([2, 0, 3]), Exponential(0.01), 10_000)

    assert (new.arrives_ms // STEP_MS).tolist() == [10, 10, 12, 12, 12]
    assert (np.diff(new.arrives_ms) >= 0).all()
    assert (new.departs_ms - new.arrives_ms).tolist() == [1] * 5
