"""A panel of a fixed size behind a CDN."""

from decimal import Decimal

import pytest

from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.strategies.fixed import fixed


def test_the_bill_of_a_fixed_panel_does_not_grow_with_the_crowd() -> None:
    """From ten thousand to ten million people ``fixed`` uses the same of everything, but for caches that are
    never idle: 1 in 1,000.
    """
    few, many = (fixed().usage(CrowdFigures(CrowdProfile(people=people))) for people in (10_000, 10_000_000))
    assert {key: float(used.value) for key, used in many.items()} == pytest.approx(
        {key: float(used.value) for key, used in few.items()}, rel=1e-3
    )


def test_a_larger_panel_is_more_accurate() -> None:
    """Four times the panel halves the error, and a panel that asks every visitor has none."""
    crowd = CrowdFigures(CrowdProfile(people=100_000))
    small, large = (fixed(panel=panel).accuracy(crowd).error for panel in (1_000, 4_000))
    assert small is not None
    assert large is not None
    assert float(small.value / large.value) == pytest.approx(2, rel=0.05)
    full = fixed(panel=4_000).accuracy(CrowdFigures(CrowdProfile(people=4_000))).error
    assert full is None or full.value < large.value / 10


def test_hits_that_are_billed_cost_every_read() -> None:
    """Where a hit of the cache is a read of the bucket, each poll and each config is one; a hundred data
    centers read at most a hundred times as much.
    """
    crowd = CrowdFigures(CrowdProfile(people=100_000))

    def reads(**settings: Decimal | bool) -> float:
        return float(fixed(**settings).usage(crowd)["r2_reads"].value)

    polls = float((crowd.polls(fixed.figure("poll_s")) + crowd.joins).value)
    assert reads(hits_billed=True) == pytest.approx(polls)
    assert 90 * reads() < reads(places=Decimal(100)) < 100 * reads() < polls


def test_reports_publish_where_no_alarm_does() -> None:
    """Without an alarm for it, what is published is spaced by the next report, and alarms are those of a room
    that is not watched.
    """
    crowd = CrowdFigures(CrowdProfile(people=50))
    alarms, reports = (fixed(by_alarm=by_alarm).usage(crowd) for by_alarm in (True, False))
    assert alarms["r2_writes"].value == crowd.month.value / 5
    assert reports["r2_writes"].value < reports["workers_requests"].value
    assert reports["object_requests"].value - reports["workers_requests"].value == crowd.month.value / 60
