"""The benchmark of sockets: it runs, prints every figure, and loses no message. Never whether it is fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "bench" / "sockets.py"


def bench(*flags: str) -> str:
    """Run it, and return what it printed."""
    done = subprocess.run(
        [sys.executable, PROGRAM, "--quick", *flags], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_quick_run_shows_every_figure_and_delivers_every_push() -> None:
    """A quick run has a figure in every cell, every push on every socket, and a verdict for each goal."""
    lines = bench("--only", "ours,floor").splitlines()

    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    header = next(row for row in rows if "joins/s" in row)
    ours = dict(zip(header, next(row for row in rows if row[0] == "breathing-room serve"), strict=True))
    floor = dict(zip(header, next(row for row in rows if row[0] == "C floor"), strict=True))
    assert all(ours.values())
    assert all(floor.values())
    assert ours["bytes each"] == floor["bytes each"]
    assert ours["of"] == floor["of"] == floor["delivered"] == "2,500"
    assert not [line for line in lines if "did not deliver" in line]
    assert [line for line in lines if line.startswith("Where the memory of a visitor goes")]
    assert len([line for line in lines if ": goal " in line and line.endswith((": yes", ": no"))]) == 4


def test_the_same_figures_come_as_json() -> None:
    """With --json every round is printed, and every socket of it had every push."""
    report = json.loads(bench("--only", "floor", "--sockets", "50", "--pushes", "2", "--json"))

    (round_,) = report["rounds"]
    assert round_["floor"]["reached"] == round_["floor"]["due"] == round_["floor"]["delivered"] == 100
    assert round_["floor"]["lost"] == 0
    assert report["summary"]["floor"]["whole"] is True
    assert report["summary"]["floor"]["cpu_ratio"] == 1.0
    assert set(report["machine"]) == {"date", "cpu", "cores", "kernel", "load_average"}


def test_a_stack_that_it_does_not_know_is_named() -> None:
    """An unknown stack in --only is an error that names the known ones."""
    done = subprocess.run(
        [sys.executable, PROGRAM, "--only", "apache"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "apache" in done.stderr
    assert "floor" in done.stderr
