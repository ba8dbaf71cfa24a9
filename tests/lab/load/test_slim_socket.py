"""The socket of a crowd."""

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.utils import accept_key

from breathing_room.client.errors import ConnectionLostError, RefusedError
from breathing_room.lab.load.slim_socket import SlimSocket, handshake

REQUEST = handshake("127.0.0.1:8000", "/v1/rooms/lobby/socket")


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True


class Listener(SlimSocket):
    """A socket that records the calls of its methods."""

    def __init__(self) -> None:
        super().__init__(REQUEST)
        self.calls: list[Any] = []

    def opened(self) -> None:
        self.calls.append("opened")

    def received(self, message: bytes, frame_bytes: int) -> None:
        self.calls.append((message, frame_bytes))

    def lost(self, reason: str, error: ConnectionLostError | RefusedError | None) -> None:
        self.calls.append((reason, type(error)))


def meet() -> tuple[Listener, Wire, bytes]:
    """A socket that has asked for a handshake, and the answer that it waits for."""
    socket, wire = Listener(), Wire()
    socket.connection_made(wire)
    key = re.search(rb"Sec-WebSocket-Key: (\S+)\r\n\r\n$", wire.written)
    assert key is not None
    wire.written = b""
    accept = accept_key(key[1].decode())
    return socket, wire, f"HTTP/1.1 101 Switching\r\nSEC-WebSocket-Accept:{accept}\r\n\r\n".encode()


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin=fin).serialize(mask=False)


def sent(wire: Wire) -> tuple[int, bytes]:
    """The opcode and payload of a short frame that a client sent."""
    head, mask, payload = wire.written[:2], wire.written[2:6], wire.written[6:]
    assert head[1] & 0x80, "a client masks"
    return head[0] & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def test_a_handshake_is_one_that_servers_know() -> None:
    """It asks for version 13 of the protocol at the host and path, with a key of its own each time."""
    keys = set()
    for _ in range(2):
        socket, wire = Listener(), Wire()
        socket.connection_made(wire)
        lines = wire.written.decode().split("\r\n")
        assert lines[:2] == ["GET /v1/rooms/lobby/socket HTTP/1.1", "Host: 127.0.0.1:8000"]
        assert {"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"} <= set(lines)
        keys.add(lines[-3])
    assert len(keys) == 2


@given(st.lists(st.binary(max_size=300), max_size=5), st.data())
def test_messages_are_heard_however_the_bytes_arrive(messages: list[bytes], data: st.DataObject) -> None:
    """Cut into pieces anywhere, handshake and frames say the same."""
    socket, _, answer = meet()
    stream = answer + b"".join(frame(Opcode.TEXT, message) for message in messages)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        socket.data_received(stream[:size])
        stream = stream[size:]
    expected = [(message, len(message) + (2 if len(message) < 126 else 4)) for message in messages]
    assert socket.calls == ["opened", *expected]


def test_a_ping_is_answered() -> None:
    """With a pong of the same payload, also between messages; a pong is nothing."""
    socket, wire, answer = meet()
    socket.data_received(answer + frame(Opcode.PONG, b"") + frame(Opcode.PING, b"there?"))
    assert sent(wire) == (Opcode.PONG, b"there?")


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [(1000, "", type(None)), (1012, '{"retry_ms": 5}', ConnectionLostError), (4501, "", RefusedError)],
)
def test_a_close_is_answered_and_reported(code: int, reason: str, error: type) -> None:
    """The same code goes back, the connection ends, and the code says whether to come back."""
    socket, wire, answer = meet()
    socket.data_received(answer + frame(Opcode.CLOSE, Close(code, reason).serialize()))
    assert sent(wire) == (Opcode.CLOSE, Close(code, reason).serialize())
    assert wire.ended
    socket.connection_lost(None)
    assert socket.calls == ["opened", (str(code), error)]


def test_a_close_frame_is_sent_once() -> None:
    """The server's answer to it is not answered again."""
    socket, wire, answer = meet()
    socket.data_received(answer)
    socket.close_normally()
    close = Close(1000, "").serialize()
    assert sent(wire) == (Opcode.CLOSE, close)
    wire.written = b""
    socket.data_received(frame(Opcode.CLOSE, close))
    assert not wire.written
    assert wire.ended


def test_an_end_without_a_word_is_1006() -> None:
    """During the handshake or after it; it is worth another try, on which the socket begins afresh."""
    socket, _, answer = meet()
    socket.data_received(answer[:20])
    socket.connection_lost(None)
    assert socket.calls == [("1006", ConnectionLostError)]
    assert not socket.connected
    socket.connection_made(Wire())
    socket.data_received(b"HTTP/1.1 404 Not Found\r\n\r\n")
    socket.connection_lost(None)
    assert socket.calls[1:] == [("HTTP 404", RefusedError)]


@pytest.mark.parametrize(
    "nonsense",
    [
        frame(Opcode.TEXT, b"half", fin=False),
        frame(Opcode.CONT, b"half"),
        frame(Opcode.BINARY, b"bytes"),
        frame(Opcode.CLOSE, b"\x03"),
        frame(Opcode.CLOSE, b"\x03\xe8\xff"),
        frame(Opcode.TEXT, b"x" * 70_000),
        b"\x81\x86mask\0\0\0\0\0\0",
    ],
    ids=["begun", "continued", "binary", "close without a code", "close in no UTF-8", "too long", "masked"],
)
def test_what_the_server_never_sends_ends_the_connection(nonsense: bytes) -> None:
    """Nothing behind it is received any more."""
    socket, wire, answer = meet()
    socket.data_received(answer + nonsense + frame(Opcode.TEXT, b"more"))
    assert wire.ended
    socket.connection_lost(None)
    assert socket.calls[0] == "opened"
    assert [type(call[1]) for call in socket.calls[1:]] == [type]
    assert socket.calls[1][1] is ConnectionLostError


@pytest.mark.parametrize(
    ("answer", "reason", "error"),
    [
        (
            b"HTTP/1.1 503 Full\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP 503",
            ConnectionLostError,
        ),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "HTTP 403", RefusedError),
        (
            b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
            "not a WebSocket",
            ConnectionLostError,
        ),
        (b"220 smtp.example.org ready\r\n\r\n", "not a WebSocket", ConnectionLostError),
        (b"x" * 100_000, "an answer without an end", ConnectionLostError),
    ],
)
def test_a_refused_handshake_is_reported(answer: bytes, reason: str, error: type) -> None:
    """With its status, or what was wrong with it."""
    socket, wire, _ = meet()
    socket.data_received(answer)
    assert wire.ended
    socket.connection_lost(None)
    assert socket.calls == [(reason, error)]
