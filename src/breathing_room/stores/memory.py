"""A store in memory: for tests, and for servers that may forget."""

import builtins

from breathing_room.core.errors import HostError
from breathing_room.ports import Clock, check_key, check_prefix, check_put, wall_ms


class MemoryStore:
    """A ``Store`` that is gone with its process.

    Args:
        clock: Tells the wall time; tests move it.
    """

    def __init__(self, *, clock: Clock = wall_ms) -> None:
        self._clock = clock
        self._values: dict[str, tuple[bytes, int | None]] | None = {}

    async def get(self, key: str) -> bytes | None:
        """Read a value, None for nothing."""
        check_key(key)
        value, _ = self._live().get(key, (None, None))
        return value

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Keep a value, for ever or for a while."""
        check_put(key, value, ttl_ms)
        self._live()[key] = (value, None if ttl_ms is None else self._clock() + ttl_ms)

    async def list(self, prefix: str) -> builtins.list[str]:
        """Name the keys that begin with a prefix, sorted."""
        check_prefix(prefix)
        return sorted(key for key in self._live() if key.startswith(prefix))

    async def delete(self, key: str) -> None:
        """Forget a value, if there is one."""
        check_key(key)
        self._live().pop(key, None)

    async def close(self) -> None:
        """Forget everything."""
        self._values = None

    def _live(self) -> dict[str, tuple[bytes, int | None]]:
        """Forget whatever is over, and return the rest.

        A look at every key per call is the price of never holding a value past its time. There is a handful a room.
        """
        if self._values is None:
            raise HostError("the store is closed")
        now_ms = self._clock()
        for key in [
            key for key, (_, until_ms) in self._values.items() if until_ms is not None and until_ms <= now_ms
        ]:
            del self._values[key]
        return self._values
