"""The host: what it does between its rooms, its store and its clock."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest

from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.events import PanelLeft, PanelReported
from breathing_room.core.snapshot import decode_snapshot
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.app import App, ServerRoom
from breathing_room.hosts.server.platform import ServerPlatform
from breathing_room.stores import MemoryStore
from inside import HandClock, client_of, host_inside

DAY_MS = 86_400_000
VISITOR = "visitor-0123456789"


class Kept(MemoryStore):
    """A store that outlives the host that closes it, can be slow, and can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.slow_s = 0.0
        self.fails = False
        self.puts: list[str] = []

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        if self.fails:
            raise StoreError("the disk is full", temporary=True)
        self.puts.append(key)
        await asyncio.sleep(self.slow_s)
        await super().put(key, value, ttl_ms=ttl_ms)

    async def close(self) -> None:
        """Stay open."""

    async def people(self, room: str = "lobby") -> int:
        """Count the people in the snapshot of a room."""
        value = await self.get(f"snapshot/{room}")
        return 0 if value is None else decode_snapshot(value).count


class RecordingSubscriber:
    """A subscriber that records what it is sent."""

    def __init__(self) -> None:
        self.received: list[int | None] = []

    def push(self, encoded: EncodedPresence) -> None:
        self.received.append(encoded.presence.count)

    def close(self, code: int, reason: bytes = b"") -> None:
        """Go."""


def come(room: ServerRoom, name: str = VISITOR, mood: str | None = None) -> None:
    """Report a visitor."""
    room.feed(PanelReported(room.visitor_key(name), 0.5, mood))


async def until(store: Kept, people: int) -> None:
    """Wait until so many people are stored."""
    async with asyncio.timeout(3):
        while await store.people() != people:  # noqa: ASYNC110 -- a store has no event for it
            await asyncio.sleep(0.01)


@pytest.fixture
async def host() -> AsyncIterator[App]:
    """A host in memory."""
    async with host_inside(push_ms=20, pushes_per_s=100_000, snapshot_ms=100) as host:
        yield host


# --- Rooms ------------------------------------------------------------------------------------------------


async def test_a_read_opens_no_room(host: App) -> None:
    """A read of the presence of a room opens no room."""
    assert host.presence("empty-room").count == 0
    assert host.rooms.keys() == {"lobby"}


# --- Saving -----------------------------------------------------------------------------------------------


async def test_changes_during_a_slow_save_are_saved_too() -> None:
    """
    When a save takes longer than the interval, what happened meanwhile is saved after it, though nothing
    happens any more.
    """
    store = Kept()
    async with host_inside(store=store, push_ms=20, snapshot_ms=100) as host:
        room = host.rooms["lobby"]
        store.slow_s = 0.4
        come(room, "first-visitor-0123")
        await asyncio.sleep(0.2)
        assert "snapshot/lobby" in store.puts  # The save is under way, without the next one.
        come(room, "second-visitor-012")
        await asyncio.sleep(0.4)
        store.slow_s = 0
        await until(store, 2)


async def test_failing_store_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    """
    While the store fails the room goes on, the failure is logged and counted, and the next save makes up for
    it.
    """
    store = Kept()
    async with host_inside(store=store, push_ms=20, snapshot_ms=100) as host:
        room = host.rooms["lobby"]
        store.fails = True
        come(room)
        await asyncio.sleep(0.25)
        assert host.counters.snapshots_failed >= 1
        assert any("room lobby could not be saved: the disk is full" in line for line in caplog.messages)
        assert host.presence("lobby").count == 1
        store.fails = False
        come(room)
        await until(store, 1)
        assert host.counters.snapshots >= 1


async def test_quiet_room_is_not_saved_again() -> None:
    """Where nothing happens nothing is written."""
    store = Kept()
    async with host_inside(store=store, push_ms=20, snapshot_ms=100) as host:
        come(host.rooms["lobby"])
        await until(store, 1)
        await asyncio.sleep(0.05)
        written = len(store.puts)
        await asyncio.sleep(0.4)
        assert len(store.puts) == written


async def test_empty_room_leaves_no_snapshot() -> None:
    """When the last person left, nothing of any visitor is stored."""
    store = Kept()
    async with host_inside(store=store, push_ms=20, snapshot_ms=100) as host:
        room = host.rooms["lobby"]
        come(room)
        await until(store, 1)
        room.feed(PanelLeft(room.visitor_key(VISITOR)))
        await until(store, 0)
    assert not await store.list("snapshot/")


