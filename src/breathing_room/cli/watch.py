"""`breathing-room watch`: a room, seen from the terminal."""

import asyncio
import contextlib
import json
import logging
import signal
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable
from http.client import HTTPException
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from breathing_room.cli.operator import watch_server
from breathing_room.client import RefusedError, Room, UnreachableError, connect
from breathing_room.client.protocol import DEFAULT_URL, config_url, decode_pattern
from breathing_room.core.breath import PATTERNS, Pattern, moment
from breathing_room.core.errors import HostError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode_presence

REFRESH_S: Final = 0.125

SAMPLE_S: Final = 2.0
SAMPLES: Final = 60

CONFIG_S: Final = 3.0

BAR_LETTERS: Final = 30
STEPS: Final = "▁▂▃▄▅▆▇█"

METHODS: Final = {
    "counted": "every visitor was counted",
    "sampled": "estimated from a sample",
    "stale": "last known",
    "estimated": "estimated from other days",
    "unknown": "not known yet",
}
PHASES: Final = {"inhale": "breathe in", "hold": "hold", "exhale": "breathe out", "rest": "rest"}


@click.command(
    name="watch", epilog="Example: breathing-room watch https://example.org --room lobby --json | jq .count"
)
@click.argument("url", default=DEFAULT_URL, metavar="[URL]")
@click.option("--room", metavar="NAME", help="The room to watch. Default: the server's default room.")
@click.option(
    "--once",
    is_flag=True,
    help="Print the current presence, and exit; with status 1 if the server does not respond.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for every change.")
@click.option(
    "--admin",
    is_flag=True,
    help="Show the operator's page; the token comes from BREATHING_ROOM_ADMIN_TOKEN.",
)
def command(url: str, *, room: str | None, once: bool, as_json: bool, admin: bool) -> None:
    """Watch a room without being counted, until Ctrl-C.

    In a terminal it shows the count, the moods and the breath of the room. In a pipe it prints a line for
    every change.

    URL is the server's URL.
    """
    # The client's warnings are printed below in other words, and would overwrite the live view.
    logging.getLogger("breathing_room.client").addHandler(logging.NullHandler())
    console = Console()
    # A process in the background of a shell without job control starts with SIGINT ignored, and Python keeps
    # that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if admin:
        with contextlib.suppress(KeyboardInterrupt):
            watch_server(url, room=room, once=once, as_json=as_json, console=console)
        return
    try:
        watched = connect(url, room=room, observe=True, attempts_max=1 if once else None)
    except HostError as error:
        raise click.UsageError(str(error)) from None
    to_text = line if not as_json else encoded
    with contextlib.suppress(KeyboardInterrupt):  # The regular way to end it.
        try:
            if once:
                asyncio.run(print_once(watched, to_text))
            elif as_json or not console.is_terminal:
                asyncio.run(print_changes(watched, to_text))
            else:
                asyncio.run(show(watched, console, config_url(url, room)))
        except UnreachableError as error:
            raise click.ClickException(str(error)) from None
        except RefusedError as error:
            raise click.ClickException(f"{url} refused the connection: {error}") from None


async def print_once(watched: Room, to_text: Callable[[Presence], str]) -> None:
    """Print the first presence."""
    async with watched as room:
        click.echo(to_text(await anext(aiter(room))))


async def print_changes(watched: Room, to_text: Callable[[Presence], str]) -> None:
    """Print every presence, and errors of the connection on standard error."""
    async with watched as room:
        reporting = asyncio.create_task(report_trouble(room))
        try:
            async for presence in room:
                click.echo(to_text(presence))
        finally:
            reporting.cancel()


async def report_trouble(room: Room) -> None:
    """Print on standard error when the connection is lost, and when it is back."""
    reported = None
    while True:
        if (trouble := trouble_of(room)) != reported:
            reported = trouble
            click.echo("connected" if trouble is None else f"no connection ({trouble}); retrying", err=True)
        await asyncio.sleep(REFRESH_S)


def trouble_of(room: Room) -> str | None:
    """Return the server's URL and the error of its connection; None while there is none."""
    return None if room.connection_error is None else f"{room.url}: {room.connection_error}"


async def show(watched: Room, console: Console, config_url: str) -> None:
    """Draw the room, refreshed several times a second."""
    trend: deque[int | None] = deque(maxlen=SAMPLES)
    sample_at_s = 0.0
    pattern = PATTERNS["4-7-8"]
    asking: asyncio.Task[Pattern] | None = None
    async with watched as room:
        listening = asyncio.create_task(listen(room))
        with Live(console=console, auto_refresh=False) as live:
            while not listening.done():
                if room.presence is not None and asking is None:
                    asking = asyncio.create_task(asyncio.to_thread(fetch_pattern, config_url))
                if asking is not None and asking.done():
                    pattern = asking.result()
                if room.presence is not None and time.monotonic() >= sample_at_s:
                    sample_at_s = time.monotonic() + SAMPLE_S
                    trend.append(room.presence.count if room.state == "live" else None)
                live.update(
                    view(room.presence, trouble_of(room), room.server_now_ms(), pattern, trend), refresh=True
                )
                await asyncio.sleep(REFRESH_S)
        await listening


