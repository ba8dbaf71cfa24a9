"""What a room says, beside how many people of our own are in it."""

from typing import Any

import pytest

from breathing_room.lab.load.observations import Observation, Observations


def a_look(**changes: Any) -> Observation:
    """A observation at a room in which all is well."""
    own = changes.get("own", 100)
    values: dict[str, Any] = {
        "at_s": 10.0, "gathered": True, "own": own, "own_low": own, "own_high": own, "others": False,
        "count": 100, "low": 90, "high": 110, "method": "sampled", "rate": 0.5, "sent": {"reads": 30, "reports": 10},
    }  # fmt: skip
    return Observation(**values | changes)


@pytest.mark.parametrize(
    ("own", "high", "verdict"),
    [
        (100, 110, "covered"),
        (90, 110, "covered"),
        (110, 110, "covered"),
        (89, 110, "outside"),
        (111, 110, "outside"),
        (900, None, "covered"),
    ],
)
def test_an_interval_holds_the_truth_or_not(own: int, high: int | None, verdict: str) -> None:
    """Its ends belong to it, and where the upper one is not known nothing is too much."""
    assert a_look(own=own, high=high).verdict == verdict


@pytest.mark.parametrize("method", ["counted", "sampled", "stale"])
@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (98, 98, "covered"),
        (103, 103, "covered"),
        (97, 97, "outside"),
        (104, 104, "outside"),
        (90, 110, "covered"),
    ],
)
def test_what_is_in_flight_may_be_counted_or_not(method: str, low: int, high: int, verdict: str) -> None:
    """
    U5: of 98 to 103 within the last seconds each is right, however the room knows; an exact count must be one
    of them.
    """
    assert a_look(own_low=98, own_high=103, low=low, high=high, method=method).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (101, 120, "others"),
        (100, 100, "others"),
        (90, 110, "others"),
        (0, 99, "outside"),
        (300, None, "others"),
    ],
)
def test_with_others_only_a_count_below_ours_is_judged(low: int, high: int | None, verdict: str) -> None:
    """
    U5: others can only add to our own 100, so an interval that ends at 99 is wrong in any company; the rest
    is not known.
    """
    assert a_look(others=True, low=low, high=high).verdict == verdict


def test_rates_are_those_since_the_look_before() -> None:
    """The first one counts from the beginning."""
    first = a_look()
    later = a_look(at_s=12.0, sent={"reads": 60, "reports": 11})
    assert first.rates(None) == {"reads": 3.0, "reports": 1.0}
    assert later.rates(first) == {"reads": 15.0, "reports": 0.5}


def test_only_looks_at_the_whole_crowd_are_judged() -> None:
    """While people are still coming nothing can hold; an unknown count has no error, but an interval."""
    observations, calls = Observations(), list[tuple[Observation, Observation | None]]()
    observations.on_observation = lambda observation, before: calls.append((observation, before))
    assert observations.summary() == {
        "observations": 0,
        "covered": 0,
        "outside": 0,
        "bias": None,
        "error": None,
        "rows": [],
    }
    for observation in (
        a_look(gathered=False, own=1),
        a_look(count=110),
        a_look(count=80, low=70, high=95),
        a_look(count=None, high=None),
    ):
        observations.add(observation)
    summary = observations.summary()
    assert [summary[name] for name in ("observations", "covered", "outside", "bias", "error")] == [
        3,
        2,
        1,
        -0.05,
        0.1581,
    ]
    assert [row["verdict"] for row in summary["rows"]] == ["joining", "covered", "outside", "covered"]
    assert [before for _, before in calls] == [None, *observations.all[:3]]


def test_where_others_are_there_is_no_bias() -> None:
    """
    U5: what the room counts beyond ours is not its error. What was judged before they came, and what is below
    ours, stays.
    """
    observations = Observations()
    for observation in (
        a_look(),
        a_look(others=True, count=200, low=180, high=220),
        a_look(others=True, count=50, low=40, high=60),
    ):
        observations.add(observation)
    summary = observations.summary()
    assert [summary[name] for name in ("observations", "covered", "outside", "bias", "error")] == [
        3,
        1,
        1,
        None,
        None,
    ]
