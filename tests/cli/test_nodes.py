"""`breathing-room nodes`, as it is typed, over a log in memory."""

import json
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main, nodes
from breathing_room.cli.nodes import row
from breathing_room.core.errors import StoreError
from breathing_room.core.replication.delta import (
    AdminCommand,
    Delta,
    decode,
    encode_admin_command,
    encode_delta,
)

NOW_MS = 1_767_268_800_000
ADDRESS = "redis://127.0.0.1:6379"


class FakeLink:
    """A way to a Redis that is there, or away."""

    away = False
    closed = 0

    def __init__(self, address: str) -> None:
        assert address == ADDRESS

    async def check(self) -> None:
        if self.away:
            raise StoreError("Redis does not answer", temporary=True)

    async def close(self) -> None:
        type(self).closed += 1


class FakeLog:
    """The entries that a test put down, each with its age, and what was written."""

    entries: tuple[tuple[int, bytes], ...] = ()
    written: ClassVar[list[bytes]] = []

    def __init__(self, link: FakeLink, *, kept_ms: int) -> None:
        del link, kept_ms

    async def read(self) -> tuple[int, tuple[tuple[tuple[int, int], bytes], ...]]:
        return NOW_MS, tuple(((NOW_MS - age_ms, 0), value) for age_ms, value in self.entries)

    async def write(self, value: bytes) -> None:
        self.written.append(value)


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> type[FakeLog]:
    monkeypatch.setattr(nodes, "RedisLink", FakeLink)
    monkeypatch.setattr(nodes, "RedisStream", FakeLog)
    monkeypatch.setattr(FakeLink, "away", False)
    monkeypatch.setattr(FakeLink, "closed", 0)
    monkeypatch.setattr(FakeLog, "written", [])
    monkeypatch.setattr(
        FakeLog,
        "entries",
        ((9_000, said("web-1")), (2_000, b"damaged"), (1_000, said("web-2")), (500, said("web-1"))),
    )
    return FakeLog


def said(node: str) -> bytes:
    return encode_delta(Delta(sender=(node, 1), lease_ms=5_000), lambda _room: ())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["nodes", ADDRESS, *arguments])


def test_each_node_is_shown_with_its_last_message() -> None:
    """Every node is a line in the order of names, with the age of its latest message and what is left of its
    lease.
    """
    result = run()
    assert result.exit_code == 0, result.output
    head, *lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == list(nodes.COLUMNS)
    assert [line[:3] for line in lines] == [
        ["web-1", "500 ms ago", "4 s left"],
        ["web-2", "1 s ago", "4 s left"],
    ]
    assert "1 entries of the log were skipped" in result.stderr


def test_json_has_the_same_and_counts_what_is_of_no_use() -> None:
    """As JSON the ages are numbers, and damaged entries are counted beside the nodes."""
    body = json.loads(run("--json").stdout)
    assert (body["as_of_ms"], body["refused"]) == (NOW_MS, 1)
    assert [(node["node"], node["delta_age_ms"]) for node in body["nodes"]] == [
        ("web-1", 500),
        ("web-2", 1_000),
    ]


def test_an_order_is_written_once_and_only_to_a_node_that_exists(log: type[FakeLog]) -> None:
    """A node that is named is drained or forgotten by one entry each; an unknown name writes nothing and
    lists the known ones.
    """
    assert run("--drain", "web-1", "--forget", "web-2").exit_code == 0
    assert [decode(value, lambda _room: ()) for value in log.written] == [
        AdminCommand("forget", "web-2"),
        AdminCommand("drain", "web-1"),
    ]
    log.written.clear()
    result = run("--forget", "web-3")
    assert (result.exit_code, log.written) == (2, [])
    assert "web-1, web-2" in result.output


def test_a_node_that_was_forgotten_is_shown_no_more(
    log: type[FakeLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an order to forget a node it is not shown, unless it speaks again later."""
    forget = (400, encode_admin_command(AdminCommand("forget", "web-1")))
    monkeypatch.setattr(log, "entries", (*log.entries, forget))
    assert "web-1" not in run().stdout
    monkeypatch.setattr(log, "entries", (*log.entries, (300, said("web-1"))))
    assert "web-1" in run().stdout


def test_a_redis_that_is_away_is_an_error_and_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis does not answer the command ends with 1 and says so, and the connection is closed all the
    same.
    """
    monkeypatch.setattr(FakeLink, "away", True)
    result = run()
    assert (result.exit_code, FakeLink.closed) == (1, 1)
    assert "Redis does not answer" in result.output


def test_a_lease_that_ended_is_over() -> None:
    """A node whose last message is older than its lease is over, and its rooms are added up."""
    room: dict[str, Any] = {"people": 3, "suspect": 1, "seats": 1_200, "effective_rate": 0.5}
    node = {"node": "a", "delta_age_ms": 5_001, "lease_ms": 5_000, "rooms": {"lobby": room, "garden": room}}
    assert row(node) == ("a", "5 s ago", "over", "6", "2", "2,400", "lobby 1,203, garden 1,203")
