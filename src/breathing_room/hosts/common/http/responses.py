"""The few shapes of answers over HTTP: JSON, an error, and what caches may keep. They know no framework."""

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

# Everything that the page needs comes from here, or from where presence is published; nothing else may run in it, and no
# site may frame it unasked.
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss: {origin}; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer.

    Attributes:
        status: The HTTP status.
        body: The whole body.
        headers: All but what the carrier adds (length, date).
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON that is encoded already, for nobody to keep."""
    return Answer(status, body, {"Content-Type": JSON, "Cache-Control": "no-store"} | dict(headers or {}))


class NotFoundError(ClientError):
    """A path where there is nothing."""

    def __init__(self) -> None:
        super().__init__("not_found", "there is nothing here", status=404)


class WrongMethodError(ClientError):
    """A path that takes another method.

    Args:
        allowed: Those that it takes.
    """

    def __init__(self, allowed: str) -> None:
        super().__init__("wrong_method", "this path takes another method", status=405)
        self.allowed = allowed


class InternalError(ClientError):
    """A bug of ours, of which a client learns nothing."""

    def __init__(self) -> None:
        super().__init__("internal", "something went wrong here", status=500)


def upgrade_required() -> ClientError:
    """Make the error of a request that should have been a handshake."""
    return ClientError("upgrade_required", "this path is for WebSockets", status=426)


def body_too_large(bytes_max: int) -> ClientError:
    """Make the error of a body beyond its limit."""
    return ClientError("body_too_large", f"a body has at most {bytes_max} bytes", status=413)


def body_cut_off() -> ClientError:
    """Make the error of a body whose end did not come."""
    return ClientError("cut_off", "the body did not arrive whole")


def check_declared(length: str | None, bytes_max: int) -> None:
    """Refuse a body that is announced to be too long.

    Args:
        length: ``Content-Length``.
        bytes_max: The limit.

    Raises:
        ClientError: ``body_too_large``.
    """
    if length is not None and length.isdigit() and int(length) > bytes_max:
        raise body_too_large(bytes_max)


def as_client_error(error: Exception) -> ClientError:
    """Return what a client learns of any error, and log what it does not learn."""
    match error:
        case ClientError():
            return error
        case StoreError():
            log.error("the store does not answer: %s", error)
            return ClientError("unavailable", "the store does not answer", status=503, retry_after_s=5)
        case _:
            log.critical("a request failed: a bug, or a room that cannot be reached", exc_info=error)
            return InternalError()


def error_answer(error: ClientError, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with an error in its one shape."""
    headers = dict(headers or {})
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, WrongMethodError):
        headers["Allow"] = error.allowed
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 413:
        headers["Connection"] = "close"  # What is left of the body would be taken for the next request.
    if error.status == 426:
        headers |= {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    return json_answer(encode(error_body(error)), status=error.status, headers=headers)


def etag_of(body: bytes) -> str:
    """Make a tag that changes with every byte."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def etag_of_presence(presence: Presence) -> str:
    """Make a tag for which time moves in steps of half of ``stale_after_ms``.

    Most revalidations are then answered by 304, and nobody is left with a presence that is no longer valid.
    """
    step_ms = presence.stale_after_ms // 2
    return etag_of(encode_presence(replace(presence, as_of_ms=presence.as_of_ms // step_ms * step_ms)))


def etag_of_config(body: Mapping[str, Any]) -> str:
    """Make a tag for a config. The time of day changes with every answer; what matters to a cache does not."""
    return etag_of(encode({**body, "now_ms": 0}))


def cacheable_answer(
    known: str | None, body: bytes, cache_control: str, *, etag: str | None = None, media_type: str = JSON
) -> Answer:
    """Answer with what caches may share, and 304 to whoever has it already.

    Args:
        known: ``If-None-Match`` of the request.
        body: The answer.
        cache_control: For how long it may be kept.
        etag: What tells versions of it apart; None for all of its bytes.
        media_type: What it is.
    """
    etag = etag or etag_of(body)
    headers = {"ETag": etag, "Cache-Control": cache_control}
    tags = {tag.strip().removeprefix("W/") for tag in (known or "").split(",")}
    if etag in tags or "*" in tags:
        return Answer(304, headers=headers)
    return Answer(200, body, headers | {"Content-Type": media_type})


def presence_kept(max_age_s: int) -> str:
    """Say how long caches may keep a presence."""
    return f"public, max-age={max_age_s}, stale-while-revalidate={max_age_s}"


def page_headers(presence_url: str) -> dict[str, str]:
    """Say what may run in our page.

    Args:
        presence_url: Where presence is published, or the empty string.
    """
    origin = "/".join(presence_url.split("/")[:3])
    return {
        "Content-Security-Policy": PAGE_POLICY.format(origin=origin),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
