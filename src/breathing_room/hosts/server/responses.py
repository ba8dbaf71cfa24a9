"""The shapes of ``hosts/common/http/responses.py`` as Starlette has responses."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from breathing_room.core.errors import PeerError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode, encode_presence
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
