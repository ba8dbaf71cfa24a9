"""The crowd, a way to run a room, and the bill.

Theory of operation
-------------------
A *strategy* says how people report, how the room writes and how people read. For a steady crowd it gives its *usage*: how much of each
item of the price book a month takes, as formulas (``formula.py``) of people, stay, changes of mood, poll and beat times and panel size. The book
makes lines of a bill of it. A strategy also says what *loads* it puts on what cannot be bought, and what accuracy it buys.

People come as a Poisson stream and stay for an exponential time, so with N people and a mean stay T there are ``N / T`` joins a
second; somebody who does a thing on joining and then every b does it ``1 + 1 / (e^(b/T) - 1)`` times in a stay.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import ClassVar, Final

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import BELIEVED, ROUNDINGS, Book, Item, Limit, Source
from breathing_room.lab.cost.formula import Figure, exp, figure, given

MONTH_DAYS: Final = 30
"""Days in a month, in the vendors' examples and here."""

PEOPLE_MAX: Final = 1_000_000_000
FREE: Final = "free"


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """Who is there.

    Attributes:
        people: How many at a time.
        stay_s: How long they stay, on average.
        mood_changes: How often somebody feels otherwise in a stay.
        hours: How many hours a day they are there.
        leaves_share: The share of goodbyes that arrive.
    """

    people: int = 10_000
    stay_s: Decimal = Decimal(900)
    mood_changes: Decimal = Decimal(1)
    hours: Decimal = Decimal(24)
    leaves_share: Decimal = Decimal("0.92")

    def __post_init__(self) -> None:
        """Refuse a crowd that cannot be."""
        if not 1 <= self.people <= PEOPLE_MAX:
            raise ConfigError(f"people must be from 1 to {PEOPLE_MAX:,}, not {self.people:,}")
        if not 0 < self.hours <= 24:
            raise ConfigError(f"hours must be above 0 and at most 24, not {self.hours}")
        if not 1 <= self.stay_s <= MONTH_DAYS * 86_400:
            raise ConfigError(f"a stay must be from 1 s to {MONTH_DAYS} days, not {self.stay_s:,} s")
        if not 0 <= self.mood_changes <= 1_000:
            raise ConfigError(f"mood changes must be from 0 to 1,000, not {self.mood_changes:,}")
        if not 0 <= self.leaves_share <= 1:
            raise ConfigError(
                f"the share of goodbyes that arrive must be from 0 to 1, not {self.leaves_share}"
            )


class Terms:
    """A crowd as figures, and the formulas that all strategies share."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.people = given(crowd.people, "people", "people")
        self.stay = given(crowd.stay_s, "stay", "s")
        self.moods = given(crowd.mood_changes, "moods", "a stay")
        self.goodbyes = given(crowd.leaves_share, "goodbyes", "a stay")
        self.month = (MONTH_DAYS * given(crowd.hours, "hours", "a day") * 3_600).named("month", "s")
        self.joins = (self.people * self.month / self.stay).named("joins", "a month")

    def repeats(self, every: Figure) -> Figure:
        """How often in a stay somebody does what is done on joining and then every so often, the joining left out."""
        return 1 / (exp(every / self.stay) - 1)

    def polls(self, every: Figure) -> Figure:
        """Polls a month: on joining, and then every so often."""
        return (self.joins * (1 + self.repeats(every))).named("polls", "a month")

    def reports_per_stay(self, beat: Figure, *, mood_renews: bool) -> Figure:
        """Reports in a stay of somebody who tells of joining, moods and goodbye, and otherwise gives a sign of life every ``beat``.

        Args:
            beat: The time between two signs of life.
            mood_renews: Whether a change of mood is a sign of life, too, so that the next is due a beat later.
        """
        if mood_renews:
            rate = (1 + self.moods).named("endings", "a stay: a mood, or the stay itself")
            signs = rate / (exp(rate * beat / self.stay) - 1)
        else:
            signs = self.repeats(beat)
        return (1 + self.moods + self.goodbyes + signs.named("signs", "of life in a stay")).named(
            "reports_per_stay", "a stay"
        )

    def cached(self, lifetime: Figure, requests: Figure) -> Figure:
        """Reads through one cache in a month: a lifetime, and the wait for who asks next."""
        return self.month / (lifetime + self.month / requests)


@dataclass(frozen=True, slots=True)
class Line:
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
    """What a strategy puts on something that has a limit.

    Attributes:
        title: What is limited.
        load: How much of it is asked for.
        most: How much there is.
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
        """Whether it is more than there is."""
        return self.load.value > self.most


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a count is worth.

    Attributes:
        error: The relative standard error; None where it means nothing.
        bias: What the count is on average, over the truth, minus 1; None where nobody knows.
        words: The same for people.
    """

    error: Figure | None
    bias: Decimal | None
    words: str

    @property
    def rank(self) -> Decimal:
        """The larger the worse: the root mean square error."""
        if self.error is None or self.bias is None:
            return Decimal("Infinity")
        return (self.error.value**2 + self.bias**2).sqrt()


@dataclass(frozen=True, slots=True)
class Assumption:
    """What a bill rests on beside its prices.

    Attributes:
        text: What is assumed.
        source: The address of what says so, or how it was found.
        grade: As in the price book.
        otherwise: The strategy if it is not so; None where the bill does not depend on it.
    """

    text: str
    source: str
    grade: str
    otherwise: "Strategy | None" = None


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A way to run a room: how people report, how the room writes, how people read."""

    name: ClassVar[str]
    provider: ClassVar[str] = "cloudflare"
    plans: ClassVar[tuple[str, ...]] = (FREE, "paid")
    reports: ClassVar[str]
    writes: ClassVar[str]
    reads: ClassVar[str]

    def __post_init__(self) -> None:
        """Refuse settings that cannot be."""
        for entry in fields(self):
            value, most = getattr(self, entry.name), entry.metadata["most"]
            if isinstance(value, bool):
                continue
            if not 0 <= value <= most or (value == 0 and not entry.metadata["zero"]):
                least = "from 0" if entry.metadata["zero"] else "above 0 and"
                raise ConfigError(f"{entry.name} must be {least} up to {most:,}, not {value:,}")

    @abstractmethod
    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """Say how much of each item of the provider a month takes."""

    @abstractmethod
    def accuracy(self, terms: Terms) -> Accuracy:
        """Say what the count is worth."""

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """Name what is limited: the limit's key, the load on it, and what happens above."""
        del terms, usage, plan
        return ()

    def assumptions(self) -> tuple[Assumption, ...]:
        """List what the bill rests on beside its prices."""
        return ()

    def plan_of(self, terms: Terms, plan: str) -> str:
        """Say on which plan it is, if another was asked for that does not exist here."""
        del terms
        return plan if plan in self.plans else self.plans[-1]

    def set_to(self, name: str) -> Figure:
        """Take a setting as a figure."""
        entry = next(entry for entry in fields(self) if entry.name == name)
        value = getattr(self, name)
        return given(Decimal(str(value)), name, entry.metadata["unit"], entry.metadata["meaning"])


