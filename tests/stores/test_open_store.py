"""A store named by a setting."""

from pathlib import Path

import pytest

from breathing_room.core.errors import HostError, StoreError
from breathing_room.stores import MemoryStore, SqliteStore, open_store


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_memory() -> None:
    """`:memory:` is the store in memory."""
    store = await open_store(":memory:")

    assert isinstance(store, MemoryStore)
    await store.close()


async def test_a_path(tmp_path: Path) -> None:
    """Anything else is the path of a file, characters that mean something in a URL included."""
    path = tmp_path / "a room?mode=memory#1 %41.db"
    store = await open_store(str(path))
    await store.close()

    assert isinstance(store, SqliteStore)
    assert [file.name for file in files_in(tmp_path)] == [path.name]


async def test_a_store_that_we_do_not_have() -> None:
    """A URL is refused by its scheme; the rest, which may hold a password, is not repeated."""
    with pytest.raises(HostError, match="there is no store for ftp:// addresses") as error:
        await open_store("ftp://:secret@127.0.0.1/0")

    assert "secret" not in str(error.value)


async def test_no_name() -> None:
    """An empty name is the current folder, and that is no file."""
    with pytest.raises(StoreError, match="it is a folder"):
        await open_store("")
