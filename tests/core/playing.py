"""What the tests of the room share: a few people, a ledger, a host without sockets, and traces of what can happen to it."""

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
"""What a presence says, apart from when and how it is put."""


def said(presence: Presence) -> Said:
    """Take the facts out of a presence."""
    p = presence
    return p.count, p.low, p.high, p.method, p.moods, p.unspoken, p.mood_intervals


# --- A ledger ----------------------------------------------------------------------------------------------------


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
    """A room whose steps say what is sent, as a host does that sends at once."""

    def step(self, event: Event, *, now_ms: int) -> Step:  # type: ignore[override]
        step = super().step(event, now_ms=now_ms)
        return Step(tuple(carry_out(self, effect, now_ms) for effect in step.effects), step.next_timer_ms)


def carry_out(room: Room, effect: Effect, now_ms: int) -> Carried:
    """Put the presence in place of the version that an effect names: the latest, if it is carried out at once."""
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
    """Let estimates be of an instant: they are of the last change."""
    is_dirty = room._broadcaster.is_dirty
    room._broadcaster.update(room.summary(at_ms), room.peers, at_ms=at_ms)
    room._broadcaster.is_dirty = is_dirty


# --- A host ------------------------------------------------------------------------------------------------------

Entry: TypeAlias = tuple[int, frozenset[Close], tuple[Carried | str, ...]]
"""When something was asked for, what was closed (in any order), and all else in order."""


