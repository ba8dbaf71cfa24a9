"""`breathing-room snapshot`: the contents of a data file."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.errors import HostError, StoreError
from breathing_room.core.snapshot import Snapshot, decode_snapshot
from breathing_room.ports import wall_ms
from breathing_room.stores import SqliteStore

# The same as in the server, whose modules are slow to import.
SNAPSHOT: Final = "snapshot/"

ROOM_COLUMNS: Final = ("room", "saved", "people", "live now", "moods")
KEY_COLUMNS: Final = ("key", "size", "written", "expires")
FIGURES: Final = {"saved", "people", "live now", "size", "written", "expires"}

UNITS_OF_TIME: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
UNITS_OF_SIZE: Final = ((1 << 20, "MB"), (1 << 10, "KB"))


@click.command(name="snapshot", epilog="Example: breathing-room snapshot --json | jq '.rooms[].people'")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="breathing-room.db",
    show_default=True,
    envvar="BREATHING_ROOM_DATA",
    help="The data file of the server, which may be running.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(data: Path, *, as_json: bool) -> None:
    """Show what a server has stored, while it runs or afterwards.

    The file is only read. Neither the keys of visitors nor the secrets that they are made with are shown.
    """
    now_ms = wall_ms()
    try:
        report = asyncio.run(read(data, now_ms=now_ms))
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    # No markup: a key may hold brackets.
    console = Console(markup=False, emoji=False, highlight=False)
    show(console, ROOM_COLUMNS, [room_row(room, now_ms) for room in report["rooms"]])
    console.print()
    show(console, KEY_COLUMNS, [key_row(entry, now_ms) for entry in report["keys"]])


async def read(path: Path, *, now_ms: int) -> dict[str, Any]:
    """Read a data file: the counts of its rooms, and its keys.

    Raises:
        StoreError: The file does not exist, or is no data file.
    """
    store = await SqliteStore.open(path, read_only=True, clock=lambda: now_ms)
    try:
        entries = await store.entries()
        snapshots = {
            entry.key.removeprefix(SNAPSHOT): await store.get(entry.key)
            for entry in entries
            if entry.key.startswith(SNAPSHOT)
        }
    finally:
        await store.close()
    return {
        "data": str(path),
        "as_of_ms": now_ms,
        "rooms": [describe(room, value, now_ms) for room, value in snapshots.items() if value is not None],
        "keys": [
            {
                "key": entry.key,
                "size_bytes": entry.size_bytes,
                "written_at_ms": entry.written_at_ms,
                "expires_at_ms": entry.expires_at_ms,
            }
            for entry in entries
        ],
    }


def describe(room: str, value: bytes, now_ms: int) -> dict[str, Any]:
    """Return the counts of a room's snapshot, without the keys of its visitors."""
    try:
        snapshot = decode_snapshot(value)
    except HostError as error:
        return {"room": room, "error": str(error)}
    return {
        "room": room,
        "saved_at_ms": snapshot.as_of_ms,
        "people": snapshot.count,
        "live": snapshot.live_count(now_ms),
        "moods": moods_of(snapshot),
    }


def moods_of(snapshot: Snapshot) -> dict[str, int]:
    """Count the people of a snapshot by mood, those who named none last."""
    mood_of = snapshot.members.mood_of + snapshot.panel.seats.mood_of
    return {mood: mood_of.count(index) for index, mood in enumerate((*snapshot.moods, UNSPOKEN))}


def room_row(room: dict[str, Any], now_ms: int) -> tuple[str, ...]:
    """Return a room as a row of the table."""
    if "error" in room:
        return (room["room"], "", "", "", room["error"])
    return (
        room["room"],
        f"{length(now_ms - room['saved_at_ms'])} ago",
        f"{room['people']:,}",
        f"{room['live']:,}",
        ", ".join(f"{mood} {people:,}" for mood, people in room["moods"].items() if people),
    )


def key_row(entry: dict[str, Any], now_ms: int) -> tuple[str, ...]:
    """Return an entry as a row of the table."""
    return (
        entry["key"],
        size(entry["size_bytes"]),
        f"{length(now_ms - entry['written_at_ms'])} ago",
        "never" if entry["expires_at_ms"] is None else f"in {length(entry['expires_at_ms'] - now_ms)}",
    )


def length(ms: int) -> str:
    """Format a length of time in its largest whole unit; a negative one, after a clock stepped back, as 0."""
    return next(
        (f"{ms // unit_ms} {unit}" for unit_ms, unit in UNITS_OF_TIME if ms >= unit_ms), f"{max(0, ms)} ms"
    )


def size(count: int) -> str:
    """Format a number of bytes."""
    return next(
        (f"{count / unit_bytes:.1f} {unit}" for unit_bytes, unit in UNITS_OF_SIZE if count >= unit_bytes),
        f"{count} B",
    )


def show(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn in a terminal; in a pipe one line for each row, with tabs between the fields."""
    if not console.is_terminal:
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    table = Table(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right" if column in FIGURES else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table if rows else f"no {columns[0]} is stored")
