"""Legacy sampling, against a simulated crowd."""

import random
from statistics import fmean

import pytest

from breathing_room.core.estimate import EMPTY
from breathing_room.core.estimate.legacy_sampling import (
    CHANCE,
    HEARTBEAT_MS,
    MEMORY_MS,
    SESSIONS_MAX,
    WINDOW_MS,
    LegacySamplingEstimator,
    poisson_estimate,
)
from breathing_room.core.identity import VisitorKey


def session(index: int) -> VisitorKey:
    """Make a key."""
    return VisitorKey(index.to_bytes(16, "big"))


def flip(people: int, *, seed: int, restart_at_ms: int | None = None) -> list[tuple[float, float, float]]:
    """Return the estimates, every 3 minutes for half an hour, of visitors who joined within a heartbeat."""
    chance = random.Random(seed)
    flips = [
        (round(phase + heartbeat * HEARTBEAT_MS), index)
        for index, phase in ((index, chance.random() * HEARTBEAT_MS) for index in range(people))
        for heartbeat in range(60)
        if heartbeat == 0 or chance.random() < CHANCE
    ]
    samples = [(at_ms, -1) for at_ms in range(4 * WINDOW_MS, 10 * WINDOW_MS + 1, WINDOW_MS)]
    crowd = LegacySamplingEstimator(2)
    estimates = []
    for at_ms, index in sorted([*flips, *samples]):
        crowd.expire(at_ms)
        if restart_at_ms is not None and at_ms >= restart_at_ms:
            restart_at_ms = None
            fresh = LegacySamplingEstimator(2)
            fresh.restore(crowd.snapshot(at_ms), (0, 1), elapsed_ms=0, now_ms=at_ms)
            crowd = fresh
        if index < 0:
            estimate, _ = crowd.estimate(at_ms)
            estimates.append((estimate.count, estimate.low, estimate.high))
        else:
            crowd.report(session(index), index % 2, at_ms)
    return estimates


@pytest.mark.parametrize("restart_at_ms", [None, 800_000])
def test_250_visitors_are_estimated_as_250(restart_at_ms: int | None) -> None:
    """The estimate of 250 visitors has no bias, and about 95 % of
    intervals cover 250, also across a restart.
    """
    samples = [sample for seed in range(12) for sample in flip(250, seed=seed, restart_at_ms=restart_at_ms)]

    # Each report after the first is a repeat here: moods never change.
    assert fmean(count for count, _, _ in samples) == pytest.approx(250, rel=0.06)
    assert fmean(low <= 250 <= high for _, low, high in samples) > 0.88


def test_the_estimate_is_right_in_the_first_minutes() -> None:
    """The mean estimate of 250 visitors who joined at once is 250 in the first minutes too (60 crowds, six
    instants each).
    """
    samples = []
    for seed in range(60):
        chance = random.Random(seed)
        crowd = LegacySamplingEstimator(1)
        flips = [(heartbeat * HEARTBEAT_MS, index) for heartbeat in range(7) for index in range(250)]
        times = [(round(chance.uniform(2, 6) * HEARTBEAT_MS), -1) for _ in range(6)]
        for at_ms, index in sorted(flips + times):
            if index < 0:
                samples.append(crowd.estimate(at_ms)[0].count / 250)
            elif at_ms == 0 or chance.random() < CHANCE:
                crowd.report(session(index), 0, at_ms)

    assert fmean(samples) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("events", "low", "high"), [(0, 0, 3.8415), (1, 0.17653, 5.66494), (100, 82.2272, 121.6143)]
)
def test_a_poisson_count_computed_by_hand(events: int, low: float, high: float) -> None:
    """The ends of a Poisson interval solve (C - m)² = z² m."""
    estimate = poisson_estimate(events, 1.0)

    assert (estimate.count, estimate.low, estimate.high) == pytest.approx((events, low, high), abs=1e-3)


def test_a_first_report_is_one_visitor() -> None:
    """A first report is no repeat, but is one visitor, until a window without reports has passed."""
    crowd = LegacySamplingEstimator(2)
    assert crowd.estimate(0) == (EMPTY, [EMPTY, EMPTY])

    assert not crowd.report(session(1), 0, 0)
    assert crowd.estimate(0)[0].count == crowd.estimate(0)[0].low == 1.0
    assert crowd.next_at_ms == WINDOW_MS
    crowd.expire(WINDOW_MS)
    assert crowd.estimate(WINDOW_MS)[0].count == 0.0
    assert crowd.next_at_ms == MEMORY_MS
    crowd.expire(MEMORY_MS)
    assert crowd.estimate(MEMORY_MS)[0] == EMPTY
    assert not crowd.snapshot(MEMORY_MS).mood_of


def test_only_an_unchanged_mood_is_a_repeat() -> None:
    """A report that changes the mood is not drawn by chance, and does not enter the estimate."""
    crowd = LegacySamplingEstimator(2)

    assert [crowd.report(session(1), mood, at_ms) for at_ms, mood in enumerate([0, 0, 1, 1, 0])] == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert crowd.weights == [1, 1]


def test_a_restart_does_not_turn_repeats_into_first_reports() -> None:
    """A restart keeps the sessions, with their moods by name, except those past their memory."""
    crowd = LegacySamplingEstimator(3)
    crowd.report(session(1), 0, 0)
    crowd.report(session(2), 1, MEMORY_MS - 10)
    crowd.report(session(2), 1, MEMORY_MS - 5)
    at_ms = MEMORY_MS - 1
    restored = LegacySamplingEstimator(3)
    restored.restore(crowd.snapshot(at_ms), (1, 0, 2), elapsed_ms=1_000, now_ms=at_ms + 1_000)

    assert restored.weights == [1, 0, 0]
    assert restored.report(session(2), 0, at_ms + 1_000)
    assert not restored.report(session(1), 1, at_ms + 1_000)


def test_downtime_is_not_time_without_reports() -> None:
    """A minute of downtime does not change the estimate; ten minutes reset it."""
    crowd = LegacySamplingEstimator(1)
    for at_ms in range(0, 400_000, 1_000):
        crowd.expire(at_ms)
        crowd.report(session(at_ms // 1_000 % 10), 0, at_ms)
    before, _ = crowd.estimate(400_000)
    for down_ms, count in ((0, before.count), (60_000, before.count), (600_000, 0.0)):
        restored = LegacySamplingEstimator(1)
        restored.restore(crowd.snapshot(400_000), (0,), elapsed_ms=down_ms, now_ms=400_000 + down_ms)
        assert restored.estimate(400_000 + down_ms)[0].count == pytest.approx(count, abs=6)


def test_memory_is_bounded() -> None:
    """Beyond SESSIONS_MAX only the oldest session is removed."""
    crowd = LegacySamplingEstimator(1)
    for index in range(SESSIONS_MAX + 1):
        crowd.report(session(index), 0, 0)

    assert len(crowd.snapshot(0).mood_of) == SESSIONS_MAX
    assert crowd.report(session(1), 0, 1)
    assert not crowd.report(session(0), 0, 1)
