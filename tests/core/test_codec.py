"""The binary form of stored and sent values: it is stable byte for byte, and damage is detected."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.codec import (
    DAMAGE,
    ColumnReader,
    lease_columns,
    pack,
    pack_u32,
    read,
    read_count,
    read_number,
    split_keys,
    unpack,
    write,
)
from breathing_room.core.errors import HostError
from breathing_room.core.leases import RESTORED, SUSPECT, Leases

MAGIC = b"BRX1"
ANN, BOB = b"ann".ljust(16, b"."), b"bob".ljust(16, b".")
TWO = Leases(
    keys=ANN + BOB,
    mood_of=b"\x02\x00",
    flags=bytes([0, SUSPECT | RESTORED]),
    left_ms=(800, 2**32 - 1),
    tickets=(0, 2**31),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
headers = st.dictionaries(st.text(max_size=8), json_values, max_size=4)


def test_a_value_is_the_magic_the_length_the_header_and_the_columns() -> None:
    """Values stored by earlier versions begin with the magic, a
    little-endian length and JSON without spaces.
    """
    assert write(MAGIC, {"a": 1, "b": [2]}, b"xy", b"z") == b'BRX1\x0f\0\0\0{"a":1,"b":[2]}xyz'


@given(headers, st.lists(st.binary(max_size=20), max_size=4))
def test_a_value_is_decoded_as_it_was_encoded(header: dict[str, object], columns: list[bytes]) -> None:
    """The header and each column are decoded as they were encoded, with no bytes left."""
    found, reader = read(MAGIC, write(MAGIC, header, *columns), "a value")

    assert found == header
    assert [reader.take(len(column)) for column in columns] == columns
    reader.end()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not a value"),
        (b"SQLite format 3", "not a value"),
        (b"BRX2" + bytes(20), "a value of a later version"),
    ],
)
def test_another_format_is_rejected(value: bytes, reason: str) -> None:
    """Another format and a later version are rejected with the reason, before the header is decoded."""
    with pytest.raises(HostError, match=f"^{reason}$"):
        read(MAGIC, value, "a value")


@pytest.mark.parametrize(
    "value",
    [
        MAGIC,
        MAGIC + b"\x02\0\0",
        MAGIC + b"\x02\0\0\0",
        MAGIC + b"\x02\0\0\0{",
        MAGIC + b"\x01\0\0\0\xff",
        MAGIC + b"\xff\xff\xff\xff{}",
        write(MAGIC, {})[:4] + (100_000).to_bytes(4, "little") + b"[" * 100_000,
    ],
    ids=lambda value: repr(value[4:20]),
)
def test_a_damaged_header_is_damage(value: bytes) -> None:
    """A header that is truncated, no JSON or nested too deep raises one of ``DAMAGE``."""
    try:
        header, reader = read(MAGIC, value, "a value")
    except DAMAGE:
        return
    assert header == {}
    with pytest.raises(ValueError, match=r"^$"):
        reader.end()


def test_leases_take_22_bytes_and_26_with_a_ticket() -> None:
    """Columns of leases are keys, moods, flags, what is left and
    tickets, and are decoded as the same leases.
    """
    value = b"".join(lease_columns(TWO))
    reader = ColumnReader(value, 0)

    assert value == (
        ANN + BOB + b"\x02\x00" + b"\x00\x03" + b"\x20\x03\0\0\xff\xff\xff\xff" + b"\0\0\0\0\0\0\0\x80"
    )
    assert len(value) == 2 * 26
    assert reader.leases(2, 2, tickets=True) == TWO
    reader.end()


def test_a_number_beyond_its_column_is_cut() -> None:
    """A number beyond 32 bits is written as the greatest that fits."""
    assert ColumnReader(pack_u32((0, 2**32, 2**40)), 0).numbers(3) == (0, 2**32 - 1, 2**32 - 1)


def test_keys_are_split() -> None:
    """Keys that stand one after another are split by their length."""
    assert split_keys(ANN + BOB + ANN) == (ANN, BOB, ANN)
    assert split_keys(b"") == ()


@pytest.mark.parametrize(
    "take",
    [
        lambda reader: reader.take(-1),
        lambda reader: reader.take(53),
        lambda reader: reader.keys(-1),
        lambda reader: reader.keys(4),
        lambda reader: reader.numbers(14),
        lambda reader: reader.moods(1, 96),
        lambda reader: reader.leases(2, 1, tickets=True),
        lambda reader: reader.end(),
    ],
)
def test_an_impossible_column_is_damage(take: Callable[[ColumnReader], object]) -> None:
    """A column that is too short, of a negative length or with an undeclared mood is rejected; so are bytes
    left over.
    """
    reader = ColumnReader(b"".join(lease_columns(TWO)), 0)

    with pytest.raises(ValueError, match=r"^$"):
        take(reader)


def test_a_key_that_stands_twice_is_damage() -> None:
    """No visitor has two leases of one kind."""
    with pytest.raises(ValueError, match=r"^$"):
        ColumnReader(ANN + ANN, 0).keys(2)


@given(headers, st.lists(st.binary(max_size=20), max_size=4))
def test_values_are_unpacked_as_they_were_packed(header: dict[str, object], values: list[bytes]) -> None:
    """A header and values of any length are unpacked as they were packed."""
    header.pop("sizes", None)

    assert unpack(pack(header, *values)) == (header, values)


def test_packed_values_have_stable_bytes() -> None:
    """A packed value has the magic of shards, and the sizes at the end of the header: hibernated objects hold
    such values.
    """
    assert pack({"number": 1}, b"xy", b"") == b'BRK1\x1a\0\0\0{"number":1,"sizes":[2,0]}xy'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not a message of a shard"),
        (b"BRK2" + bytes(20), "a message of a shard of a later version"),
        (pack({}, b"xy")[:-1], "a damaged message of a shard"),
        (pack({}, b"xy") + b"z", "a damaged message of a shard"),
        *(
            (write(b"BRK1", {"sizes": sizes}, b"xy"), "a damaged message of a shard")
            for sizes in (None, 2, ["2"], [2.0], [3, -1], [float("inf")])
        ),
        (write(b"BRK1", {}, b"xy"), "a damaged message of a shard"),
        (b"BRK1\x02\0\0\0[]", "a damaged message of a shard"),
    ],
)
def test_values_of_other_sizes_are_rejected(value: bytes, reason: str) -> None:
    """Sizes of a wrong type or sum are a HostError."""
    with pytest.raises(HostError, match=f"^{reason}$"):
        unpack(value)


@pytest.mark.parametrize("value", [-1, 2**53 + 1, 1.0, True, "1", None, float("inf"), [1]])
def test_a_value_that_is_no_count_is_damage(value: object) -> None:
    """A count is a whole number, from 0 to the greatest that every reader of JSON can hold."""
    assert [read_count(count) for count in (0, 7, 2**53)] == [0, 7, 2**53]
    with pytest.raises(ValueError):  # noqa: PT011 - damage has no message
        read_count(value)


@pytest.mark.parametrize("value", [0, 1.5, float("inf"), float("nan"), True, "0.5", None])
def test_a_number_outside_its_range_is_damage(value: object) -> None:
    """A number is finite and in the range of its field, an int or a float."""
    assert [read_number(number, least=0.25, most=1) for number in (0.25, 0.5, 1)] == [0.25, 0.5, 1.0]
    with pytest.raises(ValueError):  # noqa: PT011 - damage has no message
        read_number(value, least=0.25, most=1)
