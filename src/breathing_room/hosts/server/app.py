"""All rooms of a server, and the services that they share: the clock, the store, the secrets, the deadlines.

A room is a ``RoomHost`` on a ``ServerPlatform``. Neither depends on a transport
(``hosts/common/rooms/connection.py``) or on HTTP.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Coroutine, Iterator
from typing import Final

from breathing_room.core.admission import Admission, RoomQuota, admit_room, admit_while
from breathing_room.core.deadlines import FixedTimeouts
from breathing_room.core.errors import ConfigError, HostError, StoreError
from breathing_room.core.events import TimerFired
from breathing_room.core.history import History
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.core.wire import JOIN_LATE, READS_SLOWLY, RESTART, retry_reason
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.publishing import (
    PublishedFile,
    Publisher,
    config_file,
    history_file,
    presence_file,
)
from breathing_room.hosts.common.rooms.room_host import RoomHost, RoomServices
from breathing_room.hosts.common.rooms.room_store import RoomStore
from breathing_room.hosts.common.rooms.secrets import SecretSource, StoreSecrets
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.cluster_node import ClusterNode
from breathing_room.hosts.server.platform import CLOSING_MS, ServerPlatform, SocketDeadlines
from breathing_room.ports import Store
from breathing_room.stores import open_store

log = logging.getLogger("breathing_room.server")

# The key of the marker that is present while a server runs: a restart that finds it follows a crash.
RUNNING: Final = "running"

HISTORY_MS: Final = 60_000


ServerRoom = RoomHost[ServerPlatform]


class App(RoomServices):
    """All rooms of a server; other modules call it their ``host``.

    Args:
        config: The server's config.
        store: The store of rooms, None for the one in the config; the host closes it.
        sockets_max: The most connections that may be open at once.
        clock: The two times.

    Raises:
        ConfigError: ``publish_url`` is not valid.
    """

    def __init__(
        self,
        config: ServerConfig,
        store: Store | None = None,
        *,
        sockets_max: int = 1_000_000,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            config,
            clock=clock or Clock(),
            counters=Counters(),
            prefixes=Prefixes(config.proxy_networks, config.networks_without_cap),
        )
        self.store: Store
        self._given_store = store
        self.sockets_max = sockets_max
        self.rooms: dict[str, ServerRoom] = {}
        self.started_at_ms = self.clock.wall_ms()
        self.ready = False
        self.handshakes: FixedTimeouts[asyncio.Transport] = FixedTimeouts(config.handshake_ms)
        self.deadlines = SocketDeadlines(config, self.counters)
        self.slow, self.closing = self.deadlines.slow, self.deadlines.closing
        self.cluster = ClusterNode(self) if config.redis else None
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
        waits_ms = [config.handshake_ms // 4, config.join_ms // 4, config.slow_reader_ms // 4]
        self._tick_s = max(20, min(1_000, *waits_ms, *pings_ms)) / 1_000
        self._starting = asyncio.Lock()

    # --- Start and stop ------------------------------------------------------------------------------------

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
        """Restore every room from the store, and start the background tasks.

        Raises:
            StoreError: The store cannot be opened or read.
        """
        async with self._starting:
            if self.ready:
                return
            self.loop = asyncio.get_running_loop()
            self.store = await self.open_store()
            self.room_store = RoomStore(self.store, self.counters, clock=self.clock.wall_ms)
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
                # In a cluster the marker may be that of a live peer, which writes a delta before it sets the
                # marker.
                crashed = crashed and self.cluster.found_no_peer
            if crashed:
                # The last run ended without a final save: visitors who joined after its last snapshot are not
                # in it.
                self._crashed = True
                self._unknown_until_ms = now_ms + self.config.room.lease_ms
            await self.store.put(RUNNING, b"1")
            for name in await self.room_store.names():
                await self._restore(name)
            for name in set(self.config.kept_rooms) - self.rooms.keys():
                self._open(name, self._fresh_room(name))
            self.ready = True
            self.spawn(self._enforce_deadlines())
            self.spawn(self._run_maintenance())
            if self.cluster is not None:
                self.spawn(self.cluster.run())
            if self.publisher is not None:
                self.spawn(self.publisher.run(self._published_files, self.clock.now_ms))

    async def stop(self) -> None:
        """Close every connection with a time to reconnect, save every room, and close the store."""
        if self.stopping or not self.ready:
            return
        if self.cluster is not None:
            await self.cluster.drain()
        self.stopping = True
        # Before anything is awaited: a server that this is mounted in closes connections by itself a moment
        # later. From now on disconnects change no room.
        self.disconnect_all()
        for room in list(self.rooms.values()):  # An idle one may be closed meanwhile.
            room.platform.cancel_timer()
            await room.platform.save_now()
            await room.platform.save_history()
        self.deadlines.all_closed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_MS / 1_000 if len(self.closing) else 0):
                await self.deadlines.all_closed.wait()
        for connection in list(self.closing):
            connection.abort()
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

    def disconnect_room(self, room: ServerRoom) -> None:
        """Close all connections to a room, each with its own time to reconnect."""
        room.flush()  # Presences that are owed are sent before the close.
        for subscriber in [*(room.pings or ()), *room.subscribers]:
            subscriber.close(RESTART, self.retry_reason())

    def disconnect_all(self) -> None:
        """Close all connections, each with its own time to reconnect."""
        for room in self.rooms.values():
            self.disconnect_room(room)

    @property
    def saved_at_ms(self) -> int | None:
        """The time of the last save of a room, by the wall clock."""
        return self.room_store.saved_at_ms if self.ready else None

    def retry_reason(self) -> bytes:
        """Return a close reason with a random retry time, so that clients do not all reconnect at once."""
        return retry_reason(secrets.randbelow(self.config.reconnect_spread_ms + 1))

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a coroutine in the background, keep a reference to its task, and log an exception."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a background task failed: a bug", exc_info=error)

    # --- Rooms ---------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the server accepts visitors."""
        draining = self.cluster is not None and self.cluster.is_draining
        return self.ready and not self.stopping and not draining

    def room(self, name: str) -> ServerRoom:
        """Return a room, opened if need be."""
        return self.rooms.get(name) or self._open(name, self._fresh_room(name))

    def enter(self, name: str, *, address: str | None, forwarded_for: str | None) -> ServerRoom:
        """Return the room of a new visitor, opened if need be and if the client may open one.

        Args:
            name: The room's name, valid.
            address: The peer of the connection.
            forwarded_for: Its ``X-Forwarded-For``.

        Raises:
            ClientError: The server is stopping, the room does not exist, or too many rooms are open.
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
        """Return the admission of a room, whether it is open or not."""
        room = self.rooms.get(name)
        if room is not None:
            return room.admission
        return self.config.admission(name, now_ms=self.clock.now_ms(), wall_ms=self.clock.wall_ms)

    def presence(self, name: str) -> Presence:
        """Return the presence of a room, without opening it.

        Raises:
            ClientError: ``no_such_room``.
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
        """Return the history of a room, whether it is open or not."""
        room = self.rooms.get(name)
        if room is not None and room.platform.history is not None:
            return room.platform.history
        return await self.room_store.history(name) or History()

    def _open(self, name: str, room: Room, opener: bytes | None = None) -> ServerRoom:
        replica = None if self.cluster is None else self.cluster.replica(room)
        platform = ServerPlatform(
            self,
            self.room_store,
            self.loop,
            self.spawn,
            self.deadlines,
            is_replica=replica is not None,
        )
        opened = self.rooms[name] = platform.room = RoomHost(
            room,
            platform,
            self,
            core=replica,
            averages=lambda: platform.history,
            note=platform.note,
            pings=FixedTimeouts(room.config.ping_ms),
            opener=opener,
        )
        if self.cluster is not None and replica is not None:
            self.cluster.hold(replica, opened.carry_out)
        self.spawn(platform.load_history())
        opened.feed(TimerFired())
        return opened

    async def _close_idle_rooms(self) -> None:
        for room in list(self.rooms.values()):
            # Checked just before it is closed: a connection may have joined while the room before it was
            # saved.
            if room.name in self.config.kept_rooms or not self._is_idle(room):
                continue
            del self.rooms[room.name]
            if self.cluster is not None:
                self.cluster.release(room.name)
            room.platform.cancel_timer()
            self._quota.release(room.opener)
            await (
                room.platform.wait_until_saved()
            )  # A save in progress would write the note again after it was deleted.
            await room.platform.save_history()
            if room.name not in self.rooms:  # It may have been opened again meanwhile.
                await self.room_store.remove(room.name)

    def _is_idle(self, room: ServerRoom) -> bool:
        """Return whether a room has no connection and no lease, a known count, and no delta to send."""
        if room.attached or room.subscribers or room.room.count:
            return False
        if self.cluster is not None and self.cluster.has_unsent(room.name):
            return False
        return room.presence().method == "counted"

    def _published_files(self) -> Iterator[PublishedFile]:
        """Yield the files to publish."""
        for name in self.config.kept_rooms:
            room, presence_url = self.rooms[name], self.config.presence_url_of(name)
            max_age_s = self.config.config_max_age_s
            yield presence_file(room.presence(), max_age_s=self.config.presence_max_age_s)
            yield config_file(name, room.config, presence_url=presence_url, max_age_s=max_age_s)
            if room.platform.history is not None:
                yield history_file(name, room.platform.history, max_age_s=max_age_s)

    def _fresh_room(self, name: str) -> Room:
        """Create an empty room."""
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
        """Restore a room from the store, and open it unless it is idle."""
        now_ms = self.clock.now_ms()
        restored = await self.room_store.restore(name)
        room = restored.room(self.config.room_config(name), now_ms=now_ms, crashed=self._crashed)
        if room.count or name in self.config.kept_rooms or room.presence(now_ms=now_ms).method != "counted":
            log.info("room %s: restored %d leases", name, room.count)
            self._open(name, room)

    # --- Secrets -------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch of the secret in use."""
        return self.secrets.epoch

    async def load_secrets(self) -> None:
        """Load the secrets of this epoch and of the one before.

        Raises:
            StoreError: They cannot be read.
        """
        epoch = self.clock.wall_ms() // self.config.room.epoch_ms
        await self.secrets.load(self.secret_source, epoch)

    # --- Deadlines -----------------------------------------------------------------------------------------

    async def _enforce_deadlines(self) -> None:
        """Close connections whose deadline has passed. This task awaits nothing but the clock."""
        while True:
            await asyncio.sleep(self._tick_s)
            now_ms = self.clock.now_ms()
            for transport in self.handshakes.ended(now_ms):
                transport.abort()
            for connection in self.joining.ended(now_ms):
                connection.close(JOIN_LATE)
            for reader in self.slow.ended(now_ms):
                self.deadlines.count_close(READS_SLOWLY)
                reader.abort()
            for connection in self.closing.ended(now_ms):
                connection.abort()
            for room in self.rooms.values():
                room.platform.check_leases(now_ms)

    async def _run_maintenance(self) -> None:
        """Close idle rooms, save histories, rotate secrets: the work that may wait for the store."""
        history_due_ms = self.clock.now_ms() + HISTORY_MS
        while True:
            await asyncio.sleep(1)
            try:
                if self.clock.wall_ms() // self.config.room.epoch_ms != self.epoch:
                    await self.load_secrets()
                await self._close_idle_rooms()
            except StoreError as error:
                log.error("store unavailable: %s", error)
            if self.clock.now_ms() >= history_due_ms:
                history_due_ms += HISTORY_MS
                for room in list(self.rooms.values()):
                    await room.platform.save_history()
