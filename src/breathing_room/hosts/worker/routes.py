"""What the Worker answers: everything that need not wake a room, and what it may keep for a moment.

Presence is kept in the Worker's memory for ``presence_max_age_s``, so that a crowd that polls asks the room once in that time for
every machine that runs this. Nothing else is remembered here.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from breathing_room.core.errors import PeerError, StoreError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import config_body, encode
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.http.badge import badge
from breathing_room.hosts.common.http.openapi import openapi
from breathing_room.hosts.common.http.responses import (
    Answer,
    cacheable_answer,
    error_answer,
    etag_of_config,
    etag_of_presence,
    json_answer,
    presence_kept,
)
from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.worker.request import Request, WrongMethodError, find_route
from breathing_room.hosts.worker.settings import WorkerConfig

log = logging.getLogger("breathing_room.worker")

# Room names are made up by whoever asks: more of them than this are forgotten.
READS_MAX: Final = 1_000

PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "86400",
}


@dataclass(frozen=True, slots=True)
class Read:
    """A presence that was read from its room.

    Attributes:
        body: As the room wrote it.
        presence: The same.
        etag: Its tag.
        read_at_ms: When.
    """

    body: bytes
    presence: Presence
    etag: str
    read_at_ms: int


AskRoom = Callable[[str, str], Awaitable[bytes]]
"""Gets something of a room: its name, and a path below it."""


class Routes:
    """The handlers, over rooms that are elsewhere."""

    def __init__(self, config: WorkerConfig, clock: Clock) -> None:
        self.worker = config
        self.config = config.server
        self.clock = clock
        self._reads: dict[str, Read] = {}
        self._openapi = b""

    def find(self, request: Request) -> tuple[str, str]:
        """Find the room and what is asked of it.

        Raises:
            PeerError: There is nothing here, or nothing for this origin.
        """
        name, asked = find_route(request.method, request.path, self.config.default_room)
        if not self.config.open_rooms and name not in self.config.kept_rooms:
            raise PeerError("no_such_room", "there is no such room here", status=404)
        if request.method == "POST" or asked in {"/socket", "/api/room", "/events"}:
            request.check_origin(self.config.origins)
        return name, asked

    async def answer(self, name: str, asked: str, request: Request, ask_room: AskRoom) -> Answer | None:
        """Answer what need not be asked of the room, or not always; None for what only the room can."""
        known = request.header("if-none-match")
        presence_kept_for, config_kept = (
            presence_kept(self.config.presence_max_age_s),
            f"public, max-age={self.config.config_max_age_s}",
        )
        match asked:
            case "":
                read = await self._read(name, ask_room)
                return cacheable_answer(known, read.body, presence_kept_for, etag=read.etag)
            case "/api/presence":
                read = await self._read(name, ask_room)
                body = encode(document_api.presence_body(read.presence))
                return cacheable_answer(known, body, presence_kept_for, etag=read.etag)
            case "/badge.svg":
                read = await self._read(name, ask_room)
                svg = badge(read.presence).encode()
                return cacheable_answer(known, svg, presence_kept_for, media_type="image/svg+xml")
            case "/config":
                settings, url = self.config.room_config(name), self.config.presence_url_of(name)
                config = config_body(name, settings, now_ms=self.clock.wall_ms(), presence_url=url)
                return cacheable_answer(known, encode(config), config_kept, etag=etag_of_config(config))
            case "/history":
                return cacheable_answer(known, await ask_room(name, "/history"), config_kept)
            case "/api/config":
                return cacheable_answer(known, encode(document_api.CONFIG), config_kept)
            case "/healthz" | "/readyz":
                return json_answer(b'{"ok":true}')
            case "/openapi.json":
                self._openapi = self._openapi or encode(openapi(self.config))
                return json_answer(self._openapi)
            case _:
                return None

    async def _read(self, name: str, ask_room: AskRoom) -> Read:
        """Read a presence, if that was not done just now."""
        now_ms = self.clock.now_ms()
        read = self._reads.get(name)
        if read is None or now_ms - read.read_at_ms >= 1_000 * self.config.presence_max_age_s:
            body = await ask_room(name, "")
            presence = Presence(**json.loads(body))
            if len(self._reads) >= READS_MAX:
                self._reads.clear()
            read = self._reads[name] = Read(body, presence, etag_of_presence(presence), now_ms)
        return read

    # --- What all answers share -------------------------------------------------------------------------------

    def refuse(self, error: Exception) -> Answer:
        """Put an error into its one shape."""
        if isinstance(error, WrongMethodError):
            return error_answer(error, {"Allow": error.allowed})
        if isinstance(error, PeerError):
            return error_answer(error)
        if isinstance(error, StoreError):
            log.error("the store does not answer: %s", error)
            return error_answer(
                PeerError("unavailable", "the store does not answer", status=503, retry_after_s=5)
            )
        log.critical(
            "a request failed: a bug, or a room that cannot be reached: %s: %s", type(error).__name__, error
        )
        return error_answer(PeerError("internal", "something went wrong here", status=500))

    def cross_origin(self, request: Request) -> dict[str, str]:
        """Let the pages of those origins read an answer that may use this Worker."""
        headers = {"Access-Control-Expose-Headers": "age, etag, retry-after"}
        if "*" in self.config.origins:
            return headers | {"Access-Control-Allow-Origin": "*"}
        origin = request.header("origin")
        if origin is None or origin not in self.config.origins:
            return {"Vary": "Origin"}
        return headers | {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def preflight(self, request: Request) -> Answer:
        """Answer whether a page may ask."""
        headers = self.cross_origin(request)
        if "Access-Control-Allow-Origin" not in headers:
            return error_answer(PeerError("forbidden_origin", "this origin may not ask so", status=403))
        return Answer(200, headers=PREFLIGHT)