class Host:
    """A host without sockets: it keeps a clock and the connections, and wakes the room exactly when it asks.

    Attributes:
        clock_ms: The time; the caller moves it, backwards if need be.
        connections: Everybody with an open connection; None behind it: an observer.
        heard: What each open connection was told last.
        log: Every step that asked for something.
        refusals: How many events were refused.
        saved: The last stored snapshot.
        naps: Whether the room is put to sleep after every step.
        wakes: Whether wishes to be woken are granted.
    """

    def __init__(
        self,
        config: RoomConfig,
        *,
        clock_ms: int = START_MS,
        unknown: bool = False,
        naps: bool = False,
        wakes: bool = True,
    ) -> None:
        self.config = config
        self.clock_ms = clock_ms
        self.naps = naps
        self.wakes = wakes
        self.connections: dict[Connection, VisitorKey | None] = {}
        self.heard: dict[Connection, Presence] = {}
        self.log: list[Entry] = []
        self.refusals = 0
        self.saved: bytes | None = None
        self.wake_at_ms: int | None = None
        self.room = Room("lobby", config, now_ms=clock_ms, unknown=unknown)
        self.tell(TimerFired())

    def tell(self, event: Event) -> effects.Step:
        """Take a step, and do what it asks for; a refused event is noted and does nothing."""
        try:
            step = self.room.step(self._as_hosts_report(event), now_ms=self.clock_ms)
        except (HostError, ClientError) as error:
            self.refusals += 1
            self.log.append((self.clock_ms, frozenset(), (type(error).__name__,)))
            return effects.Step((), self.wake_at_ms)
        self._note(event)
        self.wake_at_ms = step.next_timer_ms
        carried = [carry_out(self.room, effect, self.clock_ms) for effect in step.effects]
        for effect in carried:
            self._perform(effect)
        if carried:
            closes = frozenset(effect for effect in carried if isinstance(effect, Close))
            others = tuple(effect for effect in carried if not isinstance(effect, Close))
            self.log.append((self.clock_ms, closes, others))
        if self.naps:
            self.nap()
        return step

    def _as_hosts_report(self, event: Event) -> Event:
        """A host knows which connections only observe, and reports the end of those as such."""
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
                self.lose(connection)
            case _:
                pass

    def _perform(self, effect: Carried) -> None:
        match effect:
            case Broadcasted(presence):
                self.heard = dict.fromkeys(self.connections, presence)
            case Sent(connection, presence):
                self.heard[connection] = presence
            case Close(connection):
                self.lose(connection)
            case SaveSnapshot():
                self.saved = encode_snapshot(self.room.snapshot())
            case KeepConnections():
                self.keep(effect)

    def keep(self, kept: KeepConnections) -> None:
        """Keep something beside connections; rooms of this host do not ask for that."""
        raise AssertionError(kept)

    def lose(self, connection: Connection) -> None:
        """Have a connection no longer, without a word to the room."""
        self.connections.pop(connection, None)
        self.heard.pop(connection, None)

    def nap(self) -> None:
        """Put the room to sleep and wake it."""
        snapshot = decode_snapshot(encode_snapshot(self.room.snapshot()))
        joined = {connection: key for connection, key in self.connections.items() if key is not None}
        observers = [connection for connection, key in self.connections.items() if key is None]
        self.room = Room.wake(snapshot, self.config, joined, observers=observers)

    def wait_until(self, at_ms: int) -> list[effects.Step]:
        """Let time pass, granting the room's wishes on the way."""
        steps = []
        while self.wakes and self.wake_at_ms is not None and self.wake_at_ms <= at_ms:
            self.clock_ms = max(self.clock_ms, self.wake_at_ms)
            steps.append(self.tell(TimerFired()))
        self.clock_ms = at_ms
        return steps

    def restart(self, *, down_ms: int) -> None:
        """Lose every connection, and go on from a snapshot of the last moment."""
        snapshot = decode_snapshot(encode_snapshot(self.room.snapshot()))
        self.connections.clear()
        self.heard.clear()
        self.clock_ms += down_ms
        self.room = Room.restore(snapshot, self.config, now_ms=self.clock_ms)
        self.tell(TimerFired())

    def wait_for_calm(self) -> None:
        """Let time pass until nothing changed for as long as lies between two announcements."""
        calm_ms = max(self.config.push_ms, 1_000 * len(self.connections) // self.config.pushes_per_s)
        while True:
            before = said(self.presence())
            self.wait_until(self.clock_ms + calm_ms)
            if said(self.presence()) == before:
                return

    def presence(self) -> Presence:
        """Ask the room now."""
        return self.room.presence(now_ms=self.clock_ms)


# --- What can happen ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Restart:
    """The server goes away and comes back."""

    down_ms: int


Happening: TypeAlias = Event | Restart
Trace: TypeAlias = list[tuple[int, Happening]]
"""What happens, each with the time since the one before."""

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
    """How a room begins."""

    config: RoomConfig
    unknown: bool
    naps: bool = False

    def host(self, *, wakes: bool = True) -> Host:
        return Host(self.config, unknown=self.unknown, naps=self.naps, wakes=wakes)


_configs = st.sampled_from([QUICK, ODD, SHARP, PACED])
starts = st.builds(Start, _configs, st.booleans())
sleepy_starts = st.builds(Start, _configs, st.booleans(), st.just(True))

_connections = st.integers(0, 5)
_visitors = st.sampled_from([ANN, BOB, CAT, visitor("dan")])
_moods = st.sampled_from([None, "calm", "calm", UNSPOKEN, "glad"])  # "glad" is refused by one config

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
    """Draw traces of what can happen, about 25 things long."""
    pauses = st.one_of(_pauses, _pauses, _pauses, _steps_back) if clock_steps_back else _pauses
    pauses = st.just(0) | pauses  # Much happens at once.
    # A list of lists: a plain list would have five things on average, whatever its greatest length.
    bouts = st.lists(st.lists(st.tuples(pauses, happenings), max_size=10), max_size=10)
    return bouts.map(lambda bouts: [thing for bout in bouts for thing in bout])


def happen(host: Host, pause_ms: int, happening: Happening) -> None:
    """Let time pass, then let something happen."""
    host.wait_until(host.clock_ms + pause_ms)
    if isinstance(happening, Restart):
        host.restart(down_ms=happening.down_ms)
    else:
        host.tell(happening)


def play(host: Host, trace: Iterable[tuple[int, Happening]]) -> Host:
    """Let a whole trace happen."""
    for pause_ms, happening in trace:
        happen(host, pause_ms, happening)
    return host


def name_afresh(trace: Trace) -> Trace:
    """Give every join a connection of its own, as sockets are; later events are of the last one of that name."""
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


# --- What can happen to bytes -------------------------------------------------------------------------------------


OTHER_BYTES = longer(17, 1)


def damages(value: bytes) -> Iterator[bytes]:
    """List every truncation of a value, and wrong bytes in each place: those with one bit flipped, and one in 17 others.

    The others are different ones in each place. In ``make soak`` there are all of them.
    """
    for at in range(len(value)):
        yield value[:at]
        flipped = {value[at] ^ 1 << bit for bit in range(8)}
        others = range(at % OTHER_BYTES, 256, OTHER_BYTES)
        for byte in sorted(flipped.union(others) - {value[at]}):
            yield value[:at] + bytes([byte]) + value[at + 1 :]
