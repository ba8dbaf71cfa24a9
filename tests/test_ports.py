"""The rules for every store: what a key, a value and a time to live may be."""

import time
from typing import Any

import pytest

from breathing_room.core.errors import HostError
from breathing_room.ports import (
    KEY_BYTES_MAX,
    TTL_MS_MAX,
    VALUE_BYTES_MAX,
    check_key,
    check_prefix,
    check_put,
    wall_ms,
)


@pytest.mark.parametrize("key", ["a", "a/b%_*", "ä" * (KEY_BYTES_MAX // 2), "...", "a b", ".a"])
def test_printable_text_is_a_key(key: str) -> None:
    """Any printable text up to the limit in UTF-8 is a key, and no character has a meaning."""
    check_key(key)
    check_prefix(key)


@pytest.mark.parametrize(
    "key", ["", ".", "..", "a\nb", "a\0", "\ud800", "ä" * (KEY_BYTES_MAX // 2) + "x", b"a", None]
)
def test_anything_else_is_no_key(key: Any) -> None:
    """Empty, relative, unprintable and long keys, and what is no text at all, are refused; all but the first
    three are no prefixes either.
    """
    with pytest.raises(HostError):
        check_key(key)
    if key in {"", ".", ".."}:
        check_prefix(key)
    else:
        with pytest.raises(HostError):
            check_prefix(key)


def test_a_value_is_bytes_up_to_the_limit() -> None:
    """A value may be empty and as long as the limit; one byte more, and
    what could still change, is refused.
    """
    largest = bytes(VALUE_BYTES_MAX)
    check_put("a", b"", None)
    check_put("a", largest, None)
    for wrong in (largest + b"x", bytearray(b"x"), "x", None):
        with pytest.raises(HostError, match="value"):
            check_put("a", wrong, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("ttl_ms", [0, -1, TTL_MS_MAX + 1, 1.5, True, "5"])
def test_a_time_to_live_is_whole_and_not_over(ttl_ms: Any) -> None:
    """A time to live that is over, longer than a century, broken, or no number is refused by name."""
    with pytest.raises(HostError, match="ttl_ms"):
        check_put("a", b"", ttl_ms)


def test_every_time_to_live_within_its_range_is_taken() -> None:
    """From a millisecond to a century, or for ever; and the instant of expiry is a number that every JSON
    reader can hold.
    """
    for ttl_ms in (1, TTL_MS_MAX, None):
        check_put("a", b"", ttl_ms)
    assert wall_ms() + TTL_MS_MAX < 2**53
    assert abs(wall_ms() - time.time() * 1_000) < 1_000


@pytest.mark.parametrize("short_ns", [0, 64, 128])
def test_the_time_is_the_millisecond_that_the_clock_means(
    short_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A clock whose nanoseconds are a rounded floating-point number, as Python's is at the edge, is read as the
    millisecond that it has.

    It was read as the one before, so that an alarm rang a millisecond before its time.
    """
    monkeypatch.setattr(time, "time_ns", lambda: 1_796_075_603_605_000_000 - short_ns)
    assert wall_ms() == 1_796_075_603_605
