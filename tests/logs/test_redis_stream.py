"""The log of a cluster, over a client that answers as Redis does.

A real Redis is under ``hosts/server/test_cluster_node.py``.
"""

from typing import Any, Self

from breathing_room.logs.redis_stream import FIELD, RedisStream
from breathing_room.ports import Round


class Pipeline:
    """A round trip: what was asked, and what a test answers."""

    def __init__(self, redis: "FakeRedis") -> None:
        self._redis = redis

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: self._redis.asked.append((name, arguments, options))

    async def execute(self) -> Any:
        return self._redis.answers.pop(0)


class FakeRedis:
    """A client of Redis whose answers a test puts down."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.scripts: list[dict[str, Any]] = []

    def register_script(self, text: str) -> Any:
        assert "HGET" in text.upper()

        async def swap(**given: Any) -> Any:
            self.scripts.append(given)
            return self.answers.pop(0)

        return swap

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction
        return Pipeline(self)

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            self.asked.append((name, arguments, options))
            return self.answers.pop(0)

        return call


class FakeLink:
    """A way to it, under a prefix."""

    def __init__(self, client: FakeRedis) -> None:
        self.client = client

    def key(self, name: str) -> str:
        return f"p:{name}"

    async def call(self, call: Any) -> Any:
        return await call


def a_log(*answers: Any) -> tuple[RedisStream, FakeRedis]:
    redis = FakeRedis(*answers)
    link: Any = FakeLink(redis)
    return RedisStream(link, kept_ms=60_000), redis


async def test_a_tick_writes_and_reads_in_one_trip() -> None:
    """One round trip writes our entry, reads what is new in order, ours among it, and brings the rates of all
    rooms.
    """
    entries = [(b"100-0", {FIELD: b"theirs"}), (b"100-1", {FIELD: b"ours"})]
    log, redis = a_log([b"100-1", [[b"p:log", entries]], {b"lobby": b"rate"}, 1, 1])
    found = await log.append(b"ours", since=(90, 2))
    assert found == Round((100, 1), (((100, 0), b"theirs"), ((100, 1), b"ours")), {"lobby": b"rate"})
    names = [name for name, *_ in redis.asked]
    assert names == ["xadd", "xread", "hgetall", "pexpire", "pexpire"]
    assert redis.asked[1][1] == ({"p:log": "90-2"},)


async def test_old_entries_are_dropped_by_the_time_of_redis() -> None:
    """Entries older than the kept time, counted from the last entry that was read, are trimmed; before the
    first read none are.
    """
    for since, oldest in (((100_000, 0), 40_000), ((0, 0), 0)):
        log, redis = a_log([b"1-0", [], {}, 1, 1])
        assert (await log.append(b"", since=since)).entries == ()
        assert redis.asked[0][2]["minid"] == oldest
        assert [arguments[1] for name, arguments, _ in redis.asked if name == "pexpire"] == [60_000, 60_000]


async def test_an_entry_of_another_program_is_empty() -> None:
    """Entries without our field, or without any, are read as empty, which is rejected as damaged and moves
    the position on.
    """
    log, _ = a_log([(7, 500_999), [(b"1-0", {b"other": b"x"}), (b"1-1", {}), (b"2-0", {FIELD: b"y"})]])
    assert await log.read() == (7_500, (((1, 0), b""), ((1, 1), b""), ((2, 0), b"y")))


async def test_the_first_secret_is_that_of_all() -> None:
    """A proposed secret is set if there was none, else the existing one is returned; it is kept for the time
    given.
    """
    log, redis = a_log(None, b"theirs", b"theirs", None)
    assert await log.secret(3, b"mine", ttl_ms=5) == b"mine"
    assert await log.secret(3, b"mine", ttl_ms=5) == b"theirs"
    assert redis.asked[0] == ("set", ("p:secret/3", b"mine"), {"nx": True, "get": True, "px": 5})
    assert [await log.known_secret(3), await log.known_secret(3)] == [b"theirs", None]


async def test_a_rate_is_set_only_over_the_one_that_was_seen() -> None:
    """A rate is set if it still has the value that was read; an operator's entry is written alone."""
    log, redis = a_log(1, 0, b"1-0")
    assert [await log.set_rate("lobby", b"", b"new"), await log.set_rate("lobby", b"old", b"")] == [
        True,
        False,
    ]
    assert redis.scripts[0] == {"keys": ["p:paces"], "args": ["lobby", b"", b"new"]}
    await log.write(b"order")
    assert redis.asked == [("xadd", ("p:log", {FIELD: b"order"}), {})]
