"""The routes of a Worker: those that it answers in front of the objects, and those of the object."""

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.room import Room
from breathing_room.core.wire import encode_presence
from breathing_room.hosts.common.http.responses import WrongMethodError
from breathing_room.hosts.common.rooms.room_host import RoomHost
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.worker import routes as http
from breathing_room.hosts.worker.room_platform import WorkerPlatform
from breathing_room.hosts.worker.routes import (
    OTHER_ROUTES,
    ROOM_ROUTES,
    HttpRequest,
    RoomRoutes,
    Routes,
    find_route,
)
from breathing_room.hosts.worker.settings import WorkerConfig
from inside import HandClock
from room_adapter import Objects

TOKEN = "a-token-of-32-characters-or-more-0"
VISITOR = "visitor-0123456789"
TIMES = {"push_ms": 1_000, "lease_ms": 60_000, "grace_ms": 15_000}

PRESENCE = Room("lobby", RoomConfig(), now_ms=0).presence(now_ms=0)


class Rooms:
    """Fake rooms that record which paths were read."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.count = 3

    async def __call__(self, name: str, path: str) -> bytes:
        self.asked.append((name, path))
        return encode_presence(replace(PRESENCE, count=self.count, high=self.count)) if not path else b"{}"


def a_request(method: str = "GET", path: str = "/v1/rooms/lobby", **headers: str) -> HttpRequest:
    found = {name.replace("_", "-"): value for name, value in headers.items()}

    async def read(_bytes_max: int) -> bytes:
        return b""

    return HttpRequest(method, path, {}, found.get, read)


def a_worker(**server: Any) -> tuple[Routes, HandClock]:
    clock = HandClock()
    return Routes(WorkerConfig(server=ServerConfig(**server)), clock), clock


async def test_a_crowd_that_polls_wakes_the_room_once() -> None:
    """Presence, badge and the document's paths share one read of the room within ``presence_max_age_s``, and
    no longer.
    """
    routes, clock = a_worker(presence_max_age_s=5)
    rooms = Rooms()
    for asked in ("", "/api/presence", "/badge.svg", ""):
        answer = await routes.answer("lobby", asked, a_request(), rooms)
        assert answer is not None
        assert (answer.status, "max-age=5" in answer.headers["Cache-Control"]) == (200, True)
    assert rooms.asked == [("lobby", "")]
    clock.ms += 4_999
    await routes.answer("lobby", "", a_request(), rooms)
    assert len(rooms.asked) == 1
    clock.ms, rooms.count = clock.ms + 1, 4
    answer = await routes.answer("lobby", "", a_request(), rooms)
    assert answer is not None
    assert (len(rooms.asked), json.loads(answer.body)["count"]) == (2, 4)


async def test_a_conditional_request_is_answered_304() -> None:
    """Presence and config are answered by 304 to a cache that has them."""
    routes, _ = a_worker()
    for asked in ("", "/config", "/api/config"):
        first = await routes.answer("lobby", asked, a_request(), Rooms())
        assert first is not None
        again = await routes.answer("lobby", asked, a_request(if_none_match=first.headers["ETag"]), Rooms())
        assert again is not None
        assert (again.status, again.body) == (304, b""), asked


async def test_invented_rooms_do_not_fill_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rooms are read, no more presences than the limit are cached."""
    monkeypatch.setattr(http, "CACHED_PRESENCES_MAX", 3)
    routes, _ = a_worker()
    for number in range(10):
        await routes.answer(f"room-{number}", "", a_request(), Rooms())
        assert len(routes._cached) <= 3


async def test_what_only_the_room_can_answer_is_left_to_it() -> None:
    """Reports, leaves, sockets and streams are not answered here, and health is without any room."""
    routes, _ = a_worker()
    rooms = Rooms()
    for asked in ("/heartbeat", "/leave", "/socket", "/events", "/api/room", "/api/heartbeat", "/migration"):
        assert await routes.answer("lobby", asked, a_request(), rooms) is None
    for asked in ("/healthz", "/readyz", "/openapi.json", "/config"):
        assert await routes.answer("lobby", asked, a_request(), rooms) is not None
    assert rooms.asked == []


async def test_a_room_in_kv_does_not_support_websockets() -> None:
    """
    The config of document clients says that an object supports WebSockets, and that the backend KV does not.
    """
    for backend, sockets in (("objects", True), ("kv", False)):
        worker = WorkerConfig(backend=backend, server=ServerConfig(room=RoomConfig(mode="poll")))
        answer = await Routes(worker, HandClock()).answer("lobby", "/api/config", a_request(), Rooms())
        assert answer is not None
        assert json.loads(answer.body)["supportsWebSocket"] is sockets


