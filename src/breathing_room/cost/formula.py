"""Numbers that remember how they were computed.

A ``Figure`` is computed with as any number is; beside its value it carries the formula, once in words and once with the numbers put in.
So each formula is written once, as code, and ``--explain`` prints what was computed and not what somebody wrote beside it.

::

    polls = (people * month / poll).named("polls", "requests")
    polls.value      Decimal 864000000
    polls.formula    people × month / poll
    polls.numbers    10,000 × 2,592,000 / 30
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Final, TypeAlias, Union

Number: TypeAlias = Union["Figure", Decimal, int, str]

SUM: Final = 1
PRODUCT: Final = 2
WHOLE: Final = 3
"""How tightly the parts of a text hold together: what holds less tightly than its surroundings is put in parentheses."""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A number and how it came about.

    Attributes:
        value: The number.
        text: What it is called, or the formula.
        digits: The number as it is written, or the formula with numbers put in.
        binding: How tightly both hold together.
        parts: The figures that it was computed from.
        unit: What it counts; empty for a pure number.
        origin: The formula of a figure that has a name; None for what was given.
        source: Where what was given comes from.
    """

    value: Decimal
    text: str
    digits: str
    binding: int = WHOLE
    parts: tuple["Figure", ...] = ()
    unit: str = ""
    origin: "Figure | None" = None
    source: str = ""

    def named(self, name: str, unit: str = "") -> "Figure":
        """Give a name to what was computed; formulas that use it say the name."""
        return Figure(self.value, name, number(self.value), parts=(self,), unit=unit, origin=self)

    @property
    def formula(self) -> str:
        """How it is computed, in words."""
        return self.text if self.origin is None else self.origin.text

    @property
    def numbers(self) -> str:
        """How it is computed, with the numbers put in."""
        return self.digits if self.origin is None else self.origin.digits

    def definitions(self) -> Iterator["Figure"]:
        """Yield the named figures that it rests on, each once and after what it rests on; itself the last."""
        seen: set[str] = set()

        def walk(figure: "Figure") -> Iterator["Figure"]:
            for part in figure.parts:
                yield from walk(part)
            if (figure.origin is not None or figure.source) and figure.text not in seen:
                seen.add(figure.text)
                yield figure

        return walk(self)

    def __add__(self, other: Number) -> "Figure":
        other = figure(other)
        return _join(self.value + other.value, self, " + ", other, SUM)

    def __sub__(self, other: Number) -> "Figure":
        other = figure(other)
        return _join(self.value - other.value, self, " - ", other, SUM, right=PRODUCT)

    def __mul__(self, other: Number) -> "Figure":
        other = figure(other)
        return _join(self.value * other.value, self, " × ", other, PRODUCT)

    def __truediv__(self, other: Number) -> "Figure":
        other = figure(other)
        return _join(self.value / other.value, self, " / ", other, PRODUCT, right=WHOLE)

    def __radd__(self, other: Number) -> "Figure":
        return figure(other) + self

    def __rsub__(self, other: Number) -> "Figure":
        return figure(other) - self

    def __rmul__(self, other: Number) -> "Figure":
        return figure(other) * self

    def __rtruediv__(self, other: Number) -> "Figure":
        return figure(other) / self


def figure(value: Number) -> Figure:
    """Take a plain number as a figure."""
    if isinstance(value, Figure):
        return value
    value = Decimal(value)
    return Figure(value, number(value), number(value))


def given(value: Decimal | int | str, name: str, unit: str = "", source: str = "given") -> Figure:
    """Name a number that is not computed, and say where it comes from."""
    return replace(figure(value), text=name, unit=unit, source=source)


def most(*numbers: Number) -> Figure:
    """Take the largest."""
    return _call("max", max, *numbers)


def least(*numbers: Number) -> Figure:
    """Take the smallest."""
    return _call("min", min, *numbers)


def up(value: Number) -> Figure:
    """Round up to a whole number."""
    return _call("up", lambda number: number.to_integral_value(ROUND_CEILING), value)


def exp(value: Number) -> Figure:
    """Compute e to the power of something."""
    return _call("exp", Decimal.exp, value)


def root(value: Number) -> Figure:
    """Compute a square root."""
    return _call("sqrt", Decimal.sqrt, value)


def total(*numbers: Number) -> Figure:
    """Add up."""
    first, *others = numbers
    result = figure(first)
    for other in others:
        result += other
    return result


def number(value: Decimal) -> str:
    """Write a number for people: thousands apart; four digits where it is not whole."""
    if value == value.to_integral_value() or abs(value) >= 1_000:
        return f"{round(value):,}"
    rounded = Decimal(f"{value:.4g}")
    return (
        f"{rounded:,f}".rstrip("0").rstrip(".")
        if rounded == rounded.to_integral_value()
        else f"{rounded.normalize():,f}"
    )


def money(value: Decimal, currency: str = "USD") -> str:
    """Write a sum, to the cent."""
    cents = value.quantize(Decimal("0.01"))
    sign = "-" if cents < 0 else ""
    return f"{sign}{SIGNS.get(currency, currency + ' ')}{abs(cents):,}"


SIGNS: Final = {"USD": "$", "EUR": "€"}


def _join(
    value: Decimal, left: Figure, sign: str, right_hand: Figure, binding: int, *, right: int = 0
) -> Figure:
    tight = right or binding
    text = (
        _fenced(left.text, left.binding < binding)
        + sign
        + _fenced(right_hand.text, right_hand.binding < tight)
    )
    digits = (
        _fenced(left.digits, left.binding < binding)
        + sign
        + _fenced(right_hand.digits, right_hand.binding < tight)
    )
    return Figure(value, text, digits, binding, (left, right_hand))


def _fenced(text: str, needed: bool) -> str:  # noqa: FBT001 - private, and named by what it does
    return f"({text})" if needed else text


def _call(name: str, function: "object", *numbers: Number) -> Figure:
    figures = tuple(map(figure, numbers))
    value = function(*(each.value for each in figures))  # type: ignore[operator]
    return Figure(
        value,
        f"{name}({', '.join(each.text for each in figures)})",
        f"{name}({', '.join(each.digits for each in figures)})",
        WHOLE,
        figures,
    )
