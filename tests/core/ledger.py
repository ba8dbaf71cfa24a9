"""What the ledgers of the room share: a config, and the presences that they expect."""

from collections.abc import Mapping

from breathing_room.core.config import RoomConfig
from breathing_room.core.presence import Presence
from breathing_room.core.snapshot import decode_snapshot, encode_snapshot
from core.playing import LedgerRoom as Room

# Lease 60 s, grace 15 s, a heartbeat every 30 s, broadcasts 1 s apart; saves are too rare to matter.
CONFIG = RoomConfig(heartbeat_ms=30_000, snapshot_ms=3_600_000)
SAVE_AT_MS = CONFIG.snapshot_ms  # the only deadline that is left in an empty room
# A seat that expired after 150 s is remembered for four leases.
EXPIRY_FORGOTTEN_MS = 750_000


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
    suspect_moods: Mapping[str, int] | None = None,
    **moods: int,
) -> Presence:
    """Return a presence of ``count`` visitors; those without a mood are unspoken.

    The suspects are those of ``suspect_moods``, and the rest of them unspoken, unless all are suspect.
    """
    people = dict.fromkeys(CONFIG.moods, 0) | moods | {"unspoken": count - sum(moods.values())}
    suspects = people if suspect == count else dict(suspect_moods or {})
    suspects |= {"unspoken": suspect - sum(suspects.get(mood, 0) for mood in CONFIG.moods)}
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
            mood: (here - suspects.get(mood, 0), None if unknown else here) for mood, here in people.items()
        },
        label="unknown" if unknown else label or str(count),
        as_of_ms=as_of_ms,
        stale_after_ms=30_000,
        poll_ms=30_000,
    )


def restart(room: Room, *, now_ms: int, config: RoomConfig = CONFIG) -> Room:
    """Return the room after a crash, restored from a snapshot of the last moment."""
    return Room.restore(decode_snapshot(encode_snapshot(room.snapshot())), config, now_ms=now_ms)
