"""The worker host: feeds one room, carries out its effects, and sets its one alarm.

``RoomHost`` is a room with its audience, and lives as long as its object is awake; ``Host`` is what it shares with all others of the
same Worker. Neither knows the platform: that is ``durable_object.py``.
"""

import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from breathing_room.core.deadlines import FixedTimeouts
from breathing_room.core.effects import Broadcast, Close, Effect, KeepConnections, SaveSnapshot, Send, Step
from breathing_room.core.errors import HostError, StoreError
from breathing_room.core.estimate.history import estimated
from breathing_room.core.events import Event, PeersChanged, Reported, Withdrew, Woken
from breathing_room.core.history import History
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.leases import RESTORED, SILENT
from breathing_room.core.presence import Presence
from breathing_room.core.replication.replica import Replica
from breathing_room.core.room import Room
from breathing_room.core.snapshot import Snapshot, decode_snapshot, encode_snapshot, with_connected
from breathing_room.core.summary import NO_PEERS
from breathing_room.core.wire import JOIN_LATE
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.clock import Clock, WallClock
from breathing_room.hosts.common.rooms.connection import NEW, OBSERVER, PERSON
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.encoded_presence import Announcement
from breathing_room.hosts.common.rooms.publishing import PublishedFile, Publisher, presence_file
from breathing_room.hosts.common.rooms.room_store import RoomStore
from breathing_room.hosts.common.rooms.secrets import Secrets, SecretSource, StoreSecrets
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.migration import FOLLOWS, Follower, Progress, take_over
from breathing_room.hosts.worker.hibernation import HISTORY, REST, SHARDS, SNAPSHOT, Kept, KeptSecrets
from breathing_room.hosts.worker.settings import WorkerConfig
from breathing_room.hosts.worker.shards import GROW, Call, Child, Parent, SharedByFirst
from breathing_room.hosts.worker.shards import SECRET as SECRET_OF
from breathing_room.hosts.worker.socket import EdgeSocket
from breathing_room.ports import PublishTarget, Store

log = logging.getLogger("breathing_room.worker")

# Whether anybody was on a socket when the rest was written: if nobody is now, a deploy or a crash dropped them.
OCCUPIED: Final = b"\x01"
EMPTY: Final = b"\x00"

Spawn = Callable[[Coroutine[Any, Any, None]], None]


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the rooms of a Worker share.

    Attributes:
        worker: How the Worker works.
        clock: The time.
        counters: What was counted since the code was loaded.
        prefixes: Hashes address prefixes, under a key that lives as long as that.
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
        """The part that a server has, too."""
        return self.worker.server


