"""JSON over HTTP, event streams and the page, as an ASGI application.

``app()`` can be mounted in anybody's own application; ``serve.py`` runs it with the slim sockets in front.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from breathing_room.core.admission import admit_connection, admit_while
from breathing_room.core.wire import (
    config_body,
    encode,
    encode_presence,
    history_body,
    resolve_room,
)
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
from breathing_room.hosts.common.http.openapi import openapi
from breathing_room.hosts.common.http.responses import etag_of_presence, upgrade_required
from breathing_room.hosts.common.rooms.reports import take_leave, take_legacy_report, take_report
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.admin.routes import admin_routes
from breathing_room.hosts.server.app import App, ServerRoom
from breathing_room.hosts.server.asgi_socket import AsgiSocket
from breathing_room.hosts.server.event_stream import EventStream
from breathing_room.hosts.server.metrics import render_metrics
from breathing_room.hosts.server.page import PageRoutes


class Routes:
    """The handlers, over one host."""

    def __init__(self, host: App) -> None:
        self.host = host
        self._openapi = encode(openapi(host.config))
        self._presence_max_age = f"public, max-age={host.config.presence_max_age_s}"
        self._config_max_age = f"public, max-age={host.config.config_max_age_s}"

    # --- Rooms ------------------------------------------------------------------------------------------------

    async def presence(self, request: Request) -> Response:
        """Answer who is here, for caches to share."""
        presence = self.host.presence(self._room(request))
        self.host.counters.presence_reads += 1
        return presence_response(request, presence, max_age_s=self.host.config.presence_max_age_s)

    async def config(self, request: Request) -> Response:
        """Answer how a room works."""
        name = self._room(request)
        self.host.presence(name)  # Where rooms are not open to everybody, an unknown one is an error.
        settings, presence_url = self.host.config.room_config(name), self.host.config.presence_url_of(name)
        body = config_body(name, settings, now_ms=self.host.clock.wall_ms(), presence_url=presence_url)
        return config_response(request, body, max_age_s=self.host.config.config_max_age_s)

    async def heartbeat(self, request: Request) -> Response:
        """Take a report of a visitor without a connection."""
        self._check_origin(request)
        name = self._room(request)
        body = await self._body(request)
        report = self.host.admission(name).decode(body, epoch=self.host.epoch)
        room = self._enter(request, name)
        address, forwarded_for = _peer(request)
        take_report(room, report, address=address, forwarded_for=forwarded_for)
        return json_response(encode_presence(room.presence()))

    async def leave(self, request: Request) -> Response:
        """Take a leave of a visitor without a connection."""
        self._check_origin(request)
        name = self._room(request)
        visitor = self.host.admission(name).leave(await self._body(request))
        room = self.host.rooms.get(name)
        if room is not None:
            take_leave(room, visitor)
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """Send every change as a Server-Sent Event. Whoever listens is not counted by listening."""
        self._check_origin(request)
        admit_connection(self.host.connection_count, self.host.sockets_max)
        room = self._enter(request, self._room(request))
        # nginx would collect events until its buffer is full.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        return StreamingResponse(EventStream(room).chunks(), headers=headers, media_type="text/event-stream")

    async def no_socket(self, request: Request) -> Response:
        """Refuse a request that should have been a handshake."""
        del request
        raise upgrade_required()

    async def history(self, request: Request) -> Response:
        """Answer the averages by hour of the week."""
        name = self._room(request)
        self.host.presence(name)
        body = history_body(name, await self.host.history(name))
        return cacheable(request, encode(body), self._config_max_age)

    async def badge(self, request: Request) -> Response:
        """Draw a badge with the label."""
        presence = self.host.presence(self._room(request))
        svg = badge(presence).encode()
        return cacheable(request, svg, self._presence_max_age, media_type="image/svg+xml")

    # --- Paths of the planning document's app -----------------------------------------------------------------

    async def document_presence(self, request: Request) -> Response:
        """Answer presence as the planning document's app did."""
        presence = self.host.presence(self.host.config.default_room)
        self.host.counters.presence_reads += 1
        body = encode(document_api.presence_body(presence))
        return cacheable(request, body, self._presence_max_age, etag=etag_of_presence(presence))

    async def document_config(self, request: Request) -> Response:
        """Answer that app's config."""
        return cacheable(request, encode(document_api.CONFIG), self._config_max_age)

    async def document_heartbeat(self, request: Request) -> Response:
        """Take that app's heartbeat."""
        self._check_origin(request)
        body = await self._body(request)
        name = self.host.config.default_room
        heartbeat = document_api.decode_heartbeat(body, self.host.config.room_config(name).moods)
        room = self._enter(request, name)
        take_legacy_report(room, heartbeat)
        return json_response(encode(document_api.presence_body(room.presence())))

    # --- Operations -------------------------------------------------------------------------------------------

    async def metrics(self, request: Request) -> Response:
        """Answer in the text format of Prometheus."""
        body, content_type = render_metrics(self.host, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def healthz(self, request: Request) -> Response:
        """Answer: whoever can is alive."""
        del request
        return json_response(b'{"ok":true}')

    async def readyz(self, request: Request) -> Response:
        """Answer whether people may be sent here."""
        del request
        admit_while(self.host.is_open)
        return json_response(b'{"ok":true}')

    async def openapi(self, request: Request) -> Response:
        """Answer the description of this interface."""
        del request
        return json_response(self._openapi)

    # --- What handlers share ----------------------------------------------------------------------------------

    def _room(self, request: Request) -> str:
        return resolve_room(request.path_params["room"], self.host.config.default_room)

    def _enter(self, request: Request, name: str) -> ServerRoom:
        address, forwarded_for = _peer(request)
        return self.host.enter(name, address=address, forwarded_for=forwarded_for)

    def _check_origin(self, request: Request) -> None:
        check_request_origin(request, self.host.config.origins)

    async def _body(self, request: Request) -> bytes:
        return await read_body(request, self.host.config.body_bytes_max)


def _peer(request: Request) -> tuple[str | None, str]:
    """Say where a request came from: the peer's address, and what it passes on of those behind it."""
    forwarded_for = ", ".join(request.headers.getlist("x-forwarded-for"))
    return request.client.host if request.client else None, forwarded_for


class StartedOnDemand:
    """Starts the host with the first request, and stops it with the server: a mounted application is not told of either.

    uvicorn (0.54, 2026-11) closes connections without a moment to come back, waits for every response to end before it ends anything, so an
    event stream would hold it up for ever, and ends by the signal that stopped it, so nothing can be saved afterwards. So the host hears
    the signal before it: a handler is put before uvicorn's, which uvicorn takes away when it puts back what it found.
    """

    def __init__(self, app: ASGIApp, host: App) -> None:
        self.app = app
        self.host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "lifespan" and not self.host.ready:
            await self.host.start()
            self.host.spawn(self._stop_with_the_server())
        await self.app(scope, receive, send)

    async def _stop_with_the_server(self) -> None:
        stopping = asyncio.Event()
        # Only the main thread has signals; elsewhere the end of the loop cancels this.
        with contextlib.suppress(ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                _hear_before_uvicorn(number, asyncio.get_running_loop(), stopping)
        try:
            await stopping.wait()
        finally:
            await self.host.stop()


def _hear_before_uvicorn(
    number: signal.Signals, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event
) -> None:
    """Set an event of a loop when a signal comes that uvicorn handles, before uvicorn does."""
    handler = signal.getsignal(number)
    if not callable(handler) or not hasattr(getattr(handler, "__self__", None), "should_exit"):
        return  # What handles it may do something else than to stop.

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        handler(number, frame)

    signal.signal(number, hear)


def create_app(host: App) -> Starlette:
    """Make the application over a host.

    Args:
        host: It need not be started.
    """
    routes = Routes(host)

    async def socket(websocket: Any) -> None:
        await AsgiSocket.run(host, websocket)

    page = PageRoutes(presence_url=host.config.presence_url)
    room = "/v1/rooms/{room}"
    table: list[BaseRoute] = [
        Route(room, routes.presence),
        Route(f"{room}/config", routes.config),
        Route(f"{room}/heartbeat", routes.heartbeat, methods=["POST"]),
        Route(f"{room}/leave", routes.leave, methods=["POST"]),
        Route(f"{room}/events", routes.events),
        Route(f"{room}/history", routes.history),
        Route(f"{room}/badge.svg", routes.badge),
        WebSocketRoute(f"{room}/socket", socket),
        Route(f"{room}/socket", routes.no_socket),
        Route("/api/presence", routes.document_presence),
        Route("/api/config", routes.document_config),
        Route("/api/heartbeat", routes.document_heartbeat, methods=["POST"]),
        WebSocketRoute("/api/room", socket),
        Route("/api/room", routes.no_socket),
        Route("/metrics", routes.metrics),
        Route("/healthz", routes.healthz),
        Route("/readyz", routes.readyz),
        Route("/openapi.json", routes.openapi),
        *admin_routes(host),
        # One segment only: a mount of everything would hide that a path above takes another method.
        Route("/", page.file),
        Route("/{file}", page.file),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await host.start()
        try:
            yield
        finally:
            await host.stop()

    app = Starlette(
        routes=table,
        middleware=[
            Middleware(StartedOnDemand, host=host),
            cors(host.config.origins),
        ],
        exception_handlers=error_handlers(host.counters.refuse),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # A path is right or wrong; a redirect would lose a beacon's body.
    app.state.host = host
    return app


def app(config: ServerConfig | None = None, **settings: Any) -> Starlette:
    """Make an application to mount in your own.

    Two lines do it, in FastAPI as in Starlette::

        import breathing_room
        app.mount("/presence", breathing_room.app(data="presence.db"))

    Args:
        config: How it works; None for the defaults.
        **settings: Or the settings one by one, by the names that ``breathing-room serve --help`` lists.

    Returns:
        A Starlette application. It starts with its first request, and saves its rooms when its event loop ends.

    Raises:
        ConfigError: A setting is unknown or out of its range.
    """
    config = config or ServerConfig.load(flags=settings, environ={})
    return create_app(App(config))
