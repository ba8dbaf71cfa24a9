"""The server host: feeds rooms, carries out their effects, and re-arms one timer each.

``RoomHost`` is one room with its audience; ``Host`` is all of them with what they share: the clock, the store, the
secrets, the deadlines. Neither knows how bytes travel (``hosts/common/rooms/connection.py``), nor anything of HTTP.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Coroutine, Iterator
from typing import Final, Protocol, cast

from breathing_room.core.admission import Admission, RoomQuota, admit_room, admit_while
from breathing_room.core.daily import Day
from breathing_room.core.deadlines import FixedTimeouts
from breathing_room.core.effects import Broadcast, Close, Effect, KeepConnections, SaveSnapshot, Send, Step
from breathing_room.core.errors import ConfigError, HostError, StoreError
from breathing_room.core.estimate.history import estimated
from breathing_room.core.events import Event, Reported, Withdrew, Woken
from breathing_room.core.history import History
from breathing_room.core.identity import VisitorKey
from breathing_room.core.presence import Presence
from breathing_room.core.replication.replica import Replica
from breathing_room.core.replication.shared_rate import SharedRate
from breathing_room.core.room import Room
from breathing_room.core.snapshot import encode_snapshot
from breathing_room.core.wire import JOIN_LATE, LEASE_ENDED, READS_SLOWLY, RESTART, retry_reason
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.common.rooms.connection import Session
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.encoded_presence import Announcement
from breathing_room.hosts.common.rooms.publishing import (
    PublishedFile,
    Publisher,
    config_file,
    history_file,
    presence_file,
)
from breathing_room.hosts.common.rooms.room_store import RoomStore
from breathing_room.hosts.common.rooms.secrets import Secrets, SecretSource, StoreSecrets
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.cluster import Cluster
from breathing_room.ports import Store
from breathing_room.stores import open_store

log = logging.getLogger("breathing_room.server")

# The key of the mark of a run that goes on.
RUNNING: Final = "running"

# A fan-out to 10,000 sockets takes some 100 ms. In slices of this many, joins and beats get through in between.
SLICE: Final = 512

# How long a peer may take to answer a close before it is cut off.
CLOSING_MS: Final = 2_000

HISTORY_MS: Final = 60_000


class Abortable(Protocol):
    """Whatever can be cut off."""

    def abort(self) -> None:
        """Cut it off."""


class Listener(Protocol):
    """Whoever is told of every change: a socket, or an event stream."""

    def push(self, announcement: Announcement) -> None:
        """Send a presence; to a slow reader only the latest."""

    def close(self, code: int, reason: bytes = b"") -> None:
        """Say goodbye and end it."""


class RoomHost:
    """One room, open.

    Attributes:
        host: The server that it is part of.
        name: The room's name.
        config: How it works.
        room: The room itself.
        history: Its averages; None until they are read from the store.
        day: What its operator wants to know of today; None where nobody may ask.
        audience: The sockets and event streams that are told of every change: the keys of a dict, so that they are
            told in the order in which they came. A set would visit the kernel's sockets in an order that defeats caches.
        opener: The hash of the address prefix from which it was opened, None for none.
        admission: What may come in.
    """

    def __init__(self, host: "Host", room: Room, opener: bytes | None = None) -> None:
        self.host = host
        self.name = room.name
        self.config = room.config
        self.ping_ms = room.config.ping_ms
        self.room = room
        self.history: History | None = None
        self.day: Day | None = None
        if host.config.admin_token:
            self.day = Day(wall_ms=host.clock.wall_ms(), epoch_ms=host.config.room.epoch_ms)
        self.audience: dict[Listener, None] = {}
        self.opener = opener
        self.admission = host.config.admission(
            room.name, now_ms=host.clock.now_ms(), wall_ms=host.clock.wall_ms
        )
        self.pings: FixedTimeouts[Session[RoomHost]] = FixedTimeouts(self.ping_ms)
        self._attached = 0
        self._fan_out: Iterator[Listener] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms = 0
        self._saving: asyncio.Task[None] | None = None
        self._save_again = False
        self.part: Replica | None = None
        self.rate: SharedRate | None = None
        self._core: Room | Replica = room
        if host.cluster is not None:
            self._core = self.part = Replica(room, host.cluster.nodes, now_ms=host.clock.now_ms())
            self.rate = SharedRate(self.part, late_ms=host.cluster.nodes.late_ms)
        self._told = Announcement(self._core.presence(now_ms=host.clock.now_ms()))

    # --- Feed, perform, re-arm --------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Tell the room something, and do what it asks for in return.

        Raises:
            PeerError: The room refused the event.
        """
        if self.host.stopping:
            return  # What happens while we part is not what people did.
        self.take(self._core.step(event, now_ms=self.host.clock.now_ms()))
        if self.day is not None:
            self.day.came(event, wall_ms=self.host.clock.wall_ms())

    def take(self, step: Step) -> None:
        """Carry out the effects of a step."""
        for effect in step.effects:
            self._perform(effect)
        self._rearm(step.next_timer_ms)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(connection):
                self.host.counters.answers += 1
                cast("Listener", connection).push(Announcement(self._say(self._flush())))
            case Broadcast():
                presence = self._flush()
                self._observe(presence)
                self._announce(self._say(presence))
            case Close(connection, code):
                assert isinstance(connection, Session)
                connection.close(code)
            case SaveSnapshot():
                # A save that takes longer than the interval is followed by another, since what happened meanwhile
                # is in neither.
                self._save_again = self._saving is not None and not self._saving.done()
                if not self._save_again:
                    self._saving = self.host.spawn(self._save())
            case KeepConnections():
                raise AssertionError("an open connection is no lease here")

    def _flush(self) -> Presence:
        """Return the presence to send."""
        return self._core.flush(now_ms=self.host.clock.now_ms())

    def _say(self, presence: Presence) -> Presence:
        """Put what is usual in place of what is not known: all that leaves a room comes through here."""
        if presence.method != "unknown" or not self.config.history_fallback or self.history is None:
            return presence
        wall_ms = self.host.clock.wall_ms()
        return estimated(presence, self.history, wall_ms=wall_ms, cell_min=self.config.cell_min)

    def _announce(self, presence: Presence) -> None:
        self._told = Announcement(presence)
        self.host.counters.announcements += 1
        if self._fan_out is None:
            self._fan_out = iter(list(self.audience))
            self._push_slice(self._told)

    def _push_slice(self, begun_with: Announcement) -> None:
        """Push to the next few of the audience, always the latest, and go on after everybody else had a turn."""
        assert self._fan_out is not None
        told = self._told
        pushed = 0
        for listener in self._fan_out:
            listener.push(told)
            pushed += 1
            if pushed == SLICE:
                self.host.loop.call_soon(self._push_slice, begun_with)
                break
        else:
            # Those who came first in a long fan-out may have missed what was announced during it.
            self._fan_out = None if told is begun_with else iter(list(self.audience))
            if self._fan_out is not None:
                self.host.loop.call_soon(self._push_slice, told)
        self.host.counters.pushes += pushed

    def _rearm(self, wake_at_ms: int | None) -> None:
        """Keep one timer, set to the earliest wish. One that rings too early does no harm."""
        if wake_at_ms is None or (self._timer is not None and self._timer_at_ms <= wake_at_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_ms = max(0, wake_at_ms - self.host.clock.now_ms())
        self._timer_at_ms = wake_at_ms
        self._timer = self.host.loop.call_later(delay_ms / 1_000, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.feed(Woken())

    # --- What sessions and routes ask -------------------------------------------------------------------------

    def attach(self, session: "Session[RoomHost]") -> None:
        """A socket leads here; it is not of the audience before it says so."""
        self._attached += 1
        self.host.session_count += 1
        now_ms = self.host.clock.now_ms()
        self.pings.start(session, now_ms)
        self.host.joining.start(session, now_ms)

    def settle(self, session: "Session[RoomHost]") -> None:
        """A socket has said what it is: it is late no more."""
        self.host.joining.stop(session)

    def detach(self, session: "Session[RoomHost]") -> None:
        """A socket is gone."""
        self._attached -= 1
        self.host.session_count -= 1
        self.audience.pop(session, None)
        self.pings.stop(session)
        self.host.joining.stop(session)

    def visitor_key(self, visitor: str) -> VisitorKey:
        """Hash a visitor id; a visitor who came in under the last secret keeps that key."""
        return self.host.secrets.visitor_key(visitor, room=self.name, holds=self.room.holds)

    def report(self, event: Reported | Withdrew) -> None:
        """Apply what a visitor without a connection said.

        Raises:
            PeerError: The room refused the event.
        """
        self.feed(event)

    def presence(self) -> Presence:
        """Say who is here now."""
        return self._say(self._core.presence(now_ms=self.host.clock.now_ms()))

    def latest(self) -> Announcement:
        """What everybody was told last."""
        return self._told

    def check_leases(self, now_ms: int) -> None:
        """Ping sockets that are silent, and cut off those that stayed so for a whole lease."""
        for session in self.pings.ended(now_ms):
            silent_ms = now_ms - session.heard_at_ms
            if silent_ms >= self.config.lease_ms:
                session.close(LEASE_ENDED)
                continue
            if silent_ms >= self.ping_ms // 2:
                session.ping()
            self.pings.start(session, now_ms)

    @property
    def is_idle(self) -> bool:
        """Whether nobody is here, nobody watches, and nothing is left to find out or to tell."""
        if (
            self._attached
            or self.audience
            or self.room.count
            or (self.part is not None and self.part.has_unsent)
        ):
            return False
        return self.presence().method == "counted"

    # --- Store ------------------------------------------------------------------------------------------------

    def _observe(self, presence: Presence) -> None:
        if self.day is not None:
            self.day.look(presence, wall_ms=self.host.clock.wall_ms())
        if self.history is not None:
            known = presence.method in {"counted", "sampled"}
            # Averages rest on what was published: else they would tell what was not.
            people = presence.people if known else None
            self.history.observe(people, wall_ms=self.host.clock.wall_ms())

    async def _save(self) -> None:
        await self.save()
        while self._save_again:
            self._save_again = False
            await self.save()

    async def save(self) -> None:
        """Store the room. A failure is logged and made up for by the next time.

        A part of a room is not stored: what the other nodes heard of it last is what is known after a crash.
        """
        if self.part is not None:
            return
        snapshot = self.room.snapshot()
        encoded = await asyncio.to_thread(encode_snapshot, snapshot)
        if await self.host.room_store.save(snapshot, encoded):
            self.host.saved_at_ms = self.host.clock.wall_ms()

    async def save_history(self) -> None:
        """Store the averages, and today."""
        if self.history is None:
            return
        self._observe(self.presence())
        if self.day is not None and self.part is not None:
            await self.host.room_store.merge_day(
                self.name, self.day
            )  # Other nodes keep theirs in the same place.
        wall_ms = self.host.clock.wall_ms()
        if await self.host.room_store.save_history(self.name, self.history, self.day, wall_ms=wall_ms):
            self.host.saved_at_ms = self.host.clock.wall_ms()

    async def load_history(self) -> None:
        """Read the averages, and go on with them; who heard that nobody knows may now hear what is usual."""
        self.history = await self.host.room_store.history(self.name) or History()
        if self.day is not None:
            await self.host.room_store.merge_day(self.name, self.day)
        presence = self.presence()
        self._observe(presence)
        if presence.method == "estimated":
            self._announce(presence)

    def shut(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Host:
    """All rooms of a server.

    Args:
        config: How the server works.
        store: Where rooms are kept, None for what the config names; the host closes it.
        sockets_max: Sockets that may be open at once.
        clock: The two times.

    Raises:
        ConfigError: Nothing can be published to ``publish_url``.
    """

    def __init__(
        self,
        config: ServerConfig,
        store: Store | None = None,
        *,
        sockets_max: int = 1_000_000,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.store: Store
        self._given_store = store
        self.sockets_max = sockets_max
        self.clock = clock or Clock()
        self.counters = Counters()
        self.rooms: dict[str, RoomHost] = {}
        self.secrets = Secrets()
        self.session_count = 0
        self.started_at_ms = self.clock.wall_ms()
        self.saved_at_ms: int | None = None
        self.ready = False
        self.stopping = False
        self.prefixes = Prefixes(config.proxy_networks, config.networks_without_cap)
        self.handshakes: FixedTimeouts[asyncio.Transport] = FixedTimeouts(config.handshake_ms)
        self.joining: FixedTimeouts[Session[RoomHost]] = FixedTimeouts(config.join_ms)
        self.slow: FixedTimeouts[Abortable] = FixedTimeouts(config.slow_ms)
        self.closing: FixedTimeouts[Session[RoomHost]] = FixedTimeouts(CLOSING_MS)
        self.cluster = Cluster(self) if config.redis else None
        self.publisher: Publisher | None = None
        if config.publish_url:
            try:
                self.publisher = Publisher(config.publish_url, publish_ms=config.publish_ms)
            except HostError as error:
                raise ConfigError(f"publish_url: {error}") from None
        self._quota = RoomQuota(rooms_max=config.rooms_max, rooms_per_prefix_max=config.rooms_per_prefix_max)
        self._crashed = False
        self._unknown_until_ms = 0
        self._tasks: set[asyncio.Task[None]] = set()
        pings_ms = [room.ping_ms // 4 for room in (config.room, *config.rooms.values())]
        waits_ms = [config.handshake_ms // 4, config.join_ms // 4, config.slow_ms // 4]
        self._tick_s = max(20, min(1_000, *waits_ms, *pings_ms)) / 1_000
        self._starting = asyncio.Lock()
        self._all_closed = asyncio.Event()

    # --- Start and stop ---------------------------------------------------------------------------------------

    async def open_store(self) -> Store:
        """Open the store, if it is not open yet.

        Raises:
            StoreError: It cannot be opened.
        """
        if self._given_store is None:
            opening = self.cluster.open_store() if self.cluster is not None else open_store(self.config.data)
            self._given_store = await opening
        return self._given_store

    async def start(self) -> None:
        """Read what the store holds, restore every room, and begin to look after deadlines.

        Raises:
            StoreError: The store cannot be opened or read.
        """
        async with self._starting:
            if self.ready:
                return
            self.loop = asyncio.get_running_loop()
            self.store = await self.open_store()
            self.room_store = RoomStore(self.store, self.counters)
            epoch_ms = self.config.room.epoch_ms
            self.secret_source: SecretSource = (
                StoreSecrets(self.store, epoch_ms=epoch_ms, clock=self.clock.wall_ms)
                if self.cluster is None
                else self.cluster.secret_source
            )
            now_ms = self.clock.now_ms()
            await self.load_secrets()
            crashed = await self.store.get(RUNNING) is not None
            if self.cluster is not None:
                await self.cluster.start()
                # Whoever says that a run goes on has told the others before that it is there.
                crashed = crashed and self.cluster.found_nobody
            if crashed:
                # The last run had no time to say goodbye. Whoever came in after its last save is forgotten.
                self._crashed = True
                self._unknown_until_ms = now_ms + self.config.room.lease_ms
            await self.store.put(RUNNING, b"1")
            for name in await self.room_store.names():
                await self._restore(name)
            for name in set(self.config.kept_rooms) - self.rooms.keys():
                self._open(name, self._fresh_room(name))
            self.ready = True
            self.spawn(self._keep_deadlines())
            self.spawn(self._keep_house())
            if self.cluster is not None:
                self.spawn(self.cluster.run())
            if self.publisher is not None:
                self.spawn(self.publisher.run(self._pages, self.clock.now_ms))

    async def stop(self) -> None:
        """Save every room, send everybody away with a time to come back, and close the store."""
        if self.stopping or not self.ready:
            return
        if self.cluster is not None:
            await self.cluster.drain()
        self.stopping = True
        for room in self.rooms.values():
            room.shut()
            await room.save()
            await room.save_history()
            for listener in [*room.pings, *room.audience]:
                listener.close(RESTART, self.retry_reason())
        self._all_closed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_MS / 1_000 if len(self.closing) else 0):
                await self._all_closed.wait()
        for session in list(self.closing):
            session.abort()
        others = self._tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        try:
            if self.cluster is not None:
                await self.cluster.close()
            if self.cluster is None or not any(True for _ in self.cluster.nodes):
                await self.store.delete(RUNNING)
            await self.store.close()
        except StoreError as error:
            log.error("the store could not be closed: %s", error)

    def retry_reason(self) -> bytes:
        """Give a client its own moment to come back, so that not all come at once."""
        return retry_reason(secrets.randbelow(self.config.retry_spread_ms + 1))

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run something in the background, hold on to it, and do not let it fail in silence."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a background task failed: a bug", exc_info=error)

    # --- Rooms ------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether people may come in."""
        draining = self.cluster is not None and self.cluster.is_draining
        return self.ready and not self.stopping and not draining

    def room(self, name: str) -> RoomHost:
        """Find a room, or open it."""
        return self.rooms.get(name) or self._open(name, self._fresh_room(name))

    def enter(self, name: str, *, address: str | None, forwarded_for: str | None) -> RoomHost:
        """Find a room for somebody who wants in; open it if need be.

        Args:
            name: The room's name, valid.
            address: The peer of the connection.
            forwarded_for: Its ``X-Forwarded-For``.

        Raises:
            PeerError: The server is stopping or full, the room is not open, or there are too many of them.
        """
        admit_while(self.is_open)
        room = self.rooms.get(name)
        if room is not None:
            return room
        admit_room(is_known=False, open_rooms=self.config.open_rooms)
        opener = self.prefixes.hash(address, forwarded_for, wall_ms=self.clock.wall_ms())
        self._quota.take(opener, rooms=len(self.rooms))
        return self._open(name, self._fresh_room(name), opener)

    def admission(self, name: str) -> Admission:
        """Return what may come into a room, whether it is open or not."""
        room = self.rooms.get(name)
        if room is not None:
            return room.admission
        return self.config.admission(name, now_ms=self.clock.now_ms(), wall_ms=self.clock.wall_ms)

    def presence(self, name: str) -> Presence:
        """Say who is in a room, without opening it.

        Raises:
            PeerError: Rooms are not open to everybody, and this is none of them.
        """
        room = self.rooms.get(name)
        if room is not None:
            return room.presence()
        admit_room(is_known=False, open_rooms=self.config.open_rooms)
        fresh = self._fresh_room(name)
        return (
            fresh.presence(now_ms=self.clock.now_ms())
            if self.cluster is None
            else self.cluster.presence(fresh)
        )

    async def history(self, name: str) -> History:
        """Find the averages of a room, whether it is open or not."""
        room = self.rooms.get(name)
        if room is not None and room.history is not None:
            return room.history
        return await self.room_store.history(name) or History()

    def count_close(self, code: int) -> None:
        """Count a socket that we closed."""
        self.counters.closes[code] += 1

    def forget(self, session: "Session[RoomHost]") -> None:
        """Drop a socket that is gone from every list of deadlines."""
        self.slow.stop(session)
        self.closing.stop(session)
        if not len(self.closing):
            self._all_closed.set()

    def _open(self, name: str, room: Room, opener: bytes | None = None) -> RoomHost:
        opened = self.rooms[name] = RoomHost(self, room, opener)
        self.spawn(opened.load_history())
        opened.feed(Woken())
        return opened

    async def _close_idle_rooms(self) -> None:
        for room in list(self.rooms.values()):
            # Asked in its turn: while the room before it was stored, a connection may have joined this one.
            if not room.is_idle or room.name in self.config.kept_rooms:
                continue
            del self.rooms[room.name]
            room.shut()
            self._quota.release(room.opener)
            await room.save_history()
            if room.name not in self.rooms:  # It may have been opened again meanwhile.
                await self.room_store.forget(room.name)

    def _pages(self) -> Iterator[PublishedFile]:
        """Say what there is to publish."""
        for name in self.config.kept_rooms:
            room, presence_url = self.rooms[name], self.config.presence_url_of(name)
            max_age_s = self.config.config_max_age_s
            yield presence_file(room.presence(), max_age_s=self.config.presence_max_age_s)
            yield config_file(name, room.config, presence_url=presence_url, max_age_s=max_age_s)
            if room.history is not None:
                yield history_file(name, room.history, max_age_s=max_age_s)

    def _fresh_room(self, name: str) -> Room:
        """Make a room in which nobody is."""
        return Room(
            name,
            self.config.room_config(name),
            now_ms=self.clock.now_ms(),
            unknown=self._is_unknown(),
            rate_is_shared=self.cluster is not None,
        )

    def _is_unknown(self) -> bool:
        return self.clock.now_ms() < self._unknown_until_ms

    async def _restore(self, name: str) -> None:
        """Open a room as the last run left it."""
        now_ms = self.clock.now_ms()
        restored = await self.room_store.restore(name)
        room = restored.room(self.config.room_config(name), now_ms=now_ms, crashed=self._crashed)
        if room.count or name in self.config.kept_rooms or room.presence(now_ms=now_ms).method != "counted":
            log.info("room %s: restored %d people", name, room.count)
            self._open(name, room)

    # --- Secrets ----------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch of the secret in use."""
        return self.secrets.epoch

    async def load_secrets(self) -> None:
        """Have this epoch's secret and the last one's; older ones the store has thrown away.

        Raises:
            StoreError: They cannot be read.
        """
        epoch = self.clock.wall_ms() // self.config.room.epoch_ms
        await self.secrets.load(self.secret_source, epoch)

    # --- Deadlines --------------------------------------------------------------------------------------------

    async def _keep_deadlines(self) -> None:
        """Part with whoever let a deadline pass. It never waits for anything but the clock."""
        while True:
            await asyncio.sleep(self._tick_s)
            now_ms = self.clock.now_ms()
            for transport in self.handshakes.ended(now_ms):
                transport.abort()
            for session in self.joining.ended(now_ms):
                session.close(JOIN_LATE)
            for reader in self.slow.ended(now_ms):
                self.count_close(READS_SLOWLY)
                reader.abort()
            for session in self.closing.ended(now_ms):
                session.abort()
            for room in self.rooms.values():
                room.check_leases(now_ms)

    async def _keep_house(self) -> None:
        """Close idle rooms, store histories, change secrets: what may wait for the store."""
        history_due_ms = self.clock.now_ms() + HISTORY_MS
        while True:
            await asyncio.sleep(1)
            try:
                if self.clock.wall_ms() // self.config.room.epoch_ms != self.epoch:
                    await self.load_secrets()
                await self._close_idle_rooms()
            except StoreError as error:
                log.error("the store does not answer: %s", error)
            if self.clock.now_ms() >= history_due_ms:
                history_due_ms += HISTORY_MS
                for room in list(self.rooms.values()):
                    await room.save_history()
