"""How a room works, as far as a client has to know: its config, read and checked."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urljoin

from breathing_room.client.errors import ConnectionLostError, refused
from breathing_room.client.http import ClientResponse, Endpoint, HttpClient
from breathing_room.client.protocol import http_url
from breathing_room.core.config import MOOD_NAME, MOODS_MAX
from breathing_room.core.errors import HostError
from breathing_room.core.wire import DEFAULT_ROOM, ROOM_NAME

Mode: TypeAlias = Literal["socket", "poll"]

# A site that is moved to https and to another name, and then to its own path, is moved three times.
MOVES_MAX: Final = 5
MOVED: Final = frozenset({301, 302, 303, 307, 308})

HEARTBEAT_MS_MIN: Final = 100
"""A shorter time between two heartbeats or pings is a mistake of the server."""


@dataclass(frozen=True, slots=True)
class RoomInfo:
    """How a room works.

    Attributes:
        base: The server's address, after whatever redirections led to it.
        room: The room's name.
        mode: Whether people come in over a ``socket`` or by ``poll``.
        moods: What can be felt.
        ping_ms: The time between two pings of a connection.
        heartbeat_ms: The time between two heartbeats of a client that polls.
        presence_url: Where they read the presence.
    """

    base: str
    room: str
    mode: Mode
    moods: tuple[str, ...]
    ping_ms: int
    heartbeat_ms: int
    presence_url: str


async def fetch_room_info(line: HttpClient, base: str, room: str | None) -> RoomInfo:
    """Ask a server how a room works.

    Args:
        line: Over which to ask.
        base: The server's address.
        room: The room's name; None for the server's default room.

    Raises:
        RefusedError: It does not know such a room.
        ConnectionLostError: It did not answer, or with something else.
    """
    path = f"/v1/rooms/{room or DEFAULT_ROOM}/config"
    url = http_url(base, path)
    for _ in range(MOVES_MAX):
        answer = await line.ask(Endpoint.of(url))
        if answer.status not in MOVED:
            return _read(answer, url.removesuffix(path), room)
        url = _moved(url, answer.headers.get("location", ""), path)
    raise ConnectionLostError("it was moved too often")


def _moved(url: str, location: str, path: str) -> str:
    """Follow a redirection to the same path elsewhere; what is private stays so."""
    moved = urljoin(url, location)
    if not moved.endswith(path) or (url.startswith("https:") and not moved.startswith("https:")):
        raise ConnectionLostError("it was moved to where no room is")
    return moved


def _read(answer: ClientResponse, base: str, room: str | None) -> RoomInfo:
    if answer.status != 200:
        raise refused(answer.status, answer.body, answer.headers.get("retry-after"))
    try:
        return decode_room_info(json.loads(answer.body), base, room)
    except (ValueError, RecursionError, HostError):
        raise ConnectionLostError("no room there") from None


def decode_room_info(config: Any, base: str, room: str | None) -> RoomInfo:
    """Read a room's config.

    Args:
        config: As the server published it.
        base: The server's address.
        room: The room's name; None where the config has to name it.

    Raises:
        ValueError: It makes no sense.
        HostError: Its ``presence_url`` is no address on the web.
    """
    match config:
        case {"moods": [_, *_] as moods, "ping_ms": int(ping_ms), "heartbeat_ms": int(heartbeat_ms)} if (
            len(moods) <= MOODS_MAX
            and all(isinstance(mood, str) and MOOD_NAME.fullmatch(mood) for mood in moods)
            and HEARTBEAT_MS_MIN <= min(ping_ms, heartbeat_ms) <= max(ping_ms, heartbeat_ms) <= 2**53
        ):
            pass
        case _:
            raise ValueError("not a config")
    if room is None:
        room = config.get("room")
        if not isinstance(room, str) or not ROOM_NAME.fullmatch(room):
            raise ValueError("a config without the room's name")
    mode, presence_url = config.get("mode", "socket"), config.get("presence_url")
    if mode not in {"socket", "poll"} or not isinstance(presence_url, str | None):
        raise ValueError("a config that nobody can follow")
    own = http_url(base, f"/v1/rooms/{room}")
    url = own if presence_url is None else urljoin(own, presence_url)
    Endpoint.of(url)
    return RoomInfo(base, room, mode, tuple(moods), ping_ms, heartbeat_ms, url)