async def test_closed_rooms_leave_nothing_for_ever() -> None:
    """
    A thousand rooms that visitors opened and left leave no thousand rows in the store: what is kept of them
    has an end.
    """
    clock = 0
    store = Kept()
    store._clock = lambda: clock
    async with host_inside(store=store) as host:
        for index in range(20):
            room = host.enter(f"passing-{index}", address="192.0.2.1", forwarded_for=None)
            come(room)
            room.feed(PanelLeft(room.visitor_key(VISITOR)))
        await host._close_idle_rooms()
        clock = 366 * DAY_MS
        assert [key for key in await store.list("") if "passing" in key] == []


async def test_a_room_that_is_closed_while_it_is_stored_leaves_nothing() -> None:
    """
    A room whose snapshot is due when it is found idle, or is being written just then, is deleted from the
    store after that.

    It was before: the note of the empty room stayed in the store for good, with the name of the room.
    """
    store, clock = Kept(), HandClock()
    async with host_inside(store=store, clock=clock, snapshot_ms=100) as host:
        for name, is_writing in (("due", False), ("writing", True)):
            room = host.enter(name, address=None, forwarded_for=None)
            await room.platform.load_history()
            come(room)
            room.feed(PanelLeft(room.visitor_key(VISITOR)))
            clock.ms += 1_000
            store.slow_s = 0.02
            if is_writing:
                room.on_timer()
                await asyncio.sleep(0)
            await host._close_idle_rooms()
            assert room.platform._saving is not None
            await room.platform._saving
            assert name not in host.rooms
            assert f"note/{name}" in store.puts
            assert await store.list("note/") == []


async def test_stop_saves_and_is_done_once() -> None:
    """A stop saves every room and takes the mark of a running server back; a second stop does nothing."""
    store = Kept()
    async with host_inside(store=store) as host:
        assert await store.get("running") is not None
        come(host.rooms["lobby"])
        await host.stop()
        assert await store.people() == 1
        assert await store.get("running") is None
        come(host.rooms["lobby"], "late-visitor-01234")  # What happens while we part is not what people did.
        assert host.rooms["lobby"].room.count == 1
        await host.stop()
    with pytest.raises(ClientError) as refused:
        host.enter("lobby", address=None, forwarded_for=None)
    assert refused.value.code == "unavailable"


