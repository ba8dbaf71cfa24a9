"""The figures in the documentation are those that the commands print."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from breathing_room.cli import main

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PAGE = (ROOT / "docs" / "topics" / "cost.md").read_text(encoding="utf-8")
ORIGIN = (ROOT / "docs" / "topics" / "origin.md").read_text(encoding="utf-8")


def ask(*arguments: str) -> Any:
    """Run the command."""
    return json.loads(CliRunner().invoke(main, ["cost", *arguments, "--json"]).output)


def test_the_documents_table() -> None:
    """The summary table of the page about the planning document is the one that `--check-document` prints."""
    rows = [
        f"| {row['people']:,} | {row['kv_said']} | ${float(row['kv']):,.2f} | {row['object_said']} | ${float(row['object']):,.2f} | ${row['fixed']} |"
        for row in ask("--check-document")["summary"]
    ]
    assert "\n".join(rows) in ORIGIN
    assert f"lists {len(ask('--check-document')['claims'])} claims" in ORIGIN


@pytest.mark.parametrize("minutes", [5, 10, 15])
def test_the_table_of_fixed(minutes: int) -> None:
    """Reports a day and bills of `fixed` are those of the command, under both kinds of clients."""
    for settings, pattern in (
        ((), r"\| {} min \| {} \| \${} \|"),
        (("--set", "mood_renews=false", "--set", "by_alarm=false"), r"{}"),
    ):
        (made,) = ask("fixed", "--people", "1000000", "--visit", f"{minutes}m", *settings)["bills"]
        reports = f"{round(made['items'][0]['used'] / 30):,}"
        shown = pattern.format(minutes, reports, made["total"]) if not settings else pattern.format(reports)
        assert re.search(shown, PAGE), shown
        assert f"${made['total']}" in PAGE


def test_what_holds_otherwise() -> None:
    """The sums beside the assumptions are those that `--explain` prints."""
    text = CliRunner().invoke(main, ["cost", "--explain", "fixed", "--people", "1000000"]).output
    sums = re.findall(r"otherwise (\$[\d,.]+\d)", text)
    assert sums == ["$32,664.38", "$21.38", "$32,664.38", "$5.90", "$15.20", "$5.75"]
    assert all(each in PAGE for each in sums)


def test_the_price_file_of_the_guide_is_one(tmp_path: Path) -> None:
    """A copy of it is a provider."""
    guide = (ROOT / "docs" / "howto" / "cost.md").read_text(encoding="utf-8")
    found = re.search(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert found
    (tmp_path / "acme.toml").write_text(found[1])
    assert CliRunner().invoke(main, ["cost", "fixed", "--prices", str(tmp_path)]).exit_code == 0


def test_the_picture_is_fresh(tmp_path: Path) -> None:
    """The picture of the guide is what the command draws."""
    CliRunner().invoke(main, ["cost", "--plot", str(tmp_path / "bill.svg")])
    assert (tmp_path / "bill.svg").read_text() == (ROOT / "docs" / "images" / "bill.svg").read_text()
