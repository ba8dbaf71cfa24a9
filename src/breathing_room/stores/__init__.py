"""Places to keep a few values: in memory, or in one SQLite file."""

from breathing_room.core.errors import HostError
from breathing_room.ports import Store
from breathing_room.stores.memory import MemoryStore
from breathing_room.stores.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "open_store"]


async def open_store(where: str) -> Store:
    """Open the store that a setting names.

    Args:
        where: ``:memory:``, or the path of a file, which is made if it is not there.

    Raises:
        HostError: It names a kind of store that we do not have.
        StoreError: The file cannot be opened, or is not ours.
    """
    if where == ":memory:":
        return MemoryStore()
    scheme, is_url, _ = where.partition("://")
    if is_url:
        # Only the scheme is repeated: the rest of a URL may hold a password.
        raise HostError(f"there is no store for {scheme}:// addresses: name a file, or :memory:")
    return await SqliteStore.open(where)
