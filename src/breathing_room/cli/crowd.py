"""`breathing-room crowd`: a load generator that fills a room with visitors, and summarizes what they
received.
"""

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
"""The exit status after SIGINT, by convention: 128 plus the signal's number."""

UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def duration(text: str) -> int:
    """Read ``500ms``, ``90s``, ``1.5m``, ``1h`` or ``0`` as milliseconds."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", text)
    if found is not None:
        return round(float(found[1]) * UNITS_MS[found[2]])
    if text != "0":
        raise click.BadParameter(f"{text!r} is not a duration: expected one such as 500ms, 90s, 15m or 1h")
    return 0


def names(text: str) -> tuple[str, ...]:
    """Read names that are separated by commas."""
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
    help="How they connect: over WebSockets, by polling, or as legacy clients (in the server's default room). "
    "Default: the room's mode.",
)
@click.option(
    "--people",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Number of visitors at a time.",
)
@click.option(
    "--visit",
    "visit_ms",
    type=duration,
    default="15m",
    show_default=True,
    metavar="DURATION",
    help="Mean length of a visit, after which another visitor joins; 0: until the end.",
)
@click.option(
    "--moods",
    type=names,
    default="",
    metavar="MOOD,…",
    help="The moods of the visitors, in equal parts. Default: all of the room's moods.",
)
@click.option(
    "--rate",
    "joins_per_s",
    type=above_zero,
    metavar="N",
    help="Joins per second at the start. Default: as fast as the server responds.",
)
@click.option(
    "--mood-changes",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="N",
    help="Mean number of mood changes in a visit (in 15 minutes with --visit 0).",
)
@click.option(
    "--leaves",
    "leaves_share",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="SHARE",
    help="Share of leaves that are sent by polling visitors.",
)
@click.option(
    "--observe-every",
    "observe_ms",
    type=duration,
    default="10s",
    show_default=True,
    metavar="DURATION",
    help="Time between two comparisons of the room's count with the size of this crowd; 0: only at the end.",
)
@click.option(
    "--for",
    "duration_ms",
    type=duration,
    metavar="DURATION",
    help="Duration of the run, joining included. Default: until Ctrl-C.",
)
@click.option(
    "--alone",
    is_flag=True,
    help="State that there are no other visitors: a count above this crowd is then an error of the interval.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of moods and visit lengths, which repeats them.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(url: str, *, mode: str | None, as_json: bool, **plan: Any) -> None:
    """Fill a room with visitors, and summarize what they received.

    Each visitor has an id of its own, stays for an exponential time, changes mood now and then, and leaves at
    the end, also after Ctrl-C; a second Ctrl-C ends the command at once. After a restart of the server
    visitors reconnect as the protocol says.

    Connected visitors hold one WebSocket each; polling visitors share a hundred HTTP connections. The room's
    settings decide how often they poll and report: to see ten minutes in half a minute, shorten those
    settings and --visit. The times of legacy clients are constants.

    Each observation compares the room's interval with the size of this crowd: covered or outside. A join or
    leave in flight counts as either. If the room was not empty, or counts more than this crowd, there are
    other visitors, whose number is not known; then only counts below this crowd are outside, and the others
    are not judged.

    URL is the server's URL.
    """
    sockets = raise_file_limit().sockets
    planned = LoadPlan(url=url, **plan)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        summary, interrupts = runner.run(visit(planned, mode, sockets_max=sockets, quiet=as_json))
    if not summary["joined"]:
        raise click.ClickException(
            f"no visitor could join: {counts(summary['ends'] | summary['errors']) or 'the run ended before'}"
        )
    click.echo(json.dumps(summary) if as_json else words(summary))
    if interrupts > 1:
        raise SystemExit(INTERRUPTED)


def loop_factory() -> Any:
    """Return the factory of uvloop's event loop if it is installed; None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


async def visit(
    plan: LoadPlan, mode: str | None, *, sockets_max: int, quiet: bool
) -> tuple[dict[str, Any], int]:
    """Run a crowd; return its summary, and how many times it was interrupted."""
    if mode == "socket":
        check_sockets(plan, sockets_max)
    try:
        view = await inspect_room(plan)
    except (UnreachableError, RefusedError) as error:
        raise click.ClickException(f"no visitor could join: {error}") from None
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
    """Reject a plan that needs more connections than this process may open.

    Raises:
        click.UsageError: It does.
    """
    if plan.people > sockets_max:
        raise click.UsageError(
            f"--people must be at most {sockets_max:,}, the connections that this process may open: raise `ulimit -n`, "
            "or run two crowds"
        )


