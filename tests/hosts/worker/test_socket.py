"""A WebSocket that the network holds while the room hibernates."""

import json
from typing import Any

import pytest

from breathing_room.core.wire import GOING_AWAY, NORMAL_CLOSURE, NOT_TEXT, NOT_UTF8, TOO_BIG
from breathing_room.hosts.common.rooms.connection import ENDED, MEMBER, OBSERVER
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, EncodedPresence
from breathing_room.hosts.common.rooms.room_host import RoomHost
from breathing_room.hosts.worker.room_platform import WorkerPlatform
from breathing_room.hosts.worker.socket import EdgeSocket
from hosts.worker.objects import BROKEN, Wire
from room_adapter import Objects

TIMES = {"push_ms": 1_000, "lease_ms": 60_000, "grace_ms": 15_000}


@pytest.fixture
async def room() -> RoomHost[WorkerPlatform]:
    return await Objects(sockets_per_object=50, **TIMES).awake(0)


def opened(room: RoomHost[WorkerPlatform]) -> tuple[EdgeSocket, Wire]:
    wire = Wire(0)
    socket = EdgeSocket(wire, room, PROTOCOL)
    room.platform.accept(socket)
    return socket, wire


def joined(room: RoomHost[WorkerPlatform], visitor: str = "visitor-0123456789") -> tuple[EdgeSocket, Wire]:
    socket, wire = opened(room)
    socket.message_arrived(json.dumps({"type": "join", "visitor": visitor, "mood": "release"}))
    return socket, wire


@pytest.mark.parametrize("act", ["opened", "joined", "observer", "bad message"])
async def test_a_connection_resumes_after_hibernation_as_it_was(
    act: str, room: RoomHost[WorkerPlatform]
) -> None:
    """The attachment holds the whole state of a connection: role, visitor, mood, age and number of bad
    messages.
    """
    socket, wire = opened(room) if act != "joined" else joined(room)
    if act == "observer":
        socket.message_arrived('{"type":"observe"}')
    if act == "bad message":
        socket.message_arrived("{")
    again = EdgeSocket.resume(wire, wire.attached, room)
    for name in (
        "role",
        "key",
        "visitor",
        "mood",
        "opened_at_ms",
        "standby_at",
        "_bad_messages",
        "codec",
        "_attachment",
    ):
        assert getattr(again, name) == getattr(socket, name), name
    assert len(wire.attached) < 16_384


async def test_a_standby_connection_remembers_where_its_visitor_is_counted(
    room: RoomHost[WorkerPlatform],
) -> None:
    """The object on which a visitor is counted is attached too."""
    socket, wire = joined(room)
    socket.standby_at = ("shard-2", 7)
    socket.save_attachment()
    assert EdgeSocket.resume(wire, wire.attached, room).standby_at == ("shard-2", 7)


async def test_an_unchanged_attachment_is_not_written_again(room: RoomHost[WorkerPlatform]) -> None:
    """The attachment is written only when the state changed, and never after the end."""
    socket, wire = joined(room)
    wire.attached = ""
    socket.save_attachment()
    assert wire.attached == ""
    socket.mood += 1
    socket.save_attachment()
    assert wire.attached
    socket.peer_closed(NORMAL_CLOSURE)
    wire.attached = ""
    socket.mood += 1
    socket.save_attachment()
    assert wire.attached == ""


@pytest.mark.parametrize(
    "attached",
    [
        "",
        "{",
        "[]",
        "[9,0,0,null,0,0]",
        "[2,0,0,null,0,0]",
        '[1,0,0,"00",0,0]',
        '[2,0,0,"00",0,0]',
        '[2,0,0,"zz",0,0]',
    ],
)
async def test_a_damaged_attachment_is_an_error(attached: str, room: RoomHost[WorkerPlatform]) -> None:
    """An attachment that is damaged, has no such role, or is of a member without a visitor, is an error."""
    with pytest.raises(ValueError):  # noqa: PT011 - of JSON, of unpacking, or ours
        EdgeSocket.resume(Wire(0), attached, room)


@pytest.mark.parametrize(
    ("message", "code"), [(b"binary", NOT_TEXT), ("bad \ufffd", NOT_UTF8), ("x" * 100_000, TOO_BIG)]
)
async def test_a_message_that_cannot_be_text_closes(
    message: Any, code: int, room: RoomHost[WorkerPlatform]
) -> None:
    """Binary messages, replaced bytes and messages that are too long close with their code; later ones are
    not decoded.
    """
    socket, wire = opened(room)
    socket.message_arrived(message)
    socket.message_arrived('{"type":"observe"}')
    assert (wire.closed, socket.role, room.host.counters.closes[code]) == (code, ENDED, 1)


@pytest.mark.parametrize(
    ("code", "answer", "left"),
    [
        (NORMAL_CLOSURE, NORMAL_CLOSURE, True),
        (GOING_AWAY, GOING_AWAY, True),
        (1005, NORMAL_CLOSURE, True),
        (BROKEN, NORMAL_CLOSURE, False),
        (4_000, NORMAL_CLOSURE, False),
    ],
)
async def test_how_a_client_closes_decides_whether_it_left(
    code: int,
    answer: int,
    left: bool,  # noqa: FBT001
    room: RoomHost[WorkerPlatform],
) -> None:
    """1000, 1001 and no code are a leave, any other is a loss; each is
    answered by a code that may be sent.
    """
    socket, wire = joined(room)
    socket.peer_closed(code)
    presence = room.presence()
    assert (presence.count, presence.low) == ((0, 0) if left else (1, 0))
    assert wire.closed == answer


@pytest.mark.parametrize(
    "ping", ['{"type": "ping"}', '{"type":"ping"} ', ' {"type":"ping"}', '{"type":"ping","sent_ms":1}']
)
async def test_a_ping_that_the_runtime_does_not_answer_is_answered_here(
    ping: str, room: RoomHost[WorkerPlatform]
) -> None:
    """The runtime answers the one text of a ping; one that is spelled otherwise is decoded, and answered by
    the object.
    """
    socket, wire = joined(room)
    before, attachment = room.host.counters.messages_in, wire.attached
    socket.message_arrived(ping)
    assert wire.received[-1] == {"type": "pong"}
    assert room.host.counters.messages_in == before + 1
    assert (wire.closed, wire.attached) == (None, attachment)


async def test_a_close_is_sent_once(room: RoomHost[WorkerPlatform]) -> None:
    """After a close nothing is sent or closed again, whichever side began."""
    socket, wire = joined(room)
    socket.close(TOO_BIG)
    received = len(wire.received)
    socket.abort()
    socket.send(b"{}")
    socket.push(EncodedPresence(room.presence()))
    socket.peer_closed(TOO_BIG)
    assert (wire.closed, len(wire.received)) == (TOO_BIG, received)


async def test_a_connection_that_is_gone_is_no_error(room: RoomHost[WorkerPlatform]) -> None:
    """An error that the runtime throws for a connection that is gone
    ends the connection, and not the room.
    """

    class Gone(Wire):
        def send(self, text: str) -> None:
            raise RuntimeError(text)

        def close(self, code: int, reason: str) -> None:
            raise RuntimeError(reason, code)

    socket = EdgeSocket(Gone(0), room, PROTOCOL)
    socket.message_arrived('{"type":"observe"}')
    assert socket.role == OBSERVER
    socket.close(TOO_BIG)
    assert socket.role == ENDED
    assert joined(room)[0].role == MEMBER