async def listen(room: Room) -> None:
    """Read presences until the connection ends for good, and raise its error."""
    async for _ in room:
        pass


def fetch_pattern(config_url: str) -> Pattern:
    """Fetch the breathing pattern from a room's config; 4-7-8 if the request fails."""
    try:
        # `http_url` has checked the scheme: this is no file.
        with urllib.request.urlopen(config_url, timeout=CONFIG_S) as answer:  # noqa: S310
            return decode_pattern(json.loads(answer.read(65_536)))
    except (OSError, HTTPException, ValueError):
        return PATTERNS["4-7-8"]


def encoded(presence: Presence) -> str:
    """Return a presence as JSON, as the protocol has it."""
    return encode_presence(presence).decode()


def line(presence: Presence) -> str:
    """Return a presence as a line."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(presence.as_of_ms / 1000))
    moods = ", ".join(f"{mood} {people:,}" for mood, people in people_by_mood(presence))
    return f"{at} {presence.room}: {presence.label} ({span(presence)}; {METHODS[presence.method]}); {moods}"


def people_by_mood(presence: Presence) -> Iterable[tuple[str, int]]:
    """Return moods with their counts, then the unspoken, then those in moods that are merged."""
    return presence.people.items()


def span(presence: Presence) -> str:
    """Format the interval of the count."""
    if presence.high is None:
        return f"at least {presence.low:,}"
    if presence.low == presence.high:
        return f"exactly {presence.low:,}"
    return f"between {presence.low:,} and {presence.high:,}"


def ago(length_ms: float) -> str:
    """Format an age."""
    seconds = max(length_ms, 0) / 1000
    for unit, size_s in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= max(size_s, 2):
            return f"{seconds // size_s:,.0f} {unit} ago"
    return "just now"


def bar(share: float) -> str:
    """Draw a share from 0 to 1."""
    return ("█" * round(share * BAR_LETTERS)).ljust(BAR_LETTERS, "░")


def sparkline(trend: Iterable[int | None]) -> str:
    """Draw counts over time, from zero up; a dot where there was none."""
    counts = list(trend)
    highest = max((count for count in counts if count), default=0)
    return "".join(
        "·" if count is None else STEPS[(len(STEPS) - 1) * count // highest if highest else 0]
        for count in counts
    )


def breath(pattern: Pattern, now_ms: int) -> tuple[str, float, int]:
    """Return the phase of the breath at a time.

    Returns:
        The words for the phase, how full the lungs are from 0 to 1, and the seconds that remain.
    """
    here = moment(pattern, now_ms)
    full = {"inhale": here.elapsed, "hold": 1.0, "exhale": 1 - here.elapsed, "rest": 0.0}[here.phase]
    return PHASES[here.phase], full, -(-here.remaining_ms // 1000)


def view(
    presence: Presence | None, trouble: str | None, now_ms: int, pattern: Pattern, trend: Iterable[int | None]
) -> RenderableType:
    """Draw a room as of a time."""
    warning = Text(f"no connection ({trouble}); retrying", style="yellow") if trouble else None
    if presence is None:
        return warning or Text("connecting", style="dim")
    live = presence.method not in {"stale", "unknown"}
    people = "person" if presence.label == "1" else "people"
    head = Text(f"{presence.label} {people}" if presence.count is not None else "how many is not known yet")
    head.stylize("bold" if live else "bold dim")
    age = ago(now_ms - presence.as_of_ms)
    moods = Table.grid(padding=(0, 2))
    moods.add_column()
    moods.add_column()
    moods.add_column(justify="right")
    total = max(sum(people for _, people in people_by_mood(presence)), 1)
    for mood, count in people_by_mood(presence):
        moods.add_row(mood, Text(bar(count / total), style="cyan" if live else "dim"), f"{count:,}")
    word, full, rest_s = breath(pattern, now_ms)
    moods.add_row()
    moods.add_row(word, Text(bar(full), style="green"), f"{rest_s} s")
    parts: list[RenderableType] = [
        head,
        Text(f"{span(presence)}; {METHODS[presence.method]}, {age}", style="dim"),
        Text(),
        moods,
        Text(),
        Text.assemble(
            (sparkline(trend), "cyan"), (f"  the last {SAMPLES * SAMPLE_S / 60:.0f} minutes", "dim")
        ),
    ]
    return Panel(
        Group(*parts, *([warning] if warning else [])), title=presence.room, expand=False, padding=(1, 2)
    )
