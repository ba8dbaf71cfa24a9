"""A strategy: a way to run a room, as one value that is composed of parts.

Theory of operation
-------------------
A strategy has three parts: how people *report*, how the room *stores* what they report, and how people *read*
the number. Each part has a kind, its words for the table, and its formulas. What a month takes of the price
book is the sum of the parts (``composed``).

What can be set about a strategy are its *knobs*: the parameters of the function that builds it, or of those
that build its parts, each declared with ``knob()`` as the parameter's default. A ``Builder`` checks the
settings, and passes them to that function as figures that print themselves:

::

    @builder
    def naive(name: str, *, poll_s: Figure = knob(10, "s", "between two polls")) -> Strategy: ...

    naive(poll_s=Decimal(30)).settings["poll_s"]      Decimal 30
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from inspect import signature
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.crowd import CrowdFigures
from breathing_room.lab.cost.formula import Figure, figure, given, least, root

FREE: Final = "free"

Setting: TypeAlias = Decimal | bool
"""The value of a knob: a number, or a switch."""

Usage: TypeAlias = Mapping[str, Figure]
"""How much of each item of the provider a month takes."""

UsageOf: TypeAlias = Callable[[CrowdFigures, Figure], Usage]
"""What a part takes, of a crowd and the reports that it makes in a month."""

LimitedLoad: TypeAlias = tuple[str, Figure, str]
"""The key of a limit, the load on it, and what happens above."""

LoadsOf: TypeAlias = Callable[[CrowdFigures, Usage, str], Iterable[LimitedLoad]]
"""What is limited, of a crowd, its usage and the plan."""


# --- Accuracy of a count ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Error and bias of a count.

    Attributes:
        error: The relative standard error; None where it means nothing.
        bias: What the count is on average, over the truth, minus 1; None where it is not known.
        words: The same for people.
    """

    error: Figure | None
    bias: Decimal | None
    words: str

    @property
    def rank(self) -> Decimal:
        """The root mean square error; smaller is better."""
        if self.error is None or self.bias is None:
            return Decimal("Infinity")
        return (self.error.value**2 + self.bias**2).sqrt()


EXACT: Final = Accuracy(figure(0), Decimal(0), "every visitor is counted")


def exact(crowd: CrowdFigures) -> Accuracy:
    """Return the accuracy of a count of connections."""
    del crowd
    return EXACT


def sample_error(crowd: CrowdFigures, share: Figure) -> Figure:
    """Return the relative standard error of a count from a share of the people, each in it with the same
    probability.
    """
    return root((1 - share) / (share * crowd.people)).named("error", "standard, relative")


def unbiased(error: Figure, more: str = "") -> Accuracy:
    """Return the accuracy of an unbiased count.

    Args:
        error: Its relative standard error.
        more: What is to be said beside it.
    """
    return Accuracy(error, Decimal(0), f"standard error {in_percent(error)}{more}")


def in_percent(error: Figure) -> str:
    """Format a relative error."""
    return f"{100 * error.value:.2g} %" if error.value else "0 %"


# --- Parts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reporting:
    """How people report.

    Attributes:
        kind: Who reports, and when: no client; all of them, each heartbeat; a random share of the heartbeats;
            a share of the visitors; all of them, each change; a panel of a fixed size; a socket, whose client
            sends; a connection to a service.
        words: The same for the table.
        reports: How many reports a month has.
        accuracy: Error and bias of the count.
    """

    kind: Literal["none", "heartbeats", "legacy", "sample", "changes", "panel", "sockets", "connections"]
    words: str
    reports: Callable[[CrowdFigures], Figure]
    accuracy: Callable[[CrowdFigures], Accuracy]


def nothing(crowd: CrowdFigures, reports: Figure) -> Usage:
    """Return the usage of a part that is not billed."""
    del crowd, reports
    return {}


@dataclass(frozen=True, slots=True)
class Storing:
    """How the room stores what is reported.

    Attributes:
        kind: Where: nowhere; one key that people read; an object that writes batches; a key for each visitor,
            by windows; objects that hold sockets; rows of one object; a file of a machine; a service that is
            bought.
        words: The same for the table.
        usage: What it takes.
    """

    kind: Literal["none", "key", "batches", "windows", "objects", "rows", "file", "service"]
    words: str
    usage: UsageOf = nothing


