"""The adapter between the product and the tests of the virtual-time cluster and of shards: events go in,
presences come out.

``SimulatedHost`` and ``Tab`` are a node of the cluster (``simulated_cluster.py``) and a connection to it,
``Way`` is its client of the log; ``Objects`` are the Durable Objects of one room, without a platform.
"""

import asyncio
import json
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.replication.delta import EntryId
from breathing_room.core.replication.routing import rank_shards
from breathing_room.core.wire import NORMAL_CLOSURE, RESTART, retry_reason
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.connection import ENDED, Connection
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, EncodedPresence
from breathing_room.hosts.common.rooms.room_host import RoomHost
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.cluster_node import TIMEOUT_S
from breathing_room.hosts.worker.room_platform import EdgeServices, WorkerPlatform
from breathing_room.hosts.worker.settings import WorkerConfig
from breathing_room.hosts.worker.shard_calls import ADD_SHARDS
from breathing_room.hosts.worker.socket import EdgeSocket
from breathing_room.lab.cost.strategies import objects as priced
from breathing_room.ports import EventLog, Round, Store
from breathing_room.stores import MemoryStore
from hosts.worker.objects import BROKEN, HandClock, Wire

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from simulated_cluster import SharedLog, SimulatedCluster

AHEAD_MS: Final = 777
"""The lead of the clock of the log."""


class Way(EventLog):
    """The log as one node reaches it."""

    def __init__(self, cluster: "SimulatedCluster", shared: "SharedLog") -> None:
        self._cluster = cluster
        self._shared = shared
        self._rng = cluster.rng
        self.is_cut = False
        self.stalled_until_s = 0.0
        """The end of a stall of the node's process: answers and connections wait until then."""

    async def _travel(self) -> None:
        await asyncio.sleep(self._rng.choice([0.0, 0.001, self._rng.uniform(0, self._cluster.slow_s)]))

    async def append(self, value: bytes, *, since: EntryId) -> Round:
        sent_at_s = self._cluster.now_s
        await self._travel()
        if self.is_cut or self._rng.random() < self._cluster.loss:
            await asyncio.sleep(TIMEOUT_S)
            raise StoreError("lost on the way there", temporary=True)
        own = self._shared.add(self._cluster.clock.now_ms() + AHEAD_MS, value)
        await asyncio.sleep(self._rng.choice([0.0, 0.002]))  # Others may get in between.
        entries = tuple(entry for entry in self._shared.entries if entry[0] > since)
        answer = Round(own, entries, dict(self._shared.rates))
        if self._rng.random() < self._cluster.loss:
            await asyncio.sleep(TIMEOUT_S)
        await self._travel()
        await asyncio.sleep(max(0.0, self.stalled_until_s - self._cluster.now_s))
        if self.is_cut or self._cluster.now_s >= sent_at_s + TIMEOUT_S:
            raise StoreError("lost on the way back", temporary=True)
        return answer

    async def read(self) -> tuple[int, tuple[tuple[EntryId, bytes], ...]]:
        await self._travel()
        return self._cluster.clock.now_ms() + AHEAD_MS, tuple(self._shared.entries)

    async def write(self, value: bytes) -> None:
        await self._travel()
        if self.is_cut:
            raise StoreError("lost on the way there", temporary=True)
        self._shared.add(self._cluster.clock.now_ms() + AHEAD_MS, value)

    async def set_rate(self, room: str, before: bytes, after: bytes) -> bool:
        if self._shared.rates.get(room, b"") != before:
            return False
        self._shared.rates[room] = after
        return True

    async def secret(self, epoch: int, mine: bytes, *, ttl_ms: int) -> bytes:
        del ttl_ms
        return self._shared.secrets.setdefault(epoch, mine)

    async def known_secret(self, epoch: int) -> bytes | None:
        return self._shared.secrets.get(epoch)


class SimulatedHost(App):
    """A node of the simulated cluster."""

    def __init__(self, cluster: "SimulatedCluster", name: str, settings: dict[str, Any]) -> None:
        flags = {"data": ":memory:", "redis": "redis://nowhere.invalid", "node": name, **settings}
        config = ServerConfig.load(flags=flags, environ={})
        super().__init__(config, MemoryStore(), clock=cluster.clock)
        assert self.cluster is not None
        self.node = self.cluster
        self.name = name
        self.way = self.node._log = Way(cluster, cluster.shared)
        self._rng = cluster.rng

    def retry_reason(self) -> bytes:
        return retry_reason(self._rng.randrange(self.config.reconnect_spread_ms + 1))

    def counts(self) -> tuple[int | None, int, int | None, str]:
        presence = self.presence("lobby")
        return presence.count, presence.low, presence.high, presence.method

    def sees(self, other: "SimulatedHost") -> bool:
        """Return whether another node is known here and not gone."""
        return any(node.id == other.node.node and not node.is_gone for node in self.node.nodes)

    def die(self) -> None:
        """End as after kill -9."""
        self.stopping = True
        for task in list(self._tasks):
            task.cancel()
        for room in self.rooms.values():
            room.platform.cancel_timer()


