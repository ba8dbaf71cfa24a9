"""A store in one SQLite file: the default.

Theory of operation
-------------------
Every call runs on one thread of the store's own, so that the event loop never waits for a disk and calls take
effect in the order in which they were made. The file is in WAL mode: other processes may read it during a
write.

*Crash.* A put is acknowledged after its commit. With ``synchronous=NORMAL`` what was acknowledged survives
the death of the process at any instant; a power cut may take the last moments with it, and never damages the
file.

*Privacy.* Values that expired, were deleted or were replaced must not stay on the disk. ``secure_delete``
overwrites them with zeros in the file, but the log still holds old pages. So a *sweep* deletes expired rows
and truncates the log: at open, at close, and on a put when the last one is ``SWEEP_MS`` ago. A new file is
readable by its owner only.
"""

import asyncio
import builtins
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, Self, TypeVar

from breathing_room.core.errors import HostError, StoreError
from breathing_room.ports import Clock, check_key, check_prefix, check_put, wall_ms

P = ParamSpec("P")
T = TypeVar("T")

APPLICATION_ID: Final = int.from_bytes(b"room", "big")
"""Marks a SQLite file as a data file of Breathing Room, at byte 68 of its header."""

SCHEMA: Final = 1
"""The version of the tables, in ``user_version``."""

CREATE: Final = (
    """
    CREATE TABLE entry (
        key TEXT PRIMARY KEY NOT NULL,
        value BLOB NOT NULL,
        written_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER
    )
    """,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)

GET: Final = "SELECT value FROM entry WHERE key = :key AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms)"

PUT: Final = """
    INSERT INTO entry VALUES (:key, :value, :now_ms, :expires_at_ms)
    ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, written_at_ms = excluded.written_at_ms, expires_at_ms = excluded.expires_at_ms
"""

DELETE: Final = "DELETE FROM entry WHERE key = :key"

# SQLite compares text by its bytes in UTF-8, which is the order of code points.
ENTRIES: Final = """
    SELECT key, length(value), written_at_ms, expires_at_ms FROM entry
    WHERE key >= :prefix AND key < :last AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms) ORDER BY key
"""

# Comes after every character that a key may have: it is not printable, being no character at all.
LAST: Final = "\U0010ffff"

SWEEP: Final = "DELETE FROM entry WHERE expires_at_ms <= :now_ms"

SWEEP_MS: Final = 60_000
"""The least time between two sweeps: how long a value outlives its end on the disk while puts go on."""

BUSY_S: Final = 5.0
"""How long a call waits for the lock of another process before it fails."""

TEMPORARY: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
    }
)

