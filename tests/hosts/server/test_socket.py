"""A WebSocket as an asyncio protocol, over a transport in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from breathing_room.core.wire import GOING_AWAY, LEASE_ENDED, NORMAL_CLOSURE, PROTOCOL_ERROR, TOO_BIG
from breathing_room.hosts.common.rooms.connection import ENDED
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL
from breathing_room.hosts.server.app import App, ServerRoom
from breathing_room.hosts.server.frames import CLOSE, FIN, PING, PONG, TEXT, close_frame, frame
from breathing_room.hosts.server.socket import Socket
from inside import host_inside

JOIN = b'{"type":"join","visitor":"visitor-0123456789"}'


class FakeTransport:
    """A connection that notes what is written."""

    socket: Socket

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.state = "open"
        self.can_half_close = True
        self.high: int | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if data[0] == FIN | CLOSE:  # The other end is gone, after this turn.
            asyncio.get_running_loop().call_soon(self.socket.connection_lost, None)

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        self.high = high

    def can_write_eof(self) -> bool:
        return self.can_half_close

    def write_eof(self) -> None:
        self.state = "half-closed"

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"

    def messages(self) -> list[dict[str, Any]]:
        """Read the text messages that were written."""
        return [json.loads(data[data.index(b"{") :]) for data in self.written if data[0] & 0x0F == TEXT]


@pytest.fixture
async def host() -> AsyncIterator[App]:
    async with host_inside() as running:
        yield running


@pytest.fixture
def room(host: App) -> ServerRoom:
    return host.enter("lobby", address="127.0.0.1", forwarded_for=None)


def opened(room: ServerRoom) -> tuple[Socket, FakeTransport]:
    transport = FakeTransport()
    transport.socket = Socket(transport, room, PROTOCOL)  # type: ignore[arg-type]
    return transport.socket, transport


def joined(room: ServerRoom) -> tuple[Socket, FakeTransport]:
    socket, transport = opened(room)
    socket.data_received(sent(TEXT, JOIN))
    room.flush()  # The turn is over.
    return socket, transport


def sent(opcode: int, payload: bytes = b"") -> bytes:
    return Frame(Opcode(opcode), payload).serialize(mask=True)


def count(room: ServerRoom) -> tuple[int | None, int]:
    presence = room.presence()
    return presence.count, presence.low


async def test_a_frame_becomes_a_person(room: ServerRoom) -> None:
    """A join in a frame is counted; the transport is set to call back as soon as the kernel takes no more."""
    _, transport = joined(room)
    assert count(room) == (1, 1)
    assert transport.high == 0
    await asyncio.sleep(0)
    assert transport.messages()[0]["type"] == "presence"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (sent(CLOSE, NORMAL_CLOSURE.to_bytes(2)), NORMAL_CLOSURE),
        (sent(TEXT, b"x" * 5_000), TOO_BIG),
        (bytes([FIN | TEXT, 0]), PROTOCOL_ERROR),
    ],
    ids=["close", "too much", "bad frame"],  # Masks are drawn: names of tests must not have them.
)
async def test_what_a_socket_is_owed_comes_before_its_close(room: ServerRoom, more: bytes, code: int) -> None:
    """A client that joins and is closed in the same piece of data, whichever end closes, is sent who is here
    before the close.
    """
    _, transport = opened(room)
    transport.socket.data_received(sent(TEXT, JOIN) + more)
    assert [message["type"] for message in transport.messages()] == ["presence"]
    assert transport.written[1:] == [close_frame(code)]


async def test_a_ping_is_answered_with_its_own_bytes(room: ServerRoom) -> None:
    """A control ping gets its payload back in a pong, and ours has none."""
    socket, transport = opened(room)
    socket.data_received(sent(PING, b"abc"))
    socket.ping()
    assert transport.written == [frame(PONG, b"abc"), frame(PING, b"")]


async def test_a_slow_reader_gets_the_latest_only(host: App, room: ServerRoom) -> None:
    """While the kernel takes no more nothing is written; afterwards the latest presence is sent once, if one
    was missed.
    """
    socket, transport = joined(room)
    transport.written.clear()
    socket.pause_writing()
    assert socket in set(host.slow)
    for _ in range(3):
        socket.push(room.latest())
    socket.send(b"{}")
    socket.ping()
    socket.data_received(sent(PING, b"x"))
    assert transport.written == []
    socket.resume_writing()
    assert (len(transport.written), len(host.slow)) == (1, 0)
    socket.pause_writing()
    socket.resume_writing()
    assert len(transport.written) == 1


@pytest.mark.parametrize(
    ("payload", "left"),
    [
        (b"", True),
        ((NORMAL_CLOSURE).to_bytes(2), True),
        ((GOING_AWAY).to_bytes(2), True),
        ((4_000).to_bytes(2), False),
    ],
)
async def test_how_a_client_closes_decides_whether_it_left(
    payload: bytes,
    left: bool,  # noqa: FBT001
    room: ServerRoom,
) -> None:
    """A close with 1000, 1001 or no code is a leave; with any other code the visitor may come back; each is
    answered in kind.
    """
    socket, transport = joined(room)
    transport.written.clear()
    socket.data_received(sent(CLOSE, payload))
    assert count(room) == ((0, 0) if left else (1, 0))
    assert (transport.written, transport.state) == ([frame(CLOSE, payload)], "closed")


async def test_a_close_of_ours_waits_for_the_answer(host: App, room: ServerRoom) -> None:
    """After our close nothing is written or read but the answer, on which the connection ends; a second close
    does nothing.
    """
    socket, transport = joined(room)
    transport.written.clear()
    socket.close(LEASE_ENDED)
    socket.close(NORMAL_CLOSURE)
    socket.send(b"{}")
    socket.push(room.latest())
    socket.data_received(sent(TEXT, JOIN) + sent(PING))
    assert transport.written == [close_frame(LEASE_ENDED)]
    assert (len(host.closing), host.counters.closes[LEASE_ENDED], transport.state) == (1, 1, "open")
    socket.data_received(sent(CLOSE, LEASE_ENDED.to_bytes(2)))
    assert (len(transport.written), transport.state) == (1, "closed")
    socket.connection_lost(None)
    assert len(host.closing) == 0


async def test_a_broken_frame_is_answered_with_a_close_before_the_end(room: ServerRoom) -> None:
    """After a violation the close frame is written and our half is closed, so that it is not lost with unread
    input.
    """
    for can_half_close, state in ((True, "half-closed"), (False, "closed")):
        socket, transport = opened(room)
        transport.can_half_close = can_half_close
        socket.data_received(frame(TEXT, b"unmasked"))
        assert (transport.written, transport.state) == ([close_frame(PROTOCOL_ERROR)], state)


async def test_a_lost_connection_keeps_its_person_for_a_while(host: App, room: ServerRoom) -> None:
    """A connection that is lost without a close makes its visitor doubtful, not gone, and is forgotten by the
    host.
    """
    socket, _ = joined(room)
    socket.pause_writing()
    socket.connection_lost(ConnectionResetError())
    assert count(room) == (1, 0)
    assert (socket.role, len(host.slow), socket in room.subscribers) == (ENDED, 0, False)
