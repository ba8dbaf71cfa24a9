"""The platform of a room in an event loop: broadcasts in slices, one timer, saves in the background."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Final, Protocol

from breathing_room.core.daily import DailyStats
from breathing_room.core.deadlines import FixedTimeouts
from breathing_room.core.effects import KeepConnections
from breathing_room.core.events import Event
from breathing_room.core.history import History
from breathing_room.core.presence import Presence
from breathing_room.core.snapshot import encode_snapshot
from breathing_room.core.wire import LEASE_ENDED
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.hosts.common.rooms.room_host import RoomHost, RoomServices, Subscriber
from breathing_room.hosts.common.rooms.room_store import RoomStore
from breathing_room.hosts.common.settings import ServerConfig

# A fan-out to 10,000 sockets takes some 100 ms. Between slices of this size the loop handles joins and
# heartbeats.
SLICE: Final = 512

# How long a client may take to answer a close before its connection is dropped.
CLOSING_MS: Final = 2_000

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]


class Abortable(Protocol):
    """A connection that can be dropped."""

    def abort(self) -> None:
        """Drop the connection."""


class SocketDeadlines:
    """The timeouts of all sockets of a server.

    Args:
        config: The lengths of the timeouts.
        counters: Counts the closes.

    Attributes:
        slow: Slow readers.
        closing: Sockets that were sent a close and have not answered yet.
        all_closed: Set when ``closing`` becomes empty.
    """

    def __init__(self, config: ServerConfig, counters: Counters) -> None:
        self.slow: FixedTimeouts[Abortable] = FixedTimeouts(config.slow_reader_ms)
        self.closing: FixedTimeouts[Abortable] = FixedTimeouts(CLOSING_MS)
        self.all_closed = asyncio.Event()
        self._counters = counters

    def count_close(self, code: int) -> None:
        """Count a connection that the server closed."""
        self._counters.closes[code] += 1

    def release(self, connection: Abortable) -> None:
        """Remove a connection that ended."""
        self.slow.stop(connection)
        self.closing.stop(connection)
        if not len(self.closing):
            self.all_closed.set()


class ServerPlatform:
    """Carries out the effects of one room of a server.

    Args:
        host: The services that all rooms of the server share.
        store: The store of the room.
        loop: The event loop.
        spawn: Runs a coroutine in the background.
        deadlines: The timeouts of all sockets of the server.
        is_replica: Whether other nodes have replicas of the room. A replica is not stored: after a crash it
            is restored from the deltas that its peers have.

    Attributes:
        room: The room.
        history: Its history; None until it is loaded.
        day: Its daily statistics; None where the operator's page is off.
    """

    room: "RoomHost[ServerPlatform]"

    def __init__(
        self,
        host: RoomServices,
        store: RoomStore,
        loop: asyncio.AbstractEventLoop,
        spawn: Spawn,
        deadlines: "SocketDeadlines",
        *,
        is_replica: bool = False,
    ) -> None:
        self.history: History | None = None
        self.day: DailyStats | None = None
        if host.config.admin_token:
            self.day = DailyStats(wall_ms=host.clock.wall_ms(), epoch_ms=host.config.room.epoch_ms)
        self.deadlines = deadlines
        self._host = host
        self._store = store
        self._loop = loop
        self._spawn = spawn
        self._is_replica = is_replica
        self._sent: EncodedPresence | None = None
        self._fan_out: Iterator[Subscriber] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms = 0
        self._saving: asyncio.Task[None] | None = None
        self._save_again = False

    # --- Platform ------------------------------------------------------------------------------------------

    def call_soon(self, flush: Callable[[], None]) -> None:
        """Call back in the next round of the event loop."""
        self._loop.call_soon(flush)

    def send(self, subscribers: Mapping[Subscriber, None], encoded: EncodedPresence) -> None:
        """Push to all subscribers in slices, between which the event loop runs."""
        self._observe(encoded.presence)
        self._sent = encoded
        if self._fan_out is None:
            self._fan_out = iter(list(subscribers))
            self._push_slice(subscribers, encoded)

    def _push_slice(self, subscribers: Mapping[Subscriber, None], begun_with: EncodedPresence) -> None:
        """Push the latest presence to the next slice, and schedule the one after it."""
        assert self._fan_out is not None
        assert self._sent is not None
        sent = self._sent
        pushed = 0
        for subscriber in self._fan_out:
            subscriber.push(sent)
            pushed += 1
            if pushed == SLICE:
                self._loop.call_soon(self._push_slice, subscribers, begun_with)
                break
        else:
            # The first subscribers of a long fan-out may have missed a broadcast that came during it.
            self._fan_out = None if sent is begun_with else iter(list(subscribers))
            if self._fan_out is not None:
                self._loop.call_soon(self._push_slice, subscribers, sent)
        self._host.counters.pushes += pushed

    def set_timer(self, at_ms: int | None) -> None:
        """Set the room's one timer, unless it is set to an earlier time: an early timer is harmless."""
        if at_ms is None or (self._timer is not None and self._timer_at_ms <= at_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_ms = max(0, at_ms - self._host.clock.now_ms())
        self._timer_at_ms = at_ms
        self._timer = self._loop.call_later(delay_ms / 1_000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.room.on_timer()

    def save(self) -> None:
        """Save the room in the background.

        A save that is requested during another follows it, since the one in progress misses the latest
        changes.
        """
        self._save_again = self._saving is not None and not self._saving.done()
        if not self._save_again:
            self._saving = self._spawn(self._save())

    def keep(self, effect: KeepConnections) -> None:
        """Do nothing: connections end with the process."""

    def commit(self) -> None:
        """Do nothing: only ``save`` writes to the store."""

    # --- Deadlines -----------------------------------------------------------------------------------------

    def check_leases(self, now_ms: int) -> None:
        """Ping connections from which nothing has arrived, and close those whose lease expired.

        The room itself expires the leases of members (``Room.step``). It has none for observers, and none
        before a join.
        """
        pings, config = self.room.pings, self.room.config
        assert pings is not None
        for connection in pings.ended(now_ms):
            silent_ms = now_ms - connection.last_received_at_ms
            if silent_ms >= config.lease_ms:
                connection.close(LEASE_ENDED)
                continue
            if silent_ms >= self.room.ping_ms // 2:
                connection.ping()
            pings.start(connection, now_ms)

    def cancel_timer(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note(self, event: Event) -> None:
        """Add the visitor of an event to the daily statistics."""
        if self.day is not None and not self._host.stopping:
            self.day.add_event(event, wall_ms=self._host.clock.wall_ms())

    # --- Store ---------------------------------------------------------------------------------------------

    def _observe(self, presence: Presence) -> None:
        wall_ms = self._host.clock.wall_ms()
        if self.day is not None:
            self.day.add_presence(presence, wall_ms=wall_ms)
        if self.history is not None:
            known = presence.method in {"counted", "sampled"}
            # The history averages published counts; an unknown or estimated one would distort it.
            self.history.observe(presence.people if known else None, wall_ms=wall_ms)

    async def _save(self) -> None:
        await self.save_now()
        while self._save_again:
            self._save_again = False
            await self.save_now()

    async def wait_until_saved(self) -> None:
        """Wait for a save in progress, if there is one."""
        if self._saving is not None:
            await asyncio.wait([self._saving])

    async def save_now(self) -> None:
        """Save the room. A failure is logged; the next save makes up for it."""
        if self._is_replica:
            return
        snapshot = self.room.room.snapshot()
        encoded = await asyncio.to_thread(encode_snapshot, snapshot)
        await self._store.save(snapshot, encoded)

    async def save_history(self) -> None:
        """Save the history and the daily statistics."""
        if self.history is None:
            return
        name = self.room.name
        self._observe(self.room.presence(run_overdue_timer=False))
        if self.day is not None and self._is_replica:
            await self._store.merge_day(name, self.day)  # Other nodes store theirs under the same key.
        await self._store.save_history(name, self.history, self.day)

    async def load_history(self) -> None:
        """Load the history and the daily statistics; an unknown count may now be estimated, which is
        broadcast.
        """
        name = self.room.name
        self.history = await self._store.history(name) or History()
        if self.day is not None:
            await self._store.merge_day(name, self.day)
        presence = self.room.presence(run_overdue_timer=False)
        self._observe(presence)
        if presence.method == "estimated":
            self.room.broadcast()
