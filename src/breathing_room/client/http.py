"""HTTP as those who poll need it: one request at a time, on a connection that is kept for the next one.

A general library would be one more dependency of everybody who installs us, for a parser, which is here already, and a
connection. What it is strict about: an answer is read whole, within a time and up to a size, or the connection ends.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from functools import cache
from typing import Final, Self, cast
from urllib.parse import quote, urlsplit

import httptools

from breathing_room.client.errors import ConnectionLostError, broken
from breathing_room.core.errors import HostError

ANSWER_BYTES_MAX: Final = 65_536
"""A presence has some 400 bytes, and a config not many more."""

# What may stand unquoted in a path or a query (RFC 3986, section 3.3), and what is quoted already.
UNQUOTED: Final = "/?:@!$&'()*+,;=~%-._"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect to."""

    host: str
    port: int
    secure: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address on the web, taken apart.

    Attributes:
        origin: Where to connect to.
        head: What every request for it says in its head.
        target: What stands in the first line of a request.
    """

    origin: Origin
    head: str
    target: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Take an address apart.

        Raises:
            HostError: It is none of the web.
        """
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").encode("idna").decode()
            secure = parts.scheme == "https"
            usual_port = 443 if secure else 80
            origin = Origin(host, parts.port or usual_port, secure)
        except ValueError:
            host = ""
        if not host or parts.scheme not in {"http", "https"}:
            raise HostError("an address on the web looks like https://example.org/presence.json")
        name = f"[{host}]" if ":" in host else host
        place = name if origin.port == usual_port else f"{name}:{origin.port}"
        target = quote(parts.path or "/", safe=UNQUOTED)
        if parts.query:
            target += f"?{quote(parts.query, safe=UNQUOTED)}"
        return cls(
            origin, f"Host: {place}\r\nUser-Agent: breathing-room\r\nAccept: application/json\r\n", target
        )

    def request(self, body: bytes | None) -> bytes:
        """Write a request: with a body it tells the server something, without it asks."""
        if body is None:
            return f"GET {self.target} HTTP/1.1\r\n{self.head}\r\n".encode()
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"POST {self.target} HTTP/1.1\r\n{self.head}{kind}\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """What a server answered.

    Attributes:
        status: The HTTP status.
        body: All of the body.
        headers: Names in lower case.
    """

    status: int
    body: bytes
    headers: dict[str, str]


class _SilentError(Exception):
    """The connection ended, and nothing had come of the answer: it was closed while it was idle."""


class _Connection(asyncio.Protocol):
    """A connection, and the answer that is awaited on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[ClientResponse] | None = None
        self._begin()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> ClientResponse:
        assert self._transport is not None
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._bytes = 0

    def _end(self, answer: ClientResponse | Exception) -> None:
        waiting, self._answer = self._answer, None
        if waiting is None or waiting.done():
            return
        if isinstance(answer, ClientResponse):
            waiting.set_result(answer)
        else:
            waiting.set_exception(answer)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._answer is None or self._bytes > ANSWER_BYTES_MAX:
            self._end(ConnectionLostError("an endless answer"))
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(ConnectionLostError("no HTTP there"))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._bytes == 0:
            self._end(_SilentError())
        elif (
            exc is None
            and self._headers
            and not self._headers.keys() & {"content-length", "transfer-encoding"}
        ):
            self.on_message_complete()  # Such a body ends with its connection.
        else:
            self._end(ConnectionLostError("the connection broke"))

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # An informational answer: the real one follows.
            self._headers.clear()
            return
        keeps = self._parser.should_keep_alive()
        self._end(ClientResponse(status, b"".join(self._body), self._headers))
        if not keeps and self._transport is not None:
            self._transport.close()


class HttpClient:
    """A way to ask servers, one request at a time. Connections are made when they are needed, and kept.

    Args:
        answer_s: How long an answer may take, the connection included, in seconds.
    """

    def __init__(self, answer_s: float) -> None:
        self._answer_s = answer_s
        self._connections: dict[Origin, _Connection] = {}

    async def ask(self, page: Endpoint, body: bytes | None = None) -> ClientResponse:
        """Ask for a page, or tell it something.

        A request on a connection that turns out to be closed is sent again on a new one; all of ours may be repeated.

        Args:
            page: Where.
            body: What to tell, as JSON; None to ask.

        Raises:
            ConnectionLostError: Nobody answered, or not in HTTP.
        """
        request = page.request(body)
        try:
            async with asyncio.timeout(self._answer_s):
                kept = self._connections.get(page.origin)
                if kept is not None and kept.is_open:
                    with contextlib.suppress(_SilentError):
                        return await kept.ask(request)
                made = self._connections[page.origin] = await _connect(page.origin)
                return await made.ask(request)
        except _SilentError:
            raise ConnectionLostError("the connection broke") from None
        except OSError as error:  # A timeout is one.
            self._drop(page.origin)
            raise broken(error) from None
        except asyncio.CancelledError:
            self._drop(page.origin)  # What is still to come of the answer belongs to nobody.
            raise

    def close(self) -> None:
        """Close every connection."""
        for origin in list(self._connections):
            self._drop(origin)

    def _drop(self, origin: Origin) -> None:
        if (connection := self._connections.pop(origin, None)) is not None:
            connection.abort()


async def _connect(origin: Origin) -> _Connection:
    loop = asyncio.get_running_loop()
    tls = _tls() if origin.secure else None
    _, connection = await loop.create_connection(_Connection, origin.host, origin.port, ssl=tls)
    return connection


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
