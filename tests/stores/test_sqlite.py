"""The store in a SQLite file."""

import asyncio
import itertools
import os
import resource
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from breathing_room.core.errors import HostError, StoreError
from breathing_room.stores import SqliteStore, sqlite
from breathing_room.stores.sqlite import SCHEMA, SWEEP_MS, Entry
from breathing_room.testing import check_store

START_MS = 1_767_225_600_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "room.db"


@pytest.fixture
def bound_folder() -> Iterator[Path]:
    """A folder in which file permissions hold.

    They do not hold for root, which becomes an unprivileged user meanwhile.
    """
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        os.seteuid(was)
        shutil.rmtree(folder)


def on_disk(path: Path) -> bytes:
    """Everything in the file and in those beside it."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def files_beside(path: Path) -> list[Path]:
    """The file, if it is there, and those in its folder."""
    return sorted(path.parent.iterdir())


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def permit(path: Path, mode: int) -> None:
    path.chmod(mode)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def error_of(path: Path, *, read_only: bool = False) -> str:
    """Open a file that cannot be opened, and return what is said.

    It must be final, and must name the file.
    """
    with pytest.raises(StoreError) as error:
        await SqliteStore.open(path, read_only=read_only)
    assert not error.value.temporary
    assert str(path) in str(error.value)
    return str(error.value)


async def test_it_is_a_store(tmp_path: Path) -> None:
    """The file keeps every promise of a store, in real time."""
    number = itertools.count()
    await check_store(lambda: SqliteStore.open(tmp_path / f"{next(number)}.db"))


# --- What lasts -------------------------------------------------------------------------------------------


async def test_a_restart_keeps_values_and_their_time(path: Path) -> None:
    """What was put is there after a restart, and what ended meanwhile is not."""
    now_ms = START_MS
    store = await SqliteStore.open(path, clock=lambda: now_ms)
    await store.put("ever", b"1")
    await store.put("long", b"2", ttl_ms=1_000)
    await store.put("short", b"3", ttl_ms=999)
    await store.close()

    now_ms += 999
    store = await SqliteStore.open(path, clock=lambda: now_ms)
    assert await store.list("") == ["ever", "long"]
    now_ms += 1
    assert await store.list("") == ["ever"]
    await store.close()


async def test_entries_have_all_properties_but_the_values(path: Path) -> None:
    """Entries have the size, the time of the put and the end of every live value, by key."""
    now_ms = START_MS
    store = await SqliteStore.open(path, clock=lambda: now_ms)
    await store.put("b", b"22", ttl_ms=50)
    now_ms += 10
    await store.put("a", b"\0\0\0")
    await store.put("c", b"", ttl_ms=10)
    now_ms += 10
    await store.put("a", b"1")

    assert await store.entries() == [
        Entry(key="a", size_bytes=1, written_at_ms=START_MS + 20, expires_at_ms=None),
        Entry(key="b", size_bytes=2, written_at_ms=START_MS, expires_at_ms=START_MS + 50),
    ]
    await store.close()


async def test_one_file_is_left_after_close(path: Path) -> None:
    """A closed store is one file, readable by its owner only, with nothing beside it."""
    store = await SqliteStore.open(path)
    await store.put("a", b"1")
    await store.close()

    assert files_beside(path) == [path]
    assert permissions(path) == 0o600


async def test_commits_are_written_in_order(path: Path) -> None:
    """SQLite syncs at checkpoints, so that a power cut cannot damage the file. No test can cut the power."""
    store = await SqliteStore.open(path)

    assert await store._call(store._execute, "PRAGMA journal_mode") == [("wal",)]
    assert await store._call(store._execute, "PRAGMA synchronous") == [(1,)]
    await store.close()


async def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Stores that open the same new file at the same moment all open it, and see what each other puts."""
    for number in range(5):
        path = tmp_path / f"{number}.db"
        stores = await asyncio.gather(*(SqliteStore.open(path) for _ in range(6)))
        await asyncio.gather(*(store.put(str(index), b"1") for index, store in enumerate(stores)))
        assert [await store.list("") for store in stores] == [["0", "1", "2", "3", "4", "5"]] * 6
        await asyncio.gather(*(store.close() for store in stores))


# --- What must not last -----------------------------------------------------------------------------------


async def test_nothing_of_the_past_is_left_on_disk(path: Path) -> None:
    """After close no byte is left of values that were deleted, replaced or are over, small or large."""
    now_ms = START_MS
    store = await SqliteStore.open(path, clock=lambda: now_ms)
    for size in (1, 30, 3_000):
        await store.put(f"deleted {size}", b"<past>" * size)
        await store.put(f"replaced {size}", b"<past>" * size)
        await store.put(f"over {size}", b"<past>" * size, ttl_ms=10)
        await store.put(f"kept {size}", b"<kept>" * size)
    for size in (1, 30, 3_000):
        await store.delete(f"deleted {size}")
        await store.put(f"replaced {size}", b"<new>")
    assert b"<past>" in on_disk(path)
    now_ms += 10
    await store.close()

    assert b"<past>" not in on_disk(path)
    assert b"<kept>" in on_disk(path)


