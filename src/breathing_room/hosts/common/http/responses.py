"""The shapes of HTTP responses: JSON, an error, a cacheable body. Independent of any framework."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode, encode_presence, error_body

log = logging.getLogger("breathing_room.http")

JSON: Final = "application/json"

# Everything that the page loads comes from this server, or from where presence is published; nothing else may
# run in it, and no other site may frame it.
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss: {origin}; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: The HTTP status.
        body: The whole body.
        headers: All but those that the HTTP server adds (length, date).
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON response that is not cached (``no-store``); ``body`` is encoded already."""
    return Answer(status, body, {"Content-Type": JSON, "Cache-Control": "no-store"} | dict(headers or {}))


class NotFoundError(ClientError):
    """404: no such path."""

    def __init__(self) -> None:
        super().__init__("not_found", "not found", status=404)


class WrongMethodError(ClientError):
    """405: the path exists, the method is not allowed.

    Args:
        allowed: The value of ``Allow``.
    """

    def __init__(self, allowed: str) -> None:
        super().__init__("wrong_method", "method not allowed", status=405)
        self.allowed = allowed


class InternalError(ClientError):
    """500: a bug of the server; the response holds no detail."""

    def __init__(self) -> None:
        super().__init__("internal", "internal server error", status=500)


def upgrade_required() -> ClientError:
    """Return the error of a plain request to the path of a WebSocket."""
    return ClientError("upgrade_required", "this path expects a WebSocket handshake", status=426)


def body_too_large(bytes_max: int) -> ClientError:
    """Return the error of a body beyond its limit."""
    return ClientError("body_too_large", f"the body must have at most {bytes_max} bytes", status=413)


def body_cut_off() -> ClientError:
    """Return the error of a body that ended early."""
    return ClientError("cut_off", "the request body is incomplete")


def check_declared(length: str | None, bytes_max: int) -> None:
    """Reject a body whose declared length is beyond the limit.

    Args:
        length: ``Content-Length``.
        bytes_max: The limit.

    Raises:
        ClientError: ``body_too_large``.
    """
    if length is not None and length.isdigit() and int(length) > bytes_max:
        raise body_too_large(bytes_max)


def as_client_error(error: Exception) -> ClientError:
    """Convert any exception into the error that the client is sent, and log the details that are withheld."""
    match error:
        case ClientError():
            return error
        case StoreError():
            log.error("store unavailable: %s", error)
            return ClientError("unavailable", "the store is unavailable", status=503, retry_after_s=5)
        case _:
            log.critical("request failed: a bug, or a room that cannot be reached", exc_info=error)
            return InternalError()


def error_answer(error: ClientError, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error response."""
    headers = dict(headers or {})
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, WrongMethodError):
        headers["Allow"] = error.allowed
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 413:
        headers["Connection"] = "close"  # The rest of the body would be parsed as the next request.
    if error.status == 426:
        headers |= {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    return json_answer(encode(error_body(error)), status=error.status, headers=headers)


def etag_of(body: bytes) -> str:
    """Return a strong ETag: a hash of the body."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def etag_of_presence(presence: Presence) -> str:
    """Return an ETag of a presence whose ``as_of_ms`` is rounded down to half of ``stale_after_ms``.

    Most revalidations are then answered by 304, and no reader is left with a stale presence.
    """
    step_ms = presence.stale_after_ms // 2
    return etag_of(encode_presence(replace(presence, as_of_ms=presence.as_of_ms // step_ms * step_ms)))


def etag_of_config(body: Mapping[str, Any]) -> str:
    """Return an ETag of a config, which does not cover ``now_ms``: that differs in every response."""
    return etag_of(encode({**body, "now_ms": 0}))


def cacheable_answer(
    known: str | None, body: bytes, cache_control: str, *, etag: str | None = None, media_type: str = JSON
) -> Answer:
    """Return a cacheable response, or 304 if the client's copy is current.

    Args:
        known: ``If-None-Match`` of the request.
        body: The body.
        cache_control: Its ``Cache-Control``.
        etag: Its ETag; None for a hash of the body.
        media_type: Its media type.
    """
    etag = etag or etag_of(body)
    headers = {"ETag": etag, "Cache-Control": cache_control}
    tags = {tag.strip().removeprefix("W/") for tag in (known or "").split(",")}
    if etag in tags or "*" in tags:
        return Answer(304, headers=headers)
    return Answer(200, body, headers | {"Content-Type": media_type})


def presence_cache_control(max_age_s: int) -> str:
    """Return the ``Cache-Control`` of a presence."""
    return f"public, max-age={max_age_s}, stale-while-revalidate={max_age_s}"


def page_headers(presence_url: str) -> dict[str, str]:
    """Return the security headers of the page.

    Args:
        presence_url: Where presence is published, or the empty string.
    """
    origin = "/".join(presence_url.split("/")[:3])
    return {
        "Content-Security-Policy": PAGE_POLICY.format(origin=origin),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
