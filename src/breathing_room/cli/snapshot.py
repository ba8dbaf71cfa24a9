"""`breathing-room snapshot`: what a server has stored."""

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

# As in the server, whose file takes long to import.
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
    help="The file that the server keeps.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(data: Path, *, as_json: bool) -> None:
    """Show what a server has stored, while it runs or afterwards.

    Nothing is changed, and nobody is shown: neither the keys of visitors nor what they are made with.
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
    """Read all that may be shown of a data file.

    Raises:
        StoreError: The file is not there, or is not ours.
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
    """Say of a room's snapshot how many people are in it, and nothing of who they are."""
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
    mood_of = snapshot.people.mood_of + snapshot.panel.seats.mood_of
    return {mood: mood_of.count(index) for index, mood in enumerate((*snapshot.moods, UNSPOKEN))}


def room_row(room: dict[str, Any], now_ms: int) -> tuple[str, ...]:
    """Write a room for people to read."""
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
    """Write an entry for people to read."""
    return (
        entry["key"],
        size(entry["size_bytes"]),
        f"{length(now_ms - entry['written_at_ms'])} ago",
        "never" if entry["expires_at_ms"] is None else f"in {length(entry['expires_at_ms'] - now_ms)}",
    )


def length(ms: int) -> str:
    """Write a length of time in its largest whole unit; a clock that stepped back makes it 0."""
    return next(
        (f"{ms // unit_ms} {unit}" for unit_ms, unit in UNITS_OF_TIME if ms >= unit_ms), f"{max(0, ms)} ms"
    )


def size(count: int) -> str:
    """Write a number of bytes."""
    return next(
        (f"{count / unit_bytes:.1f} {unit}" for unit_bytes, unit in UNITS_OF_SIZE if count >= unit_bytes),
        f"{count} B",
    )


def show(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn in a terminal; in a pipe a line a row, its fields parted by tabs."""
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
