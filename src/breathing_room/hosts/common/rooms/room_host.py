"""One room on a host: events go in, effects are carried out, and presences are sent at the end of a turn.

``RoomHost`` is the same on every host. What differs is the ``Platform``: how a presence reaches many connections, when a turn
ends, what a timer is, and where a room is kept.

Theory of operation
-------------------
A *turn* is all that a host does before others have theirs: one round of an event loop, or one call of a platform. ``Broadcast`` and
``Send`` do not send anything; they note which connections are owed a presence. At the end of the turn the room is asked
once who is here, and that is encoded once for all of them. A burst of a hundred joins in one turn costs one description and one
encoding. An answer to a connection is never older than the turn in which it asked. A turn ends early for a connection that is
owed a presence and is sent an error, or ends: what comes first is sent first (``deliver``).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from breathing_room.core.deadlines import FixedTimeouts
from breathing_room.core.effects import Broadcast, Close, Effect, KeepConnections, SaveSnapshot, Send, Step
from breathing_room.core.estimate.history import estimated
from breathing_room.core.events import (
    Event,
    Joined,
    LegacyReported,
    ObserverLeft,
    PanelLeft,
    PanelReported,
    TimerFired,
)
from breathing_room.core.history import History
from breathing_room.core.identity import VisitorKey
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.hosts.common.rooms.secrets import Secrets
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.ports import Platform

if TYPE_CHECKING:
    from breathing_room.core.config import RoomConfig

PlatformT = TypeVar("PlatformT", bound=Platform)


class Subscriber(Protocol):
    """A connection or an event stream that is sent every change."""

    def push(self, encoded: EncodedPresence) -> None:
        """Send a presence; to a slow reader only the latest."""

    def close(self, code: int, reason: bytes = b"") -> None:
        """End it, with a code of ``wire.py``."""


class PresenceQuery(Protocol):
    """Returns who is in a room."""

    def __call__(self, *, now_ms: int) -> Presence:
        """Return it, as of now."""


class StateMachine(Protocol):
    """A room, or one that speaks for all its replicas."""

    def step(self, event: Event, *, now_ms: int) -> Step:
        """Apply one event."""

    def presence(self, *, now_ms: int) -> Presence:
        """Return who is here, as of the last step."""

    def flush(self, *, now_ms: int) -> Presence:
        """Return the presence to send, at the end of a turn."""


class RoomServices:
    """What the rooms of a host share: rooms, connections and routes have it as their ``host``.

    Attributes:
        config: How the host works.
        clock: The two times.
        counters: What the host counts about itself.
        prefixes: Hashes the prefixes of addresses.
        secrets: The secrets under which visitor ids are hashed.
        joining: The connections that have said neither join nor observe.
        connection_count: Connections and event streams that are open.
        stopping: Whether the host is about to end: what happens then is not what people did.
    """

    def __init__(self, config: ServerConfig, *, clock: Clock, counters: Counters, prefixes: Prefixes) -> None:
        self.config = config
        self.clock = clock
        self.counters = counters
        self.prefixes = prefixes
        self.secrets = Secrets()
        self.joining: FixedTimeouts[Any] = FixedTimeouts(config.join_ms)
        self.connection_count = 0
        self.stopping = False


class RoomHost(Generic[PlatformT]):
    """One room.

    Args:
        room: The room.
        platform: What carries its effects out.
        host: What it shares with other rooms.
        core: What is stepped: by default the room itself; where other machines hold replicas, what speaks for all.
        averages: Reads the averages of the room; None while they are not known.
        note: Takes note of what visitors said of themselves.
        pings: The connections that are to be pinged; None where the network looks after them.
        opener: The hash of the address prefix from which the room was opened, None for none.

    Attributes:
        name: Its name.
        config: How it works.
        subscribers: The connections and event streams that are sent every change: the keys of a dict, so that they are sent it
            in the order in which they came. A set would visit the kernel's sockets in an order that defeats caches.
        admission: What may come in.
        attached: How many connections lead here, those included that said nothing yet.
        next_timer_ms: When the room wants to be woken.
    """

    def __init__(
        self,
        room: Room,
        platform: PlatformT,
        host: RoomServices,
        *,
        core: StateMachine | None = None,
        averages: Callable[[], History | None] = lambda: None,
        note: Callable[[Joined | PanelReported | LegacyReported | PanelLeft], None] = lambda _event: None,
        pings: FixedTimeouts[Any] | None = None,
        opener: bytes | None = None,
    ) -> None:
        self.begin(room, core)
        self.platform = platform
        self.host = host
        self.name = room.name
        self.config: RoomConfig = room.config
        self.ping_ms = room.config.ping_ms
        self._note = note
        self.pings = pings
        self.opener = opener
        self.subscribers: dict[Subscriber, None] = {}
        self.attached = 0
        self.next_timer_ms: int | None = None
        self.admission = host.config.admission(
            room.name, now_ms=host.clock.now_ms(), wall_ms=host.clock.wall_ms
        )
        self._averages = averages
        self._owed: dict[Subscriber, None] = {}
        self._all_owed = False
        self._is_ending = False
        self._latest: EncodedPresence | None = None

    def begin(self, room: Room, core: StateMachine | None = None) -> None:
        """Go on with another room, or with other peers of it.

        Args:
            room: The room.
            core: What is stepped: by default the room itself.
        """
        self.room = room
        self.core: StateMachine = room if core is None else core

    # --- Feed, perform, flush -----------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Step the room, and do what it asks for in return.

        Raises:
            ClientError: The room refused the event.
        """
        if self.host.stopping:
            return
        self.take(self.core.step(event, now_ms=self.host.clock.now_ms()))
        self.platform.commit()

    def observer_left(self, connection: Any) -> None:
        """Take note that a connection that only observed ended. Nothing follows from that, so the room decides nothing, and nothing is kept.

        An object that sleeps would set its alarm again after every event that is fed, which is a row.
        """
        self.room.apply(ObserverLeft(connection), now_ms=self.room.now_ms)

    def report(self, event: Joined | PanelReported | LegacyReported | PanelLeft) -> None:
        """Note what a visitor said of itself where that is of use, and feed it.

        Raises:
            ClientError: The room refused the visitor.
        """
        self._note(event)
        self.feed(event)

    def take(self, step: Step) -> None:
        """Carry out the effects of a step, in their order."""
        for effect in step.effects:
            self._perform(effect)
        self.next_timer_ms = step.next_timer_ms
        self.platform.set_timer(step.next_timer_ms)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(connection):
                self.host.counters.answers += 1
                self._owed[cast("Subscriber", connection)] = None
                self._end_turn()
            case Broadcast():
                self.broadcast()
            case Close(connection, code):
                self.deliver(connection)
                cast("Subscriber", connection).close(code)
            case KeepConnections():
                self.platform.keep(effect)
            case SaveSnapshot():
                self.platform.save()

    def broadcast(self) -> None:
        """Send the presence to the whole audience when the turn ends."""
        self._all_owed = True
        self._end_turn()

    def _end_turn(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            self.platform.call_soon(self.flush)

    def flush(self) -> None:
        """Send what is owed: the turn is over."""
        self._is_ending = False
        if not (self._all_owed or self._owed):
            return
        owed, self._owed = self._owed, {}
        all_owed, self._all_owed = self._all_owed, False
        latest = self._latest = EncodedPresence(self._published(self.core.flush))
        if all_owed:
            self.host.counters.broadcasts += 1
            self.platform.send(self.subscribers, latest)
        else:
            for subscriber in owed:
                subscriber.push(latest)

    def deliver(self, connection: Any) -> None:
        """Send what a connection is owed now and not at the end of the turn, as an error or its end is to come after that."""
        if connection in self._owed or (self._all_owed and connection in self.subscribers):
            self.flush()

    def on_timer(self) -> None:
        """Step the room because the time has come that it asked for, or any other time."""
        self.feed(TimerFired())

    # --- What connections and routes ask ------------------------------------------------------------------------

    def attach(self, connection: Any, *, now_ms: int) -> None:
        """Take note of a connection; it is not of the audience before it says so."""
        self.attached += 1
        self.host.connection_count += 1
        self.host.joining.start(connection, now_ms)
        if self.pings is not None:
            self.pings.start(connection, now_ms)

    def settle(self, connection: Any) -> None:
        """Take note that a connection has said what it is: it is late no more."""
        self.host.joining.stop(connection)

    def detach(self, connection: Any) -> None:
        """Take note that a connection is gone."""
        self.attached -= 1
        self.host.connection_count -= 1
        self.subscribers.pop(connection, None)
        self._owed.pop(connection, None)
        self.host.joining.stop(connection)
        if self.pings is not None:
            self.pings.stop(connection)

    def visitor_key(self, visitor: str) -> VisitorKey:
        """Hash a visitor id; a visitor who came in under the last secret keeps that key."""
        return self.host.secrets.visitor_key(visitor, room=self.name, holds=self.room.holds)

    def presence(self, *, wake: bool = True) -> Presence:
        """Return who is here now, or what is usual in place of a count that is not known, where the room is set so.

        Args:
            wake: Whether to step the room before, if the time has come that it asked for: a timer may be late.
        """
        if wake and self.next_timer_ms is not None and self.next_timer_ms <= self.host.clock.now_ms():
            self.on_timer()
        return self._published(self.core.presence)

    def _published(self, query: PresenceQuery) -> Presence:
        presence = query(now_ms=self.host.clock.now_ms())
        if presence.method != "unknown" or not self.config.history_fallback:
            return presence
        averages = self._averages()
        if averages is None:
            return presence
        wall_ms = self.host.clock.wall_ms()
        return estimated(presence, averages, wall_ms=wall_ms, min_cell_size=self.config.min_cell_size)

    @property
    def epoch(self) -> int:
        """The epoch of the secret in use."""
        return self.host.secrets.epoch

    def latest(self) -> EncodedPresence:
        """Return what was sent last."""
        if self._latest is None:
            self._latest = EncodedPresence(self.presence())
        return self._latest