def test_closed_rooms_and_foreign_pages_are_refused_in_front() -> None:
    """Where rooms are not open, others than those of the config are 404; reports, connections and streams
    need an allowed origin.
    """
    routes, _ = a_worker(open_rooms=False, origins=("https://mine.example",))
    assert routes.find(a_request()) == ("lobby", "")
    with pytest.raises(ClientError) as error:
        routes.find(a_request(path="/v1/rooms/garden"))
    assert (error.value.code, error.value.status) == ("no_such_room", 404)
    foreign = {"origin": "https://other.example", "host": "room.example"}
    for method, path in (("POST", "/heartbeat"), ("GET", "/socket"), ("GET", "/events")):
        with pytest.raises(ClientError, match="origin"):
            routes.find(a_request(method, f"/v1/rooms/lobby{path}", **foreign))
    assert routes.find(a_request(path="/v1/rooms/lobby/config", **foreign)) == ("lobby", "/config")


def test_errors_have_one_shape_and_bugs_disclose_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong method names the right ones, a store that fails has a Retry-After, and a bug is logged and not
    disclosed.
    """
    routes, _ = a_worker()
    wrong = routes.refuse(WrongMethodError("GET, HEAD"))
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, HEAD")
    away = routes.refuse(StoreError("secret", temporary=True))
    assert (away.status, away.headers["Retry-After"]) == (503, "5")
    with caplog.at_level(logging.CRITICAL):
        bug = routes.refuse(RuntimeError("secret"))
    assert (bug.status, "secret" in caplog.text) == (500, True)
    assert b"secret" not in away.body + bug.body


def test_allowed_origins_may_read_answers() -> None:
    """Where all origins are allowed the answer is the same for all; otherwise it varies, and names the origin
    of the request.
    """
    all_origins, _ = a_worker()
    assert (
        all_origins.cross_origin(a_request(origin="https://a.example"))["Access-Control-Allow-Origin"] == "*"
    )
    assert all_origins.cross_origin(a_request()) == all_origins.cross_origin(
        a_request(origin="https://a.example")
    )
    some, _ = a_worker(origins=("https://mine.example",))
    mine = some.cross_origin(a_request(origin="https://mine.example"))
    assert (mine["Access-Control-Allow-Origin"], mine["Vary"]) == ("https://mine.example", "Origin")
    for other in ({}, {"origin": "https://other.example"}):
        assert some.cross_origin(a_request(**other)) == {"Vary": "Origin"}
    assert some.preflight(a_request(origin="https://mine.example")).status == 200
    assert some.preflight(a_request(origin="https://other.example")).status == 403


# --- How a path is found ----------------------------------------------------------------------------------


async def no_body(_bytes_max: int) -> bytes:
    return b""


def test_every_route_is_found_by_its_method() -> None:
    """Each path of a room leads to that room and each other one to the default room; HEAD is allowed wherever
    GET is.
    """
    for asked, method in ROOM_ROUTES.items():
        assert find_route(method, f"/v1/rooms/garden{asked}", "lobby") == ("garden", asked)
    for path, method in OTHER_ROUTES.items():
        assert find_route(method, path, "lobby") == ("lobby", path)
        if method == "GET":
            assert find_route("HEAD", path, "lobby") == ("lobby", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/rooms/lobby", "GET, HEAD"),
        ("GET", "/v1/rooms/lobby/heartbeat", "POST"),
        ("HEAD", "/api/heartbeat", "POST"),
        ("get", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_answered_with_the_allowed_ones(method: str, path: str, allowed: str) -> None:
    """A path that exists, requested with another method, is 405 with the methods that are allowed."""
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
def test_any_other_path_is_not_found(path: str) -> None:
    """A path that is no route, or is longer than a route, is 404."""
    with pytest.raises(ClientError) as error:
        find_route("GET", path, "lobby")
    assert (error.value.code, error.value.status) == ("not_found", 404)


@pytest.mark.parametrize("name", ["", "No", "%6c", "a" * 65, "_a"])
def test_a_bad_room_name_is_an_error_of_its_own(name: str) -> None:
    """A path of a room whose name is not valid is ``bad_room``, and not ``not_found``."""
    with pytest.raises(ClientError) as error:
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
    """Pages of an allowed origin or of our own may send requests, and programs without an origin; other pages
    may not.
    """
    headers = {"origin": origin, "host": "room.example"}
    request = HttpRequest("POST", "/", {}, headers.get, no_body)
    if allowed:
        request.check_origin(("https://mine.example",))
    else:
        with pytest.raises(ClientError, match="origin"):
            request.check_origin(("https://mine.example",))


# --- In the room's object ---------------------------------------------------------------------------------


async def a_room(*, server: dict[str, Any] | None = None, **settings: Any) -> RoomHost[WorkerPlatform]:
    objects = Objects(sockets_per_object=50, **TIMES, **settings)
    for name, value in (server or {}).items():
        object.__setattr__(objects.worker.server, name, value)
    return await objects.awake(0)


def asking(body: Any = None, **headers: str) -> HttpRequest:
    async def read(_bytes_max: int) -> bytes:
        return json.dumps(body).encode()

    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("POST", "/", {}, found.get, read)


async def ask(room: RoomHost[WorkerPlatform], asked: str, body: Any = None, **headers: str) -> Any:
    answer = await RoomRoutes(room).answer(asked, asking(body, **headers))
    return json.loads(answer.body) if answer.body else answer.status


async def test_a_visit_from_report_to_leave() -> None:
    """A report counts its visitor with its mood, a second one is the same visitor, and a leave ends the visit
    at once.
    """
    room = await a_room()
    assert (await ask(room, "/heartbeat", {"visitor": VISITOR, "mood": "release"}))["moods"]["release"] == 1
    assert (await ask(room, "/heartbeat", {"visitor": VISITOR}))["count"] == 1
    assert (await ask(room, ""))["count"] == 1
    assert await ask(room, "/leave", {"visitor": VISITOR}) == 204
    assert (await ask(room, ""))["count"] == 0
    assert room.host.counters.reports == 2


async def test_reports_over_the_budget_are_refused_and_counted() -> None:
    """Beyond the rate limit a report is refused with a Retry-After, and
    changes nothing; a leave is admitted.
    """
    room = await a_room()
    await ask(room, "/heartbeat", {"visitor": VISITOR})
    assert room.admission.bucket is not None
    for _ in range(room.admission.bucket.burst - 1):
        room.admission.bucket.spend(room.host.clock.now_ms())
    with pytest.raises(ClientError) as error:
        await ask(room, "/heartbeat", {"visitor": f"{VISITOR}-2"})
    assert error.value.code == "over_budget"
    assert error.value.retry_after_s is not None
    assert (room.host.counters.reports_shed, (await ask(room, ""))["count"]) == (1, 1)
    assert await ask(room, "/leave", {"visitor": VISITOR}) == 204


async def test_a_prefix_counts_for_its_share_only() -> None:
    """Seats of one address prefix beyond its cap are not counted; the
    address itself is nowhere in the room.
    """
    room = await a_room(prefix_seats_max=2)
    for number in range(5):
        await ask(room, "/heartbeat", {"visitor": f"{VISITOR}-{number}"}, cf_connecting_ip="203.0.113.7")
    await ask(room, "/heartbeat", {"visitor": VISITOR}, cf_connecting_ip="198.51.100.7")
    assert (await ask(room, ""))["count"] == 3
    assert b"203.0.113" not in repr(room.room.snapshot()).encode()


async def test_clients_of_the_document_are_counted_but_not_where_ids_are_signed() -> None:
    """A heartbeat of a document client is answered in its own shape; where visitor ids must be signed it is
    refused.
    """
    heartbeat = {"sessionId": "session-0123456789", "mood": "release"}
    room = await a_room()
    await ask(room, "/api/heartbeat", heartbeat)
    assert room.host.counters.reports == 1
    signed = await a_room(server={"signing_key": "k" * 32})
    with pytest.raises(ClientError) as error:
        await ask(signed, "/api/heartbeat", heartbeat)
    assert (error.value.code, error.value.status) == ("unsigned_visitor", 403)
    with pytest.raises(ClientError) as error:
        await ask(signed, "/heartbeat", {"visitor": VISITOR})
    assert error.value.code == "unsigned_visitor"


@pytest.mark.parametrize(
    ("token", "shown", "code"),
    [
        ("", f"Bearer {TOKEN}", "not_found"),
        (TOKEN, None, "token_needed"),
        (TOKEN, f"Basic {TOKEN}", "token_needed"),
        (TOKEN, f"Bearer {TOKEN}x", "wrong_token"),
    ],
)
async def test_the_progress_of_a_migration_needs_the_token(token: str, shown: str | None, code: str) -> None:
    """Without a token in the config the path is not found; otherwise it takes that token, as a bearer's."""
    room = await a_room(server={"admin_token": token})
    headers = {} if shown is None else {"authorization": shown}
    with pytest.raises(ClientError) as error:
        await ask(room, "/migration", **headers)
    assert error.value.code == code


async def test_the_operator_sees_whether_the_room_still_syncs() -> None:
    """With the token, in any case of the scheme, the progress is answered."""
    room = await a_room(server={"admin_token": TOKEN})
    assert await ask(room, "/migration", authorization=f"bearer {TOKEN}") == {
        "syncing": False,
        "seats": 0,
        "elsewhere": 0,
    }


async def test_the_averages_are_those_of_the_room() -> None:
    """The history has the room's name, also before anything was averaged."""
    assert (await ask(await a_room(), "/history"))["room"] == "lobby"
