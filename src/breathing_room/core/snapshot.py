"""A room at rest: everything that it would need to go on as if nothing had happened.

People are kept in columns, 22 bytes each, so that a snapshot of 100,000 people is taken in milliseconds and
written as one value. The encoding is a magic word, the length of a JSON header, the header, the columns::

    b"BRS1" | u32 header length | header | 16 B keys | 1 B moods | 1 B flags | u32 lease left, ms

Integers are little-endian, and every column is as long as the header's ``count`` says.
"""

import json
import struct
from dataclasses import dataclass
from typing import Final

from breathing_room.core.errors import HostError
from breathing_room.core.presence import Facts
from breathing_room.core.visitors import KEY_BYTES

MAGIC: Final = b"BRS1"

SILENT: Final = 1
RESTORED: Final = 2
POLLED: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A room at an instant.

    Attributes:
        room: The room's name.
        as_of_ms: The room's time when it was taken.
        moods: The moods declared then, which the column of moods counts through; one past the last: unspoken.
        keys: The visitors' keys, one after another.
        mood_of: One byte a person.
        flags: One byte a person, of SILENT, RESTORED and POLLED.
        lease_left_ms: A person's lease at ``as_of_ms``.
        unknown_until_ms: Until when the room does not know its count, or None.
        announced: What was announced last, as the room compares it.
        announced_at_ms: When that was.
        saved_at_ms: When the room last asked to be saved.
        told_apart: Whether somebody was told, since then, what not everybody was.
        unsaved: Whether anything happened since it was saved.
        label_shown: The figure that the label shows, or None.
    """

    room: str
    as_of_ms: int
    moods: tuple[str, ...]
    keys: bytes
    mood_of: bytes
    flags: bytes
    lease_left_ms: tuple[int, ...]
    unknown_until_ms: int | None
    announced: Facts
    announced_at_ms: int
    saved_at_ms: int
    told_apart: bool
    unsaved: bool
    label_shown: int | None

    @property
    def count(self) -> int:
        """People in it."""
        return len(self.mood_of)

    def live_count(self, now_ms: int) -> int:
        """People whose leases have not ended by then."""
        elapsed_ms = max(0, now_ms - self.as_of_ms)
        return sum(left_ms > elapsed_ms for left_ms in self.lease_left_ms)


_HEADER_KEYS: Final = (
    "room", "as_of_ms", "moods", "unknown_until_ms", "announced", "announced_at_ms", "saved_at_ms", "told_apart",
    "unsaved",
    "label_shown",
)  # fmt: skip


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot as one value for a store."""
    header = json.dumps(
        {"count": snapshot.count} | {key: getattr(snapshot, key) for key in _HEADER_KEYS},
        separators=(",", ":"),
    ).encode()
    leases = struct.pack(f"<{snapshot.count}I", *(min(left, 0xFFFF_FFFF) for left in snapshot.lease_left_ms))
    return b"".join(
        (
            MAGIC,
            struct.pack("<I", len(header)),
            header,
            snapshot.keys,
            snapshot.mood_of,
            snapshot.flags,
            leases,
        )
    )


def decode_snapshot(value: bytes) -> Snapshot:
    """Read a snapshot back.

    Raises:
        HostError: It is not one of ours, cut short, damaged, or of a later version.
    """
    if value[:4] != MAGIC:
        later = value[:3] == MAGIC[:3]
        raise HostError("a snapshot of a later version" if later else "not a snapshot")
    try:
        (header_bytes,) = struct.unpack_from("<I", value, 4)
        header = json.loads(value[8 : 8 + header_bytes])
        count = header["count"]
        at = 8 + header_bytes
        if len(value) != at + count * (KEY_BYTES + 6):
            raise HostError("a snapshot that was cut short")
        keys, mood_of, flags = (
            value[at : at + count * KEY_BYTES],
            value[at + count * KEY_BYTES : at + count * (KEY_BYTES + 1)],
            value[at + count * (KEY_BYTES + 1) : at + count * (KEY_BYTES + 2)],
        )
        announced = header["announced"]
        snapshot = Snapshot(
            room=str(header["room"]),
            as_of_ms=int(header["as_of_ms"]),
            moods=tuple(map(str, header["moods"])),
            keys=keys,
            mood_of=mood_of,
            flags=flags,
            lease_left_ms=struct.unpack_from(f"<{count}I", value, at + count * (KEY_BYTES + 2)),
            unknown_until_ms=None if header["unknown_until_ms"] is None else int(header["unknown_until_ms"]),
            announced=(announced[0], announced[1], announced[2], announced[3], tuple(announced[4])),
            announced_at_ms=int(header["announced_at_ms"]),
            saved_at_ms=int(header["saved_at_ms"]),
            told_apart=bool(header["told_apart"]),
            unsaved=bool(header["unsaved"]),
            label_shown=None if header["label_shown"] is None else int(header["label_shown"]),
        )
    except (struct.error, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise HostError("a damaged snapshot") from error
    different = {keys[index : index + KEY_BYTES] for index in range(0, len(keys), KEY_BYTES)}
    if len(different) != count or (mood_of and max(mood_of) > len(snapshot.moods)):
        raise HostError("a damaged snapshot")
    return snapshot
