"""The output of `breathing-room cost`: bills, their explanation, and the results of its other options."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import Book
from breathing_room.lab.cost.budget import choices
from breathing_room.lab.cost.counted import project, read_metrics
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.document import claims, summary
from breathing_room.lab.cost.formula import SIGNS, Figure, money, number
from breathing_room.lab.cost.model import Bill, BillLine, Load, bill, breaks_at
from breathing_room.lab.cost.report import UNVERIFIED, broken_words, describe, notes, otherwise, worst_grade
from breathing_room.lab.cost.strategies import STRATEGIES, strategy
from breathing_room.lab.cost.strategy import Assumption, Strategy

RIGHT: Final = frozenset({"a month", "people", "used", "charge", "KV", "Durable Objects", "fixed"})
"""Columns of numbers."""


# --- Bills ------------------------------------------------------------------------------------------------


def show_bills(
    wanted: Sequence[Strategy],
    crowd: CrowdProfile,
    book: Book,
    plan: str,
    rounding: str,
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print a bill for each strategy."""
    bills = [bill(each, crowd, book, plan=plan, rounding=rounding) for each in wanted]
    breaks = [breaks_at(each, crowd, book, plan=plan) for each in wanted]
    said = notes(bills, today())
    if as_json:
        described = [describe(made, at) for made, at in zip(bills, breaks, strict=True)]
        echo_json({"crowd": words_of(crowd), "rounding": rounding, "bills": described, "notes": said})
    elif as_csv:
        echo_csv(
            [
                [
                    "strategy",
                    "provider",
                    "plan",
                    "currency",
                    "total",
                    "total_usd",
                    "standard_error",
                    "bias",
                    "broken",
                ],
                *map(row_of, bills),
            ]
        )
    else:
        show_table_of_bills(bills, breaks, crowd)
        show_notes(said)


def row_of(made: Bill) -> tuple[object, ...]:
    """Return a bill as a row of comma-separated values."""
    error, bias = made.accuracy.error, made.accuracy.bias
    return (
        made.strategy.name, made.strategy.provider, made.plan, made.currency, made.total, made.total_usd,
        "" if error is None else f"{error.value:.4f}",
        "" if bias is None else f"{bias:.3f}",
        "; ".join(load.title for load in made.broken),
    )  # fmt: skip


def show_table_of_bills(bills: Sequence[Bill], breaks: Sequence[dict[str, int]], crowd: CrowdProfile) -> None:
    """Print the bills as a table, and below it which limits break for larger crowds and which bills are
    unverified.
    """
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
        if crowd.people < people <= 10_000_000
    ]
    unverified = [
        made.strategy.name
        for made in bills
        if any(entry.grade == UNVERIFIED for entry in made.strategy.assumptions)
    ]
    if coming:
        click.echo("\nFor larger crowds:\n  " + "\n  ".join(coming))
    if unverified:
        click.echo(f"\nWith unverified assumptions (--explain lists them): {', '.join(unverified)}")


def dearest(made: Bill) -> str:
    """Return the two most expensive parts of a bill."""
    parts = [(made.base, "plan"), *((line.charge.value, line.item.title) for line in made.lines)]
    dear = sorted((part for part in parts if part[0] >= Decimal("0.005")), key=lambda part: -part[0])
    shown = ", ".join(f"{money(value, made.currency)} {title}" for value, title in dear[:2])
    return shown + (f", and {len(dear) - 2} more" if len(dear) > 2 else "")


# --- Reasons ----------------------------------------------------------------------------------------------


def show_reasons(chosen: Strategy, crowd: CrowdProfile, book: Book, plan: str, rounding: str) -> None:
    """Print every line item of a bill with its formula, price and source, and its assumptions."""
    made = bill(chosen, crowd, book, plan=plan, rounding=rounding)
    breaks = breaks_at(chosen, crowd, book, plan=plan)
    title = book.provider(chosen.provider).title
    click.echo(f"{chosen.name}: {describe_crowd(crowd)}, {made.plan} plan of {title}")
    for what, part in (("reports", chosen.reporting), ("writes", chosen.storing), ("reads", chosen.reading)):
        click.echo(f"  {what:<8} {part.words}")
    show_figures(made)
    heading("Line items")
    click.echo(f"  {money(made.base, made.currency):>10}  {made.plan} plan\n              {made.base_source}")
    for line in made.lines:
        show_line(line, made)
    in_dollars = "" if made.currency == "USD" else f", {money(made.total_usd)}"
    click.echo(f"  {money(made.total, made.currency):>10}  in all{in_dollars}")
    heading("The count")
    click.echo(f"  {made.accuracy.words}")
    error = made.accuracy.error
    if error is not None and error.parts:
        click.echo(f"    error = {error.formula}\n    = {error.numbers} = {number(error.value)}")
    if made.loads:
        heading("Limits")
    for load in made.loads:
        show_load(load, breaks.get(load.title))
    heading("Assumptions")
    for assumption in chosen.assumptions:
        instead = otherwise(chosen, assumption, crowd, book, plan=plan, rounding=rounding)
        show_assumption(assumption, instead)
    show_notes(notes([made], today()))


def show_figures(made: Bill) -> None:
    """Print the given figures, and those computed from them."""
    figures = definitions([*(line.used for line in made.lines), *(load.load for load in made.loads)])
    heading("Given")
    for entry in figures:
        if not entry.parts:
            source = f"   ({entry.source})" if entry.source != "given" else ""
            click.echo(f"  {entry.name} = {number(entry.value)} {entry.unit}".rstrip() + source)
    knobs = STRATEGIES[made.strategy.name].knobs
    for key, value in made.strategy.settings.items():
        if isinstance(value, bool):
            click.echo(f"  {key} = {str(value).lower()}   ({knobs[key].meaning})")
    heading("Computed, for a month of 30 days")
    for entry in figures:
        if entry.parts:
            result = f"{entry.numbers} = {number(entry.value)} {entry.unit}".rstrip()
            click.echo(f"  {entry.name} = {entry.formula}\n    = {result}")


