"""The Worker in front of the objects: it answers every request that need not wake the object of a room."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import js
from workers import Response, WorkerEntrypoint

from breathing_room.core.admission import reject_connection
from breathing_room.core.replication.routing import rank_shards
from breathing_room.core.wire import RESTART
from breathing_room.hosts.common.rooms.clock import WallClock
from breathing_room.hosts.common.rooms.secrets import keep_secrets
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.worker.durable_object import BreathingRoom
from breathing_room.hosts.worker.kv_routes import KvRoutes
from breathing_room.hosts.worker.platform import binding, read_request, respond, to_object, worker_config
from breathing_room.hosts.worker.routes import ADDRESS, HttpRequest, Routes
from breathing_room.hosts.worker.shard_calls import (
    ADD_SHARDS,
    INTERNAL_PATH,
    OBJECT_ORIGIN,
    SHARDS_HEADER,
    ShardDirectory,
    object_name,
    routing_key,
)
from breathing_room.stores.kv import KvStore

__all__ = ["BreathingRoom", "Default"]

log = logging.getLogger("breathing_room.worker")

COLLECTED: Final = frozenset({"/heartbeat", "/leave"})
"""The routes that go to an object where the backend is KV and the policy is ``bucketed``."""

MESSAGE_HEAD: Final = '{"type":"presence",'

UNAVAILABLE: Final = 503

STREAM_PING_S_MAX: Final = 20.0
"""The longest time between two writes to an event stream. Only a write that fails shows that the reader is
gone, and 30 s after it is, the platform cancels what ``waitUntil`` still waits for
(https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil).
"""

_routes: list[Routes] = []
_directory = ShardDirectory()


def get_routes(env: Any) -> Routes:
    """Return the routes of this isolate, created on first use."""
    if not _routes:
        _routes.append(Routes(worker_config(env), WallClock()))
    return _routes[0]


_backends: list[KvRoutes] = []


def get_kv_routes(env: Any) -> KvRoutes | None:
    """Return the routes of rooms in KV; None where each room is a Durable Object."""
    worker = get_routes(env).worker
    if worker.backend == "kv" and not _backends:
        _backends.append(KvRoutes(worker, KvStore(binding(env, "KV"), to_object)))
    return _backends[0] if _backends else None


class Default(WorkerEntrypoint):
    """Answers HTTP, and forwards to a room's object what only the room can answer."""

    async def fetch(self, request: Any) -> Any:
        """Answer a request."""
        routes = get_routes(self.env)
        parsed = read_request(request.js_object)
        headers = routes.cross_origin(parsed)
        try:
            if parsed.method == "OPTIONS":
                return respond(routes.preflight(parsed), headers)
            name, path = routes.find(parsed)
            backend = get_kv_routes(self.env)
            answer = await routes.answer(name, path, parsed, backend.ask_room if backend else self._ask_room)
            if answer is None and backend is not None and not (routes.worker.collects and path in COLLECTED):
                answer = await backend.answer(name, path, parsed)
            if answer is not None:
                return respond(answer, headers, head=parsed.method == "HEAD")
            if path == "/events":
                return await self._events(routes, name, parsed, headers)
            if path in {"/socket", "/api/room"} and (parsed.header("upgrade") or "").lower() == "websocket":
                answered = await self._open_socket(name, parsed, lambda room: room.fetch(request.js_object))
            else:
                answered = await self._room(name).fetch(request.js_object)
            if answered.status == 101:
                return answered
            response = js.Response.new(answered.body, answered)
            for field, value in headers.items():
                response.headers.set(field, value)
        except Exception as error:  # noqa: BLE001 - nothing may escape to the platform
            return respond(routes.refuse(error), headers)
        return response

    async def scheduled(self, *_: Any) -> None:
        """Run the cron: ``reconcile`` in store mode, otherwise draw the secret of the next epoch before it
        begins.
        """
        try:
            kv, routes = binding(self.env, "KV"), get_routes(self.env)
            if routes.worker.backend == "kv":
                await reconcile(KvStore(kv, to_object), routes.worker.store_mode)
            elif kv is not None:
                epoch_ms = routes.config.room.epoch_ms
                clock = routes.clock.wall_ms
                await keep_secrets(
                    KvStore(kv, to_object), epoch=clock() // epoch_ms, epoch_ms=epoch_ms, clock=clock
                )
        except Exception as error:  # noqa: BLE001 - the next time makes up for it
            log.error("the cron failed: %s", error)

    def _room(self, name: str, shard: int = 0) -> Any:
        """Return a stub of an object of a room."""
        return binding(self.env, "ROOMS").getByName(object_name(name, shard))

    async def _open_socket(
        self, name: str, request: HttpRequest, connect: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Open a socket on the first object of a room that is not full.

        Args:
            name: The room.
            request: The handshake.
            connect: Sends the handshake to an object.

        Returns:
            The answer of that object; of the first one, if all are full.

        Raises:
            ClientError: All objects were full a moment ago.
        """
        routes = get_routes(self.env)
        most, now_ms = routes.worker.shards_max, routes.clock.now_ms()
        if _directory.is_full(name, now_ms):
            reject_connection()
        key = routing_key(request, request.header(ADDRESS)) if most > 1 else b""
        refused: dict[int, Any] = {}
        shards = min(_directory.shards(name, now_ms), most)
        while True:
            for shard in rank_shards(key, shards):
                if shard not in refused:
                    answered = await self._try_shard(name, shard, connect)
                    if answered is not None and answered.status != UNAVAILABLE:
                        return answered
                    refused[shard] = answered
            if len(refused) >= most:
                if most > 1:
                    _directory.mark_full(name, now_ms)
                return refused[0]
            known = min(_directory.shards(name, now_ms), most)
            if known <= shards:
                answered = await self._room(name).fetch(f"{OBJECT_ORIGIN}{INTERNAL_PATH}{ADD_SHARDS}{shards}")
                known = int(await answered.text())
                _directory.learn(name, known, now_ms)
            shards = known

    async def _try_shard(self, name: str, shard: int, connect: Callable[[Any], Awaitable[Any]]) -> Any:
        """Send a handshake to one object; return None if it cannot be reached and is not the first one, the
        coordinator.
        """
        try:
            answered = await connect(self._room(name, shard))
        except Exception as error:
            if not shard:
                raise
            log.warning("shard %d of room %s cannot be reached: %s", shard, name, error)
            return None
        if not shard and isinstance(count := answered.headers.get(SHARDS_HEADER), str):
            _directory.learn(name, int(count), get_routes(self.env).clock.now_ms())
        return answered

    async def _ask_room(self, name: str, path: str) -> bytes:
        """Read a path of a room from its first object."""
        answered = await self._room(name).fetch(f"{OBJECT_ORIGIN}/v1/rooms/{name}{path}")
        text: str = await answered.text()
        return text.encode()

    # --- Server-Sent Events --------------------------------------------------------------------------------

    async def _events(self, routes: Routes, name: str, request: HttpRequest, headers: dict[str, str]) -> Any:
        """Send every change as an event.

        The Worker holds the stream, and observes the room over a socket: so the object may hibernate, and a
        stream costs what an observer costs.
        """
        headers = headers | {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        if request.method == "HEAD":
            return Response(None, 200, headers=headers)
        upgrade = to_object({"headers": {"Upgrade": "websocket"}})
        url = f"{OBJECT_ORIGIN}/v1/rooms/{name}/socket"
        answered = await self._open_socket(name, request, lambda room: room.fetch(url, upgrade))
        if answered.status != 101:
            reject_connection()
        # Not a TransformStream: when the reader is gone its writes wait forever (workerd 1.20261117.1,
        # 2026-11-30, and https://github.com/cloudflare/workerd/issues/5611). Those of an
        # IdentityTransformStream fail.
        pipe = js.IdentityTransformStream.new()
        ping_s = min(routes.config.room_config(name).ping_ms / 1_000, STREAM_PING_S_MAX)
        relaying = relay(answered.webSocket, pipe.writable.getWriter(), ping_s)
        self.ctx.waitUntil(asyncio.ensure_future(relaying))
        return Response(pipe.readable, 200, headers=headers)


async def relay(websocket: Any, writer: Any, ping_s: float) -> None:
    """Write the presences that an observer is sent as an event stream, until either side disconnects."""
    from pyodide.ffi import create_proxy  # noqa: PLC0415 - only streams need it

    encoder = js.TextEncoder.new()
    updates: asyncio.Queue[str | None] = asyncio.Queue()

    def on_message(event: Any) -> None:
        if str(event.data).startswith(MESSAGE_HEAD):
            updates.put_nowait("event: presence\ndata: {" + event.data.removeprefix(MESSAGE_HEAD) + "\n\n")

    def on_close(event: Any) -> None:
        if event.code == RESTART:
            updates.put_nowait(f"retry: {json.loads(event.reason)['retry_ms']}\n\n")
        updates.put_nowait(None)

    message_proxy, close_proxy = create_proxy(on_message), create_proxy(on_close)
    try:
        websocket.addEventListener("message", message_proxy)
        websocket.addEventListener("close", close_proxy)
        websocket.accept()
        websocket.send('{"type":"observe"}')
        while True:
            try:
                async with asyncio.timeout(ping_s):
                    text = await updates.get()
            except TimeoutError:
                # Proxies keep the stream open, and the write fails if the reader is gone.
                text = ": still here\n\n"
            if text is None:
                await writer.close()
                return
            await writer.write(encoder.encode(text))
    except Exception as error:  # noqa: BLE001 - any error means that the reader is gone
        log.debug("an event stream ended: %s", error)
    finally:
        try:
            websocket.close(1000, "")
        except Exception as error:  # noqa: BLE001 - it may be closed already
            log.debug("a socket was closed already: %s", error)
        message_proxy.destroy()
        close_proxy.destroy()
