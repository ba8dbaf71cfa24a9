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
            self.say('{"type":"pong"}')
        if message["type"] == "time" and self.answers:
            self.say(json.dumps({"type": "time", "sent_ms": message["sent_ms"], "now_ms": 7}))

    async def recv(self) -> str:
        message = await self._inbox.get()
        if isinstance(message, BaseException):
            raise message
        return message

    def say(self, message: str | BaseException) -> None:
        self._inbox.put_nowait(message)

    def end(self) -> None:
        self.say(ConnectionClosedOK(None, None))

    def sent_at_s(self, kind: str) -> list[float]:
        return [round(at_s, 3) for at_s, message in self.sent if message["type"] == kind]


def converse(
    act: Callable[[Wire, RoomConnection, list[Presence]], Awaitable[None]], *, answers: bool = True
) -> BaseException:
    """Act while a conversation runs; return what ended it."""

    async def run() -> BaseException:
        wire, seen = Wire(answers=answers), list[Presence]()
        conversation = RoomConnection(
            wire,  # type: ignore[arg-type]
            ping_s=20.0,
            answer_s=10.0,
            clock=ServerClock(),
            on_presence=seen.append,
        )
        running = asyncio.create_task(conversation.run(JOIN))
        await asyncio.sleep(0)
        await act(wire, conversation, seen)
        [ending] = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(ending, BaseException)
        return ending

    work: Coroutine[Any, Any, BaseException] = run()
    return run_virtually(work)


def error(code: str, status: int = 400) -> str:
    return json.dumps({"type": "error", "error": {"code": code, "message": "no", "status": status}})


def test_the_join_comes_first_and_then_the_time_and_pings() -> None:
    """The join is the first message; four requests for the time, a second apart, settle the clock; then a ping is sent every 20 s."""

    async def act(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        for _step in range(50):
            await asyncio.sleep(1)
            wire.say(presence())  # Pings are sent also while messages arrive.
        wire.end()
        assert wire.sent[0] == (0.0, JOIN)
        assert wire.sent_at_s("time") == [0, 1, 2, 3]
        assert wire.sent_at_s("ping") == [23, 43]

    assert isinstance(converse(act), ConnectionClosedOK)


def test_a_server_that_sends_nothing_is_lost() -> None:
    """Any message answers: the connection is lost ten seconds after the last one, while a request is unanswered."""

    async def act(wire: Wire, conversation: RoomConnection, _: list[Presence]) -> None:
        await asyncio.sleep(9.9)
        wire.say(presence())
        await asyncio.sleep(9.9)
        assert conversation.heard_at_s == pytest.approx(9.9)

    ending = converse(act, answers=False)
    assert isinstance(ending, ConnectionLostError)
    assert "silent" in ending.trouble


def test_a_server_that_answers_no_ping_is_lost() -> None:
    """Ten seconds after an unanswered ping the connection is lost."""

    async def act(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        await asyncio.sleep(22)
        wire.answers = False
        await asyncio.sleep(10.9)
        assert wire.sent_at_s("ping") == [23]

    assert isinstance(converse(act), ConnectionLostError)


def test_presences_are_passed_on_and_nonsense_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each presence is passed on as it comes; what is no message is ignored with a warning, and the connection goes on."""

    async def act(wire: Wire, _: RoomConnection, seen: list[Presence]) -> None:
        for text in ("{", presence(count=3), '{"type":"later"}', presence(count=4, high=4)):
            wire.say(text)
        wire.end()
        await asyncio.sleep(1)
        assert [one.count for one in seen] == [3, 4]

    with caplog.at_level(logging.WARNING):
        converse(act)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "a message of the server was ignored"
    ]


def test_a_refused_join_ends_it_and_a_hurried_one_does_not() -> None:
    """An error before the first presence that would be the same next time is final; one that passes is not."""

    async def refuse(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        wire.say(error("bad_visitor"))

    async def hurry(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        wire.say(error("full", 503))
        wire.end()

    refused = converse(refuse)
    assert isinstance(refused, RefusedError)
    assert refused.code == "bad_visitor"
    assert isinstance(converse(hurry), ConnectionClosedOK)


def test_a_mood_is_taken_when_the_time_asked_behind_it_is_answered() -> None:
    """A change of mood returns with the answer to the request for the time that was sent behind it, and raises the error if there was one."""

    async def act(wire: Wire, conversation: RoomConnection, _: list[Presence]) -> None:
        wire.say(presence())
        wire.answers = False
        taken = asyncio.create_task(conversation.send_mood("calm"))
        await asyncio.sleep(0)
        mood, question = wire.sent[-2:]
        assert mood[1] == {"type": "mood", "mood": "calm"}
        assert not taken.done()
        wire.say(json.dumps({"type": "time", "sent_ms": question[1]["sent_ms"], "now_ms": 7}))
        await taken
        wrong = asyncio.create_task(conversation.send_mood("grey"))
        await asyncio.sleep(0)
        wire.say(error("unknown_mood"))
        with pytest.raises(ClientError, match="no"):
            await wrong
        wire.end()

    converse(act)


def test_an_end_releases_a_change_that_waits() -> None:
    """When the connection ends, a change of mood that was not answered returns: the next join says it again."""

    async def act(wire: Wire, conversation: RoomConnection, _: list[Presence]) -> None:
        wire.answers = False
        waiting = asyncio.create_task(conversation.send_mood("calm"))
        await asyncio.sleep(0)
        wire.end()
        await waiting

    converse(act)


def test_requests_of_one_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests for the time in one millisecond carry different times, so that each answer finds its own."""
    monkeypatch.setattr("breathing_room.client.room_connection.time.time", lambda: 1_767_225_600.0)

    async def act(wire: Wire, conversation: RoomConnection, _: list[Presence]) -> None:
        wire.say(presence())
        wire.answers = False
        both = [asyncio.create_task(conversation.send_mood(mood)) for mood in ("calm", "glad")]
        await asyncio.sleep(0)
        times = [message["sent_ms"] for _, message in wire.sent if message["type"] == "time"]
        assert len(set(times)) == len(times) >= 2
        wire.say(json.dumps({"type": "time", "sent_ms": times[-1], "now_ms": 7}))
        await both[1]
        assert not both[0].done()
        wire.end()
        await both[0]

    converse(act)
