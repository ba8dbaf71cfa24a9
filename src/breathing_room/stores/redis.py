"""A store in Redis or Valkey, 7.0 and later.

Theory of operation
-------------------
Every value is a Redis key of its own, which expires by itself, so that nothing is held past its time. A
sorted set beside them is the index: without it Redis finds keys by a prefix only by scanning all keys of all
programs. A put and a delete change both in one transaction; a list removes expired keys from the index
(``lua/list.lua``).

All keys begin with one prefix, ``breathing-room`` unless the URL sets another. Keys of another program under
that prefix are left alone, and reported as an error.

Redis holds the values in memory. Its own ``appendonly`` decides what a crash of Redis loses.
"""

import builtins
from typing import Self

from breathing_room.core.errors import HostError
from breathing_room.ports import check_key, check_prefix, check_put
from breathing_room.stores.redis_link import RedisLink, read_script


class RedisStore:
    """A ``Store`` in Redis. ``await RedisStore.open(address)`` opens one."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._index = link.key("index")
        self._values = link.key("value/")
        self._list = link.client.register_script(read_script(__package__, "list.lua"))
        self._closed = False

    @classmethod
    async def open(cls, address: str) -> Self:
        """Connect to a Redis.

        Args:
            address: A URL, as described in ``redis_link.py``.

        Raises:
            HostError: It is not one, or the package for Redis is not installed.
            StoreError: The server is unreachable, rejects the login, or is too old.
        """
        link = RedisLink(address)
        try:
            await link.check()
        except BaseException:
            await link.close()
            raise
        return cls(link)

    async def get(self, key: str) -> bytes | None:
        """Return a value, None for none."""
        check_key(key)
        value = await self._open().call(self._link.client.get(self._values + key))
        assert not isinstance(value, str)  # redis-py decodes only where it is asked to
        return value

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Store a value, with a time to live or without."""
        check_put(key, value, ttl_ms)
        async with self._open().client.pipeline(transaction=True) as both:
            both.zadd(self._index, {key: 0})
            both.set(self._values + key, value, px=ttl_ms)
            await self._link.call(both.execute())

    async def list(self, prefix: str) -> builtins.list[str]:
        """Return the keys with a prefix, sorted."""
        check_prefix(prefix)
        first = b"[" + prefix.encode() if prefix else b"-"
        # No byte of UTF-8 is 0xff.
        last = b"(" + prefix.encode() + b"\xff" if prefix else b"+"
        found = await self._open().call(self._list(keys=[self._index], args=[first, last, self._values]))
        return [key.decode() for key in found]

    async def delete(self, key: str) -> None:
        """Delete a value, if there is one."""
        check_key(key)
        async with self._open().client.pipeline(transaction=True) as both:
            both.zrem(self._index, key)
            both.delete(self._values + key)
            await self._link.call(both.execute())

    async def close(self) -> None:
        """Close every connection."""
        if not self._closed:
            self._closed = True
            await self._link.close()

    def _open(self) -> RedisLink:
        if self._closed:
            raise HostError("the store is closed")
        return self._link
