"""One room on a host: events in, effects carried out, presences at the end of a turn."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import Broadcast, Close, KeepConnections, SaveSnapshot, Send, Step
from breathing_room.core.errors import ClientError
from breathing_room.core.events import Joined, Left, ObserverJoined, PanelReported
from breathing_room.core.history import History
from breathing_room.core.identity import VisitorKey
from breathing_room.core.room import Room
from breathing_room.core.wire import LEASE_ENDED
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.hosts.common.rooms.room_host import RoomHost, RoomServices
from breathing_room.hosts.common.settings import ServerConfig
from inside import HandClock

ANN, BOB = (VisitorKey(bytes([number]) * 16) for number in (1, 2))


class FakePlatform:
    """A platform that notes what it is asked for; a turn ends when the test says so."""

    def __init__(self) -> None:
        self.turns: list[Callable[[], None]] = []
        self.timers: list[int | None] = []
        self.saves = 0
        self.kept: list[KeepConnections] = []

    def call_soon(self, flush: Callable[[], None]) -> None:
        self.turns.append(flush)

    def send(self, subscribers: Mapping[Any, None], presence: EncodedPresence) -> None:
        for subscriber in subscribers:
            subscriber.push(presence)

    def set_timer(self, at_ms: int | None) -> None:
        self.timers.append(at_ms)

    def save(self) -> None:
        self.saves += 1

    def keep(self, effect: KeepConnections) -> None:
        self.kept.append(effect)

    def commit(self) -> None:
        """Nothing is kept here."""

    def end_turn(self) -> None:
        """Let the turn end."""
        turns, self.turns = self.turns, []
        for flush in turns:
            flush()


class Line:
    """A connection that notes what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def push(self, encoded: EncodedPresence) -> None:
        self.sent.append(encoded.presence.count)

    def close(self, code: int, reason: bytes = b"") -> None:
        del reason
        self.sent.append(f"close {code}")


Host = RoomHost[FakePlatform]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def host(clock: HandClock) -> Host:
    return a_host(clock)


def a_host(
    clock: HandClock, *, unknown: bool = False, averages: History | None = None, **settings: Any
) -> Host:
    services = RoomServices(ServerConfig(), clock=clock, counters=Counters(), prefixes=Prefixes())
    config = RoomConfig(push_ms=1_000, **settings)
    room = Room("lobby", config, now_ms=clock.ms, unknown=unknown)
    return RoomHost(room, FakePlatform(), services, averages=lambda: averages)


def subscribe(host: Host) -> Line:
    line = Line()
    host.subscribers[line] = None
    return line


def join(host: Host, visitor: VisitorKey = ANN) -> Line:
    line = subscribe(host)
    host.report(Joined(line, visitor))
    return line


def test_nothing_is_sent_before_the_turn_ends(host: Host) -> None:
    """All that happens in a turn is sent once, at its end, as it is then; the turn is asked for once."""
    first = join(host, ANN)
    second = join(host, BOB)
    assert (first.sent, second.sent, len(host.platform.turns)) == ([], [], 1)
    host.platform.end_turn()
    assert (first.sent, second.sent) == ([2], [2])
    host.flush()
    assert (first.sent, second.sent) == ([2], [2])


def test_an_answer_goes_to_its_connection_alone(host: Host, clock: HandClock) -> None:
    """What is no broadcast yet is sent to the connection that joined, and later to all."""
    first = join(host, ANN)
    host.platform.end_turn()
    second = join(host, BOB)
    host.platform.end_turn()
    assert (first.sent, second.sent) == ([1], [2])
    assert host.platform.timers[-1] == host.next_timer_ms
    assert host.next_timer_ms is not None
    clock.ms = host.next_timer_ms
    host.on_timer()
    host.platform.end_turn()
    assert (first.sent, second.sent) == ([1, 2], [2, 2])
    assert (host.host.counters.broadcasts, host.host.counters.answers) == (2, 1)


