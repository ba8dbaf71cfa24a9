"""A low-level HTTP and WebSocket client for the checks of a host.

A client library would mask every frame, answer every control ping, follow every redirect and repair what it
can. Here each of these is the caller's choice. The frames are those of ``websockets`` and the HTTP parser is
``httptools``.
"""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

import httptools
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

PATIENCE_S: Final = 5.0
"""Timeout for a response, long enough for a busy machine."""

TICK_S: Final = 0.02
"""How long to wait for a message before the host's clock is advanced."""

Message: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class RawResponse:
    """An HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Message:
        """Read the body as a JSON object.

        Raises:
            AssertionError: The body is no JSON object, or its media type is another one.
        """
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise AssertionError(f"expected a JSON object, received {self}")
        return read_object(self.body)


def read_object(text: str | bytes) -> Message:
    """Read a JSON object.

    Raises:
        AssertionError: The text is no JSON object.
    """
    try:
        value = json.loads(text)
    except ValueError:
        raise AssertionError(f"expected a JSON object, received {text!r}") from None
    if isinstance(value, dict):
        return value
    raise AssertionError(f"expected a JSON object, received {text!r}")


class _Response:
    """The callbacks of httptools' parser."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.began = False
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.began = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class Exchange:
    """One HTTP request and its response, which may be an event stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._response = _Response()
        self._parser = httptools.HttpResponseParser(self._response)
        self._lines = ""

    @classmethod
    async def begin(
        cls,
        base_url: str,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Send a request."""
        url = urlsplit(base_url)
        exchange = cls(*await connect(url))
        sent = {
            "Host": url.netloc,
            "Connection": "close",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        if method == "GET":
            del sent["Content-Length"]
        lines = [
            f"{method} {url.path.rstrip('/')}{path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in sent.items()),
        ]
        exchange._writer.write("\r\n".join((*lines, "", "")).encode() + body)
        return exchange

    async def answer(self) -> RawResponse:
        """Read the whole response.

        Raises:
            AssertionError: It did not arrive, or is incomplete.
        """
        await self._read_until(lambda: self._response.complete)
        return RawResponse(self._parser.get_status_code(), self._response.headers, bytes(self._response.body))

    async def head(self) -> RawResponse:
        """Read the head of the response; `event` reads the body."""
        await self._read_until(lambda: self._response.began)
        return RawResponse(self._parser.get_status_code(), self._response.headers, b"")

    async def event(self) -> dict[str, str] | None:
        """Read the next Server-Sent Event; comments are skipped.

        Returns:
            Its fields; None at the end of the stream.
        """
        while True:
            while "\n\n" not in self._lines:
                if self._response.complete and not self._response.body:
                    return None
                await self._read_until(lambda: bool(self._response.body) or self._response.complete)
                self._lines += self._response.body.decode()
                self._response.body.clear()
            block, _, self._lines = self._lines.partition("\n\n")
            fields = [line.partition(":") for line in block.split("\n") if not line.startswith(":")]
            if fields:
                return {name: value.removeprefix(" ") for name, _, value in fields}

    async def _read_until(self, where: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not where():
                    data = await self._reader.read(65_536)
                    if not data:
                        raise AssertionError("the connection ended before the response was complete")
                    self._parser.feed_data(data)
        except TimeoutError:
            raise AssertionError(f"no complete response within {PATIENCE_S:g} s") from None
        except OSError as error:
            raise AssertionError(
                f"the connection was lost before the response was complete: {error}"
            ) from None
        except httptools.HttpParserError as error:
            raise AssertionError(f"the response is not HTTP: {error}") from None

    def close(self) -> None:
        """Abort the connection."""
        self._writer.transport.abort()


class HandshakeRefusedError(AssertionError):
    """A handshake was answered with an HTTP response other than 101."""

    def __init__(self, answer: RawResponse) -> None:
        super().__init__(f"the WebSocket was refused: {answer}")
        self.answer = answer


@dataclass(frozen=True)
class Ended:
    """The close code and reason of a connection; 1006 without a close frame, as in RFC 6455."""

    code: int
    reason: str


class WireSocket:
    """A WebSocket connection.

    Attributes:
        answers_pings: Whether control pings are answered.
        tick: Advances the host's clock while a message is awaited; None in real time.
        texts: Every message received, as it arrived.
    """

    def __init__(self, url: str) -> None:
        self.answers_pings = True
        self.tick: Callable[[], Awaitable[None]] | None = None
        self.texts: list[str] = []
        self._url = url
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._fragments = b""
        self._next = 0
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None]
        self._writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, base_url: str, path: str) -> Self:
        """Open a WebSocket.

        Raises:
            HandshakeRefusedError: The host answered with an HTTP error.
        """
        url = urlsplit(base_url)
        scheme = {"http": "ws", "https": "wss"}[url.scheme]
        socket = cls(f"{scheme}://{url.netloc}{url.path.rstrip('/')}{path}")
        reader, socket._writer = await connect(url)
        socket._protocol.send_request(socket._protocol.connect())
        socket._flush()
        opened = asyncio.Event()
        socket._reading = asyncio.create_task(socket._read(reader, opened))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await opened.wait()
        except TimeoutError:
            socket.cut()
            raise AssertionError(f"no response to the handshake within {PATIENCE_S:g} s") from None
        refused = socket._protocol.handshake_exc
        if refused is not None:
            socket.cut()
            if isinstance(refused, InvalidStatus):
                response = refused.response
                headers = {name.lower(): value for name, value in response.headers.raw_items()}
                raise HandshakeRefusedError(
                    RawResponse(response.status_code, headers, bytes(response.body or b""))
                ) from None
            raise AssertionError(f"invalid response to the handshake: {refused}") from None
        return socket

    # Sending.

    def send_message(self, kind: str, **fields: Any) -> None:
        """Send a message of the protocol."""
        self.send_text(json.dumps({"type": kind, **fields}))

    def send_text(self, text: str | bytes) -> None:
        """Send a text message."""
        self._send(self._protocol.send_text, text.encode() if isinstance(text, str) else text)

    def send_binary(self, data: bytes) -> None:
        """Send a binary message."""
        self._send(self._protocol.send_binary, data)

    def send_unmasked(self, text: str) -> None:
        """Send a text message in a frame without a mask, which RFC 6455 forbids clients."""
        self._writer.write(Frame(Opcode.TEXT, text.encode()).serialize(mask=False))

    def close_normally(self, code: int) -> None:
        """Begin the closing handshake."""
        self._send(self._protocol.send_close, code)

    def _send(self, send: Callable[[Any], None], what: Any) -> None:
        # After a close the messages of the check are dropped, as a browser drops them.
        if self._protocol.state is State.OPEN:
            send(what)
            self._flush()

    def cut(self) -> None:
        """Abort the TCP connection without a close frame."""
        self._writer.transport.abort()

    async def part(self) -> None:
        """Wait a second for the closing handshake, then abort the connection."""
        await asyncio.wait((self._reading,), timeout=1)
        self.cut()
        await self._reading

    # Receiving.

    async def receive(self, kind: str, where: Callable[[Message], bool] = lambda _: True) -> Message:
        """Return the next message of a type for which ``where`` is true.

        Raises:
            AssertionError: The connection ended before, or the message did not arrive in time.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        last: Message | None = None
        while True:
            while self._next < len(self.texts):
                message = read_object(self.texts[self._next])
                self._next += 1
                if message.get("type") == kind:
                    last = message
                    if where(message):
                        return message
            self._news.clear()
            if self._reading.done():
                raise AssertionError(
                    f"the connection ended with {self.end()} before a {kind}; the last one was {last}"
                )
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise AssertionError(f"no expected {kind} within {PATIENCE_S:g} s; the last one was {last}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s if self.tick is None else min(left_s, TICK_S)):
                    await self._news.wait()
            if self.tick is not None and not self._news.is_set():
                await self.tick()

    async def ended(self) -> Ended:
        """Wait until the connection is closed, and return its close code.

        Raises:
            AssertionError: It stays open.
        """
        done, _ = await asyncio.wait((self._reading,), timeout=PATIENCE_S)
        if not done:
            raise AssertionError(f"expected a close; the connection is open after {PATIENCE_S:g} s")
        return self.end()

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return not self._reading.done()

    def end(self) -> Ended:
        """Return the close code and reason."""
        received = self._protocol.close_rcvd
        return Ended(1006, "") if received is None else Ended(received.code, received.reason)

    async def _read(self, reader: asyncio.StreamReader, opened: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self._protocol.receive_data(data)
                self._take()
                if self._protocol.handshake_exc is not None or self._protocol.state is not State.CONNECTING:
                    opened.set()
        with contextlib.suppress(EOFError, InvalidHandshake):
            self._protocol.receive_eof()
        self._take()
        opened.set()
        self._news.set()
        self._writer.transport.abort()

    def _take(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                self._fragments += event.data
                if event.fin:
                    self.texts.append(self._fragments.decode())
                    self._fragments = b""
                    self._news.set()
        if self.answers_pings:
            self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and not self._writer.is_closing():
                self._writer.write(data)


async def connect(url: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TCP connection, with TLS for https and wss, to the host and port of a URL."""
    secure = url.scheme in {"https", "wss"}
    port = url.port or (443 if secure else 80)
    tls = ssl.create_default_context() if secure else None
    return await asyncio.open_connection(url.hostname, port, ssl=tls)
