"""`breathing-room history`: how many people are usually here."""

import asyncio
import json
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

import click

from breathing_room.cli.suggestions import SuggestingGroup
from breathing_room.client.protocol import http_url
from breathing_room.core.errors import ClientError, HostError, StoreError
from breathing_room.core.history import History
from breathing_room.core.wire import DEFAULT_ROOM, check_room, encode, history_body
from breathing_room.stores import SqliteStore
from breathing_room.targets.folder import write_whole

# The same as in the server, whose modules are slow to import.
HISTORY: Final = "history/"
SERVER_DEFAULT_ROOM: Final = "lobby"

ANSWER_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1 << 20
"""168 hours of 33 moods are a fifth of that."""


@click.group(name="history", cls=SuggestingGroup)
def command() -> None:
    """Export the averages of a room by hour of the week."""


@command.command(
    name="export", epilog="Example: breathing-room history export --room lobby --output public/history.json"
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="breathing-room.db",
    show_default=True,
    envvar="BREATHING_ROOM_DATA",
    help="The data file of the server, which may be running.",
)
@click.option("--url", help="A server's URL, to read from in place of a file.")
@click.option(
    "--room",
    metavar="NAME",
    envvar="BREATHING_ROOM_DEFAULT_ROOM",
    help="The room. Default: with --url the server's default room, otherwise lobby.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="-",
    show_default=True,
    help="The output file; - for standard output.",
)
def export(data: Path, url: str | None, room: str | None, output: Path) -> None:
    """Write the averages of a room as one JSON object, for clients that cannot reach a server.

    It is the response of GET /v1/rooms/ROOM/history. An offline page may show it, labeled as usual and not as
    live. It holds averages only, and no visitor ids.
    """
    try:
        if room is not None:
            check_room(room)
        body = encode(
            fetch_history(url, room)
            if url is not None
            else asyncio.run(read_history(data, room or SERVER_DEFAULT_ROOM))
        )
        if output == Path("-"):
            click.echo(body)
        else:
            write_whole(output, body + b"\n")
    except ClientError as error:
        raise click.BadParameter(error.message, param_hint="--room") from None
    except (StoreError, HostError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from None


async def read_history(path: Path, room: str) -> dict[str, Any]:
    """Read the averages of a room from a data file.

    Raises:
        HostError: The file has no averages of that room, or they are damaged.
        StoreError: The file does not exist, or is no data file.
    """
    store = await SqliteStore.open(path, read_only=True)
    try:
        value = await store.get(HISTORY + room)
    finally:
        await store.close()
    if value is None:
        raise HostError(
            f"{path} has no history of room {room}: see `breathing-room snapshot` for what it holds"
        )
    return history_body(room, History.decode(value))


def fetch_history(url: str, room: str | None) -> dict[str, Any]:
    """Fetch the averages of a room from a server; None is its default room.

    Raises:
        HostError: The URL is not a server's, or its response is no history.
    """
    address = http_url(url, f"/v1/rooms/{room or DEFAULT_ROOM}/history")
    try:
        # `http_url` has checked the scheme: this is no file.
        with urllib.request.urlopen(address, timeout=ANSWER_S) as answer:  # noqa: S310
            body = json.loads(answer.read(ANSWER_BYTES_MAX))
    except HTTPError as error:
        error.close()
        raise HostError(
            f"{url} has no history of {f'room {room}' if room else 'its default room'}: status {error.code}"
        ) from None
    except (OSError, HTTPException) as error:
        raise HostError(f"no response from {url}: {error}") from None
    except (ValueError, RecursionError):
        raise HostError(
            f"the response of {url} is no history: expected the URL of a Breathing Room server"
        ) from None
    if (
        not isinstance(body, dict)
        or body.get("room") != (room or body.get("room"))
        or not isinstance(body.get("hours"), list)
    ):
        raise HostError(f"the response of {url} is no history: expected the URL of a Breathing Room server")
    return body
