"""Scores over many runs, computed by hand."""

from dataclasses import replace
from math import inf

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.estimate import Estimate
from breathing_room.core.room import Room
from breathing_room.lab.sim.meter import Meter, StoreMeter
from breathing_room.lab.sim.result import (
    MoodScore,
    RunObservation,
    RunResult,
    independent_samples,
    mood_score,
    score,
)
from breathing_room.lab.sim.scenario import parse
from breathing_room.lab.sim.summary import add_up, budget_per_s, independent_after_ms, summarize

PRESENCE = Room("lobby", RoomConfig(moods=("calm", "glad")), now_ms=0).presence(now_ms=0)


def an_observation(
    truth: int, said: tuple[float, float, float], *, at_ms: int = 0, name: str = "panel"
) -> RunObservation:
    return RunObservation(
        at_ms=at_ms,
        truth=truth,
        moods=(truth, 0, 0),
        presence=PRESENCE,
        effective_rate=0.5,
        seats=1,
        capped=0,
        raw_count=0.0,
        standard_error=5.0,
        estimates={name: Estimate(*said)},
    )


OBSERVATIONS = [
    an_observation(100, (110, 90, 130)),
    an_observation(100, (90, 80, 99)),
    an_observation(40, (40, 40, 40)),
]


def test_a_score_by_hand() -> None:
    """Errors of +10, -10 and 0 at a mean truth of 80, two of three intervals covered, and a standard error of
    5 people.
    """
    found = score("panel", [OBSERVATIONS], independent=True)

    assert found is not None
    assert (found.observations, found.bias, found.ratio) == (3, 0.0, 1.0)
    assert found.bias_error == pytest.approx(10 / 3**0.5 / 80)
    assert found.rmse == pytest.approx((200 / 3) ** 0.5 / 80)
    assert found.bound == pytest.approx(5 / 80)
    assert found.coverage == pytest.approx(2 / 3)


def test_observations_of_the_same_visitors_are_one() -> None:
    """Where observations of a run see the same people, the error of their mean follows from how runs differ,
    and one run does not give it.
    """
    runs = [[an_observation(100, (110, 0, 200))] * 50, [an_observation(100, (90, 0, 200))] * 50]
    two, one = score("panel", runs, independent=False), score("panel", runs[:1], independent=False)

    assert two is not None
    assert one is not None
    assert two.bias_error == pytest.approx(0.1)
    assert (two.observations, one.bias_error) == (100, None)


def test_observations_are_independent_samples_where_they_see_other_visitors() -> None:
    """U5: of observations a minute apart, those three quarters of an hour after the last one that counts are
    samples; each run begins with one.
    """
    minute_ms = 60_000
    hour = [an_observation(100, (100, 90, 110), at_ms=minute * minute_ms) for minute in range(60)]

    assert independent_samples([hour], apart_ms=45 * minute_ms) == 2
    assert independent_samples([hour, hour, []], apart_ms=45 * minute_ms) == 4
    assert independent_samples([hour], apart_ms=minute_ms) == 60
    assert independent_samples([hour, hour], apart_ms=inf) == 2


@pytest.mark.parametrize(
    ("crowd", "apart_ms"),
    [
        ("visit_minutes = 10", 1_800_000.0),
        ("kinds = { legacy = 1.0 }", 180_000.0),
        ("kinds = { legacy = 0.5, poll = 0.5 }", 2_700_000.0),
        ("closed = true", inf),
    ],
)
def test_when_an_observation_sees_other_visitors_depends_on_the_crowd(crowd: str, apart_ms: float) -> None:
    """U5: after three mean visits; of legacy clients, after one window; where the same visitors remain,
    never.
    """
    assert independent_after_ms(parse(f"[crowd]\n{crowd}")) == apart_ms


