"""What every HTTP surface does at its edge, over an application of a few lines."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.room import Room
from breathing_room.hosts.common.http.middleware import (
    cacheable,
    check_request_origin,
    config_response,
    cors,
    error_handlers,
    error_response,
    json_response,
    presence_response,
    read_body,
)

BYTES_MAX = 10

PRESENCE = Room("lobby", RoomConfig(), now_ms=0).presence(now_ms=0)


def a_client(*, origins: tuple[str, ...] = ("*",), refused: list[str] | None = None) -> httpx.AsyncClient:
    """A client of an application that echoes bodies and fails on demand."""
    errors = {
        "peer": ClientError("odd", "this is odd", status=409),
        "store": StoreError("secret path /var/db is locked", temporary=True),
        "bug": RuntimeError("secret"),
    }

    async def echo(request: Request) -> Response:
        check_request_origin(request, origins)
        return PlainTextResponse(await read_body(request, BYTES_MAX))

    async def fail(request: Request) -> Response:
        raise errors[request.path_params["kind"]]

    app = Starlette(
        routes=[Route("/echo", echo, methods=["POST"]), Route("/fail/{kind}", fail)],
        middleware=[cors(origins)],
        exception_handlers=error_handlers((refused if refused is not None else []).append),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://room.example")


async def chunks(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_body_is_read_up_to_its_limit() -> None:
    """A body of exactly the limit is taken; one byte more is refused,
    whether its length was declared or not.
    """
    async with a_client() as client:
        assert (await client.post("/echo", content=b"x" * BYTES_MAX)).text == "x" * BYTES_MAX
        assert (await client.post("/echo", content=chunks([b"xxxxx"] * 2))).text == "x" * BYTES_MAX
        for content in (b"x" * (BYTES_MAX + 1), chunks([b"xxxxx"] * 3)):
            answer = await client.post("/echo", content=content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


async def test_a_body_that_breaks_off_is_no_body() -> None:
    """A client that goes away in the middle of its body gets an error of its own, and not the half of it
    handled.
    """
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(messages)

    with pytest.raises(ClientError) as error:
        await read_body(Request({"type": "http", "headers": []}, receive), BYTES_MAX)
    assert error.value.code == "cut_off"


async def test_every_error_has_one_shape_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Our errors, a store that fails, a bug, a wrong path and a wrong method answer in one shape, which
    repeats nothing of the inside.
    """
    refused: list[str] = []
    asked = [
        ("GET", "/fail/peer", 409, "odd"),
        ("GET", "/fail/store", 503, "unavailable"),
        ("GET", "/fail/bug", 500, "internal"),
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/echo", 405, "wrong_method"),
    ]
    async with a_client(refused=refused) as client:
        with caplog.at_level(logging.ERROR, logger="breathing_room.http"):
            for method, path, status, code in asked:
                answer = await client.request(method, path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
                assert "secret" not in answer.text
            assert (await client.get("/fail/store")).headers["retry-after"] == "5"
            assert (await client.get("/echo")).headers["allow"] == "POST"
    assert refused[:5] == [code for *_, code in asked]
    assert "is locked" in caplog.text


async def test_an_origin_that_is_not_allowed_is_rejected() -> None:
    """A page of another site is refused before its body is read; its own site and programs without an origin
    are not.
    """
    async with a_client(origins=("https://mine.example",)) as client:
        for origin, status in (("https://mine.example", 200), ("https://other.example", 403)):
            answer = await client.post("/echo", content=b"x", headers={"Origin": origin})
            assert answer.status_code == status
        assert (await client.post("/echo", content=b"x")).status_code == 200


async def test_where_every_origin_is_allowed_one_copy_serves_all() -> None:
    """Where every origin may ask, the answer says so whether or not a page asks, and does not vary: caches
    keep one copy.
    """
    async with a_client() as client:
        for headers in ({}, {"Origin": "https://other.example"}):
            answer = await client.post("/echo", content=b"x", headers=headers)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "origin" not in answer.headers.get("vary", "").lower()


async def test_where_some_origins_are_allowed_the_answer_varies() -> None:
    """Where one site may ask, its pages may read the answer and caches
    keep it apart from those for others.
    """
    async with a_client(origins=("https://mine.example",)) as client:
        answer = await client.post("/echo", content=b"x", headers={"Origin": "https://mine.example"})
        assert answer.headers["access-control-allow-origin"] == "https://mine.example"
        assert "origin" in answer.headers["vary"].lower()


async def test_a_preflight_is_answered_for_a_day_or_refused_in_our_shape() -> None:
    """A preflight names methods and headers for a day; one of a foreign site is refused as every other error
    is.
    """
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    async with a_client(origins=("https://mine.example",)) as client:
        good = await client.options("/echo", headers={"Origin": "https://mine.example", **asks})
        assert (good.status_code, good.headers["access-control-max-age"]) == (200, "86400")
        assert "POST" in good.headers["access-control-allow-methods"]
        bad = await client.options("/echo", headers={"Origin": "https://other.example", **asks})
        assert (bad.status_code, json.loads(bad.text)["error"]["code"]) == (403, "forbidden_origin")


def asking(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw})


def test_headers_arrive_once_and_whole() -> None:
    """The type is said once, without a charset that JSON does not have, beside the status and the other
    headers.
    """
    response = json_response(b"{}", status=201, headers={"X-A": "b"})
    types = [value for name, value in response.raw_headers if name == b"content-type"]
    assert (response.status_code, response.body, types) == (201, b"{}", [b"application/json"])
    assert (response.headers["x-a"], response.headers["content-length"]) == ("b", "2")


def test_an_error_is_the_same_as_elsewhere() -> None:
    """An error keeps its status, code and headers."""
    response = error_response(ClientError("full", "no", status=503, retry_after_s=7), {"Allow": "GET"})
    assert (response.status_code, response.headers["retry-after"], response.headers["allow"]) == (
        503,
        "7",
        "GET",
    )
    assert json.loads(bytes(response.body))["error"]["code"] == "full"


def test_what_the_client_has_is_answered_by_304() -> None:
    """The tag of one answer, sent back, gets 304 without a body or a type, for presence, config and files
    alike.
    """
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
