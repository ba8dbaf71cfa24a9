"""`breathing-room crowd`: fill a room with people, and say what they saw."""

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from breathing_room.client.errors import RefusedError, UnreachableError
from breathing_room.client.protocol import DEFAULT_URL
from breathing_room.core.errors import HostError
from breathing_room.hosts.common.access.limits import raise_file_limit
from breathing_room.lab.load.generator import LoadGenerator, LoadPlan, inspect_room
from breathing_room.lab.load.http_load import LegacyLoad, PollLoad
from breathing_room.lab.load.observations import Observation
from breathing_room.lab.load.socket_load import SocketLoad
from breathing_room.lab.load.stats import SocketLoadStats

CROWDS: Final[Mapping[str, type[LoadGenerator[Any]]]] = {
    crowd.mode: crowd for crowd in (SocketLoad, PollLoad, LegacyLoad)
}

REFRESH_S: Final = 0.25

INTERRUPTED: Final = 130
"""The customary exit status of a program that Ctrl-C ended: 128 and the signal's number."""

UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def duration(text: str) -> int:
    """Read ``500ms``, ``90s``, ``1.5m``, ``1h`` or ``0`` as milliseconds."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", text)
    if found is not None:
        return round(float(found[1]) * UNITS_MS[found[2]])
    if text != "0":
        raise click.BadParameter(f"{text!r} is no duration; say 500ms, 90s, 15m or 1h")
    return 0


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def above_zero(text: str) -> float:
    """Read a number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise click.BadParameter(f"{text!r} is not a number above 0")


