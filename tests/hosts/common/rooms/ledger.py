"""Stages for the ledger tests: each host with its real sockets, on a virtual clock, over a carrier that notes
every byte.

A *script* says what clients do and when. A stage plays it and returns the *ledger*: what each connection was
sent, in order. Every client answers control pings, as browsers do; those are the carrier's own, and no part
of the ledger.
"""

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import KeepConnections
from breathing_room.core.errors import ClientError
from breathing_room.core.events import PanelLeft, PanelReported
from breathing_room.core.identity import SECRET_BYTES
from breathing_room.core.room import Room
from breathing_room.core.wire import JOIN_LATE
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.rooms.connection import ENDED, Connection
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, EncodedPresence
from breathing_room.hosts.common.rooms.room_host import RoomHost, RoomServices, Subscriber
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.frames import CLOSE, FIN, PING, PONG, TEXT, close_frame, read_close
from breathing_room.hosts.server.socket import Socket
from breathing_room.hosts.worker.room_platform import EdgeServices, WorkerPlatform
from breathing_room.hosts.worker.settings import WorkerConfig
from breathing_room.hosts.worker.socket import EdgeSocket
from breathing_room.stores import MemoryStore
from virtual_loop import VirtualClock

BROKEN = 1006
ROOM = "lobby"

Ledger = dict[str, list[bytes]]


def visitor_id(name: str) -> str:
    """Make a valid visitor id of a short name."""
    return name.ljust(16, "-")


