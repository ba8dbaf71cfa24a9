"""`breathing-room cost`: a month's bill of a room, and how it comes about."""

import time
import urllib.error
import urllib.request
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from breathing_room.cli.cost_tables import (
    show_bills,
    show_budget,
    show_document,
    show_metrics,
    show_reasons,
)
from breathing_room.cli.crowd import duration
from breathing_room.cli.suggestions import nearest
from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import BELIEVED, PRO_RATA, ROUNDINGS, UP, read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.plot import PLOTTED, plot
from breathing_room.lab.cost.strategies import STRATEGIES, strategy
from breathing_room.lab.cost.web import serve_cost

METRICS_TIMEOUT_S: Final = 10


def seconds(text: str) -> Decimal:
    """Parse a duration, such as 30s or 5m, in seconds."""
    return Decimal(duration(text)) / 1_000


def decimal(text: str) -> Decimal:
    """Parse a finite number."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise click.BadParameter(f"{text!r} is not a number")
    return value


def setting(text: str) -> tuple[str, Any]:
    """Parse NAME=VALUE, a setting of any strategy."""
    name, _, value = text.partition("=")
    known = {key: knob for build in STRATEGIES.values() for key, knob in build.knobs.items()}
    if name not in known:
        advice = nearest(name, known) or f"; expected one of {', '.join(sorted(known))}"
        raise click.BadParameter(f"unknown setting {name!r}{advice}")
    if isinstance(known[name].default, bool):
        if value not in {"true", "false"}:
            raise click.BadParameter(f"{name} must be true or false, not {value!r}")
        return name, value == "true"
    made = decimal(value)
    if made < 0:
        raise click.BadParameter(f"{name} must be at least 0, not {value}")
    if known[name].is_whole and made != int(made):
        raise click.BadParameter(f"{name} must be a whole number, not {value}")
    return name, made


@click.command(
    name="cost",
    epilog="Examples: breathing-room cost --people 10000 · breathing-room cost --explain fixed --people 1000000 · "
    "breathing-room cost --budget 10 --people 100000 · breathing-room cost --plot bill.svg · breathing-room cost --web",
)
@click.argument("names", nargs=-1, metavar="[STRATEGY]…")
@click.option("--people", type=int, default=10_000, show_default=True, help="Number of people at a time.")
@click.option(
    "--visit",
    "visit_s",
    type=seconds,
    default="15m",
    show_default=True,
    metavar="DURATION",
    help="Mean length of a visit, such as 90s, 15m or 1h.",
)
@click.option(
    "--mood-changes",
    type=decimal,
    default="1",
    show_default=True,
    metavar="N",
    help="Mean number of changes of mood in a visit.",
)
@click.option(
    "--hours",
    type=decimal,
    default="24",
    show_default=True,
    metavar="N",
    help="Hours a day during which they are present.",
)
@click.option(
    "--plan",
    type=click.Choice(["free", "paid"]),
    default="paid",
    show_default=True,
    help="The plan, if the provider has both. The free one charges nothing, and calls over a daily limit fail.",
)
@click.option(
    "--panel",
    type=int,
    metavar="N",
    help="Size of the panel, the visitors who report.  [default: 400; on the free plan 150]",
)
@click.option(
    "--poll",
    "poll_s",
    type=seconds,
    metavar="DURATION",
    help="Time between two polls.  [default: the strategy's]",
)
@click.option(
    "--heartbeat",
    "heartbeat_s",
    type=seconds,
    metavar="DURATION",
    help="Time between two heartbeats.  [default: the strategy's]",
)
@click.option(
    "--cache",
    "cache_s",
    type=seconds,
    metavar="DURATION",
    help="How long a presence is cached.  [default: the strategy's]",
)
@click.option(
    "--set",
    "settings",
    type=setting,
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other setting of a strategy; --explain lists them. May be repeated.",
)
@click.option(
    "--rounding",
    type=click.Choice(ROUNDINGS),
    default=BELIEVED,
    show_default=True,
    help=f"How to round usage above what is included when sources disagree: what is believed of each item, always {UP}, or always {PRO_RATA}.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="A folder of price files, which add to ours or replace those of the same name.",
)
@click.option(
    "--explain",
    metavar="STRATEGY",
    help="Show every line item of a strategy with formula, price, source and date, and its assumptions.",
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Plot the bill by size of the crowd, from 10 to 10,000,000 people, and where limits break.",
)
@click.option(
    "--budget",
    type=decimal,
    metavar="USD",
    help="Find the most accurate configuration for at most this many dollars a month.",
)
@click.option(
    "--check-document", is_flag=True, help="Show the planning document's claims beside the computed figures."
)
@click.option(
    "--from-metrics",
    "metrics",
    metavar="URL|FILE",
    help="Price the operations that a server's /metrics counted, projected to a month.",
)
@click.option(
    "--over",
    "over_s",
    type=seconds,
    metavar="DURATION",
    help="With --from-metrics: the time that was counted.  [default: since the server started]",
)
@click.option(
    "--web",
    is_flag=True,
    help="Serve a page with sliders for the crowd, on this machine only, until Ctrl-C.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    metavar="N",
    help="With --web: the port of 127.0.0.1.  [default: a free one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    names: tuple[str, ...],
    people: int,
    visit_s: Decimal,
    mood_changes: Decimal,
    hours: Decimal,
    plan: str,
    settings: tuple[tuple[str, Any], ...],
    rounding: str,
    prices: Path | None,
    explain: str | None,
    plot_path: Path | None,
    budget: Decimal | None,
    check_document: bool,
    metrics: str | None,
    over_s: Decimal | None,
    web: bool,
    port: int,
    as_json: bool,
    as_csv: bool,
    **knobs: Any,
) -> None:
    """Compute what a room costs in a month, for every way to run it.

    Prices come from files with a source, a date and a grade for each; operations are computed from the crowd.
    Prices are before tax.

    STRATEGY is one or more of those in the table; by default all.
    """
    check_together(ctx)
    chosen = {name: value for name, value in knobs.items() if value is not None} | dict(settings)
    try:
        book = read_book(prices)
        crowd = CrowdProfile(people=people, visit_s=visit_s, mood_changes=mood_changes, hours=hours)
        if web:
            serve_cost(
                book,
                port=port,
                on_start=lambda url: click.echo(f"what a room costs: {url}  (Ctrl-C ends it)"),
            )
        elif metrics is not None:
            text, read_at_s = read_text(metrics)
            show_metrics(text, read_at_s, over_s, book, rounding, as_json=as_json)
        elif check_document:
            show_document(book, rounding, as_json=as_json, as_csv=as_csv)
        elif budget is not None:
            show_budget(crowd, book, budget, names or tuple(STRATEGIES), rounding, as_json=as_json)
        elif explain is not None:
            show_reasons(strategy(explain, plan, **chosen), crowd, book, plan, rounding)
        else:
            wanted = [
                strategy(name, plan, **chosen) for name in names or (PLOTTED if plot_path else STRATEGIES)
            ]
            if plot_path is not None:
                write_plot(plot_path, plot(wanted, crowd, book, plan=plan, rounding=rounding))
            else:
                show_bills(wanted, crowd, book, plan, rounding, as_json=as_json, as_csv=as_csv)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def check_together(ctx: click.Context) -> None:
    """Reject options that another option would ignore.

    Raises:
        click.UsageError: It names them.
    """
    given = {
        parameter.name: parameter.opts[0] if isinstance(parameter, click.Option) else "STRATEGY"
        for parameter in ctx.command.params
        if ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    }
    unused = [given[name] for name in given if name not in {"web", "port", "prices"}]
    if "web" in given and unused:
        raise click.UsageError(
            f"--web can be combined with --port and --prices only, not {', '.join(unused)}: the page has sliders for the crowd"
        )
    for name, needed in (("port", "web"), ("over_s", "metrics")):
        if name in given and needed not in given:
            raise click.UsageError(f"{given[name]} needs {'--web' if needed == 'web' else '--from-metrics'}")


def read_text(place: str) -> tuple[str, float]:
    """Read metrics from a URL or file, and return them with their time.

    Raises:
        ConfigError: They cannot be read.
    """
    try:
        if place.startswith(("http://", "https://")):
            with urllib.request.urlopen(place, timeout=METRICS_TIMEOUT_S) as answer:  # noqa: S310 - of these schemes only
                return answer.read().decode(), time.time()
        path = Path(place)
        return path.read_text(encoding="utf-8"), path.stat().st_mtime
    except (OSError, urllib.error.URLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{place} cannot be read: {error}") from None


def write_plot(path: Path, drawn: str) -> None:
    """Write a chart to a file.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"written: {path}")