async def test_a_stop_goes_on_while_an_idle_room_is_closed(
    host: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A stop that waits for the store saves and sends away every room, though one of them is closed as idle
    meanwhile.

    It failed, so the connections of the rooms after that one were cut without a time to come back.
    """
    for name in ("first", "second"):
        await host.enter(name, address=None, forwarded_for=None).platform.load_history()
    come(host.rooms["second"])
    put, sent_away = host.store.put, []

    async def put_as_one_is_closed(key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        host.rooms.pop("first", None)
        await put(key, value, ttl_ms=ttl_ms)

    monkeypatch.setattr(host.store, "put", put_as_one_is_closed)
    monkeypatch.setattr(host, "disconnect_room", lambda room: sent_away.append(room.name))
    await host.stop()
    assert sent_away[-1] == "second"


async def test_a_stop_closes_all_connections_before_it_saves(
    host: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Every room's connections are sent away before the first save is awaited, however slow the store is.

    A plain uvicorn in which rooms are mounted closed those of the last rooms meanwhile, without a moment to
    come back.
    """
    for name in ("first", "second"):
        host.enter(name, address=None, forwarded_for=None)
    happened: list[str] = []

    async def save(platform: ServerPlatform) -> None:
        happened.append(f"{platform.room.name} saved")

    monkeypatch.setattr(ServerPlatform, "save_now", save)
    monkeypatch.setattr(host, "disconnect_room", lambda room: happened.append(f"{room.name} sent away"))
    await host.stop()
    assert [what.partition(" ")[2] for what in happened] == ["sent away"] * 3 + ["saved"] * 3


# --- Epochs -----------------------------------------------------------------------------------------------


async def test_new_secret_keeps_the_people() -> None:
    """
    When the secret changes, a visitor who joined under the last one stays the same person, newcomers are
    hashed under the new one, and the oldest is thrown away.
    """
    clock, store = HandClock(), Kept()
    store._clock = clock.wall_ms
    async with host_inside(store=store, clock=clock, epoch_ms=DAY_MS) as host:
        room = host.rooms["lobby"]
        come(room)
        before = room.visitor_key(VISITOR)
        clock.ms += DAY_MS
        await host.load_secrets()
        assert len(host.secrets.current) == 2
        assert room.visitor_key(VISITOR) == before
        newcomer = room.visitor_key("newcomer-0123456789")
        come(room)
        assert room.room.count == 1
        clock.ms += DAY_MS
        await host.load_secrets()
        assert room.visitor_key("newcomer-0123456789") != newcomer
        assert len(await store.list("secret/")) == 2


async def test_secret_outlives_a_restart() -> None:
    """
    After a restart a visitor has the key that stands in the snapshot, and comes back as the same person.
    """
    store = Kept()
    async with host_inside(store=store) as host:
        come(host.rooms["lobby"], mood="release")
    async with host_inside(store=store) as host:
        room = host.rooms["lobby"]
        assert room.presence().method == "stale"
        come(room)
        presence = room.presence()
        assert (presence.method, presence.count, presence.moods["release"]) == ("counted", 1, 1)


# --- Rooms that come and go -------------------------------------------------------------------------------


async def test_idle_room_is_closed_and_comes_back_counted(host: App) -> None:
    """
    A room without people and watchers is closed; the default room stays. A visitor who returns finds a room
    that is counted.
    """
    room = host.enter("passing", address=None, forwarded_for=None)
    come(room)
    await host._close_idle_rooms()
    assert "passing" in host.rooms
    room.feed(PanelLeft(room.visitor_key(VISITOR)))
    room.subscribers[subscriber := RecordingSubscriber()] = None
    await host._close_idle_rooms()
    assert "passing" in host.rooms
    room.subscribers.pop(subscriber)
    await host._close_idle_rooms()
    assert host.rooms.keys() == {"lobby"}
    assert host.enter("passing", address=None, forwarded_for=None).presence().method == "counted"


async def test_room_that_is_joined_while_another_is_closed_stays_open(
    host: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Closing a room waits for the store; a room that was idle before that wait and is joined during it is not
    closed.

    It was: its connections stayed in a room that no other request could find, so that the page showed 1 and
    the server answered 0.
    """
    first, second = (host.enter(name, address=None, forwarded_for=None) for name in ("first", "second"))
    await first.platform.load_history()
    put = host.store.put

    async def put_and_be_joined(key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        if key.endswith("/first"):
            come(host.enter("second", address=None, forwarded_for=None))
        await put(key, value, ttl_ms=ttl_ms)

    monkeypatch.setattr(host.store, "put", put_and_be_joined)
    await host._close_idle_rooms()
    assert "first" not in host.rooms
    assert host.rooms["second"] is second
    assert host.presence("second").count == 1


async def test_after_a_crash_every_new_room_is_unknown() -> None:
    """
    After a run without a graceful stop a room of which nothing is stored may have had people: it is unknown
    for one lease.
    """
    clock, store = HandClock(), Kept()
    await store.put("running", b"1")
    async with host_inside(store=store, clock=clock, lease_ms=10_000, grace_ms=1_000) as host:
        assert host.presence("never-heard-of").method == "unknown"
        room = host.enter("never-heard-of", address=None, forwarded_for=None)
        assert (room.presence().method, room.presence().count) == ("unknown", None)
        come(room)
        assert (room.presence().low, room.presence().count) == (1, None)
        clock.ms += 10_001
        assert host.presence("another").method == "counted"
        come(room)
        assert (room.presence().method, room.presence().count) == ("counted", 1)


async def test_rooms_have_settings_of_their_own() -> None:
    """A room that the file names is open from the start, with its own moods and times."""
    rooms = {"garden": RoomConfig(moods=("calm", "curious"), breath="box")}
    host = App(ServerConfig(data=":memory:", rooms=rooms))
    await host.start()
    try:
        assert host.rooms.keys() == {"lobby", "garden"}
        async with client_of(host) as client:
            config = (await client.get("/v1/rooms/garden/config")).json()
            assert (config["moods"], config["breath"]["pattern"]) == (["calm", "curious"], "box")
            body = {"visitor": VISITOR, "mood": "gratitude"}
            assert (await client.post("/v1/rooms/garden/heartbeat", json=body)).status_code == 400
            assert (await client.post("/v1/rooms/lobby/heartbeat", json=body)).status_code == 200
            for mood in ("calm", UNSPOKEN):
                body = {"visitor": VISITOR, "mood": mood}
                assert (await client.post("/v1/rooms/garden/heartbeat", json=body)).status_code == 200
    finally:
        await host.stop()


# --- Tasks ------------------------------------------------------------------------------------------------


async def test_background_bug_is_not_silent(host: App, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in the background is logged as critical, with where it is."""

    async def broken() -> None:
        raise RuntimeError("a bug")

    with caplog.at_level(logging.CRITICAL):
        await asyncio.wait([host.spawn(broken())])
        await asyncio.sleep(0)
    assert any(record.levelno == logging.CRITICAL and record.exc_info for record in caplog.records)


async def test_times_to_reconnect_are_spread(host: App) -> None:
    """Each close has a time of its own, within the spread."""
    waits_ms = [json.loads(host.retry_reason())["retry_ms"] for _ in range(500)]
    assert min(waits_ms) < 500
    assert max(waits_ms) > 4_500
    assert all(0 <= wait_ms <= 5_000 for wait_ms in waits_ms)
