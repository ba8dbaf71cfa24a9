"""The summary of many runs; scores of estimators are in ``test_result.py``."""

import json
from dataclasses import replace
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.estimate import Estimate
from breathing_room.core.room import Room
from breathing_room.lab.sim.meter import Meter, StoreMeter
from breathing_room.lab.sim.result import RunObservation, RunResult
from breathing_room.lab.sim.scenario import Scenario, parse
from breathing_room.lab.sim.summary import OBSERVATIONS_MAX, a_day, budget_per_s, forgers, summarize, surge

PRESENCE = Room("lobby", RoomConfig(moods=("calm", "glad")), now_ms=0).presence(now_ms=0)


def an_observation(at_ms: int, truth: int = 100, count: int = 100, **more: Any) -> RunObservation:
    fields: dict[str, Any] = {
        "moods": (truth, 0, 0),
        "presence": replace(PRESENCE, count=count, high=count),
        "effective_rate": 0.5,
        "seats": 50,
        "capped": 0,
        "raw_count": float(count),
        "standard_error": 5.0,
        "estimates": {"panel": Estimate(count, count - 10, count + 10)},
    }
    return RunObservation(at_ms=at_ms, truth=truth, **(fields | more))


def a_run(
    *observations: RunObservation,
    seed: int = 1,
    reports_by_s: tuple[int, ...] = (),
    hours: float = 1.0,
    **meter: Any,
) -> RunResult:
    return RunResult(
        seed=seed,
        mode="exact",
        keep=1.0,
        hours=hours,
        observations=observations,
        meter=Meter(**meter),
        reports_by_s=reports_by_s,
    )


def a_scenario(text: str = "") -> Scenario:
    return parse(text)


def test_a_day_is_projected_from_all_hours() -> None:
    """What several runs counted is scaled to one day of one room."""
    runs = [a_run(hours=6.0, reports=10, store=StoreMeter(puts=1, deletes=1)), a_run(hours=6.0, reports=20)]
    assert a_day(runs)["reports"] == 60.0
    assert a_day(runs)["writes"] == 4.0


def test_a_budget_is_what_a_full_panel_sends_and_no_more_than_allowed() -> None:
    """A larger panel sends more, and what the room allows a day is the most."""
    small, large = (budget_per_s(a_scenario(f"[room]\npanel_size = {size}\n")) for size in (100, 400))
    assert large == pytest.approx(4 * small)
    assert budget_per_s(a_scenario("[room]\nreports_per_day = 86400\n")) == pytest.approx(
        min(1.0, budget_per_s(a_scenario()))
    )


def test_a_summary_is_plain_and_lists_few_observations_one_by_one() -> None:
    """The summary is JSON; observations are listed if there are not too many, with the seed of each; those of
    the warm-up are not judged.
    """
    scenario = a_scenario()
    observations = [an_observation(at_ms) for at_ms in range(0, 7_200_000, 600_000)]
    made = summarize(scenario, [a_run(*observations, seed=1), a_run(*observations, seed=2)])
    assert json.loads(json.dumps(made)) == made
    assert made["seeds"] == [1, 2]
    assert len(made["seen"]) == 2 * len(observations)
    judged = [
        observation
        for observation in observations
        if observation.at_ms >= scenario.run.judged_from_minutes * 60_000
    ]
    assert made["observations"] == 2 * len(judged)
    assert "seen" not in summarize(
        scenario, [a_run(*observations * (OBSERVATIONS_MAX // len(observations) + 1))]
    )


def test_a_surge_is_judged_by_reports_and_then_by_the_interval() -> None:
    """A run is under budget if the reports of the lifetime after next stay below what chance explains, and
    holds if the interval of two lifetimes later does.
    """
    scenario = a_scenario("[surge]\nfactor = 10\nat_minutes = 1\nin_s = 10\n")
    _, ends_ms = scenario.surge_ms
    lifetime_ms = round(2_000 * scenario.wires.presence_max_age_s)
    at_ms = ends_ms + 2 * lifetime_ms - scenario.warm_up_ms
    quiet = (0,) * (ends_ms // 1_000 + 1_000)
    busy = (10_000,) * len(quiet)
    covered, missed = an_observation(at_ms), an_observation(at_ms, truth=1_000)
    later = an_observation(at_ms + 1, truth=9_999)
    found = surge(
        scenario, [a_run(covered, later, reports_by_s=quiet), a_run(missed, later, reports_by_s=busy)]
    )
    assert (found["runs"], found["under_budget"], found["truth_in_interval"]) == (2, 1, 1)
    assert (found["peak_per_s"], found["arriving_per_s"]) == (10_000, 5_000.0)
    assert found["allowed_per_s"] > found["budget_per_s"]


def test_forgers_are_judged_by_what_they_moved() -> None:
    """The count with forgers is set against that of the same seeds without, after their first lease, and
    beside what the cap allows.
    """
    scenario = a_scenario("[forgers]\nshare = 0.1\nat_minutes = 0\n")
    late_ms = scenario.room.heartbeat_lease_ms
    run = a_run(an_observation(0, count=900), an_observation(late_ms, count=130, capped=7))
    clean = a_run(an_observation(0), an_observation(late_ms, count=100))
    found = forgers(scenario, [run], [clean])
    assert (found["observations"], found["moved"], found["raw_moved"], found["capped_seats"]) == (
        1,
        30,
        30,
        7,
    )
    assert found["allowed"] == found["cap_seats"] / 0.5
    assert forgers(scenario, [a_run(an_observation(0))], [a_run(an_observation(0))]) == {"observations": 0}
