"""One sampling rate for all replicas of a room: proposed, stored beside the log, and followed."""

import pytest

from breathing_room.core.errors import HostError
from breathing_room.core.events import PanelReported, RateSet, TimerFired
from breathing_room.core.replication.replica import Replica
from breathing_room.core.replication.shared_rate import SharedRate, decode_rate, encode_rate, propose
from core.playing import visitor
from core.replication.deltas import CONFIG, LATE_MS, a_room, some_nodes

ALL_REPORT = RateSet(((0, 1.0),), 0)


def test_the_rate_follows_the_seats_of_all_nodes() -> None:
    """A rate is proposed for the seats of all nodes together, and the one that it replaces stays in use for
    rate_propagation_ms and suspect_after_ms.
    """
    rooms = [a_room(), a_room()]
    for index in range(16):
        rooms[index % 2].step(PanelReported(visitor(f"{index}"), index / 16), now_ms=0)
    summaries = [room.summary(0) for room in rooms]

    shared = propose(ALL_REPORT, summaries, CONFIG, suspect_after_ms=LATE_MS, now_ms=10)
    assert shared == RateSet(((0, 0.25), (10 + CONFIG.rate_propagation_ms + LATE_MS, 1.0)), 10)
    assert propose(ALL_REPORT, summaries[:1], CONFIG, suspect_after_ms=LATE_MS, now_ms=10) is None
    for room in rooms:
        room.step(shared, now_ms=10)
    assert sum(room.panel.seat_count for room in rooms) == 4
    assert {room.panel.theta for room in rooms} == {0.25}


def test_a_room_with_a_shared_rate_does_not_move_it() -> None:
    """A room with a shared rate does not move the rate, for any number of reports and any time."""
    room = a_room()
    for index in range(16):
        room.step(PanelReported(visitor(f"{index}"), index / 16), now_ms=0)
    assert room.panel.rate == 1.0

    step = room.step(RateSet(((0, 0.25), (1_000, 1.0)), 0), now_ms=0)
    while step.next_timer_ms is not None:
        step = room.step(TimerFired(), now_ms=step.next_timer_ms)
    assert room.panel.rate == 0.25


def test_a_rate_is_decoded_as_it_was_encoded() -> None:
    """A decoded rate is the one that was encoded; damaged bytes are rejected."""
    shared = RateSet(((0, 0.25), (1_100, 1.0)), 10)
    assert decode_rate(encode_rate(shared)) == shared
    for damaged in (b"", b"[]", b'{"rates":[],"changed_at_ms":0}', b'{"rates":[[0,2]],"changed_at_ms":0}'):
        with pytest.raises(HostError):
            decode_rate(damaged)


# --- One replica ------------------------------------------------------------------------------------------

AHEAD_MS = 500


def a_replica() -> tuple[Replica, SharedRate]:
    replica = Replica(a_room(), some_nodes(), now_ms=0)
    return replica, SharedRate(replica, suspect_after_ms=LATE_MS)


def test_a_replica_takes_over_the_rate_that_is_kept() -> None:
    """A replica takes over a stored rate once, with its times by its
    own clock, and does not write it again.
    """
    replica, shared = a_replica()
    value = encode_rate(RateSet(((0, 0.25), (AHEAD_MS + 1_000, 1.0)), AHEAD_MS))

    step, wanted = shared.sync(value, ahead_ms=AHEAD_MS, now_ms=0)
    assert step is not None
    assert wanted is None
    assert replica.room.panel.rates == ((0, 0.25), (1_000, 1.0))
    assert shared.sync(value, ahead_ms=AHEAD_MS, now_ms=10) == (None, None)


def test_a_rate_that_the_log_lost_is_written_again() -> None:
    """A replica writes its rate, by the clock of the log, if none is stored or the stored one is damaged."""
    replica, shared = a_replica()
    assert shared.sync(b"", ahead_ms=AHEAD_MS, now_ms=0) == (None, None)
    replica.step(RateSet(((0, 0.25),), 100), now_ms=100)
    for lost in (b"", b"no rate"):
        _, wanted = shared.sync(lost, ahead_ms=AHEAD_MS, now_ms=100)
        assert wanted is not None
        assert decode_rate(wanted) == RateSet(((0, 0.25),), 100 + AHEAD_MS)


def test_a_lower_rate_of_a_replica_that_was_cut_off_is_stored() -> None:
    """A replica that published a lower rate while cut off stores it for as long as clients may act on it."""
    replica, shared = a_replica()
    replica.step(RateSet(((0, 0.25),), 100), now_ms=100)
    _, wanted = shared.sync(encode_rate(RateSet(((0, 0.5),), 200)), ahead_ms=0, now_ms=300)
    assert wanted is not None
    assert decode_rate(wanted).rates == ((0, 0.5), (300 + CONFIG.rate_propagation_ms + LATE_MS, 0.25))


def test_a_replica_proposes_a_rate_for_its_seats() -> None:
    """Too many seats of one replica lower the shared rate; without seats it stays."""
    replica, shared = a_replica()
    assert shared.sync(b"", ahead_ms=0, now_ms=0) == (None, None)
    for index in range(16):
        replica.step(PanelReported(visitor(f"{index}"), index / 16), now_ms=0)
    _, wanted = shared.sync(b"", ahead_ms=0, now_ms=10)
    assert wanted is not None
    assert decode_rate(wanted).rates[0] == (0, 0.25)
