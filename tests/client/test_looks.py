"""What a room says, beside the truth."""

from typing import Any

import pytest

from breathing_room.client.looks import Look, Looks


def a_look(**changes: Any) -> Look:
    """A look at a room in which all is well."""
    values: dict[str, Any] = {
        "at_s": 10.0, "gathered": True, "truth": 100, "count": 100, "low": 90, "high": 110, "method": "sampled",
        "rate": 0.5, "sent": {"reads": 30, "reports": 10},
    }  # fmt: skip
    return Look(**values | changes)


@pytest.mark.parametrize(
    ("truth", "high", "held"),
    [
        (100, 110, "yes"),
        (90, 110, "yes"),
        (110, 110, "yes"),
        (89, 110, "no"),
        (111, 110, "no"),
        (900, None, "yes"),
    ],
)
def test_an_interval_holds_the_truth_or_not(truth: int, high: int | None, held: str) -> None:
    """
    Its ends belong to it, and where the upper one is not known nothing is too much.
    """
    assert a_look(truth=truth, high=high).held is (held == "yes")


def test_rates_are_those_since_the_look_before() -> None:
    """
    The first one counts from the beginning.
    """
    first = a_look()
    later = a_look(at_s=12.0, sent={"reads": 60, "reports": 11})
    assert first.rates(None) == {"reads": 3.0, "reports": 1.0}
    assert later.rates(first) == {"reads": 15.0, "reports": 0.5}


def test_only_looks_at_the_whole_crowd_are_judged() -> None:
    """
    While people are still coming nothing can hold; an unknown count has no error, but an interval.
    """
    looks, told = Looks(), list[tuple[Look, Look | None]]()
    looks.on_look = lambda look, before: told.append((look, before))
    assert looks.summary() == {"looks": 0, "held": 0, "bias": None, "error": None, "rows": []}
    for look in (
        a_look(gathered=False, truth=1),
        a_look(count=110),
        a_look(count=80, low=70, high=95),
        a_look(count=None, high=None),
    ):
        looks.add(look)
    summary = looks.summary()
    assert [summary[name] for name in ("looks", "held", "bias", "error")] == [3, 2, -0.05, 0.1581]
    assert [row["held"] for row in summary["rows"]] == [False, True, False, True]
    assert [before for _, before in told] == [None, *looks.all[:3]]
