"""The estimate from history: a prediction with an interval, in place of an unknown count."""

import random
from dataclasses import replace
from statistics import fmean

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.estimate.history import STUDENT, estimated, history_estimate, predict, predictions
from breathing_room.core.history import HOUR_MS, HOURS, History
from breathing_room.core.room import Room

WEEK_MS = HOURS * HOUR_MS
MONDAY_MS = 4 * 24 * HOUR_MS
MOODS = ("calm", "glad", "unspoken")
CONFIG = RoomConfig(moods=("calm", "glad"))


def weeks(*counts: int, mood: str = "calm") -> History:
    """Return a history with these counts in the first hour of consecutive weeks."""
    history = History()
    for week, count in enumerate(counts):
        at_ms = MONDAY_MS + week * WEEK_MS
        history.observe({mood: count, "glad": 1}, wall_ms=at_ms)
        history.observe(None, wall_ms=at_ms + HOUR_MS)
    return history


def an_hour_later(history: History) -> tuple[float, float, float] | None:
    """Return the estimate for that hour."""
    found = history_estimate(history, wall_ms=MONDAY_MS + 10 * WEEK_MS, moods=MOODS)
    return found and (found[0].count, found[0].low, found[0].high)


def test_one_week_is_too_few() -> None:
    """An hour observed in fewer than two weeks has no estimate."""
    assert an_hour_later(History()) is None
    assert an_hour_later(weeks(100)) is None
    assert history_estimate(weeks(100, 120), wall_ms=MONDAY_MS + HOUR_MS, moods=MOODS) is None


def test_a_prediction_computed_by_hand() -> None:
    """Four weeks of 90, 110, 90 and 110: s = 11.547, t = 3.182, so 100 ± 3.182 · 11.547 · sqrt(5/4)."""
    low, high = 100 - 41.08, 100 + 41.08
    estimate = predict(100.0, 10_100.0, 4)

    assert (estimate.count, estimate.low, estimate.high) == pytest.approx((100, low, high), abs=0.01)


def test_averages_come_with_intervals() -> None:
    """The average of an hour has an interval in whole visitors if it was observed in two weeks, and none
    otherwise.
    """
    history = weeks(89, 109, 89, 109)
    history.observe({"calm": 5}, wall_ms=MONDAY_MS + 20 * HOUR_MS)
    history.observe(None, wall_ms=MONDAY_MS + 21 * HOUR_MS)

    often, once = predictions(history)

    assert often == {**history.averages()[0], "low": 59, "high": 141}
    assert once == {**history.averages()[1], "low": None, "high": None}


def test_a_crowd_varies_by_chance_at_least() -> None:
    """The variance is at least the mean, even if four weeks were equal."""
    estimate = predict(100.0, 10_000.0, 4)

    assert estimate.high - estimate.count == pytest.approx(STUDENT[2] * 10 * (1 + 1 / 4) ** 0.5)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_the_interval_covers_the_next_week(count: int) -> None:
    """The interval covers 93 to 98 % of the next weeks of 4,000 rooms whose weeks differ by a fifth; after
    two weeks at least 93 %.
    """
    rng = random.Random(count)
    covered = []
    for _ in range(4_000):
        *seen, coming = (max(0, round(rng.gauss(500, 100))) for _ in range(count + 1))
        estimate = predict(fmean(seen), fmean(people**2 for people in seen), count)
        covered.append(estimate.low <= coming <= estimate.high)

    assert 0.93 < fmean(covered) < (0.98 if count > 2 else 1.0)


def test_an_unknown_count_is_estimated() -> None:
    """The moods of an estimate sum to its count, all have intervals, and low does not fall."""
    unknown = Room("lobby", CONFIG, now_ms=0, unknown=True).presence(now_ms=0)

    presence = estimated(unknown, weeks(90, 110, 90, 110), wall_ms=MONDAY_MS, min_cell_size=0)
    assert (presence.method, presence.count, presence.label) == ("estimated", 101, "about 100")
    assert (presence.moods, presence.unspoken) == ({"calm": 100, "glad": 1}, 0)
    assert presence.mood_intervals["calm"] == (59, 141)
    assert presence.high == 142
    crowded = replace(unknown, low=200)
    assert estimated(crowded, weeks(90, 110), wall_ms=MONDAY_MS, min_cell_size=0).low == 200


def test_a_known_count_is_not_estimated() -> None:
    """A known count stays, and so does an unknown one of an hour without history."""
    known = Room("lobby", CONFIG, now_ms=0).presence(now_ms=0)
    unknown = Room("lobby", CONFIG, now_ms=0, unknown=True).presence(now_ms=0)

    assert estimated(known, weeks(90, 110), wall_ms=MONDAY_MS, min_cell_size=0) is known
    assert estimated(unknown, weeks(90), wall_ms=MONDAY_MS, min_cell_size=0) is unknown


@pytest.mark.parametrize(("min_cell_size", "mood"), [(5, "calm"), (0, "merged")])
def test_an_estimate_has_no_small_mood(min_cell_size: int, mood: str) -> None:
    """Small moods of an estimate are merged, and those merged in the history stay merged."""
    unknown = Room("lobby", CONFIG, now_ms=0, unknown=True).presence(now_ms=0)

    presence = estimated(unknown, weeks(90, 110, mood=mood), wall_ms=MONDAY_MS, min_cell_size=min_cell_size)
    assert presence.count == 101
    assert set(presence.moods.values()) | {presence.unspoken} == {None}
    assert set(presence.mood_intervals.values()) == {None}
