"""A metered store."""

import builtins
from collections.abc import Coroutine
from typing import Any, TypeVar

from breathing_room.lab.sim.meter import StoreMeter
from breathing_room.ports import Clock, Store

T = TypeVar("T")


class MeteredStore:
    """A ``Store`` that counts the operations on another store.

    Args:
        store: The other store.
        meter: Counts the operations.
        clock: The time, for the interval between two writes to one key.
    """

    def __init__(self, store: Store, meter: StoreMeter, *, clock: Clock) -> None:
        self._store = store
        self.meter = meter
        self._clock = clock
        self._written_at_ms: dict[str, int] = {}

    async def get(self, key: str) -> bytes | None:
        """Return a value, None for none."""
        value = await self._store.get(key)
        self.meter.gets += 1
        self.meter.bytes_got += len(value or b"")
        return value

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Store a value."""
        await self._store.put(key, value, ttl_ms=ttl_ms)
        self.meter.puts += 1
        self.meter.bytes_put += len(value)
        self._written(key)

    async def list(self, prefix: str) -> builtins.list[str]:
        """Return the keys with a prefix, sorted."""
        keys = await self._store.list(prefix)
        self.meter.lists += 1
        return keys

    async def delete(self, key: str) -> None:
        """Delete a value, if there is one."""
        await self._store.delete(key)
        self.meter.deletes += 1
        self._written(key)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    def _written(self, key: str) -> None:
        now_ms = self._clock()
        former_ms = self._written_at_ms.pop(key, None)
        self._written_at_ms[key] = now_ms
        if former_ms is not None:
            rest_ms = now_ms - former_ms
            self.meter.rest_ms = rest_ms if self.meter.rest_ms is None else min(self.meter.rest_ms, rest_ms)
        # A key is written again within the second or its rest does not matter; a day of keys need not be
        # remembered.
        while (oldest := next(iter(self._written_at_ms))) != key and now_ms - self._written_at_ms[
            oldest
        ] > 60_000:
            del self._written_at_ms[oldest]


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of a store that waits for nothing, such as one in memory.

    Raises:
        RuntimeError: It waits for something.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a store that waits cannot be simulated")
