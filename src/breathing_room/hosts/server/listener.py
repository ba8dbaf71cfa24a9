"""The first to see a connection: opens sockets itself, and leaves all other HTTP to uvicorn.

Two ways lead here. A connection whose first request asks for one of our socket paths is taken at once; the handshake
then costs one pass of a C parser and one write. Anything else goes to uvicorn's own HTTP class, and if that meets an
upgrade later (a proxy that reuses connections), uvicorn hands it back as to any WebSocket class.
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
# Enough of the first line to tell whether it may be one of ours.
SOCKET_LINE: Final = re.compile(rb"GET (?:/v1/rooms/[^/? ]*/socket|/api/room)[? ]")

# What an HTTP client may leave unread before it counts as slow; the page's largest file is smaller than twice this.
UNREAD_BYTES_MAX: Final = 16_384

# Section 1.3 of RFC 6455.
ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class RequestHead:
    """The head of a request, as a parser of httptools fills it in."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.complete = False

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; several of one name become one list (RFC 9110, section 5.3)."""
        name = name.lower()
        if name in self.headers:
            value = self.headers[name] + b", " + value
        self.headers[name] = value

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self.complete = True

    def text(self, name: bytes) -> str | None:
        """Return a header, None if it is not there."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def tokens(self, name: bytes) -> set[bytes]:
        """Return the tokens of a header that is a list, in lower case."""
        return {token.strip().lower() for token in self.headers.get(name, b"").split(b",")}


def accept_key(request: RequestHead, parser: httptools.HttpRequestParser) -> bytes:
    """Check the handshake of section 4.2.1 and compute the answer to its key.

    Raises:
        ClientError: The request is no handshake, or one that we do not understand.
    """
    hosts = request.headers.get(b"host", b"")
    if parser.get_method() != b"GET" or parser.get_http_version() < "1.1" or not hosts or b"," in hosts:
        raise ClientError("bad_handshake", "a WebSocket begins with GET, HTTP/1.1 and one Host header")
    if b"websocket" not in request.tokens(b"upgrade") or b"upgrade" not in request.tokens(b"connection"):
        raise upgrade_required()
    if request.headers.get(b"sec-websocket-version", b"").strip() != b"13":
        raise ClientError("upgrade_required", "WebSocket version 13 is spoken here", status=426)
    key = request.headers.get(b"sec-websocket-key", b"").strip()
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise ClientError("bad_handshake", "Sec-WebSocket-Key must be 16 bytes in base64")
    return base64.b64encode(hashlib.sha1(key + ACCEPT_GUID).digest())  # noqa: S324 - the RFC's choice, no secret


def refusal(error: ClientError) -> bytes:
    """Write a whole HTTP response for an error."""
    answer = error_answer(error)
    headers = {**answer.headers, "Content-Length": len(answer.body), "Connection": "close"}
    head = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join((*head, "", "")).encode() + answer.body


class UvicornHttp(HttpToolsProtocol):
    """uvicorn's HTTP class, with limits on how long and how large the head of a request may be."""

    host: App

    def on_message_begin(self) -> None:
        """A request begins: its head has to arrive in time."""
        super().on_message_begin()
        self._head_bytes = 0
        self.host.handshakes.start(self.transport, self.host.clock.now_ms())

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        super().on_url(url)
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        super().on_header(name, value)
        self._grow(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """The head arrived."""
        super().on_headers_complete()
        if self.parser.get_method() in {b"GET", b"HEAD", b"OPTIONS"}:
            self.host.handshakes.stop(self.transport)

    def on_message_complete(self) -> None:
        """The body arrived as well."""
        super().on_message_complete()
        self.host.handshakes.stop(self.transport)

    def pause_writing(self) -> None:
        """The client does not read what it asked for, an event stream perhaps."""
        super().pause_writing()
        self.host.slow.start(self, self.host.clock.now_ms())

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self.host.slow.stop(self)

    def abort(self) -> None:
        """Cut it off."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.host.handshakes.stop(self.transport)
        self.host.slow.stop(self)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the shape that all errors have."""
        del msg
        self._refuse(ClientError("bad_request", "this is not HTTP"))

    def _grow(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.host.config.headers_bytes_max:
            self._refuse(ClientError("headers_too_large", "the head of the request is too long", status=431))

    def _refuse(self, error: ClientError) -> None:
        if not self.transport.is_closing():
            self.host.counters.refuse(error.code)
            self.transport.write(refusal(error))
            self.transport.close()


class Listener(asyncio.Protocol):
    """Looks at the first bytes of a connection, or completes an upgrade that uvicorn met.

    Args:
        host: The server's rooms.
        upgrading: Whether uvicorn has parsed the request already: then it is a WebSocket or nothing.
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
        """Give it its time to say something."""
        self._transport = transport
        self._host.handshakes.start(transport, self._host.clock.now_ms())

    def data_received(self, data: bytes) -> None:
        """Wait for the first line, and decide."""
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
        """The connection is gone."""
        self._host.handshakes.stop(self._transport)
        if self._socket is not None:
            self._socket.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._socket is not None:
            self._socket.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._socket is not None:
            self._socket.resume_writing()

    def _hand_over(self, data: bytes) -> None:
        # The time that is running goes on: an empty line begins no request.
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
            raise ClientError("headers_too_large", "the head of the request is too long", status=431)
        request = RequestHead()
        parser = httptools.HttpRequestParser(request)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            raise ClientError("bad_request", "this is not HTTP") from None
        has_body = (
            b"transfer-encoding" in request.headers or request.headers.get(b"content-length", b"0") != b"0"
        )
        if not request.complete or has_body:
            raise ClientError("bad_request", "a handshake has no body")
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
            # uvicorn will set its protocol to this object when we return: what comes is passed on.
            self._socket = socket
        else:
            self._transport.set_protocol(socket)
        admitted.begin(socket)
        if rest:
            socket.data_received(rest)
