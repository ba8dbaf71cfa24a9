"""The model against the count: what the formulas compute is what people, policies and rooms do."""

from decimal import Decimal

import pytest

from acted_strategies import ERROR, Count, count, per_second
from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.strategies import STRATEGIES, strategy
from breathing_room.lab.cost.strategies.fixed import fixed
from breathing_room.lab.cost.strategies.objects import durable_object
from breathing_room.lab.cost.strategy import Strategy
from tiers import longer

WITHIN = 4
"""Standard errors, of a count that is known to half a percent: 2 %."""

ROUGHLY = 0.01
"""What a count is known to in ``make test``, in a quarter of the time that half a percent takes.

A formula that is wrong by 6 % is found with a probability of 0.977, and one that is wrong by 3 % in an item
that is known well, such as polls. ``make soak`` counts to half a percent, and finds 3 % in every item.
"""

NOT_COUNTED = {"machines", "ipv4", "machine_hours", "ipv4_hours", "peak_connections"}
"""What a month takes for every kind of reporting: machines, and people."""


def check(way: Strategy, crowd: CrowdProfile) -> dict[str, Count]:
    """Count a strategy, and hold the model against it."""
    error = longer(ROUGHLY, ERROR)
    counted, computed = count(way, crowd, seed=1, error=error), per_second(way, crowd)
    assert set(counted) == set(computed) - NOT_COUNTED
    for key, found in counted.items():
        assert found.per_s > 0, key
        assert found.error <= error * found.per_s * 1.001, f"{key}: {found}"
        within = WITHIN * max(found.error / found.per_s, ERROR)
        assert computed[key] == pytest.approx(found.per_s, rel=within), f"{key}: {found}"
    return counted


@pytest.mark.soak
@pytest.mark.parametrize("people", [100, 1_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "client-only"])
def test_the_model_agrees_with_the_count(name: str, people: int) -> None:
    """
    Every item of every strategy is within four standard errors of what was counted, and the count is known to
    one percent.
    """
    check(strategy(name), CrowdProfile(people=people))


@pytest.mark.soak
def test_fixed_on_the_free_plan_agrees_too() -> None:
    """
    A panel of 150 that publishes on reports sends as many reports, and publishes as often, as the model says.
    """
    counted = check(strategy("fixed", "free"), CrowdProfile(people=longer(2_000, 10_000)))
    assert 24 * 3_600 * counted["workers_requests"].per_s < 75_000


@pytest.mark.soak
def test_several_objects_cost_what_they_send_each_other() -> None:
    """
    A crowd that takes four objects is counted and computed alike, whether they send sums as often as they
    push or more often.
    """
    people = longer(2_000, 10_000)
    for push_s in (2, 30):
        check(durable_object(push_s=Decimal(push_s), sockets=people * 3 // 10), CrowdProfile(people=people))


def test_heartbeats_restart_with_every_report() -> None:
    """
    The formula for clients whose mood is not a heartbeat would be wrong by 8 % for ours: the count
    distinguishes the two.
    """
    crowd = CrowdProfile(people=1_000)
    counted = count(fixed(), crowd, seed=1, error=ROUGHLY)["workers_requests"].per_s
    other = per_second(fixed(mood_renews=False), crowd)["workers_requests"]
    assert other > 1.05 * counted


def test_no_visitor_is_counted_where_there_is_no_backend() -> None:
    """A page without a backend takes nothing of anything."""
    assert count(strategy("client-only"), CrowdProfile(), seed=1) == {}
    assert strategy("client-only").usage(CrowdFigures(CrowdProfile())) == {}
