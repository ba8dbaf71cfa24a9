"""The description of the interface: valid, complete, and true."""

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate
from starlette.routing import Route, WebSocketRoute

from breathing_room.core.config import RoomConfig
from breathing_room.hosts.common.http.openapi import openapi
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.routes import create_app
from inside import client_of, host_inside

Description = dict[str, Any]

VISITOR = "visitor-0123456789"

# The pages and what they are made of are for people.
OF_THE_PAGE = {"/", "/{file}", "/admin", "/admin.css", "/admin.js"}
TOKEN = "a-token-of-32-characters-or-more-0"

METHODS = {"get", "post"}


@pytest.fixture(name="description")
def the_description() -> Description:
    """Describe a server that has all its paths."""
    return openapi(ServerConfig(admin_token=TOKEN))


def schema_of(description: Description, answer: Description) -> Description:
    """Find the schema of a described answer, with all that it may refer to."""
    (content,) = answer["content"].values()
    return {"components": description["components"], **content["schema"]}


def test_description_is_valid(description: Description) -> None:
    """It is OpenAPI 3.1, and every schema in it is a JSON Schema."""
    validate(description)
    for schema in description["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_every_route_is_described_and_nothing_else(description: Description) -> None:
    """What the application routes and what is described are the same paths with the same methods."""
    async with host_inside(admin_token=TOKEN) as host:
        routed: dict[str, set[str]] = {}
        for route in create_app(host).routes:
            if isinstance(route, WebSocketRoute):
                routed.setdefault(route.path, set()).add("get")
            elif isinstance(route, Route) and route.path not in OF_THE_PAGE:
                routed.setdefault(route.path, set()).update(
                    method.lower() for method in route.methods or () if method != "HEAD"
                )
    described = {path: item.keys() & METHODS for path, item in description["paths"].items()}
    assert described == routed


REQUESTS = {
    "/v1/rooms/{room}": {},
    "/v1/rooms/{room}/config": {},
    "/v1/rooms/{room}/heartbeat": {"json": {"visitor": VISITOR, "mood": "release"}},
    "/v1/rooms/{room}/leave": {"json": {"visitor": VISITOR}},
    "/v1/rooms/{room}/history": {},
    "/v1/rooms/{room}/badge.svg": {},
    "/api/presence": {},
    "/api/config": {},
    "/api/heartbeat": {"json": {"sessionId": VISITOR, "mood": "no such mood"}},
    "/admin.json": {"headers": {"Authorization": f"Bearer {TOKEN}"}},
    "/metrics": {},
    "/healthz": {},
    "/readyz": {},
    "/openapi.json": {},
}
"""How each path is asked that answers at once: event streams do not end, and sockets are no requests."""


def check(description: Description, operation: Description, answer: httpx.Response) -> None:
    """See that an answer is one of the described."""
    answers = operation["responses"]
    described = answers.get(str(answer.status_code), answers.get("default"))
    assert described is not None, answer
    content = described.get("content")
    if content is None:
        assert answer.content == b"" or answer.headers["content-type"] == "application/json"
        return
    (media_type,) = content
    assert answer.headers["content-type"].partition(";")[0] == media_type
    if media_type == "application/json":
        Draft202012Validator(schema_of(description, described)).validate(answer.json())


async def test_real_answers_are_as_described(description: Description) -> None:
    """
    The real answer of every path, with a visitor in the room, has the described status, type and schema; and
    so has what it answers to nonsense.
    """
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": VISITOR})
        asked = set()
        for path, item in description["paths"].items():
            for method in item.keys() & METHODS:
                if path.endswith(("/events", "/socket")) or path == "/api/room":
                    continue
                request: dict[str, Any] = REQUESTS[path]
                answer = await client.request(method, path.format(room="lobby"), **request)
                assert answer.is_success, answer.text
                check(description, item[method], answer)
                if "{room}" in path:
                    check(
                        description,
                        item[method],
                        await client.request(method, path.format(room="BAD"), **request),
                    )
                if method == "post":
                    check(
                        description, item[method], await client.post(path.format(room="lobby"), content=b"{")
                    )
                if "etag" in answer.headers:
                    again = await client.get(
                        path.format(room="lobby"), headers={"If-None-Match": answer.headers["etag"]}
                    )
                    check(description, item[method], again)
                    assert "304" in item[method]["responses"], path
                asked.add(path)
    assert asked == REQUESTS.keys()


async def test_unknown_presence_is_as_described(description: Description) -> None:
    """
    A room that is unknown fits the schema as well, nulls included; and a count that is missing does not.
    """
    schema = {"components": description["components"], **description["components"]["schemas"]["Presence"]}
    async with host_inside() as host:
        host._unknown_until_ms = host.clock.now_ms() + 60_000
        async with client_of(host) as client:
            presence = (await client.get("/v1/rooms/another")).json()
    assert presence["count"] is None
    validator = Draft202012Validator(schema)
    validator.validate(presence)
    assert not validator.is_valid({**presence, "count": -1})
    assert not validator.is_valid({name: value for name, value in presence.items() if name != "count"})


def test_bodies_are_described_as_they_are_taken(description: Description) -> None:
    """The schema of a heartbeat takes what the server takes, and refuses what it refuses."""
    schemas = description["components"]["schemas"]
    report = Draft202012Validator(schemas["Report"])
    assert report.is_valid({"visitor": VISITOR})
    assert report.is_valid({"visitor": VISITOR, "mood": "release", "more": 1})
    for bad in (
        {},
        {"visitor": "short"},
        {"visitor": "v" * 65},
        {"visitor": 7},
        {"visitor": "visitor 0123456789"},
    ):
        assert not report.is_valid(bad)


def test_moods_of_the_config_are_shown() -> None:
    """A server with moods of its own names them as examples, and the one that takes a mood back."""
    described = openapi(ServerConfig(room=RoomConfig(moods=("calm", "curious"))))
    mood = described["components"]["schemas"]["Report"]["properties"]["mood"]
    assert mood["examples"] == ["calm", "curious", "unspoken"]


async def test_description_is_served() -> None:
    """``/openapi.json`` is that description, in JSON."""
    async with host_inside() as host, client_of(host) as client:
        answer = await client.get("/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == openapi(host.config)
