"""Allowed web origins, and the CORS headers for them (section 3.2 of the Fetch standard)."""

from typing import Final
from urllib.parse import urlsplit

from breathing_room.core.errors import ClientError
from breathing_room.hosts.common.http.responses import Answer, error_answer

METHODS: Final = ("GET", "POST")
HEADERS: Final = ("accept", "accept-language", "content-language", "content-type")
"""Request headers that a page may send: ``Content-Type`` for JSON, and Fetch's safelisted ones."""

PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": ", ".join(HEADERS),
    "Access-Control-Max-Age": "86400",
}


def origin_allowed(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """Return whether a request's origin is allowed.

    Args:
        origin: Its ``Origin`` header; a request without one comes from no web page.
        host: Its ``Host`` header: the server's own origin is always allowed.
        allowed: The origins of the config.
    """
    if origin is None or "*" in allowed:
        return True
    return origin in allowed or (host is not None and urlsplit(origin).netloc == host)


def check_origin(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> None:
    """Reject a request of a web page whose origin is not allowed.

    Raises:
        ClientError: ``forbidden_origin``.
    """
    if not origin_allowed(origin, host, allowed):
        raise ClientError("forbidden_origin", "this origin is not allowed", status=403)


def cross_origin(origin: str | None, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the headers that let pages of the allowed origins read an answer.

    Where all origins are allowed, the response is the same for all requests, and caches keep one copy.
    Otherwise it varies with ``Origin``.

    Args:
        origin: The ``Origin`` header of the request.
        allowed: The origins of the config.
    """
    headers = {"Access-Control-Expose-Headers": "age, etag, retry-after"}
    if "*" in allowed:
        return headers | {"Access-Control-Allow-Origin": "*"}
    if origin is None or origin not in allowed:
        return {"Vary": "Origin"}
    return headers | {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def preflight(
    origin: str | None, allowed: tuple[str, ...], *, method: str | None, headers: str | None
) -> Answer:
    """Answer the preflight of a cross-origin request.

    Args:
        origin: The ``Origin`` header.
        allowed: The origins of the config.
        method: ``Access-Control-Request-Method``.
        headers: ``Access-Control-Request-Headers``.
    """
    granted = cross_origin(origin, allowed)
    asked = {name.strip().lower() for name in (headers or "").split(",")} - {""}
    if (
        "Access-Control-Allow-Origin" not in granted
        or not asked <= {*HEADERS}
        or method not in {*METHODS, None}
    ):
        return error_answer(
            ClientError(
                "forbidden_origin", "this origin, method or request header is not allowed", status=403
            )
        )
    return Answer(200, headers=PREFLIGHT | granted)
