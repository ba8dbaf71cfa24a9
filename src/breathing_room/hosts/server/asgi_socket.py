"""A WebSocket over ASGI, for rooms that are mounted in another application.

It costs the memory of the ASGI server's own WebSocket (10 to 28 KB a connection); ``serve`` uses
``socket.py`` instead. Both are a ``Connection``, and rooms treat them alike.
"""

import asyncio
import contextlib

from starlette.websockets import WebSocket, WebSocketDisconnect

from breathing_room.core.errors import ClientError
from breathing_room.core.events import HeartbeatReceived
from breathing_room.core.wire import GOING_AWAY, NORMAL_CLOSURE, NOT_TEXT, NOT_UTF8, TOO_BIG
from breathing_room.hosts.common.http.handshake import admit_handshake, first_values
from breathing_room.hosts.common.http.middleware import error_response
from breathing_room.hosts.common.rooms.connection import MEMBER, Connection
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence, MessageCodec
from breathing_room.hosts.server.app import App, ServerRoom


class AsgiSocket(Connection):
    """One WebSocket of an ASGI server: one task reads, one writes."""

    __slots__ = ("_answers", "_closing", "_latest", "_pending", "_websocket", "_writing_since_ms")

    # Answers that a client may leave unread; ours wait for each before the next request.
    ANSWERS_MAX = 16

    def __init__(self, websocket: WebSocket, room: ServerRoom, codec: MessageCodec) -> None:
        self._websocket = websocket
        self._latest: EncodedPresence | None = None
        self._answers: list[bytes] = []
        self._closing: tuple[int, bytes] | None = None
        self._pending = asyncio.Event()
        super().__init__(room, codec)

    def push(self, encoded: EncodedPresence) -> None:
        """Replace the presence that the writer sends next."""
        self._latest = encoded
        self._pending.set()

    def send(self, text: bytes) -> None:
        """Queue an answer for the writer; beyond ``ANSWERS_MAX`` it is dropped."""
        if len(self._answers) < self.ANSWERS_MAX:
            self._answers.append(text)
            self._pending.set()

    def ping(self) -> None:
        """Renew the lease: ASGI has no pings, but its server sends them and ends a connection that does not
        answer.
        """
        self.last_received_at_ms = self.room.host.clock.now_ms()
        if self.role == MEMBER:
            self.room.feed(HeartbeatReceived(self))

    def close(self, code: int, reason: bytes = b"") -> None:
        """Close after the queued messages were sent."""
        if self._closing is None:
            self._closing = (code, reason)
            self.room.platform.deadlines.count_close(code)
            self._pending.set()
            self.ended(graceful=False)

    def abort(self) -> None:
        """Close: ASGI cannot drop a connection."""
        self.close(1011)

    async def write(self) -> None:
        """Send queued messages until the socket closes."""
        while True:
            await self._pending.wait()
            self._pending.clear()
            answers, self._answers = self._answers, []
            for answer in answers:
                await self._websocket.send_text(answer.decode())
            if self._latest is not None:
                encoded, self._latest = self._latest, None
                await self._websocket.send_text(encoded.form(self.codec, bytes.decode))
            if self._closing is not None:
                code, reason = self._closing
                await self._websocket.close(code, reason.decode())
                return

    async def read(self) -> None:
        """Receive messages until the client disconnects."""
        bytes_max = self.room.host.config.message_bytes_max
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                # ASGI servers also report 1005 (no status) for a connection that broke, so it does not count
                # as graceful.
                self.ended(graceful=message.get("code") in {NORMAL_CLOSURE, GOING_AWAY})
                return
            text = message.get("text")
            if text is None:
                self.close(NOT_TEXT)
                continue
            try:
                encoded = text.encode()
            except UnicodeEncodeError:
                self.close(NOT_UTF8)
                continue
            if len(encoded) > bytes_max:
                self.close(TOO_BIG)
            elif self._closing is None:
                self.receive(encoded)
                self.renew()

    @classmethod
    async def run(cls, host: App, websocket: WebSocket) -> None:
        """Handle one connection, from handshake to end."""
        try:
            headers = websocket.headers
            admitted = admit_handshake(
                websocket.path_params.get("room"),
                first_values(websocket.url.query),
                origin=headers.get("origin"),
                host=headers.get("host"),
                config=host.config,
                connections=host.connection_count,
                connections_max=host.sockets_max,
            )
            room = host.enter(
                admitted.room,
                address=websocket.client.host if websocket.client else None,
                forwarded_for=headers.get("x-forwarded-for"),
            )
        except ClientError as error:
            host.counters.refuse(error.code)
            await websocket.send_denial_response(error_response(error))
            return
        connection = cls(websocket, room, admitted.codec)
        await websocket.accept()
        admitted.begin(connection)
        writer = asyncio.create_task(connection.write())
        reader = asyncio.create_task(connection.read())
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.ended(graceful=False)
            connection.room.platform.deadlines.release(connection)
            for task in (writer, reader):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await task
