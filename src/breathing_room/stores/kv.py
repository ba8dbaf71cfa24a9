"""A store in Workers KV (https://developers.cloudflare.com/kv/), for a Worker.

Its limits, which no other store has: a write is visible elsewhere after up to 60 s, a key takes one write a
second, and a time to live is at least 60 s. ``ports.py`` has the rules by which the last of these is rounded
up.
"""

import builtins
from typing import Any, Final

from breathing_room.core.errors import HostError, StoreError
from breathing_room.ports import check_key, check_prefix, check_put

TTL_S_MIN: Final = 60


class KvStore:
    """A ``Store`` in one namespace of Workers KV.

    Args:
        namespace: The binding.
        to_js: Converts bytes and dictionaries to JavaScript values.
    """

    def __init__(self, namespace: Any, to_js: Any) -> None:
        self._namespace = namespace
        self._to_js = to_js
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """Return a value, None when there is none or it has expired."""
        self._check_open()
        check_key(key)
        value = await self._call(self._namespace.get(key, "arrayBuffer"))
        return None if value is None or not hasattr(value, "to_bytes") else bytes(value.to_bytes())

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Store a value, with a time to live of at least a minute."""
        self._check_open()
        check_put(key, value, ttl_ms)
        options = {} if ttl_ms is None else {"expirationTtl": max(TTL_S_MIN, -(-ttl_ms // 1_000))}
        await self._call(self._namespace.put(key, self._to_js(value), self._to_js(options)))

    async def list(self, prefix: str) -> builtins.list[str]:
        """Return all keys with a prefix that have not expired, sorted; each call returns a thousand."""
        self._check_open()
        check_prefix(prefix)
        names: builtins.list[str] = []
        options = {"prefix": prefix}
        while True:
            page = await self._call(self._namespace.list(self._to_js(options)))
            names += [key.name for key in page.keys]
            if page.list_complete:
                return sorted(names)
            options = {"prefix": prefix, "cursor": page.cursor}

    async def delete(self, key: str) -> None:
        """Delete a value, if there is one."""
        self._check_open()
        check_key(key)
        await self._call(self._namespace.delete(key))

    async def close(self) -> None:
        """Close the store; the namespace needs no closing. A second call does nothing."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise HostError("the store is closed")

    @staticmethod
    async def _call(answer: Any) -> Any:
        """Await a call.

        Raises:
            StoreError: It failed. KV does not distinguish permanent errors, so each counts as temporary.
        """
        try:
            return await answer
        except Exception as error:
            raise StoreError(f"Workers KV does not answer: {error}", temporary=True) from error
