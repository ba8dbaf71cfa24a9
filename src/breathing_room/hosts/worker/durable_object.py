"""The Durable Object of a room: what the platform calls, and what it is asked for."""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

import js
from pyodide.ffi import create_proxy, to_js
from workers import DurableObject, Response

from breathing_room.core.errors import ClientError
from breathing_room.core.wire import PING, PONG
from breathing_room.hosts.common.http.handshake import admit_handshake
from breathing_room.hosts.common.http.responses import Answer, as_client_error, error_answer, upgrade_required
from breathing_room.hosts.common.rooms.connection import ENDED
from breathing_room.hosts.worker.hibernation import BILLED, Rows
from breathing_room.hosts.worker.kv_routes import KvRoutes
from breathing_room.hosts.worker.platform import binding, make_host, read_request, respond, to_object
from breathing_room.hosts.worker.room_platform import EdgeServices, WorkerPlatform
from breathing_room.hosts.worker.routes import HttpRequest, RoomRoutes, find_route
from breathing_room.hosts.worker.shard_calls import (
    OBJECT_ORIGIN,
    SHARDS_HEADER,
    INTERNAL_PATH,
    INTERNAL_BODY_BYTES_MAX,
    object_name,
    room_and_shard,
)
from breathing_room.hosts.worker.socket import EdgeSocket
from breathing_room.ports import wall_ms

log = logging.getLogger("breathing_room.worker")

ALARM_RETRY_MS: Final = 5_000

_hosts: list[EdgeServices] = []


def the_host(env: Any) -> EdgeServices:
    """Find what all rooms share in this copy of the code; the first room makes it."""
    if not _hosts:
        _hosts.append(make_host(env))
    return _hosts[0]


