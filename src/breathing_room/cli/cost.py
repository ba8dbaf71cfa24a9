"""`breathing-room cost`: what a room costs, and why."""

import csv
import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from breathing_room.cli.crowd import duration
from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import BELIEVED, PRO_RATA, ROUNDINGS, UP, Book, read_book
from breathing_room.lab.cost.budget import choices
from breathing_room.lab.cost.counted import project, read_metrics
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.document import claims, summary
from breathing_room.lab.cost.formula import Figure, money, number
from breathing_room.lab.cost.model import Bill, bill, breaks_at
from breathing_room.lab.cost.plot import PLOTTED, plot
from breathing_room.lab.cost.report import broken_words, describe, notes, otherwise, worst_grade
from breathing_room.lab.cost.strategies import STRATEGIES, strategy
from breathing_room.lab.cost.strategy import Strategy

RIGHT: Final = frozenset({"a month", "people", "used", "charge", "KV", "Durable Objects", "fixed"})
"""Columns of numbers."""

SECONDS: Final = ("poll_s", "beat_s", "cache_s")
METRICS_TIMEOUT_S: Final = 10


def seconds(text: str) -> Decimal:
    """Read a length of time, such as 30s or 5m, in seconds."""
    return Decimal(duration(text)) / 1_000


def decimal(text: str) -> Decimal:
    """Read a number."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise click.BadParameter(f"{text!r} is not a number")
    return value


def setting(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE, of any strategy."""
    name, _, value = text.partition("=")
    known = {key: knob for build in STRATEGIES.values() for key, knob in build.knobs.items()}
    if name not in known:
        raise click.BadParameter(f"{name!r} is no setting; there are {', '.join(sorted(known))}")
    if isinstance(known[name].default, bool):
        if value not in {"true", "false"}:
            raise click.BadParameter(f"{name} must be true or false, not {value!r}")
        return name, value == "true"
    made = decimal(value)
    if made < 0:
        raise click.BadParameter(f"{name} must not be below 0: {value}")
    if known[name].is_whole and made != int(made):
        raise click.BadParameter(f"{name} must be a whole number, not {value}")
    return name, made


@click.command(
    name="cost",
    epilog="Examples: breathing-room cost --people 10000 · breathing-room cost --explain fixed --people 1000000 · "
    "breathing-room cost --budget 10 --people 100000 · breathing-room cost --plot bill.svg",
)
@click.argument("names", nargs=-1, metavar="[STRATEGY]…")
@click.option("--people", type=int, default=10_000, show_default=True, help="How many there are at a time.")
@click.option(
    "--stay",
    "stay_s",
    type=seconds,
    default="15m",
    show_default=True,
    metavar="DURATION",
    help="Mean time that somebody stays, such as 90s, 15m or 1h.",
)
@click.option(
    "--mood-changes",
    type=decimal,
    default="1",
    show_default=True,
    metavar="N",
    help="Mean number of times that somebody changes mood in a stay.",
)
@click.option(
    "--hours",
    type=decimal,
    default="24",
    show_default=True,
    metavar="N",
    help="How many hours a day they are there.",
)
@click.option(
    "--plan",
    type=click.Choice(["free", "paid"]),
    default="paid",
    show_default=True,
    help="The plan, where the provider has both. On the free one nothing is charged, and what is over a daily limit fails.",
)
@click.option(
    "--panel",
    type=int,
    metavar="N",
    help="People who report, of a large crowd.  [default: 400; on the free plan 150]",
)
@click.option(
    "--poll",
    "poll_s",
    type=seconds,
    metavar="DURATION",
    help="Time between two polls.  [default: the strategy's]",
)
@click.option(
    "--beat",
    "beat_s",
    type=seconds,
    metavar="DURATION",
    help="Time between two signs of life.  [default: the strategy's]",
)
@click.option(
    "--cache",
    "cache_s",
    type=seconds,
    metavar="DURATION",
    help="How long a cached presence answers.  [default: the strategy's]",
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
    help=f"How use over what is included is rounded, where sources disagree: as is believed of each item, always {UP}, or always {PRO_RATA}.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="More price files, or others in place of ours.",
)
@click.option(
    "--explain",
    metavar="STRATEGY",
    help="Show every line item of a strategy with formula, price, source and date, and what it rests on.",
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Draw bill against crowd, from 10 to 10,000,000 people, and where limits break.",
)
@click.option(
    "--budget",
    type=decimal,
    metavar="USD",
    help="Find the most accurate configuration that costs no more than so many dollars a month.",
)
@click.option(
    "--check-document", is_flag=True, help="Show the planning document's claims beside the right figures."
)
@click.option(
    "--from-metrics",
    "metrics",
    metavar="URL|FILE",
    help="Price what a running server's /metrics counted, and project the month.",
)
@click.option(
    "--over",
    "over_s",
    type=seconds,
    metavar="DURATION",
    help="With --from-metrics: how long that took.  [default: since the server started]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")  # fmt: skip
