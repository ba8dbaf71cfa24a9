"""Leases in columns: each is read back as a row of its own."""

import pytest

from breathing_room.core.leases import NO_LEASES, RESTORED, SUSPECT, Leases

ANN, BOB = b"ann".ljust(16, b"."), b"bob".ljust(16, b".")
TWO = Leases(keys=ANN + BOB, mood_of=b"\x02\x00", flags=bytes([0, SUSPECT | RESTORED]), left_ms=(800, 250))


def test_columns_are_read_as_rows() -> None:
    """Iterating over leases yields key, mood, flags and what is left of each, in order."""
    assert len(TWO) == 2
    assert list(TWO) == [(ANN, 2, 0, 800), (BOB, 0, SUSPECT | RESTORED, 250)]


def test_no_leases_are_false_and_have_no_rows() -> None:
    """Leases without a row are false, and iterating over them yields nothing."""
    assert not NO_LEASES
    assert list(NO_LEASES) == []


def test_columns_of_different_lengths_are_rejected() -> None:
    """A column shorter than the others is a ValueError."""
    with pytest.raises(ValueError, match="shorter"):
        list(Leases(keys=ANN + BOB, mood_of=b"\0\0", flags=b"\0\0", left_ms=(800,)))
