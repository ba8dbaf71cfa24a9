"""What the command that says what a room costs prints."""

from datetime import date

import pytest
from click.testing import CliRunner

from breathing_room.cli import cost_tables, main
from breathing_room.cli.cost_tables import dearest, definitions, show
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.formula import given
from breathing_room.lab.cost.model import bill
from breathing_room.lab.cost.strategies import strategy


def test_prices_that_are_old_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked more than 180 days ago is said, with its age."""
    monkeypatch.setattr(cost_tables, "today", lambda: date(2026, 11, 30))
    assert "naive" in CliRunner().invoke(main, ["cost", "naive"]).output
    assert "check it again" not in CliRunner().invoke(main, ["cost", "naive"]).output
    monkeypatch.setattr(cost_tables, "today", lambda: date(2027, 5, 23))
    assert (
        "workers/platform/pricing/ was read 182 days ago, on 2026-11-22: check it again"
        in CliRunner().invoke(main, ["cost", "naive"]).output
    )


def test_the_dearest_parts_of_a_bill_are_named_and_the_rest_is_counted() -> None:
    """
    Two parts stand beside a bill, the dearest first, and how many more cost anything; what costs nothing is
    no part.
    """
    made = bill(strategy("fixed"), CrowdProfile(people=1_000_000), read_book(), plan="paid")
    assert dearest(made) == "$5.00 plan, $0.90 Durable Object requests"
    many = bill(strategy("naive"), CrowdProfile(), read_book(), plan="paid")
    assert dearest(many).startswith("$4,531.40 KV keys written, ")
    assert dearest(many).endswith(" KV keys read, and 3 more")


def test_figures_are_defined_before_they_are_used() -> None:
    """Each named figure stands once, after those that it is computed from."""
    people, share = given(100, "people"), given("0.5", "share")
    asked = (people * share).named("asked")
    reports = (asked * 3 + people).named("reports")
    assert [entry.name for entry in definitions([asked, reports])] == ["people", "share", "asked", "reports"]


def test_a_table_in_a_pipe_is_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no terminal is, fields are parted by tabs, and a title with brackets stands as it is."""
    show(("strategy", "a month"), [("fixed [ours]", "$5.90")])
    assert capsys.readouterr().out == "strategy\ta month\nfixed [ours]\t$5.90\n"
