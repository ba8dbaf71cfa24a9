"""The protocol of new TCP connections: it upgrades WebSockets itself, and hands all other HTTP over to
uvicorn.

A WebSocket reaches it in two ways. If the first request of a connection is for a socket path, the handshake
is done here, at the cost of one pass of a C parser and one write. All other requests go to uvicorn's HTTP
protocol; if one of them is an upgrade (a proxy that reuses connections), uvicorn hands it back as to any
WebSocket protocol class.
"""

import asyncio
import base64
import binascii
import hashlib
import re
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from breathing_room.core.errors import ClientError
from breathing_room.hosts.common.http.handshake import admit_handshake, first_values
from breathing_room.hosts.common.http.responses import NotFoundError, error_answer, upgrade_required
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.socket import Socket

SOCKET_PATH: Final = re.compile(rb"/v1/rooms/([^/?]*)/socket")
DOCUMENT_PATH: Final = b"/api/room"
# The beginning of a request line with a socket path.
SOCKET_LINE: Final = re.compile(rb"GET (?:/v1/rooms/[^/? ]*/socket|/api/room)[? ]")

# The bytes that an HTTP client may leave unread before it is a slow reader; the page's largest file is
# smaller than twice this.
UNREAD_BYTES_MAX: Final = 16_384

# Section 1.3 of RFC 6455.
ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class RequestHead:
    """The head of a request, filled in by a parser of httptools."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.complete = False

    def on_url(self, url: bytes) -> None:
        """Append a piece of the request target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; several of one name are joined to one list (RFC 9110, section 5.3)."""
        name = name.lower()
        if name in self.headers:
            value = self.headers[name] + b", " + value
        self.headers[name] = value

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        self.complete = True

    def text(self, name: bytes) -> str | None:
        """Return a header, None if it is not there."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def tokens(self, name: bytes) -> set[bytes]:
        """Return the tokens of a header that is a list, in lower case."""
        return {token.strip().lower() for token in self.headers.get(name, b"").split(b",")}


def accept_key(request: RequestHead, parser: httptools.HttpRequestParser) -> bytes:
    """Check the handshake (RFC 6455, section 4.2.1) and return its ``Sec-WebSocket-Accept``.

    Raises:
        ClientError: The request is not a valid handshake of WebSocket version 13.
    """
    hosts = request.headers.get(b"host", b"")
    if parser.get_method() != b"GET" or parser.get_http_version() < "1.1" or not hosts or b"," in hosts:
        raise ClientError(
            "bad_handshake", "a WebSocket handshake must be GET, HTTP/1.1, with one Host header"
        )
    if b"websocket" not in request.tokens(b"upgrade") or b"upgrade" not in request.tokens(b"connection"):
        raise upgrade_required()
    if request.headers.get(b"sec-websocket-version", b"").strip() != b"13":
        raise ClientError("upgrade_required", "unsupported WebSocket version: use 13", status=426)
    key = request.headers.get(b"sec-websocket-key", b"").strip()
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise ClientError("bad_handshake", "Sec-WebSocket-Key must be 16 bytes in base64")
    return base64.b64encode(hashlib.sha1(key + ACCEPT_GUID).digest())  # noqa: S324 - the RFC's choice, no secret


def refusal(error: ClientError) -> bytes:
    """Return an error as the bytes of a whole HTTP response."""
    answer = error_answer(error)
    headers = {**answer.headers, "Content-Length": len(answer.body), "Connection": "close"}
    head = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join((*head, "", "")).encode() + answer.body


class UvicornHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with limits on the size and the duration of a request, and on slow readers."""

    host: App

    def on_message_begin(self) -> None:
        """Start the timeout of a request."""
        super().on_message_begin()
        self._head_bytes = 0
        self.host.handshakes.start(self.transport, self.host.clock.now_ms())

    def on_url(self, url: bytes) -> None:
        """Count the bytes of a piece of the request target."""
        super().on_url(url)
        self._count_head_bytes(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the bytes of a header."""
        super().on_header(name, value)
        self._count_head_bytes(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Stop the timeout of a request without a body."""
        super().on_headers_complete()
        if self.parser.get_method() in {b"GET", b"HEAD", b"OPTIONS"}:
            self.host.handshakes.stop(self.transport)

    def on_message_complete(self) -> None:
        """Stop the timeout of a request whose body is complete."""
        super().on_message_complete()
        self.host.handshakes.stop(self.transport)

    def pause_writing(self) -> None:
        """Start the timeout of a slow reader."""
        super().pause_writing()
        self.host.slow.start(self, self.host.clock.now_ms())

    def resume_writing(self) -> None:
        """Stop the timeout of a slow reader."""
        super().resume_writing()
        self.host.slow.stop(self)

    def abort(self) -> None:
        """Drop the connection."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeouts of a connection that ended."""
        self.host.handshakes.stop(self.transport)
        self.host.slow.stop(self)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request with an error in the one shape."""
        del msg
        self._refuse(ClientError("bad_request", "malformed HTTP request"))

    def _count_head_bytes(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.host.config.headers_bytes_max:
            self._refuse(ClientError("headers_too_large", "the request headers are too large", status=431))

    def _refuse(self, error: ClientError) -> None:
        if not self.transport.is_closing():
            self.host.counters.refuse(error.code)
            self.transport.write(refusal(error))
            self.transport.close()


class Listener(asyncio.Protocol):
    """Reads the first bytes of a connection and picks its protocol, or completes an upgrade for uvicorn.

    Args:
        host: The server's rooms.
        upgrading: Whether uvicorn has parsed the request already and found an upgrade.
    """

    __slots__ = (
        "_app_state",
        "_config",
        "_data",
        "_host",
        "_server_state",
        "_socket",
        "_transport",
        "_upgrading",
    )

    def __init__(
        self,
        host: App,
        *,
        upgrading: bool,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._host = host
        self._upgrading = upgrading
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._data = b""
        self._socket: Socket | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP, always
        """Start the timeout of the first request."""
        self._transport = transport
        self._host.handshakes.start(transport, self._host.clock.now_ms())

    def data_received(self, data: bytes) -> None:
        """Buffer the first line, then do the handshake or hand the connection over to uvicorn."""
        if self._socket is not None:
            self._socket.data_received(data)
            return
        data = self._data = self._data + data
        if self._upgrading or SOCKET_LINE.match(data):
            self._try_handshake(data)
        elif (
            b"\n" in data
            or not b"GET /".startswith(data[:5])
            or len(data) > self._host.config.headers_bytes_max
        ):
            self._hand_over(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout of a connection that ended, and pass that on to its socket."""
        self._host.handshakes.stop(self._transport)
        if self._socket is not None:
            self._socket.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass the call on to the socket."""
        if self._socket is not None:
            self._socket.pause_writing()

    def resume_writing(self) -> None:
        """Pass the call on to the socket."""
        if self._socket is not None:
            self._socket.resume_writing()

    def _hand_over(self, data: bytes) -> None:
        # The timeout that was started goes on: an empty line begins no request.
        http = UvicornHttp(self._config, self._server_state, self._app_state)
        http.host = self._host
        http.connection_made(self._transport)
        self._transport.set_write_buffer_limits(high=UNREAD_BYTES_MAX)
        self._transport.set_protocol(http)
        http.data_received(data)

    def _try_handshake(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        limit = self._host.config.headers_bytes_max
        if end < 0 and len(data) <= limit:
            return  # There is more to come.
        try:
            self._handshake(data[: end + 4], data[end + 4 :], too_long=end < 0 or end > limit)
        except ClientError as error:
            self._host.counters.refuse(error.code)
            self._transport.write(refusal(error))
            self._transport.close()

    def _handshake(self, head: bytes, rest: bytes, *, too_long: bool) -> None:
        host = self._host
        if too_long:
            raise ClientError("headers_too_large", "the request headers are too large", status=431)
        request = RequestHead()
        parser = httptools.HttpRequestParser(request)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            raise ClientError("bad_request", "malformed HTTP request") from None
        has_body = (
            b"transfer-encoding" in request.headers or request.headers.get(b"content-length", b"0") != b"0"
        )
        if not request.complete or has_body:
            raise ClientError("bad_request", "a WebSocket handshake must not have a body")
        url = httptools.parse_url(request.url)
        accept = accept_key(request, parser)
        ours = SOCKET_PATH.fullmatch(url.path)
        if not ours and url.path != DOCUMENT_PATH:
            raise NotFoundError
        admitted = admit_handshake(
            ours[1].decode("latin-1") if ours else None,
            first_values((url.query or b"").decode("latin-1")),
            origin=request.text(b"origin"),
            host=request.text(b"host"),
            config=host.config,
            connections=host.connection_count,
            connections_max=host.sockets_max,
        )
        peer = self._transport.get_extra_info("peername")
        room = host.enter(
            admitted.room, address=peer[0] if peer else None, forwarded_for=request.text(b"x-forwarded-for")
        )

        host.handshakes.stop(self._transport)
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        socket = Socket(self._transport, room, admitted.codec)
        if self._upgrading:
            # uvicorn sets the transport's protocol to this object after the return, so it passes all bytes
            # on.
            self._socket = socket
        else:
            self._transport.set_protocol(socket)
        admitted.begin(socket)
        if rest:
            socket.data_received(rest)
