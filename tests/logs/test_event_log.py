"""The contract of every event log: the one in Redis, and the one of the virtual-time cluster, so that results
over one hold over the other.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from breathing_room.core.replication.delta import BEGINNING
from breathing_room.logs.redis_stream import RedisStream
from breathing_room.ports import EventLog
from breathing_room.stores.redis_link import RedisLink
from redis_process import RedisProcess, redis_process
from room_adapter import Way
from simulated_cluster import SharedLog

Two: TypeAlias = tuple[EventLog, EventLog]
"""Two clients of one log."""

numbers = itertools.count()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisProcess]:
    with redis_process() as server:
        yield server


@asynccontextmanager
async def in_redis(server: RedisProcess) -> AsyncIterator[Two]:
    links = [RedisLink(f"{server.url}?prefix=log-{next(numbers)}")] * 2
    try:
        one, two = (RedisStream(link, kept_ms=60_000) for link in links)
        yield one, two
    finally:
        for link in links:
            await link.close()


@pytest.fixture(params=["virtual", pytest.param("redis", marks=pytest.mark.slow)])
async def logs(request: Any) -> AsyncIterator[Two]:
    if request.param == "redis":
        async with in_redis(request.getfixturevalue("redis")) as two:
            yield two
        return
    times = itertools.count(1_000)
    cluster: Any = SimpleNamespace(
        rng=Random(1), slow_s=0.0, loss=0.0, now_s=0.0, clock=SimpleNamespace(now_ms=lambda: next(times))
    )
    shared = SharedLog()
    yield Way(cluster, shared), Way(cluster, shared)


async def test_all_read_each_entry_once_and_in_one_order(logs: Two) -> None:
    """An append returns what is new since the named entry, its own included, in the order that every reader
    sees.
    """
    one, two = logs
    first = await one.append(b"1", since=BEGINNING)
    assert first.entries == ((first.own, b"1"),)
    await two.write(b"2")
    third = await two.append(b"3", since=first.own)
    assert [value for _, value in third.entries] == [b"2", b"3"]
    assert third.entries[-1] == (third.own, b"3")
    fourth = await one.append(b"4", since=first.own)
    assert fourth.entries == (*third.entries, (fourth.own, b"4"))
    assert first.own < third.entries[0][0] < third.own < fourth.own

    now_ms, entries = await two.read()
    assert entries == (*first.entries, *fourth.entries)
    assert now_ms >= fourth.own[0]


async def test_a_rate_is_set_only_over_the_one_that_was_read(logs: Two) -> None:
    """Of two replacements of one rate the first is taken, and an append returns the rate."""
    one, two = logs
    assert (await one.append(b"", since=BEGINNING)).rates == {}
    assert await one.set_rate("lobby", b"", b"half")
    assert not await two.set_rate("lobby", b"", b"third")
    assert await two.set_rate("lobby", b"half", b"third")
    assert (await one.append(b"", since=BEGINNING)).rates == {"lobby": b"third"}


async def test_the_first_secret_of_an_epoch_is_that_of_all(logs: Two) -> None:
    """A proposed secret is set where there is none, for its epoch alone."""
    one, two = logs
    assert await two.known_secret(7) is None
    assert await one.secret(7, b"ours", ttl_ms=60_000) == b"ours"
    assert await two.secret(7, b"theirs", ttl_ms=60_000) == b"ours"
    assert await two.known_secret(7) == b"ours"
    assert await two.known_secret(8) is None
