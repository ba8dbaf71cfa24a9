"""What every HTTP surface of ours does at its edge, whichever host is behind it.

It reads a body up to a limit, looks at where a page comes from, lets pages of other sites ask, and puts every error into
the one shape that errors have. And it has the answers of ``responses.py`` as Starlette has them; that module itself
needs no Starlette, for the Worker has none.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Send

from breathing_room.core.errors import PeerError, StoreError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode, encode_presence
from breathing_room.hosts.common.http.origins import origin_allowed
from breathing_room.hosts.common.http.responses import (
    JSON,
    Answer,
    cacheable_answer,
    error_answer,
    etag_of_config,
    etag_of_presence,
    json_answer,
    presence_kept,
)

log = logging.getLogger("breathing_room.http")

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]

WORDS: Final = {
    404: ("not_found", "there is nothing here"),
    405: ("wrong_method", "this path takes another method"),
}


def _response(answer: Answer) -> Response:
    headers = dict(answer.headers)
    media_type = headers.pop("Content-Type", None)
    return Response(answer.body, answer.status, headers, media_type=media_type)


def json_response(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON that is encoded already, for nobody to keep."""
    return _response(json_answer(body, status=status, headers=headers))


def error_response(error: PeerError, headers: dict[str, str] | None = None) -> Response:
    """Answer with an error in its one shape."""
    return _response(error_answer(error, headers))


def cacheable(
    request: Request, body: bytes, cache_control: str, *, etag: str | None = None, media_type: str = JSON
) -> Response:
    """Answer with what caches may share, and 304 to whoever has it already; ``cacheable_answer`` says how."""
    known = request.headers.get("if-none-match")
    return _response(cacheable_answer(known, body, cache_control, etag=etag, media_type=media_type))


def presence_response(request: Request, presence: Presence, *, max_age_s: int) -> Response:
    """Answer who is here, for caches to share."""
    kept = presence_kept(max_age_s)
    return cacheable(request, encode_presence(presence), kept, etag=etag_of_presence(presence))


def config_response(request: Request, body: Mapping[str, Any], *, max_age_s: int) -> Response:
    """Answer how a room works, for caches to share."""
    return cacheable(request, encode(body), f"public, max-age={max_age_s}", etag=etag_of_config(body))


def check_origin(request: Request, allowed: tuple[str, ...]) -> None:
    """Refuse a page of a site that may not use this server.

    Raises:
        PeerError: ``forbidden_origin``.
    """
    if not origin_allowed(request.headers.get("origin"), request.headers.get("host"), allowed):
        raise PeerError("forbidden_origin", "this origin may not use this server", status=403)


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Read a body, up to its limit.

    Raises:
        PeerError: It is longer, or did not arrive whole.
    """
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


class Cors(CORSMiddleware):
    """Starlette's, with errors in our one shape, and with one answer for all where all origins may ask."""

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """Send a message of a response; where everybody may read it, say so whoever asks."""
        if not self.allow_all_origins:
            await super().send(message, send, request_headers)
            return
        if message["type"] == "http.response.start":
            # Starlette says so only to pages, and then has to say `Vary: Origin`: a copy for each site in every cache.
            MutableHeaders(scope=message).update(self.simple_headers)
        await send(message)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight."""
        response = super().preflight_response(request_headers)
        if response.status_code >= 400:
            return error_response(PeerError("forbidden_origin", "this origin may not ask so", status=403))
        return response


def cors(origins: tuple[str, ...]) -> Middleware:
    """Let the pages of these origins ask."""
    return Middleware(
        Cors,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["content-type"],
        expose_headers=["age", "etag", "retry-after"],
        max_age=86_400,
    )


def error_handlers(refused: Callable[[str], None]) -> dict[type[Exception], Handler]:
    """Answer every exception of a handler in the one shape.

    Args:
        refused: Told the code of each.
    """

    def answer(error: PeerError, headers: dict[str, str] | None = None) -> Response:
        refused(error.code)
        return error_response(error, headers)

    async def on_peer_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, PeerError)
        return answer(error)

    async def on_http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code, message = WORDS.get(
            error.status_code, ("bad_request", HTTPStatus(error.status_code).phrase.lower())
        )
        return answer(PeerError(code, message, status=error.status_code), dict(error.headers or {}))

    async def on_store_error(_: Request, error: Exception) -> Response:
        log.error("the store does not answer: %s", error)
        return answer(PeerError("unavailable", "the store does not answer", status=503, retry_after_s=5))

    async def on_bug(_: Request, __: Exception) -> Response:
        # The server below logs it.
        return answer(PeerError("internal", "something went wrong here", status=500))

    return {
        PeerError: on_peer_error,
        HTTPException: on_http_error,
        StoreError: on_store_error,
        Exception: on_bug,
    }
