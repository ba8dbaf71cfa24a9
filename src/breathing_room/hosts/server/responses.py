"""The few shapes of answers over HTTP: JSON, an error, and what caches may keep."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from breathing_room.core.errors import PeerError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode, encode_presence, error_body

JSON: Final = "application/json"


def json_response(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON that is encoded already, for nobody to keep."""
    return Response(body, status, {"Cache-Control": "no-store"} | (headers or {}), media_type=JSON)


def error_response(error: PeerError, headers: dict[str, str] | None = None) -> Response:
    """Answer with an error in its one shape."""
    headers = dict(headers or {})
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 413:
        headers["Connection"] = "close"  # What is left of the body would be taken for the next request.
    if error.status == 426:
        headers |= {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    return json_response(encode(error_body(error)), status=error.status, headers=headers)


def etag_of(body: bytes) -> str:
    """Make a tag that changes with every byte."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def cacheable(
    request: Request, body: bytes, cache_control: str, *, etag: str | None = None, media_type: str = JSON
) -> Response:
    """Answer with what caches may share, and 304 to whoever has it already.

    Args:
        request: Its ``If-None-Match`` is looked at.
        body: The answer.
        cache_control: For how long it may be kept.
        etag: What tells versions of it apart; None for all of its bytes.
        media_type: What it is.
    """
    etag = etag or etag_of(body)
    headers = {"ETag": etag, "Cache-Control": cache_control}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def etag_of_presence(presence: Presence) -> str:
    """Make a tag for which time moves in steps of half of ``valid_ms``.

    Most revalidations are then answered by 304, and nobody is left with a presence that is no longer valid.
    """
    step_ms = presence.valid_ms // 2
    return etag_of(encode_presence(replace(presence, as_of_ms=presence.as_of_ms // step_ms * step_ms)))


def presence_response(request: Request, presence: Presence, *, max_age_s: int) -> Response:
    """Answer who is here, for caches to share."""
    kept = f"public, max-age={max_age_s}, stale-while-revalidate={max_age_s}"
    return cacheable(request, encode_presence(presence), kept, etag=etag_of_presence(presence))


def config_response(request: Request, body: Mapping[str, Any], *, max_age_s: int) -> Response:
    """Answer how a room works. The time of day changes with every answer; what matters to a cache does not."""
    etag = etag_of(encode({**body, "now_ms": 0}))
    return cacheable(request, encode(body), f"public, max-age={max_age_s}", etag=etag)
