"""The shows of several servers, with a few people: that what they show is so. Never whether it is fast."""

import asyncio
import importlib.util
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "bench" / "cluster.py"
PEOPLE = 45


@pytest.fixture(scope="module")
def shows() -> Any:
    """The program, as a module."""
    spec = importlib.util.spec_from_file_location("bench_cluster", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def see(show: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    return asyncio.run(show)


def test_everybody_is_counted_everywhere(shows: Any) -> None:
    """
    Two servers say together how many there are, and a mood is seen on another than the one that it was told to.
    """
    seen = see(shows.spread(PEOPLE, changes=3, nodes=2))

    assert seen["people"] == PEOPLE
    assert 0 < seen["mood_seen_elsewhere_ms_median"] <= seen["mood_seen_elsewhere_ms_worst"]


def test_a_kill_is_never_a_wrong_count(shows: Any) -> None:
    """
    While a server dies, and its people come back elsewhere, every look of the others holds the truth, and it ends well.
    """
    seen = see(shows.kills(PEOPLE, times=1, lease_ms=3_000, nodes=2))

    assert seen["on_the_node_at_least"] > 0
    assert seen["interval_missed_truth"] == 0
    assert set(seen["methods"]) == {"counted", "stale"}
    assert seen["holds"]["keys_bounded"]


def test_no_redis_is_no_reason_to_leave(shows: Any) -> None:
    """
    Without Redis nobody is dropped and everybody says stale; when it comes back empty all is right again.
    """
    seen = see(shows.redis_away(PEOPLE, nodes=2, away_s=3.5))

    assert seen["sockets_dropped"] == 0
    assert set(seen["methods_meanwhile"]) == {"stale"}
    assert seen["interval_missed_truth"] == 0
    assert seen["holds"]["never_narrower"]


def test_a_rolling_restart_is_not_seen(shows: Any) -> None:
    """
    While every server is restarted in turn, no look shows a wrong figure.
    """
    seen = see(shows.rolling(PEOPLE, "--reconnect-spread-ms", "300", nodes=2))

    assert seen["came_back"] >= PEOPLE
    assert seen["interval_missed_truth"] == 0


def test_two_workers_hold_one_room(shows: Any) -> None:
    """
    Two workers on one port let everybody in, tell everybody, and end when they are asked to.
    """
    seen = see(shows.workers(PEOPLE, visit_s=2, numbers=(2,)))

    assert seen["workers_2"]["joins_per_s"] > 0
    assert seen["workers_2"]["pushes_per_s"] > 0
