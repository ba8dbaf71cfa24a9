"""The rows that outlast hibernation, in an SQLite like the platform's."""

import logging
import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest

from breathing_room.core.errors import StoreError
from breathing_room.hosts.common.rooms.secrets import draw_secret
from breathing_room.hosts.worker.hibernation import BILLED, KeptSecrets, Rows


class Array(list[Any]):
    """An array of JavaScript."""

    @property
    def length(self) -> int:
        return len(self)


class Sql:
    """``ctx.storage.sql`` over SQLite: blobs come back as buffers."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)

    def exec(self, statement: str, *values: Any) -> Any:
        cursor = self.connection.execute(statement, values)
        rows = cursor.fetchall() if cursor.description else []
        found = [
            SimpleNamespace(value=SimpleNamespace(to_bytes=lambda value=value: memoryview(value)))
            for (value,) in rows
        ]
        return SimpleNamespace(toArray=lambda: Array(found), rowsWritten=float(max(cursor.rowcount, 0)))


def test_a_value_is_written_replaced_and_deleted() -> None:
    """The last value of a name is returned, as bytes, and after a delete there is none; deleting nothing is
    harmless.
    """
    rows = Rows(Sql(), bytes)
    assert rows.get("rest") is None
    rows.put("rest", b"one")
    rows.put("rest", b"\x00two")
    rows.put("other", b"")
    assert (rows.get("rest"), rows.get("other")) == (b"\x00two", b"")
    for _ in range(2):
        rows.delete("rest")
    assert (rows.get("rest"), rows.get("other")) == (None, b"")


def test_rows_outlast_hibernation() -> None:
    """An object that woke finds its rows: the table is made once."""
    sql = Sql()
    Rows(sql, bytes).put("rest", b"one")
    assert Rows(sql, bytes).get("rest") == b"one"


def test_each_write_is_one_row_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Operations that the platform bills are logged, one line a row, also where a value is replaced."""
    rows = Rows(Sql(), bytes)
    with caplog.at_level(logging.DEBUG, logger="breathing_room.worker"):
        rows.put("rest", b"one")
        rows.put("rest", b"two")
    assert [record.getMessage() for record in caplog.records] == [f"{BILLED} row rest"] * 2


class SharedSecrets:
    """The source on whose secrets several objects agree."""

    def __init__(self) -> None:
        self.known: dict[int, bytes] = {}
        self.fails = False
        self.asked = 0

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        found = await self.find(epoch)
        return self.known.setdefault(epoch, found or proposed)

    async def find(self, epoch: int) -> bytes | None:
        self.asked += 1
        if self.fails:
            raise StoreError("away", temporary=True)
        return self.known.get(epoch)


@pytest.fixture
def shared() -> SharedSecrets:
    return SharedSecrets()


async def test_a_secret_is_requested_once(shared: SharedSecrets) -> None:
    """The secret on which an object agreed is a row: an object that woke sends no request for it."""
    rows = Rows(Sql(), bytes)
    secret = draw_secret()
    shared.known[7] = secret
    assert await KeptSecrets(rows, shared).agree(7, draw_secret()) == secret
    asked = shared.asked
    assert await KeptSecrets(rows, shared).agree(7, draw_secret()) == secret
    assert (await KeptSecrets(rows, shared).find(7), shared.asked) == (secret, asked)


async def test_the_secret_of_two_epochs_ago_is_deleted(shared: SharedSecrets) -> None:
    """With the secret of a new epoch the row of the last but one is deleted."""
    rows = Rows(Sql(), bytes)
    secrets = KeptSecrets(rows, shared)
    for epoch in (7, 8, 9):
        await secrets.agree(epoch, draw_secret())
    assert [rows.get(f"secret/{epoch}") is None for epoch in (7, 8, 9)] == [True, False, False]


async def test_an_object_whose_store_fails_has_a_secret_of_its_own(
    shared: SharedSecrets, caplog: pytest.LogCaptureFixture
) -> None:
    """While the store fails an object uses a secret that it drew, which it keeps, and that is logged."""
    shared.fails = True
    secrets, proposed = KeptSecrets(Rows(Sql(), bytes), shared), draw_secret()
    assert await secrets.find(7) is None
    assert await secrets.agree(7, proposed) == proposed
    shared.fails = False
    assert await secrets.agree(7, draw_secret()) == proposed
    assert "the secret is the object's own, since the store fails" in caplog.text


async def test_other_objects_are_given_the_secrets_that_exist(shared: SharedSecrets) -> None:
    """An object whose clock is ahead is given the secret of the next
    epoch, and a former secret if it exists.
    """
    rows = Rows(Sql(), bytes)
    secrets, former = KeptSecrets(rows, shared), draw_secret()
    await secrets.agree(7, draw_secret())
    assert await secrets.share(7, 7) == rows.get("secret/7")
    assert await secrets.share(6, 7) == b""
    shared.known[6] = former
    assert await secrets.share(6, 7) == former
    ahead = await secrets.share(8, 7)
    assert ahead == rows.get("secret/8") == shared.known[8]
