"""Every store against the simplest one: a dict."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from breathing_room.ports import Clock, Store
from breathing_room.stores import MemoryStore, SqliteStore
from breathing_room.stores.sqlite import SWEEP_MS

START_MS = 1_767_225_600_000

# Few keys, so that they meet; close to one another, so that they could be mistaken.
keys = st.sampled_from(
    ["a", "A", "a%", "a_", "ab", "a/b", "b", "é", "e\u0301", "\uffee", "\U0001f9d8", "a" * 512]
)
values = st.binary(max_size=8) | st.binary(max_size=8).map(lambda value: value * 2_000)
ttls_ms = st.none() | st.integers(1, 50) | st.integers(1, 3 * SWEEP_MS)

steps = st.one_of(
    st.tuples(st.just("put"), keys, values, ttls_ms),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("list"), st.just("") | keys),
    st.tuples(st.just("wait"), st.integers(0, 50) | st.integers(0, 2 * SWEEP_MS)),
    st.tuples(st.just("reopen")),
)


class Model:
    """What a store should do, said in a dict."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.entries: dict[str, tuple[bytes, float]] = {}

    def live(self) -> dict[str, bytes]:
        return {key: value for key, (value, until_ms) in self.entries.items() if until_ms > self.now_ms}

    def put(self, key: str, value: bytes, ttl_ms: int | None) -> None:
        self.entries[key] = (value, float("inf") if ttl_ms is None else self.now_ms + ttl_ms)

    def delete(self, key: str) -> None:
        self.entries.pop(key, None)

    def list(self, prefix: str) -> list[str]:
        return sorted(key for key in self.live() if key.startswith(prefix))


Open = Callable[[Clock], Awaitable[Store]]


async def play(trace: list[tuple[object, ...]], open_store: Open, *, lasts: bool) -> None:
    """Do the same to a store and to the model, and compare after every step."""
    model = Model()
    store = await open_store(lambda: model.now_ms)
    for step in trace:
        match step:
            case ("put", str(key), bytes(value), int() | None as ttl_ms):
                await store.put(key, value, ttl_ms=ttl_ms)
                model.put(key, value, ttl_ms)
            case ("delete", str(key)):
                await store.delete(key)
                model.delete(key)
            case ("get", str(key)):
                assert await store.get(key) == model.live().get(key)
            case ("list", str(prefix)):
                assert await store.list(prefix) == model.list(prefix)
            case ("wait", int(ms)):
                model.now_ms += ms
            case ("reopen",) if lasts:
                await store.close()
                store = await open_store(lambda: model.now_ms)
    assert {key: await store.get(key) for key in await store.list("")} == model.live()
    await store.close()


@given(st.lists(steps, max_size=40))
def test_memory_is_a_dict_with_time(trace: list[tuple[object, ...]]) -> None:
    """After any calls in any order the memory store answers as the model does."""

    async def open_store(clock: Clock) -> Store:
        return MemoryStore(clock=clock)

    asyncio.run(play(trace, open_store, lasts=False))


@settings(max_examples=settings().max_examples // 2)  # A disk takes its time.
@given(st.lists(steps, max_size=40))
def test_sqlite_is_a_dict_with_time(trace: list[tuple[object, ...]]) -> None:
    """After any calls in any order, closing and opening included, the file answers as the model does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "room.db")

        async def open_store(clock: Clock) -> Store:
            return await SqliteStore.open(path, clock=clock)

        asyncio.run(play(trace, open_store, lasts=True))
