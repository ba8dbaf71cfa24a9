"""`breathing-room simulate`: run a crowd against the real room in virtual time, and compare the count with
the truth.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from breathing_room.core.errors import ConfigError
from breathing_room.core.write_policies import POLICIES
from breathing_room.lab.sim.scenario import (
    ESTIMATORS,
    HOUR_MS,
    MODES,
    SECOND_MS,
    Scenario,
    load,
    scenario_names,
)
from breathing_room.lab.sim.summary import SAMPLES_MIN, summarize

PIPE_LETTERS: Final = 150
"""The width of a table where the output is no terminal."""

VERSION: Final = 1

LABELS: Final = {
    "panel": "panel",
    "legacy": "legacy (biased)",
    "legacy_forced": "first heartbeat forced (biased)",
    "write_rate": "write_rate",
    "history": "history (estimated)",
}


@click.command(
    name="simulate",
    epilog="Example: breathing-room simulate steady --people 100000 --seeds 4 --jobs 2 --plot steady.svg",
)
@click.argument("name", default="steady", metavar="[SCENARIO|FILE.toml]")
@click.option("--list", "listed", is_flag=True, help="List the scenarios that are shipped, and end.")
@click.option(
    "--people",
    type=click.IntRange(min=1),
    multiple=True,
    help="Number of people at a time; repeat it for a sweep.",
)
@click.option(
    "--hours", type=click.FloatRange(min=0, min_open=True), help="Length of a run, after the warm-up."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of the random numbers."
)
@click.option(
    "--seeds", type=click.IntRange(min=1), help="Number of runs, with seeds from SEED on.  [default: 1]"
)
@click.option(
    "--observations",
    type=click.IntRange(min=1),
    help="Number of observations of each crowd; sets the number of runs.",
)
@click.option(
    "--mode", type=click.Choice(MODES), help="exact: each poll is an event; fast: only polls that matter."
)
@click.option("--policy", type=click.Choice(tuple(POLICIES)), help="The write policy.")
@click.option("--estimators", metavar="NAME,…", help=f"The estimators to compare: {', '.join(ESTIMATORS)}.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Number of processes."
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write the result as JSON; - for standard output.",
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Plot the result, as .png or .svg.",
)
def command(
    name: str,
    *,
    listed: bool,
    seed: int,
    seeds: int | None,
    observations: int | None,
    jobs: int,
    json_path: str | None,
    plot_path: Path | None,
    **options: Any,
) -> None:
    """Simulate a crowd, and compare the count with the truth.

    Time is virtual: a day of a million people takes less than a minute. The room, its write policies and the
    clients are the deployed code; arrivals, visits, networks and caches are simulated. The same seed gives
    the same result.

    A scenario is a TOML file; `--list` shows those that are shipped.
    """
    if listed:
        for shipped in scenario_names():
            click.echo(f"{shipped:<15} {load(shipped).about}")
        return
    if seeds and observations:
        raise click.UsageError("--seeds and --observations both set the number of runs: give one of them")
    if plot_path and plot_path.suffix not in {".png", ".svg"}:
        raise click.UsageError(f"--plot must be a file that ends in .png or .svg, not {plot_path}")
    try:
        scenario, sizes = _read(name, **options)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    count = seeds or (-(-observations // _observations_a_run(scenario)) if observations else 1)
    try:
        from breathing_room.lab.sim.batch import run_all  # noqa: PLC0415 - numpy is an extra

        if plot_path:
            from breathing_room.lab.sim.plot import plot  # noqa: PLC0415 - so is matplotlib
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is not installed: run pip install 'breathing-room[sim]'"
        ) from None
    crowds = [scenario.of(people) for people in sizes]
    # The effect of forgers is measured against the same runs without them.
    forged = (
        [scenario.forgers, replace(scenario.forgers, share=0.0)]
        if scenario.forgers.share
        else [scenario.forgers]
    )
    work = [
        (replace(crowd, forgers=forgers), number)
        for crowd in crowds
        for forgers in forged
        for number in range(seed, seed + count)
    ]
    summaries = []
    try:
        with _progress(len(work)) as on_progress:
            results = run_all(work, jobs=min(jobs, len(work)), on_progress=on_progress)
            for crowd in crowds:
                found, *without = [[next(results) for _ in range(count)] for _ in forged]
                summaries.append(summarize(crowd, found, without_forgers=without[0] if without else ()))
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    result = {"version": VERSION, "scenario": name, "about": scenario.about, "crowds": summaries}
    if plot_path:
        _write(plot_path, lambda: plot(result, plot_path))
    if json_path:
        text = json.dumps(result, indent=1, allow_nan=False) + "\n"
        if json_path == "-":
            click.echo(text, nl=False)
            return
        _write(Path(json_path), lambda: Path(json_path).write_text(text, encoding="utf-8"))
    _show(result)


def _read(
    name: str,
    *,
    people: tuple[int, ...],
    hours: float | None,
    mode: str | None,
    policy: str | None,
    estimators: str | None,
) -> tuple[Scenario, Sequence[int]]:
    """Load the scenario with the overrides of the command line; return it with the sizes of its crowds."""
    run: dict[str, Any] = {"hours": hours, "mode": mode, "policy": policy}
    if estimators is not None:
        run["estimators"] = [part.strip() for part in estimators.split(",") if part.strip()]
    overrides = {"run": {key: value for key, value in run.items() if value is not None}}
    if people:
        overrides["crowd"] = {"people": people[0]}
    scenario = load(name, overrides)
    return scenario, people or scenario.sizes or (scenario.crowd.people,)


def _observations_a_run(scenario: Scenario) -> int:
    return max(1, int(scenario.run.hours * HOUR_MS / (scenario.run.observe_every_s * SECOND_MS) + 1e-6))


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[float], None]]:
    """Show the progress on standard error, if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("1 run" if runs == 1 else f"{runs:,} runs", total=runs)
        yield lambda done: bar.update(task, completed=done)


