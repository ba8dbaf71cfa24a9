"""Bad input to a Worker is answered by an error of the one shape, loses nothing, and never reaches the
runtime's log.
"""

import asyncio
import json
import secrets
import time

import pytest

from breathing_room.core.wire import BAD_MESSAGES, NOT_UTF8, TOO_BIG
from breathing_room.hosts.worker.shard_calls import ADD_SHARDS, INTERNAL_PATH
from breathing_room.testing.host_context import ask, expect_error, expect_refusal, new_room
from breathing_room.testing.peer import HandshakeRefusedError, WireSocket
from hosts.worker.conftest import TIMES, Start
from hosts.worker.platform_fakes import Service
from hosts.worker.runtime import Runtime

VISITOR = "v" * 22


async def test_bad_requests_are_refused_in_the_one_shape(worker: Runtime) -> None:
    """
    Bodies that are too large, methods and origins that are wrong, paths that do not exist: each has its code
    and its status.
    """
    room = f"/v1/rooms/{new_room()}"
    large = b'{"visitor": "' + b"v" * 5_000 + b'"}'
    await expect_refusal(ask(worker.url, "POST", f"{room}/heartbeat", large), "body_too_large", 413)
    await expect_refusal(ask(worker.url, "POST", f"{room}/heartbeat", b"\xff\xfe"), "bad_json", 400)
    await expect_refusal(ask(worker.url, "POST", f"{room}/heartbeat", b"[" * 4_000), "bad_json", 400)
    await expect_refusal(ask(worker.url, "GET", f"{room}/socket"), "upgrade_required", 426)
    await expect_refusal(ask(worker.url, "GET", "/api/room?sessionId=x"), "upgrade_required", 426)
    await expect_refusal(ask(worker.url, "DELETE", room), "wrong_method", 405)
    await expect_refusal(ask(worker.url, "GET", f"{room}/heartbeat"), "wrong_method", 405)
    await expect_refusal(ask(worker.url, "GET", "/v1/rooms/"), "bad_room", 400)
    await expect_refusal(ask(worker.url, "GET", "//"), "not_found", 404)
    await expect_refusal(ask(worker.url, "GET", "/v1/rooms/../../etc"), "not_found", 404)
    # Requests between objects cannot be sent from outside.
    await expect_refusal(ask(worker.url, "POST", f"{INTERNAL_PATH}{ADD_SHARDS}1"), "not_found", 404)
    await expect_refusal(ask(worker.url, "POST", f"{room}{INTERNAL_PATH}{ADD_SHARDS}1"), "not_found", 404)
    await expect_refusal(ask(worker.url, "POST", f"{room}/..{INTERNAL_PATH}{ADD_SHARDS}1"), "not_found", 404)
    head = await ask(worker.url, "OPTIONS", room, headers={"Origin": "https://a.example"})
    assert (head.status, head.headers["access-control-allow-origin"]) == (200, "*")
    assert worker.lines == []


async def test_bad_messages_close_their_connection_only(worker: Runtime) -> None:
    """
    Text that was no UTF-8, a message over the limit and too many bad messages close the connection with their
    codes; other connections of the room are not affected.
    """
    path = f"/v1/rooms/{new_room()}/socket"
    person = await WireSocket.open(worker.url, path)
    person.send_message("join", visitor=VISITOR)
    await person.receive("presence")
    for bad, code in (
        (b"\xff", NOT_UTF8),
        (b" " * 4_097, TOO_BIG),
        (b"[" * 4_000, None),
        (b"x" * 40_000, TOO_BIG),
    ):
        socket = await WireSocket.open(worker.url, path)
        socket.send_text(bad)
        if code is None:
            expect_error((await socket.receive("error"))["error"], "bad_json", 400)
            socket.cut()
        else:
            assert (await socket.ended()).code == code
    chatter = await WireSocket.open(worker.url, path)
    for _ in range(30):
        chatter.send_text('{"type": "mood", "mood": 7}')
    assert (await chatter.ended()).code == BAD_MESSAGES
    person.send_message("time", sent_ms=1)
    await person.receive("time")
    assert person.is_open
    assert worker.lines == []
    person.cut()


async def test_a_full_room_refuses_connections_for_a_while(start: Start, kv: Service) -> None:
    """
    Beyond ``sockets_max`` a handshake is refused with 503 and a time to retry, an event stream as well; the
    panel has its rate limit; origins that are not allowed are refused; and while KV fails all of that goes
    on, the count is right, and the backup is made up for.
    """
    kv.failing = True
    variables = TIMES | {
        "BREATHING_ROOM_SOCKETS_MAX": "2",
        "BREATHING_ROOM_ORIGINS": "https://ours.example",
        "BREATHING_ROOM_PANEL_SIZE": "1",
        "BREATHING_ROOM_REPORTS_PER_S": "1",
        "BREATHING_ROOM_UNCAPPED_NETWORKS": "",
    }
    worker = start(variables, services={"KV": f"kvNamespace {kv.address}"})
    path = "/v1/rooms/lobby/socket"
    people = []
    for _ in range(2):
        people.append(await WireSocket.open(worker.url, path))
        people[-1].send_message("join", visitor=secrets.token_urlsafe(16))
        await people[-1].receive("presence")
    with pytest.raises(HandshakeRefusedError) as refused:
        await WireSocket.open(worker.url, path)
    answer = refused.value.answer
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    expect_error(answer.json()["error"], "full", 503)
    await expect_refusal(ask(worker.url, "GET", "/v1/rooms/lobby/events"), "full", 503)

    strange = {"Origin": "https://strange.example"}
    body = json.dumps({"visitor": VISITOR}).encode()
    await expect_refusal(
        ask(worker.url, "POST", "/v1/rooms/lobby/heartbeat", body, strange), "forbidden_origin", 403
    )
    await expect_refusal(
        ask(worker.url, "OPTIONS", "/v1/rooms/lobby", headers=strange), "forbidden_origin", 403
    )
    ours = {"Origin": "https://ours.example"}
    allowed = await ask(worker.url, "GET", "/v1/rooms/lobby", headers=ours)
    assert allowed.headers["access-control-allow-origin"] == "https://ours.example"

    heartbeat = {"sessionId": VISITOR, "mood": "release"}
    taken = 0
    while (shed := await ask(worker.url, "POST", "/api/heartbeat", heartbeat)).status == 200:
        taken += 1
    assert (shed.status, taken > 0) == (429, True)
    assert "retry-after" in shed.headers
    expect_error(shed.json()["error"], "over_budget", 429)

    assert (await ask(worker.url, "GET", "/v1/rooms/lobby")).json()["low"] >= 2
    kv.failing = False
    for person in people:
        person.send_message("mood", mood="release")
    deadline_s = time.monotonic() + 20
    while "snapshot/lobby" not in kv.values:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.1)
    assert worker.lines
    assert all("KV does not answer" in line for line in worker.lines), worker.lines
    for person in people:
        person.cut()
