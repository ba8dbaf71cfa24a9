"""A migration out of KV: what is reported on one side is known on the other, with any losses in between."""

import json
from collections.abc import Iterator
from itertools import count

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import StoreError
from breathing_room.core.events import PanelLeft, PanelReported
from breathing_room.core.identity import VisitorKey, visitor_key
from breathing_room.core.room import Room
from breathing_room.core.tickets import ticket
from breathing_room.hosts.common.rooms.secrets import SECRET
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.common.store_mode.migration import JOBS_MISSED_MAX, KvMigration, take_over
from breathing_room.hosts.common.store_mode.records import CONTROL
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.common.store_mode.writer import Writer
from breathing_room.stores.memory import MemoryStore

ROOM = "lobby"
CONFIG = StoreModeConfig(
    server=ServerConfig(room=RoomConfig(mode="poll", panel_size=30), presence_max_age_s=0), policy="every"
)
NAMES = (f"visitor-{number:012}" for number in count())


class Both:
    """A writer in KV and a room with its migration, over one store and one clock."""

    def __init__(self) -> None:
        self.now_ms = 1_767_225_600_000
        self.store = MemoryStore(clock=lambda: self.now_ms)
        self.writer = Writer(self.store, CONFIG, name="old", clock=lambda: self.now_ms)
        self.room = Room(ROOM, CONFIG.server.room, now_ms=self.now_ms, connection_is_lease=True)
        self.migration = KvMigration(ROOM, self.store, CONFIG, now_ms=self.now_ms)

    async def begin(self) -> None:
        await self.writer.start()
        await reconcile(self.store, CONFIG, clock=lambda: self.now_ms)

    def forget(self) -> None:
        """Hibernate: the room is restored, and the migration starts again."""
        self.migration = KvMigration(ROOM, self.store, CONFIG, now_ms=self.now_ms)

    async def old(self, visitor: str, mood: str | None = None) -> None:
        """Report to the writer."""
        self.now_ms += 10
        await self.writer.heartbeat(ROOM, json.dumps({"visitor": visitor, "mood": mood}).encode())

    async def old_leave(self, visitor: str) -> None:
        """Leave at the writer."""
        self.now_ms += 10
        await self.writer.leave(ROOM, json.dumps({"visitor": visitor}).encode())

    async def new(self, visitor: str, mood: str | None = None, *, leaves: bool = False) -> None:
        """Report to the object, or leave there."""
        self.now_ms += 10
        key = await self.key(visitor)
        event = (
            PanelLeft(key)
            if leaves
            else PanelReported(key, ticket(visitor, room=ROOM, epoch=self.epoch), mood, None)
        )
        self.migration.note(event, self.now_ms)
        self.room.step(event, now_ms=self.now_ms)

    async def key(self, visitor: str) -> VisitorKey:
        secret = await self.store.get(f"{SECRET}{self.epoch}")
        assert secret
        return visitor_key(visitor, room=ROOM, secret=secret)

    @property
    def epoch(self) -> int:
        return self.now_ms // CONFIG.server.room.epoch_ms

    async def sync(self) -> None:
        """Let some time pass, and follow."""
        self.now_ms += self.migration.every_ms
        for event in await self.migration.sync(self.room, self.now_ms):
            self.room.step(event, now_ms=self.now_ms)

    async def counts(self) -> tuple[int | None, int | None]:
        """Ask both who is there."""
        old = await self.writer.presence(ROOM)
        return old.count, self.room.presence(now_ms=self.now_ms).count


@pytest.fixture
async def both() -> Both:
    both = Both()
    await both.begin()
    return both


@pytest.fixture
def visitors() -> Iterator[str]:
    return NAMES


async def test_each_side_knows_what_was_reported_to_the_other(both: Both, visitors: Iterator[str]) -> None:
    """
    People who come, feel otherwise and go on either side are counted once on both, with the mood that they named last.
    """
    ann, bob, cy, dee = (next(visitors) for _ in range(4))
    await both.old(ann, "release")
    await both.new(bob, "gratitude")
    await both.sync()
    assert await both.counts() == (2, 2)
    await both.old(cy, "release")
    await both.new(dee)
    await both.new(ann, "gratitude")  # She has moved, and is still one person.
    await both.old(bob)
    await both.sync()
    assert await both.counts() == (4, 4)
    moods = both.room.presence(now_ms=both.now_ms).moods
    assert moods == (await both.writer.presence(ROOM)).moods
    assert (moods["gratitude"], moods["release"]) == (2, 1)
    await both.old_leave(ann)
    await both.new(cy, leaves=True)
    await both.sync()
    assert await both.counts() == (2, 2)