class Tab(Connection):
    """A connection of a visitor."""

    __slots__ = ("cluster", "host", "owner")

    def __init__(self, cluster: "SimulatedCluster", host: SimulatedHost, owner: int) -> None:
        self.cluster = cluster
        self.host = host
        self.owner = owner
        super().__init__(host.enter("lobby", address=None, forwarded_for=None), PROTOCOL)

    def push(self, encoded: EncodedPresence) -> None:
        self.cluster.observe(self.host, encoded.presence)

    def send(self, text: bytes) -> None:
        pass

    def ping(self) -> None:
        self.renew()  # The client answers.

    def close(self, code: int, reason: bytes = b"") -> None:
        self.ended(graceful=False)
        wait_s = json.loads(reason)["retry_ms"] / 1_000 if code == RESTART else 0.0
        self.cluster.reconnect(self, wait_s)

    def abort(self) -> None:
        self.ended(graceful=False)


@dataclass
class Object:
    """One object: its rows and sockets are durable, the rest is memory.

    Attributes:
        alarms: The number of alarms that rang.
        written: The number of rows written, those of alarms included.
    """

    rows: dict[str, bytes] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    alarm_at_ms: int | None = None
    ringing_at_ms: int | None = None
    room: RoomHost[WorkerPlatform] | None = None
    sessions: dict[Wire, EdgeSocket] = field(default_factory=dict)
    alarms: int = 0
    written: int = 0

    def get(self, name: str) -> bytes | None:
        return self.rows.get(name)

    def put(self, name: str, value: bytes) -> None:
        self.rows[name] = value
        self.written += 1

    def set_alarm(self, clock: HandClock, at_ms: int) -> None:
        """Set the alarm, except to the time at which it is ringing, or earlier: the platform ignores that."""
        self.alarm_at_ms = None if max(at_ms, clock.at_ms) == self.ringing_at_ms else at_ms
        self.written += 1

    def delete(self, name: str) -> None:
        self.rows.pop(name, None)

    def sleep(self) -> None:
        """Drop the memory."""
        self.room = None
        self.sessions = {}

    def crash(self) -> None:
        """Drop the memory and the sockets."""
        self.sleep()
        for wire in self.wires:
            wire.closed = BROKEN
        self.wires = []


