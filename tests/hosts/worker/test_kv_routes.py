"""The routes of a Worker with the backend KV, over a store in memory."""

import json
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.worker import kv_routes
from breathing_room.hosts.worker.kv_routes import KvRoutes
from breathing_room.hosts.worker.routes import HttpRequest
from breathing_room.hosts.worker.settings import WorkerConfig
from breathing_room.ports import wall_ms
from breathing_room.stores import MemoryStore
from waiting import until

VISITOR = "visitor-0123456789"


def posting(**body: Any) -> HttpRequest:
    async def read(_bytes_max: int) -> bytes:
        return json.dumps(body).encode()

    headers: dict[str, str] = {}
    return HttpRequest("POST", "/", {}, headers.get, read)


class Counting(MemoryStore):
    lists = puts = 0

    async def list(self, prefix: str) -> Any:
        self.lists += 1
        return await super().list(prefix)

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        self.puts += 1
        await super().put(key, value, ttl_ms=ttl_ms)


async def a_backend(*, collects: bool = False) -> tuple[KvRoutes, Counting]:
    policy = "bucketed" if collects else "every"
    worker = WorkerConfig(backend="kv", policy=policy, server=ServerConfig(room=RoomConfig(mode="poll")))
    store = Counting()
    await reconcile(store, worker.store_mode)
    store.puts = 0
    return KvRoutes(worker, store, collects=collects), store


async def count(backend: KvRoutes) -> Any:
    return json.loads(await backend.ask_room("lobby", ""))["count"]


async def test_each_report_is_a_write_before_it_is_answered() -> None:
    """A report is in the store when it is answered, so that nothing waits in a Worker that may end; a leave
    is a 204.
    """
    backend, store = await a_backend()
    answer = await backend.answer("lobby", "/heartbeat", posting(visitor=VISITOR))
    assert (answer.status, store.puts) == (200, 1)
    reported_at_ms = wall_ms()
    await until(lambda: wall_ms() > reported_at_ms)  # Two writers' records of one millisecond have no order.
    left = await backend.answer("lobby", "/leave", posting(visitor=VISITOR))
    assert (left.status, left.body) == (204, b"")
    assert await count(KvRoutes(backend.worker, store)) == 0


async def test_a_presence_is_read_once_for_all_requests() -> None:
    """Though each request has a writer of its own, the room is read once in ``presence_max_age_s``."""
    backend, store = await a_backend()
    store.lists = 0
    for _ in range(5):
        await count(backend)
    assert store.lists == 1


async def test_an_object_that_collects_writes_a_batch() -> None:
    """Where an object collects, reports wait in it and are in its presence at once; they are written as one
    batch.
    """
    backend, store = await a_backend(collects=True)
    for number in range(3):
        await backend.answer("lobby", "/heartbeat", posting(visitor=f"{VISITOR}-{number}"))
    assert store.puts == 0
    await (await backend._writer()).stop()
    assert store.puts == 1
    assert await count(KvRoutes(backend.worker, store)) == 3


@pytest.mark.parametrize(
    ("asked", "code"),
    [("/api/heartbeat", "cannot_count"), ("/socket", "not_found"), ("/events", "not_found")],
)
async def test_requests_that_need_memory_are_refused(asked: str, code: str) -> None:
    """Legacy sampling, connections and event streams have an error of
    their own, and averages are not found.
    """
    backend, _ = await a_backend()
    for refused, expected in (
        (backend.answer("lobby", asked, posting()), code),
        (backend.ask_room("lobby", "/history"), "not_found"),
    ):
        with pytest.raises(ClientError) as error:
            await refused
        assert error.value.code == expected


async def test_invented_rooms_do_not_fill_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rooms are read, no more presences than the limit are cached."""
    monkeypatch.setattr(kv_routes, "PRESENCES_MAX", 3)
    backend, _ = await a_backend()
    for number in range(10):
        await backend.ask_room(f"room-{number}", "")
        assert len(backend._presences) <= 3
