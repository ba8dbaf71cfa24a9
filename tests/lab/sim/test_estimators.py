"""Estimators beside the room's own."""

import numpy as np
import pytest

from breathing_room.core.estimate.legacy_sampling import CHANCE, HEARTBEAT_MS
from breathing_room.core.events import PanelReported
from breathing_room.core.history import HOUR_MS
from breathing_room.core.identity import VisitorKey
from breathing_room.core.room import Room
from breathing_room.lab.sim.estimators import KEPT_MS, Baselines, JoinRecorder
from breathing_room.lab.sim.scenario import parse
from breathing_room.lab.sim.visitors import Exponential, LogNormal, Newcomers, VisitLengths

NOW_MS = 36_000_000
LAWS: list[VisitLengths] = [Exponential(900_000), LogNormal(900_000, 0.8)]


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def individuals(visits: VisitLengths, count: int) -> Newcomers:
    """Draw visitors who arrive within ten hours."""
    arrives_ms = np.sort((rng(1).random(count) * NOW_MS).astype(np.int64))
    return Newcomers(arrives_ms, arrives_ms + visits.draw(rng(2), count).astype(np.int64))


@pytest.mark.parametrize("visits", LAWS, ids=["exponential", "log-normal"])
def test_cohorts_send_as_many_heartbeats_as_individuals(visits: VisitLengths) -> None:
    """For a crowd of cohorts the document's figures are, over its size, those for as many individuals, within
    2 %.
    """
    by_one = Baselines(parse(""), visits, rng(3), 1.0)
    by_one.add(individuals(visits, 2_000_000), np.zeros(2_000_000))
    here = by_one.count_present(NOW_MS)
    cohorts = Baselines(parse(""), visits, rng(4), 0.1)
    for name in ("legacy", "legacy_forced"):
        of_individuals = (
            np.mean([by_one._sample_heartbeats(NOW_MS, 0, 0.0)[name].count for _ in range(5)]) / here
        )
        of_cohorts = (
            np.mean(
                [cohorts._sample_heartbeats(NOW_MS, 50_000, 50_000 / 900_000)[name].count for _ in range(5)]
            )
            / 50_000
        )
        assert of_cohorts == pytest.approx(of_individuals, rel=0.02)


def test_sampled_heartbeats_by_hand() -> None:
    """A visitor of an hour drew four heartbeats; one who arrived 70 s ago two, and the first heartbeat was
    sent.
    """
    ones = np.ones(400_000, np.int64)
    for age_ms, chances, forced in ((HOUR_MS, 4, False), (70_000, 2, True), (10_000, 0, True)):
        baselines = Baselines(parse(""), LAWS[0], rng(5), 1.0)
        baselines.add(Newcomers(ones * (NOW_MS - age_ms), ones * (NOW_MS + 1)), np.zeros(400_000))
        assert baselines.count_present(NOW_MS) == 400_000
        said = baselines._sample_heartbeats(NOW_MS, 0, 0.0)
        assert said["legacy"].count * CHANCE / 400_000 == pytest.approx(
            1 - (1 - CHANCE) ** chances, abs=0.002
        )
        if forced:
            assert said["legacy_forced"].count == pytest.approx(400_000 / CHANCE)
        else:
            assert said["legacy_forced"] == said["legacy"]


def test_who_left_of_late_is_still_a_sample() -> None:
    """A report is kept for four beats, whether or not its sender is there; then it is forgotten."""
    for left_ms, kept in ((HEARTBEAT_MS, True), (KEPT_MS, False)):
        baselines = Baselines(parse(""), LAWS[0], rng(6), 1.0)
        arrives_ms = np.full(1_000, NOW_MS - HOUR_MS)
        baselines.add(Newcomers(arrives_ms, np.full(1_000, NOW_MS - left_ms)), np.zeros(1_000))
        assert baselines.count_present(NOW_MS) == 0
        assert (baselines._sample_heartbeats(NOW_MS, 0, 0.0)["legacy"].count > 0) == kept


def test_joins_of_a_share_stand_for_all() -> None:
    """Of a steady crowd of 5,000, joins of one in five with their ends estimate the number within four
    standard errors of the share.
    """
    writes = JoinRecorder(0.2)
    new = individuals(LAWS[0], 200_000)
    writes.add(new, rng(7).random(200_000))
    found = writes.estimate(NOW_MS)
    truth = int(((new.arrives_ms <= NOW_MS) & (new.departs_ms > NOW_MS)).sum())

    assert abs(found.count - truth) < 4 * (1_000 * 0.8 + 1_000) ** 0.5 / 0.2
    assert found.low < truth < found.high


def test_what_is_usual_is_known_after_two_weeks() -> None:
    """From two weeks on the averages of this hour of the week are an estimate, and not before."""
    scenario = parse("[run]\nestimators = ['history']")
    baselines = Baselines(scenario, LAWS[0], rng(8), 1.0)
    room = Room("lobby", scenario.room, now_ms=0)
    for number in range(7):
        room.step(PanelReported(VisitorKey(bytes([number]) * 16), 0.5), now_ms=0)
    presence = room.presence(now_ms=0)
    said = [baselines.estimate(hour * HOUR_MS, presence, 0, 0.0) for hour in range(21 * 24)]

    assert next(hour for hour, found in enumerate(said) if found) == 14 * 24
    estimate = said[-1]["history"]
    assert estimate.count == pytest.approx(7)
    assert estimate.low < 7 < estimate.high
