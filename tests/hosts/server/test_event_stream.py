"""Presence as Server-Sent Events."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import pytest

from breathing_room.core.wire import RESTART
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.event_stream import EventStream
from breathing_room.testing.peer import Exchange
from harness import Serve
from inside import client_of, host_inside
from raw_websocket import RawSocket, get_presence, join

VISITOR = "visitor-0123456789"


def read(stream: EventStream) -> aclosing[AsyncGenerator[bytes]]:
    """Read a stream, and hang up after the block."""
    return aclosing(cast("AsyncGenerator[bytes]", stream.chunks()))


def presence_of(chunk: bytes) -> dict[str, Any]:
    """Read a chunk that must be one presence."""
    name, data, *rest = chunk.decode().split("\n")
    assert (name, rest) == ("event: presence", ["", ""])
    return dict(json.loads(data.removeprefix("data: ")))


@pytest.fixture
async def host() -> AsyncIterator[App]:
    """A host whose event streams say something every 200 ms."""
    async with host_inside(lease_ms=600, grace_ms=100, push_ms=20) as host:
        yield host


async def test_stream_begins_with_what_is(host: App) -> None:
    """The first event is the presence, at once, and it is one event of one line of JSON."""
    async with read(EventStream(host.rooms["lobby"])) as chunks:
        assert presence_of(await anext(chunks))["count"] == 0


async def test_slow_reader_gets_the_latest(host: App) -> None:
    """A client that reads nothing for a while gets the latest, and not what was missed."""
    room = host.rooms["lobby"]
    stream = EventStream(room)
    async with read(stream) as chunks:
        await anext(chunks)
        async with client_of(host) as client:
            for name in ("ann", "bob", "eve"):
                await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": f"{name}-{VISITOR}"})
                stream.push(EncodedPresence(room.presence()))
        assert presence_of(await anext(chunks))["count"] == 3


async def test_quiet_stream_is_kept_alive() -> None:
    """Where nothing changes a comment keeps the connection open, three times per lease."""
    async with (
        host_inside(lease_ms=1_500, grace_ms=100, push_ms=20) as host,
        read(EventStream(host.rooms["lobby"])) as chunks,
    ):
        await anext(chunks)
        began_s = time.monotonic()
        comment = await anext(chunks)
    assert comment.startswith(b":")
    assert comment.endswith(b"\n\n")
    assert 0.4 < time.monotonic() - began_s < 1.4


async def test_stream_ends_with_a_time_to_come_back(host: App) -> None:
    """
    Before a restart the last field is ``retry``, and then the stream ends; a presence before it is not lost.
    """
    stream = EventStream(host.rooms["lobby"])
    stream.close(RESTART, b'{"retry_ms":3127}')
    assert [chunk async for chunk in stream.chunks()][1:] == [b"retry: 3127\n\n"]


async def test_a_stream_counts_as_a_connection_while_it_is_open(host: App) -> None:
    """A stream is a subscriber and one of the open connections for as long as it is read."""
    room = host.rooms["lobby"]
    async with read(EventStream(room)) as chunks:
        await anext(chunks)
        assert (len(room.subscribers), host.connection_count) == (1, 1)
    assert (len(room.subscribers), host.connection_count) == (0, 0)


# --- Over HTTP --------------------------------------------------------------------------------------------


async def test_stream_over_http(serve: Serve) -> None:
    """A stream is declared as one that no cache may store or buffer, and sends a join within moments."""
    server = serve("--push-ms", "20")
    stream = await Exchange.begin(server.url, "GET", "/v1/rooms/lobby/events")
    head = await stream.head()
    assert head.headers["content-type"].startswith("text/event-stream")
    assert head.headers["cache-control"] == "no-store"
    assert head.headers["x-accel-buffering"] == "no"
    assert json.loads((await stream.event() or {})["data"])["count"] == 0
    with await asyncio.to_thread(join, server.port):
        assert json.loads((await stream.event() or {})["data"])["count"] == 1
    stream.close()


async def test_stop_says_retry(serve: Serve) -> None:
    """
    When the server stops, every stream says ``retry`` within the spread and ends, and the server does not
    wait for it.
    """
    server = serve("--reconnect-spread-ms", "5000")
    streams = [await Exchange.begin(server.url, "GET", "/v1/rooms/lobby/events") for _ in range(20)]
    for stream in streams:
        await stream.event()
    began_s = time.monotonic()
    await asyncio.to_thread(server.stop)
    assert time.monotonic() - began_s < 3
    retries = []
    for stream in streams:
        event = await stream.event()
        assert event is not None
        assert event.keys() == {"retry"}
        retries.append(int(event["retry"]))
        assert await stream.event() is None
        stream.close()
    assert all(0 <= retry_ms <= 5_000 for retry_ms in retries)
    assert len(set(retries)) > 10


def test_head_of_a_stream_is_an_answer(serve: Serve) -> None:
    """HEAD on a stream is answered whole: the connection can be used again, and no subscriber is added."""
    server = serve()
    with RawSocket(server.port) as client:
        client.send(b"HEAD /v1/rooms/lobby/events HTTP/1.1\r\nHost: x\r\n\r\n")
        head = client.read_response()
        assert head.status in {200, 405}
        client.buffer.clear()
        assert client.request("GET", "/healthz").status == 200


async def test_a_client_that_hangs_up_is_removed(serve: Serve) -> None:
    """A client that hangs up is no longer a subscriber, and the room goes on without."""
    server = serve("--lease-ms", "600", "--grace-ms", "100")
    stream = await Exchange.begin(server.url, "GET", "/v1/rooms/lobby/events")
    await stream.event()
    stream.close()

    def sockets() -> str:
        with RawSocket(server.port) as client:
            text = client.request("GET", "/metrics").body.decode()
        return text.split("\nbreathing_room_sockets ")[1].split("\n")[0]

    deadline_s = time.monotonic() + 5
    while await asyncio.to_thread(sockets) != "0.0":
        assert time.monotonic() < deadline_s
    assert (await asyncio.to_thread(get_presence, server.port))["count"] == 0
