"""Starlette middleware and responses that every ASGI host shares.

It reads a body up to a limit, answers CORS requests (by the rules of ``origins.py``), and turns every
exception into the one shape of errors. ``responses.py`` and ``origins.py`` need no Starlette, since the
Worker has none; this module wraps their answers in Starlette's classes.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode, encode_presence
from breathing_room.hosts.common.http.origins import check_origin, cross_origin, preflight
from breathing_room.hosts.common.http.responses import (
    JSON,
    Answer,
    InternalError,
    NotFoundError,
    WrongMethodError,
    as_client_error,
    body_cut_off,
    body_too_large,
    cacheable_answer,
    check_declared,
    error_answer,
    etag_of_config,
    etag_of_presence,
    json_answer,
    presence_cache_control,
)

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]

OTHER_STATUS: Final = "bad_request"
"""The error code of a request that Starlette rejects for a reason without a code of its own."""


def _response(answer: Answer) -> Response:
    headers = dict(answer.headers)
    media_type = headers.pop("Content-Type", None)
    return Response(answer.body, answer.status, headers, media_type=media_type)


def json_response(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response that is not cached (``no-store``); ``body`` is encoded already."""
    return _response(json_answer(body, status=status, headers=headers))


def error_response(error: ClientError, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error response."""
    return _response(error_answer(error, headers))


def cacheable(
    request: Request, body: bytes, cache_control: str, *, etag: str | None = None, media_type: str = JSON
) -> Response:
    """Return a cacheable response, or 304 if the client's copy is current; see ``cacheable_answer``."""
    known = request.headers.get("if-none-match")
    return _response(cacheable_answer(known, body, cache_control, etag=etag, media_type=media_type))


def presence_response(request: Request, presence: Presence, *, max_age_s: int) -> Response:
    """Return a presence as a cacheable response."""
    kept = presence_cache_control(max_age_s)
    return cacheable(request, encode_presence(presence), kept, etag=etag_of_presence(presence))


def config_response(request: Request, body: Mapping[str, Any], *, max_age_s: int) -> Response:
    """Return a room's config as a cacheable response."""
    return cacheable(request, encode(body), f"public, max-age={max_age_s}", etag=etag_of_config(body))


def check_request_origin(request: Request, allowed: tuple[str, ...]) -> None:
    """Reject a request of a web page whose origin is not allowed.

    Raises:
        ClientError: ``forbidden_origin``.
    """
    check_origin(request.headers.get("origin"), request.headers.get("host"), allowed)


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Read a request body of at most ``bytes_max``.

    Raises:
        ClientError: ``body_too_large`` or ``cut_off``.
    """
    check_declared(request.headers.get("content-length"), bytes_max)
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise body_too_large(bytes_max)
    except ClientDisconnect:
        raise body_cut_off() from None
    return body


class Cors:
    """CORS: adds the headers for allowed origins to every response, and answers preflights."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self.app = app
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight; pass every other request on and add the headers to its response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        origin, method = asked.get("origin"), asked.get("access-control-request-method")
        if scope["method"] == "OPTIONS" and origin is not None and method is not None:
            headers = asked.get("access-control-request-headers")
            answer = _response(preflight(origin, self.origins, method=method, headers=headers))
            await answer(scope, receive, send)
            return
        granted = cross_origin(origin, self.origins)

        async def send_granted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in granted.items():
                    if name == "Vary":
                        headers.add_vary_header(value)
                    else:
                        headers[name] = value
            await send(message)

        await self.app(scope, receive, send_granted)


def cors(origins: tuple[str, ...]) -> Middleware:
    """Return the CORS middleware for some origins."""
    return Middleware(Cors, origins=origins)


def error_handlers(refused: Callable[[str], None]) -> dict[type[Exception], Handler]:
    """Return the exception handlers that turn every exception into an error response.

    Args:
        refused: Called with the code of each error.
    """

    def answer(error: ClientError, headers: Mapping[str, str] | None = None) -> Response:
        refused(error.code)
        return error_response(error, headers)

    async def on_error(_: Request, error: Exception) -> Response:
        return answer(as_client_error(error))

    async def on_http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = error.headers or {}
        match error.status_code:
            case 404:
                return answer(NotFoundError(), headers)
            case 405:
                return answer(WrongMethodError(headers.get("Allow", "")), headers)
            case status:
                return answer(
                    ClientError(OTHER_STATUS, HTTPStatus(status).phrase.lower(), status=status), headers
                )

    async def on_bug(_: Request, __: Exception) -> Response:
        # uvicorn logs it.
        return answer(InternalError())

    return {ClientError: on_error, StoreError: on_error, HTTPException: on_http_error, Exception: on_bug}
