"""Fuzz the reader of WebSocket frames against two others, in one process.

The invariant: for any bytes, cut anywhere, `FrameReader` reads the same messages, pings and pongs, in order,
as

- a *model*: RFC 6455 written down again in the plainest way, which sees the whole stream at once, and
- the *oracle*: the `websockets` library,

and then either waits for more, or ends for a reason that the model finds in that very frame.

The oracle is more lenient than we in three points, which the model knows: it takes binary messages, and
lengths that are not in their shortest form, and it has no limit, because it would count control frames
against it. In one point it is stricter: it calls a close frame within a message an error.
"""

import random
import sys
from dataclasses import dataclass, field

from fuzzing import FindingError, arguments, campaign, cut, mutate, one_in, random_frames, random_text
from websockets.frames import Frame
from websockets.frames import Opcode as OracleOpcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from breathing_room.hosts.server.frames import NO_STATUS, FrameError, FrameReader, read_close
from raw_websocket import Opcode, apply_mask, may_be_sent

SMALL_BYTES_MAX = 200
LARGE_BYTES_MAX = 70_000


@dataclass
class Reading:
    """The result of a reader for a stream.

    Attributes:
        events: The frames: an opcode and its payload each.
        ends: How it ended, in words; of the model, every allowed end. Empty while it goes on.
        oracle_ends: Of the model: the allowed ends of the oracle. Empty where it goes on.
        used: Of the model: the bytes read until the end.
        missing: Of the model: the bytes that the last frame still lacks.
    """

    events: list[tuple[int, bytes]] = field(default_factory=list)
    ends: set[str] = field(default_factory=set)
    oracle_ends: set[str] = field(default_factory=set)
    used: int = 0
    missing: int = 0


def read_ours(pieces: list[bytes], bytes_max: int) -> Reading:
    """Read with the reader that is tested."""
    reader, reading = FrameReader(), Reading()
    try:
        for piece in pieces:
            for opcode, payload in reader.feed(piece, bytes_max):
                if opcode == Opcode.CLOSE:
                    reading.ends = {f"closed {read_close(payload)}"}
                    return reading
                reading.events.append((opcode, payload))
    except FrameError as error:
        reading.ends = {f"failed {error.code}"}
    return reading


@dataclass
class Head:
    """The head of a frame, of which the extended length may still be on its way."""

    fin: int
    rsv: int
    opcode: int
    masked: int
    extended_bytes: int
    length: int | None
    payload_at: int

    @property
    def end(self) -> int:
        """Where the frame ends; beyond all bytes while its length is not known."""
        return self.payload_at + (1 << 64 if self.length is None else self.length)


def read_head(data: bytes, at: int) -> Head:
    """Read the head of a frame of which two bytes are there."""
    indicator = data[at + 1] & 127
    extended_bytes = {126: 2, 127: 8}.get(indicator, 0)
    extended = data[at + 2 : at + 2 + extended_bytes]
    length = (
        indicator
        if not extended_bytes
        else int.from_bytes(extended, "big")
        if len(extended) == extended_bytes
        else None
    )
    masked = data[at + 1] >> 7
    return Head(
        fin=data[at] >> 7,
        rsv=data[at] >> 4 & 7,
        opcode=data[at] & 15,
        masked=masked,
        extended_bytes=extended_bytes,
        length=length,
        payload_at=at + 2 + extended_bytes + 4 * masked,
    )


def faults_of(head: Head, message: bytes | None, bytes_max: int) -> tuple[set[str], set[str]]:
    """Return the faults of a head: those that every reader rejects, and those that only ours does."""
    data_frame = head.opcode < Opcode.CLOSE
    breaches = [
        head.rsv != 0,
        not head.masked,
        head.opcode not in set(Opcode),
        not data_frame and (not head.fin or (head.length or 0) > 125),
        data_frame and (head.opcode == Opcode.CONTINUATION) == (message is None),
        head.length is not None and head.length >= 1 << 63,
    ]
    ours_only = set()
    if head.opcode == Opcode.BINARY:
        ours_only.add("failed 1003")
    if not data_frame and head.extended_bytes:
        ours_only.add("failed 1002")
    if head.length is not None and head.length < {0: 0, 2: 126, 8: 1 << 16}[head.extended_bytes]:
        ours_only.add("failed 1002")
    if data_frame and head.length is not None and head.length + len(message or b"") > bytes_max:
        ours_only.add("failed 1009")
    return {"failed 1002"} if any(breaches) else set(), ours_only


