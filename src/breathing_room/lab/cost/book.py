"""The price book: one TOML file per provider, checked when it is read.

A file names its *sources* (address, the day on which it was read, a grade), and what it says points to them:
*plans* with their monthly price, *items* that are billed, and *limits* that no money removes. Prices are
text, so that they stay decimal.

Grades: ``V`` the vendor's own text was read; ``T`` a third party quotes the vendor; ``M`` from memory,
unverified.

Rounding: ``up`` to whole units, or ``pro rata``. Where sources disagree an item lists both, the believed one
first.

Adding a provider is adding a file.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.formula import Figure, given, most, up

GRADES: Final = {"V": "the vendor's own text", "T": "a third party's reading", "M": "from memory, unverified"}

UP: Final = "up"
PRO_RATA: Final = "pro rata"
BELIEVED: Final = "believed"
ROUNDINGS: Final = (BELIEVED, UP, PRO_RATA)

OLD_DAYS: Final = 180
"""A source that was read longer ago is reported as old."""


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a fact.

    Attributes:
        name: What the file calls it.
        url: Its address.
        checked: When it was read.
        grade: How reliable it is, of ``GRADES``.
        note: A remark on it.
    """

    name: str
    url: str
    checked: date
    grade: str
    note: str = ""

    def __str__(self) -> str:
        """Format it on one line."""
        return f"{self.url} (checked {self.checked}, {self.grade})"


