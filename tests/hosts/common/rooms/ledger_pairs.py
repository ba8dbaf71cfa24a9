"""Pairs for the ledger tests: a room with two replicas, as two nodes of a server and as two objects of a
Worker.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from random import Random
from typing import TYPE_CHECKING, Any, cast

from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL
from breathing_room.hosts.server.frames import CLOSE, TEXT, close_frame
from breathing_room.hosts.server.socket import Socket
from room_adapter import Objects, SimulatedHost
from simulated_cluster import SharedLog
from virtual_loop import VirtualClock

if TYPE_CHECKING:
    from hosts.worker.objects import Wire

from hosts.common.rooms.ledger import BROKEN, ROOM, Ledger, NotingTransport, at_once, visitor_id


class Pair(ABC):
    """A room with two replicas.

    A script ends each of its acts with ``settle``, as deltas travel at another rate on each host.
    """

    @abstractmethod
    async def start(self) -> None:
        """Begin with two replicas of an empty room."""

    @abstractmethod
    async def join(self, name: str, visitor: str, mood: str | None, *, at: int) -> None:
        """Open a connection to a replica, and join over it."""

    @abstractmethod
    async def mood(self, name: str, mood: str) -> None:
        """Change the mood of a connection's visitor."""

    @abstractmethod
    async def drop(self, name: str, code: int = BROKEN) -> None:
        """End a connection from outside."""

    @abstractmethod
    async def settle(self) -> Ledger:
        """Let all deltas travel; return the last presence that each open connection was sent, but for its
        time.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Free what the pair holds."""


def timeless(message: dict[str, Any]) -> bytes:
    """Write a presence without its time."""
    return json.dumps({key: value for key, value in message.items() if key != "as_of_ms"}).encode()


class ServerPair(Pair):
    """Two nodes of a cluster, over a log in memory that loses nothing."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.rng, self.loss, self.slow_s = Random(0), 0.0, 0.0
        self.loop = asyncio.get_running_loop()
        self.clock = VirtualClock(self.loop)
        self.shared = SharedLog()
        self.transports: dict[str, NotingTransport] = {}

    @property
    def now_s(self) -> float:
        """The time, for the ways to the log."""
        return self.loop.time()

    async def start(self) -> None:
        self.loop.run_in_executor = at_once  # type: ignore[method-assign,assignment]
        self.nodes = [SimulatedHost(cast("Any", self), name, self.settings) for name in ("a", "b")]
        for node in self.nodes:
            await node.start()

    async def join(self, name: str, visitor: str, mood: str | None, *, at: int) -> None:
        room = self.nodes[at].enter(ROOM, address="192.0.2.1", forwarded_for=None)
        transport = self.transports[name] = NotingTransport([])
        transport.socket = Socket(transport, room, PROTOCOL)  # type: ignore[arg-type]
        self._say(name, {"type": "join", "visitor": visitor_id(visitor), "mood": mood})

    async def mood(self, name: str, mood: str) -> None:
        self._say(name, {"type": "mood", "mood": mood})

    def _say(self, name: str, message: dict[str, Any]) -> None:
        self.transports[name].receive(TEXT, json.dumps(message).encode())

    async def drop(self, name: str, code: int = BROKEN) -> None:
        transport = self.transports.pop(name)
        if code == BROKEN:
            transport.lose()
        else:
            transport.receive(CLOSE, close_frame(code)[2:])

    async def settle(self) -> Ledger:
        await asyncio.sleep(20)
        return {name: [timeless(json.loads(one.ledger[-1]))] for name, one in self.transports.items()}

    async def stop(self) -> None:
        for node in self.nodes:
            node.die()
        await asyncio.sleep(1)


class EdgePair(Pair):
    """Two objects of a room."""

    def __init__(self, **settings: Any) -> None:
        self.objects = Objects(sockets_per_object=50, **settings)
        self.wires: dict[str, Wire] = {}

    async def start(self) -> None:
        await self.objects.awake(0)

    async def join(self, name: str, visitor: str, mood: str | None, *, at: int) -> None:
        self.wires[name] = await self.objects.join(visitor, mood, shard=at)

    async def mood(self, name: str, mood: str) -> None:
        await self.objects.send(self.wires[name], "mood", mood=mood)

    async def drop(self, name: str, code: int = BROKEN) -> None:
        await self.objects.part(self.wires.pop(name), code)

    async def settle(self) -> Ledger:
        await self.objects.pass_ms(20_000)
        return {name: [timeless(wire.presence)] for name, wire in self.wires.items()}

    async def stop(self) -> None: ...