def command(
    *,
    names: tuple[str, ...],
    people: int,
    stay_s: Decimal,
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
    as_json: bool,
    as_csv: bool,
    **knobs: Any,
) -> None:
    """Say what a room costs in a month, for every way to run it.

    Prices come from files with a source, a date and a grade for each; operations are computed from the crowd. Prices are before tax.

    STRATEGY is one or more of those that the table lists; all, if none is named.
    """
    chosen = {name: value for name, value in knobs.items() if value is not None} | dict(settings)
    try:
        book = read_book(prices)
        crowd = CrowdProfile(people=people, stay_s=stay_s, mood_changes=mood_changes, hours=hours)
        if metrics is not None:
            show_metrics(metrics, over_s, book, rounding, as_json=as_json)
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


# --- Bills --------------------------------------------------------------------------------------------------------


def show_bills(wanted: Sequence[Strategy], crowd: CrowdProfile, book: Book, plan: str, rounding: str, *, as_json: bool, as_csv: bool) -> None:  # fmt: skip
    """Print a bill for each strategy."""
    bills = [bill(each, crowd, book, plan=plan, rounding=rounding) for each in wanted]
    breaks = [breaks_at(each, crowd, book, plan=plan) for each in wanted]
    said = notes(bills, today())
    if as_json:
        body = [describe(made, at) for made, at in zip(bills, breaks, strict=True)]
        click.echo(
            json.dumps(
                {"crowd": words_of(crowd), "rounding": rounding, "bills": body, "notes": said}, indent=2
            )
        )
        return
    if as_csv:
        head = (
            "strategy",
            "provider",
            "plan",
            "currency",
            "total",
            "total_usd",
            "standard_error",
            "bias",
            "broken",
        )
        rows = [
            (
                made.strategy.name, made.strategy.provider, made.plan, made.currency, made.total, made.total_usd,
                "" if made.accuracy.error is None else f"{made.accuracy.error.value:.4f}",
                "" if made.accuracy.bias is None else f"{made.accuracy.bias:.3f}",
                "; ".join(load.title for load in made.broken),
            )
            for made in bills
        ]  # fmt: skip
        echo_csv([head, *rows])
        return
    click.echo(f"{describe_crowd(crowd)}\n")
    show(
        ("strategy", "a month", "prices", "of which", "the count", "breaks"),
        [
            (
                made.strategy.name,
                money(made.total, made.currency),
                worst_grade(made),
                dearest(made),
                made.accuracy.words,
                "; ".join(broken_words(load, at.get(load.title)) for load in made.broken),
            )
            for made, at in zip(bills, breaks, strict=True)
        ],
    )
    coming = [
        f"{made.strategy.name} breaks {title} from {people:,} people"
        for made, at in zip(bills, breaks, strict=True)
        for title, people in at.items()
        if people > crowd.people and people <= 10_000_000
    ]
    unverified = [
        made.strategy.name for made in bills if any(entry.grade == "M" for entry in made.strategy.assumptions)
    ]
    if coming:
        click.echo("\nFurther on:\n  " + "\n  ".join(coming))
    if unverified:
        click.echo(f"\nRests on what is unverified (--explain says on what): {', '.join(unverified)}")
    show_notes(said)


