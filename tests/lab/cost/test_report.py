"""A bill as plain values."""

import json
from datetime import date, timedelta
from decimal import Decimal

from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.model import bill, breaks_at
from breathing_room.lab.cost.report import broken_words, describe, notes, otherwise, worst_grade
from breathing_room.lab.cost.strategies import STRATEGIES, strategy
from breathing_room.lab.cost.strategies.objects import durable_object
from breathing_room.lab.cost.strategies.polled import naive

BOOK = read_book()
CROWD = CrowdProfile(people=100_000)


def test_a_description_adds_up_and_is_json() -> None:
    """Base and charges are the total to the cent, each item has its source and the day it was read, and all
    of it is plain JSON.
    """
    for name in STRATEGIES:
        described = describe(bill(strategy(name), CROWD, BOOK, plan="paid"), {})
        assert json.loads(json.dumps(described)) == described
        charges = sum(Decimal(item["charge"]) for item in described["items"])
        assert Decimal(described["base"]) + charges == Decimal(described["total"])
        assert all(item["source"].startswith("https://") for item in described["items"])
        assert all(date.fromisoformat(item["checked"]) for item in described["items"])


def test_a_broken_limit_says_from_which_crowd_on() -> None:
    """A limit has its load, what there is, and the crowd that breaks it, in the description and in words."""
    breaks = breaks_at(naive(), CROWD, BOOK, plan="paid")
    made = bill(naive(), CROWD, BOOK, plan="paid")
    broken = [limit for limit in describe(made, breaks)["limits"] if limit["broken"]]
    assert broken
    for limit in broken:
        assert limit["load"] > limit["most"]
        assert limit["broken_from_people"] == breaks[limit["title"]] <= CROWD.people
    assert broken_words(made.broken[0], 1_234) == f"{made.broken[0].title}, from 1,234 people"
    assert broken_words(made.broken[0], None) == made.broken[0].title


def test_prices_that_are_not_the_vendors_own_words_are_noted() -> None:
    """The worst grade of a bill's prices is its grade, and every source below the best is listed; old ones
    are listed too.
    """
    bills = [bill(strategy(name), CROWD, BOOK, plan="paid") for name in STRATEGIES]
    checked = max(source.checked for made in bills for source in made.sources)
    for made in bills:
        below = {line.item.source.grade for line in made.lines} | {made.base_source.grade}
        assert worst_grade(made) == min(below, key="MTV".index)
        noted = "\n".join(notes([made], checked))
        assert all(source.url in noted for source in made.sources if source.grade != "V")
    assert len(notes(bills, checked + timedelta(days=3_650))) > len(notes(bills, checked))


def test_an_assumption_can_be_priced_the_other_way() -> None:
    """What a bill assumes is priced as if it were not so, where the bill depends on it."""
    assumed = {
        entry.text: otherwise(durable_object(), entry, CROWD, BOOK, plan="paid", rounding="believed")
        for entry in durable_object().assumptions
    }
    own = bill(durable_object(), CROWD, BOOK, plan="paid")
    changed = [made for made in assumed.values() if made is not None]
    assert changed
    assert all(made.total != own.total for made in changed)
