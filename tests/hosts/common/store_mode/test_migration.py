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


class TwoSides:
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
        """Return the counts of the writer and of the room."""
        old = await self.writer.presence(ROOM)
        return old.count, self.room.presence(now_ms=self.now_ms).count


@pytest.fixture
async def sides() -> TwoSides:
    sides = TwoSides()
    await sides.begin()
    return sides


@pytest.fixture
def visitors() -> Iterator[str]:
    return NAMES


async def test_each_side_knows_what_was_reported_to_the_other(
    sides: TwoSides, visitors: Iterator[str]
) -> None:
    """
    People who come, feel otherwise and go on either side are counted once on both, with the mood that they
    named last.
    """
    ann, bob, cy, dee = (next(visitors) for _ in range(4))
    await sides.old(ann, "release")
    await sides.new(bob, "gratitude")
    await sides.sync()
    assert await sides.counts() == (2, 2)
    await sides.old(cy, "release")
    await sides.new(dee)
    await sides.new(ann, "gratitude")  # She has moved, and is still one person.
    await sides.old(bob)
    await sides.sync()
    assert await sides.counts() == (4, 4)
    moods = sides.room.presence(now_ms=sides.now_ms).moods
    assert moods == (await sides.writer.presence(ROOM)).moods
    assert (moods["gratitude"], moods["release"]) == (2, 1)
    await sides.old_leave(ann)
    await sides.new(cy, leaves=True)
    await sides.sync()
    assert await sides.counts() == (2, 2)


async def test_progress_ends_when_all_visitors_report_to_the_object(
    sides: TwoSides, visitors: Iterator[str]
) -> None:
    """
    Visitors who reported to the writer last are counted as elsewhere, until they report to the object or
    leave.
    """
    ann, bob = next(visitors), next(visitors)
    await sides.old(ann)
    await sides.old(bob)
    await sides.sync()
    assert sides.migration.progress(sides.room).elsewhere == 2
    await sides.new(ann)
    assert sides.migration.progress(sides.room).elsewhere == 1
    await sides.old_leave(bob)
    await sides.sync()
    progress = sides.migration.progress(sides.room)
    assert (progress.syncing, progress.seats, progress.elsewhere) == (True, 1, 0)


async def test_hibernation_brings_no_visitor_back_who_left(sides: TwoSides, visitors: Iterator[str]) -> None:
    """A migration that was reset reads all records again, and changes nothing about who is there."""
    ann, bob = next(visitors), next(visitors)
    await sides.old(ann)
    await sides.old(bob)
    await sides.sync()
    await sides.new(ann, leaves=True)
    await sides.sync()
    sides.forget()
    await sides.sync()
    assert await sides.counts() == (1, 1)


async def test_a_failed_put_is_repeated_in_the_next_round(
    sides: TwoSides, visitors: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store fails each side goes on by itself, and then both agree again."""

    async def fail(*_args: object, **_more: object) -> None:
        raise StoreError("injected", temporary=True)

    await sides.new(next(visitors))
    with monkeypatch.context() as patch:
        patch.setattr(sides.store, "put", fail)
        with pytest.raises(StoreError, match="injected"):
            await sides.sync()
    assert await sides.counts() == (0, 1)
    await sides.sync()
    assert await sides.counts() == (1, 1)


async def test_the_rate_is_the_controllers(sides: TwoSides, visitors: Iterator[str]) -> None:
    """
    A room whose rate falls before the controller's counts right all the same, and has the seats back that it
    dropped.
    """
    people = 2 * CONFIG.server.room.panel_size
    tickets = []
    for visitor in (next(visitors) for _ in range(people)):
        tickets.append(ticket(visitor, room=ROOM, epoch=sides.epoch))
        await sides.old(visitor)
    for look in range(4):
        await sides.sync()
        assert look or sides.room.panel.rate < 1
        for seen in (await sides.writer.presence(ROOM), sides.room.presence(now_ms=sides.now_ms)):
            assert seen.low is not None
            assert seen.high is not None
            assert seen.low <= people <= seen.high
    rate = (await reconcile(sides.store, CONFIG, clock=lambda: sides.now_ms)).rooms[ROOM].rates[0][1]
    for _ in range(2):
        await sides.sync()
    assert sides.room.panel.rate == rate < 1
    assert sides.room.panel.seat_count == sum(drawn < rate for drawn in tickets)


async def test_it_is_over_when_the_controller_has_stopped(sides: TwoSides) -> None:
    """A migration ends when the controller has not run for a while, and when its control was deleted."""
    await sides.sync()
    assert not sides.migration.over
    sides.now_ms += (JOBS_MISSED_MAX + 1) * CONFIG.reconcile_ms
    await sides.sync()
    assert sides.migration.over
    sides.forget()
    await sides.store.delete(CONTROL)
    await sides.sync()
    assert sides.migration.over


async def test_a_room_begins_with_what_store_mode_left(sides: TwoSides, visitors: Iterator[str]) -> None:
    """A room is taken over with the visitors who reported to the writers, with their moods; one of which the
    store holds nothing is not.
    """
    for _ in range(5):
        await sides.old(next(visitors), "release")
    await sides.writer.stop()
    await reconcile(sides.store, CONFIG, clock=lambda: sides.now_ms)
    taken = await take_over(sides.store, CONFIG, sides.room, now_ms=sides.now_ms)
    assert taken is not None
    presence = taken.presence(now_ms=sides.now_ms)
    assert (presence.count, presence.moods["release"], taken.panel.rate) == (5, 5, 1.0)
    other = Room("attic", CONFIG.server.room, now_ms=sides.now_ms, connection_is_lease=True)
    assert await take_over(sides.store, CONFIG, other, now_ms=sides.now_ms) is None
    assert await take_over(MemoryStore(), CONFIG, sides.room, now_ms=sides.now_ms) is None
