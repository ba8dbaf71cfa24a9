"""The platform of a room in an object that hibernates: carries out its effects, and takes the runtime's
events.

State that outlasts hibernation is in rows and attachments of sockets (``hibernation.py``). In a room over
several objects the requests between them are ``shard_calls.py``. Nothing here knows the runtime: that is
``durable_object.py``.
"""

import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from breathing_room.core.effects import KeepConnections
from breathing_room.core.errors import HostError, StoreError
from breathing_room.core.events import Event, PanelLeft, PanelReported, PeersChanged, TimerFired
from breathing_room.core.history import History
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.core.snapshot import Snapshot, decode_snapshot, encode_snapshot, with_connected
from breathing_room.core.summary import NO_PEERS
from breathing_room.core.wire import JOIN_LATE
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.clock import Clock, WallClock
from breathing_room.hosts.common.rooms.connection import MEMBER, NEW, OBSERVER
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.hosts.common.rooms.publishing import PublishedFile, Publisher, presence_file
from breathing_room.hosts.common.rooms.room_host import RoomHost, RoomServices, Subscriber
from breathing_room.hosts.common.rooms.room_store import RoomStore
from breathing_room.hosts.common.rooms.secrets import SecretSource, StoreSecrets
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.migration import MIGRATING, KvMigration, Progress, take_over
from breathing_room.hosts.worker.hibernation import (
    EMPTY,
    HISTORY,
    OCCUPIED,
    REST,
    SHARDS,
    SNAPSHOT,
    Kept,
    KeptSecrets,
    with_dropped,
)
from breathing_room.hosts.worker.settings import WorkerConfig
from breathing_room.hosts.worker.shard_calls import (
    ADD_SHARDS,
    Call,
    CoordinatorCalls,
    CoordinatorSecrets,
    ShardCalls,
)
from breathing_room.hosts.worker.shard_calls import SECRET as SECRET_OF
from breathing_room.hosts.worker.socket import EdgeSocket
from breathing_room.ports import PublishTarget, Store

if TYPE_CHECKING:
    from breathing_room.core.identity import Connection, VisitorKey

log = logging.getLogger("breathing_room.worker")

Spawn = Callable[[Coroutine[Any, Any, None]], None]


@dataclass(frozen=True, kw_only=True)
class EdgeServices:
    """The services that the objects of a Worker share.

    Attributes:
        worker: The settings of the Worker.
        clock: The time.
        counters: Counts of this isolate.
        prefixes: Hashes address prefixes, under a key that is drawn once for each isolate.
        store: Where rooms are backed up, None for nowhere.
        target: Where presences are published, None for nowhere.
    """

    worker: WorkerConfig
    clock: Clock = field(default_factory=WallClock)
    counters: Counters = field(default_factory=Counters)
    prefixes: Prefixes
    store: Store | None = None
    target: PublishTarget | None = None

    @property
    def config(self) -> ServerConfig:
        """The settings that servers have as well."""
        return self.worker.server


