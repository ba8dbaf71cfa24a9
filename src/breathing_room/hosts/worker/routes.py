"""The routes of a Worker.

``Routes`` answers in the Worker, in front of the objects: what need not wake an object, and what may be
cached. A presence is cached in the Worker's memory for ``presence_max_age_s``, so that a polling crowd costs
the object one request in that time for every isolate of the Worker. Nothing else is stored there.

``RoomRoutes`` answers in the room's object. With the backend KV, ``kv_routes.py`` does.
"""

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from breathing_room.core.admission import admit_room
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import (
    DEFAULT_ROOM,
    config_body,
    encode,
    encode_presence,
    history_body,
    resolve_room,
)
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.http.badge import badge
from breathing_room.hosts.common.http.openapi import openapi
from breathing_room.hosts.common.http.origins import check_origin, cross_origin, preflight
from breathing_room.hosts.common.http.responses import (
    Answer,
    NotFoundError,
    WrongMethodError,
    as_client_error,
    cacheable_answer,
    error_answer,
    etag_of_config,
    etag_of_presence,
    json_answer,
    presence_cache_control,
)
from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.common.rooms.reports import (
    take_leave,
    take_legacy_report,
    take_report,
)
from breathing_room.hosts.common.rooms.room_host import RoomHost
from breathing_room.hosts.worker.settings import WorkerConfig

# Clients choose room names: beyond so many, the cache is cleared.
CACHED_PRESENCES_MAX: Final = 1_000

# The header in which the network sets the client's address. It is hashed at once, under a key in the object's
# memory.
ADDRESS: Final = "cf-connecting-ip"

ROOM_PATH: Final = re.compile(r"/v1/rooms/([^/]*)(/[a-z.]*)?")

ROOM_ROUTES: Final[Mapping[str, str]] = {
    "": "GET",
    "/config": "GET",
    "/heartbeat": "POST",
    "/leave": "POST",
    "/events": "GET",
    "/history": "GET",
    "/badge.svg": "GET",
    "/migration": "GET",
    "/socket": "GET",
}
"""The routes below a room, and their methods."""

