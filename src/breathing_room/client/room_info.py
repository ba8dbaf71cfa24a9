"""The config of a room as far as a client needs it, fetched and checked."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urljoin

from breathing_room.client.errors import ConnectionLostError, error_from_response
from breathing_room.client.http import ClientResponse, Endpoint, HttpClient
from breathing_room.client.protocol import http_url
from breathing_room.core.config import MOOD_NAME, MOODS_MAX
from breathing_room.core.errors import HostError
from breathing_room.core.wire import DEFAULT_ROOM, ROOM_NAME

Mode: TypeAlias = Literal["socket", "poll"]

# A site that redirects to https, then to another host, then to another path redirects three times.
REDIRECTS_MAX: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

HEARTBEAT_MS_MIN: Final = 100
"""A config with a shorter time between two heartbeats or pings is malformed."""


@dataclass(frozen=True, slots=True)
class RoomInfo:
    """The config of a room, as far as a client needs it.

    Attributes:
        base: The server's URL, after redirects.
        room: The room's name.
        mode: Whether clients connect by ``socket`` or ``poll``.
        moods: The moods that the room declares.
        ping_ms: The time between two pings of a connection.
        heartbeat_ms: The time between two heartbeats of a client that polls.
        presence_url: Where clients that poll read the presence.
    """

    base: str
    room: str
    mode: Mode
    moods: tuple[str, ...]
    ping_ms: int
    heartbeat_ms: int
    presence_url: str


async def fetch_room_info(http: HttpClient, base: str, room: str | None) -> RoomInfo:
    """Fetch the config of a room.

    Args:
        http: What to send the request over.
        base: The server's URL.
        room: The room's name; None for the server's default room.

    Raises:
        RefusedError: The server rejected the request, for instance since it has no such room.
        ConnectionLostError: There was no response, or it was no config.
    """
    path = f"/v1/rooms/{room or DEFAULT_ROOM}/config"
    url = http_url(base, path)
    for _ in range(REDIRECTS_MAX):
        response = await http.request(Endpoint.of(url))
        if response.status not in REDIRECTS:
            return _read(response, url.removesuffix(path), room)
        url = _redirected(url, response.headers.get("location", ""), path)
    raise ConnectionLostError("too many redirects")


def _redirected(url: str, location: str, path: str) -> str:
    """Return the URL that a redirect leads to: the same path elsewhere, and never from https to http."""
    redirected = urljoin(url, location)
    if not redirected.endswith(path) or (url.startswith("https:") and not redirected.startswith("https:")):
        raise ConnectionLostError("redirected to where no room is")
    return redirected


def _read(response: ClientResponse, base: str, room: str | None) -> RoomInfo:
    if response.status != 200:
        raise error_from_response(response.status, response.body, response.headers.get("retry-after"))
    try:
        return decode_room_info(json.loads(response.body), base, room)
    except (ValueError, RecursionError, HostError):
        raise ConnectionLostError("no room there") from None


def decode_room_info(config: Any, base: str, room: str | None) -> RoomInfo:
    """Decode the config of a room.

    Args:
        config: The parsed JSON of the server.
        base: The server's URL.
        room: The room's name; None where the config has to name it.

    Raises:
        ValueError: The config is malformed.
        HostError: Its ``presence_url`` is no HTTP URL.
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
        raise ValueError("a config with an unknown mode or a malformed presence_url")
    own = http_url(base, f"/v1/rooms/{room}")
    url = own if presence_url is None else urljoin(own, presence_url)
    Endpoint.of(url)
    return RoomInfo(base, room, mode, tuple(moods), ping_ms, heartbeat_ms, url)
