"""A cluster on a virtual clock: real hosts, a log in memory that may be slow or lose answers, and a crowd that moves about.

Nobody comes who was not there and nobody leaves for good, so the truth is known at every instant, and every look at a node and
every announcement is held against it. A seed says all that happens.
"""

import asyncio
import json
from collections.abc import Coroutine
from random import Random
from typing import Any, Final, Self

from breathing_room.core.cluster import EntryId
from breathing_room.core.errors import StoreError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import RESTART, retry_reason
from breathing_room.hosts.common.rooms.connection import Session
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, Announcement
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.cluster import TIMEOUT_S
from breathing_room.hosts.server.host import Host, RoomHost
from breathing_room.logs.redis_stream import Log, Round
from breathing_room.stores import MemoryStore
from virtual_loop import VirtualClock

AHEAD_MS: Final = 777
"""How far the clock of the log is ahead."""

FAULTS: Final = ("breaks", "bounces", "tabs_open", "drain", "kill", "stall", "cut")

CALM_S: Final = 60.0


class SharedLog:
    """What a Redis would hold."""

    def __init__(self) -> None:
        self.entries: list[tuple[EntryId, bytes]] = []
        self.paces: dict[str, bytes] = {}
        self.secrets: dict[int, bytes] = {}

    def add(self, at_ms: int, value: bytes) -> EntryId:
        last = self.entries[-1][0] if self.entries else (0, 0)
        entry = max((at_ms, 0), (last[0], last[1] + 1))
        self.entries.append((entry, value))
        return entry


class Way(Log):
    """A node's way to the log."""

    def __init__(self, cluster: "SimulatedCluster", shared: SharedLog) -> None:
        self._cluster = cluster
        self._shared = shared
        self._rng = cluster.rng
        self.is_cut = False
        self.stalled_until_s = 0.0
        """Until when the process of the node does nothing: answers wait for it, and so do people."""

    async def _travel(self) -> None:
        await asyncio.sleep(self._rng.choice([0.0, 0.001, self._rng.uniform(0, self._cluster.slow_s)]))

    async def tell(self, value: bytes, *, since: EntryId) -> Round:
        sent_at_s = self._cluster.now_s
        await self._travel()
        if self.is_cut or self._rng.random() < self._cluster.loss:
            await asyncio.sleep(TIMEOUT_S)
            raise StoreError("lost on the way there", temporary=True)
        own = self._shared.add(self._cluster.clock.now_ms() + AHEAD_MS, value)
        await asyncio.sleep(self._rng.choice([0.0, 0.002]))  # Others may get in between.
        entries = tuple(entry for entry in self._shared.entries if entry[0] > since)
        answer = Round(own, entries, dict(self._shared.paces))
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

    async def set_pace(self, room: str, before: bytes, after: bytes) -> bool:
        if self._shared.paces.get(room, b"") != before:
            return False
        self._shared.paces[room] = after
        return True

    async def secret(self, epoch: int, mine: bytes, *, ttl_ms: int) -> bytes:
        del ttl_ms
        return self._shared.secrets.setdefault(epoch, mine)

    async def known_secret(self, epoch: int) -> bytes | None:
        return self._shared.secrets.get(epoch)


class SimulatedHost(Host):
    """A node."""

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
        return retry_reason(self._rng.randrange(self.config.retry_spread_ms + 1))

    def says(self) -> tuple[int | None, int, int | None, str]:
        presence = self.presence("lobby")
        return presence.count, presence.low, presence.high, presence.method

    def sees(self, other: "SimulatedHost") -> bool:
        """Tell whether it has heard of a node that is not gone."""
        return any(node.message.node == other.node.node and not node.is_gone for node in self.node.nodes)

    def die(self) -> None:
        """End as kill -9 would."""
        self.stopping = True
        for task in list(self._tasks):
            task.cancel()
        for room in self.rooms.values():
            room.shut()