def read_model(data: bytes, bytes_max: int) -> Reading:
    """Read by the letter of RFC 6455."""
    reading, message, at = Reading(), None, 0
    while len(data) >= at + 2:
        head = read_head(data, at)
        faults, ours_only = faults_of(head, message, bytes_max)
        if not faults | ours_only and len(data) < head.end:
            break
        reading.used, reading.missing = min(head.end, len(data)), max(0, head.end - len(data))
        if faults | ours_only:
            reading.ends, reading.oracle_ends = faults | ours_only, faults
            break
        payload, at = (
            apply_mask(data[head.payload_at : head.end], data[head.payload_at - 4 : head.payload_at]),
            head.end,
        )
        if head.opcode == Opcode.CLOSE:
            reading.ends = ends_of_close(payload)
            reading.oracle_ends = reading.ends if message is None else {"failed 1002", "failed 1007"}
            break
        if head.opcode > Opcode.CLOSE:
            reading.events.append((head.opcode, payload))
            continue
        message = (message or b"") + payload
        if head.fin and not is_utf8(message):
            reading.ends = reading.oracle_ends = {"failed 1007"}
            break
        if head.fin:
            reading.events.append((Opcode.TEXT, message))
            message = None
    return reading


def ends_of_close(payload: bytes) -> set[str]:
    """Return the outcomes that a close frame may have."""
    if not payload:
        return {f"closed {NO_STATUS}"}
    code = int.from_bytes(payload[:2], "big")
    faults = set() if len(payload) > 1 and may_be_sent(code) else {"failed 1002"}
    faults |= set() if is_utf8(payload[2:]) else {"failed 1007"}
    return faults or {f"closed {code}"}


def is_utf8(data: bytes) -> bool:
    """Return whether bytes are valid UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_oracle(pieces: list[bytes]) -> Reading:
    """Read with the `websockets` library; it leaves to its caller whether text is UTF-8, so that is checked
    here.
    """
    protocol, reading, message = ServerProtocol(state=OPEN, max_size=None), Reading(), b""
    for piece in pieces:
        protocol.receive_data(piece)
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode is OracleOpcode.CLOSE:
            continue
        if frame.opcode in {OracleOpcode.PING, OracleOpcode.PONG}:
            reading.events.append((frame.opcode, bytes(frame.data)))
            continue
        message += bytes(frame.data)
        if frame.fin and not is_utf8(message):
            reading.ends = {"failed 1007"}
            return reading
        if frame.fin:
            reading.events.append((Opcode.TEXT, message))
            message = b""
    if protocol.parser_exc is None and protocol.close_rcvd:
        reading.ends = {f"closed {protocol.close_rcvd.code}"}
    elif protocol.close_sent:
        reading.ends = {f"failed {protocol.close_sent.code}"}
    return reading


def try_one(rng: random.Random) -> str:
    """Read one stream in three ways and compare."""
    if one_in(rng, 50):
        bytes_max, lengths = (
            LARGE_BYTES_MAX,
            [0, 125, 126, 65_535, 65_536, LARGE_BYTES_MAX, LARGE_BYTES_MAX + 1],
        )
    else:
        bytes_max, lengths = SMALL_BYTES_MAX, [0, 8, 30, 125, 126, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1]
    data = random_frames(rng, lambda: random_text(rng, 40) if one_in(rng, 2) else b"x" * rng.choice(lengths))
    if one_in(rng, 2):
        data = mutate(rng, data)
    pieces = cut(rng, data)

    model, ours = read_model(data, bytes_max), read_ours(pieces, bytes_max)
    compare("FrameReader", ours, model, model.ends, pieces)

    # The oracle looks at some faults only when the whole frame is there: so what is missing is added.
    if model.missing <= LARGE_BYTES_MAX and (model.oracle_ends or not model.ends):
        pieces = [data[: model.used] + bytes(model.missing)] if model.ends else pieces
        compare("the oracle", read_oracle(pieces), model, model.oracle_ends, pieces)
    end = next(iter(ours.ends), "waiting for more")
    return "closed" if end.startswith("closed") else end


def compare(name: str, reading: Reading, model: Reading, ends: set[str], pieces: list[bytes]) -> None:
    """Check a reading against the model's."""
    if reading.events != model.events:
        raise FindingError(f"{name} read {reading.events}, the model {model.events}", pieces)
    if not reading.ends <= ends or bool(reading.ends) != bool(ends):
        raise FindingError(f"{name} ended: {reading.ends or 'not'}; by the model: {ends or 'not'}", pieces)


if __name__ == "__main__":
    sys.exit(campaign(try_one, arguments(__doc__)))
