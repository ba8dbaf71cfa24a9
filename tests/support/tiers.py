"""The three tiers of tests.

``make quick``: what runs within this process and waits for nothing, as often as code is written.
``make test``: everything that must hold; what CI runs.
``make soak``: those that look longer than there is time for in ``make test``: more draws, more repeats, more
people. Run by hand; their figures are printed.

A test is *slow*, and not in ``make quick``, if it starts a program (a server of its own, a browser, the
runtime of the edge, Redis, nginx, Node), waits for real time to pass, or computes for seconds, as campaigns
of the simulator do. A test that asks for a fixture that starts a program, or stands in one of
``SLOW_FOLDERS``, is slow without being marked.

A test is *soak* if it looks longer in ``make soak``: it asks ``longer`` how long. In ``make test`` it runs a
slice of that. A property test is soak without being marked: it draws from a fixed seed in ``make test``, and
afresh in ``make soak``.
"""

import os
import sys
from typing import TypeVar

import pytest

TIER = os.environ.get("TEST_TIER", "test")

SLOW_FIXTURES = frozenset({"browser", "redis", "results", "server", "serve", "shop", "start", "worker"})
"""Fixtures that start a program, or wait. A fixture or test that uses one of them is slow, too."""

SLOW_FOLDERS = ("bench", "deploy", "docs", "examples", "fuzz", "lab/sim", "web")
"""Folders of ``tests`` in which nearly every test starts a program, or simulates a crowd."""

STARTS = frozenset({"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen"})

Longer = TypeVar("Longer")


def longer(in_test: Longer, in_soak: Longer) -> Longer:
    """Return the length of a test of the marker ``soak``: the first value in ``make test``, the second in
    ``make soak``.
    """
    return in_soak if TIER == "soak" else in_test


def figure(text: str) -> None:
    """Print a measurement, in ``make soak``."""
    if TIER == "soak":
        print(f"\n{text}", flush=True)  # noqa: T201 - this is what the tier is for


def mark(item: pytest.Item) -> None:
    """Mark a test as slow by its fixtures or its folder, and as soak if its examples are drawn."""
    file = item.path.relative_to(item.config.rootpath / "tests").as_posix()
    in_slow_folder = any(file.startswith(f"{folder}/") for folder in SLOW_FOLDERS)
    if in_slow_folder or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_marker("slow")
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker("soak")


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests by how long they take: files that ask for a longer time-out than the usual one, then other
    slow tests, then the rest.

    So none begins late what the other processes wait for in the end, and what waits runs beside what
    computes. The order within a file stays: its tests share what they set up.
    """
    longest: dict[object, float] = {}
    for item in items:
        asked = item.get_closest_marker("timeout")
        length = asked.args[0] if asked else item.get_closest_marker("slow") is not None
        longest[item.path] = max(length, longest.get(item.path, 0))
    items.sort(key=lambda item: longest[item.path], reverse=True)


def guard() -> None:
    """Raise if a test of ``make quick`` starts a program.

    Raises:
        RuntimeError: In the test that starts one, from the call that does.
    """

    def watch(event: str, _arguments: object) -> None:
        if event in STARTS and "PYTEST_CURRENT_TEST" in os.environ:
            raise RuntimeError("a test of `make quick` started a program: mark it `@pytest.mark.slow`")

    sys.addaudithook(watch)
