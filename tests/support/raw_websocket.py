"""A client that can send any bytes, and reads the answers as strictly as RFC 6455 allows.

The libraries cannot test a server's manners towards bad clients: they refuse to send what is wrong, and
forgive what comes back wrong. Here nothing is refused and nothing forgiven. Everything blocks, with a time
limit, so that a test reads as a dialogue.
"""

import base64
import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, Self

PATIENCE_S = 5.0
"""How long an answer may take on a busy machine before it counts as absent."""

AT_ONCE_S = 1.5
"""How long "at once" may take on such a machine: less than a server would wait for a closing handshake."""

BYTE_PAUSE_S = 0.000_1
"""Between single bytes, so that the server mostly reads them one by one; nothing depends on it."""

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The sample key of RFC 6455, section 1.3."""

MASK = b"\x37\xfa\x21\x3d"
"""The sample mask of RFC 6455, section 5.7."""

VISITOR = "visitor-0123456789"

Message = dict[str, Any]


class BreachError(AssertionError):
    """The server sent what RFC 6455 forbids."""


class Opcode(IntEnum):
    """The defined opcodes (section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Frame(NamedTuple):
    """A frame as it was read."""

    opcode: Opcode
    payload: bytes = b""
    fin: bool = True

    @property
    def close_code(self) -> int | None:
        """The code of a close frame; None when it has no body."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


@dataclass(frozen=True)
class Response:
    """An HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def error(self) -> Message:
        """Check that the response is an error of the one shape, and return its content."""
        assert self.headers.get("content-type", "").startswith("application/json"), self
        document = json.loads(self.body)
        assert list(document) == ["error"], document
        error = check_error(document["error"])
        assert error["status"] == self.status, (error, self.status)
        return error


def check_error(error: Message) -> Message:
    """Check the content of an error message or body: a code, a sentence and an HTTP status."""
    assert set(error) == {"code", "message", "status"}, error
    assert isinstance(error["code"], str)
    assert error["code"].replace("_", "").isalpha(), error
    assert error["code"].islower(), error
    assert isinstance(error["message"], str)
    assert len(error["message"]) >= len("bad room"), error
    assert 400 <= error["status"] < 600, error
    return error


def encode_frame(
    opcode: int,
    payload: bytes | str = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length_bytes: int | None = None,
    declared: int | None = None,
) -> bytes:
    """Build a frame, legal or not.

    Args:
        opcode: 0 to 15.
        payload: As it is before masking; text is encoded as UTF-8.
        fin: Whether it is the last of its message.
        rsv: The three reserved bits, RSV1 the highest.
        mask: Four bytes, or None for a frame without a mask.
        length_bytes: 0, 2 or 8 bytes of extended length; the shortest form that fits when None.
        declared: The length that the header claims, when it is not the payload's.
    """
    if isinstance(payload, str):
        payload = payload.encode()
    length = len(payload) if declared is None else declared
    if length_bytes is None:
        length_bytes = 0 if length <= 125 else 2 if length <= 0xFFFF else 8
    indicator = {0: length, 2: 126, 8: 127}[length_bytes]
    head = bytes([fin << 7 | rsv << 4 | opcode, (mask is not None) << 7 | indicator])
    head += length.to_bytes(length_bytes, "big") if length_bytes else b""
    return head + (payload if mask is None else mask + apply_mask(payload, mask))


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask (section 5.3)."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def encode_close(code: int, reason: bytes | str = b"") -> bytes:
    """Build a close frame with a code, legal or not."""
    return encode_frame(
        Opcode.CLOSE, code.to_bytes(2, "big") + (reason.encode() if isinstance(reason, str) else reason)
    )


def decode_frame(data: bytes | bytearray) -> tuple[Frame, int] | None:
    """Read one frame of a server and how many bytes it took; None: more bytes are needed.

    Raises:
        BreachError: It is not a frame that a server without extensions may send.
    """
    if len(data) < 2:
        return None
    if data[0] & 0x70:
        raise BreachError(f"a reserved bit is set: {data[:2].hex()}")
    try:
        opcode = Opcode(data[0] & 0x0F)
    except ValueError:
        raise BreachError(f"reserved opcode {data[0] & 0x0F}") from None
    fin = bool(data[0] & 0x80)
    if data[1] & 0x80:
        raise BreachError("a server must not mask")
    length, start = data[1], 2
    if length >= 126:
        start = 4 if length == 126 else 10
        if len(data) < start:
            return None
        length = int.from_bytes(data[2:start], "big")
        if not (126 <= length <= 0xFFFF if start == 4 else 0xFFFF < length < 1 << 63):
            raise BreachError(f"{length} is written in {start - 2} bytes, which is not its shortest form")
    if opcode >= Opcode.CLOSE and (not fin or length > 125):
        raise BreachError(f"a control frame of {length} bytes, fin={fin}")
    if len(data) < start + length:
        return None
    frame = Frame(opcode, bytes(data[start : start + length]), fin)
    check_payload(frame)
    return frame, start + length


def check_payload(frame: Frame) -> None:
    """Check a frame's body against RFC 6455."""
    try:
        if frame.opcode == Opcode.TEXT and frame.fin:
            frame.payload.decode()
        if frame.opcode == Opcode.CLOSE:
            frame.payload[2:].decode()
    except UnicodeDecodeError as error:
        raise BreachError(f"text that is not UTF-8: {error}") from None
    if frame.opcode == Opcode.CLOSE and frame.close_code is not None:
        code = frame.close_code
        if len(frame.payload) == 1 or not may_be_sent(code):
            raise BreachError(f"a close frame whose body is {frame.payload!r}")


def may_be_sent(close_code: int) -> bool:
    """Whether a code may stand in a close frame (section 7.4; 1012 to 1014 are IANA's)."""
    return 3000 <= close_code <= 4999 or (1000 <= close_code <= 1014 and close_code not in {1004, 1005, 1006})


def accept_value(key: str) -> str:
    """Return the answer to a key (section 4.2.2, item 5.4)."""
    digest = hashlib.sha1(
        f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False
    ).digest()
    return base64.b64encode(digest).decode()


def handshake(
    room: str = "lobby",
    *,
    path: str | None = None,
    method: str = "GET",
    version: str = "HTTP/1.1",
    changed: Mapping[str, str | None] | None = None,
    more: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Build an opening handshake, legal or not.

    Args:
        room: The room whose socket is asked for.
        path: The whole path, instead of a room.
        method: Instead of GET.
        version: Instead of HTTP/1.1.
        changed: Headers with another value, or without (None).
        more: Header lines to add.
    """
    headers: dict[str, str | None] = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        **(changed or {}),
    }
    lines = [f"{method} {path or f'/v1/rooms/{room}/socket'} {version}"]
    lines += [f"{name}: {value}" for name, value in [*headers.items(), *more] if value is not None]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class RawSocket:
    """A TCP connection to a server: first HTTP, then, after `upgrade`, WebSocket."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self.tcp = socket.socket()
        if receive_buffer_bytes:
            # Before connecting, or the window has been promised already.
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.tcp.settimeout(PATIENCE_S)
        self.tcp.connect(("127.0.0.1", port))
        self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.byte_by_byte = False
        self.was_reset = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tcp.close()

    # Sending.

    def send(self, data: bytes) -> None:
        """Send bytes, in one piece or one by one.

        A server that closed meanwhile is no error: its close frame has the reason.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in single_bytes(data) if self.byte_by_byte else [data]:
                self.tcp.sendall(piece)
                if self.byte_by_byte:
                    time.sleep(BYTE_PAUSE_S)

    def send_text(self, text: str | bytes) -> None:
        """Send a text message in one frame."""
        self.send(encode_frame(Opcode.TEXT, text))

    def send_message(self, kind: str, **fields: Any) -> None:
        """Send a message of the protocol."""
        self.send_text(json.dumps({"type": kind, **fields}))

    # Reading.

    def read_more(self, deadline_s: float) -> bool:
        """Wait for more bytes; False at the end of the stream.

        Raises:
            TimeoutError: Nothing came before the deadline.
        """
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.tcp.settimeout(left_s)
        try:
            data = self.tcp.recv(1 << 16)
        except ConnectionResetError:
            self.was_reset = True
            return False
        finally:
            self.tcp.settimeout(PATIENCE_S)
        self.buffer += data
        return bool(data)

    def read_until_end(self, within_s: float = PATIENCE_S) -> bytes:
        """Read until the server ends the stream.

        Raises:
            TimeoutError: It did not.
        """
        deadline_s = time.monotonic() + within_s
        while self.read_more(deadline_s):
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def read_response(self, within_s: float = PATIENCE_S) -> Response:
        """Read one HTTP response whose body, if any, has a Content-Length."""
        deadline_s = time.monotonic() + within_s
        while b"\r\n\r\n" not in self.buffer:
            assert self.read_more(deadline_s), f"the stream ended within a response: {bytes(self.buffer)!r}"
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = status_line.split(" ", 2)
        assert version == "HTTP/1.1", status_line
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self.buffer = bytearray(rest)
        length = 0 if int(status) in {101, 204, 304} else int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            assert self.read_more(deadline_s), "the stream ended within a body"
        body = bytes(self.buffer[:length])
        del self.buffer[:length]
        return Response(int(status), headers, body)

    def request(
        self, method: str, path: str, body: bytes | Message = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a whole HTTP request, JSON when the body is a dictionary, and read the response."""
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        sent = {
            "Host": "127.0.0.1",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        if method in {"GET", "HEAD"} and not body:
            del sent["Content-Type"], sent["Content-Length"]
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + body)
        return self.read_response()

    def upgrade(self, request: bytes) -> Self:
        """Upgrade to a WebSocket."""
        self.send(request)
        response = self.read_response()
        assert response.status == 101, response
        return self

    def read_frame(self, within_s: float = PATIENCE_S) -> Frame | None:
        """Read one frame; None at the end of the stream.

        Raises:
            BreachError: It is not a legal frame, or the stream ended within one.
            TimeoutError: None came.
        """
        deadline_s = time.monotonic() + within_s
        while (found := decode_frame(self.buffer)) is None:
            if not self.read_more(deadline_s):
                if self.buffer:
                    raise BreachError(f"the stream ended within a frame: {bytes(self.buffer)!r}")
                return None
        frame, length = found
        del self.buffer[:length]
        return frame

    def read_message(self, within_s: float = PATIENCE_S) -> Message:
        """Read one message of the protocol, answering pings on the way."""
        deadline_s = time.monotonic() + within_s
        while True:
            frame = self.read_frame(deadline_s - time.monotonic())
            if frame is not None and frame.opcode == Opcode.PING:
                self.send(encode_frame(Opcode.PONG, frame.payload))
                continue
            assert frame is not None, "the stream ended where a message was due"
            assert (frame.opcode, frame.fin) == (Opcode.TEXT, True), f"a message was due: {frame}"
            message = json.loads(frame.payload, parse_constant=refuse_constant)
            assert isinstance(message, dict), message
            return message

    def receive(
        self, kind: str, where: Callable[[Message], bool] = lambda _: True, *, within_s: float = PATIENCE_S
    ) -> Message:
        """Read until a message of this type of which `where` is true; only presence may come before."""
        deadline_s = time.monotonic() + within_s
        while True:
            message = self.read_message(deadline_s - time.monotonic())
            if message["type"] == kind and where(message):
                return message
            assert message["type"] == "presence", f"{kind} was due: {message}"

    def receive_error(self) -> Message:
        """Read an error message and return its content."""
        message = self.receive("error")
        assert set(message) == {"type", "error"}, message
        return check_error(message["error"])

    def read_close_frame(self, within_s: float = PATIENCE_S) -> Frame:
        """Read until a close frame, with any messages before it."""
        deadline_s = time.monotonic() + within_s
        while (frame := self.read_frame(deadline_s - time.monotonic())) is not None:
            if frame.opcode == Opcode.CLOSE:
                return frame
        raise AssertionError("the stream ended without a close frame")

    def shut(self) -> None:
        """End the sending side of the stream; a server that closed meanwhile is no error."""
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_WR)

    def read_close(self, *, answer: bool = False) -> Frame:
        """Read until a close frame, with any messages before it, and then the end of the stream.

        Args:
            answer: Send a close frame back, as a client must whose server closes gracefully. One that broke
                the protocol is not waited for (section 7.1.7), so that without an answer the stream must end
                at once.
        """
        frame = self.read_close_frame()
        if answer:
            self.send(encode_frame(Opcode.CLOSE, frame.payload))
        rest = self.read_until_end(PATIENCE_S if answer else AT_ONCE_S)
        assert not rest, f"after its close frame the server sent {rest!r}"
        return frame


def refuse_constant(name: str) -> float:
    """Raise: NaN and Infinity are no JSON."""
    raise BreachError(f"{name} is not JSON")


def single_bytes(data: bytes) -> Iterator[bytes]:
    """Cut into single bytes; the middle of much data into pieces of a
    prime size, or it would take minutes.
    """
    edge, piece = 300, 997
    middle_end = max(edge, len(data) - edge)
    yield from (data[i : i + 1] for i in range(min(edge, len(data))))
    yield from (data[i : min(i + piece, middle_end)] for i in range(edge, middle_end, piece))
    yield from (data[i : i + 1] for i in range(middle_end, len(data)))


def open_socket(port: int, room: str = "lobby", *, receive_buffer_bytes: int | None = None) -> RawSocket:
    """Connect and upgrade to a WebSocket, without a message."""
    return RawSocket(port, receive_buffer_bytes=receive_buffer_bytes).upgrade(handshake(room))


def join(port: int, room: str = "lobby", *, visitor: str = VISITOR, mood: str | None = None) -> RawSocket:
    """Connect and join; the answer has been read."""
    person = open_socket(port, room)
    person.send_message("join", visitor=visitor, **({} if mood is None else {"mood": mood}))
    person.receive("presence")
    return person


def observe(port: int, room: str = "lobby") -> RawSocket:
    """Connect and observe; the answer has been read."""
    observer = open_socket(port, room)
    observer.send_message("observe")
    observer.receive("presence")
    return observer


def get_presence(port: int, room: str = "lobby") -> Message:
    """Read the presence over HTTP."""
    with RawSocket(port) as client:
        response = client.request("GET", f"/v1/rooms/{room}")
    assert response.status == 200, response
    presence = json.loads(response.body)
    assert isinstance(presence, dict)
    return presence


def await_presence(
    port: int, room: str, where: Callable[[Message], bool], *, within_s: float = PATIENCE_S
) -> Message:
    """Read the presence over HTTP until `where` is true."""
    deadline_s = time.monotonic() + within_s
    while not where(presence := get_presence(port, room)):
        assert time.monotonic() < deadline_s, f"still {presence}"
        time.sleep(0.01)
    return presence
