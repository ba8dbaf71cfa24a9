"""Bad input of every kind: a clear error for the client that sent it, and no effect on other clients.

In nearly every test a bystander sits in the same room. Afterwards a newcomer comes and goes, and the
bystander must hear of both, soon, with the count and the moods right: that is what "no effect" means here.
"""

import contextlib
import json
import os
import re
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import ServerProcess, start_server
from raw_websocket import (
    VISITOR,
    Message,
    Opcode,
    RawSocket,
    encode_frame,
    get_presence,
    handshake,
    join,
    observe,
    open_socket,
)

pytestmark = pytest.mark.slow

MEGABYTE = 1 << 20

HANDSHAKE_MS = 400
JOIN_MS = 400
SLOW_READER_MS = 3_000
LEASE_MS = 900

BEAT = "/v1/rooms/lobby/heartbeat"
LEAVE = "/v1/rooms/lobby/leave"

GOOD = "https://good.example"
ROOMS_MAX = 20

LONG_MOODS = [f"mood-{number:02}-{'x' * 24}" for number in range(32)]
"""As many and as long as may be, for large presences."""


def started(tmp_path_factory: pytest.TempPathFactory, *flags: str) -> Iterator[ServerProcess]:
    """Run a server, which at the end must stop in order and have nothing to complain of in its log."""
    server = start_server(
        tmp_path_factory.mktemp("bad-input") / "room.db", "--push-ms", "20", "--grace-ms", "300", *flags
    )
    yield server
    assert server.stop() in {0, -signal.SIGTERM}
    log = "\n".join(server.lines)
    assert "Traceback" not in log, log


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with room for a bystander."""
    yield from started(tmp_path_factory)


@pytest.fixture(scope="module")
def hasty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that broadcasts without delay, and whose presences are long."""
    yield from started(
        tmp_path_factory,
        *(
            "--handshake-ms",
            str(HANDSHAKE_MS),
            "--join-ms",
            str(JOIN_MS),
            "--slow-reader-ms",
            str(SLOW_READER_MS),
        ),
        *("--moods", ",".join(LONG_MOODS)),
    )


@pytest.fixture(scope="module")
def fenced_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for one site only, with few rooms for one address."""
    yield from started(
        tmp_path_factory,
        *("--origins", GOOD, "--rooms-per-prefix-max", str(ROOMS_MAX), "--connections-per-visitor-max", "3"),
    )


@pytest.fixture(scope="module")
def short_lease_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with short leases."""
    yield from started(tmp_path_factory, "--lease-ms", str(LEASE_MS))


@contextlib.contextmanager
def unharmed(
    port: int, room: str = "lobby", moods: tuple[str, str] = ("release", "connection")
) -> Iterator[RawSocket]:
    """Let a bystander sit in a room while something happens, and then check that nothing is wrong with it."""
    own, other = moods
    with join(port, room, visitor="bystander-0123456789", mood=own) as bystander:
        yield bystander
        with join(port, room, visitor="newcomer-0123456789", mood=other) as newcomer:
            bystander.receive("presence", lambda presence: felt(presence) == {own: 1, other: 1}, within_s=2)
            close_normally(newcomer)
        bystander.receive("presence", lambda presence: felt(presence) == {own: 1}, within_s=2)
        assert felt(get_presence(port, room)) == {own: 1}
        close_normally(bystander)


def felt(presence: Message) -> dict[str, int]:
    """Return the moods of the visitors, if the count is exact and they are all of it."""
    assert presence["low"] <= presence["count"] <= presence["high"]
    moods = {mood: people for mood, people in presence["moods"].items() if people}
    return moods if presence["low"] == presence["high"] == sum(moods.values()) else {}


def close_normally(person: RawSocket) -> None:
    """Leave, and see the connection end."""
    person.send_message("leave")
    assert person.read_close(answer=True).close_code == 1000


