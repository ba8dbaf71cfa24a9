"""One connection to a room, over a socket in memory and on a loop whose time jumps."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedOK

from breathing_room.client.clock import ServerClock
from breathing_room.client.errors import ConnectionLostError, RefusedError
from breathing_room.client.room_connection import RoomConnection
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import PING
from scripted_server import presence
from virtual_loop import run_virtually

JOIN = {"type": "join", "visitor": "v"}


class Wire:
    """A socket whose other end is the test."""

    def __init__(self, *, answers: bool = True) -> None:
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.answers = answers
        self._inbox: asyncio.Queue[str | BaseException] = asyncio.Queue()

    async def send(self, text: str) -> None:
        message = json.loads(text)
        self.sent.append((asyncio.get_running_loop().time(), message))
        if message["type"] == "ping" and self.answers:
            assert text.encode() == PING
            self.push('{"type":"pong"}')
        if message["type"] == "time" and self.answers:
            self.push(json.dumps({"type": "time", "sent_ms": message["sent_ms"], "now_ms": 7}))

    async def recv(self) -> str:
        message = await self._inbox.get()
        if isinstance(message, BaseException):
            raise message
        return message

    def push(self, message: str | BaseException) -> None:
        self._inbox.put_nowait(message)

    def end(self) -> None:
        self.push(ConnectionClosedOK(None, None))

    def sent_at_s(self, kind: str) -> list[float]:
        return [round(at_s, 3) for at_s, message in self.sent if message["type"] == kind]


def run_connection(
    act: Callable[[Wire, RoomConnection, list[Presence]], Awaitable[None]],
    *,
    answers: bool = True,
    ping_s: float = 20.0,
) -> BaseException:
    """Act while a connection runs; return what ended it."""

    async def run() -> BaseException:
        wire, seen = Wire(answers=answers), list[Presence]()
        connection = RoomConnection(
            wire,  # type: ignore[arg-type]
            ping_s=ping_s,
            answer_s=10.0,
            clock=ServerClock(),
            on_presence=seen.append,
        )
        running = asyncio.create_task(connection.run(JOIN))
        await asyncio.sleep(0)
        await act(wire, connection, seen)
        [ending] = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(ending, BaseException)
        return ending

    work: Coroutine[Any, Any, BaseException] = run()
    return run_virtually(work)


def error(code: str, status: int = 400) -> str:
    return json.dumps({"type": "error", "error": {"code": code, "message": "no", "status": status}})


def test_the_join_comes_first_and_then_the_time_and_pings() -> None:
    """The join is the first message; the time is asked for at 0, 0.2, 0.5, 1 and 3 s; a ping is sent every 20
    s.
    """

    async def act(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        for _step in range(130):
            await asyncio.sleep(0.5)
            wire.push(presence())  # Pings are sent also while messages arrive.
        wire.end()
        assert wire.sent[0] == (0.0, JOIN)
        assert wire.sent_at_s("time") == [0, 0.2, 0.5, 1, 3]
        assert wire.sent_at_s("ping") == [20, 40, 60]

    assert isinstance(run_connection(act), ConnectionClosedOK)


def test_pings_follow_the_interval_of_a_short_lease() -> None:
    """Where the room asks for a ping every half second, none waits for
    the requests for the time to be over.
    """

    async def act(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        await asyncio.sleep(3.2)
        wire.end()
        assert wire.sent_at_s("time") == [0, 0.2, 0.5, 1, 3]
        assert wire.sent_at_s("ping") == [0.5, 1, 1.5, 2, 2.5, 3]

    assert isinstance(run_connection(act, ping_s=0.5), ConnectionClosedOK)


def test_each_connection_asks_for_the_time_again() -> None:
    """After a reconnect the server may be another one, and the clock of a computer that slept may have been
    set.
    """

    async def act(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        await asyncio.sleep(1.1)
        wire.end()
        assert wire.sent_at_s("time") == [0, 0.2, 0.5, 1]

    for _ in range(2):
        run_connection(act)


def test_a_server_that_sends_nothing_is_lost() -> None:
    """Any message answers: the connection is lost ten seconds after the last one, while a request is
    unanswered.
    """

    async def act(wire: Wire, connection: RoomConnection, _: list[Presence]) -> None:
        await asyncio.sleep(9.9)
        wire.push(presence())
        await asyncio.sleep(9.9)
        assert connection.received_at_s == pytest.approx(9.9)

    ending = run_connection(act, answers=False)
    assert isinstance(ending, ConnectionLostError)
    assert ending.reason == "the server does not answer"


def test_a_server_that_answers_no_ping_is_lost() -> None:
    """Ten seconds after an unanswered ping the connection is lost."""

    async def act(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        await asyncio.sleep(19)
        wire.answers = False
        await asyncio.sleep(10.9)
        assert wire.sent_at_s("ping") == [20]

    assert isinstance(run_connection(act), ConnectionLostError)


def test_presences_are_passed_on_and_malformed_messages_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each presence is passed on as it comes; a malformed message is ignored with a warning, and the
    connection goes on.
    """

    async def act(wire: Wire, _: RoomConnection, seen: list[Presence]) -> None:
        for text in ("{", presence(count=3), '{"type":"later"}', presence(count=4, high=4)):
            wire.push(text)
        wire.end()
        await asyncio.sleep(1)
        assert [one.count for one in seen] == [3, 4]

    with caplog.at_level(logging.WARNING):
        run_connection(act)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "a message of the server was ignored"
    ]


