"""The presence of a room, read from the records and the control in the store."""

from dataclasses import replace

import pytest

from breathing_room.core.config import DAY_MS, RoomConfig
from breathing_room.core.identity import VisitorKey
from breathing_room.core.presence import Presence
from breathing_room.core.tickets import TICKETS
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.core.write_policies.records import Record
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.presence import read_presence
from breathing_room.hosts.common.store_mode.records import Control, RoomControl
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig

NOW_MS = 20_000 * DAY_MS
CONFIG = StoreModeConfig(
    policy=EveryPolicy.name,
    server=ServerConfig(room=RoomConfig(moods=("calm", "glad"), heartbeat_ms=60_000, poll_ms=30_000)),
)
LEASE_MS = CONFIG.server.room.heartbeat_lease_ms
CONTROL = Control(as_of_ms=NOW_MS, epoch=20_000, rooms={"lobby": RoomControl(changed_at_ms=0, since_ms=0)})


def reading(
    *records: Record, control: Control | None = CONTROL, config: StoreModeConfig = CONFIG
) -> Presence:
    held = {record.visitor: record for record in records}
    return read_presence("lobby", config, control, held, now_ms=NOW_MS)


def a_record(
    number: int, mood: str | None = None, *, ticket: float = 0.1, age_ms: int = 0, here: bool = True
) -> Record:
    return Record(VisitorKey(number.to_bytes(16)), ticket, mood, NOW_MS - age_ms, here=here)


def with_rate(rate: float, **more: object) -> Control:
    room = replace(CONTROL.rooms["lobby"], rates=((0, rate),), **more)  # type: ignore[arg-type]
    return replace(CONTROL, rooms={"lobby": room})


def test_only_leases_that_run_are_counted() -> None:
    """A record counts until its lease ends; one of a visitor who left does not count; moods are those that
    were named last.
    """
    seen = reading(
        a_record(1, "calm"),
        a_record(2, age_ms=LEASE_MS - 1),
        a_record(3, age_ms=LEASE_MS),
        a_record(4, here=False),
        a_record(5, "grey"),
    )
    assert (seen.count, seen.method) == (3, "counted")
    assert (seen.moods, seen.unspoken) == ({"calm": 1, "glad": 0}, 2)


def test_without_a_control_the_count_is_unknown() -> None:
    """As long as the controller has never run the count is unknown, not 0, and the epoch is that of the
    clock.
    """
    seen = reading(a_record(1), control=None)
    assert (seen.count, seen.low, seen.high, seen.method, seen.epoch) == (None, 0, None, "unknown", 20_000)


def test_a_seat_stands_for_visitors_outside_the_sample() -> None:
    """At a rate of a quarter each seat below it is four people, those above it are none, and the interval
    holds the count.
    """
    records = [a_record(number, "calm", ticket=(number + 0.5) / 1_000) for number in range(1_000)]
    seen = reading(*records, control=with_rate(0.25))
    assert (seen.count, seen.method, seen.sample_rate) == (1_000, "sampled", 0.25)
    assert seen.high is not None
    assert seen.low < 1_000 < seen.high
    assert seen.moods == {"calm": 1_000, "glad": 0}


def test_the_lowest_rate_that_still_counts_is_the_sample() -> None:
    """While a higher rate spreads, people above the former one may not know that they are asked: only those
    below it count.
    """
    room = RoomControl(rates=((0, 0.5), (NOW_MS + 60_000, 0.25)), changed_at_ms=NOW_MS, since_ms=0)
    seen = reading(
        *(a_record(number, ticket=(number + 0.5) / 100) for number in range(100)),
        control=replace(CONTROL, rooms={"lobby": room}),
    )
    assert (seen.count, seen.sample_rate) == (100, 0.5)


@pytest.mark.parametrize("suspect", [0, 5])
def test_expired_leases_lower_the_count(suspect: int) -> None:
    """As often as leases ended in silence lately, as many of those who are counted are probably gone; the
    interval still holds all of them.
    """
    expired = tuple((NOW_MS - 1_000 * number, TICKETS // 10) for number in range(suspect))
    seen = reading(
        *map(a_record, range(100)), control=with_rate(1.0, expired=expired, since_ms=NOW_MS - DAY_MS)
    )
    assert seen.count is not None
    assert (seen.count < 100) == (suspect > 0)
    assert seen.high is not None
    assert (seen.high >= 100, seen.low == 100) == (True, suspect == 0)


def test_a_bucket_makes_the_presence_older_and_leases_longer() -> None:
    """Where reports are written in batches the presence is of one batch before, and a lease lasts so much
    longer.
    """
    bucketed = replace(CONFIG, policy=BucketedPolicy.name, bucket_ms=10_000)
    seen = reading(
        a_record(1, age_ms=LEASE_MS + 9_999), a_record(2, age_ms=LEASE_MS + 10_000), config=bucketed
    )
    assert (seen.count, seen.as_of_ms) == (1, NOW_MS - 10_000)
