"""The server as one of several: it tells the others what it knows, and its people what all know together.

``ClusterNode`` is the node: one round trip a tick, and what follows from the answer. A ``Replica`` stands before each open room
(``core/replication/replica.py``). What is said is in ``core/replication/delta.py``, how it is added up in
``core/replication/membership.py``, and how it travels in ``logs/redis_stream.py``.

Nothing here waits for Redis but the tick itself. While Redis is away a tick fails, what it had to say waits for the next, and
people go on as before.
"""

import asyncio
import logging
import secrets
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from breathing_room.core.effects import Step
from breathing_room.core.errors import ConfigError, HostError, StoreError
from breathing_room.core.events import PeersChanged
from breathing_room.core.presence import Presence
from breathing_room.core.replication.delta import (
    BEGINNING,
    AdminCommand,
    Delta,
    EntryId,
    PeerId,
    RoomDelta,
    decode,
    encode_delta,
)
from breathing_room.core.replication.membership import LATE_TICKS, Membership
from breathing_room.core.replication.replica import Replica
from breathing_room.core.replication.shared_rate import SharedRate
from breathing_room.core.room import Room
from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.common.rooms.secrets import Secrets
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.logs.redis_stream import RedisStream
from breathing_room.ports import EventLog, Round
from breathing_room.stores import RedisStore
from breathing_room.stores.redis_link import RedisLink

log = logging.getLogger("breathing_room.cluster")

TIMEOUT_S: Final = 1.0
"""How long a tick waits for Redis at least: a busy machine may take a while, and nobody waits for a tick."""

RETURN_MS: Final = 5_000
"""How long a node that ends waits, after the last of its people was to come back, until they are counted elsewhere."""


@dataclass(slots=True)
class HeldRoom:
    """An open room of a node.

    Attributes:
        replica: What stands before the room.
        rate: The sampling rate that holds for all nodes.
        take: Carries out the steps that follow from what other nodes say.
    """

    replica: Replica
    rate: SharedRate
    take: Callable[[Step], None]


class NodeHost(Protocol):
    """What a node asks of the server that it is."""

    config: ServerConfig
    clock: Clock
    secrets: Secrets
    stopping: bool

    @property
    def epoch(self) -> int:
        """The epoch of the secret in use."""

    def room(self, name: str) -> Any:
        """Find a room, or open it."""

    def disconnect_all(self) -> None:
        """Close all connections, each with its own moment to come back."""

    def spawn(self, work: Coroutine[None, None, None]) -> Any:
        """Run something in the background."""


class LogSecrets:
    """Secrets beside the log, on which all nodes agree.

    Args:
        log: Finds the log.
        ttl_ms: How long a secret is kept.
    """

    def __init__(self, log: Callable[[], EventLog], *, ttl_ms: int) -> None:
        self._log = log
        self._ttl_ms = ttl_ms

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        """Return the secret of an epoch: the proposed one, unless there is one already.

        Raises:
            StoreError: Redis is away.
        """
        return await self._log().secret(epoch, proposed, ttl_ms=self._ttl_ms)

    async def find(self, epoch: int) -> bytes | None:
        """Return the secret of an epoch, if there is one.

        Raises:
            StoreError: Redis is away.
        """
        return await self._log().known_secret(epoch)