async def test_the_past_is_swept_while_running(path: Path) -> None:
    """A put sweeps expired values out of the file and its log, at most once in SWEEP_MS."""
    now_ms = START_MS
    store = await SqliteStore.open(path, clock=lambda: now_ms)
    await store.put("over", b"<past>" * 1_000, ttl_ms=10)
    await store.put("replaced", b"<past>" * 1_000)
    await store.put("replaced", b"<new>")

    now_ms += SWEEP_MS - 1
    await store.put("other", b"1")
    assert b"<past>" in on_disk(path)
    now_ms += 1
    await store.put("other", b"2")
    assert b"<past>" not in on_disk(path)
    await store.close()


async def test_a_clock_that_steps_back_does_not_stop_the_sweep(path: Path) -> None:
    """After a clock was a day ahead, sweeps go on at once and not after a day."""
    now_ms = START_MS + 86_400_000
    store = await SqliteStore.open(path, clock=lambda: now_ms)
    now_ms = START_MS
    await store.put("over", b"<past>", ttl_ms=10)

    now_ms += SWEEP_MS
    await store.put("other", b"1")
    assert b"<past>" not in on_disk(path)
    await store.close()


# --- Files that cannot be used ----------------------------------------------------------------------------


async def test_a_file_that_is_not_sqlite(path: Path) -> None:
    """A file of another kind is refused, and left as it was."""
    write(path, b"Dear diary, " * 1_000)

    assert "it is not a data file of Breathing Room" in await error_of(path)
    assert "it is not a data file of Breathing Room" in await error_of(path, read_only=True)
    assert on_disk(path) == b"Dear diary, " * 1_000


@pytest.mark.parametrize(
    "statement", ["PRAGMA application_id = 1", "PRAGMA user_version = 1", "CREATE TABLE entry (key, value)"]
)
async def test_a_file_of_another_application(path: Path, statement: str) -> None:
    """A SQLite file with the mark of another, with a version and no mark, or with tables is refused, and not
    touched.
    """
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    before = on_disk(path)

    assert "it is not a data file of Breathing Room" in await error_of(path)
    assert on_disk(path) == before


async def test_a_file_of_the_future(path: Path) -> None:
    """A file whose tables are of a later version is refused, and left as it was."""
    await (await SqliteStore.open(path)).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    database.close()
    before = on_disk(path)

    assert f"its tables are of version {SCHEMA + 1}" in await error_of(path)
    assert on_disk(path) == before


async def test_an_empty_file_is_taken(path: Path) -> None:
    """An empty file, such as `mktemp` makes, becomes a data file; a reader rejects it."""
    write(path, b"")
    assert "it is not a data file" in await error_of(path, read_only=True)
    assert on_disk(path) == b""

    store = await SqliteStore.open(path)
    await store.put("a", b"1")
    await store.close()


async def test_a_folder_that_is_not_there(path: Path) -> None:
    """A missing folder is named, and not made."""
    assert f"there is no folder {path}" in await error_of(path / "room.db")
    assert files_beside(path) == []


async def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """A folder is no file."""
    assert "it is a folder" in await error_of(tmp_path)


async def test_a_damaged_file(path: Path) -> None:
    """A file whose middle was overwritten says that it is damaged, and what to do."""
    store = await SqliteStore.open(path)
    for index in range(300):
        await store.put(f"{index:03}", b"1" * 100)
    await store.close()
    content = bytearray(on_disk(path))
    content[4_096:] = b"\xa5" * (len(content) - 4_096)
    write(path, bytes(content))

    assert "it is damaged; move it away to start with an empty one" in await error_of(path)


async def test_a_read_only_file(bound_folder: Path) -> None:
    """A file that may not be written is refused when it is opened, unless it is opened to be read."""
    path = bound_folder / "room.db"
    store = await SqliteStore.open(path)
    await store.put("a", b"1")
    await store.close()
    permit(path, 0o400)

    assert "it is read-only" in await error_of(path)
    reader = await SqliteStore.open(path, read_only=True)
    assert await reader.get("a") == b"1"
    await reader.close()


async def test_a_closed_folder(bound_folder: Path) -> None:
    """A folder that may not be entered, or not be written, says so."""
    permit(bound_folder, 0o500)
    assert "it cannot be opened" in await error_of(bound_folder / "room.db")
    permit(bound_folder, 0o000)
    assert "Permission denied" in await error_of(bound_folder / "room.db")


async def test_a_full_disk(path: Path) -> None:
    """On a full disk a put is a temporary error, stored values stay, and puts work once there is room."""
    store = await SqliteStore.open(path)
    await store.put("a", b"1")
    ((pages,),) = await store._call(store._execute, "PRAGMA page_count")
    await store._call(store._execute, f"PRAGMA max_page_count = {pages + 2}")

    with pytest.raises(StoreError, match="the disk is full") as error:
        await store.put("a", bytes(100_000))
    assert error.value.temporary
    assert await store.get("a") == b"1"

    await store._call(store._execute, "PRAGMA max_page_count = 1000")
    await store.put("a", bytes(100_000))
    assert await store.get("a") == bytes(100_000)
    await store.close()


