"""Deltas and commands of operators: as they were written, or refused."""

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


def test_a_message_is_read_as_it_was_written() -> None:
    """
    Sums, seats, coins and keys come back as they were.
    """
    room = a_room()
    room.step(Joined(1, ANN, "calm"), now_ms=0)
    room.step(Joined(2, BOB), now_ms=0)
    room.step(Disconnected(2), now_ms=0)
    room.step(PanelReported(visitor("cat"), 0.5, "glad"), now_ms=0)
    room.step(LegacyReported(visitor("dan"), "glad"), now_ms=0)
    busy = RoomDelta(
        summary=replace(room.summary(0), arrivals_per_s=1.5),
        came=(ANN,),
        reported=(visitor("cat"),),
        gone=(BOB,),
        seats=room.panel.snapshot(0).seats,
    )
    quiet = RoomDelta(summary=a_summary(0))
    message = Delta(node=THERE, lease_ms=LEASE_MS, rooms={"lobby": busy, "attic": quiet})

    message = replace(message, successor=ELSEWHERE, read=(1_767_268_800_000, 7))
    read = decode(encode_delta(message, moods_of), moods_of)
    assert isinstance(read, Delta)
    assert (read.node, read.lease_ms, read.successor, read.read) == (THERE, LEASE_MS, ELSEWHERE, message.read)
    assert read.rooms["lobby"] == busy
    assert read.rooms["attic"].summary.leases == 0
    assert read.rooms["attic"].summary.panel.is_idle


def test_a_room_costs_a_few_hundred_bytes_whatever_is_in_it() -> None:
    """
    A message about 10,000 people is hardly longer than one about nobody.
    """
    few = len(encode_delta(a_message(THERE, a_summary(0)), moods_of))
    many = len(encode_delta(a_message(THERE, a_summary(10_000)), moods_of))

    assert many - few < 20
    assert many < 300


def test_moods_that_are_not_declared_here_are_unspoken() -> None:
    """
    Nodes that are set otherwise, as while a new version is rolled out, are added all the same.
    """
    message = a_message(THERE, a_summary(3))
    read = decode(encode_delta(message, moods_of), lambda room: ("glad",) if room == "lobby" else ())

    assert isinstance(read, Delta)
    assert read.rooms["lobby"].summary.people == (0, 3)


def test_orders() -> None:
    """
    What an operator says comes back as it was said.
    """
    for verb in ("forget", "drain"):
        assert decode(encode_admin_command(AdminCommand(verb, "there")), moods_of) == AdminCommand(
            verb, "there"
        )


@pytest.mark.soak
def test_damage_is_found_or_harmless() -> None:
    """
    Whatever happens to a byte of a message, reading it ends in a message or in a HostError.
    """
    value = encode_delta(a_message(THERE, a_summary(2), came=(ANN,)), moods_of)
    refused = 0
    for damaged in damages(value):
        try:
            decode(damaged, moods_of)
        except HostError:
            refused += 1
    assert refused > len(value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "not a message"),
        (b"hello, is this redis?", "not a message"),
        (b"BRN2" + bytes(20), "of a later version"),
        (MAGIC + b"\2\0\0\0{}", "damaged"),
        (MAGIC + b"\x12\0\0\0" + b'{"forget":"a b c"}', "damaged"),
        (MAGIC + b"\xff\xff\xff\x7f{}", "damaged"),
    ],
)
def test_what_is_no_message(value: bytes, why: str) -> None:
    """
    What another program wrote, or a later version of us, is refused by what it is.
    """
    with pytest.raises(HostError, match=why):
        decode(value, moods_of)


def test_sums_that_cannot_be_are_refused() -> None:
    """
    More silent people than people, and rates outside (0, 1], are damage.
    """
    summary = a_summary(1)
    for wrong in (
        replace(summary, suspect=(2, 0, 0)),
        replace(summary, people=(-1, 0, 0)),
        replace(summary, arrivals_per_s=float("inf")),
        replace(summary, panel=replace(summary.panel, seats=1, theta=0.0)),
        replace(summary, panel=replace(summary.panel, seats=1, rate=2.0)),
        replace(summary, panel=replace(summary.panel, seats=1, restored_tally=(1, 0, 0))),
    ):
        with pytest.raises(HostError, match="damaged"):
            decode(encode_delta(a_message(THERE, wrong), moods_of), moods_of)
