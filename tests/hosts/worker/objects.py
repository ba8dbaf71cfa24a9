"""The objects of one room without a platform: their sockets, rows and alarms, on a clock that a test moves.

The hosts are the real ones. An object may lose its memory at any time, as the platform may take it.
"""

import json
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import PeerError
from breathing_room.core.shards import order
from breathing_room.core.wire import GOODBYE
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.common.rooms.connection import ENDED
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.worker.host import Host, RoomHost
from breathing_room.hosts.worker.settings import WorkerConfig
from breathing_room.hosts.worker.shards import GROW
from breathing_room.hosts.worker.socket import EdgeSocket
from breathing_room.ports import Store

if TYPE_CHECKING:
    from collections.abc import Coroutine

BROKEN = 1006


class HandClock(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at_ms = 1_767_225_600_000

    def now_ms(self) -> int:
        return self.at_ms

    def wall_ms(self) -> int:
        return self.at_ms


@dataclass(eq=False)
class Wire:
    """A socket as the network keeps it.

    Attributes:
        shard: The object that holds it.
        heard: What was sent to it.
        attached: What is attached to it.
    """

    shard: int
    heard: list[dict[str, Any]] = field(default_factory=list)
    attached: str = ""
    closed: int | None = None

    def send(self, text: str) -> None:
        self.heard.append(json.loads(text))

    def serializeAttachment(self, attached: str) -> None:  # noqa: N802 - the platform's name
        self.attached = attached

    def close(self, code: int, reason: str) -> None:
        del reason
        self.closed = code

    @property
    def said(self) -> dict[str, Any]:
        """The presence that was heard last."""
        return next(said for said in reversed(self.heard) if said["type"] == "presence")


@dataclass
class Object:
    """One object: its rows and sockets last, the rest is memory.

    Attributes:
        alarms: How often its alarm rang.
        written: The rows that it wrote, those of alarms included.
    """

    rows: dict[str, bytes] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    alarm_at_ms: int | None = None
    room: RoomHost | None = None
    sessions: dict[Wire, EdgeSocket] = field(default_factory=dict)
    alarms: int = 0
    written: int = 0

    def get(self, name: str) -> bytes | None:
        return self.rows.get(name)

    def put(self, name: str, value: bytes) -> None:
        self.rows[name] = value
        self.written += 1

    def set_alarm(self, at_ms: int) -> None:
        self.alarm_at_ms = at_ms
        self.written += 1

    def delete(self, name: str) -> None:
        self.rows.pop(name, None)

    def sleep(self) -> None:
        """Lose the memory."""
        self.room = None
        self.sessions = {}

    def crash(self) -> None:
        """Lose the sockets, too."""
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
        self.host = Host(worker=self.worker, clock=self.clock, prefixes=Prefixes())
        self.objects: dict[int, Object] = {}
        self.failing: set[int] = set()
        self.calls = 0
        self._work: list[Coroutine[Any, Any, None]] = []

    def keep_in(self, store: Store) -> None:
        """Back rooms up."""
        self.host = replace(self.host, store=store)

    def __getitem__(self, shard: int) -> Object:
        return self.objects.setdefault(shard, Object())

    @property
    def wires(self) -> list[Wire]:
        """The sockets that are open."""
        return [wire for one in self.objects.values() for wire in one.wires]

    async def awake(self, shard: int) -> RoomHost:
        """Find an object's room, awake."""
        one = self[shard]
        if one.room is None:
            room = RoomHost(
                self.host,
                "lobby",
                one,
                set_alarm=one.set_alarm,
                spawn=self._work.append,
                shard=shard,
                call=partial(self._call, shard),
            )
            one.sessions = {wire: EdgeSocket.revive(wire, wire.attached, room) for wire in one.wires}
            await room.wake(list(one.sessions.values()))
            one.room = room
        await one.room.load_secrets()
        return one.room

    async def _call(self, caller: int, shard: int, path: str, body: bytes) -> bytes:
        if self.failing & {caller, shard}:
            raise PeerError("unavailable", "injected", status=503)
        self.calls += 1
        return await (await self.awake(shard)).answer_within(path, body)

    # --- People -----------------------------------------------------------------------------------------------

    async def open(self, seed: str, *, shard: int | None = None) -> Wire:
        """Open a socket on the first object that has a place, as the Worker does."""
        parent = await self.awake(0)
        shards = parent.shards
        while shard is None:
            candidates = order(seed.encode(), shards)
            limit = self.worker.sockets_per_object
            shard = next((one for one in candidates if len(self[one].wires) < limit), None)
            if shard is None:
                grown = int(await parent.answer_within(f"{GROW}{shards}", b""))
                assert grown > shards
                shards = grown
        room = await self.awake(shard)
        wire = Wire(shard)
        session = EdgeSocket(wire, room, PROTOCOL)
        self[shard].wires.append(wire)
        self[shard].sessions[wire] = session
        room.accept(session)
        return wire

    async def tell(self, wire: Wire, type: str, **more: Any) -> None:  # noqa: A002
        """Say something over a socket."""
        await self.awake(wire.shard)
        self[wire.shard].sessions[wire].message_arrived(json.dumps({"type": type, **more}))
        self._tidy(wire)

    async def join(self, visitor: str, mood: str | None = None, *, shard: int | None = None) -> Wire:
        """Let somebody come in."""
        wire = await self.open(visitor, shard=shard)
        await self.tell(wire, "join", visitor=visitor.ljust(16, "-"), mood=mood)
        return wire

    async def part(self, wire: Wire, code: int = GOODBYE) -> None:
        """Close a socket from outside."""
        await self.awake(wire.shard)
        self[wire.shard].sessions[wire].peer_closed(code)
        self._tidy(wire)

    def _tidy(self, wire: Wire) -> None:
        one = self[wire.shard]
        if wire in one.sessions and one.sessions[wire].role == ENDED:
            one.wires.remove(wire)
            del one.sessions[wire]

    # --- Time -------------------------------------------------------------------------------------------------

    async def pass_ms(self, length_ms: int) -> None:
        """Let time pass, and alarms ring."""
        until_ms = self.clock.at_ms + length_ms
        while due := [
            one for one in self.objects.items() if (one[1].alarm_at_ms or until_ms + 1) <= until_ms
        ]:
            shard, one = min(due, key=lambda found: found[1].alarm_at_ms or 0)
            assert one.alarm_at_ms is not None
            self.clock.at_ms = max(self.clock.at_ms, one.alarm_at_ms)
            one.alarm_at_ms = None
            one.alarms += 1
            room = await self.awake(shard)
            await room.talk()
            room.alarm_rang()
            for wire in list(one.wires):
                self._tidy(wire)
        self.clock.at_ms = until_ms
        while self._work:
            await self._work.pop(0)

    async def calm(self) -> None:
        """Let time pass until no alarm is set: then all may sleep.

        Raises:
            AssertionError: Something goes on and on.
        """
        for _ in range(200):
            alarms_at_ms = [one.alarm_at_ms for one in self.objects.values() if one.alarm_at_ms is not None]
            if not alarms_at_ms:
                return
            await self.pass_ms(max(0, min(alarms_at_ms) - self.clock.at_ms))
        raise AssertionError("something goes on for ever")

    def sleep(self) -> None:
        """Let all objects lose their memory."""
        for one in self.objects.values():
            one.sleep()

    async def presence(self) -> dict[str, Any]:
        """Read who is there, as the Worker does."""
        presence = (await self.awake(0)).presence()
        return {
            "count": presence.count,
            "low": presence.low,
            "high": presence.high,
            "method": presence.method,
        } | {"moods": {mood: people for mood, people in presence.moods.items() if people}}
