"""The Worker in workerd: what clients that hang up leave behind."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from breathing_room.testing.host_context import ask, new_room, new_visitor
from breathing_room.testing.peer import PATIENCE_S, TICK_S, Exchange, connect
from hosts.worker.conftest import TIMES, Start
from hosts.worker.platform_fakes import Service
from hosts.worker.runtime import Runtime

COLLECTING = """\
import gc

from workers import Response

from breathing_room.hosts.worker.entry import BreathingRoom
from breathing_room.hosts.worker.entry import Default as Worker


class Default(Worker):
    async def fetch(self, request):
        if request.js_object.url.endswith("/collect"):
            return Response(str(gc.collect()))
        return await super().fetch(request)
"""
"""A Worker that collects garbage on request: Python then reports every
task that was dropped before its end.
"""

STREAMS = 6
STREAM_ENDED = "DEBUG an event stream ended"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def hang_up_at_once(worker: Runtime, *request: Any, **more: Any) -> None:
    """Send a request whole, and do not wait for the answer."""
    exchange = await Exchange.begin(worker.url, *request, **more)
    exchange.close()


async def hang_up_in_the_body(worker: Runtime, path: str) -> None:
    """Send half of a body."""
    _, writer = await connect(urlsplit(worker.url))
    writer.write(f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n{{"visitor":'.encode())
    await writer.drain()
    writer.transport.abort()


async def hang_up_in_the_stream(worker: Runtime, path: str) -> None:
    """Read the first event of a stream."""
    stream = await Exchange.begin(worker.url, "GET", path)
    assert await stream.event() is not None
    stream.close()


async def test_clients_that_hang_up_leave_nothing_behind(start: Start, kv: Service) -> None:
    """
    A client may hang up in the middle of any request: no task is dropped before its end, every event stream
    ends, and the log calls none of it an error.

    Writes to the stream of a reader that was gone waited forever: the relay was collected with its socket to
    the room, and Python printed "Task was destroyed but it is pending!". Half a body was logged as a bug.
    """
    worker = start(
        TIMES | {"BREATHING_ROOM_LOG_LEVEL": "debug"},
        services={"KV": f"kvNamespace {kv.address}"},
        main=COLLECTING,
    )
    rooms = [f"/v1/rooms/{new_room()}" for _ in range(STREAMS)]
    await ask(worker.url, "GET", rooms[0])  # The first request starts Python.
    for room in rooms:
        heartbeat = b'{"visitor": "%s"}' % new_visitor().encode()
        await asyncio.gather(
            hang_up_at_once(worker, "GET", room),
            hang_up_at_once(worker, "GET", f"{room}/history"),
            hang_up_at_once(worker, "GET", f"{room}/events"),
            hang_up_at_once(worker, "GET", f"{room}/socket", headers=UPGRADE),
            hang_up_at_once(worker, "POST", f"{room}/heartbeat", heartbeat),
            hang_up_at_once(worker, "POST", f"{room}/leave", heartbeat),
            hang_up_in_the_body(worker, f"{room}/heartbeat"),
            hang_up_in_the_body(worker, f"{room}/leave"),
            hang_up_in_the_body(worker, "/api/heartbeat"),
            hang_up_in_the_stream(worker, f"{room}/events"),
        )
    deadline_s = time.monotonic() + int(TIMES["BREATHING_ROOM_LEASE_MS"]) / 1_000 + PATIENCE_S
    while sum(line.startswith(STREAM_ENDED) for line in worker.lines) < STREAMS:
        assert time.monotonic() < deadline_s, "\n".join(worker.lines)
        await asyncio.sleep(TICK_S)
        await ask(worker.url, "GET", "/collect")
    await ask(worker.url, "GET", "/collect")
    unexpected = [line for line in worker.lines if not line.startswith("DEBUG")]
    assert not unexpected, "\n".join(unexpected)