@dataclass(frozen=True, slots=True)
class Bill:
    """A month of a strategy.

    Attributes:
        strategy: Which.
        terms: For whom.
        plan: On what plan.
        currency: Of the provider.
        base: What the plan costs before anything is used.
        lines: What is used, and what that costs.
        loads: What has limits, the plan's daily ones first.
        accuracy: What the count is worth.
        usd: Dollars for one of the currency.
    """

    strategy: Strategy
    terms: Terms
    plan: str
    currency: str
    base: Decimal
    lines: tuple[Line, ...]
    loads: tuple[Load, ...]
    accuracy: Accuracy
    usd: Decimal
    base_source: Source

    @property
    def total(self) -> Decimal:
        """All of it, in the provider's currency, each line to the cent."""
        return self.base + sum((cents(line.charge.value) for line in self.lines), Decimal(0))

    @property
    def total_usd(self) -> Decimal:
        """All of it, in dollars."""
        return cents(self.total * self.usd)

    @property
    def broken(self) -> tuple[Load, ...]:
        """The limits that it breaks."""
        return tuple(load for load in self.loads if load.is_broken)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where its prices and limits come from."""
        sources = [
            self.base_source,
            *(line.item.source for line in self.lines),
            *(load.source for load in self.loads),
        ]
        return tuple(dict.fromkeys(sources))


def cents(value: Decimal) -> Decimal:
    """Round to the cent."""
    return value.quantize(Decimal("0.01"))


def bill(strategy: Strategy, crowd: Crowd, book: Book, *, plan: str, rounding: str = BELIEVED) -> Bill:
    """Price a month.

    Args:
        strategy: How the room is run.
        crowd: Who is there.
        book: The prices.
        plan: The provider's plan. Where it has no such plan, the cheapest one that has a price.
        rounding: One of ``ROUNDINGS``.

    Raises:
        ConfigError: The book lacks something, or there is no such rounding.
    """
    if rounding not in ROUNDINGS:
        raise ConfigError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
    try:
        return _bill(strategy, Terms(crowd), book, plan, rounding)
    except ArithmeticError as error:
        raise ConfigError("these times are too far apart to be computed with") from error


def _bill(strategy: Strategy, terms: Terms, book: Book, plan: str, rounding: str) -> Bill:
    provider = book.provider(strategy.provider)
    plan = strategy.plan_of(terms, plan)
    if plan not in provider.plans:
        raise ConfigError(f"{provider.name}.toml has no plan {plan!r}")
    usage = strategy.usage(terms)
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
            lines.append(Line(item, used, figure(0)))
        else:
            lines.append(Line(item, used, item.charge(used, plan, rounding)))
    for key, load, then in strategy.loads(terms, usage, plan):
        limit: Limit = book.limit(f"{provider.name}.{key}")
        loads.append(Load(limit.title, load, limit.value, limit.unit, limit.source, then))
    chosen = provider.plans[plan]
    return Bill(
        strategy, terms, plan, provider.currency, chosen.price, tuple(lines), tuple(loads),
        strategy.accuracy(terms), provider.usd, chosen.source,
    )  # fmt: skip


def breaks_at(strategy: Strategy, crowd: Crowd, book: Book, *, plan: str) -> dict[str, int]:
    """Find the smallest crowd that breaks each limit, within 1 in 1,000; limits that no crowd breaks are left out.

    Loads grow with the crowd, so it is sought by halving.
    """

    def broken(people: int) -> dict[str, Load]:
        at = Crowd(
            people=people, stay_s=crowd.stay_s, mood_changes=crowd.mood_changes,
            hours=crowd.hours, leaves_share=crowd.leaves_share,
        )  # fmt: skip
        return {load.title: load for load in bill(strategy, at, book, plan=plan).broken}

    found = {}
    for title in broken(PEOPLE_MAX):
        low, high = 0, PEOPLE_MAX
        while high - low > max(1, low // 1_000):
            middle = round((low * high) ** 0.5) if low else high // 1_000 or high // 2
            middle = min(max(middle, low + 1), high - 1)
            low, high = (low, middle) if title in broken(middle) else (middle, high)
        found[title] = high
    return found
