"""JSON over HTTP, event streams and the page, as an ASGI application.

``app()`` can be mounted in another application; ``serve.py`` runs it behind ``listener.py``.
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

    # --- Rooms ---------------------------------------------------------------------------------------------

    async def presence(self, request: Request) -> Response:
        """Answer the presence of a room, cacheable."""
        presence = self.host.presence(self._room(request))
        self.host.counters.presence_reads += 1
        return presence_response(request, presence, max_age_s=self.host.config.presence_max_age_s)

    async def config(self, request: Request) -> Response:
        """Answer the config of a room."""
        name = self._room(request)
        self.host.presence(name)  # With open_rooms false, an unknown room is an error.
        settings, presence_url = self.host.config.room_config(name), self.host.config.presence_url_of(name)
        body = config_body(name, settings, now_ms=self.host.clock.wall_ms(), presence_url=presence_url)
        return config_response(request, body, max_age_s=self.host.config.config_max_age_s)

    async def heartbeat(self, request: Request) -> Response:
        """Handle a report of a visitor without a connection."""
        self._check_origin(request)
        name = self._room(request)
        body = await self._body(request)
        report = self.host.admission(name).decode(body, epoch=self.host.epoch)
        room = self._enter(request, name)
        address, forwarded_for = _peer(request)
        take_report(room, report, address=address, forwarded_for=forwarded_for)
        return json_response(encode_presence(room.presence()))

    async def leave(self, request: Request) -> Response:
        """Handle a leave of a visitor without a connection."""
        self._check_origin(request)
        name = self._room(request)
        visitor = self.host.admission(name).leave(await self._body(request))
        room = self.host.rooms.get(name)
        if room is not None:
            take_leave(room, visitor)
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """Stream every change as Server-Sent Events; the client observes and is not counted."""
        self._check_origin(request)
        admit_connection(self.host.connection_count, self.host.sockets_max)
        room = self._enter(request, self._room(request))
        # nginx would buffer events.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        return StreamingResponse(EventStream(room).chunks(), headers=headers, media_type="text/event-stream")

    async def no_socket(self, request: Request) -> Response:
        """Reject a plain request to the path of a WebSocket."""
        del request
        raise upgrade_required()

    async def history(self, request: Request) -> Response:
        """Answer the history of a room: averages by hour of the week."""
        name = self._room(request)
        self.host.presence(name)
        body = history_body(name, await self.host.history(name))
        return cacheable(request, encode(body), self._config_max_age)

    async def badge(self, request: Request) -> Response:
        """Answer the badge of a room."""
        presence = self.host.presence(self._room(request))
        svg = badge(presence).encode()
        return cacheable(request, svg, self._presence_max_age, media_type="image/svg+xml")

    # --- The document API ----------------------------------------------------------------------------------

    async def document_presence(self, request: Request) -> Response:
        """Answer the presence of the default room in the form of the document API."""
        presence = self.host.presence(self.host.config.default_room)
        self.host.counters.presence_reads += 1
        body = encode(document_api.presence_body(presence))
        return cacheable(request, body, self._presence_max_age, etag=etag_of_presence(presence))

    async def document_config(self, request: Request) -> Response:
        """Answer the config of the document API."""
        return cacheable(request, encode(document_api.CONFIG), self._config_max_age)

    async def document_heartbeat(self, request: Request) -> Response:
        """Handle a heartbeat of a legacy client."""
        self._check_origin(request)
        body = await self._body(request)
        name = self.host.config.default_room
        heartbeat = document_api.decode_heartbeat(body, self.host.config.room_config(name).moods)
        room = self._enter(request, name)
        take_legacy_report(room, heartbeat)
        return json_response(encode(document_api.presence_body(room.presence())))

    # --- Operations ----------------------------------------------------------------------------------------

    async def metrics(self, request: Request) -> Response:
        """Answer the metrics in a format of Prometheus."""
        body, content_type = render_metrics(self.host, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def healthz(self, request: Request) -> Response:
        """Answer 200: the process is alive."""
        del request
        return json_response(b'{"ok":true}')

    async def readyz(self, request: Request) -> Response:
        """Answer 200 if the server accepts visitors, else an error."""
        del request
        admit_while(self.host.is_open)
        return json_response(b'{"ok":true}')

    async def openapi(self, request: Request) -> Response:
        """Answer the OpenAPI description."""
        del request
        return json_response(self._openapi)

    # --- What handlers share -------------------------------------------------------------------------------

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
    """Return the address of a request's peer, and its ``X-Forwarded-For``."""
    forwarded_for = ", ".join(request.headers.getlist("x-forwarded-for"))
    return request.client.host if request.client else None, forwarded_for


class StartedOnDemand:
    """Starts the host with the first request, and stops it with the server: a mounted application gets no
    lifespan events.

    uvicorn (0.54, 2026-11) closes connections without a time to reconnect, waits for every response before it
    ends, so that an event stream would block it forever, and exits by the signal, so that nothing could be
    saved afterwards. Therefore the host handles the signal first: its handler is installed before uvicorn's
    and calls that, and uvicorn removes it when it restores the handlers that it found.
    """

    def __init__(self, app: ASGIApp, host: App) -> None:
        self.app = app
        self.host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the host if need be, and pass the request on."""
        if scope["type"] != "lifespan" and not self.host.ready:
            await self.host.start()
            self.host.spawn(self._stop_with_the_server())
        await self.app(scope, receive, send)

    async def _stop_with_the_server(self) -> None:
        stopping = asyncio.Event()
        # Only the main thread can handle signals; elsewhere the end of the loop cancels this task.
        with contextlib.suppress(ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                _handle_before_uvicorn(number, asyncio.get_running_loop(), stopping)
        try:
            await stopping.wait()
        finally:
            await self.host.stop()


def _handle_before_uvicorn(
    number: signal.Signals, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event
) -> None:
    """Set an event when a signal arrives that uvicorn handles, before uvicorn's handler runs."""
    handler = signal.getsignal(number)
    if not callable(handler) or not hasattr(getattr(handler, "__self__", None), "should_exit"):
        return  # Another handler may do something else than stop the server.

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        handler(number, frame)

    signal.signal(number, handle)


def create_app(host: App) -> Starlette:
    """Create the ASGI application of a host.

    Args:
        host: The host; it need not be started.
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
        # One segment only: a catch-all mount would turn a 405 of the paths above into a 404.
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
    app.router.redirect_slashes = False  # A redirect would lose the body of a beacon.
    app.state.host = host
    return app


def app(config: ServerConfig | None = None, **settings: Any) -> Starlette:
    """Create an ASGI application to mount in your own.

    Two lines do it, in FastAPI as in Starlette::

        import breathing_room
        app.mount("/presence", breathing_room.app(data="presence.db"))

    Args:
        config: The config; None for the defaults and ``settings``.
        **settings: Single settings, by their names in ``docs/reference/settings.md``.

    Returns:
        A Starlette application. It starts with its first request, and saves its rooms when its event loop
        ends.

    Raises:
        ConfigError: A setting is unknown, or its value is not valid.
    """
    config = config or ServerConfig.load(flags=settings, environ={})
    return create_app(App(config))
