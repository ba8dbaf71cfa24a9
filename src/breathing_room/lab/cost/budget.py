"""The most accurate way to run a room for a sum of money."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from breathing_room.lab.cost.book import BELIEVED, Book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.model import Bill, bill
from breathing_room.lab.cost.strategies import STRATEGIES, changed, strategy
from breathing_room.lab.cost.strategy import FREE, Strategy

PANEL_MAX: Final = 1_000_000
HEADROOM: Final = Decimal("0.8")
"""A daily limit is not filled further than this: a surge must not stop the room until midnight."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A configuration within the budget.

    Attributes:
        bill: What it costs.
        settings: The settings of `breathing-room serve` for it, by name; None where the server cannot run it.
    """

    bill: Bill
    settings: dict[str, str | int] | None


def choices(
    crowd: CrowdProfile,
    book: Book,
    budget_usd: Decimal,
    *,
    names: tuple[str, ...] = tuple(STRATEGIES),
    rounding: str = BELIEVED,
) -> list[Choice]:
    """List the configurations within a budget, the most accurate first, and of equals the cheapest.

    A panel is made as large as the sum allows. What breaks a limit or does not count is left out.

    Args:
        crowd: The crowd.
        book: The prices.
        budget_usd: The most that a month may cost.
        names: The strategies to compare.
        rounding: How what is billed is rounded.
    """
    found = []
    for name in names:
        for plan in (FREE, "paid"):
            asked = strategy(name, plan)
            if plan not in asked.plans and plan == FREE:
                continue
            best = _largest(asked, crowd, book, budget_usd, plan=plan, rounding=rounding)
            if best is not None and best.accuracy.rank.is_finite():
                found.append(Choice(best, settings_of(best.strategy)))
    return sorted(found, key=lambda choice: (round(choice.bill.accuracy.rank, 4), choice.bill.total_usd))


def settings_of(chosen: Strategy) -> dict[str, str | int] | None:
    """Return the settings of `breathing-room serve` for a strategy; None where the server cannot run it."""

    def ms(knob: str) -> int:
        return round(1_000 * chosen.settings[knob])

    settings: dict[str, str | int]
    match chosen.reporting.kind:
        case "panel":
            size = int(chosen.settings["panel"])
            settings = {
                "mode": "poll",
                "panel_size": size,
                "heartbeat_ms": ms("heartbeat_s"),
                "poll_ms": ms("poll_s"),
            }
        case "sockets":
            settings = {"mode": "socket"}
        case _:
            return None
    if chosen.storing.kind == "objects":
        settings["push_ms"] = ms("push_s")
    if chosen.reading.kind == "cdn":
        age_s = round(chosen.settings["cache_s"])
        settings |= {"publish_ms": ms("publish_s"), "presence_max_age_s": age_s}
    return settings


def _largest(
    asked: Strategy, crowd: CrowdProfile, book: Book, budget_usd: Decimal, *, plan: str, rounding: str
) -> Bill | None:
    """Make the panel, if there is one, as large as the sum allows; None where not even the smallest is within
    it.
    """

    def fitting(tried: Strategy) -> Bill | None:
        made = bill(tried, crowd, book, plan=plan, rounding=rounding)
        # A duration cannot surge: it is that of an object that never hibernates.
        full = any(
            load.load.value > load.most * (HEADROOM if made.plan == FREE and load.unit != "GB-s" else 1)
            for load in made.loads
        )
        return None if full or made.total_usd > budget_usd else made

    if not (asked.reporting.kind == "panel" and asked.storing.kind == "rows"):
        return fitting(asked)
    best = fitting(changed(asked, {"panel": 1}))
    low, high = 1, min(PANEL_MAX, crowd.people) + 1
    while best is not None and high - low > 1:
        middle = (low + high) // 2
        made = fitting(changed(asked, {"panel": middle}))
        best, low, high = (made, middle, high) if made is not None else (best, low, middle)
    return best
