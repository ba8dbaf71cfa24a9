"""The bill."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import Book, parse_provider
from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.model import bill, breaks_at, cents
from breathing_room.lab.cost.strategy import (
    Accuracy,
    LimitedLoad,
    Reading,
    Reporting,
    Storing,
    Strategy,
    Usage,
)

SOURCE = {"url": "https://acme.example/prices", "checked": date(2026, 11, 22), "grade": "V"}
ACME: dict[str, Any] = {
    "title": "Acme",
    "currency": "EUR",
    "usd": "1.10",
    "sources": {"list": SOURCE},
    "plans": {"free": {"price": "0", "source": "list"}, "paid": {"price": "5", "source": "list"}},
    "items": {
        "calls": {
            "title": "Calls",
            "unit": "calls",
            "price": "0.50",
            "per": "1_000_000",
            "included": {"paid": "1_000_000"},
            "daily": {"free": "100_000"},
            "rounding": ["pro rata"],
            "source": "list",
        }
    },
    "limits": {"calls": {"title": "calls", "value": "10", "unit": "a second", "source": "list"}},
}


def calls(crowd: CrowdFigures) -> Usage:
    return {"calls": crowd.people * crowd.month / 60}


def load_of_calls(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
    del plan
    yield "calls", usage["calls"] / crowd.month, "calls wait"


CALLING = Strategy(
    name="calling",
    provider="acme",
    reporting=Reporting(
        "connections", "calls", lambda crowd: crowd.people, lambda _: Accuracy(None, None, "unknown")
    ),
    storing=Storing("service", "calls"),
    reading=Reading("pushed", "calls"),
    usage=calls,
    loads=load_of_calls,
    assumptions=(),
)
"""Each of the people calls once a minute."""


def a_book() -> Book:
    return Book({"acme": parse_provider("acme", ACME)})


def test_a_bill_is_plan_and_lines_each_to_the_cent() -> None:
    """What the plan includes is free, the rest has its price, and the
    sum is turned into dollars at the end.
    """
    crowd = CrowdProfile(people=1_000)
    made = bill(CALLING, crowd, a_book(), plan="paid")
    calls = 1_000 * 30 * 24 * 60
    charge = cents(Decimal(calls - 1_000_000) / 1_000_000 * Decimal("0.50"))
    assert made.total == 5 + charge
    assert made.total_usd == cents((5 + charge) * Decimal("1.10"))
    assert [load.title for load in made.broken] == ["calls"]
    assert made.accuracy.rank == Decimal("Infinity")


def test_a_free_plan_charges_nothing_and_has_daily_limits() -> None:
    """Nothing costs more than the plan, and what it allows a day is a load that may break."""
    within, beyond = (
        bill(CALLING, CrowdProfile(people=people), a_book(), plan="free") for people in (69, 70)
    )
    assert within.total == beyond.total == 0
    assert [load.title for load in within.broken] == []
    assert [(load.title, load.most) for load in beyond.broken] == [("Calls a day", Decimal(100_000))]


def test_the_crowd_that_breaks_a_limit_is_found_by_halving() -> None:
    """The smallest crowd that breaks each limit is found within 1 in
    1,000, and one fewer does not break it.
    """
    found = breaks_at(CALLING, CrowdProfile(), a_book(), plan="free")
    assert found.keys() == {"calls", "Calls a day"}
    assert found["Calls a day"] == 70
    assert found["calls"] == pytest.approx(600, rel=2e-3)
    assert breaks_at(CALLING, CrowdProfile(), a_book(), plan="paid").keys() == {"calls"}


def test_what_cannot_be_priced_says_why() -> None:
    """An unknown rounding, a plan that the provider lacks, and times too far apart are errors of the
    configuration.
    """
    with pytest.raises(ConfigError, match="rounding must be one of"):
        bill(CALLING, CrowdProfile(), a_book(), plan="paid", rounding="down")
    paid_only = parse_provider("acme", {**ACME, "plans": {"paid": ACME["plans"]["paid"]}, "items": {}})
    with pytest.raises(ConfigError, match=r"acme.toml has no plan 'free'"):
        bill(CALLING, CrowdProfile(), Book({"acme": paid_only}), plan="free")