class RoomHost:
    """One room, awake.

    Args:
        host: What it shares with others.
        name: The room's name.
        kept: What it remembers while it sleeps.
        set_alarm: Asks to be woken at a time, and at no other.
        spawn: Lets something go on after the event is over, without keeping the room awake for longer than that takes.
        shard: Which object of the room it is in.
        call: Asks another one; None where there is none.

    Attributes:
        config: How the room works.
        room: The room itself, once ``wake`` built it.
        audience: The sockets that are told of every change: the keys of a dict, in the order in which they came.
        admission: What may come in.
        publisher: Publishes its presence, None where it is not.
        follower: Keeps it together with what is left of it in KV, None where nothing is.
        part: What stands beside it if it is one of several parts, else None.
    """

    room: Room

    def __init__(
        self,
        host: Host,
        name: str,
        kept: Kept,
        set_alarm: Callable[[int], None],
        spawn: Spawn,
        *,
        shard: int = 0,
        call: Call | None = None,
    ) -> None:
        # Backups and publishing are the first object's business.
        self.host = replace(host, store=None, target=None) if shard else host
        self.name = name
        self.config = host.config.room_config(name)
        self.ping_ms = self.config.ping_ms
        self.audience: dict[EdgeSocket, None] = {}
        self.sockets: dict[EdgeSocket, None] = {}
        self.admission = host.config.admission(name, now_ms=host.clock.now_ms(), wall_ms=host.clock.wall_ms)
        self.publisher: Publisher | None = None
        self.follower: Follower | None = None
        self.part: Parent | Child | None = None
        self._shard = shard
        self._call = call
        self._kept = kept
        self._set_alarm = set_alarm
        self._spawn = spawn
        self._secrets = Secrets()
        self._kept_secrets = KeptSecrets(kept, self._shared_secrets())
        self._room_store: RoomStore | None = None
        if self.host.store is not None:
            self._room_store = RoomStore(self.host.store, host.counters, writes_cost=True)
        self._joining: FixedTimeouts[EdgeSocket] = FixedTimeouts(host.config.join_ms)
        self._stamp: object = None
        self._alarm_at_ms: int | None = None
        # The platform loses an alarm that is set, as it rings, to the millisecond at which it rings (workerd 1.20261117.1, 2026-11-30).
        self._rang_at_ms = 0
        self._has_rung = False
        self._wake_at_ms: int | None = None
        # Where changes had to wait to be told, more are likely to come. Before this time nobody can be told anything, so there is one
        # alarm then, which no change and no snapshot moves: to move it is a row.
        self._busy_until_ms: int | None = None
        # What the room said since the averages were written, each with the time.
        self._said: list[tuple[dict[str, int] | None, int]] = []

    # --- Wake ----------------------------------------------------------------------------------------------------

    async def wake(self, open_sockets: Iterable[EdgeSocket]) -> None:
        """Go on: after a sleep as if there had been none, after a deploy or a crash from the last snapshot, or anew.

        Args:
            open_sockets: Those that the network kept, the oldest first.
        """
        await self.load_secrets()
        now_ms = self.host.clock.now_ms()
        sockets = list(open_sockets)
        people = [session for session in sockets if session.role == PERSON and session.parked is None]
        rest = self._kept.get(REST)
        try:
            if rest is not None:
                self.room = self._awoken(decode_snapshot(rest[1:]), people, occupied=rest[:1] == OCCUPIED)
            else:
                self.room = await self._restored(now_ms)
        except HostError as error:
            log.error("room %s: what was kept is of no use: %s", self.name, error)
            self.room = Room(self.name, self.config, now_ms=now_ms, unknown=True, connection_is_lease=True)
        for session in sockets:
            if session.role == NEW:
                self._joining.start(session, session.opened_at_ms)
            else:
                self.audience[session] = None
        log.debug("room %s woke, with %d sockets", self.name, len(sockets))
        self._stamp = self.room.rest_stamp if rest is not None else None
        self._said = [self._observation(self.room.presence(now_ms=now_ms), now_ms)]
        if self.host.store is not None and self._kept.get(FOLLOWS) is not None:
            self.follower = Follower(self.name, self.host.store, self.host.worker.stateless, now_ms=now_ms)
        await self._wake_part(sockets, dropped=rest is not None and rest[:1] == OCCUPIED and not people)
        if rest is None:
            self.feed(Woken())
        elif self.part is not None:
            self._settle()
        if self.host.target is not None and self.name in self.host.config.kept_rooms:
            self.publisher = Publisher(self.host.target, publish_ms=self.host.config.publish_ms)

    async def _wake_part(self, sockets: list[EdgeSocket], *, dropped: bool) -> None:
        """Go on as one of several parts, if that is what the room is."""
        kept = self._kept.get(SHARDS)
        if self._call is None or (kept is None and not self._shard):
            return
        part = Child(self, self._shard, self._call) if self._shard else Parent(self, self._call)
        if kept is not None:
            try:
                part.wake(kept)
            except HostError as error:
                log.error("room %s: what was kept of its other parts is of no use: %s", self.name, error)
        for session in sockets:
            if session.parked is not None:
                part.adopt(session)
        if dropped:
            part.lost_people()
        if isinstance(part, Child) and part.spoke.is_new:
            await part.greet()
        self.part = part

    def _awoken(self, rest: Snapshot, people: list[EdgeSocket], *, occupied: bool) -> Room:
        """Put the room together from what its sockets and its rows hold."""
        mood_of = {session.key: session.mood for session in people if session.key is not None}
        connections: dict[Connection, VisitorKey] = {
            session: session.key for session in people if session.key is not None
        }
        lease_ms, now_ms = self.config.lease_ms, self.host.clock.now_ms()
        snapshot = with_connected(rest, mood_of, left_ms=lease_ms)
        if occupied and not people:
            snapshot = self._with_dropped(rest, now_ms)
        if rest.moods != self.config.moods:  # A deploy changed them, and dropped every socket.
            return Room.restore(snapshot, self.config, now_ms=now_ms, connection_is_lease=True)
        observers = [session for session in self.sockets if session.role == OBSERVER]
        return Room.wake(snapshot, self.config, connections, observers=observers, connection_is_lease=True)

    def _with_dropped(self, rest: Snapshot, now_ms: int) -> Snapshot:
        """Add the people whose sockets a deploy or a crash dropped, as far as the last snapshot knows them."""
        stored = self._kept.get(SNAPSHOT)
        saved = None if stored is None else decode_snapshot(stored)
        known = {key for key, *_ in rest.people}
        dropped = (
            {}
            if saved is None
            else {
                key: mood for key, mood, flags, _ in saved.people if not flags & SILENT and key not in known
            }
        )
        expires_at_ms = 0 if saved is None else saved.as_of_ms + self.config.lease_ms
        if not dropped or expires_at_ms <= now_ms:
            # Nobody knows who will come back.
            return replace(rest, unknown_until_ms=now_ms + self.config.lease_ms)
        left_ms = expires_at_ms - rest.as_of_ms
        return with_connected(rest, dropped, left_ms=left_ms, flags=SILENT | RESTORED)

    async def _restored(self, now_ms: int) -> Room:
        """Begin where another host stopped, if it left something in the store; otherwise with an empty room."""
        room = Room(self.name, self.config, now_ms=now_ms, connection_is_lease=True)
        if self._room_store is None or self.host.store is None:
            return room
        try:
            restored = await self._room_store.restore(self.name)
            if restored.is_known:
                history = await self._room_store.history(self.name)
                if history is not None:
                    self._kept.put(HISTORY, history.encode())
                return restored.room(self.config, now_ms=now_ms, connection_is_lease=True)
            taken = await take_over(self.host.store, self.host.worker.stateless, room, now_ms=now_ms)
        except (StoreError, HostError) as error:
            log.error("room %s: the store is of no use: %s", self.name, error)
            return Room(self.name, self.config, now_ms=now_ms, unknown=True, connection_is_lease=True)
        if taken is None:
            return room
        self._kept.put(FOLLOWS, b"")
        return taken

    # --- Feed, perform, re-arm --------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Tell the room something, do what it asks for in return, and keep what changed.

        Raises:
            PeerError: The room refused the event.
        """
        self.take(self._core.step(event, now_ms=self.host.clock.now_ms()))
        self._settle()

    @property
    def _core(self) -> Room | Replica:
        return self.room if self.part is None else self.part.replica

    def take(self, step: Step) -> None:
        """Carry out the effects of a step."""
        for effect in step.effects:
            self._perform(effect)
        self._wake_at_ms = step.next_timer_ms

    def _settle(self) -> None:
        """Keep what changed, and see to what is due later."""
        if self.part is not None:
            self._keep_part(self.part)
        self._keep_rest()
        self._rearm(self._wake_at_ms)
        if self.publisher is not None:
            self._publish(self.publisher)

    def _keep_part(self, part: Parent | Child) -> None:
        if isinstance(part, Parent) and part.is_alone:
            self.part = None
            self._kept.delete(SHARDS)
            self.take(self.room.step(PeersChanged(NO_PEERS), now_ms=self.host.clock.now_ms()))
        elif (kept := part.keep()) is not None:
            self._kept.put(SHARDS, kept)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(connection):
                assert isinstance(connection, EdgeSocket)
                self.host.counters.answers += 1
                connection.push(Announcement(self._say(self._flush())))
            case Broadcast():
                self._broadcast(self._flush())
            case KeepConnections(connections, visitor, mood, standby_at):
                for connection in connections:
                    assert isinstance(connection, EdgeSocket)
                    connection.key, connection.mood, connection.parked = visitor, mood, standby_at
                    connection.keep()
            case Close(connection, code):
                assert isinstance(connection, EdgeSocket)
                connection.close(code)
            case SaveSnapshot():
                self._save()

    def _say(self, presence: Presence) -> Presence:
        """Put what is usual in place of what nobody knows, where the room is set so: all that leaves a room comes through here."""
        if presence.method != "unknown" or not self.config.history_fallback:
            return presence
        wall_ms = self.host.clock.wall_ms()
        return estimated(presence, self.history(), wall_ms=wall_ms, cell_min=self.config.cell_min)

    def _flush(self) -> Presence:
        """Return the presence to send."""
        return self._core.flush(now_ms=self.host.clock.now_ms())

    def _broadcast(self, presence: Presence) -> None:
        now_ms = self.host.clock.now_ms()
        if self.audience and self._wake_at_ms is not None and self._wake_at_ms <= now_ms:
            self._busy_until_ms = now_ms + self.room.push_ms
        self._said.append(self._observation(presence, now_ms))
        self._announce(self._say(presence))

    def _announce(self, presence: Presence) -> None:
        told = Announcement(presence)
        self.host.counters.announcements += 1
        self.host.counters.pushes += len(self.audience)
        for session in self.audience:
            session.push(told)

    def _keep_rest(self) -> None:
        """Write what no socket remembers, if it changed."""
        stamp = self.room.rest_stamp
        if stamp != self._stamp:
            self._stamp = stamp
            occupied = OCCUPIED if self.room.connection_count else EMPTY
            self._kept.put(REST, occupied + encode_snapshot(self.room.snapshot(connected=False)))

    def _rearm(self, wake_at_ms: int | None) -> None:
        """Keep one alarm, set to the earliest wish. One that rings too early does no harm, and while nobody watches neither does one too late."""
        self._wake_at_ms = wake_at_ms
        if wake_at_ms is not None and not self.audience:
            wake_at_ms = max(wake_at_ms, self.host.clock.now_ms() + self.host.worker.lazy_ms)
        if self._busy_until_ms is not None and self._busy_until_ms <= self.host.clock.now_ms():
            self._busy_until_ms = None
        if self.part is not None:
            self.part.stepped()
            wake_at_ms = self.part.next_at_ms(wake_at_ms)
        else:
            wake_at_ms = self._busy_until_ms or wake_at_ms
        follow_at_ms = None if self.follower is None else self.follower.next_at_ms
        wishes = (wake_at_ms, self._joining.next_at_ms, follow_at_ms)
        at_ms = min((wish for wish in wishes if wish is not None), default=None)
        if at_ms is None:
            return
        at_ms = max(at_ms, self._rang_at_ms + 1)
        if self._alarm_at_ms is None or at_ms < self._alarm_at_ms:
            self._alarm_at_ms = at_ms
            self._set_alarm(at_ms)

    def report(self, event: Reported | Withdrew) -> None:
        """Tell the room what somebody without a socket said.

        Raises:
            PeerError: The room refused it.
        """
        if self.follower is not None:
            self.follower.note(event, self.host.clock.now_ms())
        self.feed(event)

    def alarm_rang(self) -> None:
        """The time that was asked for has come."""
        now_ms = self.host.clock.now_ms()
        if not self._has_rung:
            self._ring()
        self._has_rung = False
        if self.follower is not None and self.follower.next_at_ms <= now_ms:
            # Before it begins, so that the alarm that is set now is the next round's, however this one ends.
            self.follower.begin_round(now_ms)
            self._spawn(self._follow(self.follower))
        for session in self._joining.ended(now_ms):
            session.close(JOIN_LATE)
        self.feed(Woken())

    def _ring(self) -> None:
        """Note that the alarm rings, perhaps a little early."""
        self._rang_at_ms = max(self.host.clock.now_ms(), self._alarm_at_ms or 0)
        self._alarm_at_ms = None
        self._has_rung = True

    # --- Other parts of the room ------------------------------------------------------------------------------

    async def talk(self) -> None:
        """Tell other objects what they should know, and everybody here what follows from what they answer."""
        if (part := self.part) is not None:
            self._ring()
            await part.talk()  # Meanwhile the others may have gone, and the room be one object again.
            self.take(self._core.step(Woken(), now_ms=self.host.clock.now_ms()))
            part.woken()
            self._settle()

    async def answer_within(self, path: str, body: bytes) -> bytes:
        """Answer another object of this room, or the Worker in front of all.

        Args:
            path: After ``WITHIN``.
            body: What was sent.

        Raises:
            HostError: It makes no sense.
        """
        if path.startswith(SECRET_OF):
            return await self._kept_secrets.share(int(path.removeprefix(SECRET_OF)), self.epoch)
        if self.part is None and not self._shard and self._call is not None:
            self.part = Parent(self, self._call)
        if path.startswith(GROW):
            assert isinstance(self.part, Parent)
            shards = self.part.grow(int(path.removeprefix(GROW)), self.host.worker.shards_max)
            self._settle()
            return str(shards).encode()
        assert self.part is not None
        answer = await self.part.answer(path, body)
        self._settle()
        return answer

    @property
    def shards(self) -> int:
        """The objects among which people are spread, as far as the first of them knows."""
        return self.part.hub.shards if isinstance(self.part, Parent) else 1

    # --- What sessions and routes ask -------------------------------------------------------------------------

    def attach(self, session: EdgeSocket) -> None:
        """A socket leads here; it is not of the audience before it says so."""
        self.sockets[session] = None

    def accept(self, session: EdgeSocket) -> None:
        """A socket was opened: it has some time to say what it is."""
        self._joining.start(session, session.opened_at_ms)
        self._rearm(self._wake_at_ms)
        session.keep()

    def settle(self, session: EdgeSocket) -> None:
        """A socket has said what it is: it is late no more."""
        self._joining.stop(session)
        session.keep()

    def detach(self, session: EdgeSocket) -> None:
        """A socket is gone."""
        self.sockets.pop(session, None)
        self.audience.pop(session, None)
        self._joining.stop(session)

    def visitor_key(self, visitor: str) -> VisitorKey:
        """Hash a visitor id; a visitor who came in under the last secret keeps that key."""
        return self._secrets.visitor_key(visitor, room=self.name, holds=self.room.holds)

    def presence(self) -> Presence:
        """Say who is here now, whether or not the alarm has rung for what is due."""
        now_ms = self.host.clock.now_ms()
        if self._wake_at_ms is not None and self._wake_at_ms <= now_ms:
            self.feed(Woken())
        return self._say(self._core.presence(now_ms=now_ms))

    def progress(self) -> Progress:
        """Say how far the room is on its way out of KV."""
        if self.follower is not None:
            return self.follower.progress(self.room)
        return Progress(following=False, seats=self.room.panel.seat_count, elsewhere=0)

    def history(self) -> History:
        """Read the averages; what cannot be read is begun anew."""
        stored = self._kept.get(HISTORY)
        try:
            history = History() if stored is None else History.decode(stored)
        except HostError as error:
            log.error("the history of room %s is of no use: %s", self.name, error)
            history = History()
        for people, wall_ms in self._said:
            history.observe(people, wall_ms=wall_ms)
        return history

    # --- Store ------------------------------------------------------------------------------------------------

    @staticmethod
    def _observation(presence: Presence, now_ms: int) -> tuple[dict[str, int] | None, int]:
        """Note what was said for the averages, which rest on what was published: else they would tell what was not."""
        return (presence.people if presence.method in {"counted", "sampled"} else None), now_ms

    def _save(self) -> None:
        """Keep a snapshot, for when a deploy drops every socket, and put it into the store."""
        snapshot = self.room.snapshot()
        encoded = encode_snapshot(snapshot)
        self._kept.put(SNAPSHOT, encoded)
        now_ms = self.host.clock.now_ms()
        self._said.append((self._said[-1][0], now_ms))
        if self._shard:  # The averages are the first object's.
            self._said = self._said[-1:]
            return
        history = self.history().encode()
        self._kept.put(HISTORY, history)
        self._said = self._said[-1:]
        if self._room_store is not None:
            elsewhere = 0 if self.part is None else self.part.replica.peer_leases
            if elsewhere:  # A host that goes on from it knows nothing of those.
                snapshot = replace(snapshot, unknown_until_ms=now_ms + self.config.lease_ms)
                encoded = encode_snapshot(snapshot)
            self._spawn(self._back_up(self._room_store, snapshot, encoded, history, elsewhere))

    @staticmethod
    async def _back_up(
        store: RoomStore, snapshot: Snapshot, encoded: bytes, history: bytes, elsewhere: int
    ) -> None:
        await store.save(snapshot, encoded, elsewhere=elsewhere, history=history)

    # --- Follow -----------------------------------------------------------------------------------------------

    async def _follow(self, follower: Follower) -> None:
        """Hear those who still report to the stateless mode, and let them hear us; a failure is made up for by the next time."""
        try:
            for event in await follower.follow(self.room, self.host.clock.now_ms()):
                self.feed(event)
        except (StoreError, HostError) as error:
            log.error("room %s could not follow what is in KV: %s", self.name, error)
        if follower.over:
            self.follower = None
            self._kept.delete(FOLLOWS)
            log.debug("room %s follows no more", self.name)
        self._rearm(self._wake_at_ms)

    # --- Publish ----------------------------------------------------------------------------------------------

    def _publish(self, publisher: Publisher) -> None:
        """Publish the presence, if it is time: with whatever happens, and never by alarm."""
        now_ms = self.host.clock.now_ms()
        if publisher.is_time(now_ms):
            page = presence_file(
                self._say(self._core.presence(now_ms=now_ms)), max_age_s=self.host.config.presence_max_age_s
            )
            self._spawn(self._publish_page(publisher, page, now_ms))

    @staticmethod
    async def _publish_page(publisher: Publisher, page: PublishedFile, now_ms: int) -> None:
        await publisher.publish([page], now_ms=now_ms)

    # --- Secrets ----------------------------------------------------------------------------------------------

    def _shared_secrets(self) -> SecretSource | None:
        """Find those on whose secrets the room agrees: the first object for the others, and the store for that."""
        if self._shard and self._call is not None:
            return SharedByFirst(self._call)
        if self.host.store is None:
            return None
        epoch_ms = self.host.config.room.epoch_ms
        return StoreSecrets(self.host.store, epoch_ms=epoch_ms, clock=self.host.clock.wall_ms)

    async def load_secrets(self) -> None:
        """Have this epoch's secret and the last one's, and forget older ones. It does nothing while the epoch lasts."""
        epoch = self.host.clock.wall_ms() // self.host.config.room.epoch_ms
        if epoch != self.epoch:
            await self._secrets.load(self._kept_secrets, epoch)

    @property
    def epoch(self) -> int:
        """The number of the day, or of another period that ``epoch_ms`` sets."""
        return self._secrets.epoch