def show_line(line: BillLine, made: Bill) -> None:
    """Print a line item with its formula, price and source."""
    item, indent = line.item, " " * 14
    charge = money(line.charge.value, made.currency)
    click.echo(f"  {charge:>10}  {item.title}: {number(line.used.value)} {item.unit} = {line.used.text}")
    if line.charge.parts:
        click.echo(f"{indent}{line.charge.formula}\n{indent}= {line.charge.numbers}")
    included = f", {number(item.included[made.plan])} included" if made.plan in item.included else ""
    a_day = f", {number(item.daily[made.plan])} a day and no more" if made.plan in item.daily else ""
    price = f"{SIGNS.get(made.currency, '')}{item.price:f}"
    rounded = " or ".join(item.rounding)
    click.echo(f"{indent}{price} for {number(item.per)} {item.unit}{included}{a_day}; rounded {rounded}")
    click.echo(f"{indent}{item.source}")
    if item.source.note:
        click.echo(f"{indent}{item.source.note}")


def show_load(load: Load, breaks_from: int | None) -> None:
    """Print a limit, whether it holds, and the size of the crowd at which it breaks."""
    state = "BROKEN" if load.is_broken else "holds"
    at = "" if breaks_from is None else f", from {breaks_from:,} people"
    much = f"{number(load.load.value)} of {number(load.most)} {load.unit}"
    click.echo(f"  {state:<7} {load.title}: {much}{at}; above, {load.then}")
    click.echo(f"          {load.source}")


def show_assumption(assumption: Assumption, instead: Bill | None) -> None:
    """Print an assumption, and the bill without it."""
    warning = "UNVERIFIED " if assumption.grade == UNVERIFIED else ""
    click.echo(f"  {assumption.grade}  {warning}{assumption.text}\n     {assumption.source}")
    if instead is not None:
        broken = f"; breaks {', '.join(load.title for load in instead.broken)}" if instead.broken else ""
        click.echo(f"     otherwise {money(instead.total, instead.currency)}{broken}")


def definitions(figures: Iterable[Figure]) -> list[Figure]:
    """Return the named figures that others are computed from, each once, in the order of computation."""
    found: dict[str, Figure] = {}
    for each in figures:
        for entry in each.definitions():
            found.setdefault(entry.name, entry)
    return list(found.values())


# --- Other options ----------------------------------------------------------------------------------------


def show_budget(crowd: CrowdProfile, book: Book, budget: Decimal, names: tuple[str, ...], rounding: str, *, as_json: bool) -> None:  # fmt: skip
    """Print the configurations within a budget, the most accurate first."""
    for name in names:
        strategy(name)
    found = choices(crowd, book, budget, names=names, rounding=rounding)
    if as_json:
        body = [describe(choice.bill, {}) | {"settings": choice.settings} for choice in found]
        echo_json({"crowd": words_of(crowd), "budget_usd": str(budget), "choices": body})
        return
    if not found:
        raise ConfigError(
            f"no configuration counts {crowd.people:,} people for {money(budget)} a month: raise --budget"
        )
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
    """Print the planning document's claims and its summary table, each beside the computed figures."""
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
        echo_json(body)
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
        "\nThe summary table, with right prices and right arithmetic, beside ours; visits of 15 min, a month of 30 days\n"
    )
    show(row_head, row_rows)


def show_metrics(
    text: str, read_at_s: float, over_s: Decimal | None, book: Book, rounding: str, *, as_json: bool
) -> None:
    """Print the operations that a server counted, priced as months on several providers.

    Args:
        text: Its metrics.
        read_at_s: When they were read, Unix time.
        over_s: How long it counted; None: since the server started.
        book: The prices.
        rounding: How what is billed is rounded.
        as_json: Whether JSON is printed.
    """
    counted = read_metrics(text)
    if over_s is None:
        if counted.started_at_s is None:
            raise ConfigError("the metrics do not say when the server started; give the time with --over")
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
        echo_json(body)
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


# --- Helpers ----------------------------------------------------------------------------------------------


def today() -> Any:
    """Return today's date in UTC."""
    return datetime.now(UTC).date()


def words_of(crowd: CrowdProfile) -> dict[str, Any]:
    """Return a crowd as JSON values."""
    return {
        "people": crowd.people,
        "visit_s": float(crowd.visit_s),
        "mood_changes": float(crowd.mood_changes),
        "hours": float(crowd.hours),
        "leaves_share": float(crowd.leaves_share),
    }


def describe_crowd(crowd: CrowdProfile) -> str:
    """Return a crowd in words."""
    moods = f"{number(crowd.mood_changes)} change{'' if crowd.mood_changes == 1 else 's'} of mood"
    return f"{crowd.people:,} people, visits of {number(crowd.visit_s / 60)} min, {moods} in each, {number(crowd.hours)} h a day"


def heading(text: str) -> None:
    """Print a heading."""
    click.echo(f"\n{text}")


def show_notes(said: Sequence[str]) -> None:
    """Print which prices are not verified, or old."""
    if said:
        click.echo("\nPrices that are a third party's reading (T), from memory and unverified (M), or old:")
        for line in said:
            click.echo(f"  {line}")


def echo_json(body: object) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(body, indent=2, ensure_ascii=False))


def echo_csv(rows: Iterable[Sequence[object]]) -> None:
    """Print comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    click.echo(text.getvalue(), nl=False)


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn in a terminal; in a pipe one line for each row, with tabs between the fields."""
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
