"""The bills of all strategies as commit fcd8191 printed them, in the
words of today: no number has changed.
"""

import json
import re
from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest
from click.testing import CliRunner

from breathing_room.cli import cost_tables, main
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.model import bill
from breathing_room.lab.cost.strategies import STRATEGIES, changed, strategy
from written import FOLDER, read

RENAMED: Final = {"beat_s": "heartbeat_s"}
"""Settings of strategies, by their names of then."""

WORDS: Final[list[tuple[str, str]]] = json.loads(
    (FOLDER.parent / "cost_words.json").read_text(encoding="utf-8")
)
"""What is printed in other words since, as regular expressions and in the order in which they are applied."""


@pytest.mark.parametrize("name", STRATEGIES)
def test_formulas_and_figures_are_printed_byte_for_byte_as_they_were(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Each line of ``cost --explain`` is as it was, but for the words of today: formulas, figures, prices,
    sources, assumptions.
    """
    monkeypatch.setattr(cost_tables, "today", lambda: date(2026, 11, 30))
    result = CliRunner().invoke(main, ["cost", "--explain", name])
    assert result.exit_code == 0
    assert result.stdout == in_words_of_today((FOLDER / "cost" / f"{name}.txt").read_text(encoding="utf-8"))


def in_words_of_today(text: str) -> str:
    """Replace the words of fcd8191 by those that are printed now."""
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text


def test_only_words_are_replaced_and_each_one_is() -> None:
    """No replacement touches a digit, and none is for text that no strategy printed."""
    texts = [file.read_text(encoding="utf-8") for file in (FOLDER / "cost").iterdir()]
    for pattern, word in WORDS:
        assert re.findall(r"\d", pattern) == re.findall(r"\d", word.replace(r"\1", "")), pattern
        assert any(re.search(pattern, text, re.MULTILINE) for text in texts), pattern


@pytest.mark.parametrize("name", STRATEGIES)
def test_figures_are_as_they_were_with_every_setting_plan_and_crowd(name: str) -> None:
    """What a month takes, what it puts on limits, its error, and what it costs if an assumption fails, to
    nine digits.
    """
    cases = [case for case in read("cost_figures.json") if case[0] == name]
    assert len(cases) >= 8
    for _, plan, people, settings, said in cases:
        assert figures(name, plan, people, settings) == said, (plan, people, settings)


def figures(name: str, plan: str, people: int, settings: dict[str, Any]) -> str:
    """Put a bill in a line, as the fixture has it."""
    given = {
        RENAMED.get(key, key): Decimal(value) if isinstance(value, str) else value
        for key, value in settings.items()
    }
    crowd, book = CrowdProfile(people=people), read_book()
    chosen = strategy(name, plan, **given)
    made = bill(chosen, crowd, book, plan=plan)
    error, bias = made.accuracy.error, made.accuracy.bias
    otherwise = [
        f"{bill(changed(chosen, entry.otherwise), crowd, book, plan=plan).total}"
        for entry in chosen.assumptions
        if entry.otherwise is not None
    ]
    parts = (
        *(f"{line.item.key.partition('.')[2]} {line.used.value:.9g}" for line in made.lines),
        *(f"{load.title} {load.load.value:.9g} of {load.most}" for load in made.loads),
        f"{made.plan} {made.total} {made.currency}",
        f"error {error and f'{error.value:.9g}'} bias {bias is not None and f'{bias:.9g}'}",
        f"otherwise {' '.join(otherwise)}",
    )
    return "; ".join(parts)


def test_no_strategy_went() -> None:
    """There is a bill for each strategy of then, and no other."""
    assert {file.stem for file in (FOLDER / "cost").iterdir()} == set(STRATEGIES)
