"""Scenarios, and what is no scenario."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.sim.scenario import (
    CrowdSettings,
    ForgersSettings,
    Run,
    Scenario,
    Surge,
    Wires,
    load,
    parse,
    scenario_names,
)


@pytest.mark.parametrize("name", scenario_names())
def test_what_is_shipped_can_be_read(name: str) -> None:
    """Every shipped scenario is valid and says what it shows."""
    assert load(name).about.endswith(".")


def test_nothing_said_is_the_default() -> None:
    """An empty file is a scenario, of a room whose people poll."""
    assert parse("") == Scenario()
    assert parse("").room.mode == "poll"


def test_every_table_is_read() -> None:
    """Values arrive where they belong, with whole numbers taken for numbers."""
    scenario = parse(
        """
        about = "All of it."
        sizes = [10, 20]
        [run]
        hours = 2
        estimators = ["panel", "write_rate"]
        [crowd]
        people = 50
        kinds = { poll = 1, legacy = 2.5 }
        curve = [[0, 1], [6.5, 2]]
        moods = { gratitude = 1, unspoken = 1 }
        [surge]
        factor = 10
        [forgers]
        share = 0.25
        tickets = "drawn"
        [wires]
        delay_ms = 50
        [room]
        panel_size = 100
        """
    )

    assert scenario.sizes == (10, 20)
    assert scenario.run.hours == 2.0
    assert scenario.run.estimators == ("panel", "write_rate")
    assert scenario.crowd.curve == ((0.0, 1.0), (6.5, 2.0))
    assert scenario.crowd.kinds == {"poll": 1, "legacy": 2.5}
    assert (scenario.surge.factor, scenario.forgers.tickets, scenario.wires.delay_ms) == (10.0, "drawn", 50.0)
    assert scenario.room.panel_size == 100
    assert scenario.of(7).crowd.people == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("people = 5", "people is not a setting; there are about, sizes, run"),
        ("[crowd]\npeopel = 5", "crowd.peopel is not a setting; did you mean people?"),
        ("[room]\nheartbeats_ms = 5", "room.heartbeats_ms is not a setting; did you mean heartbeat_ms?"),
        ("[crowd]\nxyzzy = 5", "crowd.xyzzy is not a setting; there are people,"),
        ("crowd = 5", "crowd must be a table"),
        ("[crowd]\npeople = 0", "crowd.people must be from 1 to 100,000,000, not 0"),
        ("[crowd]\npeople = 2.5", "crowd.people must be a whole number, not 2.5"),
        ("[crowd]\npeople = true", "crowd.people must be a whole number, not True"),
        ("[crowd]\nclosed = 1", "crowd.closed must be true or false, not 1"),
        ("[crowd]\nvisit = 5", "crowd.visit must be text, not 5"),
        ("[crowd]\nvisit_minutes = nan", "crowd.visit_minutes must be a number, not nan"),
        ("[crowd]\nkinds = { walk = 1 }", "crowd.kinds must be one of poll, legacy, socket, not 'walk'"),
        ("[crowd]\nkinds = { poll = 0 }", "crowd.kinds must be weights"),
        ("[crowd]\nkinds = { poll = 'x' }", "crowd.kinds must be a table of numbers"),
        ("[crowd]\nmoods = { grumpy = 1 }", "crowd.moods must be one of gratitude"),
        ("[crowd]\nmoods = { release = -1, presence = 2 }", "crowd.moods must be weights"),
        ("[crowd]\ncurve = []", "crowd.curve must be a list of [hour, factor]"),
        ("[crowd]\ncurve = [[1, 1]]", "crowd.curve must begin at hour 0"),
        ("[crowd]\ncurve = [[0, 1], [0, 2]]", "crowd.curve must begin at hour 0 and go on in time"),
        ("[crowd]\ncurve = [[0, -1]]", "crowd.a factor of curve"),
        ("[crowd]\ncurve = [[0, 1], [3, 2]]\nperiod_hours = 3", "crowd.curve must end before period_hours"),
        ("[run]\nmode = 'deep'", "run.mode must be one of auto, exact, fast, not 'deep'"),
        ("[run]\npolicy = 'never'", "run.policy must be one of every, lazy"),
        ("[run]\nestimators = []", "run.estimators must name at least one"),
        ("[run]\nestimators = ['guess']", "run.estimators must be one of panel"),
        ("[run]\nestimators = 'panel'", "run.estimators must be a list of names"),
        ("[run]\nhours = 0", "run.hours must be from 0.01"),
        ("[forgers]\nshare = 1", "forgers.share must be from 0 to 0.99"),
        ("[forgers]\ntickets = 'stolen'", "forgers.tickets must be one of chosen, drawn"),
        ("[surge]\nin_s = 0", "surge.in_s must be from 1"),
        ("[wires]\nloss_share = 0.9", "wires.loss_share must be from 0 to 0.5"),
        ("[wires]\npresence_max_age_s = 60", "room.rate_propagation_ms must be at least 153,000"),
        ("[room]\nheartbeat_ms = 'often'", "room.heartbeat_ms must be a whole number"),
        ("[room]\nheartbeat_ms = 1", "room.heartbeat_ms must be a whole number from 500"),
        ("sizes = [0]", "sizes must be from 1"),
        ("sizes = [1.5]", "sizes must be a list of whole numbers"),
        ("[run", "this is not valid TOML"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, message: str) -> None:
    """An unknown key, a wrong type, a number out of range and a contradiction are named, with what would be
    right.
    """
    with pytest.raises(ConfigError) as refusal:
        parse(text)
    assert message in str(refusal.value)


def test_a_scenario_that_is_not_there(tmp_path: Path) -> None:
    """An unknown name lists the known ones; a file that cannot be read says why."""
    with pytest.raises(ConfigError, match="no scenario 'stead'; there are accuracy,"):
        load("stead")
    with pytest.raises(ConfigError, match="No such file"):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "latin.toml").write_bytes(b"about = '\xff'")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(str(tmp_path / "latin.toml"))


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    """What is put in place of a value is checked as it is."""
    (tmp_path / "my.toml").write_text("[crowd]\npeople = 5\nvisit_minutes = 2")
    scenario = load(str(tmp_path / "my.toml"), {"crowd": {"people": 7}, "run": {"hours": 3}})

    assert (scenario.crowd.people, scenario.crowd.visit_minutes, scenario.run.hours) == (7, 2.0, 3.0)
    with pytest.raises(ConfigError, match=r"my\.toml: crowd\.people must be from 1"):
        load(str(tmp_path / "my.toml"), {"crowd": {"people": 0}})


def test_the_example_of_the_manual_is_a_scenario() -> None:
    """The file that ``docs/howto/simulate.md`` shows can be read, and its table names every key."""
    page = (Path(__file__).parents[3] / "docs" / "howto" / "simulate.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert parse(example).crowd.people == 300

    for table in (Run, CrowdSettings, Surge, ForgersSettings, Wires):
        for entry in fields(table):
            assert f"`{entry.name}`" in page, entry.name
