"""A cluster on a virtual clock: real hosts, a log in memory that may be slow or lose answers, and visitors
who reconnect.

The number of visitors is constant, so the truth is known at every instant, and every presence that a node
answers or broadcasts is compared with it. A seed determines all faults.
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

SETTLE_S: Final = 60.0


class SharedLog:
    """The state of a Redis: the log, the rates and the secrets."""

    def __init__(self) -> None:
        self.entries: list[tuple[EntryId, bytes]] = []
        self.rates: dict[str, bytes] = {}
        self.secrets: dict[int, bytes] = {}

    def add(self, at_ms: int, value: bytes) -> EntryId:
        last = self.entries[-1][0] if self.entries else (0, 0)
        entry = max((at_ms, 0), (last[0], last[1] + 1))
        self.entries.append((entry, value))
        return entry


class SimulatedCluster:
    """Nodes and visitors.

    Args:
        seed: The seed of all faults.
        people: The number of visitors.
        nodes: The number of nodes.
        loss: The share of trips to the log that are lost, there and back each.
        slow_s: The longest time of a trip, one way.
        settings: The settings of every node.
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
        self.observations = 0
        self.wrong: list[str] = []
        self.faults: list[str] = []
        self._observes = False
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
        await self.settle()
        self._observes = True
        self.later(self._keep_observing())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._observes = False
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

    # --- Observations --------------------------------------------------------------------------------------

    def observe(self, host: SimulatedHost, presence: Presence) -> None:
        """Compare the presence of a node with the truth."""
        if not self._observes:
            return
        self.observations += 1
        if not presence.low <= self.truth <= (self.truth if presence.high is None else presence.high):
            what = f"{presence.count} in [{presence.low}, {presence.high}], {presence.method}"
            self.wrong.append(f"{self.now_s:.3f} s, {host.name}: {what}")

    async def _keep_observing(self) -> None:
        while True:
            for host in self.awake():
                self.observe(host, host.presence("lobby"))
            await asyncio.sleep(self.rng.uniform(0.005, 0.1))

    def awake(self) -> list[SimulatedHost]:
        """Return the nodes that answer, in a fixed order."""
        hosts = (self.hosts[name] for name in sorted(self.hosts))
        return [host for host in hosts if not host.stopping and host.way.stalled_until_s <= self.now_s]

    async def settle(self) -> None:
        """Wait until every node has the exact count, without suspects."""
        right = (self.truth, self.truth, self.truth, "counted")
        until_s = self.now_s + SETTLE_S
        while len(self.hosts) < len(self.names) or any(
            host.counts() != right for host in self.hosts.values()
        ):
            assert self.now_s < until_s, [host.counts() for host in self.hosts.values()]
            await asyncio.sleep(0.05)

    # --- Visitors ------------------------------------------------------------------------------------------

    def join(self, person: int, name: str) -> None:
        tab = Tab(self, self.hosts[name], person)
        tab.join(f"{person}".ljust(22, "-"), None)
        self.tabs[person].append(tab)

    def reconnect(self, tab: Tab, wait_s: float) -> None:
        """Reconnect a visitor whose connection was lost."""
        if tab in self.tabs[tab.owner]:
            self.tabs[tab.owner].remove(tab)
            self.later(self.come(tab.owner, wait_s))

    async def come(self, person: int, wait_s: float, *, to: str | None = None, other_than: str = "") -> None:
        """Join after a while: at node ``to`` if it is open, else at any open one; at ``other_than`` only if
        no other is open.
        """
        await asyncio.sleep(wait_s)
        while not (open_names := [host.name for host in self.awake() if host.is_open]):  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(0.05)
        others = [name for name in open_names if name != other_than] or open_names
        self.join(person, to if to in open_names and to is not None else self.rng.choice(others))

    def disconnect(self, person: int) -> str:
        """Disconnect the first connection of a visitor if its node is awake; return the name of that node,
        empty for none.
        """
        tab = next(iter(self.tabs[person]), None)
        if tab is None or tab.host not in self.awake():
            return ""
        self.tabs[person].remove(tab)
        tab.ended(graceful=False)
        return tab.host.name

    # --- Faults --------------------------------------------------------------------------------------------

    async def live(self, for_s: float, faults: tuple[str, ...] = FAULTS) -> None:
        """Inject faults for a while, then wait until the cluster has settled."""
        until_s = self.now_s + for_s
        while self.now_s < until_s:
            fault = self.rng.choice(faults)
            self.faults.append(f"{self.now_s:.3f} s: {fault}")
            getattr(self, fault)()
            await asyncio.sleep(self.rng.choice([0.1, 1.0, self.rng.uniform(0, 8)]))
        self.loss = 0.0
        await self.settle()

    def breaks(self) -> None:
        """Disconnect several visitors; they reconnect at once or later, to the same node or another."""
        for person in self.rng.sample(range(self.truth), self.rng.randint(1, self.truth // 3)):
            if left := self.disconnect(person):
                wait_s = self.rng.choice([0.0, self.rng.uniform(0, 0.5), self.rng.uniform(0, 3)])
                self.later(self.come(person, wait_s, other_than=self.rng.choice(["", left])))

    def bounces(self) -> None:
        """Reconnect a visitor to another node and back before the nodes have exchanged deltas."""
        person = self.rng.randrange(self.truth)
        if left := self.disconnect(person):

            async def bounce() -> None:
                await self.come(person, self.rng.uniform(0, 0.3), other_than=left)
                await asyncio.sleep(self.rng.uniform(0, 0.4))
                if self.disconnect(person):
                    await self.come(person, self.rng.uniform(0, 0.4), to=left)

            self.later(bounce())

    def tabs_open(self) -> None:
        """Open a second tab of a visitor for a few seconds, on any node."""
        person = self.rng.randrange(self.truth)
        open_names = [host.name for host in self.awake() if host.is_open]
        if self.tabs[person] and open_names:
            self.join(person, self.rng.choice(open_names))

            async def close() -> None:
                await asyncio.sleep(self.rng.uniform(0, 4))
                if len(self.tabs[person]) > 1:
                    self.disconnect(person)

            self.later(close())

    def drain(self) -> None:
        """Restart a node, if all are up."""
        if len(self.hosts) == len(self.names) and all(host.is_open for host in self.hosts.values()):
            host = self.hosts[self.rng.choice(self.names)]

            async def restart() -> None:
                await host.stop()
                del self.hosts[host.name]
                await asyncio.sleep(self.rng.uniform(0.1, 2))
                await self.start(host.name)

            self.later(restart())

    def kill(self) -> None:
        """Kill a node, if all are up, and start it again."""
        if len(self.hosts) == len(self.names) and all(host.is_open for host in self.hosts.values()):
            host = self.hosts.pop(self.rng.choice(self.names))
            host.die()
            for tab in [tab for tabs in self.tabs.values() for tab in tabs if tab.host is host]:
                self.reconnect(tab, self.rng.uniform(0, 2))

            async def replace() -> None:
                await asyncio.sleep(self.rng.uniform(0.1, 3))
                await self.start(host.name)

            self.later(replace())

    def stall(self) -> None:
        """Stall the process of a node for less than its lease."""
        host = self.hosts[self.rng.choice(sorted(self.hosts))]
        if not host.node.nodes.is_cut_off(self.clock.now_ms()):
            host.way.stalled_until_s = self.now_s + self.rng.uniform(0.1, 3)

    def cut(self) -> None:
        """Cut a node off from the log for less than its lease."""
        host = self.hosts[self.rng.choice(sorted(self.hosts))]
        if not host.node.nodes.is_cut_off(self.clock.now_ms()):
            host.way.is_cut = True

            async def heal() -> None:
                await asyncio.sleep(self.rng.uniform(0.2, host.config.node_lease_ms / 2_000))
                host.way.is_cut = False

            self.later(heal())
