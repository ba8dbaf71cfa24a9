"""A cluster on a virtual clock: real hosts, a log in memory that may be slow or lose answers, and a crowd that moves about.

Nobody comes who was not there and nobody leaves for good, so the truth is known at every instant, and every look at a node and
every announcement is held against it. A seed says all that happens.
"""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, Final, Self

from breathing_room.core.presence import Presence
from breathing_room.core.replication.delta import EntryId
from room_adapter import SimulatedHost, Tab
from virtual_loop import VirtualClock

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
        self.settings = {"reconnect_spread_ms": 2_000, **settings}
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
        tab.ended(graceful=False)
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
