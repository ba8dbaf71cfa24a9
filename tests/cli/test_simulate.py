"""The command that simulates."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main
from breathing_room.lab.sim.scenario import scenario_names

SHORT = ("steady", "--people", "40", "--hours", "0.2")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *arguments])


def test_the_scenarios_are_listed() -> None:
    """Every shipped scenario has a line that says what it shows."""
    lines = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == scenario_names()


def test_for_people_to_read() -> None:
    """In a pipe there is a table without escape codes, with biased figures labelled, then a line for each
    thing; and nothing else.
    """
    result = run(*SHORT)

    assert result.exit_code == 0
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert "1 run: measured 12 min after 1 h of warm-up, mode exact, 12 observations" in result.stdout
    assert "legacy (biased)" in result.stdout
    assert "reports a day" in result.stdout
    assert "writes a day" in result.stdout


def test_close_looks_at_one_panel_are_no_measure_of_coverage() -> None:
    """
    U5: the bare command printed a coverage of 76.67 % from 60 observations at the same people, which read as
    a refutation.

    Fewer than 20 independent samples give neither coverage nor a ratio to theory, in the table and in JSON,
    and the output says on how many it rests and what to do.
    """
    shown = run(*SHORT).stdout
    (row,) = (line.split() for line in shown.splitlines() if line.startswith(" panel"))
    assert row[-3:] == ["1", "-", "-"]
    assert "12 observations are 1 independent sample" in " ".join(shown.split())
    assert "--seeds 20" in shown
    assert "covered the truth" not in shown

    (crowd,) = json.loads(run(*SHORT, "--json", "-").stdout)["crowds"]
    assert crowd["estimators"]["panel"]["independent_samples"] == 1
    assert crowd["estimators"]["panel"]["coverage"] is None
    assert crowd["moods"]["coverage"] is None


@pytest.mark.slow
def test_twenty_seeds_are_a_measure_of_coverage() -> None:
    """U5: what the hint asks for gives a coverage, and no hint."""
    shown = run("steady", "--people", "10", "--hours", "0.1", "--seeds", "20").stdout
    (row,) = (line.split() for line in shown.splitlines() if line.startswith(" panel"))
    samples, ratio, covered, percent = row[-4:]
    assert (samples, percent) == ("20", "%")
    assert float(ratio) > 0
    assert float(covered) > 50
    assert "--seeds 20" not in shown


def test_a_sweep_says_on_how_many_samples_each_row_rests() -> None:
    """U5: a sweep leaves the coverage of a row blank as well, and says so below."""
    shown = run("steady", "--people", "5", "--people", "30", "--hours", "0.1").stdout
    rows = [
        line.split() for line in shown.split("covered %")[1].splitlines() if line.strip()[:2] in {"5 ", "30"}
    ]
    assert [row[-3:] for row in rows[:2]] == [["1", "-", "-"]] * 2
    assert "--seeds 20" in shown


@pytest.mark.parametrize(
    ("hours", "said"),
    [("2", "measured 2 h after 1 h of warm-up"), ("0.2", "measured 12 min after 1 h of warm-up")],
)
def test_the_time_that_is_said_is_the_time_that_was_asked_for(hours: str, said: str) -> None:
    """U5: --hours 2 was announced as a run of 3.00 h, with the warm-up in it."""
    assert said in run("steady", "--people", "5", "--hours", hours).stdout


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes() -> None:
    """Twice the same seed, in one process or two, is the same JSON to the last byte; another seed is not."""
    once, again, two_jobs, other = (
        run(*SHORT, "--seeds", "2", "--json", "-", *more).stdout
        for more in ((), (), ("--jobs", "2"), ("--seed", "5"))
    )

    assert once == again == two_jobs
    assert once != other
    (crowd,) = json.loads(once)["crowds"]
    assert crowd["seeds"] == [1, 2]
    assert crowd["estimators"]["legacy"]["biased"]
    assert len(crowd["seen"]) == crowd["observations"] == 24


@pytest.mark.slow
def test_a_sweep_is_a_table_by_size(tmp_path: Path) -> None:
    """Several crowds make one table of accuracy and one of what they cost a day, a JSON file and a plot."""
    result = run(
        "steady", "--people", "5", "--people", "30", "--hours", "0.1", "--observations", "10",
        "--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.svg"),
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "a.json").read_text())
    assert [(crowd["people"], crowd["observations"]) for crowd in found["crowds"]] == [(5, 12), (30, 12)]
    assert "unrounded" in result.stdout
    assert "reports/day" in result.stdout
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_what_the_command_line_says_goes_first(tmp_path: Path) -> None:
    """Depth, policy and estimators take the place of those in the file."""
    (tmp_path / "mine.toml").write_text(
        'about = "Mine."\n[run]\nhours = 0.1\nwarm_up_minutes = 1\n[crowd]\npeople = 20\n'
    )
    result = run(
        str(tmp_path / "mine.toml"), "--mode", "fast", "--policy", "every", "--estimators", "panel,write_rate", "--json", "-"
    )  # fmt: skip
    (crowd,) = json.loads(result.stdout)["crowds"]

    assert crowd["mode"] == "fast"
    assert list(crowd["estimators"]) == ["panel", "write_rate"]
    assert crowd["meter"]["store"]["puts"] >= crowd["meter"]["reports_kept"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no scenario 'nowhere'"),
        (["missing.toml"], "cannot read missing.toml: No such file"),
        (["--people", "0"], "0 is not in the range x>=1"),
        (["--hours", "0"], "0.0 is not in the range"),
        (["--hours", "1e9"], "run.hours must be from 0.01"),
        (["--mode", "deep"], "'deep' is not one of"),
        (["--policy", "never"], "'never' is not one of"),
        (["--estimators", "guess"], "run.estimators must be one of"),
        (["--estimators", ","], "run.estimators must name at least one"),
        (["--seeds", "2", "--observations", "2"], "give one of them"),
        (["--plot", "a.jpg"], "ends in .png or .svg"),
        (["legacy", "--mode", "fast"], "mode fast supports polling visitors only"),
    ],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    """A mistake is named, with exit code 2, and nothing is run."""
    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_result_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that is not there is named, with exit code 1."""
    result = run(*SHORT, "--json", str(tmp_path / "none" / "a.json"))

    assert result.exit_code == 1
    assert "No such file" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("missing", "arguments"), [("numpy", ""), ("matplotlib", "--plot a.svg")])
def test_without_the_extra(missing: str, arguments: str, tmp_path: Path) -> None:
    """Where numpy, or for a plot matplotlib, is not installed, the command says how to install it; --list
    works all the same.
    """
    code = f"import sys; sys.modules['{missing}'] = None; from breathing_room.cli import main; main(sys.argv[1:])"

    def without(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "simulate", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    refused = without(*SHORT, *arguments.split())
    assert refused.returncode == 1
    assert f"{missing} is not installed: run pip install 'breathing-room[sim]'" in refused.stderr
    assert without("--list").returncode == 0