def dearest(made: Bill) -> str:
    """Name the dearest parts of a bill."""
    parts = [(made.base, "plan"), *((line.charge.value, line.item.title) for line in made.lines)]
    dear = sorted((part for part in parts if part[0] >= Decimal("0.005")), key=lambda part: -part[0])
    shown = ", ".join(f"{money(value, made.currency)} {title}" for value, title in dear[:2])
    return shown + (f", and {len(dear) - 2} more" if len(dear) > 2 else "")


# --- Reasons ------------------------------------------------------------------------------------------------------


def show_reasons(chosen: Strategy, crowd: CrowdProfile, book: Book, plan: str, rounding: str) -> None:
    """Print every line item of a bill with its formula, price and source, and what it rests on."""
    made = bill(chosen, crowd, book, plan=plan, rounding=rounding)
    breaks = breaks_at(chosen, crowd, book, plan=plan)
    click.echo(
        f"{chosen.name}: {describe_crowd(crowd)}, {made.plan} plan of {book.provider(chosen.provider).title}"
    )
    for what, part in (("reports", chosen.reporting), ("writes", chosen.storing), ("reads", chosen.reading)):
        click.echo(f"  {what:<8} {part.words}")
    figures = definitions([*(line.used for line in made.lines), *(load.load for load in made.loads)])
    heading("Given")
    for entry in figures:
        if not entry.parts:
            click.echo(f"  {entry.name} = {number(entry.value)} {entry.unit}".rstrip() + (f"   ({entry.source})" if entry.source != "given" else ""))  # fmt: skip
    knobs = STRATEGIES[chosen.name].knobs
    for key, value in chosen.settings.items():
        if isinstance(value, bool):
            click.echo(f"  {key} = {str(value).lower()}   ({knobs[key].meaning})")
    heading("Computed, for a month of 30 days")
    for entry in figures:
        if entry.parts:
            click.echo(
                f"  {entry.name} = {entry.formula}\n    = {entry.numbers} = {number(entry.value)} {entry.unit}".rstrip()
            )
    heading("Line items")
    click.echo(f"  {money(made.base, made.currency):>10}  {made.plan} plan\n              {made.base_source}")
    for line in made.lines:
        item = line.item
        charge = money(line.charge.value, made.currency)
        click.echo(f"  {charge:>10}  {item.title}: {number(line.used.value)} {item.unit} = {line.used.text}")
        if line.charge.parts:
            click.echo(f"              {line.charge.formula}\n              = {line.charge.numbers}")
        included = f", {number(item.included[made.plan])} included" if made.plan in item.included else ""
        a_day = f", {number(item.daily[made.plan])} a day and no more" if made.plan in item.daily else ""
        rounded = " or ".join(item.rounding) if len(item.rounding) > 1 else item.rounding[0]
        price = f"{SIGN.get(made.currency, '')}{item.price:f}"
        click.echo(
            f"              {price} for {number(item.per)} {item.unit}{included}{a_day}; rounded {rounded}"
        )
        click.echo(f"              {item.source}")
        if item.source.note:
            click.echo(f"              {item.source.note}")
    click.echo(
        f"  {money(made.total, made.currency):>10}  in all"
        + ("" if made.currency == "USD" else f", {money(made.total_usd)}")
    )
    heading("The count")
    click.echo(f"  {made.accuracy.words}")
    if made.accuracy.error is not None and made.accuracy.error.parts:
        error = made.accuracy.error
        click.echo(f"    error = {error.formula}\n    = {error.numbers} = {number(error.value)}")
    if made.loads:
        heading("Limits")
    for load in made.loads:
        state = "BROKEN" if load.is_broken else "holds"
        at = f", from {breaks[load.title]:,} people" if load.title in breaks else ""
        click.echo(
            f"  {state:<7} {load.title}: {number(load.load.value)} of {number(load.most)} {load.unit}{at}; above, {load.then}"
        )
        click.echo(f"          {load.source}")
    heading("Rests on")
    for assumption in chosen.assumptions:
        warning = "UNVERIFIED " if assumption.grade == "M" else ""
        click.echo(f"  {assumption.grade}  {warning}{assumption.text}\n     {assumption.source}")
        instead = otherwise(chosen, assumption, crowd, book, plan=plan, rounding=rounding)
        if instead is not None:
            broken = f"; breaks {', '.join(load.title for load in instead.broken)}" if instead.broken else ""
            click.echo(f"     otherwise {money(instead.total, instead.currency)}{broken}")
    show_notes(notes([made], today()))


