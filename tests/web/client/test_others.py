"""How many others are here, and how a language writes and inflects that, asked directly in Node."""

import json
from typing import Any

import pytest

from node import node


def others(*presences: Any, counted: bool = True, displayed: int | None = None) -> list[Any]:
    """What is found of each presence: its exact number, what is shown, whether that is rounded, and whether
    none is certain.
    """
    given = [
        {"count": count, "low": low, "high": high, "label": label[0] if label else f"{count:,}"}
        for count, low, high, *label in presences
    ]
    found = (
        f"it.othersOf(presence, {json.dumps(counted)}, {json.dumps(displayed) if displayed else 'undefined'})"
    )
    row = f"(({{exact, number, about, certain}}) => [exact, number, about, certain])({found})"
    rows = node("others.js", f"given.map((presence) => {row})", *given)
    assert isinstance(rows, list)
    return rows


def test_the_reader_is_no_other() -> None:
    """
    U3: a counted reader is not one of the others, of whom there are never fewer than none nor more than the
    interval has room for.
    """
    found: dict[tuple[Any, ...], list[Any]] = {
        (1, 1, 1): [0, 0, False, True],
        (2, 2, 2): [1, 1, False, False],
        (12_346, 12_346, 12_346): [12_345, 12_345, False, False],
        # The count does not have the reader yet.
        (0, 0, 0): [0, 0, False, False],
        # There may be more than are counted.
        (1, 1, 3): [0, 0, False, False],
        (1, 1, 5, "about 2"): [0, 0, False, False],
        # The server's rounding is kept, as long as there can be so many others.
        (10_240, 9_270, 11_310, "about 10,000"): [10_239, 10_000, True, False],
        (20, 0, 20, "about 20"): [19, 19, True, False],
    }
    assert others(*found) == list(found.values())


def test_an_observer_sees_others_only() -> None:
    """Where the reader is not counted, everyone who is counted is another."""
    found = others((12, 12, 12), (0, 0, 0), (0, 0, 3), counted=False)
    assert found == [[12, 12, False, False], [0, 0, False, True], [0, 0, False, False]]


def test_an_interpolated_count_includes_the_reader() -> None:
    """Between two polls the displayed count includes the reader, as the count itself does."""
    assert others((500, 400, 500), displayed=450) == [[499, 449, False, False]]
    assert others((2, 1, 2), displayed=1) == [[1, 0, False, False]]


@pytest.mark.parametrize(
    ("lang", "exact", "about"),
    [
        ("en", "12,345", "~12,345"),
        ("de", "12.345", "≈12.345"),
        ("pl", "12 345", "~12 345"),
        ("fr", "12 345", "≃12 345"),
        ("ja", "12,345", "約12,345"),
        ("ar-EG", "١٢٬٣٤٥", "~١٢٬٣٤٥"),
    ],
)
def test_numbers_of_a_language(lang: str, exact: str, about: str) -> None:
    """
    U4: a language writes the digits, and where we have no word for it the sign for "about", in its own way.
    """
    figure = "[false, true].map((about) => new it.Counting(given[0]).figure({number: 12345, about}))"
    written = [text.replace("\u202f", " ").replace("\xa0", " ") for text in node("others.js", figure, lang)]
    assert [text.replace("\u200e", "").replace("\u200f", "") for text in written] == [exact, about]


def test_more_than_a_number() -> None:
    """A capped number is written with a plus and is never singular."""
    phrase = (
        "new it.Counting('en').phrase({one: '{n} person', other: '{n} people'}, {number: 1, capped: true})"
    )
    assert node("others.js", phrase) == "1+ people"