async def test_progress_ends_when_all_visitors_report_to_the_object(
    both: Both, visitors: Iterator[str]
) -> None:
    """
    Visitors who reported to the writer last are counted as elsewhere, until they report to the object or leave.
    """
    ann, bob = next(visitors), next(visitors)
    await both.old(ann)
    await both.old(bob)
    await both.sync()
    assert both.migration.progress(both.room).elsewhere == 2
    await both.new(ann)
    assert both.migration.progress(both.room).elsewhere == 1
    await both.old_leave(bob)
    await both.sync()
    progress = both.migration.progress(both.room)
    assert (progress.syncing, progress.seats, progress.elsewhere) == (True, 1, 0)


async def test_hibernation_brings_no_visitor_back_who_left(both: Both, visitors: Iterator[str]) -> None:
    """
    A migration that was reset reads all records again, and changes nothing about who is there.
    """
    ann, bob = next(visitors), next(visitors)
    await both.old(ann)
    await both.old(bob)
    await both.sync()
    await both.new(ann, leaves=True)
    await both.sync()
    both.forget()
    await both.sync()
    assert await both.counts() == (1, 1)


async def test_a_failed_put_is_repeated_in_the_next_round(
    both: Both, visitors: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While the store fails each side goes on by itself, and then both agree again.
    """

    async def fail(*_args: object, **_more: object) -> None:
        raise StoreError("injected", temporary=True)

    await both.new(next(visitors))
    with monkeypatch.context() as patch:
        patch.setattr(both.store, "put", fail)
        with pytest.raises(StoreError, match="injected"):
            await both.sync()
    assert await both.counts() == (0, 1)
    await both.sync()
    assert await both.counts() == (1, 1)


async def test_the_rate_is_the_controllers(both: Both, visitors: Iterator[str]) -> None:
    """
    A room whose rate falls before the controller's counts right all the same, and has the seats back that it dropped.
    """
    people = 2 * CONFIG.server.room.panel_size
    tickets = []
    for visitor in (next(visitors) for _ in range(people)):
        tickets.append(ticket(visitor, room=ROOM, epoch=both.epoch))
        await both.old(visitor)
    for look in range(4):
        await both.sync()
        assert look or both.room.panel.rate < 1
        for seen in (await both.writer.presence(ROOM), both.room.presence(now_ms=both.now_ms)):
            assert seen.low is not None
            assert seen.high is not None
            assert seen.low <= people <= seen.high
    rate = (await reconcile(both.store, CONFIG, clock=lambda: both.now_ms)).rooms[ROOM].rates[0][1]
    for _ in range(2):
        await both.sync()
    assert both.room.panel.rate == rate < 1
    assert both.room.panel.seat_count == sum(drawn < rate for drawn in tickets)


async def test_it_is_over_when_the_controller_has_stopped(both: Both) -> None:
    """
    A migration ends when the controller has not run for a while, and when its control was deleted.
    """
    await both.sync()
    assert not both.migration.over
    both.now_ms += (JOBS_MISSED_MAX + 1) * CONFIG.reconcile_ms
    await both.sync()
    assert both.migration.over
    both.forget()
    await both.store.delete(CONTROL)
    await both.sync()
    assert both.migration.over


async def test_a_room_begins_with_what_store_mode_left(both: Both, visitors: Iterator[str]) -> None:
    """A room is taken over with the visitors who reported to the writers, with their moods; one of which the store holds nothing is not."""
    for _ in range(5):
        await both.old(next(visitors), "release")
    await both.writer.stop()
    await reconcile(both.store, CONFIG, clock=lambda: both.now_ms)
    taken = await take_over(both.store, CONFIG, both.room, now_ms=both.now_ms)
    assert taken is not None
    presence = taken.presence(now_ms=both.now_ms)
    assert (presence.count, presence.moods["release"], taken.panel.rate) == (5, 5, 1.0)
    other = Room("attic", CONFIG.server.room, now_ms=both.now_ms, connection_is_lease=True)
    assert await take_over(both.store, CONFIG, other, now_ms=both.now_ms) is None
    assert await take_over(MemoryStore(), CONFIG, both.room, now_ms=both.now_ms) is None