@contextlib.asynccontextmanager
async def progress(crowd: LoadGenerator[Any]) -> AsyncIterator[None]:
    """Show the progress of a crowd on standard error, if that is a terminal."""
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
    # Rows are printed above the bar in a terminal, and unchanged into a file or pipe.
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
    """Return the current count and rates as a line."""
    presence, stats = crowd.presence, crowd.stats
    parts = [f"count {count_text(presence.count)} ({span(presence.low, presence.high)})"]
    if isinstance(stats, SocketLoadStats):
        parts += [f"{stats.messages:,} messages", f"{stats.bytes / 1e6:,.1f} MB"]
    elif crowd.observations.last is not None:
        before = crowd.observations.all[-2] if len(crowd.observations.all) > 1 else None
        parts += [f"{rate:,.1f} {name}/s" for name, rate in crowd.observations.last.rates(before).items()]
    return " · ".join(parts)


def span(low: int, high: int | None) -> str:
    """Format an interval."""
    return f"at least {low:,}" if high is None else f"{low:,} to {high:,}"


VERDICTS: Final = {
    "joining": "joining",
    "covered": "covered",
    "outside": "outside",
    "others": "not judged",
}


def print_row(seen: Observation, before: Observation | None) -> None:
    """Print the room's count beside the size of the crowd."""
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
        count_text(seen.count),
        span(seen.low, seen.high),
        VERDICTS[seen.verdict],
        f"{seen.rate:.3g}",
    )
    click.echo(row((*cells, *(f"{rate:,.1f}" for rate in rates.values()))))


def clock(length_s: float) -> str:
    """Format a time since the start as minutes and seconds."""
    minutes, seconds = divmod(round(length_s), 60)
    return f"{minutes}:{seconds:02}"


def row(cells: Sequence[str]) -> str:
    """Align cells in their columns."""
    widths = (7, 9, 9, 20, 12, 8, 10, 11)
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))


def count_text(count: int | None) -> str:
    """Format a count; `unknown` without one."""
    return "unknown" if count is None else f"{count:,}"


def counts(counter: Mapping[str, int]) -> str:
    """Format a counter."""
    return ", ".join(f"{name}: {count:,}" for name, count in counter.items())


def words(see: Mapping[str, Any]) -> str:
    """Return a summary as lines of text."""
    rows = {
        "joined": f"{see['joined']:,} visitors, of whom {see['present']:,} were present at the end"
        + (f"; {see['left']:,} left before, at the end of their visit" if see["left"] else "")
        + (f"; {see['returned']:,} reconnects" if see.get("returned") else ""),
        "all joined": "no"
        if see["gathered_ms"] is None
        else f"in {see['gathered_ms'] / 1000:,.2f} s"
        + (f", {see['joins_per_s']:,} joins/s" if see["joins_per_s"] else ""),
        "final count": f"{count_text(see['count'])}; this crowd was {see['present']:,}"
        + (f", and {see['others']:,} were in the room before" if see["others"] else ""),
        **(socket_words(see) if see["mode"] == "socket" else http_words(see)),
        "mood changes": f"{see['mood_changes']:,}",
        "failures": counts(see["ends"]) or "none",
    }
    if see["observations"]:
        rows["observations"] = judgement(see)
    if see["errors"]:
        rows["errors"] = counts(see["errors"])
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def judgement(see: Mapping[str, Any]) -> str:
    """Return the coverage of the intervals since the whole crowd had joined; or why it is not known."""
    covered, outside = f"{see['covered']:,} intervals covered this crowd", f"{see['outside']:,} outside"
    since_ms = see["others_since_ms"]
    if since_ms is None:
        bias = "" if see["bias"] is None else f"; bias {see['bias']:+.1%}, error {see['error']:.1%}"
        return f"{see['observations']:,} after all had joined: {covered}, {outside}{bias}"
    when = (
        f"from {clock(since_ms / 1000)} on, when the room counted more than this crowd"
        if since_ms
        else "they were in the room before"
    )
    below = f"; {outside}: below this crowd" if see["outside"] else ""
    return f"not judged: there are other visitors ({when}){below}"


def socket_words(see: Mapping[str, Any]) -> dict[str, str]:
    """Return the lines of a connected crowd."""
    return {
        "full count": (
            "not received" if see["others_since_ms"] is None else "not measured: there are other visitors"
        )
        if not see["full_count_heard_by"]
        else f"received by {see['full_count_heard_by']:,}, after a median of {see['full_count_ms_median']:,} ms"
        f" and at worst {see['full_count_ms_worst']:,} ms after the last join",
        "received": f"{see['messages_per_person']:,} messages, {see['bytes_per_person']:,} bytes per visitor",
    }


def http_words(see: Mapping[str, Any]) -> dict[str, str]:
    """Return the lines of a polling crowd."""
    return {
        "read": f"{see['reads']:,} presences, {see['reads_per_s']:,}/s",
        "sent": f"{see['reports']:,} reports, {see['leaves']:,} leaves; {see['reports_per_s']:,} reports/s until the end"
        + (f"; {see['shed']:,} were shed" if see["shed"] else ""),
    }
