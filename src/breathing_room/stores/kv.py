"""A store in Workers KV (https://developers.cloudflare.com/kv/), for a Worker.

What it cannot do, and no other store cannot: what was written shows elsewhere up to 60 s later, a key takes one write a second, and a
time to live is at least 60 s. ``ports.py`` has the rules for which the last of these is rounded up.
"""

import builtins
from typing import Any, Final

from breathing_room.core.errors import HostError, StoreError
from breathing_room.ports import check_key, check_prefix, check_put

TTL_S_MIN: Final = 60


class KvStore:
    """Keeps values in one namespace.

    Args:
        namespace: The binding.
        to_js: Makes JavaScript values of bytes and of dictionaries.
    """

    def __init__(self, namespace: Any, to_js: Any) -> None:
        self._namespace = namespace
        self._to_js = to_js
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """Read a value; None when there is none, or when its time is over."""
        self._check_open()
        check_key(key)
        value = await self._ask(self._namespace.get(key, "arrayBuffer"))
        return None if value is None or not hasattr(value, "to_bytes") else bytes(value.to_bytes())

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Keep a value in place of the former one and of its time to live, which is at least a minute."""
        self._check_open()
        check_put(key, value, ttl_ms)
        options = {} if ttl_ms is None else {"expirationTtl": max(TTL_S_MIN, -(-ttl_ms // 1_000))}
        await self._ask(self._namespace.put(key, self._to_js(value), self._to_js(options)))

    async def list(self, prefix: str) -> builtins.list[str]:
        """Name all keys that begin with a prefix and whose time is not over, sorted; a thousand a call."""
        self._check_open()
        check_prefix(prefix)
        names: builtins.list[str] = []
        options = {"prefix": prefix}
        while True:
            page = await self._ask(self._namespace.list(self._to_js(options)))
            names += [key.name for key in page.keys]
            if page.list_complete:
                return sorted(names)
            options = {"prefix": prefix, "cursor": page.cursor}

    async def delete(self, key: str) -> None:
        """Forget a value. It does no harm when there is none."""
        self._check_open()
        check_key(key)
        await self._ask(self._namespace.delete(key))

    async def close(self) -> None:
        """Use the namespace no more. A second call does nothing."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise HostError("the store is closed")

    @staticmethod
    async def _ask(answer: Any) -> Any:
        """Wait for an answer.

        Raises:
            StoreError: There was an error instead: KV tells no lasting ones from those that pass.
        """
        try:
            return await answer
        except Exception as error:
            raise StoreError(f"Workers KV does not answer: {error}", temporary=True) from error
