"""What the tests of replication share: a room of two moods, its sums, and deltas of other replicas."""

from dataclasses import replace

from breathing_room.core.config import RoomConfig
from breathing_room.core.events import Joined
from breathing_room.core.replication.delta import (
    BEGINNING,
    Delta,
    EntryId,
    RoomDelta,
)
from breathing_room.core.replication.membership import Membership
from breathing_room.core.room import Room
from breathing_room.core.summary import Summary
from core.playing import visitor

MOODS = ("calm", "glad")
CONFIG = RoomConfig(
    moods=MOODS, lease_ms=1_000, grace_ms=300, push_ms=100, panel_size=4, rate_propagation_ms=1_000
)
HERE, THERE, ELSEWHERE = ("here", 1), ("there", 2), ("elsewhere", 3)
LATE_MS, LEASE_MS, SEAT_LEASE_MS = 100, 500, 2_000


def moods_of(room: str) -> tuple[str, ...]:
    del room
    return MOODS


def a_room(*, now_ms: int = 0, rate_is_shared: bool = True) -> Room:
    return Room("lobby", CONFIG, now_ms=now_ms, rate_is_shared=rate_is_shared)


def a_summary(count: int, *, arrivals_per_s: float = 0.0) -> Summary:
    """Return the sums of a room with ``count`` calm visitors."""
    room = a_room()
    for index in range(count):
        room.step(Joined(index, visitor(f"{index}"), "calm"), now_ms=0)
    return replace(room.summary(0), arrivals_per_s=arrivals_per_s)


def a_message(
    node: tuple[str, int], summary: Summary, *, read: EntryId = BEGINNING, **keys: tuple[object, ...]
) -> Delta:
    part = RoomDelta(summary=summary, **keys)  # type: ignore[arg-type]
    return Delta(sender=node, lease_ms=LEASE_MS, read=read, rooms={"lobby": part})


def some_nodes() -> Membership:
    return Membership(HERE, suspect_after_ms=LATE_MS, seat_lease_ms=SEAT_LEASE_MS, now_ms=0)
