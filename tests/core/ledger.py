"""What the ledgers of the room share: how it works, and what a presence of it looks like."""

from collections.abc import Mapping

from breathing_room.core.config import RoomConfig
from breathing_room.core.presence import Presence
from breathing_room.core.snapshot import decode_snapshot, encode_snapshot
from core.playing import LedgerRoom as Room

# Lease 60 s, grace 15 s, a beat every 30 s, announcements 1 s apart; saved so seldom that it is not in the way.
CONFIG = RoomConfig(heartbeat_ms=30_000, snapshot_ms=3_600_000)
SAVE_AT_MS = CONFIG.snapshot_ms  # what is left to wait for when everybody is gone
# A lease of the panel that ended in silence after 150 s is remembered for four leases.
LAPSE_FORGOTTEN_MS = 750_000


def a_room(config: RoomConfig = CONFIG, *, now_ms: int = 0, unknown: bool = False) -> Room:
    return Room("lobby", config, now_ms=now_ms, unknown=unknown)


def here(
    as_of_ms: int,
    count: int,
    *,
    suspect: int = 0,
    stale: bool = False,
    unknown: bool = False,
    label: str | None = None,
    silent_moods: Mapping[str, int] | None = None,
    **moods: int,
) -> Presence:
    """Write down a presence: of ``count`` people the silent are in doubt, and those without a mood are unspoken.

    The silent are those of ``silent_moods``, and the rest of them unspoken, unless everybody is silent.
    """
    people = dict.fromkeys(CONFIG.moods, 0) | moods | {"unspoken": count - sum(moods.values())}
    doubtful = people if suspect == count else dict(silent_moods or {})
    doubtful |= {"unspoken": suspect - sum(doubtful.get(mood, 0) for mood in CONFIG.moods)}
    return Presence(
        room="lobby",
        count=None if unknown else count,
        low=count - suspect,
        high=None if unknown else count,
        method="unknown" if unknown else "stale" if stale else "counted",
        sample_rate=1.0,
        epoch=as_of_ms // CONFIG.epoch_ms,
        moods={mood: people[mood] for mood in CONFIG.moods},
        unspoken=people["unspoken"],
        mood_intervals={
            mood: (here - doubtful.get(mood, 0), None if unknown else here) for mood, here in people.items()
        },
        label="unknown" if unknown else label or str(count),
        as_of_ms=as_of_ms,
        stale_after_ms=30_000,
        poll_ms=30_000,
    )


def restart(room: Room, *, now_ms: int, config: RoomConfig = CONFIG) -> Room:
    """Go through a crash, with a snapshot of the last moment."""
    return Room.restore(decode_snapshot(encode_snapshot(room.snapshot())), config, now_ms=now_ms)