@click.command(
    name="crowd",
    epilog="Example: breathing-room crowd http://127.0.0.1:8000 --people 1000 --visit 15m --for 1m --leaves 0.92",
)
@click.argument("url", default=DEFAULT_URL, metavar="[URL]")
@click.option("--room", metavar="NAME", help="The room to fill. Default: the server's default room.")
@click.option(
    "--mode",
    type=click.Choice(list(CROWDS)),
    help="How they come: over a socket, by polls, or as the planning document's clients, which flip coins (in the "
    "server's default room). Default: as the room says.",
)
@click.option(
    "--people",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="How many there are at a time.",
)
@click.option(
    "--visit",
    "visit_ms",
    type=duration,
    default="15m",
    show_default=True,
    metavar="DURATION",
    help="Mean time that somebody stays before somebody else comes instead; 0: until the end.",
)
@click.option(
    "--moods",
    type=names,
    default="",
    metavar="MOOD,…",
    help="What they feel, in equal parts. Default: all of the room's moods.",
)
@click.option(
    "--rate",
    "joins_per_s",
    type=above_zero,
    metavar="N",
    help="Joins per second while the crowd gathers. Default: as fast as the server answers.",
)
@click.option(
    "--mood-changes",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="N",
    help="Mean number of times that somebody changes mood in a stay (in 15 minutes with --visit 0).",
)
@click.option(
    "--leaves",
    "leaves_share",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="SHARE",
    help="Share of the leaves that arrive, of people who poll.",
)
@click.option(
    "--observe-every",
    "observe_ms",
    type=duration,
    default="10s",
    show_default=True,
    metavar="DURATION",
    help="How often what the room says is set against the number of people in this crowd; 0: only at the end.",
)
@click.option(
    "--for",
    "duration_ms",
    type=duration,
    metavar="DURATION",
    help="How long it all lasts, joining included. Default: until Ctrl-C.",
)
@click.option(
    "--alone",
    is_flag=True,
    help="There are no other visitors: a count above this crowd is outside, and not a sign that others are here.",
)
@click.option("--seed", type=int, metavar="N", help="Makes moods and stays the same every time.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(url: str, *, mode: str | None, as_json: bool, **plan: Any) -> None:
    """Fill a room with people, and say what they saw.

    Everybody is a visitor of their own, with an id of their own. They come, stay for an exponential time, change
    mood now and then, and say goodbye at the end; after Ctrl-C, too, and at once after a second one. When the
    server goes away they come back as it asks for.

    On sockets everybody holds one. People who poll share a hundred connections; how often they look and report is for
    the room's settings to say, so whoever wants to see ten minutes in half a minute shortens those, and --visit. Clients that
    flip coins go by the constants of their kind, and cannot be hurried.

    What the room says is judged where it can be: its interval covers the number of people in this crowd, or that is outside of it.
    A join or leave that is still in flight counts as either. Other visitors are noticed when the room is not empty before, or counts
    more than this crowd; how many there are in truth is not known then, and counts are not judged, except those below this crowd.

    URL is the server's address.
    """
    sockets = raise_file_limit().sockets
    planned = LoadPlan(url=url, **plan)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        summary, interrupts = runner.run(visit(planned, mode, sockets_max=sockets, quiet=as_json))
    if not summary["joined"]:
        raise click.ClickException(
            f"nobody could join: {counts(summary['ends'] | summary['errors']) or 'no time'}"
        )
    click.echo(json.dumps(summary) if as_json else words(summary))
    if interrupts > 1:
        raise SystemExit(INTERRUPTED)


def loop_factory() -> Any:
    """Find the fastest event loop there is here; None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


async def visit(
    plan: LoadPlan, mode: str | None, *, sockets_max: int, quiet: bool
) -> tuple[dict[str, Any], int]:
    """Let a crowd come and go; return what it saw, and how many times it was interrupted."""
    if mode == "socket":
        check_sockets(plan, sockets_max)
    try:
        view = await inspect_room(plan)
    except (UnreachableError, RefusedError) as error:
        raise click.ClickException(f"nobody could join: {error}") from None
    except HostError as error:
        raise click.UsageError(str(error)) from None
    mode = mode or view.info.mode
    if mode == "socket":
        check_sockets(plan, sockets_max)
    crowd = CROWDS[mode](plan, view)
    if not quiet:
        crowd.observations.on_observation = print_row
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        crowd.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    async with progress(crowd):
        await crowd.run()
    return crowd.summary(), interrupts


def check_sockets(plan: LoadPlan, sockets_max: int) -> None:
    """Refuse a plan that needs more sockets than there may be."""
    if plan.people > sockets_max:
        raise click.UsageError(
            f"this process may hold {sockets_max:,} sockets: that many people at most (see ulimit -n), or two crowds"
        )


@contextlib.asynccontextmanager
async def progress(crowd: LoadGenerator[Any]) -> AsyncIterator[None]:
    """Show how a crowd is doing on standard error, if somebody observations there."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[news]}"),
    )
    # Rows go above the bar where both are seen, and untouched to wherever else they are wanted.
    redirected = sys.stdout.isatty()
    with Progress(
        *columns, console=console, auto_refresh=False, transient=True, redirect_stdout=redirected
    ) as bar:
        task = bar.add_task("joining", total=crowd.plan.people, news="")

        def show() -> None:
            stats = crowd.stats
            gathered, leaving = stats.gathered_at_s is not None, stats.present_at_end is not None
            bar.update(
                task,
                completed=crowd.present,
                description="leaving" if leaving else "present" if gathered else "joining",
                news=news(crowd),
                refresh=True,
            )

        async def refresh() -> None:
            while True:
                show()
                await asyncio.sleep(REFRESH_S)

        refreshing = asyncio.create_task(refresh())
        try:
            yield
        finally:
            refreshing.cancel()
            show()


def news(crowd: LoadGenerator[Any]) -> str:
    """Say in a line how a crowd is doing."""
    seen, stats = crowd.presence, crowd.stats
    parts = [f"the room says {said(seen.count)} ({span(seen.low, seen.high)})"]
    if isinstance(stats, SocketLoadStats):
        parts += [f"{stats.messages:,} messages", f"{stats.bytes / 1e6:,.1f} MB"]
    elif crowd.observations.last is not None:
        before = crowd.observations.all[-2] if len(crowd.observations.all) > 1 else None
        parts += [f"{rate:,.1f} {name}/s" for name, rate in crowd.observations.last.rates(before).items()]
    return " · ".join(parts)


def span(low: int, high: int | None) -> str:
    """Say an interval."""
    return f"at least {low:,}" if high is None else f"{low:,} to {high:,}"


VERDICTS: Final = {
    "joining": "joining",
    "covered": "covered",
    "outside": "outside",
    "others": "not judged",
}


