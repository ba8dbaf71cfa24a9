"""What lies in the store, and where."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from breathing_room.core.errors import HostError
from breathing_room.core.identity import VisitorKey
from breathing_room.core.wire import encode
from breathing_room.core.write_policies.records import Record, encode_records
from breathing_room.hosts.common.store_mode.records import (
    CONTROL,
    Control,
    RoomControl,
    decode_control,
    encode_control,
    read_control,
    read_values,
)
from breathing_room.stores import MemoryStore

ROOM = RoomControl(
    rates=((0, 0.5), (9, 1.0)), changed_at_ms=7, since_ms=3, expired=((5, 2**31),), arrivals_per_ms=0.25
)
CONTROL_OF = Control(as_of_ms=10, epoch=2, rooms={"lobby": ROOM})
ROOM_BODY = {"rates": [[0, 0.5]], "changed_at_ms": 7, "since_ms": 3, "lapsed": [], "arrivals_per_ms": 0.0}

WRONG: tuple[dict[str, Any], ...] = (
    {"rates": []},
    {"rates": [[0, 0]]},
    {"rates": [[0, 1.5]]},
    {"rates": [[0]]},
    {"lapsed": None},
)


def values(number: int) -> bytes:
    return encode_records([Record(VisitorKey(bytes([number]) * 16), 0.5, None, 1_000, here=True)])


def test_what_is_written_is_read() -> None:
    """A control comes back as it was, with pairs as pairs and whole numbers as such."""
    assert decode_control(encode_control(CONTROL_OF)) == CONTROL_OF
    assert decode_control(encode_control(Control(as_of_ms=1, epoch=0))).rooms == {}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"as_of_ms": 1, "epoch": 2, "rooms": []},
        {"as_of_ms": 1, "epoch": "x", "rooms": {}},
        *({"as_of_ms": 1, "epoch": 2, "rooms": {"lobby": ROOM_BODY | wrong}} for wrong in WRONG),
    ],
)
def test_a_damaged_control_is_refused(body: Any) -> None:
    """What lacks a part, or has a rate that can be none, is damaged as a whole: half of it would be wrong."""
    with pytest.raises(HostError, match="damaged"):
        decode_control(encode(body))


@pytest.mark.parametrize("value", [b"", b"\xff", b"[" * 100_000, b"1e999", b"null"])
def test_bytes_of_any_kind_are_refused(value: bytes) -> None:
    """Bytes that are no JSON, too deep, too large or no object are one error, and no other."""
    with pytest.raises(HostError):
        decode_control(value)


async def test_a_control_that_cannot_be_read_is_none(caplog: pytest.LogCaptureFixture) -> None:
    """Before the controller ran and after damage there is no control; damage is logged, since the next run
    repairs it.
    """
    store = MemoryStore()
    assert await read_control(store) is None
    await store.put(CONTROL, encode_control(CONTROL_OF))
    assert await read_control(store) == CONTROL_OF
    await store.put(CONTROL, b"{")
    with caplog.at_level(logging.ERROR):
        assert await read_control(store) is None
    assert "damaged" in caplog.text


async def test_values_of_one_room_in_the_order_of_their_keys(caplog: pytest.LogCaptureFixture) -> None:
    """All batches of a room are read in order; those of other rooms, whose names may begin alike, are not; a
    damaged one is logged and left out.
    """
    store = MemoryStore()
    for number, key in enumerate(("lobby/b/1", "lobby/a/2", "lobby-2/a/1", "garden/a/1")):
        await store.put(f"reports/{key}", values(number))
    await store.put("reports/lobby/a/1", b"damaged")
    with caplog.at_level(logging.ERROR):
        assert await read_values(store, "lobby") == [values(1), values(0)]
    assert "reports/lobby/a/1" in caplog.text


async def test_a_value_whose_time_ends_meanwhile_is_passed_over() -> None:
    """A key that was listed and is gone when it is read is no error."""

    class Fading(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            return None if key.endswith("/1") else await super().get(key)

    store = Fading()
    for number in (1, 2):
        await store.put(f"reports/lobby/a/{number}", values(number))
    assert await read_values(store, "lobby") == [values(2)]


def test_a_room_that_the_control_does_not_name_is_new() -> None:
    """In a room that the controller has not seen every visitor is in the sample, since the controller's last
    run.
    """
    assert CONTROL_OF.room("lobby") == ROOM
    assert CONTROL_OF.room("new") == RoomControl(changed_at_ms=10, since_ms=10)
    assert replace(CONTROL_OF, rooms={}).room("lobby").rates == ((0, 1.0),)
