"""A WebSocket of a Durable Object, which stays open while the object hibernates.

The state of the connection is attached to it: role, visitor key, mood. So a room of a thousand connections
needs no row for any of them, and the cost of a join does not grow with their number.
"""

import json
import logging
from typing import TYPE_CHECKING, Any, Final, Self

from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.wire import GOING_AWAY, NORMAL_CLOSURE, NOT_TEXT, NOT_UTF8, TOO_BIG
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.rooms.connection import ENDED, MEMBER, NEW, OBSERVER, Connection
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, EncodedPresence, MessageCodec
from breathing_room.hosts.common.rooms.room_host import RoomHost

if TYPE_CHECKING:
    from breathing_room.core.replication.delta import PeerId

log = logging.getLogger("breathing_room.worker")

NO_STATUS: Final = 1005
GRACEFUL_CODES: Final = frozenset({NORMAL_CLOSURE, GOING_AWAY, NO_STATUS})

CODECS: Final = (PROTOCOL, document_api.DOCUMENT_CODEC)

# What the runtime puts in place of bytes that are no UTF-8. No valid message has one.
REPLACEMENT: Final = "\ufffd"


class EdgeSocket(Connection):
    """A WebSocket of a Durable Object.

    Attributes:
        websocket: The WebSocket of the runtime.
        key: The key of its visitor, once it joined.
        mood: The visitor's mood, as the room numbers them.
        opened_at_ms: When it was opened.
        standby_at: The object on which its visitor is counted, if that is another one: the connection is on
            standby (``core/replication/replica.py``).
    """

    __slots__ = ("_attachment", "_closing", "key", "mood", "opened_at_ms", "standby_at", "websocket")

    def __init__(self, websocket: Any, room: RoomHost[Any], codec: MessageCodec) -> None:
        self.websocket = websocket
        self.key: VisitorKey | None = None
        self.mood = 0
        self.standby_at: PeerId | None = None
        self.opened_at_ms = room.host.clock.now_ms()
        self._attachment = ""
        self._closing = False
        super().__init__(room, codec)

    @classmethod
    def resume(cls, websocket: Any, attachment: str, room: RoomHost[Any]) -> Self:
        """Resume a connection that the network held during hibernation.

        Raises:
            ValueError: Its attachment is damaged, or not ours.
        """
        role, codec, opened_at_ms, key, mood, bad_messages, *standby_at = json.loads(attachment)
        if role not in {NEW, OBSERVER, MEMBER} or (role == MEMBER) != (key is not None):
            raise ValueError("a role without a visitor, or a visitor without a role")
        connection = cls(websocket, room, CODECS[codec])
        connection.role = role
        connection.opened_at_ms = int(opened_at_ms)
        connection.key = connection.visitor = None if key is None else VisitorKey(bytes.fromhex(key))
        if connection.key is not None and len(connection.key) != KEY_BYTES:
            raise ValueError("not a visitor's key")
        connection.mood = int(mood)
        connection._bad_messages = int(bad_messages)
        if standby_at:
            name, epoch = standby_at
            connection.standby_at = (str(name), int(epoch))
        connection._attachment = attachment
        return connection

    def save_attachment(self) -> None:
        """Attach the state to the socket, if it changed."""
        key = None if self.key is None or self.role != MEMBER else self.key.hex()
        codec = CODECS.index(self.codec)
        attachment = json.dumps(
            [
                self.role,
                codec,
                self.opened_at_ms,
                key,
                self.mood,
                self._bad_messages,
                *(self.standby_at or ()),
            ]
        )
        if attachment != self._attachment and self.role != ENDED:
            self._attachment = attachment
            self.websocket.serializeAttachment(attachment)

    # --- Connection ----------------------------------------------------------------------------------------

    def push(self, encoded: EncodedPresence) -> None:
        """Send a presence."""
        self._send(encoded.form(self.codec, bytes.decode))

    def send(self, text: bytes) -> None:
        """Send an answer."""
        self._send(text.decode())

    def _became(self, role: int) -> None:
        super()._became(role)
        self.save_attachment()

    def ping(self) -> None:
        """Do nothing: the runtime cannot send control pings, and it reports every disconnect."""

    def close(self, code: int, reason: bytes = b"") -> None:
        """Begin the closing handshake."""
        if not self._closing:
            self._closing = True
            self.room.host.counters.closes[code] += 1
            self._close_websocket(code, reason.decode())
            self.ended(graceful=False)

    def abort(self) -> None:
        """Close with 1001: the runtime cannot drop a connection."""
        self.close(GOING_AWAY)

    # --- Events of the runtime -----------------------------------------------------------------------------

    def message_arrived(self, message: Any) -> None:
        """Receive a message: a string, or a buffer if it was binary."""
        if self._closing or self.role == ENDED:
            return
        if not isinstance(message, str):
            self.close(NOT_TEXT)
        elif REPLACEMENT in message:
            self.close(NOT_UTF8)
        elif len(encoded := message.encode(errors="replace")) > self.room.host.config.message_bytes_max:
            self.close(TOO_BIG)
        else:
            bad_messages = self._bad_messages
            self.receive(encoded)
            if self._bad_messages != bad_messages:
                self.save_attachment()

    def peer_closed(self, code: int) -> None:
        """End the connection: the client began the closing handshake, answered ours, or is gone."""
        self.ended(graceful=code in GRACEFUL_CODES)
        if not self._closing:
            self._closing = True
            # A handler that does not answer leaves the client waiting; 1005 and 1006 must not be sent.
            self._close_websocket(
                code if code in GRACEFUL_CODES and code != NO_STATUS else NORMAL_CLOSURE, ""
            )

    def _send(self, text: str) -> None:
        if self._closing:
            return
        try:
            self.websocket.send(text)
        except Exception as error:  # noqa: BLE001 - any error of the runtime means that the socket is gone
            log.debug("a socket went away: %s", error)

    def _close_websocket(self, code: int, reason: str) -> None:
        try:
            self.websocket.close(code, reason)
        except Exception as error:  # noqa: BLE001 - as above
            log.debug("a socket was closed already: %s", error)
