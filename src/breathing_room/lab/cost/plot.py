"""The chart of all bills."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from breathing_room.lab.cost.book import BELIEVED, Book
from breathing_room.lab.cost.chart import Series, draw
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.formula import number
from breathing_room.lab.cost.model import bill, breaks_at
from breathing_room.lab.cost.strategy import Strategy

PLOTTED: Final = (
    "naive", "sampled-cached", "lazy", "write-minimal", "durable-object", "fixed", "self-hosted", "self-hosted-ec2",
    "aws-api-gateway", "ably", "supabase",
)  # fmt: skip
"""The strategies that are drawn by default: all of them would overlap."""

PEOPLE_LOW: Final = 10
PEOPLE_HIGH: Final = 10_000_000
STEPS_A_DECADE: Final = 8


def plot(strategies: Sequence[Strategy], crowd: CrowdProfile, book: Book, *, plan: str, rounding: str = BELIEVED, mark: bool = False) -> str:  # fmt: skip
    """Draw the bills of some strategies from 10 to 10,000,000 people.

    Args:
        strategies: At least one.
        crowd: The crowd; its size matters only for the mark.
        book: The prices.
        plan: The plan.
        rounding: How what is billed is rounded.
        mark: Whether to mark the crowd.
    """
    steps = range(6 * STEPS_A_DECADE + 1)
    sizes = [round(PEOPLE_LOW * 10 ** (step / STEPS_A_DECADE)) for step in steps]
    series = []
    for strategy in strategies:
        points = [
            (
                people,
                float(
                    bill(
                        strategy, replace(crowd, people=people), book, plan=plan, rounding=rounding
                    ).total_usd
                ),
            )
            for people in sizes
        ]
        breaks = [
            people for people in breaks_at(strategy, crowd, book, plan=plan).values() if people <= PEOPLE_HIGH
        ]
        series.append(Series(strategy.name, points, max(min(breaks), PEOPLE_LOW) if breaks else None))
    title = f"A month, {plan} plan, visits of {number(crowd.visit_s / 60)} min, {number(crowd.hours)} h a day"
    return draw(series, title, mark=crowd.people if mark else None)
