"""Snapshots: they are decoded as they were encoded, and damage is rejected."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.errors import HostError
from breathing_room.core.events import Disconnected, Event, Joined, LegacyReported, PanelReported, TimerFired
from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.leases import RESTORED, SUSPECT, Leases
from breathing_room.core.panel import ARRIVALS_MS
from breathing_room.core.presence import Counts, Method
from breathing_room.core.room import Room
from breathing_room.core.snapshot import (
    MAGIC,
    LegacySnapshot,
    PanelSnapshot,
    Snapshot,
    decode_snapshot,
    encode_snapshot,
)
from breathing_room.core.tickets import TICKETS
from core.playing import (
    ANN,
    BOB,
    CAT,
    QUICK,
    Start,
    Trace,
    damages,
    events,
    legacy,
    play,
    restarts,
    starts,
    traces,
    visitor,
)

TODAY_MS = 1_767_225_600_000  # an instant of as many digits as those of our time
METHODS: tuple[Method, ...] = ("counted", "stale", "unknown")
DAN, EVE = visitor("dan"), visitor("eve")
instants = st.integers(-(2**62), 2**62)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Draw anything that could be a snapshot, of a room or not."""
    moods = draw(st.lists(st.text(max_size=8), max_size=4).map(tuple))
    key = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
    floats = st.floats(0, 1e9)

    def column(count: int, greatest: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(0, greatest), min_size=count, max_size=count)))

    def keys(count: int) -> bytes:
        return b"".join(draw(st.sets(key, min_size=count, max_size=count)))

    def leases(*, tickets: bool) -> Leases:
        count = draw(st.integers(0, 6))
        return Leases(
            keys=keys(count),
            mood_of=bytes(column(count, len(moods))),
            flags=bytes(column(count, SUSPECT | RESTORED)),
            left_ms=column(count, 2**32 - 1),
            tickets=column(count if tickets else 0, TICKETS - 1),
        )

    sessions, repeats = draw(st.integers(0, 6)), draw(st.integers(0, 6))

    people = st.integers(0, 2**40)
    facts = st.builds(
        Counts,
        st.none() | people,
        people,
        st.none() | people,
        st.sampled_from(METHODS),
        st.lists(st.none() | st.tuples(people, people, people), max_size=4).map(tuple),
        st.floats(0, 1),
    )
    return Snapshot(
        room=draw(st.text(max_size=64)),
        as_of_ms=draw(instants),
        moods=moods,
        members=leases(tickets=False),
        panel=PanelSnapshot(
            seats=leases(tickets=True),
            expired=leases(tickets=True),
            since_ms=draw(instants),
            rates=tuple(
                draw(st.lists(st.tuples(instants, st.floats(0, 1, exclude_min=True)), min_size=1, max_size=3))
            ),
            changed_at_ms=draw(instants),
            arrivals_per_ms=draw(floats),
            arrived_at_ms=draw(instants),
        ),
        legacy=LegacySnapshot(
            keys=keys(sessions),
            mood_of=bytes(column(sessions, len(moods))),
            ages_ms=column(sessions, 2**32 - 1),
            repeat_mood_of=bytes(column(repeats, len(moods))),
            repeat_ages_ms=column(repeats, 2**32 - 1),
            since_ms=draw(st.none() | instants),
        ),
        unknown_until_ms=draw(st.none() | instants),
        counted_at_ms=draw(instants),
        broadcast=draw(facts),
        broadcast_at_ms=draw(instants),
        saved_at_ms=draw(instants),
        reply_ahead=draw(st.booleans()),
        has_unsaved_changes=draw(st.booleans()),
        label_shown=draw(st.none() | st.integers(0, 2**40)),
    )


@given(snapshots())
def test_a_snapshot_is_decoded_as_it_was_encoded(snapshot: Snapshot) -> None:
    """Any snapshot is decoded as it was encoded."""
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@given(starts, traces(events | legacy | restarts))
def test_the_snapshot_of_a_room_is_decoded_as_it_was_encoded(start: Start, trace: Trace) -> None:
    """The snapshot of a room after any trace is decoded as it was encoded."""
    snapshot = play(start.host(), trace).room.snapshot()

    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