class WorkerPlatform:
    """The platform of one room, in an object that hibernates.

    Args:
        edge: The services that it shares with other objects.
        name: The room's name.
        kept: The rows that outlast hibernation.
        set_alarm: Sets the one alarm of the object, in place of the former one.
        spawn: Runs a coroutine after the event, and keeps the object awake until it is done.
        shard: The number of the object in the room.
        call: Sends a request to another object of the room; None where there is none.

    Attributes:
        room: The room; it is empty until ``resume`` has built it.
        worker: The settings of the Worker.
        publisher: Publishes the presence; None where it is not published.
        migration: Syncs the room with writers in KV; None after the migration.
        replica_calls: The replica of the room, if several objects hold it; otherwise None.
    """

    def __init__(
        self,
        edge: EdgeServices,
        name: str,
        kept: Kept,
        set_alarm: Callable[[int], None],
        spawn: Spawn,
        *,
        shard: int = 0,
        call: Call | None = None,
    ) -> None:
        # Only the first object writes backups and publishes.
        self._edge = replace(edge, store=None, target=None) if shard else edge
        self.worker = edge.worker
        services = RoomServices(edge.config, clock=edge.clock, counters=edge.counters, prefixes=edge.prefixes)
        config, now_ms = edge.config.room_config(name), edge.clock.now_ms()
        self.room: RoomHost[WorkerPlatform] = RoomHost(
            Room(name, config, now_ms=now_ms, connection_is_lease=True),
            self,
            services,
            averages=self.history,
            note=self._note,
        )
        self.publisher: Publisher | None = None
        self.migration: KvMigration | None = None
        self.replica_calls: CoordinatorCalls | ShardCalls | None = None
        self._services = services
        self._clock = edge.clock
        self._shard = shard
        self._call = call
        self._kept = kept
        self._set_alarm = set_alarm
        self._spawn = spawn
        self._kept_secrets = KeptSecrets(kept, self._shared_secrets())
        self._room_store: RoomStore | None = None
        if self._edge.store is not None:
            self._room_store = RoomStore(self._edge.store, edge.counters, writes_cost=True)
        self._saved_version: object = None
        self._alarm_at_ms: int | None = None
        # The platform loses an alarm that is set while it fires, to the millisecond at which it fires
        # (workerd 1.20261117.1, 2026-11-30).
        self._alarm_fired_at_ms = 0
        self._is_alarm_noted = False
        # Where changes had to wait to be broadcast, more are likely to come. Before this time nothing can be
        # broadcast, so there is one alarm then, which no change and no snapshot moves: moving it costs a row.
        self._busy_until_ms: int | None = None
        # The counts that were broadcast since the averages were written, each with its time.
        self._observations: list[tuple[dict[str, int] | None, int]] = []

    # --- Hibernation ---------------------------------------------------------------------------------------

    async def resume(self, open_sockets: Iterable[EdgeSocket]) -> None:
        """Resume the room: unchanged after hibernation, from the last snapshot after a deploy or a crash,
        else empty.

        Args:
            open_sockets: The connections that the network held, the oldest first.
        """
        await self.load_secrets()
        now_ms = self._clock.now_ms()
        sockets = list(open_sockets)
        members = [
            connection
            for connection in sockets
            if connection.role == MEMBER and connection.standby_at is None
        ]
        rest = self._kept.get(REST)
        try:
            if rest is not None:
                room = self._resume_room(
                    decode_snapshot(rest[1:]), sockets, members, occupied=rest[:1] == OCCUPIED
                )
            else:
                room = await self._restore_backup(now_ms)
        except HostError as error:
            log.error("room %s cannot resume, a row is of no use: %s", self.room.name, error)
            room = Room(
                self.room.name, self.room.config, now_ms=now_ms, unknown=True, connection_is_lease=True
            )
        self.room.begin(room)
        for connection in sockets:
            self.room.settle(connection)
            if connection.role == NEW:
                self._services.joining.start(connection, connection.opened_at_ms)
            else:
                self.room.subscribers[connection] = None
        log.debug("room %s woke, with %d sockets", self.room.name, len(sockets))
        self._saved_version = room.hibernation_version if rest is not None else None
        self._observations = [self._observation(room.presence(now_ms=now_ms), now_ms)]
        if self._edge.store is not None and self._kept.get(MIGRATING) is not None:
            self.migration = KvMigration(
                self.room.name, self._edge.store, self.worker.store_mode, now_ms=now_ms
            )
        await self._resume_replica(sockets, dropped=rest is not None and rest[:1] == OCCUPIED and not members)
        if rest is None:
            self.room.feed(TimerFired())
        elif self.replica_calls is not None:
            self.commit()
        if self._edge.target is not None and self.room.name in self._edge.config.kept_rooms:
            self.publisher = Publisher(self._edge.target, publish_ms=self._edge.config.publish_ms)

    async def _resume_replica(self, sockets: list[EdgeSocket], *, dropped: bool) -> None:
        """Resume the replica, if the room is held by several objects."""
        kept = self._kept.get(SHARDS)
        if self._call is None or (kept is None and not self._shard):
            return
        calls = (
            ShardCalls(self.room, self._shard, self._call)
            if self._shard
            else CoordinatorCalls(self.room, self._call)
        )
        if kept is not None:
            try:
                calls.resume(kept)
            except HostError as error:
                log.error("room %s: the row of the other objects is of no use: %s", self.room.name, error)
        for connection in sockets:
            if connection.standby_at is not None:
                calls.resume_standby(connection)
        if dropped:
            calls.connections_lost()
        if isinstance(calls, ShardCalls) and calls.shard.is_new:
            await calls.send_report()
        self._use_replica(calls)

    def _resume_room(
        self, rest: Snapshot, sockets: list[EdgeSocket], members: list[EdgeSocket], *, occupied: bool
    ) -> Room:
        """Resume the room from its rows and the attachments of its sockets."""
        mood_of = {connection.key: connection.mood for connection in members if connection.key is not None}
        connections: dict[Connection, VisitorKey] = {
            connection: connection.key for connection in members if connection.key is not None
        }
        lease_ms, now_ms = self.room.config.lease_ms, self._clock.now_ms()
        snapshot = with_connected(rest, mood_of, left_ms=lease_ms)
        if occupied and not members:
            snapshot = with_dropped(rest, self._kept.get(SNAPSHOT), lease_ms=lease_ms, now_ms=now_ms)
        if rest.moods != self.room.config.moods:  # A deploy changed them, and dropped every socket.
            return Room.restore(snapshot, self.room.config, now_ms=now_ms, connection_is_lease=True)
        observers = [connection for connection in sockets if connection.role == OBSERVER]
        return Room.resume(
            snapshot, self.room.config, connections, observers=observers, connection_is_lease=True
        )

    async def _restore_backup(self, now_ms: int) -> Room:
        """Restore the backup that another host left in the store; return an empty room if there is none."""
        room = Room(self.room.name, self.room.config, now_ms=now_ms, connection_is_lease=True)
        if self._room_store is None or self._edge.store is None:
            return room
        try:
            restored = await self._room_store.restore(self.room.name)
            if restored.is_known:
                history = await self._room_store.history(self.room.name)
                if history is not None:
                    self._kept.put(HISTORY, history.encode())
                return restored.room(self.room.config, now_ms=now_ms, connection_is_lease=True)
            taken = await take_over(self._edge.store, self.worker.store_mode, room, now_ms=now_ms)
        except (StoreError, HostError) as error:
            log.error("room %s cannot be restored from the store: %s", self.room.name, error)
            return Room(
                self.room.name, self.room.config, now_ms=now_ms, unknown=True, connection_is_lease=True
            )
        if taken is None:
            return room
        self._kept.put(MIGRATING, b"")
        return taken

    # --- Platform ------------------------------------------------------------------------------------------

    def call_soon(self, flush: Callable[[], None]) -> None:
        """Call back at once: an object handles one event per turn."""
        flush()

    def send(self, subscribers: Mapping[Subscriber, None], encoded: EncodedPresence) -> None:
        """Send a presence to all subscribers."""
        now_ms, timer_at_ms = self._clock.now_ms(), self.room.next_timer_ms
        if subscribers and timer_at_ms is not None and timer_at_ms <= now_ms:
            self._busy_until_ms = now_ms + self.room.room.push_ms
        self._observations.append(self._observation(encoded.presence, now_ms))
        self._edge.counters.pushes += len(subscribers)
        for subscriber in subscribers:
            subscriber.push(encoded)

    def set_timer(self, at_ms: int | None) -> None:
        """Do nothing: ``commit`` sets the alarm, to the first of all deadlines."""

    def save(self) -> None:
        """Save a snapshot in a row, since a deploy drops every connection, and in the store."""
        snapshot = self.room.room.snapshot()
        encoded = encode_snapshot(snapshot)
        self._kept.put(SNAPSHOT, encoded)
        now_ms = self._clock.now_ms()
        self._observations.append((self._observations[-1][0], now_ms))
        if self._shard:  # The averages are the first object's.
            self._observations = self._observations[-1:]
            return
        history = self.history().encode()
        self._kept.put(HISTORY, history)
        self._observations = self._observations[-1:]
        if self._room_store is not None:
            elsewhere = 0 if self.replica_calls is None else self.replica_calls.replica.peer_leases
            if elsewhere:  # A host that restores it does not know of those.
                snapshot = replace(snapshot, unknown_until_ms=now_ms + self.room.config.lease_ms)
                encoded = encode_snapshot(snapshot)
            self._spawn(self._back_up(self._room_store, snapshot, encoded, history, elsewhere))

    @staticmethod
    async def _back_up(
        store: RoomStore, snapshot: Snapshot, encoded: bytes, history: bytes, elsewhere: int
    ) -> None:
        await store.save(snapshot, encoded, elsewhere=elsewhere, history=history)

    def keep(self, effect: KeepConnections) -> None:
        """Attach the state of connections to their sockets."""
        for socket in cast("tuple[EdgeSocket, ...]", effect.connections):
            socket.key, socket.mood, socket.standby_at = effect.visitor, effect.mood, effect.standby_at
            socket.save_attachment()

    def commit(self) -> None:
        """Save what changed, set the alarm, and publish if it is time."""
        if self.replica_calls is not None:
            self._save_peers(self.replica_calls)
        self._save_rest()
        self._rearm()
        if self.publisher is not None:
            self._publish(self.publisher)

    def _save_peers(self, calls: CoordinatorCalls | ShardCalls) -> None:
        if isinstance(calls, CoordinatorCalls) and calls.is_alone:
            self.replica_calls = None
            self.room.begin(self.room.room)
            self._kept.delete(SHARDS)
            self.room.carry_out(self.room.room.step(PeersChanged(NO_PEERS), now_ms=self._clock.now_ms()))
        elif (kept := calls.save()) is not None:
            self._kept.put(SHARDS, kept)

    def _save_rest(self) -> None:
        """Save the state that no attachment holds, if it changed."""
        room = self.room.room
        version = room.hibernation_version
        if version != self._saved_version:
            self._saved_version = version
            occupied = OCCUPIED if room.connection_count else EMPTY
            self._kept.put(REST, occupied + encode_snapshot(room.snapshot(connected=False)))

    def _rearm(self) -> None:
        """Set the one alarm to the earliest deadline.

        An early alarm is harmless. A late one is so while there are no subscribers, and rarer.
        """
        now_ms, timer_at_ms = self._clock.now_ms(), self.room.next_timer_ms
        if timer_at_ms is not None and not self.room.subscribers:
            timer_at_ms = max(timer_at_ms, now_ms + self.worker.idle_alarm_ms)
        if self._busy_until_ms is not None and self._busy_until_ms <= now_ms:
            self._busy_until_ms = None
        if self.replica_calls is not None:
            self.replica_calls.after_step()
            timer_at_ms = self.replica_calls.next_at_ms(timer_at_ms)
        else:
            timer_at_ms = self._busy_until_ms or timer_at_ms
        sync_at_ms = None if self.migration is None else self.migration.next_at_ms
        deadlines = (timer_at_ms, self._services.joining.next_at_ms, sync_at_ms)
        at_ms = min((deadline for deadline in deadlines if deadline is not None), default=None)
        if at_ms is None:
            return
        at_ms = max(at_ms, self._alarm_fired_at_ms + 1)
        if self._alarm_at_ms is None or at_ms < self._alarm_at_ms:
            self._alarm_at_ms = at_ms
            self._set_alarm(at_ms)

    # --- What the runtime calls ----------------------------------------------------------------------------

    def accept(self, socket: EdgeSocket) -> None:
        """Accept a new connection, which has ``join_ms`` for its join or observe."""
        self._rearm()
        socket.save_attachment()

    def on_timer(self) -> None:
        """Handle the alarm: migration, join timeouts and the room's timer."""
        now_ms = self._clock.now_ms()
        if not self._is_alarm_noted:
            self._note_alarm()
        self._is_alarm_noted = False
        if self.migration is not None and self.migration.next_at_ms <= now_ms:
            # Before the round, so that the alarm that is set now is the next round's, however this one ends.
            self.migration.begin_round(now_ms)
            self._spawn(self._sync_migration(self.migration))
        for connection in self._services.joining.ended(now_ms):
            connection.close(JOIN_LATE)
        self.room.on_timer()

    def _note_alarm(self) -> None:
        """Note that the alarm fired, perhaps a little early."""
        self._alarm_fired_at_ms = max(self._clock.now_ms(), self._alarm_at_ms or 0)
        self._alarm_at_ms = None
        self._is_alarm_noted = True

    # --- Other objects of the room -------------------------------------------------------------------------

    async def sync(self) -> None:
        """Exchange deltas with the other objects, if any are due, and carry out what follows."""
        if (calls := self.replica_calls) is not None:
            self._note_alarm()
            await calls.sync()  # Meanwhile the others may be removed, so that the room is one object again.
            self.room.carry_out(self.room.core.step(TimerFired(), now_ms=self._clock.now_ms()))
            calls.timer_fired()
            self.commit()

    async def answer_internal(self, path: str, body: bytes) -> bytes:
        """Answer another object of this room, or the Worker in front.

        Args:
            path: The path after ``INTERNAL_PATH``.
            body: The body.

        Raises:
            HostError: The path or the body is not one of these.
        """
        if path.startswith(SECRET_OF):
            return await self._kept_secrets.share(
                int(path.removeprefix(SECRET_OF)), self._services.secrets.epoch
            )
        if self.replica_calls is None and not self._shard and self._call is not None:
            self._use_replica(CoordinatorCalls(self.room, self._call))
        if path.startswith(ADD_SHARDS):
            assert isinstance(self.replica_calls, CoordinatorCalls)
            shards = self.replica_calls.add_shards(int(path.removeprefix(ADD_SHARDS)), self.worker.shards_max)
            self.commit()
            return str(shards).encode()
        assert self.replica_calls is not None
        answer = await self.replica_calls.answer(path, body)
        self.commit()
        return answer

    def _use_replica(self, calls: CoordinatorCalls | ShardCalls) -> None:
        """Step the room as one replica of several from now on."""
        self.replica_calls = calls
        self.room.begin(self.room.room, calls.replica)

    @property
    def shards(self) -> int:
        """The number of objects that hold the room, in the first one; 1 in the others."""
        return (
            self.replica_calls.coordinator.shards if isinstance(self.replica_calls, CoordinatorCalls) else 1
        )

    def progress(self) -> Progress:
        """Return the progress of the migration out of KV."""
        if self.migration is not None:
            return self.migration.progress(self.room.room)
        return Progress(syncing=False, seats=self.room.room.panel.seat_count, elsewhere=0)

    def history(self) -> History:
        """Return the averages; empty ones if they cannot be read."""
        stored = self._kept.get(HISTORY)
        try:
            history = History() if stored is None else History.decode(stored)
        except HostError as error:
            log.error("the history of room %s cannot be read: %s", self.room.name, error)
            history = History()
        for people, wall_ms in self._observations:
            history.observe(people, wall_ms=wall_ms)
        return history

    def _note(self, event: Event) -> None:
        """Record an event for the writers in KV."""
        if self.migration is not None and isinstance(event, PanelReported | PanelLeft):
            self.migration.note(event, self._clock.now_ms())

    @staticmethod
    def _observation(presence: Presence, now_ms: int) -> tuple[dict[str, int] | None, int]:
        """Return what the averages count of a presence: what was published, so that they disclose no more
        than that.
        """
        return (presence.people if presence.method in {"counted", "sampled"} else None), now_ms

    # --- Migration -----------------------------------------------------------------------------------------

    async def _sync_migration(self, migration: KvMigration) -> None:
        """Sync with the writers of store mode; a failure is logged and made up for by the next round."""
        try:
            for event in await migration.sync(self.room.room, self._clock.now_ms()):
                self.room.feed(event)
        except (StoreError, HostError) as error:
            log.error("room %s could not sync with KV: %s", self.room.name, error)
        if migration.over:
            self.migration = None
            self._kept.delete(MIGRATING)
            log.debug("the migration of room %s out of KV is over", self.room.name)
        self._rearm()

    # --- Publish -------------------------------------------------------------------------------------------

    def _publish(self, publisher: Publisher) -> None:
        """Publish the presence after an event, if it is time; no alarm is set for it."""
        now_ms = self._clock.now_ms()
        if publisher.is_round_due(now_ms):
            presence = self.room.presence(run_overdue_timer=False)
            page = presence_file(presence, max_age_s=self._edge.config.presence_max_age_s)
            self._spawn(self._publish_page(publisher, page, now_ms))

    @staticmethod
    async def _publish_page(publisher: Publisher, page: PublishedFile, now_ms: int) -> None:
        await publisher.publish([page], now_ms=now_ms)

    # --- Secrets -------------------------------------------------------------------------------------------

    def _shared_secrets(self) -> SecretSource | None:
        """Return the source of the secrets: the first object for all others, and the store for the first."""
        if self._shard and self._call is not None:
            return CoordinatorSecrets(self._call)
        if self._edge.store is None:
            return None
        epoch_ms = self._edge.config.room.epoch_ms
        return StoreSecrets(self._edge.store, epoch_ms=epoch_ms, clock=self._clock.wall_ms)

    async def load_secrets(self) -> None:
        """Load the secrets of this epoch and the last one, and remove older ones, once in each epoch."""
        epoch = self._clock.wall_ms() // self._edge.config.room.epoch_ms
        if epoch != self._services.secrets.epoch:
            await self._services.secrets.load(self._kept_secrets, epoch)
