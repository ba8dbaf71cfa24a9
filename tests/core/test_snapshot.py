"""A room at rest: what is written is what is read, and what is damaged is refused."""

import json
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.errors import HostError
from breathing_room.core.events import Broke, Joined, Reported, Woken
from breathing_room.core.presence import Method
from breathing_room.core.room import Room
from breathing_room.core.snapshot import (
    MAGIC,
    POLLED,
    RESTORED,
    SILENT,
    Snapshot,
    decode_snapshot,
    encode_snapshot,
)
from breathing_room.core.visitors import KEY_BYTES
from core.playing import ANN, BOB, CAT, QUICK, Start, Trace, damages, events, play, restarts, starts, traces

TODAY_MS = 1_767_225_600_000  # an instant of as many digits as those of our time
METHODS: tuple[Method, ...] = ("counted", "stale", "unknown")
instants = st.integers(-(2**62), 2**62)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Draw anything that could be a snapshot, of a room or not."""
    moods = draw(st.lists(st.text(max_size=8), max_size=4).map(tuple))
    count = draw(st.integers(0, 6))
    key = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)

    def column(greatest: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(0, greatest), min_size=count, max_size=count)))

    facts = st.tuples(
        st.none() | st.integers(0, 2**40),
        st.integers(0, 2**40),
        st.none() | st.integers(0, 2**40),
        st.sampled_from(METHODS),
        st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
    )
    return Snapshot(
        room=draw(st.text(max_size=64)),
        as_of_ms=draw(instants),
        moods=moods,
        keys=b"".join(draw(st.sets(key, min_size=count, max_size=count))),
        mood_of=bytes(column(len(moods))),
        flags=bytes(column(SILENT | RESTORED | POLLED)),
        lease_left_ms=column(2**32 - 1),
        unknown_until_ms=draw(st.none() | instants),
        announced=draw(facts),
        announced_at_ms=draw(instants),
        saved_at_ms=draw(instants),
        told_apart=draw(st.booleans()),
        unsaved=draw(st.booleans()),
        label_shown=draw(st.none() | st.integers(0, 2**40)),
    )


@given(snapshots())
def test_what_is_written_is_read(snapshot: Snapshot) -> None:
    """Any snapshot comes back from its encoding as it was."""
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@given(starts, traces(events | restarts))
def test_what_rooms_come_to_is_written_and_read(start: Start, trace: Trace) -> None:
    """The snapshot of a room that went through anything comes back from its encoding as it was."""
    snapshot = play(start.host(), trace).room.snapshot()

    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


def a_room(start_ms: int = 1_000) -> Room:
    room = Room("lobby", QUICK, now_ms=start_ms)
    room.step(Joined("ann's", ANN, "calm"), now_ms=start_ms)
    room.step(Joined("bob's", BOB, "glad"), now_ms=start_ms + 100)
    room.step(Broke("bob's"), now_ms=start_ms + 110)
    room.step(Reported(CAT), now_ms=start_ms + 120)
    room.step(Woken(), now_ms=start_ms + 200)
    return room


def test_a_snapshot_says_everything() -> None:
    """People stand in columns in the order in which they came, each with mood, flags and what is left of the lease."""
    assert a_room().snapshot() == Snapshot(
        room="lobby",
        as_of_ms=1_200,
        moods=("calm", "glad"),
        keys=ANN + BOB + CAT,
        mood_of=b"\x00\x01\x02",
        flags=bytes([0, SILENT, POLLED]),
        lease_left_ms=(800, 250, 149_950),
        unknown_until_ms=None,
        announced=(3, 2, 3, "counted", (1, 1, 1)),
        announced_at_ms=1_200,
        saved_at_ms=1_000,
        told_apart=False,
        unsaved=True,
        label_shown=3,
    )


def test_a_person_takes_22_bytes() -> None:
    """A large room is written as one value: a header and 22 bytes for each person."""
    room = Room("lobby", QUICK, now_ms=0)
    empty = len(encode_snapshot(replace(room.snapshot(), saved_at_ms=10**12)))
    for index in range(1_000):
        room.step(Reported(ANN[:12] + struct.pack("<I", index)), now_ms=0)  # type: ignore[arg-type]

    assert len(encode_snapshot(room.snapshot())) == pytest.approx(empty + 22 * 1_000, abs=32)


def test_leases_are_counted_from_the_snapshot() -> None:
    """How many leases live at a later time is known without restoring anybody; an earlier time is as the snapshot's."""
    snapshot = a_room().snapshot()

    assert snapshot.count == 3
    assert [snapshot.live_count(at_ms) for at_ms in (0, 1_200, 1_449, 1_450, 1_999, 2_000, 151_149, 151_150)] == [
        3, 3, 3, 2, 2, 1, 1, 0,
    ]  # fmt: skip