def a_room(start_ms: int = 1_000) -> Room:
    room = Room("lobby", QUICK, now_ms=start_ms)
    room.step(Joined("ann's", ANN, "calm"), now_ms=start_ms)
    room.step(Joined("bob's", BOB, "glad"), now_ms=start_ms + 100)
    room.step(Disconnected("bob's"), now_ms=start_ms + 110)
    room.step(PanelReported(CAT, 0.25), now_ms=start_ms + 120)
    room.step(TimerFired(), now_ms=start_ms + 200)
    return room


def a_room_with_legacy_reports(start_ms: int = 1_000) -> Room:
    room = a_room(start_ms)
    for at_ms in (210, 220, 230):
        room.step(LegacyReported(DAN, "glad" if at_ms == 210 else "calm"), now_ms=start_ms + at_ms)
    room.step(LegacyReported(EVE, "glad"), now_ms=start_ms + 240)
    return room


def test_a_snapshot_has_every_part_of_a_room() -> None:
    """A snapshot has all leases in the order of their joins, each with mood, flags and what is left."""
    assert a_room().snapshot() == Snapshot(
        room="lobby",
        as_of_ms=1_200,
        moods=("calm", "glad"),
        members=Leases(keys=ANN + BOB, mood_of=b"\x00\x01", flags=bytes([0, SUSPECT]), left_ms=(800, 250)),
        panel=PanelSnapshot(
            seats=Leases(keys=CAT, mood_of=b"\x02", flags=b"\0", left_ms=(149_950,), tickets=(2**30,)),
            since_ms=1_000,
            rates=((0, 1.0),),
            changed_at_ms=1_000,
            arrivals_per_ms=1 / ARRIVALS_MS,
            arrived_at_ms=1_120,
        ),
        legacy=LegacySnapshot(),
        unknown_until_ms=None,
        counted_at_ms=1_120,
        broadcast=Counts(3, 2, 3, "counted", ((1, 1, 1), (1, 0, 1), (1, 1, 1)), 1.0),
        broadcast_at_ms=1_200,
        saved_at_ms=1_000,
        reply_ahead=False,
        has_unsaved_changes=True,
        label_shown=3,
    )


def test_a_snapshot_has_legacy_reports() -> None:
    """A snapshot has the sessions and repeats of legacy clients, each with mood and age, the latest last."""
    assert a_room_with_legacy_reports().snapshot().legacy == LegacySnapshot(
        keys=DAN + EVE,
        mood_of=b"\x00\x01",
        ages_ms=(10, 0),
        repeat_mood_of=b"\x00",
        repeat_ages_ms=(10,),
        since_ms=1_210,
    )


@pytest.mark.parametrize(
    ("size", "event"),
    [
        (22, Joined),
        (26, lambda _, key: PanelReported(key, 0.5)),
        (21, lambda _, key: LegacyReported(key, "calm")),
    ],
)
def test_a_visitor_takes_few_bytes(size: int, event: Callable[[int, VisitorKey], Event]) -> None:
    """A snapshot takes 22 bytes for each member, 26 for a seat and 21 for a session, and a header."""
    room = Room("lobby", replace(QUICK, panel_size=1_000), now_ms=0)
    empty = len(encode_snapshot(replace(room.snapshot(), saved_at_ms=10**12)))
    for index in range(1_000):
        room.step(event(index, VisitorKey(ANN[:12] + struct.pack("<I", index))), now_ms=0)

    assert len(encode_snapshot(room.snapshot())) == pytest.approx(empty + size * 1_000, abs=64)


def test_leases_are_counted_from_the_snapshot() -> None:
    """A snapshot counts the leases that live at a later time, without a restore; an earlier time counts as
    its own.
    """
    snapshot = a_room().snapshot()

    assert snapshot.count == 3
    assert [snapshot.live_count(at_ms) for at_ms in (0, 1_200, 1_449, 1_450, 1_999, 2_000, 151_149, 151_150)] == [
        3, 3, 3, 2, 2, 1, 1, 0,
    ]  # fmt: skip


def test_a_lease_beyond_the_column_is_cut() -> None:
    """A lease of over 49 days, which no config allows, is encoded as 49 days."""
    snapshot = a_room().snapshot()
    snapshot = replace(snapshot, members=replace(snapshot.members, left_ms=(2**32, 2**40)))

    assert decode_snapshot(encode_snapshot(snapshot)).members.left_ms == (2**32 - 1, 2**32 - 1)


