"""JSON over HTTP, event streams and the page, as an ASGI application.

``app()`` can be mounted in anybody's own application; ``serve.py`` runs it with the slim sockets in front.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from breathing_room.core.errors import PeerError
from breathing_room.core.events import Reported, Withdrew
from breathing_room.core.wire import (
    check_room,
    check_visitor,
    config_body,
    decode_object,
    decode_report,
    encode,
    encode_presence,
    error_body,
)
from breathing_room.hosts.server import compat
from breathing_room.hosts.server.asgi_socket import AsgiSocket
from breathing_room.hosts.server.badge import badge
from breathing_room.hosts.server.config import ServerConfig
from breathing_room.hosts.server.events import EventStream
from breathing_room.hosts.server.host import Host, RoomHost
from breathing_room.hosts.server.metrics import render_metrics
from breathing_room.hosts.server.openapi import openapi
from breathing_room.hosts.server.origins import origin_allowed

JSON: Final = "application/json"

# Everything that the page needs comes from here; nothing else may run in it, and no site may frame it unasked.
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

Handler = Callable[[Request], Awaitable[Response]]


def json_response(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON that is encoded already."""
    return Response(body, status, headers, media_type=JSON)


def error_response(error: PeerError, headers: dict[str, str] | None = None) -> Response:
    """Answer with an error in its one shape."""
    headers = dict(headers or {})
    headers.setdefault("Cache-Control", "no-store")
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return json_response(encode(error_body(error)), status=error.status, headers=headers)


class Routes:
    """The handlers, over one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._openapi = encode(openapi(host.config))

    # --- Rooms ------------------------------------------------------------------------------------------------

    async def presence(self, request: Request) -> Response:
        """Answer who is here, for caches to share."""
        presence = self.host.presence(check_room(request.path_params["room"]))
        max_age_s = self.host.config.presence_max_age_s
        # The time moves in steps, so that most revalidations are answered by 304, and nobody is left with a
        # presence that is no longer valid.
        step_ms = presence.valid_ms // 2
        stepped = replace(presence, as_of_ms=presence.as_of_ms // step_ms * step_ms)
        etag = _etag(encode_presence(stepped))
        return _conditional(
            request,
            encode_presence(presence),
            etag,
            f"public, max-age={max_age_s}, stale-while-revalidate={max_age_s}",
        )

    async def config(self, request: Request) -> Response:
        """Answer how a room works."""
        name = check_room(request.path_params["room"])
        self.host.presence(name)  # Where rooms are not open to everybody, an unknown one is an error.
        body = config_body(name, self.host.config.room_config(name), now_ms=self.host.clock.wall_ms())
        # The time of day changes with every answer; what matters to a cache does not.
        etag = hashlib.blake2b(encode({**body, "now_ms": 0}), digest_size=12).hexdigest()
        return _conditional(
            request, encode(body), f'"{etag}"', f"public, max-age={self.host.config.config_max_age_s}"
        )

    async def beat(self, request: Request) -> Response:
        """Take a sign of life of somebody without a socket."""
        self._check_origin(request)
        name = check_room(request.path_params["room"])
        body = await self._body(request)
        config = self.host.config.room_config(name)
        report = decode_report(body, config.moods)
        room = self._enter(request, name)
        room.feed(Reported(room.visitor_key(report.visitor), report.mood))
        self.host.counters.reports += 1
        return json_response(encode_presence(room.presence()), headers={"Cache-Control": "no-store"})

    async def leave(self, request: Request) -> Response:
        """Take a goodbye of somebody without a socket."""
        self._check_origin(request)
        name = check_room(request.path_params["room"])
        visitor = check_visitor(decode_object(await self._body(request)).get("visitor"))
        room = self.host.rooms.get(name)
        if room is not None:
            room.feed(Withdrew(room.visitor_key(visitor)))
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """Send every change as a Server-Sent Event. Whoever listens is not counted by listening."""
        self._check_origin(request)
        self.host.check_capacity()
        room = self._enter(request, check_room(request.path_params["room"]))
        stream = EventStream(room)
        return StreamingResponse(
            stream.chunks(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def no_socket(self, request: Request) -> Response:
        """Refuse a request that should have been a handshake."""
        del request
        raise PeerError("upgrade_required", "this path is for WebSockets", status=426)

    async def history(self, request: Request) -> Response:
        """Answer the averages by hour of the week."""
        name = check_room(request.path_params["room"])
        self.host.presence(name)
        room = self.host.rooms.get(name)
        hours = room.history.averages() if room is not None and room.history is not None else []
        body = encode({"room": name, "timezone": "UTC", "hour_0": "Monday 00:00", "hours": hours})
        return json_response(
            body, headers={"Cache-Control": f"public, max-age={self.host.config.config_max_age_s}"}
        )

    async def badge(self, request: Request) -> Response:
        """Draw a badge with the label."""
        presence = self.host.presence(check_room(request.path_params["room"]))
        return _cached(
            request, badge(presence).encode(), self.host.config.presence_max_age_s, "image/svg+xml"
        )

    # --- The other app's paths --------------------------------------------------------------------------------

    async def compat_presence(self, request: Request) -> Response:
        """Answer presence as the planning document's app did."""
        presence = self.host.presence(self.host.config.default_room)
        return _cached(request, encode(compat.presence_body(presence)), self.host.config.presence_max_age_s)

    async def compat_config(self, request: Request) -> Response:
        """Answer that app's config."""
        return _cached(request, encode(compat.CONFIG), self.host.config.config_max_age_s)

    async def compat_heartbeat(self, request: Request) -> Response:
        """Take that app's heartbeat."""
        self._check_origin(request)
        body = await self._body(request)
        room = self._enter(request, self.host.config.default_room)
        heartbeat = compat.decode_heartbeat(body, room.config.moods)
        room.feed(Reported(room.visitor_key(heartbeat.visitor), heartbeat.mood))
        self.host.counters.reports += 1
        return json_response(
            encode(compat.presence_body(room.presence())), headers={"Cache-Control": "no-store"}
        )

    # --- Operations -------------------------------------------------------------------------------------------

    async def metrics(self, request: Request) -> Response:
        """Answer in the text format of Prometheus."""
        body, content_type = render_metrics(self.host, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def healthz(self, request: Request) -> Response:
        """Answer: whoever can is alive."""
        del request
        return json_response(b'{"ok":true}', headers={"Cache-Control": "no-store"})

    async def readyz(self, request: Request) -> Response:
        """Answer whether people may be sent here."""
        del request
        if self.host.stopping or not self.host.ready:
            raise PeerError("unavailable", "the server is starting or stopping", status=503, retry_after_s=2)
        return json_response(b'{"ok":true}', headers={"Cache-Control": "no-store"})

    async def openapi(self, request: Request) -> Response:
        """Answer the description of this interface."""
        del request
        return json_response(self._openapi)

    # --- What handlers share ----------------------------------------------------------------------------------

    def _enter(self, request: Request, name: str) -> RoomHost:
        address = request.client.host if request.client else None
        return self.host.enter(name, address=address, forwarded_for=request.headers.get("x-forwarded-for"))

    def _check_origin(self, request: Request) -> None:
        if not origin_allowed(
            request.headers.get("origin"), request.headers.get("host"), self.host.config.origins
        ):
            raise PeerError("forbidden_origin", "this origin may not use this server", status=403)

    async def _body(self, request: Request) -> bytes:
        """Read a body, up to its limit."""
        bytes_max = self.host.config.body_bytes_max
        too_large = PeerError("body_too_large", f"a body has at most {bytes_max} bytes", status=413)
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > bytes_max:
            raise too_large
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise too_large
        except ClientDisconnect:
            raise PeerError("cut_off", "the body did not arrive whole") from None
        return body


def _etag(body: bytes) -> str:
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _cached(request: Request, body: bytes, max_age_s: int, media_type: str = JSON) -> Response:
    """Answer with what caches may share for so long."""
    return _conditional(request, body, _etag(body), f"public, max-age={max_age_s}", media_type)


class Page(StaticFiles):
    """The page and what it is made of."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, and say what may run in it."""
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-cache"  # Ask again each time; the ETag makes that cheap.
        return response


def _conditional(
    request: Request, body: bytes, etag: str, cache_control: str, media_type: str = JSON
) -> Response:
    """Answer 304 to whoever has this already."""
    headers = {"ETag": etag, "Cache-Control": cache_control}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


async def _on_peer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PeerError)
    request.app.state.host.counters.refuse(error.code)
    headers = {}
    if error.status == 413:
        headers["Connection"] = "close"  # What is left of the body would be taken for the next request.
    if error.status == 426:
        headers |= {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    return error_response(error, headers)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "bad_request")
    request.app.state.host.counters.refuse(code)
    message = {404: "there is nothing here", 405: "this path takes another method"}.get(
        error.status_code, HTTPStatus(error.status_code).phrase.lower()
    )
    return error_response(PeerError(code, message, status=error.status_code), dict(error.headers or {}))


