"""The crowd, and the formulas that all strategies share."""

from decimal import Decimal
from math import exp
from typing import Any

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.crowd import PEOPLE_MAX, CrowdFigures, CrowdProfile
from breathing_room.lab.cost.formula import given


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"people": 0}, "people must be from 1 to 1,000,000,000, not 0"),
        ({"people": PEOPLE_MAX + 1}, "people must be"),
        ({"hours": Decimal(0)}, "hours must be above 0"),
        ({"hours": Decimal("24.1")}, "hours must be above 0"),
        ({"visit_s": Decimal("0.5")}, "a visit must be from 1 s"),
        ({"mood_changes": Decimal(-1)}, "mood changes must be"),
        ({"leaves_share": Decimal("1.01")}, "must be from 0 to 1"),
    ],
)
def test_a_crowd_that_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    """Each value has a range, and the message names it and what was given."""
    with pytest.raises(ConfigError, match=said):
        CrowdProfile(**wrong)


def test_repetitions_in_a_visit_are_those_of_exponential_visits() -> None:
    """In exponential visits, what is done every b happens 1/(e^(b/T) - 1) times after joining, and polls
    include the one on joining.
    """
    crowd = CrowdFigures(CrowdProfile(people=1_000, visit_s=Decimal(600), hours=Decimal(12)))
    month_s = 30 * 12 * 3_600
    joins = 1_000 * month_s / 600
    assert float(crowd.joins.value) == pytest.approx(joins)
    assert float(crowd.repeats(given(30, "poll", "s")).value) == pytest.approx(1 / (exp(30 / 600) - 1))
    assert float(crowd.polls(given(30, "poll", "s")).value) == pytest.approx(joins / (1 - exp(-30 / 600)))


def test_a_mood_that_renews_saves_heartbeats() -> None:
    """Where a change of mood is a heartbeat too, fewer others follow;
    without changes both ways are the same.
    """
    heartbeat = given(300, "heartbeat", "s")

    def per_visit(moods: int, *, renews: bool) -> float:
        crowd = CrowdFigures(
            CrowdProfile(visit_s=Decimal(900), mood_changes=Decimal(moods), leaves_share=Decimal(1))
        )
        return float(crowd.reports_per_visit(heartbeat, mood_renews=renews).value)

    assert (
        per_visit(0, renews=True)
        == pytest.approx(per_visit(0, renews=False))
        == pytest.approx(2 + 1 / (exp(1 / 3) - 1))
    )
    assert per_visit(2, renews=True) == pytest.approx(4 + 3 / (exp(1) - 1))
    assert per_visit(2, renews=False) > per_visit(2, renews=True)


def test_a_cache_asks_once_in_its_lifetime_at_most() -> None:
    """However many requests come, a cache reads once a lifetime; where few come, it reads for nearly each of
    them.
    """
    crowd = CrowdFigures(CrowdProfile())
    month_s = float(crowd.month.value)
    many = float(crowd.cached(given(10, "cache", "s"), given(10**12, "requests")).value)
    few = float(crowd.cached(given(10, "cache", "s"), given(100, "requests")).value)
    assert many == pytest.approx(month_s / 10, rel=1e-3)
    assert few == pytest.approx(100, rel=1e-2)
