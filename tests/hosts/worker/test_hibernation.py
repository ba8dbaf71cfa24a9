"""What a room remembers while it sleeps, in an SQLite as the platform has it."""

import logging
import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest

from breathing_room.hosts.worker.hibernation import BILLED, Rows


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


def test_a_value_is_kept_replaced_and_forgotten() -> None:
    """The last value of a name is read, as bytes, and after a delete there is none; to delete nothing does no harm."""
    rows = Rows(Sql(), bytes)
    assert rows.get("rest") is None
    rows.put("rest", b"one")
    rows.put("rest", b"\x00two")
    rows.put("other", b"")
    assert (rows.get("rest"), rows.get("other")) == (b"\x00two", b"")
    for _ in range(2):
        rows.delete("rest")
    assert (rows.get("rest"), rows.get("other")) == (None, b"")


def test_what_was_kept_outlives_the_memory() -> None:
    """An object that woke finds its rows: the table is made once."""
    sql = Sql()
    Rows(sql, bytes).put("rest", b"one")
    assert Rows(sql, bytes).get("rest") == b"one"


def test_each_write_is_one_row_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What the platform bills is said in the log, one line a row, also where a value is replaced."""
    rows = Rows(Sql(), bytes)
    with caplog.at_level(logging.DEBUG, logger="breathing_room.worker"):
        rows.put("rest", b"one")
        rows.put("rest", b"two")
    assert [record.getMessage() for record in caplog.records] == [f"{BILLED} row rest"] * 2
