"""RFC 6455 frames, bytes in and messages out; the same over a real socket is in ``test_rfc6455.py``."""

import random

import pytest
from websockets.frames import Frame, Opcode

from breathing_room.core.wire import NOT_TEXT, NOT_UTF8, PROTOCOL_ERROR, TOO_BIG
from breathing_room.hosts.server.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    NO_STATUS,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    close_frame,
    frame,
    read_close,
    text_frame,
)

MAX = 70_000
MASK = b"\x01\x02\x03\x04"


def sent(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Write a frame as a client does, by the library of another author."""
    return Frame(Opcode(opcode), payload, fin=fin).serialize(mask=True)


def read(data: bytes, bytes_max: int = MAX) -> list[tuple[int, bytes]]:
    return list(FrameReader().feed(data, bytes_max))


def code_of(data: bytes, bytes_max: int = MAX) -> int:
    """Read what must be refused, and return the close code."""
    with pytest.raises(FrameError) as error:
        read(data, bytes_max)
    return error.value.code


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_every_length_survives_both_ways(length: int) -> None:
    """Messages on both sides of each boundary of the length field are read whole, and written as another
    library writes them.
    """
    payload = random.Random(length).randbytes(length).hex()[:length].encode()
    assert read(sent(TEXT, payload)) == [(TEXT, payload)]
    assert frame(TEXT, payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert text_frame(payload) == frame(TEXT, payload)


def test_it_does_not_matter_how_bytes_are_cut() -> None:
    """Frames that arrive a byte at a time, or all at once, are the same messages in the same order."""
    data = (
        sent(TEXT, b"one")
        + sent(TEXT, b"tw", fin=False)
        + sent(PING, b"?")
        + sent(CONTINUATION, b"", fin=False)
        + sent(CONTINUATION, b"o")
        + sent(PONG, b"")
        + sent(TEXT, b"x" * 300)
    )
    expected = [(TEXT, b"one"), (PING, b"?"), (TEXT, b"two"), (PONG, b""), (TEXT, b"x" * 300)]
    assert read(data) == expected
    for size in (1, 2, 7):
        reader = FrameReader()
        pieces = (data[at : at + size] for at in range(0, len(data), size))
        assert [message for piece in pieces for message in reader.feed(piece, MAX)] == expected


def test_a_character_may_be_cut_between_fragments() -> None:
    """Only the whole message must be UTF-8: a character may begin in one fragment and end in the next."""
    first, second = "ä".encode()[:1], "ä".encode()[1:]
    assert read(sent(TEXT, first, fin=False) + sent(CONTINUATION, second)) == [(TEXT, "ä".encode())]
    assert code_of(sent(TEXT, first, fin=False) + sent(CONTINUATION, b"x")) == NOT_UTF8
    assert code_of(sent(TEXT, b"\xff")) == NOT_UTF8


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"unmasked"), PROTOCOL_ERROR, id="unmasked"),
        pytest.param(bytes((FIN | 0x40 | TEXT, 0x80)) + MASK, PROTOCOL_ERROR, id="reserved-bit"),
        pytest.param(bytes((FIN | 0x3, 0x80)) + MASK, PROTOCOL_ERROR, id="reserved-opcode"),
        pytest.param(bytes((FIN | 0xB, 0x80)) + MASK, PROTOCOL_ERROR, id="reserved-control-opcode"),
        pytest.param(sent(BINARY, b"x"), NOT_TEXT, id="binary"),
        pytest.param(sent(CONTINUATION, b"x"), PROTOCOL_ERROR, id="continuation-of-nothing"),
        pytest.param(
            sent(TEXT, b"a", fin=False) + sent(TEXT, b"b"), PROTOCOL_ERROR, id="message-inside-another"
        ),
        pytest.param(bytes((PING, 0x80)) + MASK, PROTOCOL_ERROR, id="control-frame-in-fragments"),
        pytest.param(
            bytes((FIN | PING, 0xFE)) + b"\0\x7e" + MASK + b"x" * 126,
            PROTOCOL_ERROR,
            id="control-frame-of-126-bytes",
        ),
        pytest.param(
            bytes((FIN | TEXT, 0xFE)) + b"\0\x7d" + MASK,
            PROTOCOL_ERROR,
            id="length-in-more-bytes-than-needed",
        ),
        pytest.param(
            bytes((FIN | TEXT, 0xFF)) + b"\0" * 6 + b"\xff\xff" + MASK,
            PROTOCOL_ERROR,
            id="short-length-in-8-bytes",
        ),
        pytest.param(
            bytes((FIN | TEXT, 0xFF)) + b"\x80" + b"\0" * 7 + MASK,
            PROTOCOL_ERROR,
            id="highest-bit-of-a-length",
        ),
    ],
)
def test_what_breaks_the_protocol_has_its_code(data: bytes, code: int) -> None:
    """Each violation of section 5 is refused with the close code that the RFC gives it."""
    assert code_of(data) == code


def test_what_came_before_a_violation_is_read() -> None:
    """Messages before the first wrong byte are yielded, and then the error is raised."""
    reader = FrameReader().feed(sent(TEXT, b"fine") + frame(TEXT, b"unmasked"), MAX)
    assert next(reader) == (TEXT, b"fine")
    with pytest.raises(FrameError):
        next(reader)


def test_a_long_message_is_refused_by_its_head() -> None:
    """A length above the limit is refused before any of it arrives; fragments count together, and empty ones
    cannot go on for ever.
    """
    assert read(sent(TEXT, b"x" * 200), 200) == [(TEXT, b"x" * 200)]
    head = bytes((FIN | TEXT, 0xFE)) + (201).to_bytes(2) + MASK
    assert code_of(head, 200) == TOO_BIG
    assert code_of(sent(TEXT, b"x" * 150, fin=False) + sent(CONTINUATION, b"x" * 51), 200) == TOO_BIG
    assert code_of(sent(TEXT, b"", fin=False) + sent(CONTINUATION, b"", fin=False) * 20, 20) == TOO_BIG


def test_control_frames_count_for_no_limit() -> None:
    """A ping of 125 bytes is taken where messages may have 10."""
    assert read(sent(PING, b"x" * 125), 10) == [(PING, b"x" * 125)]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_close_says_its_code(code: int) -> None:
    """A code that may be sent is read from what was written, with a reason or without."""
    for reason in (b"", "später".encode()):
        [(opcode, payload)] = read(sent(CLOSE, close_frame(code, reason)[2:]))
        assert (opcode, read_close(payload)) == (CLOSE, code)


@pytest.mark.parametrize(
    "payload", [b"\x03", *(code.to_bytes(2) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000))]
)
def test_a_close_that_may_not_be_sent_is_refused(payload: bytes) -> None:
    """Half a code, reserved codes and codes that stand for no frame at all break the protocol."""
    with pytest.raises(FrameError) as error:
        read_close(payload)
    assert error.value.code == PROTOCOL_ERROR


def test_a_close_may_say_nothing_but_not_nonsense() -> None:
    """An empty close has no status, and a reason must be UTF-8."""
    assert read_close(b"") == NO_STATUS
    with pytest.raises(FrameError) as error:
        read_close((1000).to_bytes(2) + b"\xff")
    assert error.value.code == NOT_UTF8
