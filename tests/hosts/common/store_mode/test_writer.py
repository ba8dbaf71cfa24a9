"""A writer over a store in memory, without HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from breathing_room.core.config import DAY_MS, RoomConfig
from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.core.write_policies.records import decode_records
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.common.store_mode.records import REPORTS
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.common.store_mode.writer import Writer
from breathing_room.stores import MemoryStore


class Watched(MemoryStore):
    """A store that counts what it is asked, can fail, and says how often it was closed."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock=clock)
        self.gets = self.lists = self.closed = 0
        self.failing: StoreError | None = None

    async def get(self, key: str) -> bytes | None:
        self.gets += 1
        return await super().get(key)

    async def list(self, prefix: str) -> Any:
        self.lists += 1
        return await super().list(prefix)

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        if self.failing is not None:
            raise self.failing
        await super().put(key, value, ttl_ms=ttl_ms)

    async def close(self) -> None:
        self.closed += 1


class WriterAndController:
    def __init__(self, policy: str = EveryPolicy.name, **server: Any) -> None:
        self.now_ms = 20_000 * DAY_MS
        self.store = Watched(lambda: self.now_ms)
        room = RoomConfig(heartbeat_ms=60_000, panel_size=server.pop("panel_size", 100))
        self.config = StoreModeConfig(
            policy=policy, server=ServerConfig(room=room, presence_max_age_s=5, **server)
        )

    def clock(self) -> int:
        return self.now_ms

    async def run_controller(self) -> None:
        await reconcile(self.store, self.config, clock=self.clock)

    @asynccontextmanager
    async def writer(self, name: str = "a") -> AsyncIterator[Writer]:
        writer = Writer(self.store, self.config, name=name, clock=self.clock)
        await writer.start()
        yield writer
        await writer.stop()

    async def stored(self) -> list[int]:
        """How many records each key holds."""
        keys = await self.store.list(REPORTS)
        return [len(decode_records(value)) for key in keys if (value := await self.store.get(key))]


def a_beat(number: int, **more: Any) -> bytes:
    return json.dumps({"visitor": f"visitor-{number:016}", **more}).encode()


async def test_a_report_is_in_the_next_presence_of_its_writer() -> None:
    """Who reported here is in what this writer says at once, whether or not the store was read since, and
    leaves likewise.
    """
    scene = WriterAndController(BucketedPolicy.name)
    await scene.run_controller()
    async with scene.writer() as writer:
        assert (await writer.presence("lobby")).count == 0
        assert (await writer.heartbeat("lobby", a_beat(1, mood="release"))).count == 1
        assert (await writer.heartbeat("lobby", a_beat(1, mood="gratitude"))).moods["gratitude"] == 1
        await writer.leave("lobby", a_beat(1))
        assert (await writer.presence("lobby")).count == 0
        assert await scene.stored() == []
    assert await scene.stored() == [1]


async def test_the_store_is_read_once_for_all_who_ask() -> None:
    """A hundred reads at once, and more within the age that a presence may have, list the store once."""
    scene = WriterAndController()
    await scene.run_controller()
    async with scene.writer() as writer:
        scene.store.lists = 0
        await asyncio.gather(*(writer.presence("lobby") for _ in range(100)))
        scene.now_ms += 4_999
        await writer.presence("lobby")
        assert scene.store.lists == 1
        scene.now_ms += 1
        await writer.presence("lobby")
        assert scene.store.lists == 2


async def test_what_another_writer_stored_is_seen_after_a_read() -> None:
    """Two writers see one another's people once what they read is old,
    and a visitor of both is one person.
    """
    scene = WriterAndController()
    await scene.run_controller()
    async with scene.writer("a") as a, scene.writer("b") as b:
        for writer, numbers in ((a, (1, 2)), (b, (2, 3))):
            for number in numbers:
                await writer.heartbeat("lobby", a_beat(number))
        scene.now_ms += 5_000
        assert [(await writer.presence("lobby")).count for writer in (a, b)] == [3, 3]


async def test_without_a_controller_reports_are_rejected() -> None:
    """Before the first run of the controller visitors cannot be counted: reports and leaves get 503 with a
    time to retry.
    """
    scene = WriterAndController()
    async with scene.writer() as writer:
        for refused in (writer.heartbeat("lobby", a_beat(1)), writer.leave("lobby", a_beat(1))):
            with pytest.raises(ClientError) as error:
                await refused
            assert (error.value.code, error.value.status, error.value.retry_after_s) == (
                "unavailable",
                503,
                2,
            )


async def test_a_visitor_outside_the_sample_writes_nothing() -> None:
    """At a low rate most reports change nothing in the store, and the answer is the same for all."""
    scene = WriterAndController(panel_size=5)
    await scene.run_controller()
    async with scene.writer() as writer:
        for number in range(100):
            await writer.heartbeat("lobby", a_beat(number))
        await scene.run_controller()
        scene.now_ms += scene.config.propagation_ms
        before = sum(await scene.stored())
        for number in range(100, 200):
            await writer.heartbeat("lobby", a_beat(number))
        assert 0 <= sum(await scene.stored()) - before < 50


async def test_a_report_that_could_not_be_stored_is_an_error() -> None:
    """Where each report is a write of its own, one that the store does not take is an error for its client,
    and is counted.
    """
    scene = WriterAndController()
    await scene.run_controller()
    async with scene.writer() as writer:
        scene.store.failing = StoreError("read-only", temporary=False)
        with pytest.raises(ClientError) as error:
            await writer.heartbeat("lobby", a_beat(1))
        assert (error.value.status, writer.puts_failed) == (503, 1)


async def test_an_epoch_of_long_ago_begins_a_new_visit() -> None:
    """A report of an epoch whose secret is gone is refused with the code that makes a client begin again;
    that of yesterday counts.
    """
    scene = WriterAndController()
    await scene.run_controller()
    scene.now_ms += DAY_MS
    await scene.run_controller()
    async with scene.writer() as writer:
        assert (await writer.heartbeat("lobby", a_beat(1, epoch=20_000))).count == 1
        with pytest.raises(ClientError) as error:
            await writer.heartbeat("lobby", a_beat(2, epoch=19_990))
        assert error.value.code == "bad_epoch"


async def test_a_store_that_was_given_is_left_open() -> None:
    """A writer closes the store that it opened by name, and not one that was handed in."""
    scene = WriterAndController()
    async with scene.writer():
        pass
    assert scene.store.closed == 0
    own = Writer(":memory:", scene.config, clock=scene.clock)
    await own.start()
    await own.stop()
    with pytest.raises(Exception, match="closed"):
        await own._store.get("a")


def test_a_name_is_that_of_a_room() -> None:
    """A writer's name is part of its keys: it has the form of a room's name, and is drawn at random if none
    is given.
    """
    scene = WriterAndController()
    assert Writer(scene.store, scene.config).name != Writer(scene.store, scene.config).name
    with pytest.raises(ClientError):
        Writer(scene.store, scene.config, name="a/b")
