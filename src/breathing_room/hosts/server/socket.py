"""A WebSocket as a slim asyncio protocol, for very many idle ones.

It holds a transport, a reader and a few small numbers: some 200 bytes above what the event loop itself needs, where
general-purpose WebSocket classes need 10 to 28 KB. ``docs/topics/sockets.md`` has the figures and the alternatives.

Nothing is ever queued here. The transport is told to call back as soon as it could not hand everything to the kernel;
from then until it could, presences are skipped, and the latest is sent afterwards.
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

    # --- Connection -----------------------------------------------------------------------------------------

    def push(self, encoded: EncodedPresence) -> None:
        """Write the prebuilt frame, or remember that one was missed."""
        if self._blocked:
            self._missed = True
        elif not self._closing:
            self._transport.write(encoded.form(self.codec, text_frame))

    def send(self, text: bytes) -> None:
        """Write an answer, unless the reader is slow: then it has enough to read."""
        if not (self._blocked or self._closing):
            self._transport.write(text_frame(text))

    def ping(self) -> None:
        """Write a ping."""
        if not (self._blocked or self._closing):
            self._transport.write(_PING)

    def close(self, code: int, reason: bytes = b"") -> None:
        """Begin the closing handshake; whoever does not answer in time is cut off."""
        if self._closing:
            return
        self.room.deliver(self)
        self._closing = True
        self.room.platform.deadlines.count_close(code)
        self._transport.write(close_frame(code, reason))
        self.room.platform.deadlines.closing.start(self, self.room.host.clock.now_ms())
        self.ended(graceful=False)

    def abort(self) -> None:
        """Cut it off."""
        self._closing = True
        self._transport.abort()

    # --- asyncio.Protocol -------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read frames; after a close only the answering close matters."""
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
        """Say what was wrong and hang up, as section 7.1.7 has it: there is no answer to wait for."""
        self.close(code)
        if self._transport.can_write_eof():
            self._transport.write_eof()  # A full close with unread input would be a reset, and eat the close frame.
        else:
            self._transport.close()

    def _peer_closes(self, code: int) -> None:
        self.ended(graceful=code in GRACEFUL_CODES)
        if not self._closing:
            self._closing = True
            self._transport.write(frame(CLOSE, b"") if code == NO_STATUS else close_frame(code))
        self._transport.close()

    def pause_writing(self) -> None:
        """The kernel's buffer is full: a slow reader."""
        self._blocked = True
        if not self._closing:
            self.room.platform.deadlines.slow.start(self, self.room.host.clock.now_ms())

    def resume_writing(self) -> None:
        """Everything was handed over: send the latest, if something newer was skipped."""
        self._blocked = False
        self.room.platform.deadlines.slow.stop(self)
        if self._missed:
            self._missed = False
            if self.role != ENDED:
                self.push(self.room.latest())

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        del exc
        self._closing = True
        self.room.platform.deadlines.release(self)
        self.ended(graceful=False)
