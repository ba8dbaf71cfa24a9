"""A small HTTP client for polling: one request at a time over connections that are kept alive.

A general library would add a dependency for a parser, which is installed already, and a connection. Strict
limits: a response is read whole, within a time and up to a size, or the connection is closed.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from functools import cache
from typing import Final, Self, cast
from urllib.parse import quote, urlsplit

import httptools

from breathing_room.client.errors import ConnectionLostError, error_from_exception
from breathing_room.core.errors import HostError

RESPONSE_BYTES_MAX: Final = 65_536
"""A presence has some 400 bytes, and a config not many more."""

# The characters that may stand unquoted in a path or a query (RFC 3986, section 3.3), and the quotes
# themselves.
UNQUOTED: Final = "/?:@!$&'()*+,;=~%-._"


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what a connection is made to."""

    host: str
    port: int
    secure: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An HTTP URL, parsed once for many requests.

    Attributes:
        origin: What to connect to.
        head: The header lines of every request.
        target: The request target: path and query.
    """

    origin: Origin
    head: str
    target: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse a URL.

        Raises:
            HostError: It is no ``http://`` or ``https://`` URL.
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
            raise HostError("not an HTTP URL: expected one like https://example.org/presence.json")
        name = f"[{host}]" if ":" in host else host
        place = name if origin.port == usual_port else f"{name}:{origin.port}"
        target = quote(parts.path or "/", safe=UNQUOTED)
        if parts.query:
            target += f"?{quote(parts.query, safe=UNQUOTED)}"
        return cls(
            origin, f"Host: {place}\r\nUser-Agent: breathing-room\r\nAccept: application/json\r\n", target
        )

    def encode_request(self, body: bytes | None) -> bytes:
        """Encode a request: a POST of JSON with a body, a GET without one."""
        if body is None:
            return f"GET {self.target} HTTP/1.1\r\n{self.head}\r\n".encode()
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"POST {self.target} HTTP/1.1\r\n{self.head}{kind}\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """A response of a server.

    Attributes:
        status: The HTTP status.
        body: All of the body.
        headers: Names in lower case.
    """

    status: int
    body: bytes
    headers: dict[str, str]


class _NoResponseError(Exception):
    """The connection was closed before the first byte of a response: it had timed out while it was idle."""


class _Connection(asyncio.Protocol):
    """A connection, and the response that is awaited on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._response: asyncio.Future[ClientResponse] | None = None
        self._reset()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> ClientResponse:
        assert self._transport is not None
        self._reset()
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._response

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._bytes = 0

    def _resolve(self, outcome: ClientResponse | Exception) -> None:
        waiting, self._response = self._response, None
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, ClientResponse):
            waiting.set_result(outcome)
        else:
            waiting.set_exception(outcome)

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._response is None or self._bytes > RESPONSE_BYTES_MAX:
            self._resolve(ConnectionLostError("an endless response"))
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._resolve(ConnectionLostError("no HTTP there"))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._bytes == 0:
            self._resolve(_NoResponseError())
        elif (
            exc is None
            and self._headers
            and not self._headers.keys() & {"content-length", "transfer-encoding"}
        ):
            self.on_message_complete()  # Such a body ends with its connection.
        else:
            self._resolve(ConnectionLostError("the connection broke"))

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # An informational response: the final one follows.
            self._headers.clear()
            return
        keeps_alive = self._parser.should_keep_alive()
        self._resolve(ClientResponse(status, b"".join(self._body), self._headers))
        if not keeps_alive and self._transport is not None:
            self._transport.close()


class HttpClient:
    """Send requests, one at a time, over connections that are opened when they are needed and kept alive.

    Args:
        answer_s: How long a response may take, the connection included, in seconds.
    """

    def __init__(self, answer_s: float) -> None:
        self._answer_s = answer_s
        self._connections: dict[Origin, _Connection] = {}

    async def request(self, endpoint: Endpoint, body: bytes | None = None) -> ClientResponse:
        """Send a request and return the response.

        A request on a connection that turns out to be closed is sent again on a new one: all of ours are
            idempotent.

        Args:
            endpoint: Where to send it.
            body: The JSON to POST; None for a GET.

        Raises:
            ConnectionLostError: There was no response in time, or it was not HTTP.
        """
        request = endpoint.encode_request(body)
        try:
            async with asyncio.timeout(self._answer_s):
                kept = self._connections.get(endpoint.origin)
                if kept is not None and kept.is_open:
                    with contextlib.suppress(_NoResponseError):
                        return await kept.send(request)
                opened = self._connections[endpoint.origin] = await _connect(endpoint.origin)
                return await opened.send(request)
        except _NoResponseError:
            raise ConnectionLostError("the connection broke") from None
        except OSError as error:  # A timeout is one.
            self._drop(endpoint.origin)
            raise error_from_exception(error) from None
        except asyncio.CancelledError:
            self._drop(endpoint.origin)  # The rest of the response would be read as that of the next request.
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