def print_row(seen: Observation, before: Observation | None) -> None:
    """Print what the room said beside how many people of the crowd were there."""
    rates = seen.rates(before)
    if before is None:
        cells = (
            "time",
            "ours",
            "count",
            "95 % interval",
            "verdict",
            "rate",
            *(f"{name}/s" for name in rates),
        )
        click.echo(row(cells))
    cells = (
        clock(seen.at_s),
        f"{seen.own:,}",
        said(seen.count),
        span(seen.low, seen.high),
        VERDICTS[seen.verdict],
        f"{seen.rate:.3g}",
    )
    click.echo(row((*cells, *(f"{rate:,.1f}" for rate in rates.values()))))


def clock(length_s: float) -> str:
    """Say a time since the beginning in minutes and seconds."""
    minutes, seconds = divmod(round(length_s), 60)
    return f"{minutes}:{seconds:02}"


def row(cells: Sequence[str]) -> str:
    """Set cells in their columns."""
    widths = (7, 9, 9, 20, 12, 8, 10, 11)
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))


def said(count: int | None) -> str:
    """Say a count, or that there is none."""
    return "unknown" if count is None else f"{count:,}"


def counts(counter: Mapping[str, int]) -> str:
    """Say how often what happened."""
    return ", ".join(f"{name}: {count:,}" for name, count in counter.items())


def words(see: Mapping[str, Any]) -> str:
    """Say a summary for people, a line for each thing."""
    rows = {
        "joined": f"{see['joined']:,} people, of whom {see['present']:,} were there at the end"
        + (f"; {see['left']:,} went before, when their stay was over" if see["left"] else "")
        + (f"; {see['returned']:,} times somebody came back" if see.get("returned") else ""),
        "gathered": "not everybody came"
        if see["gathered_ms"] is None
        else f"in {see['gathered_ms'] / 1000:,.2f} s"
        + (f", {see['joins_per_s']:,} joins/s" if see["joins_per_s"] else ""),
        "the room said": f"{said(see['count'])} at last; this crowd was {see['present']:,}"
        + (f", and {see['others']:,} were there before it" if see["others"] else ""),
        **(socket_words(see) if see["mode"] == "socket" else http_words(see)),
        "moods changed": f"{see['mood_changes']:,} times",
        "lost": counts(see["ends"]) or ("nobody" if see["mode"] == "socket" else "nothing"),
    }
    if see["observations"]:
        rows["observations"] = judgement(see)
    if see["errors"]:
        rows["not understood"] = counts(see["errors"])
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def judgement(see: Mapping[str, Any]) -> str:
    """Say how the intervals fared since all of the crowd had joined; or why that is not known."""
    covered, outside = f"{see['covered']:,} intervals covered this crowd", f"{see['outside']:,} outside"
    since_ms = see["others_since_ms"]
    if since_ms is None:
        bias = "" if see["bias"] is None else f"; bias {see['bias']:+.1%}, error {see['error']:.1%}"
        return f"{see['observations']:,} after all had joined: {covered}, {outside}{bias}"
    when = (
        f"from {clock(since_ms / 1000)} on, when the room counted more than this crowd"
        if since_ms
        else "they were there before"
    )
    below = f"; {outside}: below this crowd" if see["outside"] else ""
    return f"others are here: not judged ({when}){below}"


def socket_words(see: Mapping[str, Any]) -> dict[str, str]:
    """Say what a crowd on sockets saw."""
    return {
        "full count": (
            "heard by nobody" if see["others_since_ms"] is None else "not measured: others are here"
        )
        if not see["full_count_heard_by"]
        else f"heard by {see['full_count_heard_by']:,}, in the median {see['full_count_ms_median']:,} ms"
        f" and at worst {see['full_count_ms_worst']:,} ms after the last join",
        "received": f"{see['messages_per_person']:,} messages, {see['bytes_per_person']:,} bytes per person",
    }


def http_words(see: Mapping[str, Any]) -> dict[str, str]:
    """Say what a crowd over HTTP sent."""
    return {
        "read": f"{see['reads']:,} presences, {see['reads_per_s']:,}/s",
        "reported": f"{see['reports']:,} times, and {see['leaves']:,} leaves; {see['reports_per_s']:,}/s until the end"
        + (f"; {see['shed']:,} were shed" if see["shed"] else ""),
    }
