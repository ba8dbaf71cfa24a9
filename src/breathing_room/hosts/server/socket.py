"""A WebSocket as a slim asyncio protocol, for very many idle connections.

It holds a transport, a reader and a few small numbers: some 200 bytes above the memory of the event loop
itself, where general-purpose WebSocket classes need 10 to 28 KB. ``docs/topics/sockets.md`` has the figures
and the alternatives.

There is no send queue. The transport calls back as soon as the kernel's send buffer is full; until it has
room again, presences are skipped, and the latest is sent afterwards.
"""

import asyncio

from breathing_room.core.wire import GOING_AWAY, NORMAL_CLOSURE
from breathing_room.hosts.common.rooms.connection import ENDED, Connection
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence, MessageCodec
from breathing_room.hosts.server.app import ServerRoom
from breathing_room.hosts.server.frames import (
    CLOSE,
    NO_STATUS,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    close_frame,
    frame,
    read_close,
    text_frame,
)

GRACEFUL_CODES = frozenset({NORMAL_CLOSURE, GOING_AWAY, NO_STATUS})
_PING = frame(PING, b"")


class Socket(Connection, asyncio.Protocol):
    """One WebSocket after its handshake."""

    __slots__ = ("_blocked", "_closing", "_missed", "_reader", "_transport")

    def __init__(self, transport: asyncio.Transport, room: ServerRoom, codec: MessageCodec) -> None:
        self._transport = transport
        self._reader = FrameReader()
        self._blocked = False
        self._missed = False
        self._closing = False
        transport.set_write_buffer_limits(high=0)
        super().__init__(room, codec)

    # --- Connection ----------------------------------------------------------------------------------------

    def push(self, encoded: EncodedPresence) -> None:
        """Write the frame, or note that a presence was skipped."""
        if self._blocked:
            self._missed = True
        elif not self._closing:
            self._transport.write(encoded.form(self.codec, text_frame))

    def send(self, text: bytes) -> None:
        """Write a message; to a slow reader it is dropped."""
        if not (self._blocked or self._closing):
            self._transport.write(text_frame(text))

    def ping(self) -> None:
        """Write a control ping."""
        if not (self._blocked or self._closing):
            self._transport.write(_PING)

    def close(self, code: int, reason: bytes = b"") -> None:
        """Begin the closing handshake; a client that does not answer in time is dropped."""
        if self._closing:
            return
        self.room.deliver(self)
        self._closing = True
        self.room.platform.deadlines.count_close(code)
        self._transport.write(close_frame(code, reason))
        self.room.platform.deadlines.closing.start(self, self.room.host.clock.now_ms())
        self.ended(graceful=False)

    def abort(self) -> None:
        """Drop the connection."""
        self._closing = True
        self._transport.abort()

    # --- asyncio.Protocol ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Handle frames; after a close was sent, only the client's close counts."""
        try:
            for opcode, payload in self._reader.feed(data, self.room.host.config.message_bytes_max):
                if opcode == CLOSE:
                    self._peer_closes(read_close(payload))
                    return
                if self._closing:
                    continue
                if opcode == TEXT:
                    self.receive(payload)
                elif opcode == PING and not self._blocked:
                    self._transport.write(frame(PONG, payload))
        except FrameError as error:
            self._fail(error.code)
            return
        if self.role != ENDED:
            self.renew()

    def _fail(self, code: int) -> None:
        """Fail the connection (section 7.1.7): send the close code and end without waiting for an answer."""
        self.close(code)
        if self._transport.can_write_eof():
            # A full close with unread input would send a reset, and lose the close frame.
            self._transport.write_eof()
        else:
            self._transport.close()

    def _peer_closes(self, code: int) -> None:
        self.ended(graceful=code in GRACEFUL_CODES)
        if not self._closing:
            self._closing = True
            self._transport.write(frame(CLOSE, b"") if code == NO_STATUS else close_frame(code))
        self._transport.close()

    def pause_writing(self) -> None:
        """Start the timeout of a slow reader: the kernel's send buffer is full."""
        self._blocked = True
        if not self._closing:
            self.room.platform.deadlines.slow.start(self, self.room.host.clock.now_ms())

    def resume_writing(self) -> None:
        """Stop the timeout, and send the latest presence if one was skipped."""
        self._blocked = False
        self.room.platform.deadlines.slow.stop(self)
        if self._missed:
            self._missed = False
            if self.role != ENDED:
                self.push(self.room.latest())

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection; without a leave or a close before, it is a disconnect."""
        del exc
        self._closing = True
        self.room.platform.deadlines.release(self)
        self.ended(graceful=False)