REASONS: Final = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check its permissions and those of its folder",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away to start with an empty one",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_NOTADB: "it is not a data file of Breathing Room",
    sqlite3.SQLITE_READONLY: "it is read-only",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The properties of a stored value.

    Attributes:
        key: Its key.
        size_bytes: The size of the value.
        written_at_ms: When it was put.
        expires_at_ms: When it expires; None for never.
    """

    key: str
    size_bytes: int
    written_at_ms: int
    expires_at_ms: int | None


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary code of an error, without the detail in its upper bits."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def write_ahead(database: sqlite3.Connection) -> None:
    """Set a database to write-ahead logging, if it is not.

    SQLite fails at once, without its time-out, when two processes try this at the same moment.
    """
    give_up_at = time.monotonic() + BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


class SqliteStore:
    """A ``Store`` in a file. ``await SqliteStore.open(path)`` opens one."""

    def __init__(self, path: Path, *, read_only: bool, clock: Clock) -> None:
        self.path = path
        self._read_only = read_only
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="breathing-room-store")
        self._database: sqlite3.Connection | None = None  # Touched on that thread only.
        self._swept_at_ms = 0
        self._closed = False

    @classmethod
    async def open(cls, path: Path | str, *, read_only: bool = False, clock: Clock = wall_ms) -> Self:
        """Open a file, or create one.

        Args:
            path: The file. Its folder must exist.
            read_only: Create no file, and change no value. It works beside a server that writes.
            clock: The wall clock; tests move it.

        Raises:
            StoreError: The file cannot be opened, or is not a data file. The message names it.
        """
        store = cls(Path(path), read_only=read_only, clock=clock)
        try:
            await store._call(store._connect, clock())
        except BaseException:
            await store.close()
            raise
        return store

    async def get(self, key: str) -> bytes | None:
        """Return a value, None for none."""
        check_key(key)
        rows = await self._call(self._execute, GET, key=key, now_ms=self._clock())
        return rows[0][0] if rows else None

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Store a value, with a time to live or without."""
        check_put(key, value, ttl_ms)
        await self._call(self._put, key, value, self._clock(), ttl_ms)

    async def list(self, prefix: str) -> builtins.list[str]:
        """Return the keys with a prefix, sorted."""
        return [entry.key for entry in await self.entries(prefix)]

    async def delete(self, key: str) -> None:
        """Delete a value, if there is one."""
        check_key(key)
        await self._call(self._execute, DELETE, key=key)

    async def entries(self, prefix: str = "") -> builtins.list[Entry]:
        """Return the properties of all live values, sorted by key. For tools: the port does not have it."""
        check_prefix(prefix)
        rows = await self._call(
            self._execute, ENTRIES, prefix=prefix, last=prefix + LAST, now_ms=self._clock()
        )
        return [
            Entry(key=key, size_bytes=size_bytes, written_at_ms=written_at_ms, expires_at_ms=expires_at_ms)
            for key, size_bytes, written_at_ms, expires_at_ms in rows
        ]

    async def close(self) -> None:
        """Sweep, and close the file.

        Raises:
            StoreError: The sweep failed. The file is closed all the same, and no value is lost.
        """
        if self._closed:
            return
        self._closed = True
        try:
            # A cancelled close must not leave the file open.
            await asyncio.shield(self._submit(self._disconnect, self._clock()))
        finally:
            self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise HostError("the store is closed")
        return await self._submit(work, *args, **kwargs)

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        def guarded() -> T:
            try:
                return work(*args, **kwargs)
            except (sqlite3.Error, OSError) as error:
                raise self._translate(error) from error

        return asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    # The methods below run on the thread.

    def _connect(self, now_ms: int) -> None:
        is_new = not self.path.exists()
        if is_new and self._read_only:
            raise self._error("there is no such file")
        # SQLite's own read-only mode leaves a log beside the file, which only a writer may remove. So a
        # reader is a writer that promises to write nothing.
        uri = f"{self.path.absolute().as_uri()}?mode={'rw' if self._read_only else 'rwc'}"
        database = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        try:
            if is_new:
                self.path.chmod(0o600)
            self._prepare(database)
        except BaseException:
            database.close()
            raise
        self._database = database
        if not self._read_only:
            try:
                self._sweep(now_ms)
            except sqlite3.Error as error:
                # A full disk must not keep a server from reading its data. A later put sweeps.
                if primary_code(error) not in TEMPORARY:
                    raise

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Create the tables in an empty file; in any other, check that it is a data file before anything is
        changed.
        """
        database.execute("PRAGMA query_only = ON" if self._read_only else "PRAGMA secure_delete = ON")
        database.execute("BEGIN" if self._read_only else "BEGIN IMMEDIATE")
        ((application_id,),) = database.execute("PRAGMA application_id")
        ((version,),) = database.execute("PRAGMA user_version")
        is_empty = not database.execute("SELECT 1 FROM sqlite_master").fetchall()
        if is_empty and (application_id, version) == (0, 0) and not self._read_only:
            for statement in CREATE:
                database.execute(statement)
        elif application_id != APPLICATION_ID:
            raise self._error(REASONS[sqlite3.SQLITE_NOTADB])
        elif version != SCHEMA:
            raise self._error(
                f"its tables are of version {version}, and this Breathing Room knows version {SCHEMA}"
            )
        database.execute("COMMIT")
        if not self._read_only:
            write_ahead(database)
            database.execute("PRAGMA synchronous = NORMAL")

    def _disconnect(self, now_ms: int) -> None:
        if self._database is None:
            return
        try:
            if not self._read_only:
                self._sweep(now_ms)
        finally:
            self._database.close()

    def _execute(self, sql: str, **values: Any) -> builtins.list[tuple[Any, ...]]:
        assert self._database is not None
        return self._database.execute(sql, values).fetchall()

    def _put(self, key: str, value: bytes, now_ms: int, ttl_ms: int | None) -> None:
        # The clock may have stepped back.
        if abs(now_ms - self._swept_at_ms) >= SWEEP_MS:
            self._sweep(now_ms)
        expires_at_ms = None if ttl_ms is None else now_ms + ttl_ms
        self._execute(PUT, key=key, value=value, now_ms=now_ms, expires_at_ms=expires_at_ms)

    def _sweep(self, now_ms: int) -> None:
        self._swept_at_ms = now_ms  # First, so that a sweep that fails fails one put and not all.
        self._execute(SWEEP, now_ms=now_ms)
        self._execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _error(self, reason: str, *, temporary: bool = False) -> StoreError:
        return StoreError(f"cannot use {self.path}: {reason}", temporary=temporary)

    def _translate(self, error: sqlite3.Error | OSError) -> StoreError:
        """Return the error in words for the operator."""
        if isinstance(error, OSError):
            return self._error(error.strerror or str(error))
        code = primary_code(error)
        reason = REASONS.get(code, str(error))
        if code == sqlite3.SQLITE_CANTOPEN:
            if self.path.is_dir():
                reason = "it is a folder"
            elif not self.path.parent.is_dir():
                reason = f"there is no folder {self.path.parent}"
        return self._error(reason, temporary=code in TEMPORARY)
