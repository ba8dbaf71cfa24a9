"""Deltas and admin commands are decoded as they were encoded, or rejected."""

from dataclasses import replace

import pytest

from breathing_room.core.errors import HostError
from breathing_room.core.events import Disconnected, Joined, LegacyReported, PanelReported
from breathing_room.core.replication.delta import (
    MAGIC,
    AdminCommand,
    Delta,
    RoomDelta,
    decode,
    encode_admin_command,
    encode_delta,
)
from core.playing import ANN, BOB, damages, visitor
from core.replication.deltas import ELSEWHERE, LEASE_MS, THERE, a_message, a_room, a_summary, moods_of


def test_a_delta_is_decoded_as_it_was_encoded() -> None:
    """A decoded delta has the sums, seats, legacy sums and keys that were encoded."""
    room = a_room()
    room.step(Joined(1, ANN, "calm"), now_ms=0)
    room.step(Joined(2, BOB), now_ms=0)
    room.step(Disconnected(2), now_ms=0)
    room.step(PanelReported(visitor("cat"), 0.5, "glad"), now_ms=0)
    room.step(LegacyReported(visitor("dan"), "glad"), now_ms=0)
    busy = RoomDelta(
        summary=replace(room.summary(0), arrivals_per_s=1.5),
        connected=(ANN,),
        reported=(visitor("cat"),),
        disconnected=(BOB,),
        seats=room.panel.snapshot(0).seats,
    )
    quiet = RoomDelta(summary=a_summary(0))
    message = Delta(sender=THERE, lease_ms=LEASE_MS, rooms={"lobby": busy, "attic": quiet})

    message = replace(message, successor=ELSEWHERE, read=(1_767_268_800_000, 7))
    read = decode(encode_delta(message, moods_of), moods_of)
    assert isinstance(read, Delta)
    assert (read.sender, read.lease_ms, read.successor, read.read) == (
        THERE,
        LEASE_MS,
        ELSEWHERE,
        message.read,
    )
    assert read.rooms["lobby"] == busy
    assert read.rooms["attic"].summary.leases == 0
    assert read.rooms["attic"].summary.panel.is_idle


def test_a_room_costs_a_few_hundred_bytes_for_any_count() -> None:
    """A delta of 10,000 visitors is less than 20 bytes longer than one of an empty room."""
    few = len(encode_delta(a_message(THERE, a_summary(0)), moods_of))
    many = len(encode_delta(a_message(THERE, a_summary(10_000)), moods_of))

    assert many - few < 20
    assert many < 300


def test_moods_that_are_not_declared_here_are_unspoken() -> None:
    """Moods of a node with another config are decoded as unspoken."""
    message = a_message(THERE, a_summary(3))
    read = decode(encode_delta(message, moods_of), lambda room: ("glad",) if room == "lobby" else ())

    assert isinstance(read, Delta)
    assert read.rooms["lobby"].summary.members == (0, 3)


def test_commands_are_decoded_as_they_were_encoded() -> None:
    """A decoded command is the one that was encoded."""
    for verb in ("forget", "drain"):
        assert decode(encode_admin_command(AdminCommand(verb, "there")), moods_of) == AdminCommand(
            verb, "there"
        )


@pytest.mark.soak
def test_damage_is_detected_or_harmless() -> None:
    """A delta with any damaged byte is decoded or raises HostError."""
    value = encode_delta(a_message(THERE, a_summary(2), connected=(ANN,)), moods_of)
    rejected = 0
    for damaged in damages(value):
        try:
            decode(damaged, moods_of)
        except HostError:
            rejected += 1
    assert rejected > len(value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "not a delta"),
        (b"hello, is this redis?", "not a delta"),
        (b"BRN2" + bytes(20), "of a later version"),
        (MAGIC + b"\2\0\0\0{}", "damaged"),
        (MAGIC + b"\x12\0\0\0" + b'{"forget":"a b c"}', "damaged"),
        (MAGIC + b"\xff\xff\xff\x7f{}", "damaged"),
    ],
)
def test_other_bytes_are_rejected(value: bytes, why: str) -> None:
    """Bytes of another program or of a later version are rejected with the reason."""
    with pytest.raises(HostError, match=why):
        decode(value, moods_of)


def test_impossible_sums_are_rejected() -> None:
    """More suspects than visitors, and rates outside (0, 1], are damage."""
    summary = a_summary(1)
    for wrong in (
        replace(summary, suspect=(2, 0, 0)),
        replace(summary, members=(-1, 0, 0)),
        replace(summary, arrivals_per_s=float("inf")),
        replace(summary, panel=replace(summary.panel, seats=1, theta=0.0)),
        replace(summary, panel=replace(summary.panel, seats=1, rate=2.0)),
        replace(summary, panel=replace(summary.panel, seats=1, restored_tally=(1, 0, 0))),
    ):
        with pytest.raises(HostError, match="damaged"):
            decode(encode_delta(a_message(THERE, wrong), moods_of), moods_of)
