"""A writer of store mode, as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from breathing_room.core.admission import admit_while, reject_legacy_report
from breathing_room.core.wire import config_body, encode, encode_presence
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.http.badge import badge
from breathing_room.hosts.common.http.middleware import (
    cacheable,
    check_request_origin,
    config_response,
    cors,
    error_handlers,
    json_response,
    presence_response,
    read_body,
)
from breathing_room.hosts.common.http.responses import etag_of_presence, presence_cache_control
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.common.store_mode.writer import Writer
from breathing_room.ports import Clock, Store, wall_ms


class Routes:
    """The handlers, over one writer."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.config = writer.config.server

    async def presence(self, request: Request) -> Response:
        """Answer the presence, which shared caches may store."""
        presence = await self.writer.presence(self.writer.check_open(request.path_params["room"]))
        return presence_response(request, presence, max_age_s=self.config.presence_max_age_s)

    async def room_config(self, request: Request) -> Response:
        """Answer the config of a room; its mode is always ``poll`` here."""
        name = self.writer.check_open(request.path_params["room"])
        settings, presence_url = self.config.room_config(name), self.config.presence_url_of(name)
        body = config_body(name, settings, now_ms=self.writer.clock(), presence_url=presence_url)
        body["mode"] = "poll"
        return config_response(request, body, max_age_s=self.config.config_max_age_s)

    async def heartbeat(self, request: Request) -> Response:
        """Handle a report."""
        self._check_origin(request)
        room = self.writer.check_open(request.path_params["room"])
        presence = await self.writer.heartbeat(room, await self._body(request))
        return json_response(encode_presence(presence))

    async def leave(self, request: Request) -> Response:
        """Handle a leave."""
        self._check_origin(request)
        room = self.writer.check_open(request.path_params["room"])
        await self.writer.leave(room, await self._body(request))
        return Response(status_code=204)

    async def badge(self, request: Request) -> Response:
        """Answer the badge of a room."""
        presence = await self.writer.presence(self.writer.check_open(request.path_params["room"]))
        kept = presence_cache_control(self.config.presence_max_age_s)
        return cacheable(request, badge(presence).encode(), kept, media_type="image/svg+xml")

    async def document_presence(self, request: Request) -> Response:
        """Answer the presence in the form of the document API."""
        presence = await self.writer.presence(self.config.default_room)
        kept = presence_cache_control(self.config.presence_max_age_s)
        body = encode(document_api.presence_body(presence))
        return cacheable(request, body, kept, etag=etag_of_presence(presence))

    async def document_config(self, request: Request) -> Response:
        """Answer the config of the document API."""
        body = encode(document_api.CONFIG_OF_STORE_MODE)
        return cacheable(request, body, f"public, max-age={self.config.config_max_age_s}")

    async def document_heartbeat(self, request: Request) -> Response:
        """Reject a heartbeat of a legacy client, which cannot be counted without a memory of its session."""
        del request
        reject_legacy_report()

    async def healthz(self, request: Request) -> Response:
        """Answer 200: the process is alive."""
        del request
        return json_response(b'{"ok":true}')

    async def readyz(self, request: Request) -> Response:
        """Answer whether visitors can be counted: the store answers, and ``reconcile`` has run."""
        del request
        admit_while(await self.writer.control() is not None)
        return json_response(b'{"ok":true}')

    def _check_origin(self, request: Request) -> None:
        check_request_origin(request, self.config.origins)

    async def _body(self, request: Request) -> bytes:
        return await read_body(request, self.config.body_bytes_max)


class OpenedOnDemand:
    """Opens the store with the first request: not every host runs an application's lifespan."""

    def __init__(self, app: ASGIApp, writer: Writer) -> None:
        self.app = app
        self.writer = writer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the store if need be, and pass the request on."""
        if scope["type"] == "http" and not self.writer.ready:
            await self.writer.start()
        await self.app(scope, receive, send)


def stateless_app(
    store: Store | str,
    config: StoreModeConfig | None = None,
    *,
    writer: str | None = None,
    clock: Clock = wall_ms,
) -> Starlette:
    """Create the ASGI application of one writer.

    Run any number over one store, and ``reconcile`` once a minute in one place::

        app = stateless_app("presence.db")

    Args:
        store: A store, or the file of one. All writers must share it.
        config: The settings of writers and controller; the same everywhere.
        writer: A name that no other writer has, in the form of a room's name; by default drawn at random.
        clock: Returns the wall time.
    """
    held = Writer(store, config or StoreModeConfig(), name=writer, clock=clock)
    routes = Routes(held)
    room = "/v1/rooms/{room}"

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await held.start()
        try:
            yield
        finally:
            await held.stop()

    app = Starlette(
        routes=[
            Route(room, routes.presence),
            Route(f"{room}/config", routes.room_config),
            Route(f"{room}/heartbeat", routes.heartbeat, methods=["POST"]),
            Route(f"{room}/leave", routes.leave, methods=["POST"]),
            Route(f"{room}/badge.svg", routes.badge),
            Route("/api/presence", routes.document_presence),
            Route("/api/config", routes.document_config),
            Route("/api/heartbeat", routes.document_heartbeat, methods=["POST"]),
            Route("/healthz", routes.healthz),
            Route("/readyz", routes.readyz),
        ],
        middleware=[Middleware(OpenedOnDemand, writer=held), cors(held.config.server.origins)],
        exception_handlers=error_handlers(refused=lambda _code: None),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.writer = held
    return app