async def test_a_start_on_a_full_disk(path: Path) -> None:
    """A server that was killed can read its values even where the disk has no room for a sweep, and sweeps
    later.
    """
    store = await SqliteStore.open(path)
    await store.put("a", b"1" * 300_000)
    killed = path.with_name("killed.db")
    shutil.copy(path, killed)
    shutil.copy(f"{path}-wal", f"{killed}-wal")
    await store.close()

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        store = await SqliteStore.open(killed)
        assert await store.get("a") == b"1" * 300_000
        with pytest.raises(StoreError) as error:
            await store.put("b", b"2" * 300_000)
        assert error.value.temporary
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await store.put("b", b"2" * 300_000)
    await store.close()

    store = await SqliteStore.open(killed, read_only=True)
    assert await store.list("") == ["a", "b"]
    await store.close()


# --- Others who use the file ------------------------------------------------------------------------------


async def test_a_reader_beside_a_writer(path: Path) -> None:
    """A reader sees what was put so far, and cannot put."""
    store = await SqliteStore.open(path)
    await store.put("a", b"1")
    reader = await SqliteStore.open(path, read_only=True)
    assert await reader.get("a") == b"1"
    await store.put("a", b"2")
    assert await reader.get("a") == b"2"

    with pytest.raises(StoreError, match="it is read-only"):
        await reader.put("a", b"3")
    await reader.close()
    assert await store.get("a") == b"2"
    await store.close()


async def test_a_reader_leaves_nothing_behind(path: Path) -> None:
    """After a reader of a closed store there is the file as it was, and nothing beside it."""
    store = await SqliteStore.open(path)
    await store.put("a", b"1")
    await store.close()
    before = on_disk(path)

    reader = await SqliteStore.open(path, read_only=True)
    assert await reader.get("a") == b"1"
    await reader.close()
    assert files_beside(path) == [path]
    assert on_disk(path) == before


async def test_a_reader_makes_no_file(path: Path) -> None:
    """To read what is not there is an error, and it is still not there afterwards."""
    assert "there is no such file" in await error_of(path, read_only=True)
    assert files_beside(path) == []


async def test_the_event_loop_does_not_wait(path: Path) -> None:
    """While another process holds the file a put waits for it, and everything else goes on."""
    store = await SqliteStore.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    put = asyncio.ensure_future(store.put("a", b"1"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not put.done()

    other.execute("ROLLBACK")
    other.close()
    await put
    assert await store.get("a") == b"1"
    await store.close()


async def test_a_file_that_another_process_keeps_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A put to a file that stays locked is a temporary error."""
    monkeypatch.setattr(sqlite, "BUSY_S", 0.01)
    store = await SqliteStore.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match="another process keeps it locked") as error:
        await store.put("a", b"1")
    assert error.value.temporary
    other.execute("ROLLBACK")
    other.close()
    await store.put("a", b"1")
    await store.close()


async def test_a_log_is_given_as_soon_as_readers_let_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that lost its write-ahead mode gets it back: a reader is waited for, up to a limit."""
    await (await SqliteStore.open(path)).close()
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("PRAGMA journal_mode = DELETE")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM entry")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "BUSY_S", 0.03)
        with pytest.raises(StoreError, match="another process keeps it locked"):
            await SqliteStore.open(path)

    opening = asyncio.ensure_future(SqliteStore.open(path))
    await asyncio.sleep(0.03)
    assert not opening.done()
    reader.execute("COMMIT")
    reader.close()
    store = await opening
    assert await store._call(store._execute, "PRAGMA journal_mode") == [("wal",)]
    await store.close()


# --- Close ------------------------------------------------------------------------------------------------


async def test_close_comes_after_what_was_asked_before(path: Path) -> None:
    """Puts that are under way when a store is closed are kept."""
    store = await SqliteStore.open(path)
    puts = [asyncio.ensure_future(store.put(f"{index:02}", b"1")) for index in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*puts)

    reader = await SqliteStore.open(path, read_only=True)
    assert len(await reader.list("")) == 50
    await reader.close()


async def test_close_ends_the_thread(path: Path) -> None:
    """A closed store has no thread any more."""
    store = await SqliteStore.open(path)
    (thread,) = store._thread._threads
    await store.close()

    thread.join(timeout=10)
    assert not thread.is_alive()


async def test_a_cancelled_close_closes(path: Path) -> None:
    """A close that is cancelled does not leave the file open."""
    store = await SqliteStore.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    put = asyncio.ensure_future(store.put("a", b"1"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.close(), 0.01)
    other.execute("ROLLBACK")
    other.close()
    await put

    await asyncio.to_thread(store._thread.shutdown)
    assert files_beside(path) == [path]
    with pytest.raises(HostError, match="the store is closed"):
        await store.get("a")
