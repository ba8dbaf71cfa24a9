"""A bill as plain values: for JSON, for tables, and for the page."""

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from breathing_room.lab.cost.book import GRADES, Book, old
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.model import Bill, Load, bill, cents
from breathing_room.lab.cost.strategies import changed
from breathing_room.lab.cost.strategy import Assumption, Strategy

UNVERIFIED: Final = "M"


def describe(made: Bill, breaks: dict[str, int]) -> dict[str, Any]:
    """Return a bill as plain values; money as text, to the cent.

    Args:
        made: The bill.
        breaks: The size of the crowd that breaks each limit.
    """
    error = made.accuracy.error
    return {
        "strategy": made.strategy.name,
        "reports": made.strategy.reporting.words,
        "writes": made.strategy.storing.words,
        "reads": made.strategy.reading.words,
        "provider": made.strategy.provider,
        "plan": made.plan,
        "currency": made.currency,
        "total": str(cents(made.total)),
        "total_usd": str(made.total_usd),
        "base": str(cents(made.base)),
        "grade": worst_grade(made),
        "items": [
            {
                "item": line.item.key,
                "title": line.item.title,
                "unit": line.item.unit,
                "used": round(line.used.value),
                "charge": str(cents(line.charge.value)),
                "source": line.item.source.url,
                "checked": line.item.source.checked.isoformat(),
                "grade": line.item.source.grade,
            }
            for line in made.lines
        ],
        "limits": [
            {
                "title": load.title,
                "load": float(round(load.load.value, 3)),
                "most": float(load.most),
                "unit": load.unit,
                "broken": load.is_broken,
                "broken_from_people": breaks.get(load.title),
                "then": load.then,
                "source": load.source.url,
            }
            for load in made.loads
        ],
        "accuracy": {
            "error": None if error is None else float(round(error.value, 5)),
            "bias": None if made.accuracy.bias is None else float(round(made.accuracy.bias, 3)),
            "words": made.accuracy.words,
        },
        "unverified": [entry.text for entry in made.strategy.assumptions if entry.grade == UNVERIFIED],
    }


def notes(bills: Iterable[Bill], today: date) -> list[str]:
    """List the prices that are not from the vendor's own text, or were read long ago."""
    sources = tuple(dict.fromkeys(source for made in bills for source in made.sources))
    found = [f"{source.grade}  {source.url}, {source.checked}" for source in sources if source.grade != "V"]
    return sorted(found, reverse=True) + old(sources, today)


def worst_grade(made: Bill) -> str:
    """Return the worst grade of the prices of a bill: V, T or M."""
    grades = {made.base_source.grade, *(line.item.source.grade for line in made.lines)}
    return next(grade for grade in reversed(GRADES) if grade in grades)


def broken_words(load: Load, at_people: int | None) -> str:
    """Format a limit that is broken."""
    from_people = "" if at_people is None else f", from {at_people:,} people"
    return f"{load.title}{from_people}"


def otherwise(
    strategy: Strategy, assumption: Assumption, crowd: CrowdProfile, book: Book, *, plan: str, rounding: str
) -> Bill | None:
    """Price the settings that apply if an assumption of a strategy fails; None where it has no effect."""
    if assumption.otherwise is None:
        return None
    return bill(changed(strategy, assumption.otherwise), crowd, book, plan=plan, rounding=rounding)
