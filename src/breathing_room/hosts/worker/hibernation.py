"""What a room remembers while it sleeps: a few values by name, each one row of the object's SQLite.

A row that is written costs a millionth of a dollar whatever its size, and a read a thousandth of that (``docs/howto/cloudflare.md``).
So a value is written whole, and only when it changed.
"""

import logging
from typing import Any, Final, Protocol

log = logging.getLogger("breathing_room.worker")

BILLED: Final = "billed:"
"""What begins a line of the log, at the level debug, about whatever the platform bills."""

REST: Final = "rest"
SNAPSHOT: Final = "snapshot"
HISTORY: Final = "history"
SHARDS: Final = "shards"
SECRET: Final = "secret/"  # noqa: S105 - a place, no secret


class Kept(Protocol):
    """A few values by name."""

    def get(self, name: str) -> bytes | None:
        """Read a value; None when there is none."""

    def put(self, name: str, value: bytes) -> None:
        """Keep a value in place of the former one."""

    def delete(self, name: str) -> None:
        """Forget a value; there need not be one."""


class Rows:
    """Values in the SQLite of a Durable Object.

    Args:
        sql: ``ctx.storage.sql``.
        to_js: Makes a JavaScript buffer of bytes.
    """

    def __init__(self, sql: Any, to_js: Any) -> None:
        self._sql = sql
        self._to_js = to_js
        sql.exec("CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")

    def get(self, name: str) -> bytes | None:
        """Read a value; None when there is none."""
        rows = self._sql.exec("SELECT value FROM kept WHERE name = ?", name).toArray()
        return None if rows.length == 0 else bytes(rows[0].value.to_bytes())

    def put(self, name: str, value: bytes) -> None:
        """Keep a value in place of the former one: one row."""
        written = self._sql.exec(
            "INSERT INTO kept VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            self._to_js(value),
        )
        for _ in range(int(written.rowsWritten)):
            log.debug("%s row %s", BILLED, name)

    def delete(self, name: str) -> None:
        """Forget a value; there need not be one."""
        self._sql.exec("DELETE FROM kept WHERE name = ?", name)
