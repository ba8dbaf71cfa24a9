"""The ways to run a room: what each needs, and what holds for all of them.

Whether they are right, ``test_against_simulation.py`` says.
"""

from decimal import Decimal

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.model import bill
from breathing_room.lab.cost.strategies import STRATEGIES, changed, strategy
from breathing_room.lab.cost.strategies.fixed import fixed
from breathing_room.lab.cost.strategies.objects import durable_object
from breathing_room.lab.cost.strategy import FREE

BOOK = read_book()
NAMES = list(STRATEGIES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_priced_and_never_cheaper_for_more_people(name: str) -> None:
    """Every strategy has a bill at every size that does not fall as the crowd grows, and uses no negative
    amount of anything.
    """
    bills = [
        bill(strategy(name), CrowdProfile(people=people), BOOK, plan="paid")
        for people in (1, 1_000, 1_000_000)
    ]
    totals = [made.total_usd for made in bills]
    assert totals == sorted(totals)
    assert all(line.used.value >= 0 and line.charge.value >= 0 for made in bills for line in made.lines)


def test_settings_have_units_and_ranges() -> None:
    """A setting outside its range is refused by name, with the range;
    those that may be switched off take 0.
    """
    with pytest.raises(ConfigError, match="panel must be above 0"):
        fixed(panel=0)
    with pytest.raises(ConfigError, match="push_s must be from 0"):
        durable_object(push_s=Decimal(-1))
    assert durable_object(push_s=Decimal(0)).settings["push_s"] == 0


def test_a_name_makes_its_strategy_as_the_plan_allows() -> None:
    """A strategy comes by its name, with settings that fit the free plan where there is one, and an unknown
    name is an error.
    """
    assert strategy("fixed") == fixed()
    free, paid = strategy("fixed", FREE), strategy("fixed")
    assert free.settings["panel"] < paid.settings["panel"]
    assert not bill(free, CrowdProfile(), BOOK, plan=FREE).broken
    assert strategy("fixed", panel=7) == fixed(panel=7)
    assert all(STRATEGIES[name].name == strategy(name).name == name for name in NAMES)


def test_a_changed_strategy_keeps_its_other_settings() -> None:
    """One setting is changed, those that were set before stay, and the name does."""
    assert changed(strategy("fixed", FREE), {"panel": 7}) == strategy("fixed", FREE, panel=7)
    assert changed(strategy("lazy"), {}) == strategy("lazy")
