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
from breathing_room.client.timing import Timing
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from scripted_server import presence
from virtual_loop import run_virtually

HELLO = {"type": "join", "visitor": "v"}
TIMING = Timing(beat_s=20.0, answer_s=10.0)


class Wire:
    """A socket whose other end is the test."""

    def __init__(self, *, answers: bool = True) -> None:
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.answers = answers
        self._inbox: asyncio.Queue[str | BaseException] = asyncio.Queue()

    async def send(self, text: str) -> None:
        message = json.loads(text)
        self.sent.append((asyncio.get_running_loop().time(), message))
        if message["type"] == "beat" and self.answers:
            self.say(json.dumps({"type": "beat", "sent_ms": message["sent_ms"], "now_ms": 7}))

    async def recv(self) -> str:
        message = await self._inbox.get()
        if isinstance(message, BaseException):
            raise message
        return message

    def say(self, message: str | BaseException) -> None:
        self._inbox.put_nowait(message)

    def end(self) -> None:
        self.say(ConnectionClosedOK(None, None))

    def heartbeats(self) -> list[float]:
        return [at_s for at_s, message in self.sent if message["type"] == "beat"]


def converse(
    act: Callable[[Wire, RoomConnection, list[Presence]], Awaitable[None]], *, answers: bool = True
) -> BaseException:
    """Act while a conversation runs; return what ended it."""

    async def run() -> BaseException:
        wire, seen = Wire(answers=answers), list[Presence]()
        conversation = RoomConnection(wire, timing=TIMING, clock=ServerClock(), hear=seen.append)  # type: ignore[arg-type]
        running = asyncio.create_task(conversation.run(HELLO))
        await asyncio.sleep(0)
        await act(wire, conversation, seen)
        [ending] = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(ending, BaseException)
        return ending

    work: Coroutine[Any, Any, BaseException] = run()
    return run_virtually(work)


def error(code: str, status: int = 400) -> str:
    return json.dumps({"type": "error", "error": {"code": code, "message": "no", "status": status}})


def test_the_hello_comes_first_and_then_heartbeats() -> None:
    """The hello is the first message; four heartbeats a second apart settle the clock, and from then on one comes every 20 s."""

    async def act(wire: Wire, _: RoomConnection, __: list[Presence]) -> None:
        await asyncio.sleep(50)
        wire.end()
        assert wire.sent[0] == (0.0, HELLO)
        assert [round(at_s, 3) for at_s in wire.heartbeats()] == [0, 1, 2, 3, 23, 43]

    assert isinstance(converse(act), ConnectionClosedOK)


def test_a_server_that_answers_no_heartbeat_is_lost() -> None:
    """Ten seconds after the first unanswered heartbeat the connection is lost, however many others were sent."""

    async def act(wire: Wire, conversation: RoomConnection, _: list[Presence]) -> None:
        await asyncio.sleep(9.9)
        wire.say(presence())  # a message is no answer
        await asyncio.sleep(0)
        assert conversation.heard_at_s == pytest.approx(9.9)

    ending = converse(act, answers=False)
    assert isinstance(ending, ConnectionLostError)
    assert "silent" in ending.trouble


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


def test_a_refused_hello_ends_it_and_a_hurried_one_does_not() -> None:
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


def test_a_mood_is_taken_when_the_heartbeat_behind_it_is_answered() -> None:
    """A change of mood returns with the answer to the heartbeat that was sent behind it, and raises the error if there was one."""

    async def act(wire: Wire, conversation: RoomConnection, _: list[Presence]) -> None:
        wire.say(presence())
        wire.answers = False
        taken = asyncio.create_task(conversation.tell("calm"))
        await asyncio.sleep(0)
        mood, question = wire.sent[-2:]
        assert mood[1] == {"type": "mood", "mood": "calm"}
        assert not taken.done()
        wire.say(json.dumps({"type": "beat", "sent_ms": question[1]["sent_ms"], "now_ms": 7}))
        await taken
        wrong = asyncio.create_task(conversation.tell("grey"))
        await asyncio.sleep(0)
        wire.say(error("unknown_mood"))
        with pytest.raises(ClientError, match="no"):
            await wrong
        wire.end()

    converse(act)


def test_an_end_releases_whatever_waits() -> None:
    """When the connection ends, a change of mood that was not answered returns: the next hello says it again."""

    async def act(wire: Wire, conversation: RoomConnection, _: list[Presence]) -> None:
        wire.answers = False
        waiting = asyncio.create_task(conversation.tell("calm"))
        await asyncio.sleep(0)
        wire.end()
        await waiting

    converse(act)


def test_heartbeats_of_one_moment_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heartbeats that are sent in one millisecond carry different times, so that each answer finds its own."""
    monkeypatch.setattr("breathing_room.client.room_connection.time.time", lambda: 1_767_225_600.0)

    async def act(wire: Wire, conversation: RoomConnection, _: list[Presence]) -> None:
        wire.say(presence())
        wire.answers = False
        both = [asyncio.create_task(conversation.tell(mood)) for mood in ("calm", "glad")]
        await asyncio.sleep(0)
        times = [message["sent_ms"] for _, message in wire.sent if message["type"] == "beat"]
        assert len(set(times)) == len(times) >= 2
        wire.say(json.dumps({"type": "beat", "sent_ms": times[-1], "now_ms": 7}))
        await both[1]
        assert not both[0].done()
        wire.end()
        await both[0]

    converse(act)
