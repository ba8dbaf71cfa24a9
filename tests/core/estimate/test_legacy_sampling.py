"""Counting people who flip coins, against a simulated crowd."""

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
    """Let people come within a beat and flip for half an hour; return what is estimated every 3 minutes."""
    chance = random.Random(seed)
    flips = [
        (round(phase + heartbeat * HEARTBEAT_MS), index)
        for index, phase in ((index, chance.random() * HEARTBEAT_MS) for index in range(people))
        for heartbeat in range(60)
        if heartbeat == 0 or chance.random() < CHANCE
    ]
    looks = [(at_ms, -1) for at_ms in range(4 * WINDOW_MS, 10 * WINDOW_MS + 1, WINDOW_MS)]
    crowd = LegacySamplingEstimator(2)
    estimates = []
    for at_ms, index in sorted([*flips, *looks]):
        crowd.come_due(at_ms)
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
def test_250_people_read_as_250(restart_at_ms: int | None) -> None:
    """Without bias, and in about 95 % of looks within the interval; a restart does not show."""
    looks = [look for seed in range(12) for look in flip(250, seed=seed, restart_at_ms=restart_at_ms)]

    # Coins that come up for the first time after a report are all repeats here: moods never change.
    assert fmean(count for count, _, _ in looks) == pytest.approx(250, rel=0.06)
    assert fmean(low <= 250 <= high for _, low, high in looks) > 0.88


def test_those_who_just_came_flip_their_first_coin_a_beat_later() -> None:
    """Of 250 who come all at once, 250 are read in the first minutes too: in the mean of 60 crowds at six instants each."""
    looks = []
    for seed in range(60):
        chance = random.Random(seed)
        crowd = LegacySamplingEstimator(1)
        flips = [(heartbeat * HEARTBEAT_MS, index) for heartbeat in range(7) for index in range(250)]
        times = [(round(chance.uniform(2, 6) * HEARTBEAT_MS), -1) for _ in range(6)]
        for at_ms, index in sorted(flips + times):
            if index < 0:
                looks.append(crowd.estimate(at_ms)[0].count / 250)
            elif at_ms == 0 or chance.random() < CHANCE:
                crowd.report(session(index), 0, at_ms)

    assert fmean(looks) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("events", "low", "high"), [(0, 0, 3.8415), (1, 0.17653, 5.66494), (100, 82.2272, 121.6143)]
)
def test_a_poisson_count_computed_by_hand(events: int, low: float, high: float) -> None:
    """The ends solve (C - m)² = z² m."""
    estimate = poisson_estimate(events, 1.0)

    assert (estimate.count, estimate.low, estimate.high) == pytest.approx((events, low, high), abs=1e-3)


def test_who_was_just_heard_from_is_one() -> None:
    """A first report is no coin, but surely somebody; after a window of silence that is forgotten."""
    crowd = LegacySamplingEstimator(2)
    assert crowd.estimate(0) == (EMPTY, [EMPTY, EMPTY])

    assert not crowd.report(session(1), 0, 0)
    assert crowd.estimate(0)[0].count == crowd.estimate(0)[0].low == 1.0
    assert crowd.next_at_ms == WINDOW_MS
    crowd.come_due(WINDOW_MS)
    assert crowd.estimate(WINDOW_MS)[0].count == 0.0
    assert crowd.next_at_ms == MEMORY_MS
    crowd.come_due(MEMORY_MS)
    assert crowd.estimate(MEMORY_MS)[0] == EMPTY
    assert not crowd.snapshot(MEMORY_MS).mood_of


def test_only_an_unchanged_mood_is_a_coin() -> None:
    """A change of mood is forced, and says nothing about how many there are."""
    crowd = LegacySamplingEstimator(2)

    assert [crowd.report(session(1), mood, at_ms) for at_ms, mood in enumerate([0, 0, 1, 1, 0])] == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert crowd.weights == [1, 1]


def test_a_restart_does_not_turn_coins_into_first_reports() -> None:
    """A session that was known is known afterwards, however its mood is numbered then; one of 2 h ago is not."""
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


def test_time_down_is_not_time_without_coins() -> None:
    """A minute for which nobody listened moves the estimate no more than a sleep; after ten it begins anew."""
    crowd = LegacySamplingEstimator(1)
    for at_ms in range(0, 400_000, 1_000):
        crowd.come_due(at_ms)
        crowd.report(session(at_ms // 1_000 % 10), 0, at_ms)
    before, _ = crowd.estimate(400_000)
    for down_ms, count in ((0, before.count), (60_000, before.count), (600_000, 0.0)):
        restored = LegacySamplingEstimator(1)
        restored.restore(crowd.snapshot(400_000), (0,), elapsed_ms=down_ms, now_ms=400_000 + down_ms)
        assert restored.estimate(400_000 + down_ms)[0].count == pytest.approx(count, abs=6)


def test_memory_is_bounded() -> None:
    """Beyond SESSIONS_MAX the oldest session is forgotten, and the others are not."""
    crowd = LegacySamplingEstimator(1)
    for index in range(SESSIONS_MAX + 1):
        crowd.report(session(index), 0, 0)

    assert len(crowd.snapshot(0).mood_of) == SESSIONS_MAX
    assert crowd.report(session(1), 0, 1)
    assert not crowd.report(session(0), 0, 1)
