"""RFC 6455 frames of a server: a parser of client frames, and encoders of the few frames that a server sends.

Made for very many idle sockets: between messages a reader buffers nothing. It is pure, so that it can be
fuzzed against another implementation without a network.
"""

import struct
from collections.abc import Iterator
from typing import Final

from breathing_room.core.wire import NOT_TEXT, NOT_UTF8, PROTOCOL_ERROR, TOO_BIG

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
RESERVED_BITS: Final = 0x70
MASKED: Final = 0x80
NO_STATUS: Final = 1005

_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")


class FrameError(Exception):
    """The client violated the protocol; ``code`` is the close code for it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def frame(opcode: int, payload: bytes) -> bytes:
    """Encode one unmasked frame, as servers must (section 5.1)."""
    length = len(payload)
    if length < 126:
        return bytes((FIN | opcode, length)) + payload
    if length < 65_536:
        return bytes((FIN | opcode, 126)) + _U16.pack(length) + payload
    return bytes((FIN | opcode, 127)) + _U64.pack(length) + payload


def text_frame(text: bytes) -> bytes:
    """Encode a text message as one frame."""
    return frame(TEXT, text)


def close_frame(code: int, reason: bytes = b"") -> bytes:
    """Encode a close frame; a reason has at most 123 bytes."""
    return frame(CLOSE, _U16.pack(code) + reason)


def read_close(payload: bytes) -> int:
    """Decode the status code of a close frame.

    Returns:
        The code, or ``NO_STATUS``.

    Raises:
        FrameError: The payload is not valid (sections 5.5.1, 7.4).
    """
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2])  # One byte alone is below 1000, and rejected with other invalid codes.
    if not (3000 <= code <= 4999 or 1000 <= code <= 1014) or code in {1004, 1005, 1006}:
        raise FrameError(PROTOCOL_ERROR)
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(NOT_UTF8) from None
    return code


class FrameReader:
    """Parses the frames of one client."""

    __slots__ = ("_fragment_count", "_fragments", "_pending")

    def __init__(self) -> None:
        self._pending = b""
        self._fragments: bytearray | None = None
        self._fragment_count = 0

    def feed(self, data: bytes, bytes_max: int) -> Iterator[tuple[int, bytes]]:
        """Parse bytes as they arrive.

        Args:
            data: The bytes, split anywhere.
            bytes_max: The longest message that is accepted.

        Yields:
            ``(TEXT, message)`` for whole messages, which are valid UTF-8, and ``(CLOSE | PING | PONG,
            payload)``.

        Raises:
            FrameError: The client violated the protocol. All messages before that were yielded.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        at = 0
        while (size := len(data) - at) >= 2:
            head, second = data[at], data[at + 1]
            opcode, length = head & 0x0F, second & 0x7F
            self._check_head(head, opcode, second, length)
            start = at + 2
            if length == 126:
                if size < 4:
                    break
                (length,) = _U16.unpack_from(data, start)
                start += 2
                if length < 126:
                    raise FrameError(PROTOCOL_ERROR)  # Section 5.2: the minimal number of bytes MUST be used.
            elif length == 127:
                if size < 10:
                    break
                (length,) = _U64.unpack_from(data, start)
                start += 8
                if not 65_536 <= length < 2**63:
                    raise FrameError(PROTOCOL_ERROR)
            # Rejected by its declared length, before any of its payload is buffered.
            if opcode < CLOSE and length + len(self._fragments or b"") > bytes_max:
                raise FrameError(TOO_BIG)
            end = start + 4 + length
            if len(data) < end:
                break
            payload = _unmask(data[start + 4 : end], data[start : start + 4])
            at = end
            if opcode >= CLOSE:
                yield opcode, payload
            elif (message := self._assemble(head & FIN, opcode, payload, bytes_max)) is not None:
                yield TEXT, message
        self._pending = data[at:]

    def _check_head(self, head: int, opcode: int, second: int, length: int) -> None:
        """Reject a frame by its first two bytes."""
        if head & RESERVED_BITS or not second & MASKED:
            raise FrameError(PROTOCOL_ERROR)
        if opcode >= CLOSE:
            if opcode > PONG or not head & FIN or length > 125:
                raise FrameError(PROTOCOL_ERROR)
        elif opcode == BINARY:
            raise FrameError(NOT_TEXT)
        elif opcode > BINARY or (opcode == CONTINUATION) == (self._fragments is None):
            # A reserved opcode, a continuation without a beginning, or a new message inside another.
            raise FrameError(PROTOCOL_ERROR)

    def _assemble(self, final: int, opcode: int, payload: bytes, bytes_max: int) -> bytes | None:
        """Add a fragment; return the message when it is complete, None before."""
        if opcode == TEXT and final:
            message = payload
        else:
            if self._fragments is None:
                self._fragments = bytearray()
            self._fragments += payload
            self._fragment_count += 1
            if not final:
                # Fragments may be empty, so a limit on bytes alone would allow endless messages.
                if self._fragment_count > bytes_max:
                    raise FrameError(TOO_BIG)
                return None
            message = bytes(self._fragments)
            self._fragments = None
            self._fragment_count = 0
        try:
            message.decode()
        except UnicodeDecodeError:
            raise FrameError(NOT_UTF8) from None
        return message


def _unmask(payload: bytes, mask: bytes) -> bytes:
    """Undo the masking of section 5.3; as one XOR of two large integers it runs at the speed of C."""
    length = len(payload)
    pad = int.from_bytes((mask * (length // 4 + 1))[:length], "little")
    return (int.from_bytes(payload, "little") ^ pad).to_bytes(length, "little")
