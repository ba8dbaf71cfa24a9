"""Stores of a few values by key: in memory, in one SQLite file, in Redis, or in Workers KV."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from breathing_room.core.errors import HostError
from breathing_room.ports import Store

if TYPE_CHECKING:
    from breathing_room.stores.memory import MemoryStore
    from breathing_room.stores.redis import RedisStore
    from breathing_room.stores.sqlite import SqliteStore

__all__ = ["MemoryStore", "RedisStore", "SqliteStore", "open_store"]

_HOMES = {"MemoryStore": "memory", "RedisStore": "redis", "SqliteStore": "sqlite"}


def __getattr__(name: str) -> Any:
    """Import a store on first use: at an edge there is neither SQLite nor a network for Redis."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


async def open_store(where: str) -> Store:
    """Open the store that a setting names.

    Args:
        where: ``:memory:``, the URL of a Redis, or the path of a file, which is created if it does not exist.

    Raises:
        HostError: There is no store for this kind of URL.
        StoreError: The file cannot be opened, or is not a data file; or the Redis cannot be used.
    """
    from breathing_room.stores.memory import MemoryStore  # noqa: PLC0415 - as above
    from breathing_room.stores.redis import RedisStore  # noqa: PLC0415
    from breathing_room.stores.redis_link import is_redis  # noqa: PLC0415
    from breathing_room.stores.sqlite import SqliteStore  # noqa: PLC0415

    if where == ":memory:":
        return MemoryStore()
    if is_redis(where):
        return await RedisStore.open(where)
    scheme, is_url, _ = where.partition("://")
    if is_url:
        # Only the scheme is repeated: the rest of a URL may hold a password.
        raise HostError(f"there is no store for {scheme}:// addresses: name a file, a redis://, or :memory:")
    return await SqliteStore.open(where)