@pytest.mark.parametrize(("samples", "coverage"), [(19, None), (20, 1.0)])
def test_coverage_is_given_from_twenty_independent_samples_on(samples: int, coverage: float | None) -> None:
    """U5: observations that are 15 minutes apart are one sample in three; of fewer than 20 there is no
    coverage, of the moods as little.
    """
    scenario = parse("[run]\nobserve_every_s = 900\nestimators = ['panel']")
    intervals = {"calm": (30, 130), "glad": None, "unspoken": None}
    observations = [
        replace(
            an_observation(100, (100, 90, 110), at_ms=900_000 * number),
            presence=replace(PRESENCE, mood_intervals=intervals),
        )
        for number in range(3 * samples - 2)
    ]
    run = RunResult(
        seed=1,
        mode="exact",
        keep=1.0,
        hours=99.0,
        observations=tuple(observations),
        meter=Meter(),
        reports_by_s=(),
    )
    found = summarize(scenario, [run])

    assert found["observations"] == 3 * samples - 2
    assert found["independent_samples"] == found["estimators"]["panel"]["independent_samples"] == samples
    assert found["estimators"]["panel"]["coverage"] == coverage
    assert found["moods"] == {
        "observations": 3 * samples - 2,
        "independent_samples": samples,
        "coverage": coverage,
    }


def test_where_nothing_was_said_there_is_no_score() -> None:
    """An estimator that was silent, and a room that was empty, are not judged; a figure without an interval
    has no coverage.
    """
    assert score("history", [OBSERVATIONS], independent=True) is None
    assert score("panel", [[an_observation(0, (0, 0, 0))]], independent=True) is None
    legacy = score("legacy", [[an_observation(10, (40, 40, 40), name="legacy")]], independent=True)
    assert legacy is not None
    assert (legacy.coverage, legacy.bound, legacy.ratio) == (None, None, 4.0)


def test_moods_are_judged_where_enough_of_them_report() -> None:
    """A mood with 20 expected seats counts, one with fewer does not,
    and one that is merged has no interval.
    """
    intervals = {"calm": (30, 60), "glad": (0, 9), "unspoken": None}
    observation = replace(
        OBSERVATIONS[0], moods=(40, 39, 60), presence=replace(PRESENCE, mood_intervals=intervals)
    )

    assert mood_score([observation]) == MoodScore(1, 1.0)
    assert mood_score([replace(observation, moods=(61, 40, 60))]) == MoodScore(2, 0.0)
    assert mood_score([]) == MoodScore(0, None)


def test_meters_add_up() -> None:
    """Counts are summed, and of the rests between two writes the shortest is kept."""
    total = add_up(
        [
            Meter(polls=2, presence_reads=1, reports=3, store=StoreMeter(puts=2, rest_ms=4_000)),
            Meter(polls=5, config_reads=1, leaves=1, store=StoreMeter(puts=1, deletes=1, rest_ms=1_000)),
            Meter(),
        ]
    )

    assert (total["polls"], total["origin_requests"]) == (7, 6)
    assert (total["store"]["puts"], total["store"]["rest_ms"]) == (3, 1_000)


def test_observations_that_are_too_early_are_shown_and_not_judged() -> None:
    """A scenario says from when on it is judged."""
    scenario = parse("[run]\njudged_from_minutes = 2\nestimators = ['panel']")
    run = RunResult(
        seed=7,
        mode="exact",
        keep=1.0,
        hours=12.0,
        observations=(
            an_observation(100, (500, 500, 500)),
            an_observation(100, (100, 90, 110), at_ms=120_000),
        ),
        meter=Meter(reports=10),
        reports_by_s=(),
    )
    found = summarize(scenario, [run])

    assert found["estimators"]["panel"]["ratio"] == 1.0
    assert [observation["count"] for observation in found["seen"]] == [0, 0]
    assert found["a_day"]["reports"] == 20.0


def test_the_budget_is_what_a_full_panel_sends() -> None:
    """400 seats, that join 4 times an hour, change mood as often and report every five minutes: 20 reports an
    hour each.
    """
    assert budget_per_s(parse("")) == pytest.approx(400 * 20 / 3_600)
    assert budget_per_s(parse("[room]\nreports_per_day = 86_400")) == pytest.approx(1)