def test_a_lease_beyond_the_column_is_cut() -> None:
    """A lease of over 49 days, which no config allows, is written as 49 days and does no harm."""
    snapshot = replace(a_room().snapshot(), lease_left_ms=(2**32, 2**40, 5))

    assert decode_snapshot(encode_snapshot(snapshot)).lease_left_ms == (2**32 - 1, 2**32 - 1, 5)


def test_every_damage_of_one_byte_is_survived() -> None:
    """A snapshot that is cut anywhere, or has any one wrong byte, is refused or restores to a room that adds up."""
    value = encode_snapshot(a_room(TODAY_MS).snapshot())
    read = 0

    for damaged in damages(value):
        try:
            snapshot = decode_snapshot(damaged)
        except HostError:
            continue
        assert len(damaged) == len(value), "what was cut short is never read"
        check_restored(snapshot)
        read += 1

    assert read > 3 * 22 * 200, "most of what is wrong in the columns can be read"


def written(header: object = None, columns: bytes = b"", **changes: Any) -> bytes:
    """Write a snapshot of nobody by hand, with some keys of the header changed."""
    if header is None:
        empty = encode_snapshot(Room("lobby", QUICK, now_ms=0).snapshot())
        header = json.loads(empty[8:]) | changes
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + columns


def test_a_snapshot_written_by_hand_is_read() -> None:
    """The helper of the next test writes what can be read, if nothing is changed."""
    assert decode_snapshot(written()).count == 0


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"BRS",
        b"BRS1",
        b"BRS1\0\0\0",
        b"BRS1\0\0\0\0",
        b"BRS1\xff\xff\xff\xff{}",
        written(b"[" * 100_000),
        written(b"\xff"),
        written([]),
        written(None, b"\0"),
        written({}),
        written(7),
        written("count"),
        written(count=1),
        written(None, b"\0" * 22, count=-1),
        written(count=None),
        written(count="0"),
        written(count=0.5),
        written(count=[]),
        written(as_of_ms=None),
        written(as_of_ms=float("inf")),
        written(as_of_ms=float("nan")),
        written(announced_at_ms=float("inf")),
        written(saved_at_ms="soon"),
        written(unknown_until_ms=float("inf")),
        written(label_shown=float("-inf")),
        written(moods=None),
        written(moods=7),
        written(announced=7),
        written(announced=[]),
        written(announced={}),
        written(announced=[0, 0, 0, "counted"]),
        written(announced=[0, 0, 0, "counted", None]),
        written(None, bytes(16) + b"\x03" + bytes(5), count=1),
    ],
    ids=lambda value: repr(value[4:60]),
)
def test_a_damaged_snapshot_is_refused(value: bytes) -> None:
    """Whatever is not a snapshot raises HostError and nothing else."""
    with pytest.raises(HostError):
        decode_snapshot(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"SQLite format 3", "not a snapshot"),
        (b"BRS2" + bytes(100), "a snapshot of a later version"),
        (encode_snapshot(a_room().snapshot())[:-1], "a snapshot that was cut short"),
    ],
)
def test_the_reason_is_said(value: bytes, reason: str) -> None:
    """The operator learns what is wrong with a stored value."""
    with pytest.raises(HostError, match=reason):
        decode_snapshot(value)


@given(st.binary() | st.binary().map(MAGIC.__add__))
def test_arbitrary_bytes_are_refused(value: bytes) -> None:
    """No bytes whatever raise anything but HostError."""
    with pytest.raises(HostError):
        decode_snapshot(value)


def test_two_people_of_one_key_are_no_two() -> None:
    """A damaged snapshot that names somebody twice is refused, or restores to a room that adds up."""
    value = encode_snapshot(replace(a_room(TODAY_MS).snapshot(), keys=ANN + ANN + CAT))

    try:
        snapshot = decode_snapshot(value)
    except HostError:
        return
    check_restored(snapshot)


def check_restored(snapshot: Snapshot) -> None:
    """Check that a room that is restored from a snapshot adds up."""
    room = Room.restore(snapshot, QUICK, now_ms=TODAY_MS + 200)
    presence = room.presence(now_ms=TODAY_MS + 200)
    assert sum(presence.moods.values()) + presence.unspoken == room.count
    assert 0 <= presence.low <= room.count
