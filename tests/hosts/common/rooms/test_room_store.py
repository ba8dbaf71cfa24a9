"""Rooms in a store: what is written where, and what is made of it by the next run."""

import json
import logging

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.daily import DailyStats
from breathing_room.core.errors import StoreError
from breathing_room.core.events import Disconnected, Joined
from breathing_room.core.history import History
from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.room import Room
from breathing_room.core.snapshot import decode_snapshot, encode_snapshot
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.room_store import HISTORY_TTL_MS, RoomStore
from breathing_room.stores import MemoryStore

NOW_MS = 1_767_268_800_000
CONFIG = RoomConfig(lease_ms=60_000, grace_ms=15_000)


class Watched(MemoryStore):
    """A store that notes what is written, and can fail."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: NOW_MS)
        self.puts: dict[str, int | None] = {}
        self.fails = False

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        if self.fails:
            raise StoreError("the disk is full", temporary=True)
        self.puts[key] = ttl_ms
        await super().put(key, value, ttl_ms=ttl_ms)


@pytest.fixture
def kept() -> Watched:
    return Watched()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def store(kept: Watched, counters: Counters) -> RoomStore:
    return RoomStore(kept, counters, clock=lambda: NOW_MS)


def a_room(people: int = 0) -> Room:
    room = Room("lobby", CONFIG, now_ms=NOW_MS)
    for number in range(people):
        key = VisitorKey(number.to_bytes(KEY_BYTES))
        room.step(Joined(number, key, "release"), now_ms=NOW_MS)
    return room


async def save(store: RoomStore, room: Room, *, elsewhere: int = 0, history: bytes | None = None) -> bool:
    snapshot = room.snapshot()
    return await store.save(snapshot, encode_snapshot(snapshot), elsewhere=elsewhere, history=history)


async def test_a_room_comes_back_as_it_was_stored(store: RoomStore, counters: Counters) -> None:
    """What was stored is restored: stale until its people are back."""
    assert await save(store, a_room(3))
    restored = await store.restore("lobby")
    presence = restored.room(CONFIG, now_ms=NOW_MS).presence(now_ms=NOW_MS)
    assert (restored.is_known, presence.count, presence.method) == (True, 3, "stale")
    assert await store.names() == ["lobby"]
    assert counters.snapshots == 1


async def test_a_snapshot_lasts_as_long_as_its_longest_lease(store: RoomStore, kept: Watched) -> None:
    """A snapshot ends with the last lease in it; the note beside it does not."""
    room = a_room(2)
    room.step(Disconnected(0), now_ms=NOW_MS)
    await save(store, room)
    longest_ms = max(room.snapshot().members.left_ms)
    assert longest_ms >= CONFIG.lease_ms
    assert kept.puts == {"snapshot/lobby": longest_ms, "note/lobby": None}


async def test_an_empty_room_has_a_note_and_no_snapshot(store: RoomStore, kept: Watched) -> None:
    """Of a room that was left nothing is stored but that it is empty, and so it comes back."""
    await save(store, a_room(1))
    await save(store, a_room())
    assert await kept.list("") == ["note/lobby"]
    restored = await store.restore("lobby")
    assert restored.is_empty
    assert restored.room(CONFIG, now_ms=NOW_MS).presence(now_ms=NOW_MS).method == "counted"
    assert restored.room(CONFIG, now_ms=NOW_MS, crashed=True).presence(now_ms=NOW_MS).method == "unknown"


async def test_a_room_whose_snapshot_is_gone_is_unknown(store: RoomStore, kept: Watched) -> None:
    """Where the note says that there were people and no snapshot says who, the count is unknown."""
    await save(store, a_room(1))
    await kept.delete("snapshot/lobby")
    restored = await store.restore("lobby")
    assert (restored.is_known, restored.is_empty, restored.snapshot) == (True, False, None)
    assert restored.room(CONFIG, now_ms=NOW_MS).presence(now_ms=NOW_MS).method == "unknown"


async def test_a_room_that_was_never_stored_is_not_known(store: RoomStore) -> None:
    """Without a note there is nothing to go on with."""
    assert not (await store.restore("lobby")).is_known


@pytest.mark.parametrize("damaged", [b"[1]", b"{", b'"people"', b'{"people": 0}'])
async def test_what_cannot_be_read_is_unknown(
    damaged: bytes, store: RoomStore, kept: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged note or snapshot makes the room unknown, and that is logged."""
    await kept.put("note/lobby", damaged)
    await kept.put("snapshot/lobby", b"BRS1 damaged")
    with caplog.at_level(logging.ERROR):
        restored = await store.restore("lobby")
    assert (restored.is_known, restored.is_empty, restored.snapshot) == (True, False, None)
    assert "the snapshot of room lobby cannot be decoded" in caplog.text


