"""The store that counts."""

import asyncio

import pytest

from breathing_room.lab.sim.meter import StoreMeter
from breathing_room.lab.sim.store import MeteredStore, finish
from breathing_room.stores import MemoryStore
from breathing_room.testing import check_store


async def test_it_is_a_store() -> None:
    """It keeps the contract of every store."""

    now_ms = 0

    async def make() -> MeteredStore:
        return MeteredStore(MemoryStore(clock=lambda: now_ms), StoreMeter(), clock=lambda: now_ms)

    async def advance(ms: int) -> None:
        nonlocal now_ms
        now_ms += ms

    await check_store(make, advance=advance)


def test_everything_is_counted() -> None:
    """Operations, bytes both ways, and the shortest rest between two writes to one key."""
    now_ms = 0
    meter = StoreMeter()
    store = MeteredStore(MemoryStore(clock=lambda: now_ms), meter, clock=lambda: now_ms)
    finish(store.put("a", b"12345"))
    finish(store.put("b", b"1"))
    assert meter.rest_ms is None
    now_ms = 1_500
    finish(store.delete("a"))
    now_ms = 2_700
    finish(store.put("a", b"12"))
    assert finish(store.get("a")) == b"12"
    assert finish(store.get("c")) is None
    assert finish(store.list("")) == ["a", "b"]

    assert meter == StoreMeter(gets=2, puts=3, lists=1, deletes=1, bytes_got=2, bytes_put=8, rest_ms=1_200)
    assert meter.writes == 4


def test_a_store_that_waits_cannot_be_simulated() -> None:
    """Virtual time does not wait for a real store."""
    with pytest.raises(RuntimeError, match="cannot be simulated"):
        finish(asyncio.sleep(0))