class Tab(Session[RoomHost]):
    """A socket of somebody."""

    __slots__ = ("cluster", "host", "owner")

    def __init__(self, cluster: "SimulatedCluster", host: SimulatedHost, owner: int) -> None:
        self.cluster = cluster
        self.host = host
        self.owner = owner
        super().__init__(host.enter("lobby", address=None, forwarded_for=None), PROTOCOL)

    def push(self, announcement: Announcement) -> None:
        self.cluster.look(self.host, announcement.presence)

    def send(self, text: bytes) -> None:
        pass

    def ping(self) -> None:
        self.heard()  # It answers.

    def close(self, code: int, reason: bytes = b"") -> None:
        self.ended(politely=False)
        wait_s = json.loads(reason)["retry_ms"] / 1_000 if code == RESTART else 0.0
        self.cluster.lost(self, wait_s)

    def abort(self) -> None:
        self.ended(politely=False)


class SimulatedCluster:
    """Nodes and a crowd.

    Args:
        seed: What happens.
        people: How many there are.
        nodes: How many of these.
        loss: The share of trips to the log that are lost, there and back each.
        slow_s: How long a trip takes at most, one way.
        settings: Those of every node.
    """

    def __init__(
        self,
        seed: int,
        *,
        people: int = 24,
        nodes: int = 3,
        loss: float = 0.02,
        slow_s: float = 0.4,
        **settings: Any,
    ) -> None:
        self.rng = Random(seed)
        self.truth = people
        self.loss = loss
        self.slow_s = slow_s
        self.settings = {"retry_spread_ms": 2_000, **settings}
        self.names = [f"node-{index}" for index in range(nodes)]
        self.shared = SharedLog()
        self.hosts: dict[str, SimulatedHost] = {}
        self.tabs: dict[int, list[Tab]] = {person: [] for person in range(people)}
        self.looks = 0
        self.wrong: list[str] = []
        self.happened: list[str] = []
        self._watches = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def now_s(self) -> float:
        return self.loop.time()

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self.clock = VirtualClock(self.loop)
        for name in self.names:
            await self.start(name)
        for person in self.tabs:
            self.join(person, self.names[person % len(self.names)])
        await self.calm()
        self._watches = True
        self.later(self._keep_looking())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watches = False
        for host in self.hosts.values():
            host.die()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.sleep(1)

    async def start(self, name: str) -> SimulatedHost:
        host = SimulatedHost(self, name, self.settings)
        await host.start()
        self.hosts[name] = host
        return host

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- Looks ------------------------------------------------------------------------------------------------

    def look(self, host: SimulatedHost, said: Presence) -> None:
        """Hold what a node says against the truth."""
        if not self._watches:
            return
        self.looks += 1
        if not said.low <= self.truth <= (self.truth if said.high is None else said.high):
            what = f"{said.count} in [{said.low}, {said.high}], {said.method}"
            self.wrong.append(f"{self.now_s:.3f} s, {host.name}: {what}")

    async def _keep_looking(self) -> None:
        while True:
            for host in self.awake():
                self.look(host, host.presence("lobby"))
            await asyncio.sleep(self.rng.uniform(0.005, 0.1))

    def awake(self) -> list[SimulatedHost]:
        """Name the nodes that answer, in one order."""
        hosts = (self.hosts[name] for name in sorted(self.hosts))
        return [host for host in hosts if not host.stopping and host.way.stalled_until_s <= self.now_s]

    async def calm(self) -> None:
        """Wait until every node says the truth, in no doubt."""
        right = (self.truth, self.truth, self.truth, "counted")
        until_s = self.now_s + CALM_S
        while len(self.hosts) < len(self.names) or any(host.says() != right for host in self.hosts.values()):
            assert self.now_s < until_s, [host.says() for host in self.hosts.values()]
            await asyncio.sleep(0.05)

    # --- People -----------------------------------------------------------------------------------------------

    def join(self, person: int, name: str) -> None:
        tab = Tab(self, self.hosts[name], person)
        tab.join(f"{person}".ljust(22, "-"), None)
        self.tabs[person].append(tab)

    def lost(self, tab: Tab, wait_s: float) -> None:
        """Somebody lost a socket, and comes back."""
        if tab in self.tabs[tab.owner]:
            self.tabs[tab.owner].remove(tab)
            self.later(self.come(tab.owner, wait_s))

    async def come(self, person: int, wait_s: float, *, to: str | None = None, other_than: str = "") -> None:
        """Come in after a while: to a certain node if it is open, else to any, and to a certain one only if no other is."""
        await asyncio.sleep(wait_s)
        while not (doors := [host.name for host in self.awake() if host.is_open]):  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(0.05)
        others = [name for name in doors if name != other_than] or doors
        self.join(person, to if to in doors and to is not None else self.rng.choice(others))

    def break_one(self, person: int) -> str:
        """Break the first socket of somebody whose node notices that; tell which node that was, empty for none."""
        tab = next(iter(self.tabs[person]), None)
        if tab is None or tab.host not in self.awake():
            return ""
        self.tabs[person].remove(tab)
        tab.ended(politely=False)
        return tab.host.name

    # --- What happens -----------------------------------------------------------------------------------------

    async def live(self, for_s: float, faults: tuple[str, ...] = FAULTS) -> None:
        """Let things happen for a while, and then wait until they are over."""
        until_s = self.now_s + for_s
        while self.now_s < until_s:
            fault = self.rng.choice(faults)
            self.happened.append(f"{self.now_s:.3f} s: {fault}")
            getattr(self, fault)()
            await asyncio.sleep(self.rng.choice([0.1, 1.0, self.rng.uniform(0, 8)]))
        self.loss = 0.0
        await self.calm()

    def breaks(self) -> None:
        """Sockets of several people break; they come back, at once or later, here or elsewhere."""
        for person in self.rng.sample(range(self.truth), self.rng.randint(1, self.truth // 3)):
            if left := self.break_one(person):
                wait_s = self.rng.choice([0.0, self.rng.uniform(0, 0.5), self.rng.uniform(0, 3)])
                self.later(self.come(person, wait_s, other_than=self.rng.choice(["", left])))

    def bounces(self) -> None:
        """Somebody goes to another node for a moment, and is back before anybody has heard of it."""
        person = self.rng.randrange(self.truth)
        if left := self.break_one(person):

            async def bounce() -> None:
                await self.come(person, self.rng.uniform(0, 0.3), other_than=left)
                await asyncio.sleep(self.rng.uniform(0, 0.4))
                if self.break_one(person):
                    await self.come(person, self.rng.uniform(0, 0.4), to=left)

            self.later(bounce())

    def tabs_open(self) -> None:
        """Somebody opens a second tab for a few seconds, on any node."""
        person = self.rng.randrange(self.truth)
        doors = [host.name for host in self.awake() if host.is_open]
        if self.tabs[person] and doors:
            self.join(person, self.rng.choice(doors))

            async def close() -> None:
                await asyncio.sleep(self.rng.uniform(0, 4))
                if len(self.tabs[person]) > 1:
                    self.break_one(person)

            self.later(close())

    def drain(self) -> None:
        """A node is restarted, if all are there."""
        if len(self.hosts) == len(self.names) and all(host.is_open for host in self.hosts.values()):
            host = self.hosts[self.rng.choice(self.names)]

            async def restart() -> None:
                await host.stop()
                del self.hosts[host.name]
                await asyncio.sleep(self.rng.uniform(0.1, 2))
                await self.start(host.name)

            self.later(restart())

    def kill(self) -> None:
        """A node dies, if all are there, and another takes its place."""
        if len(self.hosts) == len(self.names) and all(host.is_open for host in self.hosts.values()):
            host = self.hosts.pop(self.rng.choice(self.names))
            host.die()
            for tab in [tab for tabs in self.tabs.values() for tab in tabs if tab.host is host]:
                self.lost(tab, self.rng.uniform(0, 2))

            async def replace() -> None:
                await asyncio.sleep(self.rng.uniform(0.1, 3))
                await self.start(host.name)

            self.later(replace())

    def stall(self) -> None:
        """A process does nothing for a while that is less than its lease."""
        host = self.hosts[self.rng.choice(sorted(self.hosts))]
        if not host.node.nodes.is_cut_off(self.clock.now_ms()):
            host.way.stalled_until_s = self.now_s + self.rng.uniform(0.1, 3)

    def cut(self) -> None:
        """A node loses sight of the log for less than its lease."""
        host = self.hosts[self.rng.choice(sorted(self.hosts))]
        if not host.node.nodes.is_cut_off(self.clock.now_ms()):
            host.way.is_cut = True

            async def heal() -> None:
                await asyncio.sleep(self.rng.uniform(0.2, host.config.node_lease_ms / 2_000))
                host.way.is_cut = False

            self.later(heal())
