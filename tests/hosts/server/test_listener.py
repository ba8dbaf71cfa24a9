"""The first to see a connection, over a transport in memory; the same over real connections is in
``test_rfc6455.py``.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httptools
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from breathing_room.core.errors import ClientError
from breathing_room.hosts.common.http.asgi_server import UVICORN_OPTIONS
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.frames import CLOSE, FIN
from breathing_room.hosts.server.listener import Listener, RequestHead, UvicornHttp, accept_key, refusal
from breathing_room.hosts.server.routes import create_app
from breathing_room.hosts.server.socket import Socket
from inside import host_inside

# The example of RFC 6455, section 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

HANDSHAKE = {
    "Host": "room.example",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def head(path: str = "/v1/rooms/lobby/socket", line: str | None = None, **changes: str | None) -> bytes:
    """Write the head of a request: a handshake, but for the changes."""
    headers = {**HANDSHAKE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [
        line or f"GET {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items() if value is not None),
    ]
    return "\r\n".join((*lines, "", "")).encode()


class FakeTransport:
    """A connection that notes what is written, and who takes it over."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.protocol: Any = None
        self.first: Any = None

    def write(self, data: bytes) -> None:
        self.written += data
        if data[0] == FIN | CLOSE:  # The other end is gone.
            asyncio.get_running_loop().call_soon((self.protocol or self.first).connection_lost, None)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        """Nothing is buffered here."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50_000) if name in {"peername", "sockname"} else default

    def status(self) -> int:
        return int(self.written.split(maxsplit=2)[1])

    def code(self) -> str:
        return str(json.loads(self.written.partition(b"\r\n\r\n")[2])["error"]["code"])


@pytest.fixture
async def host() -> AsyncIterator[App]:
    async with host_inside(headers_bytes_max=1_024, origins=("https://mine.example",)) as running:
        yield running


def connection(host: App, *, upgrading: bool = False) -> tuple[Listener, FakeTransport]:
    config = Config(create_app(host), **UVICORN_OPTIONS)
    config.load()
    front = Listener(host, upgrading=upgrading, config=config, server_state=ServerState(), app_state={})
    transport = FakeTransport()
    transport.first = front
    front.connection_made(transport)  # type: ignore[arg-type]
    return front, transport


def accepted(data: bytes) -> bytes:
    """Check a handshake, and return the answer to its key."""
    request = RequestHead()
    parser = httptools.HttpRequestParser(request)
    with contextlib.suppress(httptools.HttpParserUpgrade):
        parser.feed_data(data)
    return accept_key(request, parser)


def test_the_key_is_answered_as_the_rfc_has_it() -> None:
    """The example of RFC 6455 gets its own answer, in any case and order of the words around it."""
    assert accepted(head()) == ACCEPT
    assert accepted(head(Upgrade="WebSocket", Connection="UPGRADE")) == ACCEPT


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"line": "POST /v1/rooms/lobby/socket HTTP/1.1"}, "bad_handshake"),
        ({"line": "GET /v1/rooms/lobby/socket HTTP/1.0"}, "bad_handshake"),
        ({"Host": None}, "bad_handshake"),
        ({"Upgrade": None}, "upgrade_required"),
        ({"Connection": "close"}, "upgrade_required"),
        ({"Sec_WebSocket_Version": "8"}, "upgrade_required"),
        ({"Sec_WebSocket_Key": None}, "bad_handshake"),
        ({"Sec_WebSocket_Key": base64.b64encode(b"15 bytes of it.").decode()}, "bad_handshake"),
        ({"Sec_WebSocket_Key": "not base64!"}, "bad_handshake"),
    ],
)
def test_what_is_no_handshake_is_refused(changes: dict[str, str | None], code: str) -> None:
    """Each condition of section 4.2.1 that is not met has its error."""
    with pytest.raises(ClientError) as error:
        accepted(head(**changes))  # type: ignore[arg-type]
    assert error.value.code == code


def test_headers_of_one_name_are_one_list() -> None:
    """Two headers of one name are read as one list, and tokens without regard to case."""
    request = RequestHead()
    for name, value in ((b"Connection", b"Keep-Alive"), (b"connection", b"Upgrade")):
        request.on_header(name, value)
    assert request.tokens(b"connection") == {b"keep-alive", b"upgrade"}
    assert (request.text(b"connection"), request.text(b"host")) == ("Keep-Alive, Upgrade", None)


def test_a_refusal_is_a_whole_response() -> None:
    """An error is written with its length, closes the connection, and says what its status demands."""
    raw = refusal(ClientError("full", "no", status=503, retry_after_s=7))
    fields, _, body = raw.partition(b"\r\n\r\n")
    lines = fields.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    assert {f"Content-Length: {len(body)}", "Connection: close", "Retry-After: 7"} <= set(lines)
    assert json.loads(body)["error"]["code"] == "full"
    assert b"\r\nUpgrade: websocket\r\n" in refusal(ClientError("upgrade_required", "no", status=426))


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_handshake_is_taken_however_it_is_cut(size: int, host: App) -> None:
    """Bytes that arrive one by one or at once open one socket, and what was sent behind the handshake is its
    first message.
    """
    front, transport = connection(host)
    join = Frame(Opcode.TEXT, b'{"type":"join","visitor":"visitor-0123456789"}').serialize(mask=True)
    data = head() + join
    for at in range(0, len(data), size):
        (transport.protocol or front).data_received(data[at : at + size])
    assert transport.written.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n" in transport.written
    assert isinstance(transport.protocol, Socket)
    assert host.rooms["lobby"].room.count == 1
    assert len(host.handshakes) == 0


@pytest.mark.parametrize(
    "data", [b"GET /v1/rooms/lobby HTTP/1.1\r\n", b"POST", b"\r\n", b"\x16\x03\x01", b"GET /" + b"x" * 2_000]
)
async def test_all_else_goes_to_uvicorn_with_its_time_running(data: bytes, host: App) -> None:
    """Anything that cannot become a socket of ours is handed over at
    once, and the time for its head runs on.
    """
    front, transport = connection(host)
    front.data_received(data)
    assert isinstance(transport.protocol, UvicornHttp)
    assert len(host.handshakes) == 1 or transport.closed
    transport.protocol.connection_lost(None)
    assert len(host.handshakes) == 0


async def test_a_first_line_that_may_be_ours_is_waited_for(host: App) -> None:
    """As long as the first bytes may begin a handshake nothing is decided."""
    front, transport = connection(host)
    for piece in (b"GET ", b"/v1/rooms/", b"lob"):
        front.data_received(piece)
    assert (transport.protocol, transport.written) == (None, b"")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (head("/v1/rooms/garden/socket", Origin="https://other.example"), 403, "forbidden_origin"),
        (head("/v1/rooms/No%20Room/socket"), 400, "bad_room"),
        (head("/v1/rooms/garden/socket", Content_Length="3"), 400, "bad_request"),
        (head("/v1/rooms/garden/socket", X="y" * 2_000), 431, "headers_too_large"),
        (b"GET /v1/rooms/lobby/socket HTTP/1.1\r\nX: " + b"y" * 2_000, 431, "headers_too_large"),
        (head("/v1/rooms/garden/socket", Connection="close"), 426, "upgrade_required"),
    ],
)
async def test_a_socket_that_is_refused_opens_no_room(data: bytes, status: int, code: str, host: App) -> None:
    """A refused handshake gets a whole HTTP answer, is counted, closes the connection, and opens no room."""
    front, transport = connection(host)
    front.data_received(data)
    assert (transport.status(), transport.code(), transport.closed) == (status, code, True)
    assert (host.counters.refusals[code], list(host.rooms)) == (1, ["lobby"])


async def test_an_upgrade_that_uvicorn_met_keeps_its_protocol(host: App) -> None:
    """Where uvicorn hands an upgrade over, the listener stays its protocol and passes bytes on; a path that
    is not ours is 404.
    """
    front, transport = connection(host, upgrading=True)
    front.data_received(head())
    assert (transport.status(), transport.protocol) == (101, None)
    front.data_received(
        Frame(Opcode.TEXT, b'{"type":"join","visitor":"visitor-0123456789"}').serialize(mask=True)
    )
    assert host.rooms["lobby"].room.count == 1
    front.connection_lost(None)
    assert (host.rooms["lobby"].room.count, host.rooms["lobby"].presence().low) == (1, 0)
    front, transport = connection(host, upgrading=True)
    front.data_received(head("/elsewhere"))
    assert (transport.status(), transport.code()) == (404, "not_found")


async def test_the_app_of_the_document_joins_with_its_address(host: App) -> None:
    """A socket under /api/room is in the default room with its first breath; what is wrong with its query is
    said over the socket or before.
    """
    front, transport = connection(host)
    front.data_received(head("/api/room?sessionId=session-0123456789&mood=release"))
    assert transport.status() == 101
    assert host.rooms["lobby"].presence().moods["release"] == 1
    front, transport = connection(host)
    front.data_received(head("/api/room"))
    assert transport.status() == 400
