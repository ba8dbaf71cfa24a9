"""A store in memory: for tests, and for servers that need not keep state over a restart."""

import builtins

from breathing_room.core.errors import HostError
from breathing_room.ports import Clock, check_key, check_prefix, check_put, wall_ms


class MemoryStore:
    """A ``Store`` that ends with its process.

    Args:
        clock: The wall clock; tests move it.
    """

    def __init__(self, *, clock: Clock = wall_ms) -> None:
        self._clock = clock
        self._values: dict[str, tuple[bytes, int | None]] | None = {}

    async def get(self, key: str) -> bytes | None:
        """Return a value, None for none."""
        check_key(key)
        value, _ = self._live().get(key, (None, None))
        return value

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Store a value, with a time to live or without."""
        check_put(key, value, ttl_ms)
        self._live()[key] = (value, None if ttl_ms is None else self._clock() + ttl_ms)

    async def list(self, prefix: str) -> builtins.list[str]:
        """Return the keys with a prefix, sorted."""
        check_prefix(prefix)
        return sorted(key for key in self._live() if key.startswith(prefix))

    async def delete(self, key: str) -> None:
        """Delete a value, if there is one."""
        check_key(key)
        self._live().pop(key, None)

    async def close(self) -> None:
        """Drop all values."""
        self._values = None

    def _live(self) -> dict[str, tuple[bytes, int | None]]:
        """Drop the expired values, and return the others.

        Checking every key per call is the price of never holding a value past its time. There is a handful a
        room.
        """
        if self._values is None:
            raise HostError("the store is closed")
        now_ms = self._clock()
        for key in [
            key for key, (_, until_ms) in self._values.items() if until_ms is not None and until_ms <= now_ms
        ]:
            del self._values[key]
        return self._values