class Alarm:
    """A time to wake at, which may be set to another while it is waited for.

    Args:
        clock: The time.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._at_ms: int | None = None
        self._is_set = asyncio.Event()

    def set(self, at_ms: int | None) -> None:
        self._at_ms = at_ms
        self._is_set.set()

    async def due(self) -> None:
        """Wait until the time has come; then none is set any more."""
        while self._at_ms is None or self._at_ms > self._clock.now_ms():
            self._is_set.clear()
            left_s = None if self._at_ms is None else (self._at_ms - self._clock.now_ms()) / 1_000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._is_set.wait()
        self._at_ms = None


def text_of(message: dict[str, Any] | str) -> str:
    """Write a message, unless it is written already."""
    return message if isinstance(message, str) else json.dumps(message)


class Stage(ABC):
    """A host on which a script is played.

    Args:
        settings: Those of the room, and ``bad_messages_max``.

    Attributes:
        ledger: What each connection was sent; the close is the last entry, as its code and its reason.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.ledger: defaultdict[str, list[bytes]] = defaultdict(list)
        self.loop = asyncio.get_running_loop()
        self.clock = VirtualClock(self.loop)

    # --- What a script does --------------------------------------------------------------------------------

    async def join(self, name: str, mood: str | None = None, *, visitor: str | None = None) -> None:
        """Open a connection, and join over it."""
        await self.open(name)
        await self.say(name, {"type": "join", "visitor": visitor_id(visitor or name), "mood": mood})

    async def observe(self, name: str) -> None:
        """Open a connection, and observe over it."""
        await self.open(name)
        await self.say(name, {"type": "observe"})

    async def mood(self, name: str, mood: str) -> None:
        """Change the mood of a connection's visitor."""
        await self.say(name, {"type": "mood", "mood": mood})

    async def leave(self, name: str) -> None:
        """Leave over a connection."""
        await self.say(name, {"type": "leave"})

    async def say(self, name: str, message: dict[str, Any] | str) -> None:
        """Send a message over a connection."""
        await self.turn(partial(self._say, name, text_of(message)))

    async def say_together(self, name: str, *messages: dict[str, Any] | str) -> None:
        """Send messages that arrive in one turn, where a host takes several in one; where the network
        delivers each by itself, in several.
        """
        for message in messages:
            await self.say(name, message)

    async def drop(self, name: str, code: int = BROKEN) -> None:
        """End a connection from outside: with a close, or without a word."""
        await self.turn(partial(self._drop, name, code))

    async def pass_ms(self, length_ms: int) -> None:
        """Let time pass; before, the room counts as subscribers the connections that its host sends
        broadcasts to, and no others.
        """
        room = self.room_awake
        assert room is None or room.room.subscriber_count == len(room.subscribers)
        await asyncio.sleep(length_ms / 1_000)

    async def turn(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do one thing, and let everything happen that follows at once."""
        await act()
        for _ in range(4):
            await asyncio.sleep(0)

    # --- What a host does ----------------------------------------------------------------------------------

    @property
    @abstractmethod
    def room_awake(self) -> RoomHost[Any] | None:
        """The room, None while it sleeps."""

    @abstractmethod
    async def start(self) -> None:
        """Begin with an empty store, or with what a crash left."""

    @abstractmethod
    async def crash(self) -> None:
        """Lose the memory and every connection, and begin again."""

    @abstractmethod
    async def stop(self) -> None:
        """Free what the stage holds."""

    @abstractmethod
    async def open(self, name: str) -> None:
        """Open a connection."""

    async def open_document(self, name: str, session_id: str, mood: str) -> None:
        """Open a connection of the planning document's app."""
        await self.turn(partial(self._open_document, name, session_id, mood))

    async def report(self, visitor: str, ticket: float, mood: str | None = None) -> None:
        """Report a visitor of the panel."""
        await self.turn(partial(self._report, visitor, ticket, mood))

    async def withdraw(self, visitor: str) -> None:
        """Let a visitor of the panel leave."""
        await self.turn(partial(self._withdraw, visitor))

    @abstractmethod
    async def _open_document(self, name: str, session_id: str, mood: str) -> None: ...

    @abstractmethod
    async def _report(self, visitor: str, ticket: float, mood: str | None) -> None: ...

    @abstractmethod
    async def _withdraw(self, visitor: str) -> None: ...

    @abstractmethod
    async def _say(self, name: str, text: str) -> None: ...

    @abstractmethod
    async def _drop(self, name: str, code: int) -> None: ...


# --- The server -------------------------------------------------------------------------------------------


class NotingTransport:
    """A transport that notes what is written, and answers pings and closes."""

    socket: Socket

    def __init__(self, ledger: list[bytes]) -> None:
        self.ledger = ledger
        self.loop = asyncio.get_running_loop()
        self.is_open = True

    def write(self, data: bytes) -> None:
        if not self.is_open:
            return
        opcode, length = data[0] & 0x0F, data[1]
        payload = data[2:] if length < 126 else data[4:]
        assert length < 127, "longer than any message of ours"
        if opcode == TEXT:
            self.ledger.append(payload)
        elif opcode == PING:
            self.loop.call_soon(self.receive, PONG, payload)
        elif opcode == CLOSE:
            self.ledger.append(noted_close(read_close(payload), payload[2:]))
            self.lose()

    def receive(self, opcode: int, *payloads: bytes) -> None:
        """Let the client send frames, in one piece."""
        if self.is_open:
            self.socket.data_received(b"".join(masked(opcode, payload) for payload in payloads))

    def lose(self) -> None:
        """End the connection."""
        if self.is_open:
            self.is_open = False
            self.loop.call_soon(self.socket.connection_lost, None)

    def set_write_buffer_limits(self, high: int | None = None) -> None: ...

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.lose()

    def abort(self) -> None:
        self.lose()


def noted_close(code: int, reason: bytes) -> bytes:
    return b"close %d %b" % (code, reason)


def masked(opcode: int, payload: bytes) -> bytes:
    """Make the frame of a client, under a mask that changes nothing."""
    length = len(payload)
    head = bytes([length | 0x80]) if length < 126 else bytes([126 | 0x80]) + length.to_bytes(2)
    return bytes([FIN | opcode]) + head + bytes(4) + payload


def at_once(_executor: None, work: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
    """Run what a thread should: a loop whose time jumps cannot wait for one."""
    done = asyncio.get_running_loop().create_future()
    done.set_result(work(*arguments))
    return done


class ServerStage(Stage):
    """The server, in this loop."""

    @property
    def room_awake(self) -> RoomHost[Any]:
        return self.host.rooms[ROOM]

    async def start(self) -> None:
        self.loop.run_in_executor = at_once  # type: ignore[method-assign,assignment]
        self.store = MemoryStore(clock=self.clock.wall_ms)
        self.transports: dict[str, NotingTransport] = {}
        await self._start()

    async def _start(self) -> None:
        config = ServerConfig.load(flags={"data": ":memory:", **self.settings}, environ={})
        self.host = App(config, self.store, clock=self.clock)
        await self.host.start()

    async def crash(self) -> None:
        for transport in self.transports.values():
            transport.is_open = False
        self.host.stopping = True
        for task in list(self.host._tasks):
            task.cancel()
        for room in self.host.rooms.values():
            room.platform.cancel_timer()
        await self._start()

    async def stop(self) -> None:
        await self.host.stop()

    async def open(self, name: str) -> None:
        self._open(name, PROTOCOL)

    async def _open_document(self, name: str, session_id: str, mood: str) -> None:
        socket = self._open(name, document_api.DOCUMENT_CODEC)
        try:
            socket.join(session_id, document_api.read_mood(mood, socket.room.config.moods))
        except ClientError as error:
            socket.refuse(error)

    def _open(self, name: str, codec: Any) -> Socket:
        room = self.host.enter(ROOM, address="192.0.2.1", forwarded_for=None)
        transport = self.transports[name] = NotingTransport(self.ledger[name])
        transport.socket = Socket(transport, room, codec)  # type: ignore[arg-type]
        return transport.socket

    async def _say(self, name: str, text: str) -> None:
        self.transports[name].receive(TEXT, text.encode())

    async def say_together(self, name: str, *messages: dict[str, Any] | str) -> None:
        async def act() -> None:
            self.transports[name].receive(TEXT, *(text_of(message).encode() for message in messages))

        await self.turn(act)

    async def _drop(self, name: str, code: int) -> None:
        transport = self.transports[name]
        if code == BROKEN:
            transport.lose()
        else:
            transport.receive(CLOSE, close_frame(code)[2:])

    async def _report(self, visitor: str, ticket: float, mood: str | None) -> None:
        room = self.host.rooms[ROOM]
        room.feed(PanelReported(room.visitor_key(visitor_id(visitor)), ticket, mood))

    async def _withdraw(self, visitor: str) -> None:
        room = self.host.rooms[ROOM]
        room.feed(PanelLeft(room.visitor_key(visitor_id(visitor))))


# --- The Worker -------------------------------------------------------------------------------------------


class NotingWebSocket:
    """A WebSocket of the edge that notes what is sent, and keeps what is attached."""

    def __init__(self, ledger: list[bytes]) -> None:
        self.ledger = ledger
        self.attached = ""
        self.is_open = True

    def send(self, text: str) -> None:
        if self.is_open:
            self.ledger.append(text.encode())

    def close(self, code: int, reason: str) -> None:
        if self.is_open:
            self.is_open = False
            self.ledger.append(noted_close(code, reason.encode()))

    def serializeAttachment(self, attached: str) -> None:  # noqa: N802 - the platform's name
        self.attached = attached


class EdgeStage(Stage):
    """The object of a room. It loses its memory after every turn if it ``sleeps``."""

    def __init__(self, *, sleeps: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.sleeps = sleeps

    async def start(self) -> None:
        names = {"bad_messages_max"}
        room = RoomConfig(**{name: value for name, value in self.settings.items() if name not in names})
        server = {name: value for name, value in self.settings.items() if name in names}
        worker = WorkerConfig(server=ServerConfig(room=room, **server))
        self.host = EdgeServices(worker=worker, clock=self.clock, prefixes=Prefixes())
        self.rows: dict[str, bytes] = {}
        self.alarm = Alarm(self.clock)
        self.websockets: dict[str, NotingWebSocket] = {}
        self.sockets: dict[str, EdgeSocket] = {}
        self.platform: WorkerPlatform | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.ringing = asyncio.create_task(self._ring())

    @property
    def room_awake(self) -> RoomHost[Any] | None:
        return None if self.platform is None else self.platform.room

    async def crash(self) -> None:
        for websocket in self.websockets.values():
            websocket.is_open = False
        self.websockets.clear()
        self._sleep()
        await self._awake()

    async def stop(self) -> None:
        self.ringing.cancel()

    # Rows, as ``Kept`` has them.

    def get(self, name: str) -> bytes | None:
        return self.rows.get(name)

    def put(self, name: str, value: bytes) -> None:
        self.rows[name] = value

    def delete(self, name: str) -> None:
        self.rows.pop(name, None)

    def _spawn(self, work: Any) -> None:
        self.tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self.tasks.discard)

    async def _ring(self) -> None:
        """Ring the alarm when it is due."""
        while True:
            await self.alarm.due()
            platform = await self._awake()
            await platform.sync()
            platform.on_timer()
            self._sleep_if_tired()

    async def _awake(self) -> WorkerPlatform:
        if self.platform is None:
            platform = WorkerPlatform(self.host, ROOM, self, set_alarm=self.alarm.set, spawn=self._spawn)
            self.sockets = {
                name: EdgeSocket.resume(websocket, websocket.attached, platform.room)
                for name, websocket in self.websockets.items()
            }
            await platform.resume(list(self.sockets.values()))
            self.platform = platform
        await self.platform.load_secrets()
        return self.platform

    def _sleep(self) -> None:
        self.platform = None
        self.sockets = {}

    def _sleep_if_tired(self) -> None:
        for name, socket in list(self.sockets.items()):
            if socket.role == ENDED:
                del self.sockets[name], self.websockets[name]
        if self.sleeps:
            self._sleep()

    async def turn(self, act: Callable[[], Awaitable[None]]) -> None:
        await super().turn(act)
        self._sleep_if_tired()

    async def open(self, name: str) -> None:
        await self._open(name, PROTOCOL)

    async def _open_document(self, name: str, session_id: str, mood: str) -> None:
        socket = await self._open(name, document_api.DOCUMENT_CODEC)
        try:
            socket.join(session_id, document_api.read_mood(mood, socket.room.config.moods))
        except ClientError as error:
            socket.refuse(error)

    async def _open(self, name: str, codec: Any) -> EdgeSocket:
        platform = await self._awake()
        websocket = self.websockets[name] = NotingWebSocket(self.ledger[name])
        socket = self.sockets[name] = EdgeSocket(websocket, platform.room, codec)
        platform.accept(socket)
        return socket

    async def _say(self, name: str, text: str) -> None:
        await self._awake()
        if name in self.sockets:
            self.sockets[name].message_arrived(text)

    async def _drop(self, name: str, code: int) -> None:
        await self._awake()
        if name in self.sockets:
            if code == BROKEN:
                self.websockets[name].is_open = False
            self.sockets[name].peer_closed(code)

    async def _report(self, visitor: str, ticket: float, mood: str | None) -> None:
        room = (await self._awake()).room
        room.feed(PanelReported(room.visitor_key(visitor_id(visitor)), ticket, mood))

    async def _withdraw(self, visitor: str) -> None:
        room = (await self._awake()).room
        room.feed(PanelLeft(room.visitor_key(visitor_id(visitor))))


# --- Neither ----------------------------------------------------------------------------------------------


class NotingConnection(Connection):
    """A connection that is nothing but a list."""

    def __init__(self, room: RoomHost[Any], codec: Any, ledger: list[bytes]) -> None:
        self.ledger = ledger
        self.is_open = True
        super().__init__(room, codec)

    def push(self, encoded: EncodedPresence) -> None:
        self.send(encoded.text(self.codec))

    def send(self, text: bytes) -> None:
        if self.is_open:
            self.ledger.append(text)

    def ping(self) -> None:
        raise AssertionError("an open connection is a lease here")

    def close(self, code: int, reason: bytes = b"") -> None:
        if self.is_open:
            self.ledger.append(noted_close(code, reason))
            self.is_open = False
            self.ended(graceful=False)

    def abort(self) -> None:
        self.close(BROKEN)


class FakeStage(Stage):
    """A room host on a platform that keeps nothing: the third one, beside the server's and the Worker's."""

    async def start(self) -> None:
        self.connections: dict[str, NotingConnection] = {}
        self.alarm = Alarm(self.clock)
        self._open_room(unknown=False)
        self.ringing = asyncio.create_task(self._ring())

    def _open_room(self, *, unknown: bool) -> None:
        names = {"bad_messages_max"}
        config = RoomConfig(**{name: value for name, value in self.settings.items() if name not in names})
        server = ServerConfig(**{name: value for name, value in self.settings.items() if name in names})
        services = RoomServices(server, clock=self.clock, counters=Counters(), prefixes=Prefixes())
        services.secrets.current = (bytes(SECRET_BYTES),)
        room = Room(ROOM, config, now_ms=self.clock.now_ms(), unknown=unknown, connection_is_lease=True)
        self.room = RoomHost(room, self, services)
        self.flushes: list[Callable[[], None]] = []
        self.timer_at_ms: int | None = None
        self.room.on_timer()
        self._flush()

    @property
    def room_awake(self) -> RoomHost[Any]:
        return self.room

    async def crash(self) -> None:
        for connection in self.connections.values():
            connection.is_open = False
        self.connections.clear()
        self._open_room(unknown=True)

    async def stop(self) -> None:
        self.ringing.cancel()

    async def _ring(self) -> None:
        while True:
            await self.alarm.due()
            now_ms = self.clock.now_ms()
            for connection in self.room.host.joining.ended(now_ms):
                connection.close(JOIN_LATE)
            if self.timer_at_ms is not None and self.timer_at_ms <= now_ms:
                self.timer_at_ms = None
                self.room.on_timer()
            self._flush()

    async def turn(self, act: Callable[[], Awaitable[None]]) -> None:
        await super().turn(act)
        self._flush()

    def _flush(self) -> None:
        flushes, self.flushes = self.flushes, []
        for flush in flushes:
            flush()
        due = (self.timer_at_ms, self.room.host.joining.next_at_ms)
        self.alarm.set(min((at_ms for at_ms in due if at_ms is not None), default=None))

    # Platform

    def call_soon(self, flush: Callable[[], None]) -> None:
        self.flushes.append(flush)

    def send(self, subscribers: Mapping[Subscriber, None], encoded: EncodedPresence) -> None:
        for subscriber in subscribers:
            subscriber.push(encoded)

    def set_timer(self, at_ms: int | None) -> None:
        self.timer_at_ms = at_ms

    def save(self) -> None: ...

    def keep(self, effect: KeepConnections) -> None: ...

    def commit(self) -> None: ...

    # Clients

    async def open(self, name: str) -> None:
        self._open(name, PROTOCOL)

    def _open(self, name: str, codec: Any) -> NotingConnection:
        made = self.connections[name] = NotingConnection(self.room, codec, self.ledger[name])
        return made

    async def _open_document(self, name: str, session_id: str, mood: str) -> None:
        connection = self._open(name, document_api.DOCUMENT_CODEC)
        connection.join(session_id, document_api.read_mood(mood, self.room.config.moods))

    async def say_together(self, name: str, *messages: dict[str, Any] | str) -> None:
        async def act() -> None:
            for message in messages:
                await self._say(name, text_of(message))

        await self.turn(act)

    async def _say(self, name: str, text: str) -> None:
        if self.connections[name].is_open:
            self.connections[name].receive(text.encode())

    async def _drop(self, name: str, code: int) -> None:
        connection = self.connections[name]
        if code != BROKEN and connection.is_open:
            self.ledger[name].append(noted_close(code, b""))  # The answer to its close.
        connection.is_open = False
        connection.ended(graceful=code != BROKEN)

    async def _report(self, visitor: str, ticket: float, mood: str | None) -> None:
        self.room.feed(PanelReported(self.room.visitor_key(visitor_id(visitor)), ticket, mood))

    async def _withdraw(self, visitor: str) -> None:
        self.room.feed(PanelLeft(self.room.visitor_key(visitor_id(visitor))))
