"""Rooms that are mounted in another application: WebSockets over ASGI."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from breathing_room.core.events import PanelReported
from breathing_room.core.wire import NORMAL_CLOSURE
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.asgi_socket import AsgiSocket
from breathing_room.hosts.server.routes import create_app
from breathing_room.stores import SqliteStore
from breathing_room.testing.peer import Exchange, HandshakeRefusedError, WireSocket
from inside import client_of, host_inside, listening
from uvicorn_process import UvicornProcess, uvicorn_process

VISITOR = "visitor-0123456789"
SOCKET = "/v1/rooms/lobby/socket"


@asynccontextmanager
async def mounted(**settings: Any) -> AsyncIterator[tuple[App, str]]:
    """Serve a host with a plain uvicorn: the host, and its base address."""
    async with (
        host_inside(**{"push_ms": 20, "grace_ms": 300, **settings}) as host,
        listening(create_app(host)) as url,
    ):
        yield host, url


async def join(url: str, visitor: str = VISITOR, path: str = SOCKET) -> WireSocket:
    """Open a socket as a visitor; the answer has been read."""
    socket = await WireSocket.open(url, path)
    socket.send_message("join", visitor=visitor)
    await socket.receive("presence")
    return socket


async def count(host: App, *, low: int, high: int) -> None:
    """Wait until so many are there."""
    async with asyncio.timeout(3):
        while (host.presence("lobby").low, host.presence("lobby").high) != (low, high):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_quiet_person_stays() -> None:
    """Who says nothing for several leases, and whose connection lives, is there all the time."""
    async with mounted(lease_ms=600) as (host, url):
        person = await join(url)
        for _ in range(14):
            await asyncio.sleep(0.1)
            presence = host.presence("lobby")
            assert (presence.low, presence.high) == (1, 1)
        assert person.is_open
        person.cut()


async def test_a_broken_connection_makes_its_visitor_suspect() -> None:
    """A connection that breaks without a close frame leaves its person suspect, and gone after the grace."""
    async with mounted() as (host, url):
        person = await join(url)
        person.cut()
        await count(host, low=0, high=1)
        await count(host, low=0, high=0)


async def test_a_leave_takes_effect_at_once() -> None:
    """A leave, or a close with 1000 or 1001, takes its person out at once."""
    async with mounted(grace_ms=5_000, lease_ms=10_000) as (host, url):
        for leave in ("leave", 1000, 1001):
            person = await join(url)
            await count(host, low=1, high=1)
            if isinstance(leave, int):
                person.close_normally(leave)
            else:
                person.send_message(leave)
            end = await person.ended()
            assert end.code == (leave if isinstance(leave, int) else 1000)
            await count(host, low=0, high=0)


async def test_refusal_has_the_shape_of_errors() -> None:
    """
    A handshake that is refused is answered by HTTP with the one shape of errors, and a time to come back
    where that helps.
    """
    async with mounted(origins=("https://good.example",), rooms_per_prefix_max=1, sockets_max=2) as (
        host,
        url,
    ):
        for path, status, code in (
            ("/v1/rooms/BAD/socket", 400, "bad_room"),
            ("/api/room", 400, "bad_visitor"),
        ):
            with pytest.raises(HandshakeRefusedError) as refused:
                await WireSocket.open(url, path)
            assert refused.value.answer.status == status
            assert refused.value.answer.json()["error"]["code"] == code
            assert host.counters.refusals[code] == 1
        people = [await join(url, path="/v1/rooms/one/socket")]
        for path, status, code in (
            ("/v1/rooms/two/socket", 429, "too_many_rooms"),
            (SOCKET, 503, "full"),
        ):
            with pytest.raises(HandshakeRefusedError) as refused:
                await WireSocket.open(url, path)
            assert refused.value.answer.status == status
            assert refused.value.answer.json()["error"]["code"] == code
            assert int(refused.value.answer.headers["retry-after"]) > 0
            if code != "full":
                people.append(await join(url))
        for person in people:
            person.cut()


async def test_wrong_origin_gets_no_socket() -> None:
    """A page of another origin is refused with 403."""
    async with mounted(origins=("https://good.example",)) as (_, url):
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Origin": "https://evil.example",
        }
        exchange = await Exchange.begin(url, "GET", SOCKET, headers=headers)
        answer = await exchange.answer()
        exchange.close()
    assert (answer.status, answer.json()["error"]["code"]) == (403, "forbidden_origin")


async def test_bad_messages_close() -> None:
    """Binary, too long and endlessly bad_messages messages close with the codes of the protocol."""
    async with mounted(message_bytes_max=512) as (host, url):
        for send, code in (
            (lambda person: person.send_binary(b"{}"), 1003),
            (lambda person: person.send_text("x" * 513), 1009),
            (lambda person: [person.send_text("nonsense") for _ in range(20)], 4500),
        ):
            person = await join(url)
            send(person)
            assert (await person.ended()).code == code
            assert host.counters.closes[code] == 1


async def test_late_join_closes() -> None:
    """Who does not join in time is closed with 4001."""
    async with mounted(join_ms=200) as (_, url):
        assert (await (await WireSocket.open(url, SOCKET)).ended()).code == 4001


async def test_stop_says_when_to_come_back() -> None:
    """When the host stops, sockets are closed with 1012 and a time to come back, and the room is saved."""
    async with mounted() as (host, url):
        person = await join(url)
        await host.stop()
        end = await person.ended()
    assert end.code == 1012
    assert json.loads(end.reason).keys() == {"retry_ms"}


async def test_everything_open_is_counted() -> None:
    """Sockets over ASGI take places like others, and give them back."""
    async with mounted() as (host, url):
        people = [await join(url, f"{VISITOR}-{index}") for index in range(3)]
        assert host.connection_count == 3
        for person in people:
            person.cut()
        await count(host, low=0, high=0)
        assert host.connection_count == 0
        assert not host.rooms["lobby"].subscribers


class Unread:
    """A WebSocket whose client reads nothing."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed: int | None = None
        self.reads = asyncio.Event()

    async def send_text(self, text: str) -> None:
        """Wait until the client reads."""
        await self.reads.wait()
        self.sent.append(text)

    async def close(self, code: int, reason: str) -> None:
        """Note the code."""
        del reason
        self.closed = code


