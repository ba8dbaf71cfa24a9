"""One room on a host: events go in, effects are carried out, and presences are sent at the end of a turn.

``RoomHost`` is the same on every host. What differs is the ``Platform``: how a presence is sent to many
connections, when a turn ends, how a timer is set, and where a room is stored.

Theory of operation
-------------------
A *turn* is one round of an event loop, or one call of a platform. ``Broadcast`` and ``Send`` send nothing at
once; they mark the connections that are owed a presence. At the end of the turn the room computes one
presence, which is encoded once and sent to all of them. A burst of a hundred joins in one turn costs one
presence and one encoding. A presence sent in answer to a connection is never older than the turn of its
request. A turn ends early for a connection that is owed a presence and is sent an error, or ends, so that
messages keep their order (``deliver``).
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
        """End the connection, with a code of ``wire.py``."""


class PresenceQuery(Protocol):
    """Computes the presence of a room."""

    def __call__(self, *, now_ms: int) -> Presence:
        """Return the presence as of ``now_ms``."""


class StateMachine(Protocol):
    """The state machine that a host steps: a ``Room``, or the ``Replica`` of a room on several machines."""

    def step(self, event: Event, *, now_ms: int) -> Step:
        """Apply one event."""

    def presence(self, *, now_ms: int) -> Presence:
        """Return the presence as of the last step."""

    def flush(self, *, now_ms: int) -> Presence:
        """Return the presence to send at the end of a turn."""


class RoomServices:
    """The services that the rooms of a host share: rooms, connections and routes have it as their ``host``.

    Attributes:
        config: The host's config.
        clock: The two times.
        counters: The host's counters.
        prefixes: Hashes the prefixes of addresses.
        secrets: The secrets under which visitor ids are hashed.
        joining: The join timeouts of connections that have sent neither join nor observe.
        connection_count: Open connections and event streams.
        stopping: Whether the host is shutting down: disconnects are then the host's doing, and change no
            room.
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
        platform: Carries out its effects.
        host: The services that it shares with other rooms.
        core: The state machine that is stepped: the room itself by default, its replica in a cluster.
        averages: Returns the history of the room; None while it is not loaded.
        note: Called with the events that come from visitors, before they are fed.
        pings: The ping timeouts of connections; None where the network detects dead connections.
        opener: The hash of the address prefix from which the room was opened, None for none.

    Attributes:
        name: Its name.
        config: Its config.
        subscribers: The connections and event streams that are sent every change: the keys of a dict, which
            keeps the order of arrival. A set would visit the kernel's sockets in an order that defeats
            caches.
        admission: Admits reports and connections.
        attached: The number of open connections, those that have not joined yet included.
        next_timer_ms: When the timer of the room is due.
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
        """Replace the room, or the replica that is stepped for it.

        Args:
            room: The room.
            core: The state machine that is stepped: by default the room itself.
        """
        self.room = room
        self.core: StateMachine = room if core is None else core

    # --- Feed, perform, flush ------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Step the room, and carry out the effects.

        Raises:
            ClientError: The room rejected the event.
        """
        if self.host.stopping:
            return
        self.carry_out(self.core.step(event, now_ms=self.host.clock.now_ms()))
        self.platform.commit()

    def observer_left(self, connection: Any) -> None:
        """Remove a connection that only observed.

        That has no effects and nothing to save, so the event is applied without a step: after every step a
        Durable Object sets its alarm again, which is billed as a row.
        """
        self.room.apply(ObserverLeft(connection), now_ms=self.room.now_ms)

    def report(self, event: Joined | PanelReported | LegacyReported | PanelLeft) -> None:
        """Note an event that comes from a visitor, and feed it.

        Raises:
            ClientError: The room rejected the event.
        """
        self._note(event)
        self.feed(event)

    def carry_out(self, step: Step) -> None:
        """Carry out the effects of a step in order, and set the timer."""
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
        """Send the presence to all subscribers at the end of the turn."""
        self._all_owed = True
        self._end_turn()

    def _end_turn(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            self.platform.call_soon(self.flush)

    def flush(self) -> None:
        """End the turn: send the presence to the connections that are owed one."""
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
        """Send a presence that a connection is owed now, since an error or its close is to follow."""
        if connection in self._owed or (self._all_owed and connection in self.subscribers):
            self.flush()

    def on_timer(self) -> None:
        """Step the room because its timer fired; an early timer is harmless."""
        self.feed(TimerFired())

    # --- What connections and routes ask -------------------------------------------------------------------

    def attach(self, connection: Any, *, now_ms: int) -> None:
        """Add a connection; it becomes a subscriber when it joins or observes."""
        self.attached += 1
        self.host.connection_count += 1
        self.host.joining.start(connection, now_ms)
        if self.pings is not None:
            self.pings.start(connection, now_ms)

    def settle(self, connection: Any) -> None:
        """Cancel the join timeout of a connection that joined or observes."""
        self.host.joining.stop(connection)

    def detach(self, connection: Any) -> None:
        """Remove a connection that ended."""
        self.attached -= 1
        self.host.connection_count -= 1
        self.subscribers.pop(connection, None)
        self._owed.pop(connection, None)
        self.host.joining.stop(connection)
        if self.pings is not None:
            self.pings.stop(connection)

    def visitor_key(self, visitor: str) -> VisitorKey:
        """Hash a visitor id; a visitor who joined under the former secret keeps that key."""
        return self.host.secrets.visitor_key(visitor, room=self.name, holds=self.room.holds)

    def presence(self, *, run_overdue_timer: bool = True) -> Presence:
        """Return the presence now; an unknown count is estimated from the history, where the config says so.

        Args:
            run_overdue_timer: Whether to step the room first if its timer is overdue.
        """
        if (
            run_overdue_timer
            and self.next_timer_ms is not None
            and self.next_timer_ms <= self.host.clock.now_ms()
        ):
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
        """Return the presence that was sent last."""
        if self._latest is None:
            self._latest = EncodedPresence(self.presence())
        return self._latest