class BreathingRoom(DurableObject):
    """One room."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._state = getattr(ctx, "_ctx", ctx)  # The SDK's wrapper would convert every argument.
        self._room: WorkerPlatform | None = None
        self._kv_routes: KvRoutes | None = None
        self._loading = asyncio.Lock()
        self._sockets: dict[int, EdgeSocket] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- What the platform calls ------------------------------------------------------------------------------

    async def fetch(self, request: Any) -> Any:
        """Answer a request that the Worker passed on, a handshake included."""
        log.debug("%s request", BILLED)
        asked = read_request(request.js_object)
        host = the_host(self.env)
        headers: dict[str, str] = {}
        try:
            if asked.path.startswith(INTERNAL_PATH):
                return await self._answer_internal(asked)
            name, path = find_route(asked.method, asked.path, host.config.default_room)
            if host.worker.collects:
                return respond(await self._collector(host).answer(name, path, asked), headers)
            room = await self._resumed_room(name)
            if room.shards > 1:
                headers[SHARDS_HEADER] = str(room.shards)
            if path in {"/socket", "/api/room"}:
                return self._open_socket(room, asked, headers, None if path == "/api/room" else name)
            answer = await RoomRoutes(room.room).answer(path, asked)
        except Exception as error:  # noqa: BLE001 - nothing may escape to the platform
            refused = as_client_error(error)
            host.counters.refuse(refused.code)
            answer = error_answer(refused)
        return respond(answer, headers)

    def _collector(self, host: EdgeServices) -> KvRoutes:
        """Find who collects the reports of this room, where it is kept in KV."""
        if self._kv_routes is None:
            assert host.store is not None
            self._kv_routes = KvRoutes(host.worker, host.store, collects=True)
        return self._kv_routes

    async def _answer_internal(self, request: HttpRequest) -> Any:
        """Answer another object of the room, or the Worker."""
        body = await request.read(INTERNAL_BODY_BYTES_MAX)
        room = await self._resumed_room(None)
        answer = await room.answer_internal(request.path.removeprefix(INTERNAL_PATH), body)
        return respond(Answer(200, answer), {})

    async def webSocketMessage(self, websocket: Any, message: Any) -> None:  # noqa: N802 - the platform's name
        """Take a message of a socket."""
        log.debug("%s message", BILLED)
        await self._dispatch(websocket, lambda session: session.message_arrived(message))

    async def webSocketClose(self, websocket: Any, code: int, reason: str, was_clean: bool) -> None:  # noqa: FBT001, N802
        """A socket was closed, or its client is gone."""
        del reason, was_clean
        await self._dispatch(websocket, lambda session: session.peer_closed(int(code)))

    async def webSocketError(self, websocket: Any, error: Any) -> None:  # noqa: N802
        """A socket broke."""
        del error
        await self._dispatch(websocket, lambda session: session.peer_closed(1006))

    async def alarm(self, info: Any = None) -> None:
        """The time has come that the room asked for."""
        del info
        log.debug("%s alarm", BILLED)
        try:
            room = await self._resumed_room(None)
            await room.sync()
            room.on_timer()
        except Exception as error:
            log.critical("a bug", exc_info=error)
            # The platform takes this alarm for done, and the room sets no other before it has rung.
            self._set_alarm(wall_ms() + ALARM_RETRY_MS)

    # --- Inside -----------------------------------------------------------------------------------------------

    async def _dispatch(self, websocket: Any, what: Any) -> None:
        try:
            await self._resumed_room(None)
            session = self._sockets.get(websocket.js_id)
            if session is not None:
                what(session)
                if session.role == ENDED:
                    self._sockets.pop(websocket.js_id, None)
        except Exception as error:
            log.critical("a bug", exc_info=error)

    async def _resumed_room(self, name: str | None) -> WorkerPlatform:
        """Find the room; the first call of a life wakes it."""
        async with self._loading:
            if self._room is None:
                state = self._state
                own_name, shard = room_and_shard(str(state.id.name or name))
                room = WorkerPlatform(
                    the_host(self.env),
                    own_name,
                    Rows(state.storage.sql, to_js),
                    set_alarm=self._set_alarm,
                    spawn=self._spawn,
                    shard=shard,
                    call=partial(self._call, own_name),
                )
                await room.resume(self._resumed_sockets(room))
                state.setWebSocketAutoResponse(
                    js.WebSocketRequestResponsePair.new(PING.decode(), PONG.decode())
                )
                self._room = room
        await self._room.load_secrets()
        return self._room

    def _resumed_sockets(self, room: WorkerPlatform) -> list[EdgeSocket]:
        """Go on with the sockets that the network kept."""
        revived = []
        for websocket in self._state.getWebSockets():
            try:
                session = EdgeSocket.resume(websocket, websocket.deserializeAttachment(), room.room)
            except (ValueError, TypeError, IndexError) as error:
                log.error("a socket with an attachment that is not ours: %s", error)
                continue
            self._sockets[websocket.js_id] = session
            revived.append(session)
        return sorted(revived, key=lambda session: session.opened_at_ms)

    async def _call(self, room: str, shard: int, path: str, body: bytes) -> bytes:
        """Ask another object of the room.

        Raises:
            ClientError: It cannot be reached.
        """
        try:
            stub = binding(self.env, "ROOMS").getByName(object_name(room, shard))
            sent = to_object({"method": "POST", "body": body})
            answered = await stub.fetch(f"{OBJECT_ORIGIN}{INTERNAL_PATH}{path}", sent)
            if answered.status == 200:
                content: bytes = (await answered.arrayBuffer()).to_bytes()
                return content
            reason = f"status {answered.status}"
        except Exception as error:  # noqa: BLE001 - whatever the platform throws
            reason = str(error)
        log.warning("%s cannot be reached: %s", object_name(room, shard), reason)
        raise ClientError("unavailable", "a part of the room cannot be reached", status=503, retry_after_s=2)

    def _open_socket(
        self, room: WorkerPlatform, request: HttpRequest, headers: dict[str, str], name: str | None
    ) -> Any:
        if (request.header("upgrade") or "").lower() != "websocket":
            raise upgrade_required()
        admitted = admit_handshake(
            name,
            request.query,
            origin=request.header("origin"),
            host=request.header("host"),
            config=room.room.host.config,
            connections=room.room.attached,
            connections_max=min(room.worker.sockets_max, room.worker.sockets_per_object),
        )
        client, server = js.WebSocketPair.new().object_values()
        self._state.acceptWebSocket(server)
        session = EdgeSocket(server, room.room, admitted.codec)
        self._sockets[server.js_id] = session
        room.accept(session)
        admitted.begin(session)
        return Response(None, 101, headers=headers, web_socket=client)

    def _set_alarm(self, at_ms: int) -> None:
        log.debug("%s row alarm", BILLED)
        self._state.storage.setAlarm(at_ms)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # The event loop holds tasks weakly, so what waits could be collected before its end.
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Without a proxy of its own the task is out of reach before waitUntil of an object awaits it; that of a Worker
        # makes one itself (workerd 1.20261117.1, workers-runtime-sdk 1.9.5, 2026-11-30).
        awaited = create_proxy(task)
        task.add_done_callback(lambda _: awaited.destroy())
        self._state.waitUntil(awaited)
