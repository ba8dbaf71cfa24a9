"""The daily statistics: distinct visitors, the peak, the timeline, and what midnight removes."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.daily import SAMPLE_MS, SAMPLES_MAX, DailySample, DailyStats, DistinctVisitors
from breathing_room.core.errors import HostError
from breathing_room.core.events import Event, Joined, Left, LegacyReported, PanelReported
from breathing_room.core.identity import VisitorKey
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.stores.memory import MemoryStore
from inside import NOON_MS, HandClock, client_of, host_inside

DAY_MS = 86_400_000
MIDNIGHT_MS = NOON_MS + DAY_MS // 2
TOKEN = "a-token-of-32-characters-or-more-0"


def a_day(wall_ms: int = NOON_MS) -> DailyStats:
    """Return empty statistics."""
    return DailyStats(wall_ms=wall_ms, epoch_ms=DAY_MS)


def visitor(number: int) -> VisitorKey:
    """Make a key as uniform as a real one."""
    return VisitorKey(hashlib.blake2b(str(number).encode(), digest_size=16).digest())


def record(day: DailyStats, *events: Event, wall_ms: int = NOON_MS) -> None:
    """Record events in a day."""
    for event in events:
        day.add_event(event, wall_ms=wall_ms)


def presence(count: int, **facts: Any) -> Presence:
    """Return a presence with some facts replaced."""
    empty = Room("lobby", RoomConfig(), now_ms=NOON_MS).presence(now_ms=NOON_MS)
    return replace(empty, **{"count": count, "low": count, "high": count} | facts)


def test_a_visitor_who_joins_twice_is_one() -> None:
    """Connections, reports and legacy reports of one visitor are one distinct visitor, and a leave changes
    nothing.
    """
    day = a_day()
    ann, bob = visitor(1), visitor(2)
    record(
        day,
        Joined(1, ann),
        Joined(2, ann),
        Left(1),
        PanelReported(ann, 0.5),
        Joined(3, bob),
        LegacyReported(bob, "release"),
    )
    assert day.visitors(wall_ms=NOON_MS).count == 2
    assert day.connected_visitors(wall_ms=NOON_MS).count == 2
    record(day, PanelReported(visitor(3), 0.5))
    assert day.visitors(wall_ms=NOON_MS).count == 3
    assert day.connected_visitors(wall_ms=NOON_MS).count == 2


def test_a_crowd_is_within_its_interval() -> None:
    """The interval of 5,000 distinct visitors covers them, and is not wider than 8 %."""
    day = a_day()
    record(day, *(Joined(number, visitor(number)) for number in range(5_000)))
    people = day.visitors(wall_ms=NOON_MS)
    assert people.high is not None
    assert people.low <= 5_000 <= people.high
    assert people.high - people.low < 0.08 * 5_000


def test_a_sample_leaves_the_number_open() -> None:
    """After a rate below 1 the figure has no upper end, until the day ends."""
    day = a_day()
    record(day, Joined(1, visitor(1)), PanelReported(visitor(2), 0.1))
    day.add_presence(presence(2, sample_rate=0.25), wall_ms=NOON_MS)
    day.add_presence(presence(2), wall_ms=NOON_MS + 1)
    assert day.visitors(wall_ms=NOON_MS) == DistinctVisitors(2, 2, None)
    assert day.connected_visitors(wall_ms=NOON_MS).high is not None
    assert day.rate_min == 0.25
    record(day, Joined(1, visitor(1)), wall_ms=MIDNIGHT_MS)
    assert day.visitors(wall_ms=MIDNIGHT_MS).high is not None


def test_midnight_resets_the_day() -> None:
    """At midnight UTC the peak and the distinct visitors are reset; the timeline of 24 hours goes on."""
    day = a_day()
    record(day, Joined(1, visitor(1)))
    day.add_presence(presence(7), wall_ms=MIDNIGHT_MS - 1)
    assert day.visitors(wall_ms=MIDNIGHT_MS - 1).count == 1
    assert day.visitors(wall_ms=MIDNIGHT_MS) == DistinctVisitors(0, 0, 0)
    assert day.peak is None
    assert day.since_ms == MIDNIGHT_MS
    day.add_presence(presence(2), wall_ms=MIDNIGHT_MS)
    assert day.peak == DailySample(MIDNIGHT_MS, 2, 2, 2)
    assert [sample.count for sample in day.timeline] == [7, 2]


def test_the_timeline_keeps_the_last_sample_of_five_minutes() -> None:
    """The timeline has one sample per five minutes for at most a day; a
    count that was not observed is a gap.
    """
    day = a_day()
    day.add_presence(presence(1), wall_ms=NOON_MS)
    day.add_presence(presence(2), wall_ms=NOON_MS + SAMPLE_MS - 1)
    day.add_presence(presence(9, method="estimated"), wall_ms=NOON_MS + SAMPLE_MS)
    assert [sample.count for sample in day.timeline] == [2, None]
    for number in range(2, SAMPLES_MAX + 50):
        day.add_presence(presence(3), wall_ms=NOON_MS + number * SAMPLE_MS)
    now_ms = NOON_MS + (SAMPLES_MAX + 49) * SAMPLE_MS
    samples = day.timeline_body(wall_ms=now_ms)
    assert len(samples) == SAMPLES_MAX
    assert now_ms - samples[0]["at_ms"] < DAY_MS
    assert len(day.timeline_body(wall_ms=now_ms + DAY_MS // 2)) == SAMPLES_MAX // 2


def test_a_saved_day_is_merged() -> None:
    """Merging a saved day adds its distinct visitors, and keeps the higher of both peaks."""
    before, after = a_day(), a_day()
    record(before, Joined(1, visitor(1)), PanelReported(visitor(2), 0.5))
    before.add_presence(presence(5, sample_rate=0.5), wall_ms=NOON_MS)
    record(after, Joined(1, visitor(1)), Joined(2, visitor(3)))
    after.add_presence(presence(3), wall_ms=NOON_MS + 1)
    after.merge(before.encode())
    assert after.visitors(wall_ms=NOON_MS) == DistinctVisitors(3, 3, None)
    assert after.connected_visitors(wall_ms=NOON_MS).count == 2
    assert after.peak == DailySample(NOON_MS, 5, 5, 5)


def test_a_day_that_is_over_is_ignored() -> None:
    """Merging a day that is over changes nothing."""
    yesterday, today = a_day(), a_day(MIDNIGHT_MS)
    record(yesterday, Joined(1, visitor(1)))
    fresh = today.encode()
    today.merge(yesterday.encode())
    assert today.encode() == fresh


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"on_sockets": "AAAA"},
        {"reporters": "no base64"},
        {"peak": {"at_ms": 1, "count": 5, "low": 9, "high": 5}},
        {"peak": {"at_ms": 1}},
        {"peak": 7},
        {"rate_min": "low"},
        {"rate_min": 10**400},
    ],
)
def test_a_damaged_value_is_rejected(damage: dict[str, Any]) -> None:
    """A damaged value is a HostError, and changes nothing."""
    day = a_day()
    fresh = day.encode()
    with pytest.raises(HostError):
        day.merge(json.dumps(json.loads(fresh) | damage).encode())
    assert day.encode() == fresh
    with pytest.raises(HostError):
        day.merge(b"no JSON")


async def test_a_host_keeps_the_day_over_a_restart() -> None:
    """A visitor who reported before a restart is among the distinct visitors after it; at midnight the stored
    day is deleted.
    """
    store, clock = MemoryStore(clock=lambda: clock.ms), HandClock()
    for run in range(2):
        kept = KeptOpen(store)
        async with (
            host_inside(store=kept, clock=clock, admin_token=TOKEN) as host,
            client_of(host) as client,
        ):
            await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": f"visitor-{run}-0123456789"})
            day = host.rooms["lobby"].platform.day
            assert day is not None
            await host.rooms["lobby"].platform.load_history()
            assert day.visitors(wall_ms=clock.ms).count == run + 1
    clock.ms = MIDNIGHT_MS
    assert await store.list("day/") == []


async def test_no_token_no_day() -> None:
    """Without an admin token no daily statistics are kept."""
    async with host_inside() as host, client_of(host) as client:
        await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": "visitor-0123456789"})
        assert host.rooms["lobby"].platform.day is None
        await host.rooms["lobby"].platform.save_history()
        assert await host.store.list("day/") == []


class KeptOpen:
    """A store that outlives its host."""

    def __init__(self, store: MemoryStore) -> None:
        self.get, self.put, self.list, self.delete = store.get, store.put, store.list, store.delete

    async def close(self) -> None:
        """Do nothing."""
