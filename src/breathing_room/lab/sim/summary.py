"""The summary of many runs as one JSON object: nothing in it depends on when or where it was computed."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from math import inf, sqrt
from typing import Any

from breathing_room.core.config import DAY_MS
from breathing_room.core.estimate.legacy_sampling import WINDOW_MS
from breathing_room.core.write_policies.records import Traffic
from breathing_room.lab.sim.meter import Meter
from breathing_room.lab.sim.result import (
    RunObservation,
    RunResult,
    independent_samples,
    judged_moods,
    mood_score,
    score,
)
from breathing_room.lab.sim.scenario import MINUTE_MS, SECOND_MS, Scenario

VISITS_APART = 3
"""Observations that are so many mean visits apart see other visitors: of exponential visits, one in 20 lasts
from one to the next.
"""

SAMPLES_MIN = 20
"""The share of intervals that covered the truth is given from so many independent samples on.

Of 20, one 95 % interval is expected to miss, and the share has a standard error of 5 %. Of fewer, one that
misses or none shows nothing about the interval.
"""

OBSERVATIONS_MAX = 2_000
"""A result lists its observations one by one if there are no more."""


def summarize(
    scenario: Scenario, results: Sequence[RunResult], *, without_forgers: Sequence[RunResult] = ()
) -> dict[str, Any]:
    """Put the runs of one crowd together.

    Args:
        scenario: The scenario of the runs.
        results: The runs.
        without_forgers: The same seeds without forgers, where there were any.

    Returns:
        The parts by name: ``people``, ``truth``, ``estimators``, ``moods``, ``a_day``, ``meter``, and what a
            surge or forgers did.
    """
    seen = [(result.seed, observation) for result in results for observation in result.observations]
    from_ms = scenario.run.judged_from_minutes * MINUTE_MS
    runs = [
        [observation for observation in result.observations if observation.at_ms >= from_ms]
        for result in results
    ]
    observations = [observation for run in runs for observation in run]
    apart_ms = independent_after_ms(scenario)
    independent = scenario.run.observe_every_s * SECOND_MS >= apart_ms
    summary: dict[str, Any] = {
        "people": scenario.crowd.people,
        "kinds": sorted(kind for kind, share in scenario.crowd.kinds.items() if share),
        "mode": results[0].mode,
        "individuals_below": max(result.keep for result in results),
        "seeds": [result.seed for result in results],
        "hours": sum(result.hours for result in results),
        "warm_up_hours": len(results) * scenario.run.warm_up_minutes / 60,
        "observations": len(observations),
        "independent_samples": independent_samples(runs, apart_ms=apart_ms),
        "truth": sum(observation.truth for observation in observations) / len(observations)
        if observations
        else None,
        "estimators": {},
        "moods": mood_coverage(runs, apart_ms=apart_ms),
        "a_day": a_day(results),
        "meter": add_up([result.meter for result in results]),
    }
    for name in scenario.run.estimators:
        if found := score(name, runs, independent=independent):
            spoken = [[observation for observation in run if name in observation.estimates] for run in runs]
            samples = independent_samples(spoken, apart_ms=apart_ms)
            summary["estimators"][name] = {
                "biased": name.startswith("legacy"),
                **asdict(found),
                "independent_samples": samples,
                "coverage": found.coverage if samples >= SAMPLES_MIN else None,
            }
    if (panel := summary["estimators"].get("panel")) and summary["kinds"] == ["poll"]:
        # What is published is whole people.
        panel["bias_before_rounding"] = sum(
            observation.raw_count - observation.truth for observation in observations
        ) / sum(observation.truth for observation in observations)
    if scenario.surge.factor > 1:
        summary["surge"] = surge(scenario, results)
    if scenario.forgers.share:
        summary["forgers"] = forgers(scenario, results, without_forgers)
    if len(seen) <= OBSERVATIONS_MAX:
        summary["seen"] = [_seen(observation, seed) for seed, observation in seen]
    return summary


def independent_after_ms(scenario: Scenario) -> float:
    """Return after how long the error of an observation is independent of that of the one before.

    A panel is renewed as visits end. Legacy clients draw each heartbeat independently, so one window of the
    estimator is enough; in a closed crowd the same visitors remain, and a run is one sample.
    """
    crowd = scenario.crowd
    if {kind for kind, share in crowd.kinds.items() if share} == {"legacy"}:
        return WINDOW_MS
    return inf if crowd.closed else VISITS_APART * crowd.visit_minutes * MINUTE_MS


def mood_coverage(runs: Sequence[Sequence[RunObservation]], *, apart_ms: float) -> dict[str, Any]:
    """Judge the intervals of moods; without a coverage where too few independent samples were judged."""
    judged = [[observation for observation in run if any(judged_moods(observation))] for run in runs]
    samples = independent_samples(judged, apart_ms=apart_ms)
    found = mood_score(observation for run in judged for observation in run)
    return {
        "observations": found.observations,
        "independent_samples": samples,
        "coverage": found.coverage if samples >= SAMPLES_MIN else None,
    }


def add_up(meters: Sequence[Meter]) -> dict[str, Any]:
    """Add what was counted; the rest between two writes to a key is the least."""
    total: dict[str, Any] = {
        entry.name: sum(getattr(meter, entry.name) for meter in meters)
        for entry in fields(Meter)
        if entry.name != "store"
    }
    stores = [asdict(meter.store) for meter in meters]
    rests = [store.pop("rest_ms") for store in stores]
    total["store"] = {name: sum(store[name] for store in stores) for name in stores[0]}
    total["store"]["rest_ms"] = min((rest for rest in rests if rest is not None), default=None)
    total["origin_requests"] = sum(meter.origin_requests for meter in meters)
    return total


def a_day(results: Sequence[RunResult]) -> dict[str, float]:
    """Scale the operations of the runs to a day."""
    days = sum(result.hours for result in results) / 24
    meters = [result.meter for result in results]
    counted = {
        "reports": sum(meter.reports for meter in meters),
        "leaves": sum(meter.leaves for meter in meters),
        "legacy_reports": sum(meter.legacy_reports for meter in meters),
        "polls": sum(meter.polls for meter in meters),
        "presence_reads": sum(meter.presence_reads for meter in meters),
        "config_fetches": sum(meter.config_fetches for meter in meters),
        "config_reads": sum(meter.config_reads for meter in meters),
        "writes": sum(meter.store.writes for meter in meters),
        "timers": sum(meter.timers for meter in meters),
    }
    return {name: round(count / days, 1) for name, count in counted.items()}


def budget_per_s(scenario: Scenario) -> float:
    """Return how many reports a second a full, steady panel sends, not counting leaves.

    That is what the room's ``reports_per_day`` allows, where it allows less.
    """
    crowd, room = scenario.crowd, scenario.room
    traffic = Traffic(
        seats=room.panel_size,
        visit_ms=crowd.visit_minutes * MINUTE_MS,
        heartbeat_ms=room.heartbeat_ms,
        moods_per_visit=crowd.mood_changes,
        leaves_share=0.0,
    )
    per_day = min(traffic.reports, room.reports_per_day or traffic.reports)
    return per_day * SECOND_MS / DAY_MS


def surge(scenario: Scenario, results: Sequence[RunResult]) -> dict[str, Any]:
    """Judge a surge: after one cache lifetime, are reports under budget; after two, is the truth in the
    interval?

    A cache lifetime is max-age and as long again for stale-while-revalidate. Reports are averaged over the
    lifetime that begins when the first one after the surge is over, and may exceed the budget by what chance
    explains: three standard deviations of a Poisson count.
    """
    lifetime_ms = round(2 * SECOND_MS * scenario.wires.presence_max_age_s)
    _, ends_ms = scenario.surge_ms
    from_s, length_s = (ends_ms + lifetime_ms) // SECOND_MS, lifetime_ms // SECOND_MS
    budget = budget_per_s(scenario)
    allowed = budget + 3 * sqrt(budget / length_s)
    arriving, peaks, under, covered = [], [], 0, 0
    for result in results:
        arrived = sum(result.reports_by_s[from_s : from_s + length_s]) / length_s
        arriving.append(arrived)
        peaks.append(max(result.reports_by_s[scenario.surge_ms[0] // SECOND_MS :], default=0))
        under += arrived <= allowed
        at_ms = ends_ms + 2 * lifetime_ms - scenario.warm_up_ms
        observation = min(
            (observation for observation in result.observations if observation.at_ms <= at_ms),
            key=lambda observation: at_ms - observation.at_ms,
        )
        panel = observation.estimates["panel"]
        covered += panel.low <= observation.truth <= panel.high
    return {
        "lifetime_s": lifetime_ms / SECOND_MS,
        "budget_per_s": round(budget, 3),
        "allowed_per_s": round(allowed, 3),
        "runs": len(results),
        "peak_per_s": max(peaks),
        "arriving_per_s": round(sum(arriving) / len(arriving), 3),
        "under_budget": under,
        "truth_in_interval": covered,
    }


def forgers(scenario: Scenario, results: Sequence[RunResult], without: Sequence[RunResult]) -> dict[str, Any]:
    """Return by how much forgers moved the count, with the cap on their prefix and without.

    What was published is compared with what is published on the same seeds without forgers: the same people
    with the same tickets, so that most of the panel's own error falls out. Observations count that are later
    than one lease after the forgers began. The cap lets ``cap_seats`` of one prefix count, so it allows them
    to add ``cap_seats / effective_rate`` people.
    """
    room = scenario.room
    cap = room.prefix_seats_max or max(64, room.panel_size // 10)
    begun_ms = scenario.forgers.at_minutes * MINUTE_MS + room.heartbeat_lease_ms
    pairs = [
        (observation, other)
        for result, clean in zip(results, without, strict=True)
        for observation, other in zip(result.observations, clean.observations, strict=True)
        if observation.at_ms >= begun_ms
    ]
    count = len(pairs)
    if not count:
        return {"observations": 0}
    return {
        "observations": count,
        "cap_seats": cap,
        "truth": sum(observation.truth for observation, _ in pairs) / count,
        "published": sum(observation.presence.count or 0 for observation, _ in pairs) / count,
        "published_without": sum(other.presence.count or 0 for _, other in pairs) / count,
        "moved": sum(
            (observation.presence.count or 0) - (other.presence.count or 0) for observation, other in pairs
        )
        / count,
        "allowed": sum(cap / observation.effective_rate for observation, _ in pairs) / count,
        "raw_moved": sum(observation.raw_count - other.raw_count for observation, other in pairs) / count,
        "capped_seats": sum(observation.capped for observation, _ in pairs) / count,
    }


def _seen(observation: RunObservation, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "at_s": observation.at_ms / SECOND_MS,
        "truth": observation.truth,
        "count": observation.presence.count,
        "before_rounding": round(observation.raw_count, 2),
        "low": observation.presence.low,
        "high": observation.presence.high,
        "method": observation.presence.method,
        "sample_rate": observation.presence.sample_rate,
        "effective_rate": observation.effective_rate,
        "seats": observation.seats,
        "estimates": {
            name: [round(estimate.count, 2), round(estimate.low, 2), round(estimate.high, 2)]
            for name, estimate in observation.estimates.items()
        },
    }
