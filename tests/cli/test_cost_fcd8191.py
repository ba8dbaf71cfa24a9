"""The bills of all strategies as commit fcd8191 printed them."""

from datetime import date

import pytest
from click.testing import CliRunner

from breathing_room.cli import cost, main
from breathing_room.lab.cost.strategies import STRATEGIES
from written import FOLDER


@pytest.mark.parametrize("name", STRATEGIES)
def test_formulas_and_figures_are_printed_byte_for_byte_as_they_were(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of ``cost --explain`` is as it was: formulas, figures, prices, sources and assumptions."""
    monkeypatch.setattr(cost, "today", lambda: date(2026, 11, 30))
    result = CliRunner().invoke(main, ["cost", "--explain", name])
    assert result.exit_code == 0
    assert result.stdout_bytes == (FOLDER / "cost" / f"{name}.txt").read_bytes()


def test_no_strategy_went() -> None:
    """There is a bill for each strategy of then, and no other."""
    assert {file.stem for file in (FOLDER / "cost").iterdir()} == set(STRATEGIES)
