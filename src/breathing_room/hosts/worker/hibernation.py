"""The state that outlasts hibernation: a few values by name, each a row of the object's SQLite, beside the
attachments of sockets.

A row costs a millionth of a dollar to write, at any size, and a thousandth of that to read
(``docs/howto/cloudflare.md``). So a value is written whole, and only when it changed.
"""

import logging
from dataclasses import replace
from typing import Any, Final, Protocol

from breathing_room.core.errors import StoreError
from breathing_room.core.leases import RESTORED, SUSPECT
from breathing_room.core.snapshot import Snapshot, decode_snapshot, with_connected
from breathing_room.hosts.common.rooms.secrets import SecretSource, draw_secret

log = logging.getLogger("breathing_room.worker")

BILLED: Final = "billed:"
"""The prefix of the debug log lines about operations that the platform bills."""

REST: Final = "rest"
SNAPSHOT: Final = "snapshot"
HISTORY: Final = "history"
SHARDS: Final = "shards"
SECRET: Final = "secret/"  # noqa: S105 - a place, no secret

# Whether a visitor had a connection when the rest was written: if none has now, a deploy or a crash dropped
# them.
OCCUPIED: Final = b"\x01"
EMPTY: Final = b"\x00"


class Kept(Protocol):
    """The persistent storage of a Durable Object: values by name."""

    def get(self, name: str) -> bytes | None:
        """Return a value; None when there is none."""

    def put(self, name: str, value: bytes) -> None:
        """Write a value in place of the former one."""

    def delete(self, name: str) -> None:
        """Delete a value; there need not be one."""


class Rows:
    """Values in the SQLite of a Durable Object.

    Args:
        sql: ``ctx.storage.sql``.
        to_js: Converts bytes to a JavaScript buffer.
    """

    def __init__(self, sql: Any, to_js: Any) -> None:
        self._sql = sql
        self._to_js = to_js
        sql.exec("CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")

    def get(self, name: str) -> bytes | None:
        """Return a value; None when there is none."""
        rows = self._sql.exec("SELECT value FROM kept WHERE name = ?", name).toArray()
        return None if rows.length == 0 else bytes(rows[0].value.to_bytes())

    def put(self, name: str, value: bytes) -> None:
        """Write a value in place of the former one: one row."""
        written = self._sql.exec(
            "INSERT INTO kept VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            self._to_js(value),
        )
        for _ in range(int(written.rowsWritten)):
            log.debug("%s row %s", BILLED, name)

    def delete(self, name: str) -> None:
        """Delete a value; there need not be one."""
        self._sql.exec("DELETE FROM kept WHERE name = ?", name)


class KeptSecrets:
    """The secrets of an object, each a row: an object that resumes needs no request for them.

    Args:
        kept: The rows.
        shared: The source on whose secrets several objects or hosts agree; None to draw its own.
    """

    def __init__(self, kept: Kept, shared: SecretSource | None) -> None:
        self._kept = kept
        self._shared = shared

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        """Return the secret of an epoch: of the row, of the shared source, or the proposed one. Delete older
        rows.

        Raises:
            ClientError: The first object cannot be reached.
        """
        if (found := self._kept.get(f"{SECRET}{epoch}")) is not None:
            return found
        agreed = await self._agree(epoch, proposed)
        self._kept.delete(f"{SECRET}{epoch - 2}")
        return agreed

    async def find(self, epoch: int) -> bytes | None:
        """Return the secret of an epoch, if there is one."""
        found = self._kept.get(f"{SECRET}{epoch}")
        if found is not None or self._shared is None:
            return found
        try:
            return await self._shared.find(epoch)
        except StoreError as error:
            log.warning("a former secret may be missing, since the store fails: %s", error)
            return None

    async def share(self, epoch: int, own_epoch: int) -> bytes:
        """Return the secret of an epoch for another object of the room; empty if there is none.

        Args:
            epoch: The epoch that the other object asked for.
            own_epoch: The epoch here; the clock of the other object may be ahead.

        Raises:
            ClientError: The first object cannot be reached.
        """
        found = await self.find(epoch)
        if found is None and epoch > own_epoch:
            found = await self._agree(epoch, draw_secret())
        return found or b""

    async def _agree(self, epoch: int, proposed: bytes) -> bytes:
        agreed = proposed
        if self._shared is not None:
            try:
                agreed = await self._shared.agree(epoch, proposed)
            except StoreError as error:
                log.warning("the secret is the object's own, since the store fails: %s", error)
        self._kept.put(f"{SECRET}{epoch}", agreed)
        return agreed


def with_dropped(rest: Snapshot, stored: bytes | None, *, lease_ms: int, now_ms: int) -> Snapshot:
    """Add the visitors whose connections a deploy or a crash dropped, as suspect, from the last snapshot.

    Args:
        rest: The state that no attachment held.
        stored: The last snapshot of the whole room, None if there is none.
        lease_ms: The length of a lease.
        now_ms: The time.

    Raises:
        HostError: The snapshot is damaged.
    """
    saved = None if stored is None else decode_snapshot(stored)
    if saved is None or saved.as_of_ms + lease_ms <= now_ms:
        return replace(rest, unknown_until_ms=now_ms + lease_ms)
    known = {key for key, *_ in rest.members}
    dropped = {key: mood for key, mood, flags, _ in saved.members if not flags & SUSPECT and key not in known}
    if not dropped:  # It is not known which visitors will come back.
        return replace(rest, unknown_until_ms=now_ms + lease_ms)
    left_ms = saved.as_of_ms + lease_ms - rest.as_of_ms
    return with_connected(rest, dropped, left_ms=left_ms, flags=SUSPECT | RESTORED)