@dataclass(frozen=True, slots=True)
class Reading:
    """How people read the number.

    Attributes:
        kind: From where: the page itself; a Worker that is polled; a Worker with a cache; a CDN; a cache of
            one's own; pushed over the connection.
        words: The same for the table.
        usage: What it takes.
    """

    kind: Literal["page", "worker", "cached-worker", "cdn", "own-cache", "pushed"]
    words: str
    usage: UsageOf = nothing


def composed(reporting: Reporting, *usages: UsageOf) -> Callable[[CrowdFigures], Usage]:
    """Return what all parts take together, in the order of the bill's lines."""

    def usage(crowd: CrowdFigures) -> Usage:
        reports = reporting.reports(crowd)
        return {item: used for part in usages for item, used in part(crowd, reports).items()}

    return usage


def fixed_panel(size: Figure, heartbeat_s: Figure, *, mood_renews: bool = True) -> Reporting:
    """Return the reporting of a panel of a fixed size, which is as accurate for any crowd.

    Args:
        size: How many report, of a large crowd.
        heartbeat_s: The time between two heartbeats.
        mood_renews: Whether a change of mood is a heartbeat, too.
    """

    def reports(crowd: CrowdFigures) -> Figure:
        each = crowd.reports_per_visit(heartbeat_s, mood_renews=mood_renews)
        return (panel_share(size, crowd) * crowd.joins * each).named("reports", "a month")

    def accuracy(crowd: CrowdFigures) -> Accuracy:
        share = panel_share(size, crowd)
        return EXACT if share.value == 1 else unbiased(sample_error(crowd, share))

    return Reporting(
        "panel", "a panel of a fixed size: changes, and occasional heartbeats", reports, accuracy
    )


def panel_share(size: Figure, crowd: CrowdFigures) -> Figure:
    """Return the share of the visitors who report to a panel of a size."""
    return least(1, size / crowd.people).named("share", "of people report")


def every(month: Figure, seconds: Figure) -> Figure:
    """Return how often a month an action is repeated that is due every so many seconds; 0 s: never."""
    return month / seconds if seconds.value else figure(0)


# --- The whole --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assumption:
    """What a bill assumes beside its prices.

    Attributes:
        text: What is assumed.
        source: The address of what says so, or how it was found.
        grade: As in the price book.
        otherwise: The settings of the strategy if it is not so; None where the bill does not depend on it.
    """

    text: str
    source: str
    grade: str
    otherwise: Mapping[str, Setting] | None = None


