"""The host's contract, kept by a Worker in workerd."""

import asyncio
import time

import pytest

from breathing_room.core.wire import JOIN_LATE
from breathing_room.testing import check_host
from breathing_room.testing.host_context import ask, expect_refusal, new_room, new_visitor
from breathing_room.testing.peer import PATIENCE_S, TICK_S, WireSocket
from hosts.promises import EXCEPTIONS
from hosts.worker.conftest import JOIN_MS, PUSH_MS, TIMES, Start
from hosts.worker.platform_fakes import Service
from hosts.worker.runtime import Runtime


async def test_worker_keeps_every_promise_that_is_its_own(start: Start, kv: Service) -> None:
    """
    A Worker passes the whole suite, except for promises that only the runtime can keep; nothing is logged
    meanwhile.
    """
    # A Worker of its own: some checks count the visitors of the default room, which other tests join as well.
    worker = start(TIMES, services={"KV": f"kvNamespace {kv.address}"})
    exceptions = EXCEPTIONS["Worker with objects"]
    await check_host(worker.url, push_ms=PUSH_MS, join_ms=JOIN_MS, exceptions=exceptions)
    assert not worker.lines, "\n".join(worker.lines)


@pytest.mark.timeout(300)  # Python starts, and it is the second of the file.
async def test_worker_with_kv_alone_keeps_every_promise_that_is_its_own(start: Start, kv: Service) -> None:
    """
    A Worker with the backend KV passes the suite except for what needs a process; a presence is as old as its
    cache allows.
    """
    variables = {"BREATHING_ROOM_MODE": "poll", "BREATHING_ROOM_BACKEND": "kv"}
    max_age = {"BREATHING_ROOM_PRESENCE_MAX_AGE_S": "1"}
    worker = start(TIMES | variables | max_age, services={"KV": f"kvNamespace {kv.address}"})
    assert (await ask(worker.cron_url, "GET", "/")).body == b"ok"
    exceptions = EXCEPTIONS["Worker with KV alone"]
    await check_host(worker.url, push_ms=PUSH_MS, join_ms=JOIN_MS, lag_ms=1_100, exceptions=exceptions)
    assert not worker.lines, "\n".join(worker.lines)


async def test_the_default_room_is_what_is_set(start: Start, kv: Service) -> None:
    """
    U2: where ``default_room`` is set and rooms are not open, the alias and the paths under ``/api`` lead into
    that room.
    """
    rooms = {"BREATHING_ROOM_DEFAULT_ROOM": "evening", "BREATHING_ROOM_OPEN_ROOMS": "false"}
    worker = start(TIMES | rooms, services={"KV": f"kvNamespace {kv.address}"})
    assert (await ask(worker.url, "GET", "/v1/rooms/_default/config")).json()["room"] == "evening"
    await expect_refusal(ask(worker.url, "GET", "/v1/rooms/lobby/config"), "no_such_room", 404)
    person = await WireSocket.open(worker.url, "/v1/rooms/_default/socket")
    person.send_message("join", visitor=new_visitor())
    assert (await person.receive("presence"))["room"] == "evening"
    for path in ("/v1/rooms/_default", "/v1/rooms/evening", "/api/presence"):
        assert (await ask(worker.url, "GET", path)).json()["count"] == 1, path
    body = {"visitor": new_visitor()}
    answer = (await ask(worker.url, "POST", "/v1/rooms/_default/heartbeat", body)).json()
    assert (answer["room"], answer["count"]) == ("evening", 2)
    assert (await ask(worker.url, "GET", "/v1/rooms/_default/badge.svg")).status == 200
    person.cut()


async def test_a_connection_without_join_or_observe_is_closed(worker: Runtime) -> None:
    """
    A connection that sends neither join nor observe in time is closed with 4001, even if it sends other
    messages.
    """
    room = f"/v1/rooms/{new_room()}/socket"
    idle, chatting = await WireSocket.open(worker.url, room), await WireSocket.open(worker.url, room)
    chatting.send_message("time")
    deadline_s = time.monotonic() + JOIN_MS / 1_000 + PATIENCE_S
    for socket in (idle, chatting):
        while socket.end().code != JOIN_LATE:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(TICK_S)
        socket.cut()
