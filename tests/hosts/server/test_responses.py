"""The shapes of answers as Starlette has responses."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.requests import Request

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import PeerError
from breathing_room.core.room import Room
from breathing_room.hosts.server.responses import (
    cacheable,
    config_response,
    error_response,
    json_response,
    presence_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

PRESENCE = Room("lobby", RoomConfig(), now_ms=0).presence(now_ms=0)


def asking(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw})


def test_headers_arrive_once_and_whole() -> None:
    """The type is said once, without a charset that JSON does not have, beside the status and the other headers."""
    response = json_response(b"{}", status=201, headers={"X-A": "b"})
    types = [value for name, value in response.raw_headers if name == b"content-type"]
    assert (response.status_code, response.body, types) == (201, b"{}", [b"application/json"])
    assert (response.headers["x-a"], response.headers["content-length"]) == ("b", "2")


def test_an_error_is_the_same_as_elsewhere() -> None:
    """An error keeps its status, code and headers."""
    response = error_response(PeerError("full", "no", status=503, retry_after_s=7), {"Allow": "GET"})
    assert (response.status_code, response.headers["retry-after"], response.headers["allow"]) == (
        503,
        "7",
        "GET",
    )
    assert json.loads(bytes(response.body))["error"]["code"] == "full"


def test_what_the_client_has_is_answered_by_304() -> None:
    """The tag of one answer, sent back, gets 304 without a body or a type, for presence, config and files alike."""
    makes: tuple[Callable[[Request], Response], ...] = (
        lambda request: presence_response(request, PRESENCE, max_age_s=5),
        lambda request: config_response(request, {"now_ms": 1}, max_age_s=300),
        lambda request: cacheable(request, b"body {}", "no-cache", media_type="text/css"),
    )
    for make in makes:
        first = make(asking())
        again = make(asking(if_none_match=first.headers["etag"]))
        assert (first.status_code, again.status_code, bytes(again.body)) == (200, 304, b"")
        assert "content-type" not in again.headers
        assert again.headers["cache-control"] == first.headers["cache-control"]


def test_a_presence_that_changed_is_sent_again() -> None:
    """A tag of before a change gets the whole of what is now."""
    tag = presence_response(asking(), PRESENCE, max_age_s=5).headers["etag"]
    changed = presence_response(asking(if_none_match=tag), replace(PRESENCE, count=3, high=3), max_age_s=5)
    assert (changed.status_code, json.loads(bytes(changed.body))["count"]) == (200, 3)
