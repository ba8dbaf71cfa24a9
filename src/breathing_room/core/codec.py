"""The binary form of stored values, and of those sent between machines: a JSON header, and columns behind it.

::

    4 B magic | u32 header length | header | columns

The magic names the format and its version. The header is a JSON object and holds the number of rows, which is
the length of every column. Integers are little-endian. Snapshots, deltas, reports and updates of shards, and
rows of hibernated objects are encoded so.

Decoding trusts nothing. A value of another format is a ``HostError`` at once; a damaged one raises one of
``DAMAGE`` while its header or its columns are read, and the decoder of each format turns that into a
``HostError`` of its own.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from breathing_room.core.errors import HostError
from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.leases import Leases

SHARD_MAGIC: Final = b"BRK1"

DAMAGE: Final = (
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What reading a damaged value may raise: a header of another shape, a number that is none, a column that is
too short.
"""

_LENGTH: Final = struct.Struct("<I")
_U32_MAX: Final = 2**32 - 1


def write(magic: bytes, header: Mapping[str, Any], *columns: bytes) -> bytes:
    """Encode a header and columns as one value."""
    encoded = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((magic, _LENGTH.pack(len(encoded)), encoded, *columns))


def read(magic: bytes, value: bytes, what: str) -> "tuple[Any, ColumnReader]":
    """Decode the header of a value; return it with a reader of the columns.

    Args:
        magic: That of the format.
        value: What ``write`` returned.
        what: The expected kind of value, with its article, for the error message.

    Raises:
        HostError: It is of another format, or of a later version.
        DAMAGE: It is cut short, or its header is not JSON.
    """
    if value[: len(magic)] != magic:
        is_later = value[: len(magic) - 1] == magic[:-1]
        raise HostError(f"{what} of a later version" if is_later else f"not {what}")
    (length,) = _LENGTH.unpack_from(value, len(magic))
    start = len(magic) + _LENGTH.size
    return json.loads(value[start : start + length]), ColumnReader(value, start + length)


def pack_u32(numbers: Iterable[int]) -> bytes:
    """Encode a column of numbers; those beyond 32 bits become the greatest that fits."""
    fitting = [min(number, _U32_MAX) for number in numbers]
    return struct.pack(f"<{len(fitting)}I", *fitting)


def lease_columns(leases: Leases) -> tuple[bytes, ...]:
    """Encode leases: 22 bytes each, and 4 more for each that has a ticket."""
    return leases.keys, leases.mood_of, leases.flags, pack_u32(leases.left_ms), pack_u32(leases.tickets)


def split_keys(keys: bytes) -> tuple[VisitorKey, ...]:
    """Split concatenated keys."""
    return tuple(VisitorKey(keys[at : at + KEY_BYTES]) for at in range(0, len(keys), KEY_BYTES))


def read_count(value: Any) -> int:
    """Return a value of a header if it is a whole number from 0 to 2^53.

    Raises:
        ValueError: It is not.
    """
    if type(value) is not int or not 0 <= value <= 2**53:
        raise ValueError
    return value


def read_number(value: Any, *, least: float = 0.0, most: float = 2.0**53) -> float:
    """Return a value of a header if it is a finite number in a range.

    Raises:
        ValueError: It is not.
    """
    if type(value) not in {int, float} or not isfinite(value) or not least <= value <= most:
        raise ValueError
    return float(value)


class ColumnReader:
    """Reads the columns of a value, one after another. Every method raises ``ValueError`` for a column that
    is not valid.

    Args:
        value: The whole value.
        at: Where the columns begin.
    """

    def __init__(self, value: bytes, at: int) -> None:
        self._value = value
        self._at = at

    def take(self, size: int) -> bytes:
        """Read a number of bytes."""
        taken = self._value[self._at : self._at + size]
        if size < 0 or len(taken) != size:
            raise ValueError
        self._at += size
        return taken

    def keys(self, count: int) -> bytes:
        """Read distinct keys."""
        keys = self.take(count * KEY_BYTES)
        if len({keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)}) != count:
            raise ValueError
        return keys

    def moods(self, count: int, moods_count: int) -> bytes:
        """Read moods: indices into the declared ones, or one past the last."""
        moods = self.take(count)
        if moods and max(moods) > moods_count:
            raise ValueError
        return moods

    def numbers(self, count: int) -> tuple[int, ...]:
        """Read numbers that ``pack_u32`` encoded."""
        return struct.unpack(f"<{count}I", self.take(4 * count))

    def leases(self, count: int, moods_count: int, *, tickets: bool) -> Leases:
        """Read leases that ``lease_columns`` encoded."""
        return Leases(
            keys=self.keys(count),
            mood_of=self.moods(count, moods_count),
            flags=self.take(count),
            left_ms=self.numbers(count),
            tickets=self.numbers(count) if tickets else (),
        )

    def end(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._value):
            raise ValueError


def pack(header: Mapping[str, Any], *values: bytes) -> bytes:
    """Encode a header and values of any length as one value: what shards send, and keep while hibernated."""
    return write(SHARD_MAGIC, {**header, "sizes": [len(value) for value in values]}, *values)


def unpack(value: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Decode what ``pack`` encoded.

    Raises:
        HostError: It is of another format, damaged, or of a later version.
    """
    try:
        header, columns = read(SHARD_MAGIC, value, "a message of a shard")
        values = [columns.take(size) for size in header.pop("sizes")]
        columns.end()
    except DAMAGE as error:
        raise HostError("a damaged message of a shard") from error
    return header, values