async def test_who_joins_and_leaves_in_one_turn_is_sent_who_is_here_before_the_close() -> None:
    """A join and a leave that arrive together are answered with a presence and a close."""
    async with host_inside() as host:
        carrier = Unread()
        carrier.reads.set()
        connection = AsgiSocket(carrier, host.rooms["lobby"], PROTOCOL)  # type: ignore[arg-type]
        connection.receive(json.dumps({"type": "join", "visitor": VISITOR}).encode())
        connection.receive(b'{"type": "leave"}')
        await connection.write()
        assert [json.loads(text)["type"] for text in carrier.sent] == ["presence"]
        assert carrier.closed == NORMAL_CLOSURE


async def test_slow_reader_gets_the_latest_and_few_answers() -> None:
    """For a client that does not read, one presence and a few answers are kept, and no queue."""
    async with host_inside(push_ms=20) as host:
        unread = Unread()
        room = host.rooms["lobby"]
        connection = AsgiSocket(unread, room, PROTOCOL)  # type: ignore[arg-type]
        connection.receive(b'{"type": "observe"}')
        writing = asyncio.create_task(connection.write())
        await asyncio.sleep(0)
        for index in range(100):
            room.feed(PanelReported(room.visitor_key(f"{VISITOR}-{index}"), 0.5))
            connection.receive(b'{"type": "time", "sent_ms": 1}')
            if index % 10 == 0:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.03)
        unread.reads.set()
        await asyncio.sleep(0.03)
        writing.cancel()
        said = [json.loads(text) for text in unread.sent]
        connection.ended(graceful=False)
    assert [message["count"] for message in said if message["type"] == "presence"][-1] == 100
    assert len([message for message in said if message["type"] == "presence"]) <= 3
    assert len([message for message in said if message["type"] == "time"]) <= AsgiSocket.ANSWERS_MAX


# --- In a process of another application ------------------------------------------------------------------

PINGS = ("--ws-ping-interval", "0.5", "--ws-ping-timeout", "0.5")


def their_app(folder: Path) -> str:
    """Write an application that mounts ours, as the documentation has it."""
    (folder / "their_app.py").write_text(
        "from starlette.applications import Starlette\n"
        "import breathing_room\n"
        "app = Starlette()\n"
        "app.mount('/rooms', breathing_room.app(data='their.db', snapshot_ms=60_000, push_ms=20))\n",
        encoding="utf-8",
    )
    return "their_app:app"


async def stopped(running: UvicornProcess) -> float:
    """Stop a process politely, and return how many seconds that took."""
    began_s = time.monotonic()
    await asyncio.to_thread(running.stop)
    return time.monotonic() - began_s


@pytest.mark.slow
async def test_mounted_rooms_are_saved_when_the_server_stops(tmp_path: Path) -> None:
    """
    When the server of another application stops, mounted rooms are saved, and nothing looks like a crash
    afterwards.
    """
    app = their_app(tmp_path)
    with uvicorn_process(app, *PINGS, app_dir=tmp_path, working_dir=tmp_path) as running:
        person = await join(f"{running.url}/rooms")
        await stopped(running)
        await person.ended()
    assert not [line for line in running.lines if "Traceback" in line or "ERROR" in line]
    store = await SqliteStore.open(tmp_path / "their.db", read_only=True)
    assert await store.get("running") is None
    assert await store.get("snapshot/lobby") is not None
    await store.close()
    with uvicorn_process(app, *PINGS, app_dir=tmp_path, working_dir=tmp_path) as running:
        exchange = await Exchange.begin(f"{running.url}/rooms", "GET", "/v1/rooms/lobby")
        presence = (await exchange.answer()).json()
        exchange.close()
    assert (presence["method"], presence["count"]) == ("stale", 1)


@pytest.mark.slow
async def test_an_event_stream_does_not_block_the_stop(tmp_path: Path) -> None:
    """The server of another application stops though an event stream of a mounted room is open."""
    with uvicorn_process(their_app(tmp_path), app_dir=tmp_path, working_dir=tmp_path) as running:
        stream = await Exchange.begin(f"{running.url}/rooms", "GET", "/v1/rooms/lobby/events")
        await stream.event()
        assert await stopped(running) < 5
        stream.close()


async def test_a_plain_request_on_a_socket_path_is_426() -> None:
    """A GET on a socket path that is no handshake is 426 here as well, behind any ASGI server."""
    async with host_inside() as host, client_of(host) as client:
        for path in (SOCKET, "/api/room?sessionId=ann"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (426, "upgrade_required")
