"""The scenarios of visitors without a connection: what they check holds at any speed of the machine."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "bench" / "polling.py"


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run(
        [sys.executable, PROGRAM, *flags], capture_output=True, text=True, timeout=100, check=False
    )


def show(name: str) -> dict[str, Any]:
    """Run a quick scenario, and return its part of the report."""
    done = run("--quick", "--json", name)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)["shows"][name]
    return seen


def is_plausible(row: dict[str, Any]) -> bool:
    """Return whether a count is likely for so many visitors at this
    rate, except for one chance in a million.
    """
    standard_error = math.sqrt(row["truth"] * (1 - row["rate"]) / row["rate"])
    return bool(abs(row["count"] - row["truth"]) <= 5 * standard_error + 0.05 * row["truth"])


@pytest.mark.parametrize("name", ["scaled", "surge"])
def test_a_crowd_that_polls_is_counted_under_its_budget(name: str) -> None:
    """A crowd that polls is sampled, its estimate is right, and its reports are within the budget once the
    rate has settled.
    """
    seen = show(name)
    rows = seen["rows"]
    last = rows[-1]
    assert last["gathered"]
    assert 0 < last["rate"] < 1
    assert is_plausible(last)
    assert seen["figures"]["failures"] == {}
    reads, origin_reads = (
        seen["figures"][f"presences that the {who} asked for"] for who in ("crowd", "server was")
    )
    assert 0 < origin_reads <= 14
    assert reads >= 1_000
    lengths_s = (row["at_s"] - before["at_s"] for before, row in pairwise([{"at_s": 0.0}, *rows]))
    reports = sum(row["reports_per_s"] * length_s for row, length_s in zip(rows, lengths_s, strict=True))
    assert reports <= 1.1 * last["truth"] + seen["figures"]["budget, reports a second"] * last["at_s"]


def test_legacy_clients_are_shown_beside_the_naive_figure() -> None:
    """No report of legacy clients is rejected, and just after their joins the naive figure is 33 times too
    large.
    """
    seen = show("legacy")
    assert seen["figures"]["failures"] == {}
    last = seen["rows"][-1]
    assert last["naive"] >= 33 * last["truth"]


def test_a_scenario_is_printed_as_a_table() -> None:
    """A printed scenario has a row for each observation and a verdict for each goal."""
    done = run("--quick", "full")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("| ")]) == 1 + 4
    assert "the server is asked at most once a lifetime: yes" in done.stdout


def test_an_unknown_scenario_is_named() -> None:
    """An unknown scenario is an error that names the known ones."""
    done = run("magic")
    assert done.returncode == 2
    assert "magic" in done.stderr
    assert "surge" in done.stderr