class Objects:
    """The objects of one room, and the Worker in front of them."""

    def __init__(self, *, sockets_per_object: int, **settings: Any) -> None:
        self.clock = HandClock()
        server = ServerConfig(room=RoomConfig(**settings))
        self.worker = WorkerConfig(
            server=server, sockets_per_object=sockets_per_object, sockets_max=8 * sockets_per_object
        )
        self.host = EdgeServices(worker=self.worker, clock=self.clock, prefixes=Prefixes())
        self.objects: dict[int, Object] = {}
        self.failing: set[int] = set()
        self.calls = 0
        self._work: list[Coroutine[Any, Any, None]] = []

    def keep_in(self, store: Store) -> None:
        """Set the store for backups of rooms."""
        self.host = replace(self.host, store=store)

    def __getitem__(self, shard: int) -> Object:
        return self.objects.setdefault(shard, Object())

    @property
    def wires(self) -> list[Wire]:
        """The sockets that are open."""
        return [wire for one in self.objects.values() for wire in one.wires]

    async def awake(self, shard: int) -> RoomHost[WorkerPlatform]:
        """Return the room of an object, woken if need be."""
        one = self[shard]
        if one.room is None:
            platform = WorkerPlatform(
                self.host,
                "lobby",
                one,
                set_alarm=partial(one.set_alarm, self.clock),
                spawn=self._work.append,
                shard=shard,
                call=partial(self._call, shard),
            )
            one.sessions = {wire: EdgeSocket.resume(wire, wire.attached, platform.room) for wire in one.wires}
            await platform.resume(list(one.sessions.values()))
            one.room = platform.room
        await one.room.platform.load_secrets()
        return one.room

    async def _call(self, caller: int, shard: int, path: str, body: bytes) -> bytes:
        if self.failing & {caller, shard}:
            raise ClientError("unavailable", "injected", status=503)
        self.calls += 1
        return await (await self.awake(shard)).platform.answer_internal(path, body)

    # --- Connections ---------------------------------------------------------------------------------------

    async def open(self, seed: str, *, shard: int | None = None) -> Wire:
        """Open a socket on the first object that has a place, as the Worker does."""
        parent = await self.awake(0)
        shards = parent.platform.shards
        while shard is None:
            candidates = rank_shards(seed.encode(), shards)
            limit = self.worker.sockets_per_object
            shard = next((one for one in candidates if len(self[one].wires) < limit), None)
            if shard is None:
                grown = int(await parent.platform.answer_internal(f"{ADD_SHARDS}{shards}", b""))
                assert grown > shards
                shards = grown
        room = await self.awake(shard)
        wire = Wire(shard)
        session = EdgeSocket(wire, room, PROTOCOL)
        self[shard].wires.append(wire)
        self[shard].sessions[wire] = session
        room.platform.accept(session)
        return wire

    async def send(self, wire: Wire, type: str, **more: Any) -> None:  # noqa: A002
        """Send a message over a socket."""
        await self.awake(wire.shard)
        self[wire.shard].sessions[wire].message_arrived(json.dumps({"type": type, **more}))
        self._tidy(wire)

    async def join(self, visitor: str, mood: str | None = None, *, shard: int | None = None) -> Wire:
        """Join a visitor over a new socket."""
        wire = await self.open(visitor, shard=shard)
        await self.send(wire, "join", visitor=visitor.ljust(16, "-"), mood=mood)
        return wire

    async def part(self, wire: Wire, code: int = NORMAL_CLOSURE) -> None:
        """Close a socket from the client's side."""
        await self.awake(wire.shard)
        self[wire.shard].sessions[wire].peer_closed(code)
        self._tidy(wire)

    def _tidy(self, wire: Wire) -> None:
        one = self[wire.shard]
        if wire in one.sessions and one.sessions[wire].role == ENDED:
            one.wires.remove(wire)
            del one.sessions[wire]

    # --- Time ----------------------------------------------------------------------------------------------

    async def pass_ms(self, length_ms: int) -> None:
        """Advance the clock, with the alarms that are due."""
        until_ms = self.clock.at_ms + length_ms
        while due := [
            one for one in self.objects.items() if (one[1].alarm_at_ms or until_ms + 1) <= until_ms
        ]:
            shard, one = min(due, key=lambda found: found[1].alarm_at_ms or 0)
            assert one.alarm_at_ms is not None
            self.clock.at_ms = max(self.clock.at_ms, one.alarm_at_ms)
            one.alarm_at_ms, one.ringing_at_ms = None, one.alarm_at_ms
            one.alarms += 1
            room = await self.awake(shard)
            await room.platform.sync()
            room.platform.on_timer()
            one.ringing_at_ms = None
            for wire in list(one.wires):
                self._tidy(wire)
            await self._finish_work()
        self.clock.at_ms = until_ms
        await self._finish_work()

    async def _finish_work(self) -> None:
        while self._work:
            await self._work.pop(0)

    async def settle(self) -> None:
        """Advance the clock until no alarm is set: then all may sleep.

        Raises:
            AssertionError: Alarms are still set after 200 of them.
        """
        for _ in range(200):
            alarms_at_ms = [one.alarm_at_ms for one in self.objects.values() if one.alarm_at_ms is not None]
            if not alarms_at_ms:
                return
            await self.pass_ms(max(0, min(alarms_at_ms) - self.clock.at_ms))
        raise AssertionError("an alarm is still set after 200 alarms")

    def sleep(self) -> None:
        """Drop the memory of all objects."""
        for one in self.objects.values():
            one.sleep()

    async def presence(self) -> dict[str, Any]:
        """Return the presence, as the Worker reads it."""
        presence = (await self.awake(0)).presence()
        return {
            "count": presence.count,
            "low": presence.low,
            "high": presence.high,
            "method": presence.method,
        } | {"moods": {mood: people for mood, people in presence.moods.items() if people}}


def durable_object(**settings: Any) -> SimpleNamespace:
    """Return what the price model has for a room over sockets: its settings, as attributes."""
    return SimpleNamespace(**priced.durable_object(**settings).settings)
