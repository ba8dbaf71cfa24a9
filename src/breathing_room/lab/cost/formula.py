"""Numbers with the formulas that they were computed by.

A ``Figure`` is computed with as any number is; beside its value it carries the formula, once in words and
once with the numbers put in. So each formula is written once, as code, and ``--explain`` prints what was
computed, not a text that was written beside it.

::

    polls = (people * month / poll).named("polls", "requests")
    polls.value      Decimal 864000000
    polls.formula    people × month / poll
    polls.numbers    10,000 × 2,592,000 / 30
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Final, TypeAlias, Union

Number: TypeAlias = Union["Figure", Decimal, int, str]

SUM: Final = 1
PRODUCT: Final = 2
WHOLE: Final = 3
"""Operator precedence: a part of lower precedence than its surroundings is put in parentheses."""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A number and the formula that it was computed by.

    Attributes:
        value: The number.
        parts: What it was computed from.
        pattern: How that is written, with ``{}`` for each part.
        holds: The precedence from which each part is written without parentheses.
        binding: The precedence of the whole.
        name: What it is called; empty for what has no name.
        unit: What it counts; empty for a pure number.
        source: Where it comes from, if it is not computed.
    """

    value: Decimal
    parts: tuple["Figure", ...] = ()
    pattern: str = ""
    holds: tuple[int, ...] = ()
    binding: int = WHOLE
    name: str = ""
    unit: str = ""
    source: str = ""

    def named(self, name: str, unit: str = "") -> "Figure":
        """Give a name to what was computed; formulas that use it show the name."""
        return replace(self, name=name, unit=unit)

    @property
    def text(self) -> str:
        """Its name, or its formula, as the formulas of others show it."""
        return self.name or self.formula

    @property
    def formula(self) -> str:
        """The formula in words, such as ``people × month / poll``."""
        return self._write([part.text for part in self.parts]) or self.name or number(self.value)

    @property
    def numbers(self) -> str:
        """The formula with numbers in place of words, such as ``10,000 × 2,592,000 / 30``."""
        return self._write(
            [number(part.value) if part.name else part.numbers for part in self.parts]
        ) or number(self.value)

    def _write(self, parts: list[str]) -> str:
        fenced = (
            f"({written})" if not part.name and part.binding < tight else written
            for written, part, tight in zip(parts, self.parts, self.holds, strict=True)
        )
        return self.pattern.format(*fenced)

    def definitions(self) -> Iterator["Figure"]:
        """Yield the named figures in its formula, each once and after those in its own; itself last."""
        seen: set[str] = set()

        def walk(figure: "Figure") -> Iterator["Figure"]:
            for part in figure.parts:
                yield from walk(part)
            if figure.name and figure.name not in seen:
                seen.add(figure.name)
                yield figure

        return walk(self)

    def __add__(self, other: Number) -> "Figure":
        other = figure(other)
        return Figure(self.value + other.value, (self, other), "{} + {}", (SUM, SUM), SUM)

    def __sub__(self, other: Number) -> "Figure":
        other = figure(other)
        return Figure(self.value - other.value, (self, other), "{} - {}", (SUM, PRODUCT), SUM)

    def __mul__(self, other: Number) -> "Figure":
        other = figure(other)
        return Figure(self.value * other.value, (self, other), "{} × {}", (PRODUCT, PRODUCT), PRODUCT)

    def __truediv__(self, other: Number) -> "Figure":
        other = figure(other)
        return Figure(self.value / other.value, (self, other), "{} / {}", (PRODUCT, WHOLE), PRODUCT)

    def __radd__(self, other: Number) -> "Figure":
        return figure(other) + self

    def __rsub__(self, other: Number) -> "Figure":
        return figure(other) - self

    def __rmul__(self, other: Number) -> "Figure":
        return figure(other) * self

    def __rtruediv__(self, other: Number) -> "Figure":
        return figure(other) / self


def figure(value: Number) -> Figure:
    """Convert a plain number to a ``Figure``."""
    return value if isinstance(value, Figure) else Figure(Decimal(value))


def given(value: Decimal | int | str, name: str, unit: str = "", source: str = "given") -> Figure:
    """Create a named figure that is an input and not computed, with its source."""
    return Figure(Decimal(value), name=name, unit=unit, source=source)


def most(*numbers: Number) -> Figure:
    """Return the largest of some figures."""
    return _call("max", max, *numbers)


def least(*numbers: Number) -> Figure:
    """Return the smallest of some figures."""
    return _call("min", min, *numbers)


def up(value: Number) -> Figure:
    """Round a figure up to a whole number."""
    return _call("up", lambda number: number.to_integral_value(ROUND_CEILING), value)


def exp(value: Number) -> Figure:
    """Return e to the power of a figure."""
    return _call("exp", Decimal.exp, value)


def root(value: Number) -> Figure:
    """Return the square root of a figure."""
    return _call("sqrt", Decimal.sqrt, value)


def number(value: Decimal) -> str:
    """Format a number: thousands separated; four digits where it is not whole."""
    if value == value.to_integral_value() or abs(value) >= 1_000:
        return f"{round(value):,}"
    rounded = Decimal(f"{value:.4g}")
    return (
        f"{rounded:,f}".rstrip("0").rstrip(".")
        if rounded == rounded.to_integral_value()
        else f"{rounded.normalize():,f}"
    )


def money(value: Decimal, currency: str = "USD") -> str:
    """Format a sum of money, to the cent."""
    cents = value.quantize(Decimal("0.01"))
    sign = "-" if cents < 0 else ""
    return f"{sign}{SIGNS.get(currency, currency + ' ')}{abs(cents):,}"


SIGNS: Final = {"USD": "$", "EUR": "€"}


def _call(name: str, function: Callable[..., Decimal], *numbers: Number) -> Figure:
    figures = tuple(map(figure, numbers))
    pattern = f"{name}({', '.join('{}' for _ in figures)})"
    return Figure(function(*(each.value for each in figures)), figures, pattern, (0,) * len(figures))
