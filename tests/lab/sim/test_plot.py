"""Plots."""

from pathlib import Path
from typing import Any

import pytest

from breathing_room.lab.sim.plot import plot
from breathing_room.lab.sim.scenario import load
from breathing_room.lab.sim.simulation import simulate
from breathing_room.lab.sim.summary import summarize


@pytest.fixture(scope="module")
def crowds() -> list[dict[str, Any]]:
    scenario = load("steady", {"run": {"hours": 0.2, "warm_up_minutes": 1, "observe_every_s": 60}})
    return [
        summarize(scenario.of(people), [simulate(scenario.of(people), seed) for seed in (1, 2)])
        for people in (20, 60)
    ]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_result_is_drawn(
    crowds: list[dict[str, Any]], tmp_path: Path, ending: str, begins: bytes, *, several: bool
) -> None:
    """One crowd over time or several by size, as PNG or SVG, and the same result is the same file."""
    paths = [tmp_path / f"{name}.{ending}" for name in ("one", "other")]
    for path in paths:
        plot({"crowds": crowds if several else crowds[:1]}, path)
    drawn, again = (path.read_bytes() for path in paths)

    assert drawn.startswith(begins)
    assert drawn == again
    assert len(drawn) > 5_000


def test_without_observations_there_is_an_empty_frame(crowds: list[dict[str, Any]], tmp_path: Path) -> None:
    """A result that does not list its observations can still be drawn."""
    crowd = {**crowds[0], "seen": []}
    plot({"crowds": [crowd]}, tmp_path / "empty.svg")

    assert (tmp_path / "empty.svg").stat().st_size > 1_000