def _write(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror or error}") from None


# --- Text output ------------------------------------------------------------------------------------------


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_LETTERS
    if result["about"]:
        console.print(result["about"])
    crowds = result["crowds"]
    if len(crowds) > 1:
        console.print(
            "\nAccuracy of the panel; covered: the share of its 95 % intervals that cover the truth; samples: independent ones."
        )
        console.print(_sweep(crowds), _sweep_beside(crowds), _sweep_a_day(crowds), sep="")
        _show_hint(console, crowds)
        return
    (crowd,) = crowds
    console.print(
        f"{_runs(crowd)}, mode {crowd['mode']}, {crowd['observations']:,} observations, {_people(crowd['truth'])} people on average"
    )
    console.print(_estimators(crowd))
    _show_hint(console, crowds)
    for line in _lines(crowd):
        console.print(line)


def _runs(crowd: dict[str, Any]) -> str:
    """Return the number of runs and the measured length of each, after its warm-up."""
    count = len(crowd["seeds"])
    warm_up = crowd["warm_up_hours"] / count
    measured = crowd["hours"] / count - warm_up
    after = f"after {_length(warm_up)} of warm-up" if warm_up else "without a warm-up"
    runs = "1 run" if count == 1 else f"{count:,} runs"
    return f"{runs}: measured {_length(measured)} {after}"


def _length(hours: float) -> str:
    return f"{hours:.4g} h" if hours >= 1 else f"{60 * hours:.4g} min"


def _show_hint(console: Console, crowds: Sequence[dict[str, Any]]) -> None:
    """Print a hint if there are too few independent samples to judge an interval."""
    few = [crowd for crowd in crowds if 0 < crowd["independent_samples"] < SAMPLES_MIN]
    if not few:
        return
    samples = {crowd["independent_samples"] for crowd in few}
    most = max(samples)
    number = f"{most:,}" if len(samples) == 1 else f"{min(samples):,} to {most:,}"
    observations = (
        f"{few[0]['observations']:,} observations are" if len(few) == 1 else "The observations of a crowd are"
    )
    console.print(
        f"{observations} {number} independent {'sample' if most == 1 else 'samples'}: observations that are close together see mostly "
        f"the same people.\nToo few to estimate the error or the coverage: 'ratio' and 'covered' stay blank below "
        f"{SAMPLES_MIN} samples. Try --seeds {SAMPLES_MIN}\n",
        soft_wrap=True,
    )


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right")
    return table


def _estimators(crowd: dict[str, Any]) -> Table:
    table = _table(
        "estimator", "count / truth", "bias", "± error", "RMSE", "theory", "samples", "ratio", "covered"
    )
    for name, fared in crowd["estimators"].items():
        table.add_row(
            Text(
                "the room" if name == "panel" and crowd["kinds"] != ["poll"] else LABELS[name],
                style="yellow" if fared["biased"] else "",
            ),
            f"{fared['ratio']:.3f}",
            _percent(fared["bias"]),
            _percent(fared["bias_error"], sign=False),
            _percent(fared["rmse"], sign=False),
            _percent(fared["bound"], sign=False),
            f"{fared['independent_samples']:,}",
            _ratio(fared),
            _percent(fared["coverage"], sign=False),
        )
    return table


