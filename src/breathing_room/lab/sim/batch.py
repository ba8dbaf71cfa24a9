"""Many runs, in several processes, with the same result in any order of completion."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process

from breathing_room.lab.sim.result import RunResult
from breathing_room.lab.sim.scenario import Scenario
from breathing_room.lab.sim.simulation import simulate


def run_all(
    work: Sequence[tuple[Scenario, int]], *, jobs: int, on_progress: Callable[[float], None]
) -> Iterator[RunResult]:
    """Run scenarios, each with a seed.

    Args:
        work: Scenarios and seeds.
        jobs: How many processes.
        on_progress: Called now and then with the number of runs that are done, and parts of one.

    Yields:
        The results, in the order of ``work``.
    """
    if jobs == 1 or len(work) == 1:
        for done, (scenario, seed) in enumerate(work):
            yield simulate(scenario, seed, partial(_report_progress, on_progress, done))
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        for done, result in enumerate(pool.map(_simulate, work)):
            on_progress(done + 1)
            yield result


def _report_progress(on_progress: Callable[[float], None], done: int, share: float) -> None:
    on_progress(done + share)


def _end_with_parent() -> None:
    """Exit when the parent process ends, so that a killed run leaves no waiting processes."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _simulate(work: tuple[Scenario, int]) -> RunResult:
    return simulate(*work)
