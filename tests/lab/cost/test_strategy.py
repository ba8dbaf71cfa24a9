"""A strategy as a value, its parts, and the functions that build it."""

from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from typing import Any

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.formula import Figure, figure, given
from breathing_room.lab.cost.strategy import (
    Accuracy,
    Reading,
    Reporting,
    Storing,
    Strategy,
    builder,
    composed,
    every,
    exact,
    fixed_panel,
    knob,
    knobs_of,
)


@builder
def knocking_twice(
    name: str,
    *,
    pause_s: Figure = knob(30, "s", "between two knocks", zero=True),
    doors: Figure = knob(4, "doors", "that are knocked at", most=100, whole=True),
    loudly: bool = knob(False, "", "whether it is heard outside"),
) -> Strategy:
    """Each visitor knocks at every door."""
    reporting = Reporting("heartbeats", "knocks", lambda crowd: crowd.joins * doors, exact)
    storing = Storing("key", "on a slate", lambda _, reports: {"chalk": reports * 2})
    reading = Reading("page", "from the slate", lambda crowd, _: {"sponges": every(crowd.month, pause_s)})
    return Strategy(
        name=name,
        reporting=reporting,
        storing=storing,
        reading=reading,
        usage=composed(reporting, reading.usage, *(() if loudly else (storing.usage,))),
        assumptions=(),
    )


CROWD = CrowdFigures(CrowdProfile(people=100))


def test_the_better_count_ranks_first() -> None:
    """Accuracies are ordered by their root mean square error: of error and bias together."""
    sure = Accuracy(given(Decimal("0.03"), "error"), Decimal(0), "")
    biased = Accuracy(given(Decimal("0.03"), "error"), Decimal("0.04"), "")
    assert sure.rank == Decimal("0.03")
    assert biased.rank == Decimal("0.05")
    assert replace(biased, bias=None).rank > biased.rank


def test_the_usage_is_that_of_the_parts_in_the_order_of_the_bill() -> None:
    """Each part is given the crowd and its reports, and takes items of
    its own; what is left out takes none.
    """
    usage = knocking_twice().usage(CROWD)
    assert list(usage) == ["sponges", "chalk"]
    assert usage["chalk"].value == 2 * 4 * CROWD.joins.value
    assert usage["sponges"].value == CROWD.month.value / 30
    assert knocking_twice(loudly=True).usage(CROWD).keys() == {"sponges"}
    assert knocking_twice(pause_s=0).usage(CROWD)["sponges"].value == 0


def test_formulas_have_the_names_and_meanings_of_the_knobs() -> None:
    """What is set stands in formulas by its name, with unit and meaning beside it."""
    chalk = knocking_twice(doors=7).usage(CROWD)["chalk"]
    assert chalk.formula == "joins × doors × 2"
    doors = next(entry for entry in chalk.definitions() if entry.name == "doors")
    assert (doors.value, doors.unit, doors.source) == (Decimal(7), "doors", "that are knocked at")


def test_a_strategy_is_a_value_of_its_name_and_settings() -> None:
    """Two that were built alike are equal, another setting makes another one, and none can be changed."""
    assert knocking_twice().name == "knocking-twice"
    assert knocking_twice() == knocking_twice(doors=Decimal(4)) != knocking_twice(doors=5)
    assert dict(knocking_twice(doors=5).settings) == {"pause_s": 30, "doors": 5, "loudly": False}
    with pytest.raises(FrozenInstanceError):
        knocking_twice().name = "bell"  # type: ignore[misc]
    with pytest.raises(TypeError):
        knocking_twice().settings["doors"] = Decimal(9)  # type: ignore[index]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pause_s": -1}, "pause_s must be from 0 up to 1,000,000,000, not -1"),
        ({"doors": 0}, "doors must be above 0 and up to 100, not 0"),
        ({"doors": 1_000}, "doors must be above 0 and up to 100, not 1,000"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    """A setting outside its range is refused with its name, the range and what was given."""
    with pytest.raises(ConfigError, match=said):
        knocking_twice(**wrong)


def test_a_knob_that_a_builder_does_not_have_is_a_mistake_of_the_caller() -> None:
    """A builder is called as a function is: an unknown name is a TypeError."""
    with pytest.raises(TypeError, match="windows"):
        knocking_twice(windows=3)


def test_a_builder_can_have_other_defaults_under_another_name() -> None:
    """The same function builds a second strategy, which can be set to what the first one is."""
    loud = knocking_twice.again("loud", loudly=True)
    assert (loud().name, loud().settings["loudly"]) == ("loud", True)
    assert loud(loudly=False).settings == knocking_twice().settings
    assert knocking_twice().settings["loudly"] is False
    assert loud.figure("doors").value == 4


def test_functions_that_share_a_knob_are_set_together() -> None:
    """The knobs of several parts are those of each; one name with two meanings is a mistake of the author."""
    bells, glass = knob(1, "bells", "that ring"), knob(2, "panes", "that break")

    def rings(*, many: Figure = bells) -> None: ...
    def breaks(*, many: Figure = bells, panes: Figure = glass) -> None: ...
    def confuses(*, many: Figure = glass) -> None: ...

    assert knobs_of(rings, breaks) == {"many": bells, "panes": glass}
    with pytest.raises(AssertionError, match="many"):
        knobs_of(rings, confuses)


def test_a_panel_reports_the_same_for_any_crowd_and_is_exact_where_it_asks_all() -> None:
    """Reports of a panel of 400 hardly grow from ten thousand people to a million; of 400 people all are
    asked, and the count is exact.
    """
    reporting = fixed_panel(figure(400), figure(300))
    few, many, all_asked = (CrowdFigures(CrowdProfile(people=people)) for people in (10_000, 1_000_000, 400))
    assert reporting.reports(few).value == pytest.approx(reporting.reports(many).value, rel=Decimal("1e-9"))
    error = reporting.accuracy(many).error
    assert error is not None
    assert float(error.value) == pytest.approx(1 / 20, rel=1e-3)
    assert reporting.accuracy(all_asked).rank == 0


def test_a_plan_that_does_not_exist_is_replaced_by_the_one_for_the_crowd() -> None:
    """What was asked for is taken where it exists; otherwise the last one, or the one that a strategy names
    for its crowd.
    """
    plain = knocking_twice()
    assert [plain.plan_of(CROWD, plan) for plan in ("free", "paid", "gold")] == ["free", "paid", "paid"]
    chosen = replace(plain, larger_plan=lambda crowd: "paid" if crowd.people.value > 100 else "free")
    assert chosen.plan_of(CROWD, "gold") == "free"
