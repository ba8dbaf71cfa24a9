"""A connection of one client: it turns messages into events of its room.

Subclasses carry the bytes: ``hosts/server/socket.py`` writes frames to a transport,
``hosts/server/asgi_socket.py`` speaks ASGI, and the socket of ``hosts/worker/socket.py`` is held by
Cloudflare while the room hibernates.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from breathing_room.core.errors import ClientError
from breathing_room.core.events import (
    Disconnected,
    HeartbeatReceived,
    Joined,
    Left,
    MoodChanged,
    ObserverJoined,
)
from breathing_room.core.wire import (
    BAD_MESSAGES,
    NORMAL_CLOSURE,
    PING,
    PONG,
    TOO_MANY_SOCKETS,
    Join,
    Leave,
    Mood,
    Observe,
    Ping,
    TimeRequest,
)
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence, MessageCodec
from breathing_room.hosts.common.rooms.room_host import RoomHost

if TYPE_CHECKING:
    from breathing_room.core.identity import VisitorKey

# The roles of a connection, in the order in which it may take them.
NEW = 0
OBSERVER = 1
MEMBER = 2
ENDED = 3


class Connection(ABC):
    """One connection of one client.

    Attributes:
        room: The room that it is connected to.
        codec: The codec of its messages.
        role: NEW, OBSERVER, MEMBER or ENDED.
        last_received_at_ms: When bytes last arrived, at a resolution of half of ``ping_ms``.
        visitor: The visitor of a MEMBER.
    """

    __slots__ = ("_bad_messages", "codec", "last_received_at_ms", "role", "room", "visitor")

    def __init__(self, room: RoomHost[Any], codec: MessageCodec) -> None:
        self.room = room
        self.codec = codec
        self.role = NEW
        self.visitor: VisitorKey | None = None
        self._bad_messages = 0
        self.last_received_at_ms = room.host.clock.now_ms()
        room.attach(self, now_ms=self.last_received_at_ms)

    # --- What subclasses implement -------------------------------------------------------------------------

    @abstractmethod
    def push(self, encoded: EncodedPresence) -> None:
        """Send a presence; to a slow reader only the latest."""

    @abstractmethod
    def send(self, text: bytes) -> None:
        """Send a message; a slow reader may miss it."""

    @abstractmethod
    def ping(self) -> None:
        """Send a control ping, if the transport has one; the pong renews the lease."""

    @abstractmethod
    def close(self, code: int, reason: bytes = b"") -> None:
        """Begin the closing handshake, with a code of ``wire.py``."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection without a closing handshake."""

    # --- What subclasses call ------------------------------------------------------------------------------

    def renew(self) -> None:
        """Renew the lease, since bytes arrived: a message, a pong, any frame."""
        now_ms = self.room.host.clock.now_ms()
        # Once in half of ``ping_ms``, a sixth of a lease, is enough: a chatty client then costs no more than
        # an idle one.
        if now_ms - self.last_received_at_ms >= self.room.ping_ms // 2:
            self.last_received_at_ms = now_ms
            if self.role == MEMBER:
                self.room.feed(HeartbeatReceived(self))

    def receive(self, text: bytes) -> None:
        """Handle a whole message; an error is sent back."""
        counters = self.room.host.counters
        counters.messages_in += 1
        if text == PING:  # Nearly every message is a ping: it is compared, not decoded.
            self.send(PONG)
            return
        try:
            self._handle(text)
        except ClientError as error:
            self.refuse(error)

    def refuse(self, error: ClientError) -> None:
        """Send the client an error; close after too many bad messages, or if its visitor has too many
        sockets.
        """
        self.room.host.counters.refuse(error.code)
        self._bad_messages += 1
        # A client reads an error before its first presence as the answer to its join.
        self.room.deliver(self)
        self.send(self.codec.error(error))
        if error.code == "too_many_sockets":
            self.close(TOO_MANY_SOCKETS)
        elif self._bad_messages >= self.room.host.config.bad_messages_max:
            self.close(BAD_MESSAGES)

    def ended(self, *, graceful: bool) -> None:
        """Remove the connection from its room; only the first call has an effect.

        Args:
            graceful: Whether the client left; otherwise its visitor has ``grace_ms`` to reconnect.
        """
        self.room.deliver(self)
        role, self.role = self.role, ENDED
        if role == ENDED:
            return
        self.room.detach(self)
        if role == MEMBER:
            self.room.feed(Left(self) if graceful else Disconnected(self))
        elif role == OBSERVER:
            self.room.observer_left(self)

    def join(self, visitor: str, mood: str | None) -> None:
        """Make this connection a member: its visitor is counted.

        Raises:
            ClientError: ``already_joined``, ``unsigned_visitor`` or ``too_many_sockets``.
        """
        self._expect_new()
        self.room.admission.join(visitor)
        self.visitor = self.room.visitor_key(visitor)
        self.room.subscribers[self] = None
        try:
            self.room.report(Joined(self, self.visitor, mood))
        except ClientError:
            self.room.subscribers.pop(self, None)
            raise
        self._became(MEMBER)
        self.room.host.counters.joins += 1

    def observe(self) -> None:
        """Make this connection an observer: it is sent every change and is not counted.

        Raises:
            ClientError: ``already_joined``.
        """
        self._expect_new()
        self.room.subscribers[self] = None
        self.room.feed(ObserverJoined(self))
        self._became(OBSERVER)

    def _expect_new(self) -> None:
        if self.role != NEW:
            raise ClientError(
                "already_joined", "this connection has already sent join or observe", status=409
            )

    def _became(self, role: int) -> None:
        # The room may have closed it in answer.
        if self.role == NEW:
            self.role = role
        self.room.settle(self)

    def _handle(self, text: bytes) -> None:
        match self.codec.decode(text, self.room.config.moods):
            case Join(visitor, mood):
                self.join(visitor, mood)
            case Observe():
                self.observe()
            case Mood(mood):
                if self.role != MEMBER:
                    raise ClientError("not_joined", "send join before mood", status=409)
                self.room.feed(MoodChanged(self, mood))
            # Pong and time do not depend on the room, so they may overtake a presence that is owed: a browser
            # requests the time with its join, and ending the turn for each of a burst would encode the
            # presence once per join.
            case Ping():
                self.send(PONG)
            case TimeRequest(sent_ms):
                self.send(self.codec.time(sent_ms, self.room.host.clock.wall_ms()))
            case Leave():
                self.ended(graceful=True)
                self.close(NORMAL_CLOSURE)
