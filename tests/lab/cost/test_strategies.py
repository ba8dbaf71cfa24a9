"""The ways to run a room: what each needs, and what holds for all of them. Whether they are right, ``test_against_simulation.py`` says."""

from decimal import Decimal

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.model import FREE, Crowd, Terms, bill
from breathing_room.lab.cost.strategies import STRATEGIES, DurableObject, Fixed, Sampled, strategy

BOOK = read_book()
NAMES = list(STRATEGIES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_priced_and_never_cheaper_for_more_people(name: str) -> None:
    """Every strategy has a bill at every size that does not fall as the crowd grows, and uses no negative amount of anything."""
    bills = [
        bill(strategy(name), Crowd(people=people), BOOK, plan="paid") for people in (1, 1_000, 1_000_000)
    ]
    totals = [made.total_usd for made in bills]
    assert totals == sorted(totals)
    assert all(line.used.value >= 0 and line.charge.value >= 0 for made in bills for line in made.lines)


def test_the_bill_of_a_fixed_panel_does_not_grow_with_the_crowd() -> None:
    """From ten thousand to ten million people ``fixed`` uses the same of everything, but for caches that are never idle: 1 in 1,000."""
    few, many = (Fixed().usage(Terms(Crowd(people=people))) for people in (10_000, 10_000_000))
    assert {key: float(used.value) for key, used in many.items()} == pytest.approx(
        {key: float(used.value) for key, used in few.items()}, rel=1e-3
    )


def test_a_larger_panel_is_more_accurate() -> None:
    """Four times the panel halves the error, and a panel that asks everybody has none."""
    crowd = Terms(Crowd(people=100_000))
    small, large = (Fixed(panel=panel).accuracy(crowd).error for panel in (1_000, 4_000))
    assert small is not None
    assert large is not None
    assert float(small.value / large.value) == pytest.approx(2, rel=0.05)
    everybody = Fixed(panel=4_000).accuracy(Terms(Crowd(people=4_000))).error
    assert everybody is None or everybody.value < large.value / 10


def test_a_coin_for_each_heartbeat_is_biased_upwards() -> None:
    """The document's own estimator says several times the truth, and the bias is part of its rank."""
    accuracy = Sampled().accuracy(Terms(Crowd()))
    assert accuracy.bias is not None
    assert accuracy.bias > 2
    assert accuracy.rank >= accuracy.bias


def test_settings_have_units_and_ranges() -> None:
    """A setting outside its range is refused by name, with the range; those that may be switched off take 0."""
    with pytest.raises(ConfigError, match="panel must be above 0"):
        Fixed(panel=0)
    with pytest.raises(ConfigError, match="push_s must be from 0"):
        DurableObject(push_s=Decimal(-1))
    assert DurableObject(push_s=Decimal(0)).set_to("push_s").value == 0


def test_a_name_makes_its_strategy_as_the_plan_allows() -> None:
    """A strategy comes by its name, with settings that fit the free plan where there is one, and an unknown name is an error."""
    assert strategy("fixed") == Fixed()
    free, paid = strategy("fixed", FREE), strategy("fixed")
    assert isinstance(free, Fixed)
    assert isinstance(paid, Fixed)
    assert free.panel < paid.panel
    assert not bill(free, Crowd(), BOOK, plan=FREE).broken
    assert strategy("fixed", panel=7) == Fixed(panel=7)
    assert all(STRATEGIES[name].name == name for name in NAMES)
