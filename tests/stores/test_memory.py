"""The store in memory."""

from breathing_room.stores import MemoryStore
from breathing_room.testing import check_store


async def test_it_is_a_store() -> None:
    """The memory store keeps every promise of a store, in real time."""

    async def make() -> MemoryStore:
        return MemoryStore()

    await check_store(make)


async def test_it_holds_nothing_past_its_time() -> None:
    """An expired value is dropped by the next call of any method."""
    now_ms = 0
    store = MemoryStore(clock=lambda: now_ms)
    await store.put("a", b"1", ttl_ms=10)

    now_ms = 9
    assert await store.get("a") == b"1"
    now_ms = 10
    assert await store.get("another") is None
    assert store._values == {}
