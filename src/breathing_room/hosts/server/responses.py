"""The few shapes of answers over HTTP: JSON, an error, and what caches may keep."""

import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from breathing_room.core.errors import PeerError
from breathing_room.core.wire import encode, error_body

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