@dataclass(frozen=True, slots=True)
class PricePlan:
    """The monthly price of a plan, before any use."""

    name: str
    price: Decimal
    source: Source


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is billed.

    Attributes:
        key: ``provider.item``.
        title: What it is called.
        unit: What is counted.
        price: For ``per`` units.
        per: How many units the price is for.
        included: Units a month by plan.
        daily: Units a day by plan, after which calls fail.
        rounding: The believed rule first.
        above: Lower prices, each from so many units a month on.
        source: The source of all that.
    """

    key: str
    title: str
    unit: str
    price: Decimal
    per: Decimal
    included: Mapping[str, Decimal]
    daily: Mapping[str, Decimal]
    rounding: tuple[str, ...]
    above: tuple[tuple[Decimal, Decimal], ...]
    source: Source

    def charge(self, used: Figure, plan: str, rounding: str = BELIEVED) -> Figure:
        """Compute what a month's use costs over what the plan includes.

        Args:
            used: Units in the month.
            plan: The plan.
            rounding: The believed rule of each item, or the one named wherever the item's sources allow it.
        """
        rule = rounding if rounding in self.rounding else self.rounding[0]
        included = self.included.get(plan)
        over = (
            used
            if included is None
            else most(0, used - given(included, "included", self.unit, str(self.source)))
        )
        units = over / given(self.per, "unit", self.unit, str(self.source)) if self.per != 1 else over
        if rule == UP:
            units = up(units)
        charge = units * given(self.price, "price", "", str(self.source))
        former = self.price
        for begins, price in self.above:
            beyond = most(0, used - begins) / self.per
            charge -= beyond * (former - price)
            former = price
        return charge


@dataclass(frozen=True, slots=True)
class Limit:
    """A load that the provider refuses at any price.

    Attributes:
        key: ``provider.limit``.
        title: What is limited.
        value: The most.
        unit: Of what.
        source: The source.
    """

    key: str
    title: str
    value: Decimal
    unit: str
    source: Source


@dataclass(frozen=True, slots=True)
class Provider:
    """The content of one file."""

    name: str
    title: str
    currency: str
    usd: Decimal
    sources: Mapping[str, Source]
    plans: Mapping[str, PricePlan]
    items: Mapping[str, Item]
    limits: Mapping[str, Limit]


@dataclass(frozen=True, slots=True)
class Book:
    """All providers."""

    providers: Mapping[str, Provider] = field(default_factory=dict)

    def provider(self, name: str) -> Provider:
        """Find a provider.

        Raises:
            ConfigError: The book has none of that name.
        """
        if name not in self.providers:
            raise ConfigError(f"the price book has no provider {name!r}; it has {', '.join(self.providers)}")
        return self.providers[name]

    def item(self, key: str) -> Item:
        """Find an item by ``provider.item``.

        Raises:
            ConfigError: There is none.
        """
        name, _, item = key.partition(".")
        items = self.provider(name).items
        if item not in items:
            raise ConfigError(f"{name}.toml has no item {item!r}; it has {', '.join(items)}")
        return items[item]

    def limit(self, key: str) -> Limit:
        """Find a limit by ``provider.limit``.

        Raises:
            ConfigError: There is none.
        """
        name, _, limit = key.partition(".")
        limits = self.provider(name).limits
        if limit not in limits:
            raise ConfigError(f"{name}.toml has no limit {limit!r}; it has {', '.join(limits)}")
        return limits[limit]


def old(sources: Iterable[Source], today: date) -> list[str]:
    """List the sources that were read more than ``OLD_DAYS`` ago."""
    return [
        f"{source.url} was read {(today - source.checked).days} days ago, on {source.checked}: check it again"
        for source in dict.fromkeys(sources)
        if (today - source.checked).days > OLD_DAYS
    ]


# --- Reading ----------------------------------------------------------------------------------------------


def read_book(folder: Path | None = None) -> Book:
    """Read the prices that come with the package, and those of a folder in place of or beside them.

    Raises:
        ConfigError: A file cannot be read, or its content is invalid. The message names the file and the key.
    """
    shipped: list[Traversable] = list((resources.files(__package__) / "prices").iterdir())
    files: list[Traversable | Path] = [*shipped]
    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(f"there is no folder {folder}")
        files += folder.iterdir()
    providers = {
        file.name.removesuffix(".toml"): _read(file)
        for file in sorted(files, key=lambda file: file.name)
        if file.name.endswith(".toml")
    }
    return Book(providers)


def _read(file: Traversable | Path) -> Provider:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return parse_provider(file.name.removesuffix(".toml"), table)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file.name} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file.name} is not valid TOML: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{file.name}: {error}") from None


def parse_provider(name: str, table: Mapping[str, Any]) -> Provider:
    """Check the content of a file.

    Raises:
        ConfigError: The content is invalid. The message names the key.
    """
    top = _Table(table, "")
    sources = {key: _source(key, inner) for key, inner in top.tables("sources")}

    def source(inner: "_Table") -> Source:
        named = inner.text("source")
        if named not in sources:
            raise ConfigError(f"{inner.where}source names {named!r}, which [sources] does not have")
        return sources[named]

    plans = {
        key: PricePlan(key, inner.decimal("price"), source(inner.only("price", "source")))
        for key, inner in top.tables("plans")
    }
    items = {key: _item(name, key, inner, plans, source) for key, inner in top.tables("items")}
    limits = {
        key: Limit(
            f"{name}.{key}", inner.text("title"), inner.decimal("value"), inner.text("unit"),
            source(inner.only("title", "value", "unit", "source")),
        )
        for key, inner in top.tables("limits", required=False)
    }  # fmt: skip
    top.only("title", "currency", "usd", "sources", "plans", "items", "limits")
    currency = top.text("currency")
    usd = Decimal(1) if currency == "USD" else top.decimal("usd")
    return Provider(name, top.text("title"), currency, usd, sources, plans, items, limits)


def _source(name: str, table: "_Table") -> Source:
    table.only("url", "checked", "grade", "note")
    url, checked, grade = table.text("url"), table.value("checked", "a date"), table.text("grade")
    if urlsplit(url).scheme != "https":
        raise ConfigError(f"{table.where}url must be an https address, not {url!r}")
    if type(checked) is not date:
        raise ConfigError(f"{table.where}checked must be a date, such as 2026-11-22")
    if grade not in GRADES:
        raise ConfigError(f"{table.where}grade must be one of {', '.join(GRADES)}, not {grade!r}")
    return Source(name, url, checked, grade, table.text("note", default=""))


def _item(provider: str, name: str, table: "_Table", plans: Mapping[str, PricePlan], source: Any) -> Item:
    table.only("title", "unit", "price", "per", "included", "daily", "rounding", "above", "source")
    rounding = tuple(table.value("rounding", "a list"))
    if not rounding or any(rule not in {UP, PRO_RATA} for rule in rounding):
        raise ConfigError(
            f'{table.where}rounding must be a list of "{UP}" and "{PRO_RATA}", the believed one first'
        )
    quantities = {}
    for key in ("included", "daily"):
        inner = _Table(table.table.get(key, {}), f"{table.where}{key}.")
        inner.only(*plans)
        quantities[key] = {plan: inner.decimal(plan) for plan in inner.table}
    above = _Table(table.table.get("above", {}), f"{table.where}above.")
    return Item(
        key=f"{provider}.{name}",
        title=table.text("title"),
        unit=table.text("unit"),
        price=table.decimal("price"),
        per=table.decimal("per"),
        included=quantities["included"],
        daily=quantities["daily"],
        rounding=rounding,
        above=tuple(sorted((_decimal(begins, above.where), above.decimal(begins)) for begins in above.table)),
        source=source(table),
    )


class _Table:
    """A table of a file, with its path for error messages."""

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, dict):
            raise ConfigError(f"{where.removesuffix('.')} must be a table")
        self.table = table
        self.where = where

    def value(self, key: str, kind: str) -> Any:
        if key not in self.table:
            raise ConfigError(f"{self.where}{key} is missing; it must be {kind}")
        return self.table[key]

    def text(self, key: str, *, default: str | None = None) -> str:
        if default is not None and key not in self.table:
            return default
        value = self.value(key, "text")
        if not isinstance(value, str) or not (value or default == ""):
            raise ConfigError(f"{self.where}{key} must be text, not {value!r}")
        return value

    def decimal(self, key: str) -> Decimal:
        return _decimal(self.value(key, 'a number as text, such as "0.30"'), f"{self.where}{key}")

    def tables(self, key: str, *, required: bool = True) -> Iterable[tuple[str, "_Table"]]:
        inner = self.value(key, "a table") if required else self.table.get(key, {})
        for name, table in _Table(inner, f"{key}.").table.items():
            yield name, _Table(table, f"{key}.{name}.")

    def only(self, *keys: str) -> "_Table":
        for key in self.table:
            if key not in keys:
                raise ConfigError(f"{self.where}{key} is not known; there are {', '.join(keys)}")
        return self


def _decimal(value: Any, where: str) -> Decimal:
    if isinstance(value, str):
        try:
            number = Decimal(value.replace("_", ""))
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite() and number >= 0:
            return number
    raise ConfigError(f'{where} must be a number as text, such as "0.30", and not below 0: {value!r}')
