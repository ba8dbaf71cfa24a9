"""The history: weekly averages by hour, weighted by the observed time."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.errors import HostError
from breathing_room.core.history import HOUR_MS, HOURS, WEEKS_MAX, History, hour_of_week
from core.playing import damages

WEEK_MS = HOURS * HOUR_MS
MONDAY_MS = 4 * 24 * HOUR_MS  # 1970-01-05, 00:00 UTC

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - UTC is added below
def test_the_hour_of_the_week_is_the_calendars(naive: datetime) -> None:
    """Hours are numbered from Monday 00:00 UTC, before 1970 too."""
    moment = naive.replace(tzinfo=UTC)
    wall_ms = (moment - EPOCH) // timedelta(milliseconds=1)

    assert hour_of_week(wall_ms) == moment.weekday() * 24 + moment.hour


def observed(*notes: tuple[float, dict[str, int] | None]) -> History:
    """Return a history of observations, by hours since a Monday."""
    history = History()
    for hour, people in notes:
        history.observe(people, wall_ms=MONDAY_MS + round(hour * HOUR_MS))
    return history


def test_an_hour_that_was_never_observed_is_not_listed() -> None:
    """A single observation gives no average: it holds until the next."""
    assert History().averages() == []
    assert observed((0, {"calm": 3})).averages() == []


def test_an_observation_holds_until_the_next() -> None:
    """The mean of an hour is its observation, if that holds for the whole hour."""
    history = observed((0, {"calm": 3, "unspoken": 2}), (1, {"calm": 2, "unspoken": 0}), (2, {}))

    assert history.averages() == [
        {"hour": 0, "count": 5.0, "moods": {"calm": 3.0, "unspoken": 2.0}, "observed_h": 1.0},
        {"hour": 1, "count": 2.0, "moods": {"calm": 2.0, "unspoken": 0.0}, "observed_h": 1.0},
    ]


def test_people_weigh_by_the_time_they_were_there() -> None:
    """Eight visitors for a quarter of an hour and none for three quarters have a mean of two."""
    (hour,) = observed((0, {"calm": 8}), (0.25, {}), (1, {})).averages()

    assert (hour["count"], hour["moods"], hour["observed_h"]) == (2.0, {"calm": 2.0}, 1.0)


def test_a_half_observed_hour_weighs_half() -> None:
    """An hour observed for half of it weighs half: (10 / 2 + 4) / 1.5."""
    history = observed((0.5, {"calm": 10}), (1, None), (168, {"calm": 4}), (169, None))

    assert history.averages() == [{"hour": 0, "count": 6.0, "moods": {"calm": 6.0}, "observed_h": 1.5}]


def test_time_without_observation_has_no_weight() -> None:
    """The time from an observation of None to the next one has no weight."""
    history = observed((0, {"calm": 4}), (1, None), (100, {"calm": 4}), (101, None))

    assert [hour["hour"] for hour in history.averages()] == [0, 100]


@given(
    st.lists(st.integers(0, 3 * WEEK_MS // 2), min_size=2, max_size=12), st.integers(0, 5), st.integers(0, 5)
)
def test_a_constant_crowd_has_a_constant_mean(instants_ms: list[int], calm: int, glad: int) -> None:
    """The average of a constant crowd is its count, at any instants of observation."""
    history = History()
    for wall_ms in sorted(instants_ms):
        history.observe({"calm": calm, "glad": glad}, wall_ms=wall_ms)

    for hour in history.averages():
        assert hour["moods"] == {"calm": calm, "glad": glad}
        assert hour["count"] == calm + glad


@given(st.lists(st.integers(0, WEEK_MS), min_size=2, max_size=12))
def test_every_moment_weighs_once(instants_ms: list[int]) -> None:
    """Within a week, the weights sum to the time between the first observation and the last."""
    history = observed(*((at_ms / HOUR_MS, {"calm": 1}) for at_ms in sorted(instants_ms)))

    total_h = sum(history._weight)

    assert total_h == pytest.approx((max(instants_ms) - min(instants_ms)) / HOUR_MS)
    assert all(0 <= weight <= 1 + 1e-9 for weight in history._weight)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40 * HOUR_MS),
            st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
        ),
        max_size=12,
    )
)
def test_the_mean_is_what_adding_up_gives(notes: list[tuple[int, dict[str, int] | None]]) -> None:
    """The running mean is the sum of visitors times hours over hours, for every hour and mood."""
    notes = sorted(notes, key=lambda note: note[0])
    history = History()
    for at_ms, people in notes:
        history.observe(people, wall_ms=MONDAY_MS + at_ms)

    for hour in range(41):
        start_ms, end_ms = hour * HOUR_MS, (hour + 1) * HOUR_MS
        spans = [
            (max(0, min(until_ms, end_ms) - max(since_ms, start_ms)), people)
            for (since_ms, people), (until_ms, _) in itertools.pairwise(notes)
            if people is not None
        ]
        observed_ms = sum(length_ms for length_ms, _ in spans)
        assert history._weight[hour] * HOUR_MS == pytest.approx(observed_ms, abs=1e-3)
        for mood in "abc":
            people_ms = sum(length_ms * people.get(mood, 0) for length_ms, people in spans)
            if observed_ms:
                assert history._mean[hour].get(mood, 0) == pytest.approx(people_ms / observed_ms, abs=1e-9)


def test_a_gap_of_many_weeks_counts_once() -> None:
    """Ten weeks between two observations give every hour of the week a weight of one."""
    history = observed((0.5, {"calm": 2}), (0.5 + 10 * 168, None))

    hours = history.averages()

    assert [hour["hour"] for hour in hours] == list(range(HOURS))
    assert {(hour["count"], hour["observed_h"]) for hour in hours} == {(2.0, 1.0)}


def test_old_weeks_fade() -> None:
    """The weight has a maximum, so an old count is halved after about six weeks of another, and nearly gone
    in a year.
    """
    history = History()
    for week in range(20):
        history.observe({"calm": 100}, wall_ms=MONDAY_MS + week * WEEK_MS)
        history.observe(None, wall_ms=MONDAY_MS + week * WEEK_MS + HOUR_MS)
    counts = []
    for week in range(20, 72):
        history.observe({"calm": 0}, wall_ms=MONDAY_MS + week * WEEK_MS)
        history.observe(None, wall_ms=MONDAY_MS + week * WEEK_MS + HOUR_MS)
        counts.append(history.averages()[0]["count"])

    assert history.averages()[0]["observed_h"] == WEEKS_MAX
    assert [count > 50 for count in counts[:8]] == [True] * 5 + [False] * 3
    assert counts[-1] < 1


def test_time_that_runs_backwards_is_not_counted() -> None:
    """A clock that steps back adds no weight, and observations go on from there."""
    history = observed((5, {"calm": 4}), (3, {"calm": 8}), (4, None))

    assert history.averages() == [{"hour": 3, "count": 8.0, "moods": {"calm": 8.0}, "observed_h": 1.0}]


def test_an_observation_is_a_copy() -> None:
    """A change of the mapping after the observation has no effect."""
    people = {"calm": 4}
    history = observed((0, people))
    people["calm"] = 99
    history.observe(None, wall_ms=MONDAY_MS + HOUR_MS)

    assert history.averages()[0]["count"] == 4.0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2 * WEEK_MS),
            st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
        ),
        max_size=8,
    )
)
def test_a_history_survives_the_store(notes: list[tuple[int, dict[str, int] | None]]) -> None:
    """A decoded history has the same averages and the same encoding."""
    history = History()
    for at_ms, people in sorted(notes, key=lambda note: note[0]):
        history.observe(people, wall_ms=at_ms)

    again = History.decode(history.encode())

    assert again.averages() == history.averages()
    assert again.encode() == history.encode()


def test_the_time_between_two_runs_is_not_observed() -> None:
    """A decoded history has no weight until its first observation."""
    history = History.decode(observed((0, {"calm": 4}), (1, {"calm": 4})).encode())

    history.observe({"calm": 2}, wall_ms=MONDAY_MS + 5 * HOUR_MS)
    history.observe(None, wall_ms=MONDAY_MS + 6 * HOUR_MS)

    assert [(hour["hour"], hour["count"]) for hour in history.averages()] == [(0, 4.0), (5, 2.0)]


def stored(hours: object, version: object = 2) -> bytes:
    """Write a history by hand."""
    return json.dumps({"version": version, "hours": hours}).encode()


SOUND: list[Any] = [1, {"": 1, "calm": 1}, {"": 1, "calm": 1}]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"1",
        b'"version"',
        b"{}",
        b'{"version": 2}',
        b'{"version": 2, "hours": []}',
        b'{"version": 2, "hours": null}',
        b"[" * 100_000,
        stored({}, version=1),
        stored({}, version=3),
        stored({}, version=None),
        stored({"x": SOUND}),
        stored({"168": SOUND}),
        stored({"-1": SOUND}),
        stored({"0": 1}),
        stored({"0": SOUND[:2]}),
        stored({"0": [*SOUND, 2]}),
        stored({"0": [None, *SOUND[1:]]}),
        stored({"0": ["heavy", *SOUND[1:]]}),
        stored({"0": [-1, *SOUND[1:]]}),
        stored({"0": [float("nan"), *SOUND[1:]]}),
        stored({"0": [float("inf"), *SOUND[1:]]}),
        stored({"0": [10**400, *SOUND[1:]]}),
        stored({"0": [1, {"calm": 1}, {"calm": 1}]}),
        stored({"0": [1, {"": 1}, {"": 1, "calm": 1}]}),
        stored({"0": [1, None, SOUND[2]]}),
        stored({"0": [1, SOUND[1], []]}),
        *(
            stored({"0": [1, {"": 1, "calm": wrong}, SOUND[2]]})
            for wrong in (None, float("nan"), float("inf"), -1, 10**400)
        ),
    ],
    ids=lambda value: repr(value[:50]),
)
def test_a_damaged_history_is_rejected(value: bytes) -> None:
    """A damaged or impossible history raises HostError and nothing else."""
    with pytest.raises(HostError):
        History.decode(value)


@pytest.mark.soak
def test_every_damage_of_one_byte_is_survived() -> None:
    """A history with one wrong byte is rejected, or decoded as one that can be continued and published."""
    value = observed((0.3, {"calm": 4, "unspoken": 1}), (1.2, {"calm": 2}), (2, {})).encode()

    for damaged in damages(value):
        try:
            history = History.decode(damaged)
        except HostError:
            continue
        history.observe({"calm": 1}, wall_ms=MONDAY_MS)
        history.observe(None, wall_ms=MONDAY_MS + 3 * HOUR_MS)
        json.dumps(history.averages(), allow_nan=False)


def test_the_hours_say_everything_that_is_published() -> None:
    """The keys of an hour are those that the history page documents."""
    hour: dict[str, Any] = observed((0, {"calm": 1}), (1, None)).averages()[0]

    assert list(hour) == ["hour", "count", "moods", "observed_h"]