def memory_bytes(server: ServerProcess) -> int:
    """The server's resident memory."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def bystander(server: ServerProcess) -> Iterator[RawSocket]:
    """A visitor in the lobby who must not notice anything."""
    try:
        with unharmed(server.port) as bystander:
            yield bystander
    finally:
        # A visitor who was admitted by mistake stays for minutes, and would fail the tests that follow as
        # well.
        with RawSocket(server.port) as client:
            client.request("POST", LEAVE, {"visitor": VISITOR})


# Messages on a socket.

DEEP = "[" * 2000

NOT_A_MESSAGE = {
    "empty": "",
    "word": "hello",
    "brace": "{",
    "cut": '{"type": "observe"',
    "single-quotes": "{'type': 'observe'}",
    "twice": '{"type": "observe"} {"type": "observe"}',
    "trailing-comma": '{"type": "observe",}',
    "utf-16": "\0".join('{"type": "observe"}') + "\0",
    "nul": '{"type": "observe"}\0',
    "control-character": '{"type": "observe", "note": "\x01"}',
    "array": "[]",
    "string": '"observe"',
    "number": "1",
    "null": "null",
    "true": "true",
    "nan": "NaN",
    "deep": DEEP,
    "deep-and-closed": "[" * 2000 + "]" * 2000,
    "deep-object": '{"a":' * 700,
    "deep-inside": '{"type": "observe", "note": ' + DEEP,
    "huge-number": "9" * 4000,
    "no-type": "{}",
    "type-null": '{"type": null}',
    "type-number": '{"type": 1}',
    "type-array": '{"type": ["observe"]}',
    "type-object": '{"type": {}}',
    "type-unknown": '{"type": "subscribe"}',
    "type-empty": '{"type": ""}',
    "type-case": '{"type": "Observe"}',
    "type-blank": '{"type": "observe "}',
    "type-long": '{"type": "' + "x" * 3000 + '"}',
    "type-surrogate": '{"type": "\\ud800"}',
    "type-nul": '{"type": "observe\\u0000"}',
    "server-s-own": '{"type": "presence"}',
}

BAD_VISITOR: dict[str, object] = {
    "null": None,
    "number": 1234567890123456,
    "array": [VISITOR],
    "object": {"id": VISITOR},
    "true": True,
    "empty": "",
    "short": "x" * 15,
    "long": "x" * 65,
    "very-long": "x" * 3000,
    "blank": "visitor 0123456789",
    "newline": VISITOR + "\n",
    "nul": VISITOR + "\0",
    "dots": "../../../../../etc",
    "accent": "visiteur-0123456é",
    "other-digits": "visitor-" + "\u0663" * 10,
    "surrogate": "visitor-01234567\ud800",
}

BAD_MOOD: dict[str, object] = {
    "number": 1,
    "array": ["release"],
    "object": {},
    "true": True,
    "empty": "",
    "unknown": "schadenfreude",
    "case": "Release",
    "blank": "release ",
    "newline": "release\n",
    "nul": "release\0",
    "long": "release" * 400,
    "surrogate": "\udcff",
    "dunder": "__class__",
}

BAD_SENT = {
    "string": '"12"',
    "true": "true",
    "array": "[1]",
    "object": "{}",
    "nan": "NaN",
    "infinity": "Infinity",
    "minus-infinity": "-Infinity",
    "overflow": "1e999",
    "huge": "9" * 4000,
    "hex": "0x10",
    "leading-zero": "01",
}


def check_error_only(socket: RawSocket, text: str) -> Message:
    """Send a bad message: an error must come, and the connection must go on."""
    socket.send_text(text.encode())
    error = socket.receive_error()
    assert 400 <= error["status"] < 500, error
    socket.send_message("time", sent_ms=7)
    assert socket.receive("time")["sent_ms"] == 7
    return error


@pytest.mark.parametrize("text", NOT_A_MESSAGE.values(), ids=NOT_A_MESSAGE)
@pytest.mark.usefixtures("bystander")
def test_what_is_no_message_is_an_error(server: ServerProcess, text: str) -> None:
    """Text that is not JSON, no object, or of no known type: an error, and the socket goes on."""
    with observe(server.port) as socket:
        # Had it been understood as an observe, it would be one too many.
        assert check_error_only(socket, text)["code"] != "already_joined"


@pytest.mark.parametrize("visitor", BAD_VISITOR.values(), ids=BAD_VISITOR)
@pytest.mark.usefixtures("bystander")
def test_bad_visitor_does_not_join(server: ServerProcess, visitor: object) -> None:
    """
    A visitor id of the wrong type, length or alphabet is an error that does not repeat it, and no visitor
    joins.
    """
    with open_socket(server.port) as socket:
        error = check_error_only(
            socket, json.dumps({"type": "join", "visitor": visitor, "mood": "gratitude"})
        )
        assert "0123456" not in error["message"]
        assert felt(get_presence(server.port)) == {"release": 1}


@pytest.mark.usefixtures("bystander")
def test_join_without_a_visitor_counts_no_visitor(server: ServerProcess) -> None:
    """A join that names no visitor is an error; the next, right one is answered."""
    with open_socket(server.port) as socket:
        check_error_only(socket, '{"type": "join"}')
        socket.send_message("join", visitor=VISITOR, mood="gratitude")
        assert socket.receive("presence")["moods"]["gratitude"] == 1
        close_normally(socket)


@pytest.mark.parametrize("mood", BAD_MOOD.values(), ids=BAD_MOOD)
@pytest.mark.usefixtures("bystander")
def test_bad_mood_does_not_join(server: ServerProcess, mood: object) -> None:
    """A join with a mood that is not one is an error as a whole."""
    with open_socket(server.port) as socket:
        error = check_error_only(socket, json.dumps({"type": "join", "visitor": VISITOR, "mood": mood}))
        assert error["code"] == "unknown_mood"
        assert "schadenfreude" not in error["message"]
        assert felt(get_presence(server.port)) == {"release": 1}


@pytest.mark.parametrize("mood", BAD_MOOD.values(), ids=BAD_MOOD)
@pytest.mark.usefixtures("bystander")
def test_bad_mood_changes_nothing(server: ServerProcess, mood: object) -> None:
    """A change to a mood that is not one is an error, and the mood stays."""
    with join(server.port, mood="gratitude") as socket:
        error = check_error_only(socket, json.dumps({"type": "mood", "mood": mood}))
        assert error["code"] == "unknown_mood"
        assert felt(get_presence(server.port)) == {"release": 1, "gratitude": 1}
        close_normally(socket)


@pytest.mark.parametrize("number", BAD_SENT.values(), ids=BAD_SENT)
@pytest.mark.usefixtures("bystander")
def test_bad_number_is_an_error(server: ServerProcess, number: str) -> None:
    """A `sent_ms` that is no finite number is an error: what is no JSON never comes back."""
    with observe(server.port) as socket:
        check_error_only(socket, f'{{"type": "time", "sent_ms": {number}}}')


@pytest.mark.parametrize(
    "number", ["0", "-1", "12.5", "-0.25", "1767225600000", "9007199254740991", "1e3", "1e-7"]
)
def test_good_number_comes_back(server: ServerProcess, number: str) -> None:
    """Any finite number comes back with its value."""
    with observe(server.port) as socket:
        socket.send_text(f'{{"type": "time", "sent_ms": {number}}}')
        assert socket.receive("time")["sent_ms"] == json.loads(number)


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "nonsense", "type": "time", "sent_ms": 1}',
        '{"type": "time", "sent_ms": "one", "sent_ms": 1}',
        '{"type": "time", "sent_ms": 1, "sent_ms": "one"}',
    ],
)
@pytest.mark.usefixtures("bystander")
def test_duplicate_keys_have_one_meaning(server: ServerProcess, text: str) -> None:
    """An object with a key twice is taken by its last value or refused, but it does no harm."""
    with observe(server.port) as socket:
        socket.send_text(text)
        message = socket.read_message()
        assert message["type"] == "error" or message["sent_ms"] == 1


@pytest.mark.usefixtures("bystander")
def test_mood_needs_a_join(server: ServerProcess) -> None:
    """A mood before any join, and of an observer, is the error `not_joined`."""
    text = '{"type": "mood", "mood": "gratitude"}'
    with open_socket(server.port) as newcomer, observe(server.port) as observer:
        assert check_error_only(newcomer, text)["code"] == "not_joined"
        assert check_error_only(observer, text)["code"] == "not_joined"


@pytest.mark.parametrize("second", [VISITOR, "another-visitor-0123"], ids=["same", "another"])
@pytest.mark.usefixtures("bystander")
def test_joining_twice_counts_once(server: ServerProcess, second: str) -> None:
    """A second join on one socket is an error, or renews the first: never a second person."""
    with join(server.port, mood="gratitude") as socket:
        socket.send_message("join", visitor=second, mood="gratitude")
        assert socket.read_message()["type"] in {"error", "presence"}
        assert felt(get_presence(server.port)) == {"release": 1, "gratitude": 1}
        close_normally(socket)


@pytest.mark.usefixtures("bystander")
def test_observer_may_come_to_count(server: ServerProcess) -> None:
    """
    A join after an observe, and an observe after a join, are answered, and the count stays that of the
    people.
    """
    with observe(server.port) as socket:
        socket.send_message("join", visitor=VISITOR, mood="gratitude")
        assert socket.read_message()["type"] in {"error", "presence"}
    with join(server.port, mood="gratitude") as socket:
        socket.send_message("observe")
        assert socket.read_message()["type"] in {"error", "presence"}
        assert get_presence(server.port)["high"] <= 2
        close_normally(socket)


@pytest.mark.usefixtures("bystander")
def test_endless_bad_messages_end_the_connection(server: ServerProcess) -> None:
    """Who sends nothing but nonsense hears errors for a while, and then close 4500."""
    with observe(server.port) as socket:
        socket.send(encode_frame(Opcode.TEXT, "nonsense") * 2000)
        socket.receive_error()
        assert socket.read_close(answer=True).close_code == 4500


# Frames.


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(encode_frame(Opcode.TEXT, b"", declared=1 << 62), 1009, id="2^62-bytes-declared"),
        pytest.param(encode_frame(Opcode.TEXT, b"x" * 5000), 1009, id="over-the-limit"),
        pytest.param(encode_frame(Opcode.TEXT, b"x" * 10 * MEGABYTE), 1009, id="10-megabytes"),
        pytest.param(encode_frame(Opcode.BINARY, b'{"type": "observe"}'), 1003, id="binary"),
        pytest.param(encode_frame(Opcode.TEXT, b'{"type": "\xff"}'), 1007, id="not-utf8"),
        pytest.param(
            encode_frame(Opcode.TEXT, b"x" * 4096, fin=False) + encode_frame(Opcode.CONTINUATION, b"x"),
            1009,
            id="fragments",
        ),
        pytest.param(b"\0" * MEGABYTE, 1002, id="zeros"),
        pytest.param(b"\xff" * MEGABYTE, 1002, id="ones"),
        pytest.param(handshake(), 1002, id="another-handshake"),
    ],
)
@pytest.mark.parametrize("joined", [False, True], ids=["observer", "joined"])
@pytest.mark.usefixtures("bystander")
def test_bad_frame_closes_one_socket(server: ServerProcess, data: bytes, code: int, *, joined: bool) -> None:
    """
    Frames too big, binary, not UTF-8 or no frames at all end the socket that they came by, with the right
    code.
    """
    with join(server.port) if joined else observe(server.port) as socket:
        socket.send(data)
        assert socket.read_close().close_code == code


@pytest.mark.usefixtures("bystander")
def test_million_empty_fragments_are_refused(server: ServerProcess) -> None:
    """A message in endlessly many empty fragments is too big, though it holds not a byte; memory stays."""
    before_bytes = memory_bytes(server)
    with observe(server.port) as socket:
        socket.send(encode_frame(Opcode.TEXT, b"", fin=False))
        piece = encode_frame(Opcode.CONTINUATION, b"", fin=False) * 10_000
        for _ in range(100):
            socket.send(piece)
        assert socket.read_close().close_code == 1009
    assert memory_bytes(server) - before_bytes < 8 * MEGABYTE


def test_a_flood_of_tiny_frames_delays_no_other_client(server: ServerProcess) -> None:
    """While one client sends a hundred thousand pongs, the others hear of what happens in time."""
    with unharmed(server.port) as bystander, observe(server.port) as socket:
        flood = threading.Thread(target=lambda: socket.send(encode_frame(Opcode.PONG) * 100_000))
        flood.start()
        for mood in ["gratitude", "release"] * 5:
            assert feel(bystander, mood)[1] < 1
        flood.join()


@pytest.mark.usefixtures("bystander")
def test_frames_before_the_answer_do_no_harm(server: ServerProcess) -> None:
    """§4.1 forbids frames before the handshake is answered; a client that sends them is served or dropped."""
    with RawSocket(server.port) as socket:
        socket.send(handshake() + encode_frame(Opcode.PING, b"early"))
        response = socket.read_response()
        assert response.status in {101, 400}
        if response.status == 101:
            with contextlib.suppress(TimeoutError):
                frame = socket.read_frame(within_s=0.3)
                assert frame is None or frame.opcode in {Opcode.PONG, Opcode.CLOSE}


# HTTP bodies.


@pytest.mark.parametrize(
    "body",
    [text.encode() for name, text in NOT_A_MESSAGE.items() if not name.startswith("type")]
    + [b"\xff\xfe", b'{"visitor": "\xff"}', '{"visitor": "visitor-0123456789"}'.encode("utf-16")],
    ids=[name for name in NOT_A_MESSAGE if not name.startswith("type")]
    + ["not-utf8", "string-not-utf8", "utf-16"],
)
@pytest.mark.parametrize("path", [BEAT, LEAVE])
@pytest.mark.usefixtures("bystander")
def test_bad_body_is_an_error(server: ServerProcess, path: str, body: bytes) -> None:
    """A body that is not JSON, no object, or without a visitor is answered 400."""
    with RawSocket(server.port) as client:
        assert client.request("POST", path, body).error()["status"] == 400


@pytest.mark.parametrize("visitor", BAD_VISITOR.values(), ids=BAD_VISITOR)
@pytest.mark.parametrize("path", [BEAT, LEAVE])
@pytest.mark.usefixtures("bystander")
def test_bad_visitor_sends_no_heartbeat(server: ServerProcess, path: str, visitor: object) -> None:
    """A visitor id of the wrong type, length or alphabet is answered 400, without repeating it."""
    with RawSocket(server.port) as client:
        error = client.request("POST", path, {"visitor": visitor}).error()
    assert error["status"] == 400
    assert "0123456" not in error["message"]


@pytest.mark.parametrize("mood", BAD_MOOD.values(), ids=BAD_MOOD)
@pytest.mark.usefixtures("bystander")
def test_bad_mood_sends_no_heartbeat(server: ServerProcess, mood: object) -> None:
    """A mood that is not one is answered 400, and no visitor is counted."""
    with RawSocket(server.port) as client:
        error = client.request("POST", BEAT, {"visitor": VISITOR, "mood": mood}).error()
    assert error["status"] == 400
    assert error["code"] == "unknown_mood"
    assert felt(get_presence(server.port)) == {"release": 1}


@pytest.mark.usefixtures("bystander")
def test_a_heartbeat_posted_as_a_form_is_rejected(server: ServerProcess) -> None:
    """
    A form posted to the heartbeat is refused: only a page that may send JSON here can make its visitors
    count.
    """
    with RawSocket(server.port) as client:
        error = client.request(
            "POST",
            BEAT,
            b"visitor=" + VISITOR.encode(),
            {"Content-Type": "application/x-www-form-urlencoded"},
        ).error()
    assert error["status"] in {400, 415}
    assert felt(get_presence(server.port)) == {"release": 1}


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize("path", [BEAT, LEAVE])
@pytest.mark.usefixtures("bystander")
def test_big_body_is_refused_early(server: ServerProcess, path: str, *, chunked: bool) -> None:
    """A body of 10 MB is answered 413 and not kept."""
    before_bytes = memory_bytes(server)
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {10 * MEGABYTE}"
    piece = b"x" * 0x10000
    with RawSocket(server.port) as client:
        client.send(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n".encode()
        )
        for _ in range(10 * MEGABYTE // len(piece)):
            client.send(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
        assert client.read_response().error()["status"] == 413
    assert memory_bytes(server) - before_bytes < 5 * MEGABYTE


@pytest.mark.usefixtures("bystander")
def test_body_one_byte_over_is_refused(server: ServerProcess) -> None:
    """4,096 bytes of body are taken, 4,097 are not."""
    body = b'{"visitor": "%s", "padding": "%s"}'
    rest = 4096 - len(body % (VISITOR.encode(), b""))
    with RawSocket(server.port) as client:
        assert client.request("POST", LEAVE, body % (VISITOR.encode(), b"x" * rest)).status == 204
        assert (
            client.request("POST", LEAVE, body % (VISITOR.encode(), b"x" * (rest + 1))).error()["status"]
            == 413
        )


# Paths, methods and names of rooms.

BAD_ROOMS = {
    "case": "Lobby",
    "long": "x" * 65,
    "very-long": "x" * 5000,
    "nul": "lobby%00",
    "newline": "lobby%0A",
    "only-newline": "%0A",
    "escape": "%1B%5B2J",
    "blank": "lob%20by",
    "dot": "%2E",
    "dots": "%2e%2e",
    "slash": "lobby%2Fx",
    "dash-first": "-lobby",
    "underscore-first": "_lobby",
    "accent": "caf%C3%A9",
    "other-digits": "%D9%A3",
    "not-utf8": "%FF%FE",
    "cut-escape": "lobby%2",
    "html": "%3Cscript%3E",
}


@pytest.mark.parametrize("room", BAD_ROOMS.values(), ids=BAD_ROOMS)
@pytest.mark.usefixtures("bystander")
def test_bad_room_is_refused(server: ServerProcess, room: str) -> None:
    """
    A name that is no room's is answered 400 `bad_room`, or 404 where no path has such a shape; no answer
    repeats it.
    """
    with RawSocket(server.port) as client:
        for response in (
            client.request("GET", f"/v1/rooms/{room}"),
            client.request("GET", f"/v1/rooms/{room}/config"),
            client.request("POST", f"/v1/rooms/{room}/heartbeat", {"visitor": VISITOR}),
            client.request("POST", f"/v1/rooms/{room}/leave", {"visitor": VISITOR}),
        ):
            check_bad_room(response.error())
    with RawSocket(server.port) as client:
        client.send(handshake(room))
        check_bad_room(client.read_response().error())


def check_bad_room(error: Message) -> None:
    """Check that an error speaks of the room or of the path."""
    assert (error["status"], error["code"]) in {
        (400, "bad_room"),
        (404, "not_found"),
        (405, "wrong_method"),
    }, error
    assert error["message"].isprintable()


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/rooms", "/v1/rooms/", "/v1/rooms//heartbeat", "/v1/rooms/lobby/", "/%"]
)
@pytest.mark.usefixtures("bystander")
def test_unknown_path_is_not_found(server: ServerProcess, path: str) -> None:
    """A path that leads nowhere is answered 404 in the one shape."""
    with RawSocket(server.port) as client:
        assert client.request("GET", path).error()["status"] in {400, 404}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/rooms/lobby", "GET"),
        ("DELETE", "/v1/rooms/lobby", "GET"),
        ("PUT", "/v1/rooms/lobby/config", "GET"),
        ("GET", BEAT, "POST"),
        ("PATCH", BEAT, "POST"),
        ("GET", LEAVE, "POST"),
        ("POST", "/v1/rooms/lobby/events", "GET"),
        ("POST", "/v1/rooms/lobby/history", "GET"),
        ("POST", "/v1/rooms/lobby/badge.svg", "GET"),
        ("POST", "/v1/rooms/lobby/socket", "GET"),
        ("POST", "/healthz", "GET"),
        ("DELETE", "/metrics", "GET"),
    ],
)
@pytest.mark.usefixtures("bystander")
def test_wrong_method_is_refused(server: ServerProcess, method: str, path: str, allowed: str) -> None:
    """A method that a path does not know is answered 405, with those that it knows in Allow."""
    with RawSocket(server.port) as client:
        response = client.request(method, path, b"")
    assert response.error()["status"] == 405
    assert allowed in re.split(r"\s*,\s*", response.headers["allow"])


# What is no HTTP, or too much of it.

NOT_HTTP = {
    "zeros": b"\0" * 1000,
    "random": bytes((i * 73 + 41) % 256 for i in range(2000)),
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "frames": encode_frame(Opcode.TEXT, '{"type": "observe"}') * 3,
    "newlines": b"\r\n" * 5000,
    "odd-version": b"GET /v1/rooms/lobby HTTP/9.9\r\nHost: x\r\n\r\n",
    "odd-method": b"BREATHE /v1/rooms/lobby HTTP/1.1\r\nHost: x\r\n\r\n",
    "control-in-path": b"GET /v1/rooms/lob\x01by HTTP/1.1\r\nHost: x\r\n\r\n",
    "header-without-colon": b"GET /v1/rooms/lobby HTTP/1.1\r\nHost\r\n\r\n",
    "blank-before-colon": b"GET /v1/rooms/lobby HTTP/1.1\r\nHost : x\r\n\r\n",
    "nul-in-header": b"GET /v1/rooms/lobby HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n",
    "folded-header": b"GET /v1/rooms/lobby HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\x01\r\n\r\n",
    "length-negative": b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "length-word": b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
    "length-huge": b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "length-twice": b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
    "length-and-chunked": b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding-unknown": b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: breath\r\n\r\n0\r\n\r\n",
    "chunk-size": b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP)
@pytest.mark.usefixtures("bystander")
def test_what_is_no_http_is_refused(server: ServerProcess, data: bytes) -> None:
    """
    Bytes that are no HTTP request get an error of the 400s, or just an end; never a success, never silence
    for ever.
    """
    with RawSocket(server.port) as client:
        client.send(data)
        client.shut()
        answer = client.read_until_end()
    assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer), answer


@pytest.mark.usefixtures("bystander")
def test_garbage_after_a_request_ends_the_connection(server: ServerProcess) -> None:
    """
    On one connection, right requests before garbage are answered as ever or with it; then the connection
    ends.
    """
    with RawSocket(server.port) as client:
        assert client.request("GET", "/v1/rooms/lobby").status == 200
        client.send(b"GET /v1/rooms/lobby HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01garbage\r\n\r\n")
        answer = client.read_until_end()
    assert re.match(rb"HTTP/1\.1 (200|400) ", answer), answer


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X-Long: " + b"x" * MEGABYTE, id="one-long"),
        pytest.param(b"\r\n".join(b"X-%d: x" % number for number in range(50_000)), id="many-short"),
        pytest.param(b"Cookie: " + b"a=b; " * 200_000, id="cookies"),
    ],
)
@pytest.mark.parametrize(
    "start", [b"GET /v1/rooms/lobby HTTP/1.1\r\nHost: x\r\n", handshake()[:-2]], ids=["get", "handshake"]
)
@pytest.mark.usefixtures("bystander")
def test_huge_head_is_refused(server: ServerProcess, start: bytes, head: bytes) -> None:
    """A megabyte of headers is answered 431 or 400, or cut off, and not kept."""
    before_bytes = memory_bytes(server)
    with RawSocket(server.port) as client:
        client.send(start + head + b"\r\n\r\n")
        client.shut()
        answer = client.read_until_end()
    assert not answer or re.match(rb"HTTP/1\.1 (431|400) ", answer), answer[:200]
    assert memory_bytes(server) - before_bytes < 8 * MEGABYTE


@pytest.mark.usefixtures("bystander")
def test_huge_path_is_refused(server: ServerProcess) -> None:
    """A path of a megabyte is answered with an error of the 400s, or cut off."""
    with RawSocket(server.port) as client:
        client.send(b"GET /" + b"x" * MEGABYTE + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shut()
        answer = client.read_until_end()
    assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer), answer[:200]


# Origins.

BAD_ORIGINS = [
    "https://evil.example",
    "http://good.example",
    "https://good.example:8443",
    "https://good.example.evil.example",
    "https://evilgood.example",
    "https://good.example/",
    "null",
    "",
    "https://good.example, https://evil.example",
]


@pytest.mark.parametrize("origin", BAD_ORIGINS)
def test_wrong_origin_gets_no_socket(fenced_server: ServerProcess, origin: str) -> None:
    """A page of another origin is answered 403 `forbidden_origin` when it asks for a socket."""
    with unharmed(fenced_server.port), RawSocket(fenced_server.port) as client:
        client.send(handshake(more=[("Origin", origin)]))
        error = client.read_response().error()
    assert (error["status"], error["code"]) == (403, "forbidden_origin")


@pytest.mark.parametrize("more", [[("Origin", GOOD)], []], ids=["right", "none"])
def test_right_origin_gets_a_socket(fenced_server: ServerProcess, more: list[tuple[str, str]]) -> None:
    """A page of the right origin, and a client that is no page, get their socket."""
    with RawSocket(fenced_server.port).upgrade(handshake(more=more)) as client:
        client.send_message("observe")
        assert client.receive("presence")["room"] == "lobby"


@pytest.mark.parametrize("origin", BAD_ORIGINS)
def test_wrong_origin_gets_no_cors_header(fenced_server: ServerProcess, origin: str) -> None:
    """To a page of another origin no answer, nor any preflight, carries a header that lets it read."""
    with unharmed(fenced_server.port), RawSocket(fenced_server.port) as client:
        for method, path in (("GET", "/v1/rooms/lobby"), ("OPTIONS", BEAT), ("GET", "/nowhere")):
            preflight = {
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            }
            response = client.request(
                method, path, b"", {"Origin": origin, **(preflight if method == "OPTIONS" else {})}
            )
            assert "access-control-allow-origin" not in response.headers


def test_right_origin_gets_cors_headers(fenced_server: ServerProcess) -> None:
    """The right origin may read, is named, and ``Vary`` says that answers differ by origin."""
    with RawSocket(fenced_server.port) as client:
        for path in ("/v1/rooms/lobby", "/nowhere"):
            response = client.request("GET", path, b"", {"Origin": GOOD})
            assert response.headers["access-control-allow-origin"] == GOOD
            assert "origin" in response.headers["vary"].lower()
        assert "origin" in client.request("GET", "/v1/rooms/lobby").headers["vary"].lower()


# Too much of what is allowed.


def test_thousand_rooms_from_one_address_are_refused(fenced_server: ServerProcess) -> None:
    """
    One address opens a few rooms and no more: 429 `too_many_rooms`, on every way in, and rooms that are open
    stay so.
    """
    port = fenced_server.port
    with unharmed(port), RawSocket(port) as client:
        for number in range(1000):
            assert client.request("GET", f"/v1/rooms/looked-at-{number}").status == 200
        opened = 0
        for number in range(1000):
            response = client.request("POST", f"/v1/rooms/room-{number}/heartbeat", {"visitor": VISITOR})
            if response.status == 200:
                opened += 1
                continue
            error = response.error()
            assert (error["status"], error["code"]) == (429, "too_many_rooms")
            assert int(response.headers["retry-after"]) > 0
        # The lobby is one of them.
        assert ROOMS_MAX - 1 <= opened <= ROOMS_MAX

        with RawSocket(port) as other:
            other.send(handshake("one-more"))
            response = other.read_response()
            assert response.error()["code"] == "too_many_rooms"
            assert int(response.headers["retry-after"]) > 0

        assert client.request("POST", "/v1/rooms/room-0/heartbeat", {"visitor": VISITOR}).status == 200
        for number in range(ROOMS_MAX):
            client.request("POST", f"/v1/rooms/room-{number}/leave", {"visitor": VISITOR})


def test_too_many_sockets_of_one_visitor_are_closed(fenced_server: ServerProcess) -> None:
    """One visitor holds a few sockets and no more: close 4501 for the next, while the others stay."""
    port = fenced_server.port
    with unharmed(port), contextlib.ExitStack() as stack:
        tabs = [stack.enter_context(join(port, mood="gratitude")) for _ in range(3)]
        with open_socket(port) as last:
            last.send_message("join", visitor=VISITOR, mood="gratitude")
            assert last.read_close(answer=True).close_code == 4501
        for tab in tabs:
            tab.send_message("time", sent_ms=1)
            assert tab.receive("time")["sent_ms"] == 1
        assert get_presence(port)["count"] == 2
        for tab in tabs:
            close_normally(tab)


# Silence and slowness.


def dribble(client: RawSocket, data: bytes, pause_s: float = 0.05) -> None:
    """Send a byte now and then until the server ends the stream, which it must do within a few seconds."""
    deadline_s = time.monotonic() + 5
    for byte in data:
        assert time.monotonic() < deadline_s, "the server listens for ever"
        client.send(bytes([byte]))
        if select.select([client.tcp], [], [], pause_s)[0]:
            return
    raise AssertionError("the server took all of it")


HALF_OPEN: dict[str, Callable[[RawSocket], None]] = {
    "nothing": lambda client: client.send(b""),
    "newline": lambda client: client.send(b"\r\n"),
    "half-a-line": lambda client: client.send(b"GET /v1/rooms/lob"),
    "half-a-handshake": lambda client: client.send(handshake()[:-30]),
    "all-but-a-byte": lambda client: client.send(handshake()[:-1]),
    "trickled-handshake": lambda client: dribble(client, handshake()),
    "trickled-header": lambda client: dribble(client, b"GET / HTTP/1.1\r\nX: " + b"x" * 200),
    "no-body": lambda client: client.send(
        b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
    ),
    "trickled-body": lambda client: dribble(
        client,
        b"POST /v1/rooms/lobby/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n" + b" " * 900,
        0.02,
    ),
}


@pytest.mark.parametrize("begin", HALF_OPEN.values(), ids=HALF_OPEN)
def test_half_open_connection_is_ended(
    hasty_server: ServerProcess, begin: Callable[[RawSocket], None]
) -> None:
    """A connection on which no whole request arrives is ended after `handshake_ms`, however busy it looks."""
    started_s = time.monotonic()
    with RawSocket(hasty_server.port) as client:
        begin(client)
        answer = client.read_until_end(within_s=5)
    took_ms = (time.monotonic() - started_s) * 1000
    assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer), answer
    assert HANDSHAKE_MS * 0.9 <= took_ms < HANDSHAKE_MS + 2500


@pytest.mark.parametrize(
    "says", [b"", encode_frame(Opcode.PING), b"\x81"], ids=["nothing", "ping", "half-a-frame"]
)
def test_a_connection_that_never_joins_is_closed(hasty_server: ServerProcess, says: bytes) -> None:
    """A socket that neither joins nor observes within `join_ms` is closed with 4001."""
    started_s = time.monotonic()
    with open_socket(hasty_server.port) as socket:
        socket.send(says)
        assert socket.read_close_frame().close_code == 4001
    assert JOIN_MS * 0.9 <= (time.monotonic() - started_s) * 1000 < JOIN_MS + 1500


def test_pings_do_not_replace_a_join(hasty_server: ServerProcess) -> None:
    """Beats and nonsense, however many, do not put off the end of a socket that never joins."""
    started_s = time.monotonic()
    with open_socket(hasty_server.port) as socket:
        while True:
            socket.send_message("time", sent_ms=1)
            frame = socket.read_frame()
            assert frame is not None
            if frame.opcode == Opcode.CLOSE:
                break
            assert time.monotonic() - started_s < 5, "it may talk for ever"
        assert frame.close_code == 4001


@pytest.mark.parametrize(
    "sends", [b"", encode_frame(Opcode.TEXT, '{"type": "time"}')[:9]], ids=["silent", "within-a-frame"]
)
def test_silent_socket_is_closed_with_its_lease(short_lease_server: ServerProcess, sends: bytes) -> None:
    """
    A socket that answers no ping for `lease_ms`, within a frame or not, is closed with 4000 and its person is
    out.
    """
    with join(short_lease_server.port, "silence") as socket:
        socket.send(sends)
        assert socket.read_close_frame().close_code == 4000
    assert get_presence(short_lease_server.port, "silence")["low"] == 0


READERS = 200


@pytest.mark.parametrize("transport", ["socket", "events"])
def test_a_client_that_never_reads_delays_no_other_client(
    hasty_server: ServerProcess, transport: str
) -> None:
    """
    Two hundred listeners that never read get 24 MB and more pushed at them: others receive in time, memory
    stays, they are ended.
    """
    port, (first, second) = hasty_server.port, LONG_MOODS[:2]
    request = (
        handshake() if transport == "socket" else b"GET /v1/rooms/lobby/events HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    with unharmed(port, moods=(first, second)) as bystander, contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(RawSocket(port, receive_buffer_bytes=4096)) for _ in range(READERS)]
        for listener in deaf:
            listener.send(request)
        for listener in deaf:
            if transport == "socket":
                assert listener.read_response().status == 101
                listener.send_message("observe")
        bystander.send_message("time", sent_ms=0)
        bystander.receive("time")

        before_bytes, pushed_bytes, worst_s, most_bytes = memory_bytes(hasty_server), 0, 0.0, 0
        deadline_s = time.monotonic() + SLOW_READER_MS / 1000 + 10
        while (still_open := sockets_open(port)) > 1:
            assert time.monotonic() < deadline_s, f"{still_open} are still served"
            for mood in (second, first):
                presence, took_s = feel(bystander, mood)
                worst_s = max(worst_s, took_s)
                if still_open > READERS:
                    pushed_bytes += len(json.dumps(presence)) * READERS
            most_bytes = max(most_bytes, memory_bytes(hasty_server))

        assert pushed_bytes > 24 * MEGABYTE
        assert worst_s < 1
        assert most_bytes - before_bytes < 16 * MEGABYTE
        for listener in deaf:
            listener.read_until_end(within_s=2)


def feel(person: RawSocket, mood: str) -> tuple[Message, float]:
    """Change the mood of a visitor who is alone in a room, and wait until its own connection is sent the
    change.

    Returns:
        The presence, and how many seconds it took.
    """
    said_s = time.monotonic()
    person.send_message("mood", mood=mood)
    presence = person.receive("presence", lambda presence: felt(presence) == {mood: 1}, within_s=2)
    return presence, time.monotonic() - said_s


def sockets_open(port: int) -> int:
    """Return how many sockets and event streams the server has open."""
    with RawSocket(port) as client:
        metrics = client.request("GET", "/metrics").body.decode()
    found = re.search(r"^breathing_room_sockets (\d+)", metrics, re.MULTILINE)
    assert found, metrics
    return int(found[1])


def test_a_client_that_only_sends_is_throttled(hasty_server: ServerProcess) -> None:
    """
    A client that asks for answers and never reads them is stopped and then closed; what it is owed does not
    pile up.
    """
    port, (first, second) = hasty_server.port, LONG_MOODS[:2]
    question = (
        encode_frame(Opcode.TEXT, '{"type": "time", "sent_ms": 1}') * 500
        + encode_frame(Opcode.PING, b"x" * 125) * 500
    )
    with unharmed(port, moods=(first, second)), RawSocket(port, receive_buffer_bytes=4096) as talker:
        talker.upgrade(handshake())
        talker.send_message("observe")
        before_bytes, sent_bytes = memory_bytes(hasty_server), 0
        talker.tcp.setblocking(False)
        deadline_s = time.monotonic() + SLOW_READER_MS / 1000 + 20
        rest = question
        while True:
            assert time.monotonic() < deadline_s, f"{sent_bytes:,} bytes later it may still talk"
            select.select([], [talker.tcp], [], 0.1)
            try:
                size = talker.tcp.send(rest)
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
            sent_bytes += size
            # Go on within the frame that was cut.
            rest = rest[size:] or question
        assert memory_bytes(hasty_server) - before_bytes < 12 * MEGABYTE
