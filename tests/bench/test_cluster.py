"""The scenarios of several servers, with a few visitors: what they check holds. Never whether it is fast."""

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
    """Import the program as a module."""
    spec = importlib.util.spec_from_file_location("bench_cluster", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def see(show: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    return asyncio.run(show)


def test_every_server_counts_all_visitors(shows: Any) -> None:
    """Two servers have the count of both, and a change of mood at one is published by the other."""
    seen = see(shows.spread(PEOPLE, changes=3, nodes=2))

    assert seen["people"] == PEOPLE
    assert 0 < seen["mood_seen_elsewhere_ms_median"] <= seen["mood_seen_elsewhere_ms_worst"]


def test_a_kill_is_never_a_wrong_count(shows: Any) -> None:
    """While a server is killed and its visitors reconnect, every interval of the others covers the truth, and
    the count is exact in the end.
    """
    seen = see(shows.kills(PEOPLE, times=1, lease_ms=3_000, nodes=2))

    assert seen["on_the_node_at_least"] > 0
    assert seen["interval_missed_truth"] == 0
    assert set(seen["methods"]) == {"counted", "stale"}
    assert seen["holds"]["keys_bounded"]


def test_connections_stay_open_without_redis(shows: Any) -> None:
    """Without Redis no connection is dropped and every count is stale; after it restarts empty the counts are
    exact.
    """
    seen = see(shows.redis_away(PEOPLE, nodes=2, away_s=3.5))

    assert seen["sockets_dropped"] == 0
    assert set(seen["methods_meanwhile"]) == {"stale"}
    assert seen["interval_missed_truth"] == 0
    assert seen["holds"]["never_narrower"]


def test_a_rolling_restart_is_not_seen(shows: Any) -> None:
    """While every server is restarted in turn, every interval covers the truth."""
    seen = see(shows.rolling(PEOPLE, "--reconnect-spread-ms", "300", nodes=2))

    assert seen["came_back"] >= PEOPLE
    assert seen["interval_missed_truth"] == 0


def test_two_workers_hold_one_room(shows: Any) -> None:
    """Two workers on one port accept all connections, broadcast to all, and end on SIGTERM."""
    seen = see(shows.workers(PEOPLE, visit_s=2, numbers=(2,)))

    assert seen["workers_2"]["joins_per_s"] > 0
    assert seen["workers_2"]["pushes_per_s"] > 0
