"""RFC 6455 from outside: every MUST that concerns a server, asked of a running one over a real socket.

Each test of frames runs twice: with its bytes in one piece, and one by one.

=============  ==============================================================  ========================================
Section        What the server must do                                         Test
=============  ==============================================================  ========================================
4.2.2          answer 101, with the accept value of the key                    test_handshake_is_accepted
4.2.1 item 1   want GET, HTTP/1.1                                              test_bad_handshake_is_refused
4.2.1 item 2   want one Host                                                   test_bad_handshake_is_refused
4.2.1 item 3   want Upgrade: websocket, in any case                            test_bad_handshake_is_refused,
                                                                               test_variant_of_the_handshake_is_accepted
4.2.1 item 4   want Connection to name Upgrade, in any case, in a list         test_bad_handshake_is_refused,
                                                                               test_variant_of_the_handshake_is_accepted
4.2.1 item 5   want a key of 16 bytes in base64, once                          test_bad_handshake_is_refused
4.2.1 item 6,  want version 13, and name it to a client of another version    test_other_version_is_answered_with_ours
4.2.2, 4.4
4.2.1 item 8,  not choose a subprotocol that it does not know                  test_nothing_is_negotiated
4.2.1 item 9,  not choose an extension; we look at none, so that nothing       test_nothing_is_negotiated
9.1            malformed can be received in a negotiation
4.2.1          take a handshake after other requests on a connection           test_handshake_may_follow_other_requests
4.2.1 item 10  ignore other headers                                            test_variant_of_the_handshake_is_accepted
4.2.2 item 4   403 for an origin that is not wanted                            test_bad_input.py
4.2.2 item 4   404 for a resource that is not there                            test_socket_elsewhere_is_not_found
5.1            fail the connection at a frame without a mask                   test_unmasked_frame_fails
5.1, 5.3, 6.2  unmask with any key that came with the frame                    test_any_mask_is_removed
5.1, 5.2, 5.5  send frames unmasked, without reserved bits, of the shortest    every test, as the reader is strict:
               length, control frames whole and at most 125 bytes              test_reader_notices_a_breach
5.2            fail at reserved bits                                           test_reserved_bit_fails
5.2            fail at reserved opcodes                                        test_reserved_opcode_fails
5.2            refuse lengths not in their shortest form, or with the top bit  test_odd_length_fails
5.2            take every length that is legal                                 test_every_length_is_read
5.4            take messages whole and in fragments, empty ones too            test_fragments_make_one_message
5.4            take control frames between fragments                           test_control_frames_between_fragments
5.4            fail at fragments out of order                                  test_fragments_out_of_order_fail
5.5            fail at control frames too long or in fragments                 test_bad_control_frame_fails
5.5.1          answer a close frame with one                                   test_close_is_answered
5.5.1, 7.4     fail at a close frame whose body is no code and reason          test_bad_close_fails
5.5.1, 1.4     ignore what comes after a close frame                           test_nothing_after_a_close_counts
5.5.1          send no data after its own close frame                          test_the_server_closes_with_a_handshake, and read_close
5.5.2          answer a ping with its body, soon                               test_ping_is_answered
5.5.2          answer at least the last of many pings                          test_last_of_many_pings_is_answered
5.5.3          bear a pong that it did not ask for                             test_unsolicited_pong_is_ignored
5.6, 8.1       fail at text that is not UTF-8, also across fragments           test_text_that_is_not_utf8_fails
5.6, 8.1       take UTF-8 that is cut inside a character                       test_character_may_be_cut
5.6, 7.4.1     1003 for binary data, which it cannot take                      test_binary_fails
7.1.1, 7.2.1   end the TCP connection first, and in order                      test_close_is_answered
7.1.7          fail at once, without waiting for a close frame                 every test with read_close()
7.2.1          get over a client that goes without a word                      test_broken_connection_is_survived
10.4           1009 for a frame or message over its limit, before it is here   test_too_big_fails
11.3.1         refuse a key that comes twice                                   test_bad_handshake_is_refused
=============  ==============================================================  ========================================
"""

import itertools
import json
import re
import signal
import socket as sockets
from collections.abc import Iterator

import pytest

