"""A server that sends what a test wants, for what a real one does not do on demand."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

Handler = Callable[[ServerConnection], Awaitable[None]]

COUNTED: dict[str, Any] = {
    "type": "presence",
    "room": "lobby",
    "count": 3,
    "low": 3,
    "high": 4,
    "method": "counted",
    "sample_rate": 1.0,
    "moods": {"gratitude": 1, "release": 1},
    "unspoken": 1,
    "label": "3",
    "as_of_ms": 1_767_225_600_000,
    "stale_after_ms": 30_000,
    "poll_ms": 30_000,
}


CONFIG: dict[str, Any] = {
    "room": "lobby",
    "moods": ["gratitude", "release"],
    "mode": "socket",
    "ping_ms": 20_000,
    "heartbeat_ms": 300_000,
    "presence_url": None,
}


def answer_config(socket: ServerConnection, request: Request) -> Response | None:
    """Answer a request for the config, and accept the handshake of every other request."""
    if request.path.endswith("/config"):
        return socket.respond(HTTPStatus.OK, json.dumps(CONFIG))
    return None


def presence(**changes: Any) -> str:
    """A message with a presence."""
    return json.dumps(COUNTED | changes)


async def answer_pings(socket: ServerConnection, *, ahead_ms: int = 0) -> None:
    """Answer pings and requests for the time until the connection ends, by a clock that is ahead of ours."""
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "ping":
            await socket.send('{"type":"pong"}')
        elif message["type"] == "time":
            await socket.send(json.dumps(message | {"now_ms": round(time.time() * 1000) + ahead_ms}))


@contextlib.asynccontextmanager
async def scripted(handler: Handler, *, port: int = 0) -> AsyncIterator[str]:
    """Serve a handler on 127.0.0.1, and yield the address."""
    async with serve(
        handler, "127.0.0.1", port, compression=None, close_timeout=0.1, process_request=answer_config
    ) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Script:
    """A handler that plays one scene a connection, the last one again
    and again, and keeps the join messages.
    """

    def __init__(self, *scenes: Handler) -> None:
        self.scenes = list(scenes)
        self.joins: list[dict[str, Any]] = []
        self.came_at_s: list[float] = []

    async def __call__(self, socket: ServerConnection) -> None:
        self.came_at_s.append(asyncio.get_running_loop().time())
        scene = self.scenes.pop(0) if len(self.scenes) > 1 else self.scenes[0]
        self.joins.append(json.loads(await socket.recv()))
        await scene(socket)


def says(*messages: str) -> Handler:
    """A scene: send these messages, then answer pings."""

    async def scene(socket: ServerConnection) -> None:
        for message in messages:
            await socket.send(message)
        await answer_pings(socket)

    return scene


def closes(code: int, reason: str = "", *messages: str) -> Handler:
    """A scene: send these messages, then close."""

    async def scene(socket: ServerConnection) -> None:
        for message in messages:
            await socket.send(message)
        await socket.close(code, reason)

    return scene


def breaks(*messages: str) -> Handler:
    """A scene: send these messages, then cut the connection without a close frame."""

    async def scene(socket: ServerConnection) -> None:
        for message in messages:
            await socket.send(message)
        socket.transport.abort()

    return scene