class ClusterNode:
    """A server as a node.

    Args:
        host: The server.

    Raises:
        ConfigError: The address of Redis is none, or a package is missing.
    """

    def __init__(self, host: NodeHost) -> None:
        config = host.config
        self._host = host
        self._rooms: dict[str, HeldRoom] = {}
        self.now_ms = host.clock.now_ms
        self.node: PeerId = (
            config.node or f"{socket.gethostname()}:{config.port}",
            secrets.randbits(48),
        )
        rooms = (config.room, *config.rooms.values())
        late = LATE_TICKS * config.node_ms
        self.nodes = Membership(
            self.node,
            late_ms=late,
            seat_lease_ms=max(room.heartbeat_lease_ms for room in rooms),
            now_ms=self.now_ms(),
        )
        # What was said while a node was cut off for less than a lease is still there when it comes back.
        self._kept_ms = 2 * max(config.node_lease_ms, *(room.lease_ms for room in rooms))
        try:
            self._link = RedisLink(config.redis, timeout_s=max(late / 2_000, TIMEOUT_S), retries=0)
        except HostError as error:
            raise ConfigError(f"redis: {error}") from None
        self._log: EventLog = RedisStream(self._link, kept_ms=self._kept_ms)
        self.secret_source = LogSecrets(lambda: self._log, ttl_ms=2 * config.room.epoch_ms)
        self._read_up_to: EntryId = BEGINNING
        self._read_at_ms = self.now_ms()
        self._ahead_ms = 0
        self._said: deque[tuple[int, dict[str, RoomDelta]]] = deque()
        self._is_away = False
        self.is_draining = False
        self._ticking = asyncio.Lock()
        self.found_no_peer = False
        self.ticks_failed = 0
        self.messages = 0
        self.messages_refused = 0
        self.message_bytes = 0
        self.published_leases: dict[str, int] = {}
        """The leases that were told of each room with the last message that was heard."""

    # --- Start and stop ---------------------------------------------------------------------------------------

    async def open_store(self) -> RedisStore:
        """See that Redis can be used, and open the store in it.

        Raises:
            StoreError: It cannot.
        """
        try:
            await self._link.check()
            await self._log.read()
            return await RedisStore.open(self._host.config.redis)
        except BaseException:
            await self._link.close()
            raise

    async def start(self) -> None:
        """Hear what the others said lately, and tell them that we are here.

        Raises:
            StoreError: Redis is away.
        """
        redis_ms, entries = await self._log.read()
        if not entries:
            # A new cluster, or a Redis that has just come back empty: let those who may be there speak first.
            await asyncio.sleep(self.nodes.late_ms / 1_000)
            redis_ms, entries = await self._log.read()
        self._ahead_ms = redis_ms - self.now_ms()
        self._hear(entries)
        self.nodes.expire(self.now_ms())
        self.found_no_peer = not any(True for _ in self.nodes)
        await self.tick()

    async def run(self) -> None:
        """Tick, until the server ends; it need not be cancelled, which a call of Redis that is under way may not notice."""
        while not self._host.stopping:
            await asyncio.sleep(self._host.config.node_ms / 1_000)
            await self.tick()

    async def drain(self) -> None:
        """Let everybody go to other nodes, each in its own moment, hand the seats over, and wait until all are there.

        They stay counted here, as silent, until they are counted elsewhere. Whoever does not come back leaves them to
        the lease of this node.
        """
        self.is_draining = True  # Nobody comes in any more, and whoever asks is told so.
        self._host.disconnect_all()
        give_up_at_ms = self.now_ms() + self._host.config.reconnect_spread_ms + RETURN_MS
        while self.now_ms() < give_up_at_ms and any(  # noqa: ASYNC110 - the ticks that go on are the event
            room.replica.room.count for room in self._rooms.values()
        ):
            await asyncio.sleep(min(self._host.config.node_ms, 1_000) / 2_000)

    async def close(self) -> None:
        """Say goodbye if nobody is left, and let go of Redis. Otherwise the lease of this node goes on."""
        try:
            if not any(room.replica.room.count for room in self._rooms.values()):
                leaving = Delta(node=self.node, lease_ms=0, leaving=True)
                await self._log.write(encode_delta(leaving, self._moods_of))
        except StoreError as error:
            log.warning("the other nodes could not be told that this one ends: %s", error)
        await self._link.close()

    # --- A tick -----------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Say what we know, hear what is new, and tell people what follows."""
        async with self._ticking:
            now_ms = self.now_ms()
            if now_ms - self._read_at_ms > self._kept_ms:
                for room in self._rooms.values():
                    room.replica.resync()
            heir = self.nodes.successor(now_ms) if self.is_draining else None
            parts = {
                name: room.replica.compose(now_ms, transfers_seats=heir is not None)
                for name, room in self._rooms.items()
            }
            message = Delta(
                node=self.node,
                lease_ms=self._host.config.node_lease_ms,
                read=self._read_up_to,
                successor=heir,
                rooms=parts,
            )
            encoded = encode_delta(message, self._moods_of)
            self._said.append((now_ms, parts))
            try:
                answer = await self._log.append(encoded, since=self._read_up_to)
            except StoreError as error:
                self._fail(error)
            else:
                self.message_bytes = len(encoded)
                await self._take(answer, told_at_ms=now_ms)
            self._release()

    def _fail(self, error: StoreError) -> None:
        """Redis does not answer. What was said lately may be lost with it: it is said again."""
        self.ticks_failed += 1
        if not self._is_away:
            self._is_away = True
            log.warning("the other nodes are out of sight: %s", error)
        for _, parts in self._said:
            for name, part in parts.items():
                if name in self._rooms:
                    self._rooms[name].replica.requeue(part)
        self._said.clear()

    async def _take(self, answer: Round, *, told_at_ms: int) -> None:
        if self._is_away:
            self._is_away = False
            log.info("the other nodes are in sight again")
            self._host.spawn(self._agree_again())
        now_ms = self._read_at_ms = self.now_ms()
        # As if Redis had taken our entry at once: so nothing is newer than it seems, however long the answer took.
        self._ahead_ms = answer.own[0] - told_at_ms
        while self._said and self._said[0][0] < now_ms - self.nodes.late_ms:
            self._said.popleft()
        if answer.own < self._read_up_to:
            # Another Redis, whose clock is behind: what it has to say comes with the next tick.
            self._read_up_to = BEGINNING
            return
        self._hear(answer.entries)
        for name, room in list(self._rooms.items()):
            pace = answer.rates.get(name, b"")
            step, wanted = room.rate.follow(pace, ahead_ms=self._ahead_ms, now_ms=self.now_ms())
            if step is not None:
                room.take(step)
            if wanted is not None and wanted != pace:
                try:
                    await self._log.set_rate(name, pace, wanted)
                except StoreError as error:
                    self._fail(error)

    async def _agree_again(self) -> None:
        """See that the secret is where others find it, after Redis was away."""
        try:
            await self._host.secrets.load(self.secret_source, self._host.epoch)
        except StoreError as error:
            log.warning("the secret of visitors' keys could not be shared: %s", error)

    def _hear(self, entries: Iterable[tuple[EntryId, bytes]]) -> None:
        """Take new entries of the log: who is where, and who moved."""
        deltas: list[Delta] = []
        removed: list[PeerId] = []
        for entry, value in entries:
            self._read_up_to = entry
            try:
                said = decode(value, self._moods_of)
            except HostError as error:
                self.messages_refused += 1
                log.debug("an entry of the log is of no use: %s", error)
                continue
            if isinstance(said, AdminCommand):
                removed += self._handle(said)
                continue
            deltas.append(said)
            self.nodes.hear(said, entry, heard_at_ms=entry[0] - self._ahead_ms, now_ms=self.now_ms())
        self.messages += len(deltas)
        for delta in deltas:
            if delta.node == self.node:
                self.published_leases = {name: part.summary.leases for name, part in delta.rooms.items()}
            elif delta.successor == self.node:
                for name, part in delta.rooms.items():
                    if len(part.seats):
                        self._host.room(name)
        self._refresh(deltas, down=removed)

    def _handle(self, command: AdminCommand) -> list[PeerId]:
        """Do what an operator asks for; return the peers that were removed."""
        if command.verb == "forget":
            return self.nodes.remove(command.name)
        if command.name == self.node[0] and not self.is_draining:
            log.info("this node is drained, as an operator asked for")
            self._host.spawn(self.drain())
        return []

    def _refresh(self, deltas: Iterable[Delta] = (), *, down: Iterable[PeerId] = ()) -> None:
        """Let every room know what peers said, and what is known of them now."""
        deltas, down = tuple(deltas), tuple(down)
        for room in list(self._rooms.values()):
            room.take(room.replica.receive(deltas, down=down, now_ms=self.now_ms()))

    def _release(self) -> None:
        """Count here whom suspect peers counted, as far as they have connections here, and remove peers whose leases ended."""
        suspects = self.nodes.suspects(self.now_ms())
        self.nodes.expire(self.now_ms())
        self.nodes.trim(self.now_ms())
        self._refresh(down=suspects)

    # --- Rooms ------------------------------------------------------------------------------------------------

    def replica(self, room: Room) -> Replica:
        """Make the replica of a room that is being opened."""
        return Replica(room, self.nodes, now_ms=self.now_ms())

    def hold(self, replica: Replica, take: Callable[[Step], None]) -> None:
        """Take a room that was opened among those that this node holds.

        Args:
            replica: What stands before it.
            take: Carries out the steps that follow from what other nodes say.
        """
        rate = SharedRate(replica, late_ms=self.nodes.late_ms)
        self._rooms[replica.room.name] = HeldRoom(replica, rate, take)

    def release(self, name: str) -> None:
        """Take a room that was closed from those that this node holds."""
        del self._rooms[name]

    def has_unsent(self, name: str) -> bool:
        """Whether the other nodes must know something of a room before it may be closed."""
        return self._rooms[name].replica.has_unsent

    def standby_count(self, name: str) -> int:
        """Visitors of a room with connections here who are counted on another node."""
        return self._rooms[name].replica.standby_count

    # --- What routes ask --------------------------------------------------------------------------------------

    def presence(self, room: Room) -> Presence:
        """Say who is in a room that is not open here.

        Args:
            room: The room as it would be if it were.
        """
        now_ms = self.now_ms()
        room.step(PeersChanged(self.nodes.peer_state(room.name, now_ms)), now_ms=now_ms)
        return room.presence(now_ms=now_ms)

    def _moods_of(self, room: str) -> tuple[str, ...]:
        return self._host.config.room_config(room).moods
