"""The low-level client of the checks, against servers of a few lines in this process."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from breathing_room.hosts.server.frames import PING, PONG, TEXT, FrameReader, close_frame, frame
from breathing_room.testing import peer
from breathing_room.testing.peer import (
    Ended,
    Exchange,
    HandshakeRefusedError,
    RawResponse,
    WireSocket,
    read_object,
)
from waiting import until

Talk = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 7\r\n\r\n"


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    """Serve on a free port: read the head of a request, and call ``talk``."""
    ended = asyncio.Event()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await ended.wait()
    finally:
        server.close()
        await server.wait_closed()


def saying(*parts: bytes) -> Talk:
    async def talk(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return talk


def accepting(*messages: bytes, received: list[tuple[int, bytes]] | None = None) -> Talk:
    """Accept a WebSocket, send messages, and record what arrives until the client disconnects."""

    async def talk(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        [key] = [
            line.partition(b": ")[2]
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        ]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )
        writer.writelines(messages)
        frames = FrameReader()
        try:
            while data := await reader.read(65_536):
                for one in frames.feed(data, 65_536):
                    if received is not None:
                        received.append(one)
        except ConnectionError:
            pass

    return talk


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(b'{"a":1}', "text/plain"), (b"[1]", "application/json"), (b"{", "application/json")],
)
def test_only_a_declared_object_is_an_object(body: bytes, media_type: str) -> None:
    """A body that is no JSON object, or is declared as something else, fails the check with the response."""
    with pytest.raises(AssertionError, match="expected a JSON object"):
        RawResponse(200, {"content-type": media_type}, body).json()
    assert read_object('{"a":1}') == {"a": 1}


async def test_a_request_is_sent_as_it_was_asked() -> None:
    """Method, path below the base, headers and body are those of the caller, and the answer's headers are in
    lower case.
    """
    heads: list[bytes] = []

    async def talk(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(head + await reader.readexactly(2))
        writer.write(JSON + b'{"a":1}')

    async with serving(talk) as url:
        exchange = await Exchange.begin(f"{url}/base/", "POST", "/x?y=1", b"hi", {"X-Odd": "1"})
        answer = await exchange.answer()
        exchange.close()
    assert heads[0].startswith(b"POST /base/x?y=1 HTTP/1.1\r\n")
    assert b"X-Odd: 1\r\n" in heads[0]
    assert heads[0].endswith(b"\r\n\r\nhi")
    assert (answer.status, answer.json()) == (200, {"a": 1})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "ended before the response"),
        (JSON + b"{", "ended before the response"),
        (b"hello\r\n\r\n", "not HTTP"),
    ],
)
async def test_half_an_answer_is_no_answer(said: bytes, why: str) -> None:
    """A response that ends early, or is not HTTP, fails the check with the reason."""
    async with serving(saying(said)) as url:
        exchange = await Exchange.begin(url, "GET", "/")
        with pytest.raises(AssertionError, match=why):
            await exchange.answer()
        exchange.close()


async def test_events_are_read_one_by_one_without_comments() -> None:
    """Events that arrive in pieces are whole, comments are left out, and the end of the stream is None."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 44\r\n\r\n"
    body = b": hi\n\nevent: a\ndata:1\n\nretry: 5\n\n: x\ndata: 2\n\n"
    async with serving(saying(head.replace(b"44", str(len(body)).encode()), body[:9], body[9:])) as url:
        exchange = await Exchange.begin(url, "GET", "/")
        assert (await exchange.head()).status == 200
        assert [await exchange.event() for _ in range(4)] == [
            {"event": "a", "data": "1"},
            {"retry": "5"},
            {"data": "2"},
            None,
        ]
        exchange.close()


async def test_messages_are_found_by_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other types are skipped, a message in fragments is joined, each message is returned once, and all texts
    are kept as they arrived.
    """
    fragments = bytes((TEXT, 12)) + b'{"type":"b",' + bytes((0x80, 6)) + b'"n":1}'
    said = (frame(TEXT, b'{"type":"a"}'), fragments, frame(TEXT, b'{"type":"b","n":2}'))
    async with serving(accepting(*said)) as url:
        socket = await WireSocket.open(url, "/socket")
        assert await socket.receive("b") == {"type": "b", "n": 1}
        assert await socket.receive("b", lambda message: message["n"] == 2) == {"type": "b", "n": 2}
        assert socket.texts == ['{"type":"a"}', '{"type":"b","n":1}', '{"type":"b","n":2}']
        monkeypatch.setattr(peer, "PATIENCE_S", 0.01)
        with pytest.raises(AssertionError, match="no expected b within"):
            await socket.receive("b")
        monkeypatch.undo()
        socket.cut()
        assert (await socket.ended()).code == 1006


@pytest.mark.parametrize("answers", [True, False])
async def test_pings_are_answered_only_if_wanted(answers: bool) -> None:  # noqa: FBT001
    """Control pings are answered unless `answers_pings` is false."""
    received: list[tuple[int, bytes]] = []
    async with serving(accepting(received=received)) as url:
        socket = await WireSocket.open(url, "/socket")
        socket.answers_pings = answers
        socket._protocol.receive_data(frame(PING, b"?"))
        socket._take()
        await socket._writer.drain()
        socket._writer.close()
        await socket.ended()
    assert received == ([(PONG, b"?")] if answers else [])


async def test_a_close_has_its_code_and_reason() -> None:
    """The code and reason of the server's close are known; without a close frame it is 1006."""
    async with serving(accepting(close_frame(4_003, b"full"))) as url:
        socket = await WireSocket.open(url, "/socket")
        await until(lambda: socket.end().code == 4_003)
        socket.send_message("time")  # a message to a closed connection is dropped
        socket.cut()
        assert await socket.ended() == Ended(4_003, "full")
        assert not socket.is_open


async def test_a_refused_handshake_shows_the_answer() -> None:
    """The response that refuses a handshake is kept, and an invalid 101 is an error of its own."""
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: no\r\n\r\n{}"
    async with serving(saying(refusal)) as url:
        with pytest.raises(HandshakeRefusedError) as error:
            await WireSocket.open(url, "/socket")
    assert (error.value.answer.status, error.value.answer.headers["x-why"], error.value.answer.body) == (
        403,
        "no",
        b"{}",
    )
    wrong = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
    async with serving(saying(wrong)) as url:
        with pytest.raises(AssertionError, match="invalid response to the handshake"):
            await WireSocket.open(url, "/socket")