def _lines(crowd: dict[str, Any]) -> Iterator[str]:
    """Return the results that are not in the table, one line for each."""
    moods = crowd["moods"]
    if moods["coverage"] is not None:
        yield (
            f"moods           {_percent(moods['coverage'], sign=False)} of {moods['observations']:,} intervals covered the truth, "
            f"from {moods['independent_samples']:,} independent samples"
        )
    day = {name: f"{count:,.0f}" for name, count in crowd["a_day"].items()}
    meter = crowd["meter"]
    yield (
        f"reports a day   {day['reports']}, and {day['leaves']} leaves; of all reports {meter['reports_kept']:,} were in the sample, "
        f"{meter['reports_outside']:,} were not, {meter['reports_shed']:,} were shed"
    )
    if meter["legacy_reports"]:
        yield f"legacy a day    {day['legacy_reports']}"
    if meter["connects"]:
        yield f"connections     {meter['connects']:,} opened, {meter['messages_in']:,} messages in, {meter['messages_out']:,} out"
    yield f"reads a day     {day['presence_reads']} at the origin, of {day['polls']} polls; {day['config_reads']} configs, of {day['config_fetches']}"
    store = meter["store"]
    yield f"writes a day    {day['writes']}, {store['bytes_put']:,} bytes in all; {day['timers']} wake-ups a day"
    if surge := crowd.get("surge"):
        yield (
            f"surge           {surge['peak_per_s']:,} reports a second at most; one cache lifetime ({surge['lifetime_s']:.0f} s) after it "
            f"{surge['arriving_per_s']:.2f} a second"
        )
        yield f"                under budget ({surge['budget_per_s']:.2f}/s, with chance {surge['allowed_per_s']:.2f}/s) in {surge['under_budget']} of {surge['runs']} runs"
        yield f"                truth in the interval after two lifetimes in {surge['truth_in_interval']} of {surge['runs']} runs"
    forgers = crowd.get("forgers", {})
    if forgers.get("observations"):
        yield f"forgers         {meter['reports_forged']:,} of {meter['reports']:,} reports were forged"
        yield (
            f"                published {_people(forgers['published'])}, and without them {_people(forgers['published_without'])}: "
            f"moved by {_people(forgers['moved'])}; the cap of {forgers['cap_seats']} seats allows {_people(forgers['allowed'])}"
        )
        yield (
            f"                without the cap the count would have moved by {_people(forgers['raw_moved'])}; "
            f"{forgers['capped_seats']:,.0f} seats were over quota"
        )


def _sweep(crowds: Sequence[dict[str, Any]]) -> Table:
    """Return the table that compares crowds; its heads are short, so that it fits a terminal."""
    table = _table(
        "people", "bias %", "unrounded", "± %", "RMSE %", "theory", "samples", "ratio", "covered %", left=0
    )
    for crowd in crowds:
        if panel := crowd["estimators"].get("panel"):
            table.add_row(
                f"{crowd['people']:,}",
                _share(panel["bias"], sign=True),
                _share(panel.get("bias_before_rounding"), sign=True),
                _share(panel["bias_error"]),
                _share(panel["rmse"]),
                _share(panel["bound"]),
                f"{panel['independent_samples']:,}",
                _ratio(panel),
                _share(panel["coverage"], digits=1),
            )
    return table


def _sweep_beside(crowds: Sequence[dict[str, Any]]) -> Table:
    table = _table(
        "people",
        "observations",
        "moods covered %",
        "of",
        "legacy (biased)",
        "first heartbeat forced (biased)",
        left=0,
    )
    for crowd in crowds:
        table.add_row(
            f"{crowd['people']:,}",
            f"{crowd['observations']:,}",
            _share(crowd["moods"]["coverage"], digits=1),
            f"{crowd['moods']['observations']:,}",
            *(_times(crowd["estimators"].get(name)) for name in ("legacy", "legacy_forced")),
        )
    return table


def _sweep_a_day(crowds: Sequence[dict[str, Any]]) -> Table:
    table = _table(
        "people",
        "reports/day",
        "leaves",
        "polls",
        "reads",
        "configs",
        "writes",
        left=0,
    )
    for crowd in crowds:
        day = crowd["a_day"]
        counts = (
            day[name] for name in ("reports", "leaves", "polls", "presence_reads", "config_reads", "writes")
        )
        table.add_row(f"{crowd['people']:,}", *(f"{count:,.0f}" for count in counts))
    return table


def _share(share: float | None, *, sign: bool = False, digits: int = 2) -> str:
    return "-" if share is None else f"{100 * share:{'+' if sign else ''},.{digits}f}"


def _percent(share: float | None, *, sign: bool = True) -> str:
    return "-" if share is None else f"{_share(share, sign=sign)} %"


def _ratio(fared: dict[str, Any]) -> str:
    """Return the error over theory; `-` with too few samples."""
    known = fared["bound"] and fared["independent_samples"] >= SAMPLES_MIN
    return f"{fared['rmse'] / fared['bound']:.3f}" if known else "-"


def _times(fared: dict[str, Any] | None) -> str:
    return f"{fared['ratio']:.2f} x" if fared else "-"


def _people(count: float | None) -> str:
    return "-" if count is None else f"{count:,.0f}" if abs(count) >= 100 else f"{count:,.1f}"
