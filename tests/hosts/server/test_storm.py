"""A storm of joins costs each client a handful of messages, however many people there are."""

import asyncio
import json
import math
import time
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.events import Joined
from breathing_room.core.identity import VisitorKey
from breathing_room.core.room import Room
from breathing_room.core.wire import encode_presence, presence_message
from harness import Serve
from raw_websocket import Opcode, decode_frame, encode_frame, handshake

PUSH_MS = 1_000
STORM_S = 2.0
CROWD, SMALL_CROWD = 1_000, 250

GROWTH_BYTES_MAX = 64
"""How much longer a message may be among 10,000 people than among 10: by three digits for the count, each end
of its interval, and each of five moods with its two ends, and by a comma.
"""


class Client(asyncio.Protocol):
    """A person on a raw socket, who counts what comes."""

    def __init__(self, room: str, visitor: str) -> None:
        self.messages = 0
        self.bytes = 0
        self.count = 0
        self.began_s = time.monotonic()
        self._room = room
        self._visitor = visitor
        self._buffer = bytearray()
        self._is_open = False
        self.joined = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        join = json.dumps({"type": "join", "visitor": self._visitor, "mood": "presence"})
        # Both in one packet: a storm is a storm.
        transport.write(handshake(self._room) + encode_frame(Opcode.TEXT, join))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            self._is_open, self._buffer = True, bytearray(rest)
        while (found := decode_frame(self._buffer)) is not None:
            frame, size = found
            del self._buffer[:size]
            if frame.opcode == Opcode.TEXT:
                self.messages += 1
                self.bytes += size
                self.count = json.loads(frame.payload)["count"]
                self.joined.set()


async def storm(url: str, room: str, people: int) -> dict[str, Any]:
    """Let people join evenly within ``STORM_S``, wait until all have heard of all, and say what that cost."""
    loop = asyncio.get_running_loop()
    port = int(url.rpartition(":")[2])

    async def come(index: int) -> Client:
        await asyncio.sleep(STORM_S * index / people)
        visitor = f"{room}-visitor-{index:06}"
        _, client = await loop.create_connection(lambda: Client(room, visitor), "127.0.0.1", port)
        await client.joined.wait()
        return client

    clients = await asyncio.gather(*(come(index) for index in range(people)))
    joined_s = time.monotonic()
    while any(client.count != people for client in clients):
        assert time.monotonic() < joined_s + 5 * PUSH_MS / 1_000, [client.count for client in clients]
        await asyncio.sleep(0.02)
    heard_s = time.monotonic()
    for client in clients:
        client.transport.close()
    return {
        "people": people,
        "over": [
            client.messages - math.floor((heard_s - client.began_s) * 1_000 / PUSH_MS + 2)
            for client in clients
        ],
        "messages_max": max(client.messages for client in clients),
        "messages": sum(client.messages for client in clients),
        "bytes": sum(client.bytes for client in clients),
        "heard_after_s": heard_s - joined_s,
    }


async def test_storm_costs_a_handful_of_messages(serve: Serve) -> None:
    """
    When 1,000 people join within 2 s no client gets more than one message a push and two more, all know of
    all within two pushes, and the bytes per person are those of a storm of 250.
    """
    server = serve("--push-ms", str(PUSH_MS))
    large, small = await asyncio.gather(
        storm(server.url, "large", CROWD), storm(server.url, "small", SMALL_CROWD)
    )
    for result in (large, small):
        per_person = result["bytes"] / result["people"]
        print(  # noqa: T201
            f"{result['people']:,} people within {STORM_S:g} s: {result['messages']:,} messages, at most "
            f"{result['messages_max']} each; {result['bytes']:,} bytes, {per_person:,.0f} a person; "
            f"the last heard of all {result['heard_after_s']:.2f} s after the last join"
        )
        assert max(result["over"]) <= 0
        assert result["heard_after_s"] < 2 * PUSH_MS / 1_000
    # People times seconds, and not people squared, which would be four times as much for each.
    growth = large["bytes"] / large["people"] / (small["bytes"] / small["people"])
    assert 0.5 < growth < 2


@pytest.mark.parametrize("kinds", [1, 2, 5])
def test_message_is_as_long_in_a_crowd(kinds: int) -> None:
    """
    A message among 10,000 people is less than 32 bytes longer than one among 10, whether they feel alike or
    not.
    """

    def message(people: int) -> bytes:
        config = RoomConfig()
        room = Room("lobby", config, now_ms=1_767_225_600_000)
        for index in range(people):
            mood = (*config.moods, None)[index % kinds]
            key = VisitorKey(index.to_bytes(16, "big"))
            room.step(Joined(index, key, mood), now_ms=1_767_225_600_000)
        presence = room.presence(now_ms=1_767_225_600_000)
        assert presence.count == people
        return presence_message(encode_presence(presence))

    assert len(message(10_000)) - len(message(10)) < GROWTH_BYTES_MAX
