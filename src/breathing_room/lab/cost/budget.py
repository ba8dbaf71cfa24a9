"""The most accurate way to run a room for a sum of money."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from breathing_room.lab.cost.book import BELIEVED, Book
from breathing_room.lab.cost.model import FREE, Bill, Crowd, Strategy, bill
from breathing_room.lab.cost.strategies import (
    STRATEGIES,
    DurableObject,
    Fixed,
    SelfHosted,
    SelfHostedPolled,
    strategy,
)

PANEL_MAX: Final = 1_000_000
HEADROOM: Final = Decimal("0.8")
"""A daily limit is not filled further than this: a surge must not stop the room until midnight."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A configuration within the budget.

    Attributes:
        bill: What it costs.
        settings: What `breathing-room serve` is to be told, by the names of its settings; None where it is none of its ways.
    """

    bill: Bill
    settings: dict[str, str | int] | None


def choices(
    crowd: Crowd,
    book: Book,
    budget_usd: Decimal,
    *,
    names: tuple[str, ...] = tuple(STRATEGIES),
    rounding: str = BELIEVED,
) -> list[Choice]:
    """List what can be had for a sum, the most accurate first, and of equals the cheapest.

    A panel is made as large as the sum allows. What breaks a limit, and what counts nobody, is left out.

    Args:
        crowd: Who is there.
        book: The prices.
        budget_usd: The most that a month may cost.
        names: The strategies to look at.
        rounding: How what is billed is rounded.
    """
    found = []
    for name in names:
        for plan in (FREE, "paid"):
            if plan not in STRATEGIES[name].plans and plan == FREE:
                continue
            best = _largest(strategy(name, plan), crowd, book, budget_usd, plan=plan, rounding=rounding)
            if best is not None and best.accuracy.rank.is_finite():
                found.append(Choice(best, settings_of(best.strategy)))
    return sorted(found, key=lambda choice: (round(choice.bill.accuracy.rank, 4), choice.bill.total_usd))


def settings_of(chosen: Strategy) -> dict[str, str | int] | None:
    """Say how `breathing-room serve` runs a room so, as far as it does."""
    if isinstance(chosen, Fixed | SelfHostedPolled):
        settings: dict[str, str | int] = {
            "mode": "poll",
            "panel_size": chosen.panel,
            "beat_ms": round(chosen.beat_s * 1_000),
            "next_ms": round(chosen.poll_s * 1_000),
        }
        if isinstance(chosen, Fixed):
            settings |= {
                "publish_ms": round(chosen.publish_s * 1_000),
                "presence_max_age_s": round(chosen.cache_s),
            }
        return settings
    if isinstance(chosen, SelfHosted):
        return {"mode": "socket"}
    return (
        {"mode": "socket", "push_ms": round(chosen.push_s * 1_000)}
        if isinstance(chosen, DurableObject)
        else None
    )


def _largest(
    asked: Strategy, crowd: Crowd, book: Book, budget_usd: Decimal, *, plan: str, rounding: str
) -> Bill | None:
    """Make the panel, if there is one, as large as the sum allows; None where not even the smallest is within it."""

    def fitting(tried: Strategy) -> Bill | None:
        made = bill(tried, crowd, book, plan=plan, rounding=rounding)
        # A duration cannot surge: it is that of an object which never sleeps.
        full = any(
            load.load.value > load.most * (HEADROOM if made.plan == FREE and load.unit != "GB-s" else 1)
            for load in made.loads
        )
        return None if full or made.total_usd > budget_usd else made

    if not isinstance(asked, Fixed):
        return fitting(asked)
    best = fitting(replace(asked, panel=1))
    low, high = 1, min(PANEL_MAX, crowd.people) + 1
    while best is not None and high - low > 1:
        middle = (low + high) // 2
        made = fitting(replace(asked, panel=middle))
        best, low, high = (made, middle, high) if made is not None else (best, low, middle)
    return best
