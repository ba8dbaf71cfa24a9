"""The meaning of a connection on any transport: messages in, events of the room out."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from breathing_room.core.admission import Admission
from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.events import (
    Disconnected,
    Event,
    HeartbeatReceived,
    Joined,
    Left,
    MoodChanged,
    ObserverJoined,
    ObserverLeft,
)
from breathing_room.core.identity import VisitorKey
from breathing_room.core.wire import BAD_MESSAGES, NORMAL_CLOSURE, TOO_MANY_SOCKETS
from breathing_room.hosts.common.rooms.connection import ENDED, MEMBER, NEW, Connection
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, EncodedPresence
from breathing_room.hosts.common.settings import ServerConfig
from inside import HandClock

VISITOR = "visitor-0123456789"


@dataclass
class FakeHost:
    config: ServerConfig = field(default_factory=lambda: ServerConfig(bad_messages_max=3))
    clock: HandClock = field(default_factory=HandClock)
    counters: Counters = field(default_factory=Counters)


class FakeRoom:
    """A room that notes its events, and refuses on demand."""

    def __init__(self) -> None:
        self.name = "lobby"
        self.config = RoomConfig(moods=("calm", "glad"))
        self.ping_ms = 20_000
        self.admission = Admission(self.name, self.config, None, now_ms=0)
        self.host = FakeHost()
        self.subscribers: dict[Any, None] = {}
        self.sockets: set[Any] = set()
        self.settled: list[Any] = []
        self.delivered: list[tuple[Any, int]] = []
        self.events: list[Event] = []
        self.refusal: ClientError | None = None

    def attach(self, connection: Any, *, now_ms: int) -> None:
        del now_ms
        self.sockets.add(connection)

    def settle(self, connection: Any) -> None:
        self.settled.append(connection)

    def deliver(self, connection: Any) -> None:
        self.delivered.append((connection, len(connection.sent)))

    def detach(self, connection: Any) -> None:
        self.sockets.discard(connection)
        self.subscribers.pop(connection, None)

    def feed(self, event: Event) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.events.append(event)

    report = feed

    def observer_left(self, connection: Any) -> None:
        self.events.append(ObserverLeft(connection))

    def visitor_key(self, visitor: str) -> VisitorKey:
        return VisitorKey(visitor.encode())


class FakeConnection(Connection):
    """A socket that notes what is sent."""

    def __init__(self, room: FakeRoom) -> None:
        super().__init__(cast("Any", room), PROTOCOL)
        self.sent: list[dict[str, Any]] = []
        self.closed: list[int] = []

    def push(self, encoded: EncodedPresence) -> None:
        self.sent.append(json.loads(encoded.text(self.codec)))

    def send(self, text: bytes) -> None:
        self.sent.append(json.loads(text))

    def ping(self) -> None:
        """Nothing is pinged here."""

    def close(self, code: int, reason: bytes = b"") -> None:
        del reason
        self.closed.append(code)
        self.ended(graceful=False)

    def abort(self) -> None:
        """Nothing is cut here."""

    def say(self, type: str, **more: Any) -> None:  # noqa: A002 - the name on the wire
        self.receive(json.dumps({"type": type, **more}).encode())

    @property
    def errors(self) -> list[str]:
        return [message["error"]["code"] for message in self.sent if message["type"] == "error"]


@pytest.fixture
def room() -> FakeRoom:
    return FakeRoom()


def joined(room: FakeRoom) -> FakeConnection:
    connection = FakeConnection(room)
    connection.say("join", visitor=VISITOR)
    return connection


def test_a_join_is_an_event_and_makes_a_subscriber(room: FakeRoom) -> None:
    """A join counts its visitor under a hash, subscribes the socket, and settles it; the mood goes along."""
    connection = FakeConnection(room)
    assert (connection.role, connection in room.sockets, room.subscribers) == (NEW, True, {})
    connection.say("join", visitor=VISITOR, mood="calm")
    assert room.events == [Joined(connection, VisitorKey(VISITOR.encode()), "calm")]
    assert (connection.role, list(room.subscribers), room.settled) == (MEMBER, [connection], [connection])
    assert room.host.counters.joins == 1


def test_a_refused_join_leaves_no_trace(room: FakeRoom) -> None:
    """A join that the room refuses subscribes nothing and counts nothing, and the socket may try again."""
    room.refusal = ClientError("busy", "later")
    connection = joined(room)
    assert (connection.role, room.subscribers, room.host.counters.joins, connection.errors) == (
        NEW,
        {},
        0,
        ["busy"],
    )
    room.refusal = None
    connection.say("join", visitor=VISITOR)
    assert connection.role == MEMBER


def test_an_observer_subscribes_and_is_not_counted(room: FakeRoom) -> None:
    """An observer gets every change, is no visitor, has no mood, and the room learns when it is gone."""
    connection = FakeConnection(room)
    connection.say("observe")
    connection.say("mood", mood="calm")
    connection.say("leave")
    assert room.events == [ObserverJoined(connection), ObserverLeft(connection)]
    assert (connection.errors, room.subscribers, connection.closed) == (["not_joined"], {}, [NORMAL_CLOSURE])


def test_a_connection_joins_or_observes_once(room: FakeRoom) -> None:
    """A second join or observe is refused, whichever came first, and changes nothing."""
    connection = joined(room)
    connection.say("observe")
    connection.say("join", visitor="another-visitor-1")
    assert connection.errors == ["already_joined", "already_joined"]
    assert (len(room.events), connection.visitor) == (1, VisitorKey(VISITOR.encode()))


def test_a_mood_needs_a_person_and_the_room(room: FakeRoom) -> None:
    """A mood is an event of a visitor who joined; one that the room does not have is refused."""
    connection = joined(room)
    connection.say("mood", mood="glad")
    connection.say("mood", mood="grey")
    assert room.events[1:] == [MoodChanged(connection, "glad")]
    assert connection.errors == ["unknown_mood"]


def test_a_time_request_is_answered_with_the_time(room: FakeRoom) -> None:
    """The answer carries the sender's time back and the server's shared time."""
    connection = FakeConnection(room)
    connection.say("time", sent_ms=5)
    assert connection.sent == [{"type": "time", "sent_ms": 5, "now_ms": room.host.clock.wall_ms()}]


def test_a_chatty_connection_renews_its_lease_once_in_half_a_ping(room: FakeRoom) -> None:
    """Bytes that arrive renew the lease, and become an event only when half a ping time has passed since the
    last.
    """
    connection = joined(room)
    for _ in range(4):
        room.host.clock.ms += room.ping_ms // 4
        connection.renew()
    assert room.events[1:] == [HeartbeatReceived(connection)] * 2
    assert connection.last_received_at_ms == room.host.clock.now_ms()


@pytest.mark.parametrize(("graceful", "event"), [(True, Left), (False, Disconnected)])
def test_only_the_first_end_counts(graceful: bool, event: type[Left | Disconnected], room: FakeRoom) -> None:  # noqa: FBT001
    """How a socket ended is what its first end says; later ones change nothing."""
    connection = joined(room)
    connection.ended(graceful=graceful)
    connection.ended(graceful=not graceful)
    assert room.events[1:] == [event(connection)]
    assert (connection.role, room.sockets, room.subscribers) == (ENDED, set(), {})


def test_what_is_owed_comes_before_an_error_and_the_end(room: FakeRoom) -> None:
    """Before an error and the end a connection is sent what the room owes it; the answer to a ping may come
    before that.
    """
    connection = joined(room)
    connection.say("time", sent_ms=5)
    connection.say("dance")
    connection.ended(graceful=False)
    assert room.delivered == [(connection, 1), (connection, 2)]


def test_a_leave_ends_the_visit_before_the_socket(room: FakeRoom) -> None:
    """A leave counts the visitor out as one who left, and then closes with the code that says so."""
    connection = joined(room)
    connection.say("leave")
    assert (room.events[1:], connection.closed) == ([Left(connection)], [NORMAL_CLOSURE])


def test_too_many_bad_messages_close(room: FakeRoom) -> None:
    """Each message without sense is answered; at the limit the socket is closed for good, and every one was
    counted.
    """
    connection = joined(room)
    for text in (b"{", b"[]", b'{"type":"dance"}'):
        assert connection.closed == []
        connection.receive(text)
    assert connection.closed == [BAD_MESSAGES]
    assert (len(connection.errors), sum(room.host.counters.refusals.values())) == (3, 3)
    assert room.host.counters.messages_in == 4


def test_a_visitor_with_too_many_sockets_is_closed_at_once(room: FakeRoom) -> None:
    """That error ends the socket with its own code, so that the client does not come back."""
    room.refusal = ClientError("too_many_sockets", "no", status=409)
    assert joined(room).closed == [TOO_MANY_SOCKETS]