from harness import ServerProcess, start_server
from raw_websocket import (
    KEY,
    MASK,
    BreachError,
    Frame,
    Opcode,
    RawSocket,
    Response,
    accept_value,
    decode_frame,
    encode_close,
    encode_frame,
    handshake,
    observe,
    open_socket,
)

pytestmark = pytest.mark.slow

MESSAGE_BYTES_MAX = 70_000
"""Above the default, so that lengths of 16 and of 64 bits have legal uses."""

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = (
    Opcode.TEXT,
    Opcode.BINARY,
    Opcode.CLOSE,
    Opcode.PING,
    Opcode.PONG,
    Opcode.CONTINUATION,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for the whole file, whose log must stay free of failures."""
    server = start_server(
        tmp_path_factory.mktemp("rfc6455") / "room.db",
        "--message-bytes-max",
        str(MESSAGE_BYTES_MAX),
        "--push-ms",
        "20",
    )
    yield server
    assert server.stop() in {0, -signal.SIGTERM}
    log = "\n".join(server.lines)
    assert "Traceback" not in log, log


@pytest.fixture(params=[False, True], ids=["whole", "byte-by-byte"])
def socket(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[RawSocket]:
    """An observer whose bytes travel in one piece, or one by one."""
    with observe(server.port) as socket:
        socket.byte_by_byte = request.param
        yield socket


def heartbeat(number: float, padding: str | bytes = "") -> bytes:
    """Write a message that the server answers with the same number."""
    text = padding.encode() if isinstance(padding, str) else padding
    return b'{"type": "time", "sent_ms": %r, "padding": "%s"}' % (number, text)


def padded_beat(length: int) -> bytes:
    """Write a heartbeat of so many bytes."""
    return heartbeat(1, "x" * (length - len(heartbeat(1))))


def fragments(*parts: bytes) -> bytes:
    """Write one text message as frames, one a part."""
    last = len(parts) - 1
    return b"".join(
        encode_frame(CONTINUATION if i else TEXT, part, fin=i == last) for i, part in enumerate(parts)
    )


def refused(server: ServerProcess, request: bytes) -> Response:
    """Send a handshake that must be refused, and return the answer."""
    with RawSocket(server.port) as client:
        client.send(request)
        response = client.read_response()
    assert 400 <= response.status < 500, response
    assert "sec-websocket-accept" not in response.headers
    return response


# The opening handshake.


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "byte-by-byte"])
@pytest.mark.parametrize("key", [KEY, "AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w=="])
def test_handshake_is_accepted(server: ServerProcess, key: str, *, byte_by_byte: bool) -> None:
    """§4.2.2: the answer is 101 with Upgrade, Connection, and the accept value of the key."""
    with RawSocket(server.port) as client:
        client.byte_by_byte = byte_by_byte
        client.send(handshake(changed={"Sec-WebSocket-Key": key}))
        response = client.read_response()

    assert response.status == 101
    assert response.headers["upgrade"].lower() == "websocket"
    assert response.headers["connection"].lower() == "upgrade"
    assert response.headers["sec-websocket-accept"] == accept_value(key)
    assert accept_value(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the RFC's own example, in §1.3


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            handshake(
                changed={"Connection": None, "Upgrade": None},
                more=[("conNECTION", "UPGRADE"), ("uPgRaDe", "WebSocket")],
            ),
            id="case",
        ),
        pytest.param(handshake(changed={"Connection": "keep-alive, Upgrade"}), id="connection-list"),
        pytest.param(
            handshake(changed={"Connection": "keep-alive ,\t upgrade,foo"}), id="connection-list-with-blanks"
        ),
        pytest.param(
            handshake(changed={"Connection": "keep-alive"}, more=[("Connection", "Upgrade")]),
            id="connection-twice",
        ),
        pytest.param(handshake(more=[("Connection", "keep-alive")]), id="connection-twice-upgrade-first"),
        pytest.param(handshake(changed={"Sec-WebSocket-Key": f"  {KEY}  "}), id="blanks-around-the-key"),
        pytest.param(
            handshake(more=[("X-Unknown", "1"), ("Cookie", "a=b"), ("Authorization", "Basic eA==")]),
            id="other-headers",
        ),
        pytest.param(handshake(path="/v1/rooms/lobby/socket?a=b"), id="query"),
        pytest.param(handshake(changed={"Host": "example.com:8000"}), id="any-host"),
    ],
)
def test_variant_of_the_handshake_is_accepted(server: ServerProcess, request_bytes: bytes) -> None:
    """§4.2.1: names and tokens know no case, Connection is a list, other headers are ignored."""
    with RawSocket(server.port).upgrade(request_bytes) as client:
        client.send(encode_frame(PING, b"there?"))
        assert client.read_frame() == Frame(PONG, b"there?")


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(handshake(method="POST"), id="post"),
        pytest.param(handshake(method="HEAD"), id="head"),
        pytest.param(handshake(version="HTTP/1.0"), id="http-1.0"),
        pytest.param(handshake(changed={"Host": None}), id="no-host"),
        pytest.param(handshake(more=[("Host", "elsewhere")]), id="host-twice"),
        pytest.param(handshake(changed={"Upgrade": None}), id="no-upgrade"),
        pytest.param(handshake(changed={"Upgrade": "h2c"}), id="another-upgrade"),
        pytest.param(handshake(changed={"Upgrade": "websockets"}), id="almost-the-upgrade"),
        pytest.param(handshake(changed={"Connection": None}), id="no-connection"),
        pytest.param(handshake(changed={"Connection": "keep-alive"}), id="connection-without-upgrade"),
        pytest.param(handshake(changed={"Connection": "upgraded"}), id="almost-the-connection"),
        pytest.param(handshake(changed={"Sec-WebSocket-Key": None}), id="no-key"),
        pytest.param(handshake(changed={"Sec-WebSocket-Key": ""}), id="empty-key"),
        pytest.param(handshake(changed={"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub24="}), id="key-of-14-bytes"),
        pytest.param(handshake(changed={"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25j"}), id="key-of-15-bytes"),
        pytest.param(
            handshake(changed={"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZTE="}), id="key-of-17-bytes"
        ),
        pytest.param(
            handshake(changed={"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"}), id="key-without-padding"
        ),
        pytest.param(
            handshake(changed={"Sec-WebSocket-Key": "dGhl!HNhbXBsZSBub25jZQ=="}), id="key-not-base64"
        ),
        pytest.param(
            handshake(changed={"Sec-WebSocket-Key": "dGhl IHNhbXBsZSBub25jZQ=="}), id="key-with-a-blank"
        ),
        pytest.param(
            handshake(changed={"Sec-WebSocket-Key": "dGhl\xe9HNhbXBsZSBub25jZQ=="}), id="key-not-ascii"
        ),
        pytest.param(handshake(more=[("Sec-WebSocket-Key", KEY)]), id="key-twice"),
        pytest.param(handshake(more=[("Content-Length", "5")]) + b"hello", id="body"),
        pytest.param(handshake(more=[("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n", id="chunked-body"),
    ],
)
def test_bad_handshake_is_refused(server: ServerProcess, request_bytes: bytes) -> None:
    """§4.2.1, §11.3.1: a handshake that lacks or bends a required part gets an HTTP error, and no socket."""
    response = refused(server, request_bytes)
    if not request_bytes.startswith(b"HEAD"):
        response.error()


@pytest.mark.parametrize("version", [None, "", "0", "8", "12", "14", "013", "13, 8", "thirteen"])
def test_other_version_is_answered_with_ours(server: ServerProcess, version: str | None) -> None:
    """§4.2.2, §4.4: another version than 13 gets 400 or 426, and the header that names 13."""
    response = refused(server, handshake(changed={"Sec-WebSocket-Version": version}))

    assert response.status in {400, 426}
    assert response.headers["sec-websocket-version"] == "13"
    response.error()


def test_a_plain_get_is_answered_426(server: ServerProcess) -> None:
    """
    §4.2.2, RFC 9110 §15.5.22: a request for the socket's path without a handshake is answered with the
    protocol to use.
    """
    with RawSocket(server.port) as client:
        response = client.request("GET", "/v1/rooms/lobby/socket")

    assert response.status in {400, 426}
    assert response.status == 400 or response.headers["upgrade"].lower() == "websocket"
    response.error()


def test_refused_handshake_does_no_harm_to_the_next(server: ServerProcess) -> None:
    """§4.2.1: on a connection that stays open after a refusal, a right handshake is accepted."""
    with RawSocket(server.port) as client:
        client.send(handshake(changed={"Sec-WebSocket-Version": "8"}))
        response = client.read_response()
        assert response.status in {400, 426}
        if response.headers.get("connection", "").lower() == "close":
            assert client.read_until_end() == b""
        else:
            client.upgrade(handshake())


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "byte-by-byte"])
def test_handshake_may_follow_other_requests(server: ServerProcess, *, byte_by_byte: bool) -> None:
    """
    §4.1, RFC 9110 §7.8: a connection that carried other requests, as proxies keep them, may become a
    WebSocket.
    """
    with RawSocket(server.port) as client:
        client.byte_by_byte = byte_by_byte
        assert client.request("GET", "/v1/rooms/lobby").status == 200
        assert client.request("GET", "/nowhere").status == 404
        client.upgrade(handshake())
        client.send(encode_frame(PING, b"there?"))
        assert client.read_frame() == Frame(PONG, b"there?")
        client.send_message("observe")
        assert client.receive("presence")["room"] == "lobby"
        client.send(fragments(b"", heartbeat(1), b"") + encode_frame(TEXT, b"", rsv=1))
        assert client.receive("time")["sent_ms"] == 1
        assert client.read_close().close_code == 1002


@pytest.mark.parametrize(
    "header",
    [
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Sec-WebSocket-Extensions", "foo, bar; baz=2"),
    ],
)
def test_nothing_is_negotiated(server: ServerProcess, header: tuple[str, str]) -> None:
    """
    §4.2.2, §9.1: no subprotocol and no extension is chosen, with any offer, and the socket works without.
    """
    with RawSocket(server.port) as client:
        client.send(handshake(more=[header]))
        response = client.read_response()
        assert response.status == 101
        assert "sec-websocket-protocol" not in response.headers
        assert "sec-websocket-extensions" not in response.headers

        client.send_message("observe")
        assert client.receive("presence")["room"] == "lobby"


@pytest.mark.parametrize(
    "path", ["/", "/v1/rooms/lobby", "/v1/rooms/lobby/sockets", "/v2/rooms/lobby/socket"]
)
def test_socket_elsewhere_is_not_found(server: ServerProcess, path: str) -> None:
    """§4.2.2 item 4: a handshake for a resource that is no socket gets an HTTP error."""
    assert refused(server, handshake(path=path)).error()["status"] in {400, 404, 426}


# Frames.


@pytest.mark.parametrize(
    "wrong",
    [
        encode_frame(TEXT, heartbeat(1), mask=None),
        encode_frame(PING, b"", mask=None),
        encode_frame(CLOSE, b"\x03\xe8", mask=None),
        encode_frame(TEXT, b"x" * 200, mask=None),
    ],
    ids=["text", "ping", "close", "long"],
)
def test_unmasked_frame_fails(socket: RawSocket, wrong: bytes) -> None:
    """§5.1: a frame without a mask is answered with close 1002."""
    socket.send(wrong)

    assert socket.read_close().close_code == 1002


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x01\x80\xfe", MASK])
def test_any_mask_is_removed(socket: RawSocket, mask: bytes) -> None:
    """§5.3: any mask is right, a different one for every frame too, over lengths of any remainder by four."""
    for size in range(9):
        socket.send(
            encode_frame(PING, bytes(range(size)), mask=mask)
            + encode_frame(TEXT, heartbeat(size, "é" * size))
        )

        assert socket.read_frame() == Frame(PONG, bytes(range(size)))
        assert socket.receive("time")["sent_ms"] == size


@pytest.mark.parametrize("rsv", [1, 2, 4, 7])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_reserved_bit_fails(socket: RawSocket, opcode: int, rsv: int) -> None:
    """§5.2: no extension gives RSV1, RSV2 or RSV3 a meaning: close 1002."""
    socket.send(encode_frame(opcode, b"", rsv=rsv))

    assert socket.read_close().close_code == 1002


def test_reserved_bit_of_a_continuation_fails(socket: RawSocket) -> None:
    """§5.2: the reserved bits are looked at in every frame of a message."""
    socket.send(encode_frame(TEXT, b"{", fin=False) + encode_frame(CONTINUATION, b"}", rsv=4))

    assert socket.read_close().close_code == 1002


@pytest.mark.parametrize("fin", [True, False], ids=["fin", "not-fin"])
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcode_fails(socket: RawSocket, opcode: int, *, fin: bool) -> None:
    """§5.2: opcodes 3 to 7 and 11 to 15 are unknown: close 1002."""
    socket.send(encode_frame(opcode, heartbeat(1) if opcode < 8 else b"", fin=fin))

    assert socket.read_close().close_code == 1002


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(encode_frame(TEXT, heartbeat(1), length_bytes=2), id="short-in-16-bits"),
        pytest.param(encode_frame(TEXT, b"", length_bytes=2), id="empty-in-16-bits"),
        pytest.param(encode_frame(TEXT, heartbeat(1), length_bytes=8), id="short-in-64-bits"),
        pytest.param(encode_frame(TEXT, padded_beat(300), length_bytes=8), id="medium-in-64-bits"),
        pytest.param(encode_frame(TEXT, heartbeat(1), length_bytes=8, declared=1 << 63), id="top-bit"),
        pytest.param(
            encode_frame(TEXT, heartbeat(1), length_bytes=8, declared=(1 << 63) + len(heartbeat(1))),
            id="top-bit-and-length",
        ),
    ],
)
def test_odd_length_fails(socket: RawSocket, wrong: bytes) -> None:
    """§5.2: a length not in its shortest form, or with the top bit of 64, is answered with close 1002."""
    socket.send(wrong)

    assert socket.read_close().close_code == 1002


@pytest.mark.parametrize(
    "length", [60, 124, 125, 126, 127, 128, 255, 256, 4096, 65535, 65536, MESSAGE_BYTES_MAX]
)
def test_every_length_is_read(socket: RawSocket, length: int) -> None:
    """§5.2: messages of every form of length arrive, up to the limit itself."""
    socket.send(encode_frame(TEXT, padded_beat(length)))

    assert socket.receive("time")["sent_ms"] == 1


@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param((0,), id="empty-first"),
        pytest.param((10,), id="two"),
        pytest.param((10, 10, 20), id="empty-middle"),
        pytest.param((100_000,), id="empty-last"),
        pytest.param(tuple(range(1, len(heartbeat(1.5, "é")))), id="one-byte-each"),
    ],
)
def test_fragments_make_one_message(socket: RawSocket, cuts: tuple[int, ...]) -> None:
    """§5.4: a message in any number of fragments, some of them empty, is one message."""
    text = heartbeat(1.5, "é")
    edges = [0, *(min(cut, len(text)) for cut in cuts), len(text)]
    socket.send(fragments(*(text[start:end] for start, end in itertools.pairwise(edges))))

    assert socket.receive("time")["sent_ms"] == 1.5

    socket.send(encode_frame(TEXT, heartbeat(2)))
    assert socket.receive("time")["sent_ms"] == 2, "the next message starts afresh"


def test_control_frames_between_fragments(socket: RawSocket) -> None:
    """
    §5.4, §5.5: pings and pongs between the fragments of a message are served at once and do not disturb it.
    """
    text = heartbeat(3)
    socket.send(encode_frame(TEXT, text[:7], fin=False) + encode_frame(PING, b"one"))
    assert socket.read_frame() == Frame(PONG, b"one")

    socket.send(
        encode_frame(CONTINUATION, text[7:9], fin=False)
        + encode_frame(PONG, b"?")
        + encode_frame(PING, b"two")
    )
    assert socket.read_frame() == Frame(PONG, b"two")

    socket.send(encode_frame(CONTINUATION, text[9:]))
    assert socket.receive("time")["sent_ms"] == 3


def test_close_between_fragments(socket: RawSocket) -> None:
    """
    §5.4, §5.5.1: a close frame in the middle of a message is answered: like any other, or as a message cut
    short.
    """
    socket.send(encode_frame(TEXT, b'{"type"', fin=False) + encode_close(1000))

    assert socket.read_close().close_code in {1000, 1002}


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(encode_frame(CONTINUATION, heartbeat(1)), id="continuation-first"),
        pytest.param(encode_frame(CONTINUATION, b"", fin=False), id="empty-continuation-first"),
        pytest.param(encode_frame(TEXT, b"{", fin=False) + encode_frame(TEXT, b"}"), id="text-in-a-text"),
        pytest.param(
            encode_frame(TEXT, b"", fin=False) + encode_frame(TEXT, b""), id="text-in-an-empty-text"
        ),
        pytest.param(
            encode_frame(TEXT, b"{", fin=False) + encode_frame(TEXT, b"}", fin=False), id="start-in-a-text"
        ),
        pytest.param(
            fragments(b"{", b"}") + encode_frame(CONTINUATION, b""), id="continuation-after-the-last"
        ),
    ],
)
def test_fragments_out_of_order_fail(socket: RawSocket, wrong: bytes) -> None:
    """§5.4: a continuation of nothing, and a new message within another, are answered with close 1002."""
    socket.send(wrong)

    assert socket.read_close().close_code == 1002


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("how", ["126-bytes", "64-bit-length", "not-fin"])
def test_bad_control_frame_fails(socket: RawSocket, opcode: Opcode, how: str) -> None:
    """§5.5: a control frame of more than 125 bytes, or in fragments, is answered with close 1002."""
    body = b"\x03\xe8" + b"x" * 124
    socket.send(
        {
            "126-bytes": encode_frame(opcode, body),
            "64-bit-length": encode_frame(opcode, body * 530),
            "not-fin": encode_frame(opcode, body[:2], fin=False),
        }[how]
    )

    assert socket.read_close().close_code == 1002


# Closing.


@pytest.mark.parametrize(
    "code",
    [None, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999],
)
def test_close_is_answered(socket: RawSocket, code: int | None) -> None:
    """
    §5.5.1, §7.1.1: a close frame is answered by one with its code, and the server ends TCP, in order, by
    itself.
    """
    socket.send(encode_frame(CLOSE) if code is None else encode_close(code, "bye"))
    answer = socket.read_close()

    assert answer.close_code == code or (code is None and answer.close_code == 1000)
    assert not socket.was_reset


@pytest.mark.parametrize("reason", [b"", "réason ✓".encode(), b"x" * 123], ids=["none", "utf8", "123-bytes"])
def test_reason_may_be_given(socket: RawSocket, reason: bytes) -> None:
    """§5.5.1: a reason of any UTF-8 up to 123 bytes is fine."""
    socket.send(encode_close(1000, reason))

    assert socket.read_close().close_code == 1000


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        pytest.param(b"\x03", {1002}, id="one-byte"),
        *(
            pytest.param(code.to_bytes(2, "big"), {1002}, id=str(code))
            for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        ),
        pytest.param(b"\x03\xe8\xff", {1002, 1007}, id="reason-not-utf8"),
        pytest.param(b"\x03\xe8caf\xc3", {1002, 1007}, id="reason-cut"),
        pytest.param(b"\x03\xe8\xed\xa0\x80", {1002, 1007}, id="reason-surrogate"),
    ],
)
def test_bad_close_fails(socket: RawSocket, body: bytes, codes: set[int]) -> None:
    """
    §5.5.1, §7.4: a body of one byte, a code that may not be sent, a reason that is no UTF-8: close 1002 or
    1007.
    """
    socket.send(encode_frame(CLOSE, body))

    assert socket.read_close().close_code in codes


def test_nothing_after_a_close_counts(socket: RawSocket) -> None:
    """§5.5.1: what follows a close frame is neither answered nor acted upon."""
    socket.send(
        encode_close(1000)
        + encode_frame(PING, b"still there?")
        + encode_frame(TEXT, heartbeat(1))
        + b"\xff" * 20
    )

    assert socket.read_frame() == Frame(CLOSE, b"\x03\xe8")
    assert socket.read_until_end() == b""


def test_the_server_closes_with_a_handshake(socket: RawSocket) -> None:
    """
    §5.5.1, §7.1.1: when the server closes first, it waits for our close, sends no more data, and ends TCP
    itself.
    """
    socket.send_message("leave")
    assert socket.read_frame() == Frame(CLOSE, b"\x03\xe8")

    socket.send(encode_frame(TEXT, heartbeat(1)) + encode_frame(PING, b"?") + encode_close(1000))
    # §5.5.2 asks for pongs until the other side's close frame came; that is too late for sense, and either is
    # right.
    assert socket.read_until_end() in {b"", encode_frame(PONG, b"?", mask=None)}
    assert not socket.was_reset


def test_server_does_not_wait_for_ever_for_a_close(server: ServerProcess) -> None:
    """§7.1.1: the server ends a connection whose client never answers its close frame."""
    with observe(server.port) as socket:
        socket.send_message("leave")

        assert socket.read_close_frame().close_code == 1000
        assert socket.read_until_end(within_s=15) == b""


# Pings.


@pytest.mark.parametrize("body", [b"", b"x", bytes(125), b"\xff\xfe", bytes(range(125))])
def test_ping_is_answered(socket: RawSocket, body: bytes) -> None:
    """§5.5.2: a ping is answered by a pong with the same bytes, of any length."""
    socket.send(encode_frame(PING, body))

    assert socket.read_frame() == Frame(PONG, body)


def test_ping_is_answered_before_the_first_message(server: ServerProcess) -> None:
    """§5.5.2: the connection is open, and pings are answered, before any message of the protocol."""
    with open_socket(server.port) as socket:
        socket.send(encode_frame(PING, b"early"))
        assert socket.read_frame() == Frame(PONG, b"early")


def test_last_of_many_pings_is_answered(socket: RawSocket) -> None:
    """§5.5.2: of many pings at once at least the last is answered, and the pongs come in order."""
    socket.send(b"".join(encode_frame(PING, b"%d" % number) for number in range(200)))

    received = -1
    while received < 199:
        pong = socket.read_frame()
        assert pong is not None
        assert pong.opcode == PONG
        assert int(pong.payload) > received
        received = int(pong.payload)


def test_unsolicited_pong_is_ignored(socket: RawSocket) -> None:
    """§5.5.3: unsolicited pongs have no effect."""
    socket.send(encode_frame(PONG) + encode_frame(PONG, b"x" * 125) + encode_frame(TEXT, heartbeat(4)))

    assert socket.receive("time")["sent_ms"] == 4


# Text.

NOT_UTF8 = {
    "lone-continuation": b"\x80",
    "lone-start": b"\xc3",
    "overlong-slash": b"\xc0\xaf",
    "overlong-null": b"\xe0\x80\x80",
    "surrogate": b"\xed\xa0\x80",
    "above-10ffff": b"\xf4\x90\x80\x80",
    "five-bytes": b"\xf8\x88\x80\x80\x80",
    "ff": b"\xff",
    "latin-1": b"caf\xe9 ",
}


@pytest.mark.parametrize("split", [False, True], ids=["one-frame", "fragments"])
@pytest.mark.parametrize("wrong", NOT_UTF8.values(), ids=NOT_UTF8)
def test_text_that_is_not_utf8_fails(socket: RawSocket, wrong: bytes, *, split: bool) -> None:
    """§5.6, §8.1: bytes that are not UTF-8 are answered with close 1007, also when they span fragments."""
    text = heartbeat(1, wrong)
    socket.send(fragments(*(bytes([byte]) for byte in text)) if split else encode_frame(TEXT, text))

    assert socket.read_close().close_code == 1007


def test_text_that_ends_in_a_character_fails(socket: RawSocket) -> None:
    """§8.1: a message whose last character is not whole is not UTF-8, though every fragment might go on."""
    socket.send(fragments(b'"caf', b"\xc3"))

    assert socket.read_close().close_code == 1007


@pytest.mark.parametrize("character", ["é", "€", "😀", "\U0010ffff", "\u0000", "\ufeff"])
def test_character_may_be_cut(socket: RawSocket, character: str) -> None:
    """§5.6: fragments may cut a message inside a character, with control frames in the cut."""
    text = json.dumps(
        {"type": "time", "sent_ms": 5, "padding": character}, ensure_ascii=character == "\0"
    ).encode()
    cut = text.index(b'"padding": "') + len(b'"padding": "') + 1
    socket.send(
        encode_frame(TEXT, text[:cut], fin=False)
        + encode_frame(PING, b"\xff")
        + encode_frame(CONTINUATION, text[cut : cut + 1], fin=False)
        + encode_frame(CONTINUATION, text[cut + 1 :])
    )

    assert socket.read_frame() == Frame(PONG, b"\xff")
    assert socket.receive("time")["sent_ms"] == 5


def test_binary_within_a_text_fails(socket: RawSocket) -> None:
    """§5.4, §7.4.1: a binary message within a text is wrong in two ways, and either may be named."""
    socket.send(encode_frame(TEXT, b"{", fin=False) + encode_frame(BINARY, b"}"))

    assert socket.read_close().close_code in {1002, 1003}


@pytest.mark.parametrize(
    "wrong",
    [
        encode_frame(BINARY, heartbeat(1)),
        encode_frame(BINARY),
        encode_frame(BINARY, heartbeat(1), fin=False) + encode_frame(CONTINUATION),
    ],
    ids=["whole", "empty", "fragments"],
)
def test_binary_fails(socket: RawSocket, wrong: bytes) -> None:
    """§5.6, §7.4.1: binary data is nothing that we can take: close 1003."""
    socket.send(wrong)

    assert socket.read_close().close_code == 1003


# Limits, and ends without a close.


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(encode_frame(TEXT, b"", declared=MESSAGE_BYTES_MAX + 1), id="one-too-many"),
        pytest.param(encode_frame(TEXT, b"", declared=(1 << 63) - 1), id="2^63-1"),
        pytest.param(
            encode_frame(TEXT, b"x" * 1000, fin=False)
            + encode_frame(CONTINUATION, b"", declared=MESSAGE_BYTES_MAX - 999),
            id="over-in-fragments",
        ),
        pytest.param(
            fragments(*[b"x" * (MESSAGE_BYTES_MAX // 10)] * 11)[:-6000],
            id="many-fragments",
        ),
    ],
)
def test_too_big_fails(socket: RawSocket, wrong: bytes) -> None:
    """§10.4: a message above the limit is answered with close 1009 as soon as its length is known."""
    socket.send(wrong)

    assert socket.read_close().close_code == 1009


def test_broken_connection_is_survived(socket: RawSocket, server: ServerProcess) -> None:
    """§7.2.1: a stream that ends within a frame, in order or by a reset, leaves nothing behind."""
    socket.send(encode_frame(TEXT, heartbeat(1))[:9])
    socket.tcp.shutdown(sockets.SHUT_WR)
    socket.read_until_end()

    with observe(server.port) as other:
        other.send(encode_frame(TEXT, heartbeat(1))[:9])
        # Linger of 0 s makes close() a reset.
        other.tcp.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with observe(server.port) as other:
        other.send(encode_frame(PING, b"all well?"))
        assert other.read_frame() == Frame(PONG, b"all well?")


# The tests themselves.


@pytest.mark.parametrize(
    "wrong",
    [
        encode_frame(TEXT, b"{}"),
        encode_frame(TEXT, b"{}", mask=None, rsv=4),
        encode_frame(3, b"", mask=None),
        encode_frame(TEXT, b"{}", mask=None, length_bytes=2),
        encode_frame(TEXT, b"x" * 126, mask=None, length_bytes=8),
        encode_frame(TEXT, b"\xff", mask=None),
        encode_frame(PING, b"x" * 126, mask=None),
        encode_frame(PING, b"", fin=False, mask=None),
        encode_frame(CLOSE, b"\x03", mask=None),
        encode_frame(CLOSE, b"\x03\xee", mask=None),
        encode_frame(CLOSE, b"\x03\xe8\xff", mask=None),
    ],
    ids=[
        "masked",
        "reserved-bit",
        "reserved-opcode",
        "length-in-16-bits",
        "length-in-64-bits",
        "not-utf8",
        "long-control",
        "control-in-fragments",
        "close-of-one-byte",
        "close-1006",
        "close-reason",
    ],
)
def test_reader_notices_a_breach(wrong: bytes) -> None:
    """The reader of these tests refuses every frame that a server must not send."""
    with pytest.raises(BreachError):
        decode_frame(wrong)


def test_reader_reads_what_is_right() -> None:
    """The reader takes every legal frame, and waits for those that are not whole."""
    for size in (0, 1, 125, 126, 65535, 65536):
        data = encode_frame(TEXT, b"x" * size, mask=None)
        assert decode_frame(data) == (Frame(TEXT, b"x" * size), len(data))
        assert decode_frame(data[:-1]) is None


def test_table_is_complete() -> None:
    """The table at the head of this file names tests that exist."""
    named = set(re.findall(r"test_\w+(?!\.py)\b", __doc__ or "")) - {"test_bad_input"}

    assert named
    assert named <= set(globals())
