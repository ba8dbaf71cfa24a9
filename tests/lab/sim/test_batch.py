"""Many runs in several processes."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from breathing_room.lab.sim.batch import run_all
from breathing_room.lab.sim.scenario import parse
from program import program

SHORT = parse(
    "[run]\nhours = 0.05\nwarm_up_minutes = 1\nobserve_every_s = 60\nestimators = ['panel']\n[crowd]\npeople = 20"
)


def test_results_come_in_the_order_of_the_work() -> None:
    """In any order of completion, one process and two give the same results in the same order, and progress
    ends at the number of runs.
    """
    work = [(SHORT.of(people), seed) for people in (40, 5) for seed in (1, 2)]
    progress: list[float] = []
    alone = list(run_all(work, jobs=1, on_progress=progress.append))
    together = list(run_all(work, jobs=2, on_progress=progress.append))

    assert [result.seed for result in alone] == [1, 2, 1, 2]
    assert alone == together
    assert progress[-1] == 4
    assert max(progress[:-4]) <= 4


@pytest.mark.slow
def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    """A run that is killed leaves no process behind."""
    (tmp_path / "long.toml").write_text("[run]\nhours = 1_000\n[crowd]\npeople = 500")
    command = [sys.executable, "-m", "breathing_room", "simulate", "long.toml", "--seeds", "2", "--jobs", "2"]
    with program(command, cwd=tmp_path) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(
            lambda: len(children.read_text().split()) >= 3
        )  # two that work, and one that cleans up after them
        started = [int(pid) for pid in children.read_text().split()]
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, started)))


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(happens: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
