"""The Durable Object of a room: the events of the runtime in, its sockets, rows and alarm out.

The runtime answers the heartbeat of a connection (``PING`` of ``core/wire.py``) without waking the object. A
text that means the same and is spelled otherwise is an ordinary message: it wakes the object, which answers
it.
"""

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
    INTERNAL_BODY_BYTES_MAX,
    INTERNAL_PATH,
    OBJECT_ORIGIN,
    SHARDS_HEADER,
    object_name,
    room_and_shard,
)
from breathing_room.hosts.worker.socket import EdgeSocket
from breathing_room.ports import wall_ms

log = logging.getLogger("breathing_room.worker")

ALARM_RETRY_MS: Final = 5_000

_hosts: list[EdgeServices] = []


def edge_services(env: Any) -> EdgeServices:
    """Return the services that all rooms of this isolate share, created on first use."""
    if not _hosts:
        _hosts.append(make_host(env))
    return _hosts[0]


class BreathingRoom(DurableObject):
    """The Durable Object of one room."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._state = getattr(ctx, "_ctx", ctx)  # The SDK's wrapper would convert every argument.
        self._room: WorkerPlatform | None = None
        self._kv_routes: KvRoutes | None = None
        self._loading = asyncio.Lock()
        self._sockets: dict[int, EdgeSocket] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- Events of the runtime -----------------------------------------------------------------------------

    async def fetch(self, request: Any) -> Any:
        """Answer a request that the Worker forwarded, handshakes included."""
        log.debug("%s request", BILLED)
        parsed = read_request(request.js_object)
        host = edge_services(self.env)
        headers: dict[str, str] = {}
        try:
            if parsed.path.startswith(INTERNAL_PATH):
                return await self._answer_internal(parsed)
            name, path = find_route(parsed.method, parsed.path, host.config.default_room)
            if host.worker.collects:
                return respond(await self._collector(host).answer(name, path, parsed), headers)
            room = await self._resumed_room(name)
            if room.shards > 1:
                headers[SHARDS_HEADER] = str(room.shards)
            if path in {"/socket", "/api/room"}:
                return self._open_socket(room, parsed, headers, None if path == "/api/room" else name)
            answer = await RoomRoutes(room.room).answer(path, parsed)
        except Exception as error:  # noqa: BLE001 - nothing may escape to the platform
            refused = as_client_error(error)
            host.counters.refuse(refused.code)
            answer = error_answer(refused)
        return respond(answer, headers)

    def _collector(self, host: EdgeServices) -> KvRoutes:
        """Return the handlers that collect the reports of this room, where the backend is KV."""
        if self._kv_routes is None:
            assert host.store is not None
            self._kv_routes = KvRoutes(host.worker, host.store, collects=True)
        return self._kv_routes

    async def _answer_internal(self, request: HttpRequest) -> Any:
        """Answer a request of another object of the room, or of the Worker for itself."""
        body = await request.read(INTERNAL_BODY_BYTES_MAX)
        room = await self._resumed_room(None)
        answer = await room.answer_internal(request.path.removeprefix(INTERNAL_PATH), body)
        return respond(Answer(200, answer), {})

    async def webSocketMessage(self, websocket: Any, message: Any) -> None:  # noqa: N802 - the platform's name
        """Receive a message; the runtime answers ``PING`` itself, and does not call this."""
        log.debug("%s message", BILLED)
        await self._dispatch(websocket, lambda connection: connection.message_arrived(message))

    async def webSocketClose(self, websocket: Any, code: int, reason: str, was_clean: bool) -> None:  # noqa: FBT001, N802
        """End a connection that was closed, or whose client is gone."""
        del reason, was_clean
        await self._dispatch(websocket, lambda connection: connection.peer_closed(int(code)))

    async def webSocketError(self, websocket: Any, error: Any) -> None:  # noqa: N802
        """End a connection that failed."""
        del error
        await self._dispatch(websocket, lambda connection: connection.peer_closed(1006))

    async def alarm(self, info: Any = None) -> None:
        """Handle the alarm of the object."""
        del info
        log.debug("%s alarm", BILLED)
        try:
            room = await self._resumed_room(None)
            await room.sync()
            room.on_timer()
        except Exception as error:
            log.critical("a bug", exc_info=error)
            # The platform takes this alarm for done, and the room sets no other before it has fired.
            self._set_alarm(wall_ms() + ALARM_RETRY_MS)

    # --- Inside --------------------------------------------------------------------------------------------

    async def _dispatch(self, websocket: Any, handle: Any) -> None:
        try:
            await self._resumed_room(None)
            connection = self._sockets.get(websocket.js_id)
            if connection is not None:
                handle(connection)
                if connection.role == ENDED:
                    self._sockets.pop(websocket.js_id, None)
        except Exception as error:
            log.critical("a bug", exc_info=error)

    async def _resumed_room(self, name: str | None) -> WorkerPlatform:
        """Return the room; the first call after a start or hibernation resumes it."""
        async with self._loading:
            if self._room is None:
                state = self._state
                own_name, shard = room_and_shard(str(state.id.name or name))
                room = WorkerPlatform(
                    edge_services(self.env),
                    own_name,
                    Rows(state.storage.sql, to_js),
                    set_alarm=self._set_alarm,
                    spawn=self._spawn,
                    shard=shard,
                    call=partial(self._call, own_name),
                )
                await room.resume(self._resumed_sockets(room))
                # The runtime answers a heartbeat while the object hibernates, and compares whole texts
                # (https://developers.cloudflare.com/durable-objects/api/state/#setwebsocketautoresponse).
                state.setWebSocketAutoResponse(
                    js.WebSocketRequestResponsePair.new(PING.decode(), PONG.decode())
                )
                self._room = room
        await self._room.load_secrets()
        return self._room

    def _resumed_sockets(self, room: WorkerPlatform) -> list[EdgeSocket]:
        """Return the connections that the network held, the oldest first."""
        resumed = []
        for websocket in self._state.getWebSockets():
            try:
                connection = EdgeSocket.resume(websocket, websocket.deserializeAttachment(), room.room)
            except (ValueError, TypeError, IndexError) as error:
                log.error("a connection cannot resume, its attachment is damaged: %s", error)
                continue
            self._sockets[websocket.js_id] = connection
            resumed.append(connection)
        return sorted(resumed, key=lambda connection: connection.opened_at_ms)

    async def _call(self, room: str, shard: int, path: str, body: bytes) -> bytes:
        """Send a request to another object of the room.

        Raises:
            ClientError: The object cannot be reached.
        """
        try:
            stub = binding(self.env, "ROOMS").getByName(object_name(room, shard))
            sent = to_object({"method": "POST", "body": body})
            answered = await stub.fetch(f"{OBJECT_ORIGIN}{INTERNAL_PATH}{path}", sent)
            if answered.status == 200:
                content: bytes = (await answered.arrayBuffer()).to_bytes()
                return content
            reason = f"status {answered.status}"
        except Exception as error:  # noqa: BLE001 - any error of the platform
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
        connection = EdgeSocket(server, room.room, admitted.codec)
        self._sockets[server.js_id] = connection
        room.accept(connection)
        admitted.begin(connection)
        return Response(None, 101, headers=headers, web_socket=client)

    def _set_alarm(self, at_ms: int) -> None:
        log.debug("%s row alarm", BILLED)
        self._state.storage.setAlarm(at_ms)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # The event loop holds tasks weakly, so one that waits could be collected before its end.
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Without a proxy of its own the task is out of reach before waitUntil of an object awaits it; that of
        # a Worker makes one itself (workerd 1.20261117.1, workers-runtime-sdk 1.9.5, 2026-11-30).
        awaited = create_proxy(task)
        task.add_done_callback(lambda _: awaited.destroy())
        self._state.waitUntil(awaited)