@pytest.mark.soak
def test_every_damage_of_one_byte_is_survived() -> None:
    """A snapshot that is truncated, or has one wrong byte, is rejected or restored to a consistent room."""
    value = encode_snapshot(a_room_with_legacy_reports(TODAY_MS).snapshot())
    read = tried = 0

    for damaged in damages(value):
        tried += len(damaged) == len(value)
        try:
            snapshot = decode_snapshot(damaged)
        except HostError:
            continue
        assert len(damaged) == len(value), "a truncated value is never decoded"
        check_restored(snapshot)
        read += 1

    columns = 3 * 22 / len(value)
    assert read / tried > columns * 200 / 255, "most wrong bytes in the columns can be decoded"


def written(header: object = None, columns: bytes = b"", **changes: Any) -> bytes:
    """Return the bytes of an empty snapshot, with some keys of the header changed."""
    if header is None:
        empty = encode_snapshot(Room("lobby", QUICK, now_ms=0).snapshot())
        header = json.loads(empty[8:]) | changes
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + columns


WRONG_COUNTS: tuple[object, ...] = (-1, None, "0", 0.5, [])
PANEL = json.loads(written()[8:])["panel"]


def test_a_snapshot_written_by_hand_is_read() -> None:
    """The bytes of the helper are decoded if nothing is changed."""
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
        written(counts=[1, 0, 0, 0, 0]),
        written(counts=[0, 0, 0, 0]),
        *(
            written(None, b"\0" * 26, counts=[*[0] * at, count, *[0] * (4 - at)])
            for at in range(5)
            for count in WRONG_COUNTS
        ),
        written(counts=None),
        written(counts=0),
        written(panel=None),
        written(panel={}),
        written(panel=[]),
        *(
            written(panel=PANEL | {"rates": rates})
            for rates in ([], [[0, 0]], [[0, 1.5]], [[0, float("nan")]], 1)
        ),
        written(coins=None),
        written(coins={}),
        written(coins={"since_ms": "soon"}),
        written(described_at_ms=None),
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
        written(announced=[0, 0, 0, "counted", None, 1.0]),
        written(None, bytes(16) + b"\x03" + bytes(5), counts=[1, 0, 0, 0, 0]),
        written(None, bytes(16) + b"\x03" + bytes(9), counts=[0, 1, 0, 0, 0]),
        written(None, bytes(16) + b"\x03" + bytes(4), counts=[0, 0, 0, 1, 0]),
        written(None, b"\x03" + bytes(4), counts=[0, 0, 0, 0, 1]),
        written(None, bytes(44), counts=[2, 0, 0, 0, 0]),
        written(None, bytes(42), counts=[0, 0, 0, 2, 0]),
    ],
    ids=lambda value: repr(value[4:60]),
)
def test_a_damaged_snapshot_is_rejected(value: bytes) -> None:
    """A damaged snapshot raises HostError and nothing else."""
    with pytest.raises(HostError):
        decode_snapshot(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"SQLite format 3", "not a snapshot"),
        (b"BRS2" + bytes(100), "a snapshot of a later version"),
        (encode_snapshot(a_room().snapshot())[:-1], "a damaged snapshot"),
    ],
)
def test_the_error_has_the_reason(value: bytes, reason: str) -> None:
    """The error names what is wrong with a stored value."""
    with pytest.raises(HostError, match=reason):
        decode_snapshot(value)


@given(st.binary() | st.binary().map(MAGIC.__add__))
def test_arbitrary_bytes_are_rejected(value: bytes) -> None:
    """Any bytes raise HostError and nothing else."""
    with pytest.raises(HostError):
        decode_snapshot(value)


def check_restored(snapshot: Snapshot) -> None:
    """Check that the presence of a room restored from a snapshot is consistent."""
    room = Room.restore(snapshot, QUICK, now_ms=TODAY_MS + 200)
    presence = room.presence(now_ms=TODAY_MS + 200)
    known = sum(presence.people.values())
    assert presence.count in {known, None}
    assert 0 <= presence.low <= known
    assert presence.high is None or presence.high >= known
    room.step(TimerFired(), now_ms=TODAY_MS + 400_000)
