"""`breathing-room history`: who is usually here."""

import asyncio
import json
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

import click

from breathing_room.client.protocol import http_url
from breathing_room.core.errors import ClientError, HostError, StoreError
from breathing_room.core.history import History
from breathing_room.core.wire import DEFAULT_ROOM, check_room, encode, history_body
from breathing_room.stores import SqliteStore
from breathing_room.targets.folder import write_whole

# As in the server, whose files take long to import.
HISTORY: Final = "history/"
SERVER_DEFAULT_ROOM: Final = "lobby"

ANSWER_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1 << 20
"""168 hours of 33 moods are a fifth of that."""


@click.group(name="history")
def command() -> None:
    """Take the averages by hour of the week out of a room."""


@command.command(
    name="export", epilog="Example: breathing-room history export --room lobby --output public/history.json"
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="breathing-room.db",
    show_default=True,
    envvar="BREATHING_ROOM_DATA",
    help="The file that the server keeps; it may be running.",
)
@click.option("--url", help="A server's address, to ask in place of a file.")
@click.option(
    "--room",
    metavar="NAME",
    envvar="BREATHING_ROOM_DEFAULT_ROOM",
    help="The room. Default: with --url the server's default room, otherwise lobby.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), default="-", show_default=True, help="Where to; - prints it."
)
def export(data: Path, url: str | None, room: str | None, output: Path) -> None:
    """Write the averages of a room as one JSON object, for clients that cannot reach a server.

    It is what GET /v1/rooms/ROOM/history answers. A page that is offline may show it, labelled as what is usual; it is
    nobody's presence, and names nobody.
    """
    try:
        if room is not None:
            check_room(room)
        body = encode(
            asked(url, room) if url is not None else asyncio.run(stored(data, room or SERVER_DEFAULT_ROOM))
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


async def stored(path: Path, room: str) -> dict[str, Any]:
    """Read the averages out of a data file.

    Raises:
        HostError: It holds none of that room, or damaged ones.
        StoreError: The file is not there, or is not ours.
    """
    store = await SqliteStore.open(path, read_only=True)
    try:
        value = await store.get(HISTORY + room)
    finally:
        await store.close()
    if value is None:
        raise HostError(f"{path} holds no history of room {room}")
    return history_body(room, History.decode(value))


def asked(url: str, room: str | None) -> dict[str, Any]:
    """Ask a server for the averages of a room, or with None of its default room.

    Raises:
        HostError: The address is none, or what answers there is no history.
    """
    address = http_url(url, f"/v1/rooms/{room or DEFAULT_ROOM}/history")
    try:
        # `http_url` made this address: it is no file.
        with urllib.request.urlopen(address, timeout=ANSWER_S) as answer:  # noqa: S310
            body = json.loads(answer.read(ANSWER_BYTES_MAX))
    except HTTPError as error:
        error.close()
        raise HostError(
            f"{url} has no history of {f'room {room}' if room else 'its default room'}: status {error.code}"
        ) from None
    except (OSError, HTTPException) as error:
        raise HostError(f"no answer from {url}: {error}") from None
    except (ValueError, RecursionError):
        raise HostError(f"what answers at {url} is no history") from None
    if (
        not isinstance(body, dict)
        or body.get("room") != (room or body.get("room"))
        or not isinstance(body.get("hours"), list)
    ):
        raise HostError(f"what answers at {url} is no history")
    return body