def test_what_a_connection_is_owed_comes_before_its_close(host: Host) -> None:
    """A connection that is closed in the turn in which it is owed a presence is sent that first; another one
    is not held up.
    """
    line, other = join(host, ANN), Line()
    host.carry_out(Step((Close(other, LEASE_ENDED),), None))
    assert other.sent == ["close 4000"]
    host.carry_out(Step((Close(line, LEASE_ENDED),), None))
    assert line.sent == [1, "close 4000"]


def test_a_connection_that_is_gone_is_owed_nothing(host: Host) -> None:
    """Between a join and the end of the turn a connection may end."""
    host.platform.end_turn()
    first = join(host, ANN)
    host.platform.end_turn()
    line = subscribe(host)
    host.attach(line, now_ms=1_000)
    host.report(Joined(line, BOB))
    host.detach(line)
    host.feed(Left(line))
    host.platform.end_turn()
    assert (first.sent, line.sent) == ([1], [])


def test_effects_are_carried_out_in_their_order(host: Host) -> None:
    """Each effect is one call of the platform or of a connection; the timer comes last."""
    line = Line()
    kept = KeepConnections((line,), ANN, 2)
    host.carry_out(Step((Broadcast(1), Send(line, 1), kept, SaveSnapshot()), 77))
    assert (host.platform.kept, host.platform.saves, host.platform.timers) == ([kept], 1, [77])


def test_nothing_is_fed_while_the_host_stops(host: Host) -> None:
    """What happens while a host ends is not what people did."""
    host.host.stopping = True
    join(host)
    assert (host.room.count, host.platform.timers) == (0, [])


def test_connections_are_counted_while_they_are_here(host: Host) -> None:
    """A connection is late until it settles, and is of the host until it is detached."""
    line = subscribe(host)
    host.attach(line, now_ms=1_000)
    assert (host.attached, host.host.connection_count, list(host.host.joining)) == (1, 1, [line])
    host.settle(line)
    assert list(host.host.joining) == []
    host.detach(line)
    assert (host.attached, host.host.connection_count, host.subscribers) == (0, 0, {})


def test_a_refused_visitor_is_an_error(host: Host) -> None:
    """What the room refuses is raised, and sets no timer."""
    for number in range(host.config.connections_per_visitor_max):
        host.feed(Joined(number, ANN))
    timers = len(host.platform.timers)
    with pytest.raises(ClientError):
        join(host)
    assert len(host.platform.timers) == timers


def test_reports_are_noted(clock: HandClock) -> None:
    """What visitors say of themselves is handed to the host that wants to know, and other events are not."""
    noted: list[Any] = []
    services = RoomServices(ServerConfig(), clock=clock, counters=Counters(), prefixes=Prefixes())
    room = Room("lobby", RoomConfig(), now_ms=clock.ms)
    host = RoomHost(room, FakePlatform(), services, note=noted.append)
    report = PanelReported(ANN, 0.5)
    host.report(report)
    host.feed(ObserverJoined(Line()))
    assert noted == [report]


def test_an_unknown_count_is_estimated_from_the_history(clock: HandClock) -> None:
    """A room that knows no count says what is usual, if it is set so and the averages are known."""
    averages = History()
    for week in (3, 2, 1):
        for minutes in (0, 30):
            averages.observe({"release": 7}, wall_ms=clock.ms - week * 7 * 86_400_000 + minutes * 60_000)
        averages.observe(None, wall_ms=clock.ms - week * 7 * 86_400_000 + 3_600_000)
    assert a_host(clock, unknown=True, averages=averages).presence().method == "unknown"
    assert a_host(clock, unknown=True, history_fallback=True).presence().method == "unknown"
    usual = a_host(clock, unknown=True, averages=averages, history_fallback=True)
    line = join(usual)
    usual.platform.end_turn()
    assert (usual.presence().method, line.sent) == ("estimated", [usual.presence().count])
    assert json.loads(usual.latest().body)["method"] == "estimated"
