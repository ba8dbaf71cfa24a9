"""The bill: what a month of a strategy takes, priced, and its loads on limits that cannot be raised.

Theory of operation
-------------------
For a steady crowd a strategy (``strategy.py``) gives its *usage*: how much of each item of the price book a
month takes, as formulas (``formula.py``). The book makes lines of a bill of it. The strategy's *loads* are
held against the limits that no money removes.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import BELIEVED, ROUNDINGS, Book, Item, Limit, Source
from breathing_room.lab.cost.crowd import MONTH_DAYS, PEOPLE_MAX, CrowdFigures, CrowdProfile
from breathing_room.lab.cost.formula import Figure, figure
from breathing_room.lab.cost.strategy import FREE, Accuracy, Strategy


@dataclass(frozen=True, slots=True)
class BillLine:
    """A line of a bill.

    Attributes:
        item: What is billed.
        used: How much of it, in a month.
        charge: What it costs, in the provider's currency.
    """

    item: Item
    used: Figure
    charge: Figure


@dataclass(frozen=True, slots=True)
class Load:
    """The load of a strategy on something that has a limit.

    Attributes:
        title: What is limited.
        load: The load.
        most: The limit.
        unit: Of what.
        source: Where the limit comes from.
        then: What happens above it.
    """

    title: str
    load: Figure
    most: Decimal
    unit: str
    source: Source
    then: str

    @property
    def is_broken(self) -> bool:
        """Whether the load exceeds the limit."""
        return self.load.value > self.most


@dataclass(frozen=True, slots=True)
class Bill:
    """A month of a strategy.

    Attributes:
        strategy: Which.
        crowd: The crowd that it is for.
        plan: On what plan.
        currency: Of the provider.
        base: What the plan costs before anything is used.
        lines: What is used, and what that costs.
        loads: What has limits, the plan's daily ones first.
        accuracy: Error and bias of the count.
        usd: Dollars for one of the currency.
    """

    strategy: Strategy
    crowd: CrowdFigures
    plan: str
    currency: str
    base: Decimal
    lines: tuple[BillLine, ...]
    loads: tuple[Load, ...]
    accuracy: Accuracy
    usd: Decimal
    base_source: Source

    @property
    def total(self) -> Decimal:
        """The total in the provider's currency, each line rounded to the cent."""
        return self.base + sum((cents(line.charge.value) for line in self.lines), Decimal(0))

    @property
    def total_usd(self) -> Decimal:
        """The total in dollars."""
        return cents(self.total * self.usd)

    @property
    def broken(self) -> tuple[Load, ...]:
        """The loads that exceed their limits."""
        return tuple(load for load in self.loads if load.is_broken)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources of its prices and limits."""
        sources = [
            self.base_source,
            *(line.item.source for line in self.lines),
            *(load.source for load in self.loads),
        ]
        return tuple(dict.fromkeys(sources))


def cents(value: Decimal) -> Decimal:
    """Round to the cent."""
    return value.quantize(Decimal("0.01"))


def bill(strategy: Strategy, crowd: CrowdProfile, book: Book, *, plan: str, rounding: str = BELIEVED) -> Bill:
    """Price a month.

    Args:
        strategy: How the room is run.
        crowd: The crowd.
        book: The prices.
        plan: The provider's plan. Where it has no such plan, the cheapest one that has a price.
        rounding: One of ``ROUNDINGS``.

    Raises:
        ConfigError: The book lacks something, or there is no such rounding.
    """
    if rounding not in ROUNDINGS:
        raise ConfigError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
    try:
        return _bill(strategy, CrowdFigures(crowd), book, plan, rounding)
    except ArithmeticError as error:
        raise ConfigError("these times are too far apart to be computed with") from error


def _bill(strategy: Strategy, crowd: CrowdFigures, book: Book, plan: str, rounding: str) -> Bill:
    provider = book.provider(strategy.provider)
    plan = strategy.plan_of(crowd, plan)
    if plan not in provider.plans:
        raise ConfigError(f"{provider.name}.toml has no plan {plan!r}")
    usage = strategy.usage(crowd)
    lines, loads = [], []
    for key, used in usage.items():
        item = book.item(f"{provider.name}.{key}")
        if plan in item.daily:
            loads.append(
                Load(
                    f"{item.title} a day", (used / MONTH_DAYS).named("a day"), item.daily[plan], item.unit, item.source,
                    "further calls fail until midnight UTC",
                )
            )  # fmt: skip
        # What a free plan names no allowance of, it does not charge for.
        if plan == FREE and plan not in item.included:
            lines.append(BillLine(item, used, figure(0)))
        else:
            lines.append(BillLine(item, used, item.charge(used, plan, rounding)))
    for key, load, then in strategy.loads(crowd, usage, plan):
        limit: Limit = book.limit(f"{provider.name}.{key}")
        loads.append(Load(limit.title, load, limit.value, limit.unit, limit.source, then))
    chosen = provider.plans[plan]
    return Bill(
        strategy, crowd, plan, provider.currency, chosen.price, tuple(lines), tuple(loads),
        strategy.accuracy(crowd), provider.usd, chosen.source,
    )  # fmt: skip


def breaks_at(strategy: Strategy, crowd: CrowdProfile, book: Book, *, plan: str) -> dict[str, int]:
    """Find the smallest crowd that breaks each limit, within 1 in 1,000; limits that no crowd breaks are left
    out.

    Loads grow with the crowd, so it is found by bisection.
    """

    def broken(people: int) -> dict[str, Load]:
        made = bill(strategy, replace(crowd, people=people), book, plan=plan)
        return {load.title: load for load in made.broken}

    found = {}
    for title in broken(PEOPLE_MAX):
        low, high = 0, PEOPLE_MAX
        while high - low > max(1, low // 1_000):
            middle = round((low * high) ** 0.5) if low else high // 1_000 or high // 2
            middle = min(max(middle, low + 1), high - 1)
            low, high = (low, middle) if title in broken(middle) else (middle, high)
        found[title] = high
    return found
