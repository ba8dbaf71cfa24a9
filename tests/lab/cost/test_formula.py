"""Numbers that remember how they were computed."""

from decimal import Decimal

import pytest

from breathing_room.lab.cost.formula import exp, figure, given, least, money, most, number, root, up

PEOPLE = given(10_000, "people", "people")
POLL = given(30, "poll", "s")


def test_a_figure_says_its_formula_and_its_numbers() -> None:
    """Value, words and numbers come from one expression, and a name stands for all of it afterwards."""
    polls = (PEOPLE * 86_400 / POLL).named("polls", "a day")
    assert polls.value == 28_800_000
    assert polls.formula == "people × 86,400 / poll"
    assert polls.numbers == "10,000 × 86,400 / 30"
    assert (polls / 1_000_000).formula == "polls / 1,000,000"


def test_parentheses_stand_where_they_are_needed_and_nowhere_else() -> None:
    """What is printed and computed by hand gives the same number."""
    a, b, c = (given(value, name) for value, name in ((7, "a"), (2, "b"), (5, "c")))
    assert (a + b * c).formula == "a + b × c"
    assert ((a + b) * c).formula == "(a + b) × c"
    assert (a - (b - c)).formula == "a - (b - c)"
    assert (a / (b * c)).formula == "a / (b × c)"
    assert (1 - a / b).formula == "1 - a / b"
    assert up((a - b) / c).formula == "up((a - b) / c)"
    for made in (a + b * c, (a + b) * c, a - (b - c), a / (b * c), 1 - a / b, 10 / a, 3 + a):
        assert Decimal(eval(made.numbers.replace("×", "*"))) == pytest.approx(made.value)


def test_functions_are_named_as_they_are_called() -> None:
    """Each does what its name says, exactly."""
    half = given("0.5", "half")
    assert [most(0, half).value, least(0, half).value, up(half).value] == [
        Decimal("0.5"),
        Decimal(0),
        Decimal(1),
    ]
    assert root(figure(16)).value == 4
    assert exp(half).value == Decimal("0.5").exp()
    assert most(0, half).formula == "max(0, half)"


def test_definitions_are_listed_once_and_in_order() -> None:
    """Read from top to bottom, every name is explained before it is used."""
    day = (PEOPLE * 24).named("day")
    twice = (day + day / PEOPLE).named("twice")
    assert [definition.text for definition in twice.definitions()] == ["people", "day", "twice"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("864000000", "864,000,000"), ("0.03", "0.03"), ("0.0000125", "0.0000125"), ("14.50512", "14.51"),
        ("1234.5", "1,234"), ("-3", "-3"), ("0", "0"), ("0.99999", "1"), ("12.5", "12.5"), ("100", "100"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(value: str, written: str) -> None:
    """Thousands are separated, and superfluous digits are not printed."""
    assert number(Decimal(value)) == written


def test_money_is_written_to_the_cent() -> None:
    """Every sum has two digits, and its currency."""
    assert money(Decimal("2121.844")) == "$2,121.84"
    assert money(Decimal("5.49"), "EUR") == "€5.49"
    assert money(Decimal(-3)) == "-$3.00"
