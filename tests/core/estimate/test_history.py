"""What is usual at this hour: a prediction with an interval, in place of a count that nobody knows."""

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
    """Have so many people there in the first hour of one week after another."""
    history = History()
    for week, count in enumerate(counts):
        at_ms = MONDAY_MS + week * WEEK_MS
        history.observe({mood: count, "glad": 1}, wall_ms=at_ms)
        history.observe(None, wall_ms=at_ms + HOUR_MS)
    return history


def an_hour_later(history: History) -> tuple[float, float, float] | None:
    """Estimate everybody in that hour."""
    found = history_estimate(history, wall_ms=MONDAY_MS + 10 * WEEK_MS, moods=MOODS)
    return found and (found[0].count, found[0].low, found[0].high)


def test_one_week_is_too_few() -> None:
    """How much weeks differ is not known from one of them, and another hour was never seen."""
    assert an_hour_later(History()) is None
    assert an_hour_later(weeks(100)) is None
    assert history_estimate(weeks(100, 120), wall_ms=MONDAY_MS + HOUR_MS, moods=MOODS) is None


def test_a_prediction_computed_by_hand() -> None:
    """Four weeks of 90, 110, 90 and 110: s = 11.547, t = 3.182, so 100 ± 3.182 · 11.547 · sqrt(5/4)."""
    low, high = 100 - 41.08, 100 + 41.08
    estimate = predict(100.0, 10_100.0, 4)

    assert (estimate.count, estimate.low, estimate.high) == pytest.approx((100, low, high), abs=0.01)


def test_averages_come_with_intervals() -> None:
    """Each hour that was seen in two weeks says where the next such hour lies, in whole people; the others do not."""
    history = weeks(89, 109, 89, 109)
    history.observe({"calm": 5}, wall_ms=MONDAY_MS + 20 * HOUR_MS)
    history.observe(None, wall_ms=MONDAY_MS + 21 * HOUR_MS)

    often, once = predictions(history)

    assert often == {**history.averages()[0], "low": 59, "high": 141}
    assert once == {**history.averages()[1], "low": None, "high": None}


def test_a_crowd_varies_by_chance_at_least() -> None:
    """Four weeks that happened to be alike do not make the fifth certain: the variance is at least the mean."""
    estimate = predict(100.0, 10_000.0, 4)

    assert estimate.high - estimate.count == pytest.approx(STUDENT[2] * 10 * (1 + 1 / 4) ** 0.5)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_the_next_week_lies_in_the_interval(count: int) -> None:
    """In 4,000 rooms whose weeks differ by a fifth, 93 to 98 % of the next weeks are inside; after two weeks at least that."""
    rng = random.Random(count)
    held = []
    for _ in range(4_000):
        *seen, coming = (max(0, round(rng.gauss(500, 100))) for _ in range(count + 1))
        estimate = predict(fmean(seen), fmean(people**2 for people in seen), count)
        held.append(estimate.low <= coming <= estimate.high)

    assert 0.93 < fmean(held) < (0.98 if count > 2 else 1.0)


def test_an_unknown_count_is_estimated_and_says_so() -> None:
    """The parts sum to the count, everything has its interval, and who is surely here stays so."""
    unknown = Room("lobby", CONFIG, now_ms=0, unknown=True).presence(now_ms=0)

    presence = estimated(unknown, weeks(90, 110, 90, 110), wall_ms=MONDAY_MS, min_cell_size=0)
    assert (presence.method, presence.count, presence.label) == ("estimated", 101, "about 100")
    assert (presence.moods, presence.unspoken) == ({"calm": 100, "glad": 1}, 0)
    assert presence.mood_intervals["calm"] == (59, 141)
    assert presence.high == 142
    crowded = replace(unknown, low=200)
    assert estimated(crowded, weeks(90, 110), wall_ms=MONDAY_MS, min_cell_size=0).low == 200


def test_what_is_known_is_not_estimated() -> None:
    """A count that is known stays, and so does an unknown one of an hour that nobody saw."""
    known = Room("lobby", CONFIG, now_ms=0).presence(now_ms=0)
    unknown = Room("lobby", CONFIG, now_ms=0, unknown=True).presence(now_ms=0)

    assert estimated(known, weeks(90, 110), wall_ms=MONDAY_MS, min_cell_size=0) is known
    assert estimated(unknown, weeks(90), wall_ms=MONDAY_MS, min_cell_size=0) is unknown


@pytest.mark.parametrize(("min_cell_size", "mood"), [(5, "calm"), (0, "merged")])
def test_an_estimate_tells_no_small_mood_either(min_cell_size: int, mood: str) -> None:
    """Moods of few people are merged, and those that were merged when they were observed stay so."""
    unknown = Room("lobby", CONFIG, now_ms=0, unknown=True).presence(now_ms=0)

    presence = estimated(unknown, weeks(90, 110, mood=mood), wall_ms=MONDAY_MS, min_cell_size=min_cell_size)
    assert presence.count == 101
    assert set(presence.moods.values()) | {presence.unspoken} == {None}
    assert set(presence.mood_intervals.values()) == {None}