def test_a_final_error_of_a_join_ends_the_connection_and_a_temporary_one_does_not() -> None:
    """An error before the first presence that the next join would get as well is final; a temporary one is
    not.
    """

    async def refuse(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        wire.push(error("bad_visitor"))

    async def overload(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        wire.push(error("full", 503))
        wire.end()

    refused = run_connection(refuse)
    assert isinstance(refused, RefusedError)
    assert refused.code == "bad_visitor"
    assert isinstance(run_connection(overload), ConnectionClosedOK)


def test_a_mood_is_taken_when_the_request_for_the_time_behind_it_is_answered() -> None:
    """A change of mood returns with the answer to the request for the time that was sent behind it, and
    raises the error if there was one.
    """

    async def act(wire: Wire, connection: RoomConnection, _: list[Presence]) -> None:
        wire.push(presence())
        wire.answers = False
        taken = asyncio.create_task(connection.send_mood("calm"))
        await asyncio.sleep(0)
        mood, question = wire.sent[-2:]
        assert mood[1] == {"type": "mood", "mood": "calm"}
        assert not taken.done()
        wire.push(json.dumps({"type": "time", "sent_ms": question[1]["sent_ms"], "now_ms": 7}))
        await taken
        wrong = asyncio.create_task(connection.send_mood("grey"))
        await asyncio.sleep(0)
        wire.push(error("unknown_mood"))
        with pytest.raises(ClientError, match="no"):
            await wrong
        wire.end()

    run_connection(act)


def test_the_end_of_a_connection_releases_a_change_that_waits() -> None:
    """When the connection ends, a change of mood that was not answered
    returns: the next join has the mood.
    """

    async def act(wire: Wire, connection: RoomConnection, _: list[Presence]) -> None:
        wire.answers = False
        waiting = asyncio.create_task(connection.send_mood("calm"))
        await asyncio.sleep(0)
        wire.end()
        await waiting

    run_connection(act)


def test_requests_of_one_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests for the time in one millisecond carry different
    times, so that each answer finds its own.
    """
    monkeypatch.setattr("breathing_room.client.room_connection.time.time", lambda: 1_767_225_600.0)

    async def act(wire: Wire, connection: RoomConnection, _: list[Presence]) -> None:
        wire.push(presence())
        wire.answers = False
        both = [asyncio.create_task(connection.send_mood(mood)) for mood in ("calm", "glad")]
        await asyncio.sleep(0)
        times = [message["sent_ms"] for _, message in wire.sent if message["type"] == "time"][-2:]
        assert times[0] != times[1]
        wire.push(json.dumps({"type": "time", "sent_ms": times[-1], "now_ms": 7}))
        await both[1]
        assert not both[0].done()
        wire.end()
        await both[0]

    run_connection(act)
