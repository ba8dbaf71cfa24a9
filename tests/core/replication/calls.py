"""What the tests of a coordinator and of shards share: both ends, and a call from one to the other."""

from dataclasses import replace

from breathing_room.core.config import MOODS, RoomConfig
from breathing_room.core.replication.coordinator import Coordinator
from breathing_room.core.replication.delta import Delta, RoomDelta
from breathing_room.core.replication.shard import CoordinatorUpdate, Shard, ShardReport
from breathing_room.core.room import Room
from breathing_room.core.summary import Summary

ROOM, NOW_MS = "lobby", 1_000_000
EMPTY = Room(ROOM, RoomConfig(), now_ms=NOW_MS).summary(NOW_MS)


def moods_of(_: str) -> tuple[str, ...]:
    return MOODS


def people(count: int) -> Summary:
    return replace(EMPTY, members=(count, 0, 0, 0, 0))


def a_coordinator() -> Coordinator:
    return Coordinator(ROOM, ("0", NOW_MS), EMPTY, suspect_after_ms=6_000, lease_ms=60_000, now_ms=NOW_MS)


def a_shard(shard: int) -> Shard:
    return Shard(ROOM, (str(shard), NOW_MS), EMPTY, suspect_after_ms=6_000)


def exchange(
    coordinator: Coordinator, shard: Shard, part: RoomDelta, now_ms: int = NOW_MS
) -> tuple[CoordinatorUpdate, list[Delta]]:
    """Send a shard's report to the coordinator, and the update back, both encoded."""
    number = int(shard.own[0])
    report = ShardReport.decode(shard.report(part, 1, now_ms).encode(moods_of), moods_of)
    _, resync = coordinator.receive(number, report, now_ms)
    update = CoordinatorUpdate.decode(
        coordinator.update(number, people(5), now_ms, resync=resync).encode(moods_of), moods_of
    )
    return update, list(shard.receive(update))
