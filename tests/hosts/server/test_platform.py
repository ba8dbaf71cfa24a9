"""A room in an event loop: presences in slices and at the end of a turn."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from breathing_room.core import broadcaster
from breathing_room.core.events import ObserverJoined, PanelReported
from breathing_room.hosts.common.rooms import encoded_presence
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, EncodedPresence
from breathing_room.hosts.server.app import App, ServerRoom
from breathing_room.hosts.server.frames import FIN, TEXT
from breathing_room.hosts.server.platform import SLICE
from breathing_room.hosts.server.socket import Socket
from inside import host_inside

VISITOR = "visitor-0123456789"
BURST = 100


class RecordingSubscriber:
    """A subscriber that notes what it is sent."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def push(self, encoded: EncodedPresence) -> None:
        self.received.append(encoded.presence.count)

    def close(self, code: int, reason: bytes = b"") -> None:
        del reason
        self.received.append(f"close {code}")


def come(room: ServerRoom, name: str = VISITOR, mood: str | None = None) -> None:
    """Report a visitor."""
    room.feed(PanelReported(room.visitor_key(name), 0.5, mood))


@pytest.fixture
async def host() -> AsyncIterator[App]:
    """A host in memory."""
    async with host_inside(push_ms=20, pushes_per_s=100_000, snapshot_ms=100) as host:
        yield host


@pytest.fixture
async def patient_host() -> AsyncIterator[App]:
    """A host on which the second broadcast of a room comes long after
    the first, however slow the machine is.
    """
    async with host_inside(push_ms=20_000) as host:
        yield host


# --- Slices -----------------------------------------------------------------------------------------------


async def test_every_subscriber_of_many_is_sent_a_change(host: App) -> None:
    """The subscribers of several slices are sent a change, each once, without holding up the event loop."""
    room = host.rooms["lobby"]
    subscribers = [RecordingSubscriber() for _ in range(3 * SLICE + 7)]
    room.subscribers.update(dict.fromkeys(subscribers))
    come(room)
    await asyncio.sleep(0)
    assert (
        sum(bool(subscriber.received) for subscriber in subscribers) == SLICE
    )  # The others have their turn after us.
    await asyncio.sleep(0.01)
    assert all(subscriber.received == [1] for subscriber in subscribers)
    assert host.counters.pushes == len(subscribers)
    room.subscribers.clear()


async def test_many_subscribers_are_sent_changes_less_often() -> None:
    """
    Observers count for how often changes are broadcast: 30 of them at 100 messages a second, every 300 ms.
    """
    async with host_inside(push_ms=20, pushes_per_s=100) as host:
        room = host.rooms["lobby"]
        subscribers = [RecordingSubscriber() for _ in range(30)]
        come(room)
        await asyncio.sleep(0)
        room.subscribers.update(dict.fromkeys(subscribers))
        for subscriber in subscribers:
            room.room.apply(ObserverJoined(subscriber), now_ms=host.clock.now_ms())
        sent_at_s = asyncio.get_running_loop().time()
        come(room, "visitor-another-one")
        async with asyncio.timeout(5):
            while subscribers[-1].received[-1:] != [2]:  # noqa: ASYNC110 -- a listener has no event for it
                await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - sent_at_s >= 0.29
        assert all(subscriber.received == [2] for subscriber in subscribers)
        room.subscribers.clear()


async def test_a_change_during_a_long_fan_out_reaches_every_subscriber(host: App) -> None:
    """
    A change during a long fan-out reaches every subscriber, those too who had been sent the old presence
    already.
    """
    room = host.rooms["lobby"]
    subscribers = [RecordingSubscriber() for _ in range(2 * SLICE + 7)]
    room.subscribers.update(dict.fromkeys(subscribers))
    come(room)
    await asyncio.sleep(0)
    later = EncodedPresence(room.presence())
    # Within the telling: as if the next push had fallen due already.
    room.platform._sent = later
    await asyncio.sleep(0.01)
    assert {len(subscriber.received) for subscriber in subscribers} == {1, 2} or all(
        subscriber.received for subscriber in subscribers
    )
    first = [subscriber for subscriber in subscribers if len(subscriber.received) == 2]
    assert len(first) >= SLICE
    room.subscribers.clear()


# --- Turns ------------------------------------------------------------------------------------------------


async def test_what_is_owed_is_sent_before_a_restart(host: App) -> None:
    """A subscriber that is sent away in the turn in which the room changed is sent that first."""
    room = host.rooms["lobby"]
    room.subscribers[subscriber := RecordingSubscriber()] = None
    come(room)
    host.disconnect_room(room)
    assert subscriber.received == [1, "close 1012"]
    room.subscribers.clear()


class Begun(asyncio.Protocol):
    """Makes a socket of a connection, as after a handshake."""

    def __init__(self, room: ServerRoom) -> None:
        self.room = room

    def connection_made(self, transport: Any) -> None:
        transport.set_protocol(Socket(transport, self.room, PROTOCOL))


def frame_of(message: dict[str, Any]) -> bytes:
    """Make a frame, under a mask that changes nothing."""
    text = json.dumps(message).encode()
    return bytes([FIN | TEXT, len(text) | 0x80]) + bytes(4) + text


def begin(number: int) -> bytes:
    """Join, and send the first time request with it, as browsers do."""
    join = {"type": "join", "visitor": f"visitor-{number:08}"}
    return frame_of(join) + frame_of({"type": "time", "sent_ms": 5})


async def presence_of(client: socket.socket) -> bytes:
    """Read until the first presence, and return it."""
    loop, received = asyncio.get_running_loop(), b""
    async with asyncio.timeout(5):
        while not received.endswith(b"}") or b'{"type":"presence"' not in received:
            received += await loop.sock_recv(client, 65_536)
    return received[received.index(b'{"type":"presence"') :]


async def test_a_burst_of_joins_costs_one_description_and_one_encoding(
    patient_host: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A hundred joins that lie in the kernel when the loop polls, each with the first time request as browsers
    send it, are one turn: all are counted before the first is answered, with one description and one
    encoding, and each connection is sent the whole hundred.
    """
    room, loop = patient_host.rooms["lobby"], asyncio.get_running_loop()
    await asyncio.sleep(0.05)  # What a room says when it opens is over.
    made = {"descriptions": 0, "encodings": 0}

    def counting(module: Any, name: str, what: str) -> None:
        make = getattr(module, name)

        def counted(*arguments: Any, **more: Any) -> Any:
            made[what] += 1
            return make(*arguments, **more)

        monkeypatch.setattr(module, name, counted)

    clients = []
    for _ in range(BURST):
        ours, theirs = socket.socketpair()
        await loop.create_connection(lambda: Begun(room), sock=theirs)
        ours.setblocking(False)
        clients.append(ours)
    counting(broadcaster, "describe", "descriptions")
    counting(encoded_presence, "encode_presence", "encodings")
    for number, client in enumerate(clients):
        client.send(begin(number))
    answers = [await presence_of(client) for client in clients]
    assert made == {"descriptions": 1, "encodings": 1}
    assert all(b'"count":100,' in answer for answer in answers)
    assert len(set(answers)) == 1
    for client in clients:
        client.close()
    async with asyncio.timeout(5):
        while room.attached:  # noqa: ASYNC110 - a room has no event for it
            await asyncio.sleep(0.01)