SIGN: Final = {"USD": "$", "EUR": "€"}


def definitions(figures: Iterable[Figure]) -> list[Figure]:
    """List the named figures that some rest on, each once, what is used before where it is used."""
    found: dict[str, Figure] = {}
    for each in figures:
        for entry in each.definitions():
            found.setdefault(entry.name, entry)
    return list(found.values())


# --- The other ways to ask ----------------------------------------------------------------------------------------


def show_budget(crowd: CrowdProfile, book: Book, budget: Decimal, names: tuple[str, ...], rounding: str, *, as_json: bool) -> None:  # fmt: skip
    """Print the most accurate configuration within a sum, and those behind it."""
    for name in names:
        strategy(name)
    found = choices(crowd, book, budget, names=names, rounding=rounding)
    if as_json:
        body = [describe(choice.bill, {}) | {"settings": choice.settings} for choice in found]
        click.echo(
            json.dumps({"crowd": words_of(crowd), "budget_usd": str(budget), "choices": body}, indent=2)
        )
        return
    if not found:
        raise ConfigError(f"nothing counts {crowd.people:,} people for {money(budget)} a month")
    click.echo(f"{describe_crowd(crowd)}, at most {money(budget)} a month; the most accurate first\n")
    show(
        ("strategy", "plan", "a month", "the count", "settings"),
        [
            (
                choice.bill.strategy.name, choice.bill.plan, money(choice.bill.total_usd), choice.bill.accuracy.words,
                f"panel {panel:,}" if (panel := choice.bill.strategy.settings.get("panel")) else "",
            )
            for choice in found
        ],
    )  # fmt: skip
    best = next((choice for choice in found if choice.settings is not None), None)
    if best is not None and best.settings is not None:
        click.echo(
            f"\n# {best.bill.strategy.name}: breathing-room serve --config room.toml, with in room.toml:"
        )
        for name, value in best.settings.items():
            click.echo(f"{name} = {json.dumps(value)}")
    show_notes(notes([choice.bill for choice in found], today()))


def show_document(book: Book, rounding: str, *, as_json: bool, as_csv: bool) -> None:
    """Print the planning document's claims and its summary table, each beside what is right."""
    checked, rows = claims(book), summary(book, rounding=rounding)
    if as_json:
        body = {
            "claims": [{name: getattr(claim, name) for name in ("about", "said", "right", "holds", "why")} for claim in checked],
            "summary": [
                {
                    "people": row.people, "kv_said": row.kv_said, "kv": str(row.kv.total), "object_said": row.object_said,
                    "object": str(row.object.total), "fixed": str(row.fixed.total), "why": row.why,
                }
                for row in rows
            ],
        }  # fmt: skip
        click.echo(json.dumps(body, indent=2, ensure_ascii=False))
        return
    claim_head = ("claim", "document", "holds", "right", "why")
    claim_rows = [
        (claim.about, claim.said, "yes" if claim.holds else "no", claim.right, claim.why) for claim in checked
    ]
    row_head = ("people", "KV, document", "KV", "DO, document", "Durable Objects", "fixed", "why")
    row_rows = [
        (f"{row.people:,}", row.kv_said, money(row.kv.total), row.object_said, money(row.object.total), money(row.fixed.total), row.why)
        for row in rows
    ]  # fmt: skip
    if as_csv:
        echo_csv([claim_head, *claim_rows, (), row_head, *row_rows])
        return
    show(claim_head, claim_rows)
    click.echo(
        "\nThe summary table, with right prices and right arithmetic, beside ours; stays of 15 min, a month of 30 days\n"
    )
    show(row_head, row_rows)


