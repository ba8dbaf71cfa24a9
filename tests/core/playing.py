"""What the tests of the room share: visitors, a ledger, a host without sockets, and traces of events."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from hypothesis import strategies as st

from breathing_room.core import effects
from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.effects import Broadcast, Close, Effect, KeepConnections, SaveSnapshot, Send
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.events import (
    Disconnected,
    Event,
    HeartbeatReceived,
    Joined,
    Left,
    LegacyReported,
    MoodChanged,
    ObserverJoined,
    ObserverLeft,
    PanelLeft,
    PanelReported,
    TimerFired,
)
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.presence import Method, Presence
from breathing_room.core.room import Room
from breathing_room.core.snapshot import decode_snapshot, encode_snapshot
from tiers import longer


def visitor(name: str) -> VisitorKey:
    """Make a key that can be read in a failing test."""
    return VisitorKey(name.encode().ljust(16, b".")[:16])


START_MS = 1_000_000  # so that clocks can step back
ANN, BOB, CAT = visitor("ann"), visitor("bob"), visitor("cat")

Said: TypeAlias = tuple[
    int | None,
    int,
    int | None,
    Method,
    Mapping[str, int | None],
    int | None,
    Mapping[str, tuple[int, int | None] | None],
]
"""The facts of a presence: without its times and its label."""


def said(presence: Presence) -> Said:
    """Return the facts of a presence."""
    p = presence
    return p.count, p.low, p.high, p.method, p.moods, p.unspoken, p.mood_intervals


# --- A ledger ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broadcasted:
    """A presence that was sent to every subscriber."""

    presence: Presence


@dataclass(frozen=True)
class Sent:
    """A presence that was sent to one connection."""

    connection: Connection
    presence: Presence


Carried: TypeAlias = Broadcasted | Sent | Close | SaveSnapshot | KeepConnections
"""An effect as a host carried it out."""


@dataclass(frozen=True)
class Step:
    """A step, with the presences of the versions that its effects name."""

    effects: tuple[Carried, ...]
    next_timer_ms: int | None


class LedgerRoom(Room):
    """A room whose steps name the presences that are sent, for a host that sends at once."""

    def step(self, event: Event, *, now_ms: int) -> Step:  # type: ignore[override]
        step = super().step(event, now_ms=now_ms)
        return Step(tuple(carry_out(self, effect, now_ms) for effect in step.effects), step.next_timer_ms)


def carry_out(room: Room, effect: Effect, now_ms: int) -> Carried:
    """Return an effect with the presence in place of its version: the
    latest, if it is carried out at once.
    """
    match effect:
        case Broadcast(version):
            assert version == room._broadcaster.version
            return Broadcasted(room.flush(now_ms=now_ms))
        case Send(connection, version):
            assert version == room._broadcaster.version
            return Sent(connection, room.flush(now_ms=now_ms))
        case _:
            return effect


def recount(room: Room, at_ms: int) -> None:
    """Compute the estimates as of an instant: they are of the last change."""
    is_dirty = room._broadcaster.is_dirty
    room._broadcaster.update(room.summary(at_ms), room.peers, at_ms=at_ms)
    room._broadcaster.is_dirty = is_dirty


# --- A host -----------------------------------------------------------------------------------------------

Entry: TypeAlias = tuple[int, frozenset[Close], tuple[Carried | str, ...]]
"""The time of a step, its closes (in any order), and its other effects in order."""


class Host:
    """A host without sockets: it keeps a clock and the connections, and fires the timer exactly when it is
    due.

    Attributes:
        clock_ms: The time; the caller moves it, backwards if need be.
        connections: The visitor behind each open connection; None: an observer.
        received: The last presence sent to each open connection.
        log: Every step that had effects.
        rejected_count: How many events were rejected.
        saved: The last stored snapshot.
        hibernates: Whether the room is hibernated and resumed after every step.
        fires: Whether the timer fires.
    """

    def __init__(
        self,
        config: RoomConfig,
        *,
        clock_ms: int = START_MS,
        unknown: bool = False,
        hibernates: bool = False,
        fires: bool = True,
    ) -> None:
        self.config = config
        self.clock_ms = clock_ms
        self.hibernates = hibernates
        self.fires = fires
        self.connections: dict[Connection, VisitorKey | None] = {}
        self.received: dict[Connection, Presence] = {}
        self.log: list[Entry] = []
        self.rejected_count = 0
        self.saved: bytes | None = None
        self.next_timer_ms: int | None = None
        self.room = Room("lobby", config, now_ms=clock_ms, unknown=unknown)
        self.step(TimerFired())

    def step(self, event: Event) -> effects.Step:
        """Step the room and carry out its effects; a rejected event is logged and changes nothing."""
        try:
            step = self.room.step(self._as_hosts_report(event), now_ms=self.clock_ms)
        except (HostError, ClientError) as error:
            self.rejected_count += 1
            self.log.append((self.clock_ms, frozenset(), (type(error).__name__,)))
            return effects.Step((), self.next_timer_ms)
        self._note(event)
        self.next_timer_ms = step.next_timer_ms
        carried = [carry_out(self.room, effect, self.clock_ms) for effect in step.effects]
        for effect in carried:
            self._perform(effect)
        if carried:
            closes = frozenset(effect for effect in carried if isinstance(effect, Close))
            others = tuple(effect for effect in carried if not isinstance(effect, Close))
            self.log.append((self.clock_ms, closes, others))
        if self.hibernates:
            self.hibernate()
        return step

    def _as_hosts_report(self, event: Event) -> Event:
        """Return the event as a host reports it: the end of a connection that only observes is
        ``ObserverLeft``.
        """
        match event:
            case Left(connection) | Disconnected(connection) if self.connections.get(connection, b"") is None:
                return ObserverLeft(connection)
            case _:
                return event

    def _note(self, event: Event) -> None:
        match event:
            case Joined(connection, key):
                self.connections[connection] = key
            case ObserverJoined(connection):
                self.connections[connection] = None
            case Left(connection) | Disconnected(connection):
                self.remove(connection)
            case _:
                pass

    def _perform(self, effect: Carried) -> None:
        match effect:
            case Broadcasted(presence):
                self.received = dict.fromkeys(self.connections, presence)
            case Sent(connection, presence):
                self.received[connection] = presence
            case Close(connection):
                self.remove(connection)
            case SaveSnapshot():
                self.saved = encode_snapshot(self.room.snapshot())
            case KeepConnections():
                self.keep(effect)

    def keep(self, kept: KeepConnections) -> None:
        """Raise: rooms of this host keep nothing beside connections."""
        raise AssertionError(kept)

    def remove(self, connection: Connection) -> None:
        """Remove a connection, without an event for the room."""
        self.connections.pop(connection, None)
        self.received.pop(connection, None)

    def hibernate(self) -> None:
        """Hibernate the room and resume it."""
        snapshot = decode_snapshot(encode_snapshot(self.room.snapshot()))
        joined = {connection: key for connection, key in self.connections.items() if key is not None}
        observers = [connection for connection, key in self.connections.items() if key is None]
        self.room = Room.resume(snapshot, self.config, joined, observers=observers)

    def wait_until(self, at_ms: int) -> list[effects.Step]:
        """Advance the clock, firing the timer whenever it is due."""
        steps = []
        while self.fires and self.next_timer_ms is not None and self.next_timer_ms <= at_ms:
            self.clock_ms = max(self.clock_ms, self.next_timer_ms)
            steps.append(self.step(TimerFired()))
        self.clock_ms = at_ms
        return steps

    def restart(self, *, down_ms: int) -> None:
        """Drop every connection, and restore the room from a snapshot of the last moment."""
        snapshot = decode_snapshot(encode_snapshot(self.room.snapshot()))
        self.connections.clear()
        self.received.clear()
        self.clock_ms += down_ms
        self.room = Room.restore(snapshot, self.config, now_ms=self.clock_ms)
        self.step(TimerFired())

    def wait_until_steady(self) -> None:
        """Advance the clock until nothing changed between two broadcasts."""
        steady_ms = max(self.config.push_ms, 1_000 * len(self.connections) // self.config.pushes_per_s)
        while True:
            before = said(self.presence())
            self.wait_until(self.clock_ms + steady_ms)
            if said(self.presence()) == before:
                return

    def presence(self) -> Presence:
        """Return the presence of the room now."""
        return self.room.presence(now_ms=self.clock_ms)


# --- Traces -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Restart:
    """The server restarts, and is down for a while."""

    down_ms: int


Happening: TypeAlias = Event | Restart
Trace: TypeAlias = list[tuple[int, Happening]]
"""Events and restarts, each with the time since the one before."""

QUICK = RoomConfig(
    moods=("calm", "glad"),
    lease_ms=1_000,
    grace_ms=300,
    heartbeat_ms=800,
    push_ms=100,
    snapshot_ms=400,
    connections_per_visitor_max=2,
)
ODD = RoomConfig(
    moods=("calm",),
    lease_ms=1_234,
    grace_ms=77,
    heartbeat_ms=600,
    push_ms=61,
    snapshot_ms=333,
    connections_per_visitor_max=3,
)
SHARP = replace(QUICK, grace_ms=0, push_ms=50)
PACED = replace(
    QUICK, grace_ms=1_000, push_ms=20, pushes_per_s=100, connections_per_visitor_max=1
)  # 10 ms a connection


@dataclass(frozen=True)
class Start:
    """The config and state that a room starts with."""

    config: RoomConfig
    unknown: bool
    hibernates: bool = False

    def host(self, *, fires: bool = True) -> Host:
        return Host(self.config, unknown=self.unknown, hibernates=self.hibernates, fires=fires)


_configs = st.sampled_from([QUICK, ODD, SHARP, PACED])
starts = st.builds(Start, _configs, st.booleans())
hibernating_starts = st.builds(Start, _configs, st.booleans(), st.just(True))

_connections = st.integers(0, 5)
_visitors = st.sampled_from([ANN, BOB, CAT, visitor("dan")])
_moods = st.sampled_from([None, "calm", "calm", UNSPOKEN, "glad"])  # "glad" is rejected by one config

tickets = st.integers(0, 15).map(lambda sixteenth: sixteenth / 16)

events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Joined, _connections, _visitors, _moods),
    st.builds(Joined, _connections, _visitors),
    st.builds(ObserverJoined, st.integers(6, 7)),
    st.builds(MoodChanged, _connections, st.sampled_from(["calm", "calm", UNSPOKEN, "glad"])),
    st.builds(HeartbeatReceived, st.integers(0, 7)),
    st.builds(Left, st.integers(0, 7)),
    st.builds(Disconnected, st.integers(0, 7)),
    st.builds(PanelReported, _visitors, tickets, _moods),
    st.builds(PanelLeft, _visitors),
    st.just(TimerFired()),
)
legacy = st.builds(
    LegacyReported,
    st.sampled_from([visitor("eve"), visitor("fay")]),
    st.sampled_from(["calm", UNSPOKEN, "glad"]),
)
_pauses = st.one_of(
    st.sampled_from([1, 10, 49, 50, 51, 99, 100, 101, 300, 400, 999, 1_000, 1_001, 1_500, 149_999, 150_000]),
    st.integers(0, 1_300),
)
_steps_back = st.integers(-700, -1)
restarts = st.builds(Restart, st.sampled_from([0, 1, 250, 1_000, 2_000, 150_000]) | st.integers(0, 1_300))


def traces(
    happenings: st.SearchStrategy[Happening] = events, *, clock_steps_back: bool = True
) -> st.SearchStrategy[Trace]:
    """Draw traces, about 25 events long."""
    pauses = st.one_of(_pauses, _pauses, _pauses, _steps_back) if clock_steps_back else _pauses
    pauses = st.just(0) | pauses  # Many events come at one instant.
    # A list of lists: a plain list would have five items on average, however great its ``max_size``.
    bouts = st.lists(st.lists(st.tuples(pauses, happenings), max_size=10), max_size=10)
    return bouts.map(lambda bouts: [item for bout in bouts for item in bout])


def happen(host: Host, pause_ms: int, happening: Happening) -> None:
    """Advance the clock, then apply an event or a restart."""
    host.wait_until(host.clock_ms + pause_ms)
    if isinstance(happening, Restart):
        host.restart(down_ms=happening.down_ms)
    else:
        host.step(happening)


def play(host: Host, trace: Iterable[tuple[int, Happening]]) -> Host:
    """Apply a whole trace."""
    for pause_ms, happening in trace:
        happen(host, pause_ms, happening)
    return host


def name_afresh(trace: Trace) -> Trace:
    """Give every join a connection of its own; later events are of the last connection of that name."""
    latest: dict[Connection, Connection] = {}
    renamed: Trace = []
    for index, (pause_ms, happening) in enumerate(trace):
        match happening:
            case Joined(connection):
                latest[connection] = (connection, index)
                renamed.append((pause_ms, replace(happening, connection=latest[connection])))
            case (
                MoodChanged(connection)
                | HeartbeatReceived(connection)
                | Left(connection)
                | Disconnected(connection)
            ):
                renamed.append((pause_ms, replace(happening, connection=latest.get(connection, connection))))
            case _:
                renamed.append((pause_ms, happening))
    return renamed


# --- Damaged bytes ----------------------------------------------------------------------------------------


OTHER_BYTES = longer(17, 1)


def damages(value: bytes) -> Iterator[bytes]:
    """Yield every truncation of a value, and wrong bytes in each place: those with one bit flipped, and one
    in 17 others.

    The others are different ones in each place. In ``make soak`` there are all of them.
    """
    for at in range(len(value)):
        yield value[:at]
        flipped = {value[at] ^ 1 << bit for bit in range(8)}
        others = range(at % OTHER_BYTES, 256, OTHER_BYTES)
        for byte in sorted(flipped.union(others) - {value[at]}):
            yield value[:at] + bytes([byte]) + value[at + 1 :]