async def _on_bug(request: Request, error: Exception) -> Response:
    del error  # uvicorn logs it.
    request.app.state.host.counters.refuse("internal")
    return error_response(PeerError("internal", "something went wrong here", status=500))


class StartedOnDemand:
    """Starts the host with the first request: a mounted application's lifespan is not run by whoever mounts it."""

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self.app = app
        self.host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "lifespan" and not self.host.ready:
            await self.host.start()
        await self.app(scope, receive, send)


def create_app(host: Host) -> Starlette:
    """Make the application over a host.

    Args:
        host: It need not be started.
    """
    routes = Routes(host)

    async def socket(websocket: Any) -> None:
        await AsgiSocket.run(host, websocket)

    page = Page(packages=[("breathing_room", "web")], html=True)
    room = "/v1/rooms/{room}"
    table: list[BaseRoute] = [
        Route(room, routes.presence),
        Route(f"{room}/config", routes.config),
        Route(f"{room}/beat", routes.beat, methods=["POST"]),
        Route(f"{room}/leave", routes.leave, methods=["POST"]),
        Route(f"{room}/events", routes.events),
        Route(f"{room}/history", routes.history),
        Route(f"{room}/badge.svg", routes.badge),
        WebSocketRoute(f"{room}/socket", socket),
        Route(f"{room}/socket", routes.no_socket),
        Route("/api/presence", routes.compat_presence),
        Route("/api/config", routes.compat_config),
        Route("/api/heartbeat", routes.compat_heartbeat, methods=["POST"]),
        WebSocketRoute("/api/room", socket),
        Route("/api/room", routes.no_socket),
        Route("/metrics", routes.metrics),
        Route("/healthz", routes.healthz),
        Route("/readyz", routes.readyz),
        Route("/openapi.json", routes.openapi),
        # One segment only: a mount of everything would hide that a path above takes another method.
        Route("/", page, methods=["GET"]),
        Route("/{file}", page, methods=["GET"]),
    ]

    @asynccontextmanager
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
            Middleware(
                CORSMiddleware,
                allow_origins=host.config.origins,
                allow_methods=["GET", "POST"],
                allow_headers=["content-type"],
                expose_headers=["age", "etag", "retry-after"],
                max_age=86_400,
            ),
        ],
        exception_handlers={PeerError: _on_peer_error, HTTPException: _on_http_error, Exception: _on_bug},
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
    return create_app(Host(config))
