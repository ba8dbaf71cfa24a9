"""A server as a node of a cluster: it sends deltas of its rooms to the log, and applies those of its peers.

``ClusterNode`` makes one round trip to the log per tick and applies the answer. Each open room has a
``Replica`` (``core/replication/replica.py``). ``core/replication/delta.py`` has the messages,
``core/replication/membership.py`` the sums over peers, and ``logs/redis_stream.py`` the log.

Only the tick waits for Redis. While Redis is unavailable ticks fail, their deltas are queued for the next
tick, and connections are served as before.
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
from breathing_room.core.replication.membership import SUSPECT_TICKS, Membership
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
"""The least timeout of a tick: a busy machine may take a while, and no connection waits for a tick."""

RETURN_MS: Final = 5_000
"""How long a draining node waits, after the last of its visitors was to reconnect, until peers count them."""


@dataclass(slots=True)
class HeldRoom:
    """An open room of a node.

    Attributes:
        replica: The replica of the room.
        rate: The sampling rate that the whole cluster shares.
        carry_out: Carries out the steps that follow from the deltas of peers.
    """

    replica: Replica
    rate: SharedRate
    carry_out: Callable[[Step], None]


class NodeHost(Protocol):
    """The services of the server that a node uses."""

    config: ServerConfig
    clock: Clock
    secrets: Secrets
    stopping: bool

    @property
    def epoch(self) -> int:
        """The epoch of the secret in use."""

    def room(self, name: str) -> Any:
        """Return a room, opened if need be."""

    def disconnect_all(self) -> None:
        """Close all connections, each with its own time to reconnect."""

    def spawn(self, work: Coroutine[None, None, None]) -> Any:
        """Run a coroutine in the background."""


class LogSecrets:
    """Secrets beside the log, on which all nodes agree.

    Args:
        log: Returns the log.
        ttl_ms: How long a secret is stored.
    """

    def __init__(self, log: Callable[[], EventLog], *, ttl_ms: int) -> None:
        self._log = log
        self._ttl_ms = ttl_ms

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        """Return the secret of an epoch: the proposed one, unless there is one already.

        Raises:
            StoreError: Redis is unavailable.
        """
        return await self._log().secret(epoch, proposed, ttl_ms=self._ttl_ms)

    async def find(self, epoch: int) -> bytes | None:
        """Return the secret of an epoch, if there is one.

        Raises:
            StoreError: Redis is unavailable.
        """
        return await self._log().known_secret(epoch)


class ClusterNode:
    """A node of a cluster.

    Args:
        host: The server.

    Raises:
        ConfigError: The URL of Redis is not valid, or a package is missing.
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
        late = SUSPECT_TICKS * config.node_ms
        self.nodes = Membership(
            self.node,
            suspect_after_ms=late,
            seat_lease_ms=max(room.heartbeat_lease_ms for room in rooms),
            now_ms=self.now_ms(),
        )
        # A node that was cut off for less than a lease still finds all deltas of its peers in the log.
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
        self._sent: deque[tuple[int, dict[str, RoomDelta]]] = deque()
        self._is_unavailable = False
        self.is_draining = False
        self._ticking = asyncio.Lock()
        self.found_no_peer = False
        self.ticks_failed = 0
        self.messages = 0
        self.messages_rejected = 0
        self.message_bytes = 0
        self.published_leases: dict[str, int] = {}
        """The leases of each room in the last delta of this node that was read back from the log."""

    # --- Start and stop ------------------------------------------------------------------------------------

    async def open_store(self) -> RedisStore:
        """Check that Redis can be used, and open the store in it.

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
        """Read the deltas of peers, and send the first delta of this node.

        Raises:
            StoreError: Redis is unavailable.
        """
        redis_ms, entries = await self._log.read()
        if not entries:
            # A new cluster, or a Redis that has restarted empty: peers that run send their deltas first.
            await asyncio.sleep(self.nodes.suspect_after_ms / 1_000)
            redis_ms, entries = await self._log.read()
        self._ahead_ms = redis_ms - self.now_ms()
        self._receive(entries)
        self.nodes.expire(self.now_ms())
        self.found_no_peer = not any(True for _ in self.nodes)
        await self.tick()

    async def run(self) -> None:
        """Tick until the server stops.

        It is not cancelled: a call to Redis in progress may swallow a cancellation.
        """
        while not self._host.stopping:
            await asyncio.sleep(self._host.config.node_ms / 1_000)
            await self.tick()

    async def drain(self) -> None:
        """Move the visitors to other nodes: close their connections, transfer the seats, and wait for their
        joins there.

        Visitors stay counted here, as suspect, until a peer counts them. Those who do not reconnect stay
        counted for the lease of this node.
        """
        self.is_draining = True  # New visitors are rejected from now on.
        self._host.disconnect_all()
        give_up_at_ms = self.now_ms() + self._host.config.reconnect_spread_ms + RETURN_MS
        while self.now_ms() < give_up_at_ms and any(  # noqa: ASYNC110 - the ticks that go on are the event
            room.replica.room.count for room in self._rooms.values()
        ):
            await asyncio.sleep(min(self._host.config.node_ms, 1_000) / 2_000)

    async def close(self) -> None:
        """Send a leave if no lease is left here, and close the link to Redis.

        Otherwise the node's lease goes on.
        """
        try:
            if not any(room.replica.room.count for room in self._rooms.values()):
                leaving = Delta(sender=self.node, lease_ms=0, leaving=True)
                await self._log.write(encode_delta(leaving, self._moods_of))
        except StoreError as error:
            log.warning("the leave of this node could not be sent to the cluster: %s", error)
        await self._link.close()

    # --- A tick --------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Send a delta, receive those of the peers, and step the rooms."""
        async with self._ticking:
            now_ms = self.now_ms()
            if now_ms - self._read_at_ms > self._kept_ms:
                for room in self._rooms.values():
                    room.replica.resync()
            successor = self.nodes.successor(now_ms) if self.is_draining else None
            parts = {
                name: room.replica.compose(now_ms, transfers_seats=successor is not None)
                for name, room in self._rooms.items()
            }
            delta = Delta(
                sender=self.node,
                lease_ms=self._host.config.node_lease_ms,
                read=self._read_up_to,
                successor=successor,
                rooms=parts,
            )
            encoded = encode_delta(delta, self._moods_of)
            self._sent.append((now_ms, parts))
            try:
                answer = await self._log.append(encoded, since=self._read_up_to)
            except StoreError as error:
                self._fail(error)
            else:
                self.message_bytes = len(encoded)
                await self._take(answer, sent_at_ms=now_ms)
            self._release()

    def _fail(self, error: StoreError) -> None:
        """Queue the recent deltas again: Redis failed, and may have lost them."""
        self.ticks_failed += 1
        if not self._is_unavailable:
            self._is_unavailable = True
            log.warning("the cluster is unreachable: %s", error)
        for _, parts in self._sent:
            for name, part in parts.items():
                if name in self._rooms:
                    self._rooms[name].replica.requeue(part)
        self._sent.clear()

    async def _take(self, answer: Round, *, sent_at_ms: int) -> None:
        if self._is_unavailable:
            self._is_unavailable = False
            log.info("the cluster is reachable again")
            self._host.spawn(self._agree_again())
        now_ms = self._read_at_ms = self.now_ms()
        # As if Redis had appended the entry at once: entries then never seem newer than they are, however
        # slow the call.
        self._ahead_ms = answer.own[0] - sent_at_ms
        while self._sent and self._sent[0][0] < now_ms - self.nodes.suspect_after_ms:
            self._sent.popleft()
        if answer.own < self._read_up_to:
            # Another Redis, whose clock is behind: its entries are read with the next tick.
            self._read_up_to = BEGINNING
            return
        self._receive(answer.entries)
        for name, room in list(self._rooms.items()):
            rate = answer.rates.get(name, b"")
            step, wanted = room.rate.sync(rate, ahead_ms=self._ahead_ms, now_ms=self.now_ms())
            if step is not None:
                room.carry_out(step)
            if wanted is not None and wanted != rate:
                try:
                    await self._log.set_rate(name, rate, wanted)
                except StoreError as error:
                    self._fail(error)

    async def _agree_again(self) -> None:
        """Restore the secret in Redis after an outage, in case it was lost."""
        try:
            await self._host.secrets.load(self.secret_source, self._host.epoch)
        except StoreError as error:
            log.warning("the secret of the key epoch could not be shared with the cluster: %s", error)

    def _receive(self, entries: Iterable[tuple[EntryId, bytes]]) -> None:
        """Apply new entries of the log: the deltas of peers, and commands of the operator."""
        deltas: list[Delta] = []
        removed: list[PeerId] = []
        for entry, value in entries:
            self._read_up_to = entry
            try:
                message = decode(value, self._moods_of)
            except HostError as error:
                self.messages_rejected += 1
                log.debug("an entry of the log cannot be decoded: %s", error)
                continue
            if isinstance(message, AdminCommand):
                removed += self._handle(message)
                continue
            deltas.append(message)
            self.nodes.receive(message, entry, received_at_ms=entry[0] - self._ahead_ms, now_ms=self.now_ms())
        self.messages += len(deltas)
        for delta in deltas:
            if delta.sender == self.node:
                self.published_leases = {name: part.summary.leases for name, part in delta.rooms.items()}
            elif delta.successor == self.node:
                for name, part in delta.rooms.items():
                    if len(part.seats):
                        self._host.room(name)
        self._refresh(deltas, down=removed)

    def _handle(self, command: AdminCommand) -> list[PeerId]:
        """Carry out a command of the operator; return the peers that were removed."""
        if command.verb == "forget":
            return self.nodes.remove(command.name)
        if command.name == self.node[0] and not self.is_draining:
            log.info("draining this node, as the operator requested")
            self._host.spawn(self.drain())
        return []

    def _refresh(self, deltas: Iterable[Delta] = (), *, down: Iterable[PeerId] = ()) -> None:
        """Step every room with the deltas of peers and their current state."""
        deltas, down = tuple(deltas), tuple(down)
        for room in list(self._rooms.values()):
            room.carry_out(room.replica.receive(deltas, down=down, now_ms=self.now_ms()))

    def _release(self) -> None:
        """Take over visitors of suspect peers who have a standby connection here; remove peers whose leases
        expired.
        """
        suspects = self.nodes.suspects(self.now_ms())
        self.nodes.expire(self.now_ms())
        self.nodes.trim(self.now_ms())
        self._refresh(down=suspects)

    # --- Rooms ---------------------------------------------------------------------------------------------

    def replica(self, room: Room) -> Replica:
        """Create the replica of a room that is being opened."""
        return Replica(room, self.nodes, now_ms=self.now_ms())

    def hold(self, replica: Replica, carry_out: Callable[[Step], None]) -> None:
        """Add an open room to this node.

        Args:
            replica: The replica of the room.
            carry_out: Carries out the steps that follow from the deltas of peers.
        """
        rate = SharedRate(replica, suspect_after_ms=self.nodes.suspect_after_ms)
        self._rooms[replica.room.name] = HeldRoom(replica, rate, carry_out)

    def release(self, name: str) -> None:
        """Remove a closed room from this node."""
        del self._rooms[name]

    def has_unsent(self, name: str) -> bool:
        """Return whether a room has changes that the peers have not received; it may not be closed before."""
        return self._rooms[name].replica.has_unsent

    def standby_count(self, name: str) -> int:
        """Return how many visitors with connections here are counted on another node (standby)."""
        return self._rooms[name].replica.standby_count

    # --- What routes ask -----------------------------------------------------------------------------------

    def presence(self, room: Room) -> Presence:
        """Return the presence of a room that is not open here.

        Args:
            room: An empty room of that name.
        """
        now_ms = self.now_ms()
        room.step(PeersChanged(self.nodes.peer_state(room.name, now_ms)), now_ms=now_ms)
        return room.presence(now_ms=now_ms)

    def _moods_of(self, room: str) -> tuple[str, ...]:
        return self._host.config.room_config(room).moods