def show_metrics(place: str, over_s: Decimal | None, book: Book, rounding: str, *, as_json: bool) -> None:
    """Print what a running server counted, as months on several providers."""
    text, read_at_s = read_text(place)
    counted = read_metrics(text)
    if over_s is None:
        if counted.started_at_s is None:
            raise ConfigError(
                "the metrics do not say when the server started; say with --over how long it took"
            )
        over_s = Decimal(str(round(read_at_s - counted.started_at_s, 3)))
    months = project(counted, over_s, book, rounding=rounding)
    if as_json:
        body = {
            "counted": {name: float(total) for name, total in counted.totals.items()},
            "over_s": float(over_s),
            "months": [
                {
                    "as": month.name, "currency": month.currency, "total": str(month.total),
                    "items": {line.item.key: {"used": round(line.used.value), "charge": f"{line.charge.value:.2f}"} for line in month.lines},
                }
                for month in months
            ],
        }  # fmt: skip
        click.echo(json.dumps(body, indent=2))
        return
    click.echo(f"Counted in {number(over_s)} s: " + ", ".join(f"{number(total)} {name.replace('_', ' ')}" for name, total in counted.totals.items()))  # fmt: skip
    if over_s < 86_400:
        click.echo("That is less than a day: a month need not be like it.")
    for month in months:
        click.echo(
            f"\n{month.name}: {money(month.total, month.currency)} a month, {money(month.base, month.currency)} of it for the plan"
        )
        show(
            ("item", "used", "charge"),
            [(line.item.title, f"{number(line.used.value)} {line.item.unit}", money(line.charge.value, month.currency)) for line in month.lines],
        )  # fmt: skip


def read_text(place: str) -> tuple[str, float]:
    """Read metrics, and say as of when they are.

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
    """Write a chart.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"drawn: {path}")


# --- What they share ----------------------------------------------------------------------------------------------


def today() -> Any:
    """Say which day it is."""
    return datetime.now(UTC).date()


def words_of(crowd: CrowdProfile) -> dict[str, Any]:
    """Say a crowd in plain values."""
    return {
        "people": crowd.people,
        "stay_s": float(crowd.stay_s),
        "mood_changes": float(crowd.mood_changes),
        "hours": float(crowd.hours),
        "leaves_share": float(crowd.leaves_share),
    }


def describe_crowd(crowd: CrowdProfile) -> str:
    """Say a crowd in words."""
    moods = f"{number(crowd.mood_changes)} change{'' if crowd.mood_changes == 1 else 's'} of mood"
    return f"{crowd.people:,} people, stays of {number(crowd.stay_s / 60)} min, {moods} in each, {number(crowd.hours)} h a day"


def heading(text: str) -> None:
    """Print a heading."""
    click.echo(f"\n{text}")


def show_notes(said: Sequence[str]) -> None:
    """Print what is not well known, or old."""
    if said:
        click.echo("\nPrices that are a third party's reading (T), from memory and unverified (M), or old:")
        for line in said:
            click.echo(f"  {line}")


def echo_csv(rows: Iterable[Sequence[object]]) -> None:
    """Print comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    click.echo(text.getvalue(), nl=False)


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn in a terminal; in a pipe a line a row, its fields parted by tabs."""
    # No markup: a title may hold brackets.
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        # A name is there to be typed again.
        justify: Literal["left", "right"] = "right" if column in RIGHT else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column == "strategy")
    for row in rows:
        table.add_row(*row)
    console.print(table)
