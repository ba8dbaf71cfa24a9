"""The crowd, the formulas that all strategies share, and the bill."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from math import exp
from typing import Any

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import Book, parse_provider
from breathing_room.lab.cost.formula import Figure, given
from breathing_room.lab.cost.model import PEOPLE_MAX, Accuracy, Crowd, Strategy, Terms, bill, breaks_at, cents

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


@dataclass(frozen=True, kw_only=True)
class Calling(Strategy):
    """Everybody calls once a minute."""

    name = "calling"
    provider = "acme"
    reports = writes = reads = "calls"

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        return {"calls": terms.people * terms.month / 60}

    def accuracy(self, terms: Terms) -> Accuracy:
        del terms
        return Accuracy(None, None, "unknown")

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        del plan
        yield "calls", usage["calls"] / terms.month, "calls wait"


def a_book() -> Book:
    return Book({"acme": parse_provider("acme", ACME)})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"people": 0}, "people must be from 1 to 1,000,000,000, not 0"),
        ({"people": PEOPLE_MAX + 1}, "people must be"),
        ({"hours": Decimal(0)}, "hours must be above 0"),
        ({"hours": Decimal("24.1")}, "hours must be above 0"),
        ({"stay_s": Decimal("0.5")}, "a stay must be from 1 s"),
        ({"mood_changes": Decimal(-1)}, "mood changes must be"),
        ({"leaves_share": Decimal("1.01")}, "must be from 0 to 1"),
    ],
)
def test_a_crowd_that_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    """Each value has a range, and the message names it and what was given."""
    with pytest.raises(ConfigError, match=said):
        Crowd(**wrong)


def test_what_a_stay_repeats_is_that_of_exponential_stays() -> None:
    """Of exponential stays a thing done every b happens 1/(e^(b/T) - 1) times after joining, and polls have the joining's too."""
    terms = Terms(Crowd(people=1_000, stay_s=Decimal(600), hours=Decimal(12)))
    month_s = 30 * 12 * 3_600
    joins = 1_000 * month_s / 600
    assert float(terms.joins.value) == pytest.approx(joins)
    assert float(terms.repeats(given(30, "poll", "s")).value) == pytest.approx(1 / (exp(30 / 600) - 1))
    assert float(terms.polls(given(30, "poll", "s")).value) == pytest.approx(joins / (1 - exp(-30 / 600)))


def test_a_mood_that_renews_saves_heartbeats() -> None:
    """Where a change of mood is a heartbeat too, fewer others follow; without changes both ways are the same."""
    beat = given(300, "beat", "s")

    def per_stay(moods: int, *, renews: bool) -> float:
        terms = Terms(Crowd(stay_s=Decimal(900), mood_changes=Decimal(moods), leaves_share=Decimal(1)))
        return float(terms.reports_per_stay(beat, mood_renews=renews).value)

    assert (
        per_stay(0, renews=True)
        == pytest.approx(per_stay(0, renews=False))
        == pytest.approx(2 + 1 / (exp(1 / 3) - 1))
    )
    assert per_stay(2, renews=True) == pytest.approx(4 + 3 / (exp(1) - 1))
    assert per_stay(2, renews=False) > per_stay(2, renews=True)


def test_a_cache_asks_once_in_its_lifetime_at_most() -> None:
    """However many requests come, a cache reads once a lifetime; where few come, it reads for nearly each of them."""
    terms = Terms(Crowd())
    month_s = float(terms.month.value)
    many = float(terms.cached(given(10, "cache", "s"), given(10**12, "requests")).value)
    few = float(terms.cached(given(10, "cache", "s"), given(100, "requests")).value)
    assert many == pytest.approx(month_s / 10, rel=1e-3)
    assert few == pytest.approx(100, rel=1e-2)


def test_a_bill_is_plan_and_lines_each_to_the_cent() -> None:
    """What the plan includes is free, the rest has its price, and the sum is turned into dollars at the end."""
    crowd = Crowd(people=1_000)
    made = bill(Calling(), crowd, a_book(), plan="paid")
    calls = 1_000 * 30 * 24 * 60
    charge = cents(Decimal(calls - 1_000_000) / 1_000_000 * Decimal("0.50"))
    assert made.total == 5 + charge
    assert made.total_usd == cents((5 + charge) * Decimal("1.10"))
    assert [load.title for load in made.broken] == ["calls"]
    assert made.accuracy.rank == Decimal("Infinity")


def test_a_free_plan_charges_nothing_and_has_daily_limits() -> None:
    """Nothing costs more than the plan, and what it allows a day is a load that may break."""
    within, beyond = (bill(Calling(), Crowd(people=people), a_book(), plan="free") for people in (69, 70))
    assert within.total == beyond.total == 0
    assert [load.title for load in within.broken] == []
    assert [(load.title, load.most) for load in beyond.broken] == [("Calls a day", Decimal(100_000))]


def test_the_crowd_that_breaks_a_limit_is_found_by_halving() -> None:
    """The smallest crowd that breaks each limit is found within 1 in 1,000, and one fewer does not break it."""
    found = breaks_at(Calling(), Crowd(), a_book(), plan="free")
    assert found.keys() == {"calls", "Calls a day"}
    assert found["Calls a day"] == 70
    assert found["calls"] == pytest.approx(600, rel=2e-3)
    assert breaks_at(Calling(), Crowd(), a_book(), plan="paid").keys() == {"calls"}


def test_what_cannot_be_priced_says_why() -> None:
    """An unknown rounding, a plan that the provider lacks, and times too far apart are errors of the configuration."""
    with pytest.raises(ConfigError, match="rounding must be one of"):
        bill(Calling(), Crowd(), a_book(), plan="paid", rounding="down")
    paid_only = parse_provider("acme", {**ACME, "plans": {"paid": ACME["plans"]["paid"]}, "items": {}})
    with pytest.raises(ConfigError, match=r"acme.toml has no plan 'free'"):
        bill(Calling(), Crowd(), Book({"acme": paid_only}), plan="free")


def test_the_better_count_ranks_first() -> None:
    """Accuracies are ordered by their root mean square error: of error and bias together."""
    sure = Accuracy(given(Decimal("0.03"), "error"), Decimal(0), "")
    biased = Accuracy(given(Decimal("0.03"), "error"), Decimal("0.04"), "")
    assert sure.rank == Decimal("0.03")
    assert biased.rank == Decimal("0.05")
    assert replace(biased, bias=None).rank > biased.rank