OTHER_ROUTES: Final[Mapping[str, str]] = {
    "/api/presence": "GET",
    "/api/config": "GET",
    "/api/heartbeat": "POST",
    "/api/room": "GET",
    "/healthz": "GET",
    "/readyz": "GET",
    "/openapi.json": "GET",
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP request, without the types of the runtime.

    Attributes:
        method: In capitals.
        path: Without the query.
        query: Its parameters; of several of one name, the first.
        header: Returns a header by name, None where there is none.
        read: Reads the body up to a limit.
    """

    method: str
    path: str
    query: Mapping[str, str]
    header: Callable[[str], str | None]
    read: Callable[[int], Awaitable[bytes]]

    def check_origin(self, allowed: tuple[str, ...]) -> None:
        """Refuse pages of origins that may not use this Worker.

        Raises:
            ClientError: ``forbidden_origin``.
        """
        check_origin(self.header("origin"), self.header("host"), allowed)


def find_route(method: str, path: str, default_room: str) -> tuple[str, str]:
    """Find the route of a path.

    Returns:
        The room's name, and the route: a key of ``ROOM_ROUTES`` or ``OTHER_ROUTES``.

    Raises:
        ClientError: There is no such route, it takes another method, or the room's name is not valid.
    """
    found = ROOM_PATH.fullmatch(path)
    name, route = (DEFAULT_ROOM, path) if found is None else (found[1], found[2] or "")
    takes = (OTHER_ROUTES if found is None else ROOM_ROUTES).get(route)
    if takes is None:
        raise NotFoundError
    if method != takes and not (method == "HEAD" and takes == "GET"):
        raise WrongMethodError("GET, HEAD" if takes == "GET" else takes)
    return resolve_room(name, default_room), route


# --- In front ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CachedPresence:
    """A presence that was read from its room.

    Attributes:
        body: As the room encoded it.
        presence: The same, decoded.
        etag: Its entity tag.
        read_at_ms: When it was read.
    """

    body: bytes
    presence: Presence
    etag: str
    read_at_ms: int


AskRoom = Callable[[str, str], Awaitable[bytes]]
"""Reads a path below a room from its object: the room's name, and the path."""


class Routes:
    """The handlers in the Worker, in front of the rooms."""

    def __init__(self, config: WorkerConfig, clock: Clock) -> None:
        self.worker = config
        self.config = config.server
        self.clock = clock
        self._cached: dict[str, CachedPresence] = {}
        self._openapi = b""
        store_mode = config.backend == "kv"
        self._document_config = document_api.CONFIG_OF_STORE_MODE if store_mode else document_api.CONFIG

    def find(self, request: HttpRequest) -> tuple[str, str]:
        """Find the room and the route of a request.

        Raises:
            ClientError: There is no such route or room, or the origin may not use it.
        """
        name, route = find_route(request.method, request.path, self.config.default_room)
        admit_room(is_known=name in self.config.kept_rooms, open_rooms=self.config.open_rooms)
        if request.method == "POST" or route in {"/socket", "/api/room", "/events"}:
            request.check_origin(self.config.origins)
        return name, route

    async def answer(self, name: str, route: str, request: HttpRequest, ask_room: AskRoom) -> Answer | None:
        """Answer a request here, from the cache where that may be; return None for what only the room can
        answer.
        """
        known = request.header("if-none-match")
        presence_cache, config_cache = (
            presence_cache_control(self.config.presence_max_age_s),
            f"public, max-age={self.config.config_max_age_s}",
        )
        match route:
            case "":
                read = await self._read(name, ask_room)
                return cacheable_answer(known, read.body, presence_cache, etag=read.etag)
            case "/api/presence":
                read = await self._read(name, ask_room)
                body = encode(document_api.presence_body(read.presence))
                return cacheable_answer(known, body, presence_cache, etag=read.etag)
            case "/badge.svg":
                read = await self._read(name, ask_room)
                svg = badge(read.presence).encode()
                return cacheable_answer(known, svg, presence_cache, media_type="image/svg+xml")
            case "/config":
                settings, url = self.config.room_config(name), self.config.presence_url_of(name)
                config = config_body(name, settings, now_ms=self.clock.wall_ms(), presence_url=url)
                return cacheable_answer(known, encode(config), config_cache, etag=etag_of_config(config))
            case "/history":
                return cacheable_answer(known, await ask_room(name, "/history"), config_cache)
            case "/api/config":
                return cacheable_answer(known, encode(self._document_config), config_cache)
            case "/healthz" | "/readyz":
                return json_answer(b'{"ok":true}')
            case "/openapi.json":
                self._openapi = self._openapi or encode(openapi(self.config))
                return json_answer(self._openapi)
            case _:
                return None

    async def _read(self, name: str, ask_room: AskRoom) -> CachedPresence:
        """Return a presence from the cache, or read it from its room."""
        now_ms = self.clock.now_ms()
        read = self._cached.get(name)
        if read is None or now_ms - read.read_at_ms >= 1_000 * self.config.presence_max_age_s:
            body = await ask_room(name, "")
            presence = Presence(**json.loads(body))
            if len(self._cached) >= CACHED_PRESENCES_MAX:
                self._cached.clear()
            read = self._cached[name] = CachedPresence(body, presence, etag_of_presence(presence), now_ms)
        return read

    # --- Errors and origins --------------------------------------------------------------------------------

    def refuse(self, error: Exception) -> Answer:
        """Return the answer of an error, in the one shape of errors."""
        return error_answer(as_client_error(error))

    def cross_origin(self, request: HttpRequest) -> dict[str, str]:
        """Return the CORS headers of an answer."""
        return cross_origin(request.header("origin"), self.config.origins)

    def preflight(self, request: HttpRequest) -> Answer:
        """Answer a CORS preflight."""
        return preflight(
            request.header("origin"),
            self.config.origins,
            method=request.header("access-control-request-method"),
            headers=request.header("access-control-request-headers"),
        )


# --- In the room's object ---------------------------------------------------------------------------------


class RoomRoutes:
    """The handlers in an object, over its room."""

    def __init__(self, room: RoomHost[Any]) -> None:
        self.room = room

    async def answer(self, route: str, request: HttpRequest) -> Answer:
        """Answer a request.

        Args:
            route: A key of ``ROOM_ROUTES`` or ``OTHER_ROUTES``.
            request: The request.

        Raises:
            ClientError: The request is wrong, or the room does not admit it now.
        """
        match route:
            case "/heartbeat":
                return await self.heartbeat(request)
            case "/leave":
                return await self.leave(request)
            case "/migration":
                return self.migration(request)
            case "/history":
                return json_answer(encode(history_body(self.room.name, self.room.platform.history())))
            case "/api/heartbeat":
                return await self.document_heartbeat(request)
            case _:
                return json_answer(encode_presence(self.room.presence()))

    async def heartbeat(self, request: HttpRequest) -> Answer:
        """Handle a report of a visitor without a connection."""
        report = self.room.admission.decode(await self._read(request), epoch=self.room.epoch)
        take_report(self.room, report, address=request.header(ADDRESS), forwarded_for=None)
        return json_answer(encode_presence(self.room.presence()))

    async def leave(self, request: HttpRequest) -> Answer:
        """Handle a leave of a visitor without a connection."""
        take_leave(self.room, self.room.admission.leave(await self._read(request)))
        return Answer(204)

    def migration(self, request: HttpRequest) -> Answer:
        """Answer the progress of the migration out of KV, to a request with the operator's token.

        Raises:
            ClientError: ``not_found``, ``token_needed`` or ``wrong_token``.
        """
        token = self.room.host.config.admin_token
        if not token:
            raise NotFoundError
        scheme, _, shown = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise ClientError("token_needed", "the operator's token is required", status=401)
        if not hmac.compare_digest(shown.strip().encode(), token.encode()):
            raise ClientError("wrong_token", "the operator's token is wrong", status=403)
        return json_answer(encode(asdict(self.room.platform.progress())))

    async def document_heartbeat(self, request: HttpRequest) -> Answer:
        """Handle a heartbeat of a legacy client."""
        document_heartbeat = document_api.decode_heartbeat(await self._read(request), self.room.config.moods)
        take_legacy_report(self.room, document_heartbeat)
        return json_answer(encode(document_api.presence_body(self.room.presence())))

    async def _read(self, request: HttpRequest) -> bytes:
        return await request.read(self.room.host.config.body_bytes_max)
