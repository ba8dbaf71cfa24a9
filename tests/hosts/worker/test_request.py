"""A request as routes see it."""

import pytest

from breathing_room.core.errors import PeerError
from breathing_room.hosts.worker.request import OF_A_ROOM, OF_ALL, Request, WrongMethodError, find_route


async def no_body(_bytes_max: int) -> bytes:
    return b""


def test_every_route_is_found_by_its_method() -> None:
    """Each path of a room leads to that room and each other one to the default room; HEAD is taken wherever GET is."""
    for asked, method in OF_A_ROOM.items():
        assert find_route(method, f"/v1/rooms/garden{asked}", "lobby") == ("garden", asked)
    for path, method in OF_ALL.items():
        assert find_route(method, path, "lobby") == ("lobby", path)
        if method == "GET":
            assert find_route("HEAD", path, "lobby") == ("lobby", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/rooms/lobby", "GET, HEAD"),
        ("GET", "/v1/rooms/lobby/beat", "POST"),
        ("HEAD", "/api/heartbeat", "POST"),
        ("get", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_says_which_are_right(method: str, path: str, allowed: str) -> None:
    """A path that exists, asked in another way, is 405 with the methods that it takes."""
    with pytest.raises(WrongMethodError) as error:
        find_route(method, path, "lobby")
    assert (error.value.status, error.value.allowed) == (405, allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/v1/rooms",
        "/v1/rooms/lobby/",
        "/v1/rooms/lobby/dance",
        "/v1/rooms/a/b/socket",
        "/v2/rooms/lobby",
        "/socket",
    ],
)
def test_any_other_path_is_nothing(path: str) -> None:
    """What is no route, or a route with something behind it, is 404."""
    with pytest.raises(PeerError) as error:
        find_route("GET", path, "lobby")
    assert (error.value.code, error.value.status) == ("not_found", 404)


@pytest.mark.parametrize("name", ["", "No", "%6c", "a" * 65, "_a"])
def test_a_name_that_is_none_is_said(name: str) -> None:
    """Where the path has the form of a room's and the name has not, the name is what is wrong."""
    with pytest.raises(PeerError) as error:
        find_route("GET", f"/v1/rooms/{name}/config", "lobby")
    assert error.value.code == "bad_room"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://mine.example", True),
        ("https://other.example", False),
        (None, True),
        ("https://room.example", True),
    ],
)
def test_an_origin_must_be_allowed(origin: str | None, allowed: bool) -> None:  # noqa: FBT001
    """A page of an allowed site or of ours may ask, and a program without an origin; any other page may not."""
    headers = {"origin": origin, "host": "room.example"}
    request = Request("POST", "/", {}, headers.get, no_body)
    if allowed:
        request.check_origin(("https://mine.example",))
    else:
        with pytest.raises(PeerError, match="origin"):
            request.check_origin(("https://mine.example",))