async def test_where_writes_cost_the_note_is_written_when_the_room_fills_or_empties(
    kept: Watched, counters: Counters
) -> None:
    """The note and the averages are written with the first save and whenever leases elsewhere and here become
    some or none.
    """
    store = RoomStore(kept, counters, writes_cost=True)
    written = []
    for people, elsewhere in ((1, 0), (2, 0), (0, 1), (0, 0), (0, 0), (1, 0)):
        kept.puts.clear()
        await save(store, a_room(people), elsewhere=elsewhere, history=b"{}")
        written.append("note/lobby" in kept.puts)
        assert ("history/lobby" in kept.puts) == written[-1]
    assert written == [True, False, False, True, False, True]
    assert json.loads(await kept.get("note/lobby") or b"")["people"] == 1


async def test_leases_elsewhere_count_in_the_note(store: RoomStore, kept: Watched) -> None:
    """A room over several machines is not empty while another one holds a lease of it."""
    await save(store, a_room(), elsewhere=4)
    assert json.loads(await kept.get("note/lobby") or b"")["people"] == 4
    assert not (await store.restore("lobby")).is_empty


async def test_a_failed_save_is_counted_and_logged(
    store: RoomStore, kept: Watched, counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that fails costs the save and nothing else."""
    kept.fails = True
    with caplog.at_level(logging.ERROR):
        assert not await save(store, a_room(1))
        assert not await store.save_history("lobby", History(), None)
    assert (counters.snapshots, counters.snapshots_failed, counters.histories_failed) == (0, 1, 1)
    assert "room lobby could not be saved: the disk is full" in caplog.text
    assert "the history of room lobby could not be saved: the disk is full" in caplog.text


async def test_averages_and_today_come_back(store: RoomStore, kept: Watched) -> None:
    """Averages last as long as they reach back, and what the operator is shown of today until today ends."""
    history, day = History(), DailyStats(wall_ms=NOW_MS, epoch_ms=86_400_000)
    history.observe({"release": 7}, wall_ms=NOW_MS - 3_600_000)
    history.observe({"release": 7}, wall_ms=NOW_MS)
    assert await store.save_history("lobby", history, day)
    again = await store.history("lobby")
    assert again is not None
    assert again.encode() == history.encode()
    assert kept.puts == {"history/lobby": HISTORY_TTL_MS, "day/lobby": day.ends_ms - NOW_MS}
    await store.merge_day("lobby", day)


async def test_averages_that_cannot_be_read_are_none(
    store: RoomStore, kept: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """A room without averages, or with damaged ones, has none; damage is logged."""
    assert await store.history("lobby") is None
    assert caplog.text == ""
    await kept.put("history/lobby", b"{}")
    await kept.put("day/lobby", b"{}")
    with caplog.at_level(logging.ERROR):
        assert await store.history("lobby") is None
        await store.merge_day("lobby", DailyStats(wall_ms=NOW_MS, epoch_ms=86_400_000))
    assert "the history of room lobby could not be read" in caplog.text
    assert "the daily statistics of room lobby could not be read" in caplog.text


async def test_a_forgotten_room_leaves_its_averages(store: RoomStore, kept: Watched) -> None:
    """A room that is closed leaves no snapshot and no note."""
    await save(store, a_room(1))
    await store.save_history("lobby", History(), None)
    await store.remove("lobby")
    assert await kept.list("") == ["history/lobby"]


async def test_the_encoded_room_is_what_is_stored(store: RoomStore, kept: Watched) -> None:
    """The bytes that a host made of a snapshot are stored as they are."""
    room = a_room(2)
    await save(store, room)
    assert decode_snapshot(await kept.get("snapshot/lobby") or b"") == room.snapshot()
