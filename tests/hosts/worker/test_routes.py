"""What the Worker answers without a room, or with what it read of one a moment ago."""

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import PeerError, StoreError
from breathing_room.core.room import Room
from breathing_room.core.wire import encode_presence
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.worker import routes as http
from breathing_room.hosts.worker.request import Request, WrongMethodError
from breathing_room.hosts.worker.routes import Routes
from breathing_room.hosts.worker.settings import WorkerConfig
from inside import HandClock

PRESENCE = Room("lobby", RoomConfig(), now_ms=0).presence(now_ms=0)


class Rooms:
    """Rooms elsewhere, of which it is noted what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.count = 3

    async def __call__(self, name: str, path: str) -> bytes:
        self.asked.append((name, path))
        return encode_presence(replace(PRESENCE, count=self.count, high=self.count)) if not path else b"{}"


def a_request(method: str = "GET", path: str = "/v1/rooms/lobby", **headers: str) -> Request:
    found = {name.replace("_", "-"): value for name, value in headers.items()}

    async def read(_bytes_max: int) -> bytes:
        return b""

    return Request(method, path, {}, found.get, read)


def a_worker(**server: Any) -> tuple[Routes, HandClock]:
    clock = HandClock()
    return Routes(WorkerConfig(server=ServerConfig(**server)), clock), clock


async def test_a_crowd_that_polls_wakes_the_room_once() -> None:
    """Presence, badge and the document's paths share one read of the room within the age that a presence may have, and no longer."""
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


async def test_a_copy_that_is_good_is_confirmed() -> None:
    """Presence and config are answered by 304 to a cache that has them."""
    routes, _ = a_worker()
    for asked in ("", "/config", "/api/config"):
        first = await routes.answer("lobby", asked, a_request(), Rooms())
        assert first is not None
        again = await routes.answer("lobby", asked, a_request(if_none_match=first.headers["ETag"]), Rooms())
        assert again is not None
        assert (again.status, again.body) == (304, b""), asked


async def test_names_that_are_made_up_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rooms are asked for, no more than the limit are remembered."""
    monkeypatch.setattr(http, "READS_MAX", 3)
    routes, _ = a_worker()
    for number in range(10):
        await routes.answer(f"room-{number}", "", a_request(), Rooms())
        assert len(routes._reads) <= 3


async def test_what_only_the_room_can_answer_is_left_to_it() -> None:
    """Reports, leaves, sockets and streams are not answered here, and health is without any room."""
    routes, _ = a_worker()
    rooms = Rooms()
    for asked in ("/beat", "/leave", "/socket", "/events", "/api/room", "/api/heartbeat", "/migration"):
        assert await routes.answer("lobby", asked, a_request(), rooms) is None
    for asked in ("/healthz", "/readyz", "/openapi.json", "/config"):
        assert await routes.answer("lobby", asked, a_request(), rooms) is not None
    assert rooms.asked == []


def test_closed_rooms_and_foreign_pages_are_refused_in_front() -> None:
    """A room that is not kept is not there where rooms are not open; what changes something or opens a line needs a right origin."""
    routes, _ = a_worker(open_rooms=False, origins=("https://mine.example",))
    assert routes.find(a_request()) == ("lobby", "")
    with pytest.raises(PeerError) as error:
        routes.find(a_request(path="/v1/rooms/garden"))
    assert (error.value.code, error.value.status) == ("no_such_room", 404)
    foreign = {"origin": "https://other.example", "host": "room.example"}
    for method, path in (("POST", "/beat"), ("GET", "/socket"), ("GET", "/events")):
        with pytest.raises(PeerError, match="origin"):
            routes.find(a_request(method, f"/v1/rooms/lobby{path}", **foreign))
    assert routes.find(a_request(path="/v1/rooms/lobby/config", **foreign)) == ("lobby", "/config")


def test_errors_have_one_shape_and_bugs_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong method names the right ones, a store that fails says when to come back, and a bug is logged and not repeated."""
    routes, _ = a_worker()
    wrong = routes.refuse(WrongMethodError("GET, HEAD"))
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, HEAD")
    away = routes.refuse(StoreError("secret", temporary=True))
    assert (away.status, away.headers["Retry-After"]) == (503, "5")
    with caplog.at_level(logging.CRITICAL):
        bug = routes.refuse(RuntimeError("secret"))
    assert (bug.status, "secret" in caplog.text) == (500, True)
    assert b"secret" not in away.body + bug.body


def test_other_sites_may_read_where_they_may() -> None:
    """Where all origins may ask the answer is the same for all; where some may, it varies and names the one that asks."""
    everyone, _ = a_worker()
    assert everyone.cross_origin(a_request(origin="https://a.example"))["Access-Control-Allow-Origin"] == "*"
    assert everyone.cross_origin(a_request()) == everyone.cross_origin(a_request(origin="https://a.example"))
    some, _ = a_worker(origins=("https://mine.example",))
    mine = some.cross_origin(a_request(origin="https://mine.example"))
    assert (mine["Access-Control-Allow-Origin"], mine["Vary"]) == ("https://mine.example", "Origin")
    for other in ({}, {"origin": "https://other.example"}):
        assert some.cross_origin(a_request(**other)) == {"Vary": "Origin"}
    assert some.preflight(a_request(origin="https://mine.example")).status == 200
    assert some.preflight(a_request(origin="https://other.example")).status == 403
