"""A WebSocket client with as little overhead as the protocol allows, for load generation.

A load tool must cost less than what it loads. Ten thousand sockets of a general library are ten thousand
tasks, queues and timers; here each is one object on a transport that frames are read from. It accepts what a
Breathing Room server sends and ends the connection on everything else: fragments, for one.
"""

import asyncio
from typing import Final, Self, cast

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.utils import accept_key, generate_key

from breathing_room.client.errors import (
    ABNORMAL,
    ConnectionLostError,
    RefusedError,
    error_from_close,
    error_from_response,
)
from breathing_room.core.wire import NORMAL_CLOSURE

# What stands for the length of a longer message. Above it are 64-bit lengths, and masks, which a server must
# not use.
LENGTH_IN_2_BYTES: Final = 126
ANSWER_BYTES_MAX: Final = 65_536

# A whole message in one frame, without extensions (RFC 6455, section 5.2).
TEXT, CLOSE, PING, PONG = (0x80 | opcode for opcode in (Opcode.TEXT, Opcode.CLOSE, Opcode.PING, Opcode.PONG))


class SlimSocket(asyncio.Protocol):
    """The client's end of a WebSocket. Subclasses override `opened`, `received` and `lost`."""

    __slots__ = ("_buffer", "_close_sent", "_error", "_key", "_open", "_reason", "_request", "_transport")

    def __init__(self, request: str) -> None:
        """Prepare for connections, one at a time.

        Args:
            request: The handshake as `handshake` made it.
        """
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._reason = ""
        self._error: ConnectionLostError | RefusedError | None = None

    def opened(self) -> None:
        """Handle a completed handshake."""

    def received(self, message: bytes, frame_bytes: int) -> None:
        """Handle a text message; its size is that on the wire."""

    def lost(self, reason: str, error: ConnectionLostError | RefusedError | None) -> None:
        """Handle the end of the connection.

        Args:
            reason: A close code, ``HTTP`` and a status, or what the server did wrong.
            error: The error, which says whether to reconnect; None after a normal closure.
        """

    def send(self, message: bytes) -> None:
        """Send a text message, unless there is no connection."""
        self._write(Opcode.TEXT, message)

    def close_normally(self) -> None:
        """Close with code 1000: the visitor leaves."""
        self._close_sent = True
        self._write(Opcode.CLOSE, Close(NORMAL_CLOSURE, "").serialize())

    def as_protocol(self) -> Self:
        """Return itself, as the protocol of the next connection, for ``create_connection``."""
        return self

    @property
    def connected(self) -> bool:
        """Whether there is a connection, its handshake included."""
        return self._transport is not None

    def abort(self) -> None:
        """End the connection without a close frame."""
        self._open = False
        if self._transport is not None:
            self._transport.abort()

    def give_up(self, reason: str) -> None:
        """End the connection because the server did something wrong; worth another try."""
        self._end(reason, ConnectionLostError(reason))

    def refuse(self, reason: str) -> None:
        """End the connection because the server refused the join."""
        self._end(reason, RefusedError(reason, "the join was not understood"))

    def _end(self, reason: str, error: ConnectionLostError | RefusedError) -> None:
        self._reason, self._error = reason, error
        self.abort()

    def _write(self, opcode: Opcode, payload: bytes) -> None:
        if self._transport is not None:
            self._transport.write(Frame(opcode, payload).serialize(mask=True))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self._open = False
        self._close_sent = False
        self._reason, self._error = str(ABNORMAL), error_from_close(ABNORMAL, "")
        self._key = generate_key()
        self._transport.write(f"{self._request}Sec-WebSocket-Key: {self._key}\r\n\r\n".encode("latin-1"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Report why the connection ended."""
        del exc
        self._transport = None
        self.lost(self._reason, self._error)

    def data_received(self, data: bytes) -> None:
        """Read the answer to the handshake, then frames."""
        if self._buffer:
            data = self._buffer + data
        at = 0 if self._open else self._read_handshake(data)
        while self._open and len(data) - at >= 2:
            length, head = data[at + 1], 2
            if length == LENGTH_IN_2_BYTES:
                length, head = int.from_bytes(data[at + 2 : at + 4]), 4
            elif length > LENGTH_IN_2_BYTES:
                self.give_up("a message of invalid size")
                return
            end = at + head + length
            if len(data) < end or len(data) < at + head:
                break
            self._frame(data[at], data[at + head : end], end - at)
            at = end
        self._buffer = data[at:]

    def _read_handshake(self, data: bytes) -> int:
        """Read the answer to the handshake as far as it has arrived; return the number of bytes read."""
        head, end, body = data.partition(b"\r\n\r\n")
        if len(data) > ANSWER_BYTES_MAX:
            self.give_up("an answer without an end")
        if not end:
            return 0
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = first[9:12]
        if status == "101" and headers.get("sec-websocket-accept") == accept_key(self._key):
            self._open = True
            self.opened()
        elif status == "101" or not status.isdecimal():
            self.give_up("not a WebSocket")
        elif f"{len(body)}" == headers.get("content-length", "0"):
            self._end(f"HTTP {status}", error_from_response(int(status), body, headers.get("retry-after")))
        else:
            return 0
        return len(head) + len(end)

    def _frame(self, kind: int, payload: bytes, frame_bytes: int) -> None:
        if kind == TEXT:
            self.received(payload, frame_bytes)
        elif kind == PING:
            self._write(Opcode.PONG, payload)
        elif kind == CLOSE:
            try:
                close = Close.parse(payload)
            except (ProtocolError, UnicodeDecodeError):
                self.give_up("a broken close frame")
                return
            self._reason, self._error = f"{close.code:d}", error_from_close(close.code, close.reason)
            if not self._close_sent:
                self._write(Opcode.CLOSE, payload)
            if self._transport is not None:
                self._transport.close()
        elif kind != PONG:
            self.give_up("an unexpected frame")


def handshake(host: str, path: str) -> str:
    """Build the request of the handshake, without its key.

    Args:
        host: The host as the URL has it, with its port if that is not the usual one.
        path: The path of the WebSocket.
    """
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