def no_loads(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
    """Return the loads of a strategy that meets no limit."""
    del crowd, usage, plan
    return ()


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to run a room. Two are equal if they have the same name and settings, which determine all the
    rest.

    Attributes:
        name: What it is called.
        reporting: How people report.
        storing: How the room stores what is reported.
        reading: How people read the number.
        usage: How much of each item of the provider a month takes.
        loads: What is limited.
        assumptions: What the bill assumes beside its prices.
        provider: Who sends the bill.
        plans: The provider's plans that it can be run on, the dearest last.
        larger_plan: The plan for a crowd, where the requested one does not exist; None: the last of
            ``plans``.
        settings: What it was built with, by the names of its builder's knobs.
    """

    name: str
    reporting: Reporting = field(compare=False)
    storing: Storing = field(compare=False)
    reading: Reading = field(compare=False)
    usage: Callable[[CrowdFigures], Usage] = field(compare=False)
    loads: LoadsOf = field(compare=False, default=no_loads)
    assumptions: tuple[Assumption, ...] = field(compare=False)
    provider: str = field(compare=False, default="cloudflare")
    plans: tuple[str, ...] = field(compare=False, default=(FREE, "paid"))
    larger_plan: Callable[[CrowdFigures], str] | None = field(compare=False, default=None)
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def accuracy(self, crowd: CrowdFigures) -> Accuracy:
        """Return error and bias of the count."""
        return self.reporting.accuracy(crowd)

    def plan_of(self, crowd: CrowdFigures, plan: str) -> str:
        """Return the plan itself, or the one in its place if it does not exist here."""
        if plan in self.plans:
            return plan
        return self.plans[-1] if self.larger_plan is None else self.larger_plan(crowd)


# --- Builders ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Knob:
    """A parameter of a strategy: a number, or a switch.

    Attributes:
        default: What it is if it is not set.
        unit: What the number counts.
        meaning: What it means, and where the default comes from.
        zero: Whether 0 is allowed.
        most: The largest allowed value.
        is_whole: Whether it is a whole number.
    """

    default: Setting
    unit: str
    meaning: str
    zero: bool
    most: int
    is_whole: bool

    def check(self, name: str, value: Setting) -> None:
        """Check the range of a value.

        Raises:
            ConfigError: It is out of range.
        """
        if isinstance(value, bool):
            return
        if not 0 <= value <= self.most or (value == 0 and not self.zero):
            low = "from 0" if self.zero else "above 0 and"
            raise ConfigError(f"{name} must be {low} up to {self.most:,}, not {value:,}")

    def figure(self, name: str, value: Decimal | None = None) -> Figure:
        """Return a value, or the default, as a figure that knows its name, unit and meaning."""
        return given(self.default if value is None else value, name, self.unit, self.meaning)


def knob(default: str | int, unit: str, meaning: str, *, zero: bool = False, most: int = 10**9, whole: bool = False) -> Any:  # fmt: skip
    """Declare a parameter of a builder; a number is above 0, unless 0 is allowed.

    The function gets a ``Figure``, or a bool.
    """
    return Knob(default if isinstance(default, bool) else Decimal(default), unit, meaning, zero, most, whole)


def knobs_of(*functions: Callable[..., Any]) -> dict[str, Knob]:
    """Return the knobs of some functions, by the names of their parameters; functions that share a name share
    its knob.
    """
    found: dict[str, Knob] = {}
    for function in functions:
        for name, parameter in signature(function).parameters.items():
            if isinstance(parameter.default, Knob):
                assert found.setdefault(name, parameter.default) == parameter.default, name
    return found


class Builder:
    """Builds one strategy.

    Args:
        name: What the strategy is called.
        build: Takes the name and the knobs, as figures.
        knobs: Its knobs; None: those that it declares as the defaults of its parameters.
    """

    def __init__(
        self, name: str, build: Callable[..., Strategy], knobs: Mapping[str, Knob] | None = None
    ) -> None:
        self.name = name
        self.build = build
        self.knobs = knobs_of(build) if knobs is None else knobs

    def again(self, name: str, **defaults: bool) -> "Builder":
        """Make a builder of another strategy that differs in the defaults of some switches."""
        changed = {key: replace(self.knobs[key], default=default) for key, default in defaults.items()}
        return Builder(name, self.build, {**self.knobs, **changed})

    def __call__(self, **settings: Decimal | int | bool) -> Strategy:
        """Build the strategy.

        Args:
            **settings: By the names of the knobs.

        Raises:
            ConfigError: A setting is out of range.
            TypeError: The strategy has no such knob.
        """
        values = {key: settings.pop(key, entry.default) for key, entry in self.knobs.items()}
        chosen = {key: value if isinstance(value, bool) else Decimal(value) for key, value in values.items()}
        for key, value in chosen.items():
            self.knobs[key].check(key, value)
        figures = {
            key: value if isinstance(value, bool) else self.knobs[key].figure(key, value)
            for key, value in chosen.items()
        }
        made = self.build(self.name, **figures, **settings)
        return replace(made, settings=MappingProxyType(chosen))

    def figure(self, name: str) -> Figure:
        """Return the default of a knob as a figure."""
        return self.knobs[name].figure(name)


def builder(build: Callable[..., Strategy]) -> Builder:
    """Turn a function into the ``Builder`` of the strategy of its name; a decorator."""
    return Builder(build.__name__.replace("_", "-"), build)
