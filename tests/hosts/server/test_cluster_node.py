"""Several servers as one room: in one process, with hand-made sockets, over a real Redis."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main
from breathing_room.core.errors import ConfigError, StoreError
from breathing_room.core.replication.delta import AdminCommand, encode_admin_command
from breathing_room.core.wire import RESTART
from breathing_room.hosts.common.rooms.connection import Connection
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, EncodedPresence
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server import cluster_node
from breathing_room.hosts.server.app import App, ServerRoom
from breathing_room.hosts.server.cluster_node import ClusterNode
from breathing_room.logs.redis_stream import RedisStream
from breathing_room.stores.redis_link import RedisLink
from inside import client_of, host_inside
from redis_process import RedisProcess, free_port, redis_process

if TYPE_CHECKING:
    from breathing_room.core.presence import Presence

TICKS: dict[str, Any] = {"node_ms": 30, "node_lease_ms": 1_000, "push_ms": 20, "reconnect_spread_ms": 0}
PATIENCE_S = 15.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """People of these tests do not come back by themselves: no node waits for them."""
    monkeypatch.setattr(cluster_node, "RETURN_MS", 200)
    # A Redis that has just started on a busy machine may take its time; nodes become suspect no later for
    # that.
    monkeypatch.setattr(cluster_node, "TIMEOUT_S", 10.0)


@pytest.fixture
def redis() -> Iterator[RedisProcess]:
    with redis_process() as server:
        yield server


class Socket(Connection):
    """A socket without a wire."""

    __slots__ = ("closed", "presences")

    def __init__(self, room: ServerRoom) -> None:
        self.presences: list[Presence] = []
        self.closed = 0
        super().__init__(room, PROTOCOL)

    def push(self, encoded: EncodedPresence) -> None:
        self.presences.append(encoded.presence)

    def send(self, text: bytes) -> None:
        pass

    def ping(self) -> None:
        pass

    def close(self, code: int, reason: bytes = b"") -> None:
        del reason
        self.closed = code
        self.ended(graceful=False)

    def abort(self) -> None:
        self.ended(graceful=False)


def join(host: App, name: str, mood: str | None = None) -> Socket:
    """Join a visitor; a name is always the same person."""
    socket = Socket(host.enter("lobby", address=None, forwarded_for=None))
    socket.join(name.ljust(22, "-"), mood)
    return socket


def cluster_of(host: App) -> ClusterNode:
    """The node that a host is."""
    assert host.cluster is not None
    return host.cluster


def says(host: App) -> tuple[int | None, int, int | None, str]:
    """What a node says of the whole room."""
    presence = host.presence("lobby")
    return presence.count, presence.low, presence.high, presence.method


async def eventually(holds: Callable[[], bool], *, what: Callable[[], object] = lambda: None) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.01)


async def all_say(count: int, *hosts: App, method: str = "counted") -> None:
    """Wait until every node has the same exact count."""
    await eventually(
        lambda: all(says(host) == (count, count, count, method) for host in hosts),
        what=lambda: [says(host) for host in hosts],
    )


async def in_doubt(host: App, *, count: int, low: int) -> None:
    """Wait until a node says how many there are at least, how many were known last, and that there may be
    more.
    """
    await eventually(lambda: says(host)[3] == "stale", what=lambda: says(host))
    known, least, most, _ = says(host)
    assert (known, least) == (count, low)
    assert most is not None
    assert most >= count


@asynccontextmanager
async def nodes(redis: RedisProcess, *names: str, **settings: Any) -> AsyncIterator[tuple[App, ...]]:
    """Start several nodes, and stop them after the block without waiting for their people."""
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(host_inside(redis=redis.url, node=name, **TICKS | settings))
            for name in names
        ]
        yield tuple(hosts)


async def die(host: App) -> None:
    """End a node as kill -9 would: it says nothing any more, and hears nothing."""
    host.stopping = True
    for task in list(host._tasks):
        task.cancel()
    await asyncio.gather(*host._tasks, return_exceptions=True)
    for room in host.rooms.values():
        room.platform.cancel_timer()
    await cluster_of(host)._link.close()
    await host.store.close()


# --- Counting ---------------------------------------------------------------------------------------------


async def test_all_nodes_publish_the_same_presence(redis: RedisProcess) -> None:
    """People on three nodes are one room, mood by mood, for every reader and subscriber on any of them."""
    async with nodes(redis, "a", "b", "c") as (a, b, c):
        ann, bob = join(a, "ann", "gratitude"), join(b, "bob", "release")
        watcher = Socket(c.enter("lobby", address=None, forwarded_for=None))
        watcher.observe()
        await all_say(2, a, b, c)
        await eventually(lambda: watcher.presences[-1].count == 2)

        ann.receive(b'{"type":"mood","mood":"release"}')
        await eventually(lambda: c.presence("lobby").moods["release"] == 2)
        await eventually(lambda: watcher.presences[-1].moods["release"] == 2)
        bob.receive(b'{"type":"leave"}')
        await all_say(1, a, b, c)


async def test_a_join_is_answered_at_once(redis: RedisProcess) -> None:
    """The first answer to a join is the whole room with the new visitor
    in it, though nothing was broadcast.
    """
    async with nodes(redis, "a", "b", push_ms=60_000) as (a, b):
        join(a, "ann")
        await eventually(lambda: says(b)[0] == 1)
        for visitor, count in (("bob", 2), ("cat", 3)):
            socket = join(b, visitor)
            await asyncio.sleep(0)  # The answer is sent when the turn ends.
            assert [presence.count for presence in socket.presences] == [count]


async def test_a_room_that_is_not_open_here(redis: RedisProcess) -> None:
    """A node answers the presence of a room without visitors on it, and opens none for that."""
    async with nodes(redis, "a", "b") as (a, b):
        Socket(a.enter("attic", address=None, forwarded_for=None)).join("ann".ljust(22, "-"), "release")
        await eventually(lambda: b.presence("attic").count == 1)
        assert b.presence("attic").moods["release"] == 1
        assert "attic" not in b.rooms


async def test_visitors_have_the_same_key_everywhere(redis: RedisProcess) -> None:
    """Nodes that start at the same time agree on one secret."""
    async with AsyncExitStack() as stack:
        hosts = await asyncio.gather(
            *(
                stack.enter_async_context(host_inside(redis=redis.url, node=name, **TICKS))
                for name in "abcdef"
            )
        )
        assert len({host.secrets.current[0] for host in hosts}) == 1


# --- Every visitor is counted once ------------------------------------------------------------------------


async def test_tabs_on_two_nodes_are_one_person(redis: RedisProcess) -> None:
    """A visitor with sockets on two nodes is counted once, as last said, and goes with the last socket."""
    async with nodes(redis, "a", "b", "c") as (a, b, c):
        first = join(a, "ann", "gratitude")
        await all_say(1, a, b, c)
        second = join(b, "ann", "release")
        await all_say(1, a, b, c)
        await eventually(lambda: c.presence("lobby").moods["release"] == 1)
        assert first.closed == second.closed == 0

        second.receive(b'{"type":"leave"}')
        await eventually(lambda: c.presence("lobby").moods["gratitude"] == 1)
        await all_say(1, a, b, c)
        first.receive(b'{"type":"leave"}')
        await all_say(0, a, b, c)


async def test_a_tab_on_standby_receives_and_sends(redis: RedisProcess) -> None:
    """The tab on the node that does not count hears every change, and
    its own change of mood is the person's.
    """
    async with nodes(redis, "a", "b") as (a, b):
        standby = join(a, "ann", "gratitude")
        await all_say(1, a, b)
        join(b, "ann")
        room = a.rooms["lobby"]
        await eventually(lambda: room.room.count == 0)
        join(b, "bob")
        await eventually(lambda: standby.presences[-1].count == 2)

        standby.receive(b'{"type":"mood","mood":"connection"}')
        await eventually(lambda: b.presence("lobby").moods["connection"] == 1)
        await all_say(2, a, b)


async def test_a_visitor_who_changes_nodes_is_counted_once(redis: RedisProcess) -> None:
    """A person whose socket broke and who comes back through another node is never suspect twice."""
    async with nodes(redis, "a", "b") as (a, b):
        socket = join(a, "ann", "release")
        await all_say(1, a, b)
        socket.ended(graceful=False)
        join(b, "ann", "release")
        await all_say(1, a, b)
        assert a.rooms["lobby"].room.count == 0


async def test_people_who_poll_through_any_node(redis: RedisProcess) -> None:
    """Reports and leaves may come to any node: seats move, a socket anywhere ends them, and no seat is left
    over.
    """
    body = {"visitor": "ann".ljust(22, "-"), "mood": "release"}
    async with nodes(redis, "a", "b", "c") as (a, b, c), client_of(a) as to_a, client_of(b) as to_b:
        for client in (to_a, to_b, to_a):
            answer = await client.post("/v1/rooms/lobby/heartbeat", json=body)
            assert answer.status_code == 200
            await all_say(1, a, b, c)
        join(b, "ann", "release")
        await all_say(1, a, b, c)
        await eventually(lambda: a.rooms["lobby"].room.count == 0)
        await to_a.post("/v1/rooms/lobby/heartbeat", json=body)  # A report that was under way.
        await all_say(1, a, b, c)
        assert c.presence("lobby").moods["release"] == 1

        dan = body | {"visitor": "dan".ljust(22, "-")}
        await to_a.post("/v1/rooms/lobby/heartbeat", json=dan)
        await all_say(2, a, b, c)
        await to_b.post("/v1/rooms/lobby/leave", json=dan)
        await all_say(1, a, b, c)


async def test_a_node_that_dies_leaves_tabs_to_the_others(redis: RedisProcess) -> None:
    """Who was counted by a node that is gone, and has a tab elsewhere, is counted there."""
    async with nodes(redis, "a") as (a,):
        async with nodes(redis, "b") as (b,):
            join(a, "ann", "gratitude")
            await all_say(1, a, b)
            join(b, "ann", "release")
            await eventually(lambda: a.rooms["lobby"].room.count == 0)
            await die(b)
        await eventually(lambda: a.presence("lobby").moods["gratitude"] == 1)
        await all_say(1, a)


# --- When things break ------------------------------------------------------------------------------------


async def test_a_node_that_dies(redis: RedisProcess) -> None:
    """The people of a dead node are suspect while they come back, and then no visitor is counted twice or for
    ever.
    """
    async with nodes(redis, "a") as (a,):
        async with nodes(redis, "b") as (b,):
            join(a, "ann")
            for index in range(3):
                join(b, f"{index}")
            await all_say(4, a)
            await die(b)
        await in_doubt(a, count=4, low=1)
        for index in range(3):
            join(a, f"{index}")
            low, high = says(a)[1:3]
            assert low <= 4 <= (high or 0)
        await all_say(4, a)


async def test_no_zombies_after_many_deaths(redis: RedisProcess) -> None:
    """Ten nodes in a row die with people on them: the count is right, and Redis keeps no more than before."""
    link = RedisLink(redis.url)
    async with nodes(redis, "a", node_lease_ms=400) as (a,):
        join(a, "ann")
        await all_say(1, a)
        keys = await link.client.dbsize()
        for index in range(10):
            async with nodes(redis, "b", node_lease_ms=400) as (b,):
                join(b, f"{index}")
                await eventually(
                    lambda: any(node.id == cluster_of(b).node and node.sums for node in cluster_of(a).nodes)
                )
                await die(b)
        await all_say(1, a)
        await eventually(lambda: list(cluster_of(a).nodes) == [])
        assert await link.client.dbsize() == keys
    await link.close()


async def test_redis_goes_away_and_comes_back_empty(redis: RedisProcess) -> None:
    """Without Redis every node keeps its people and what it knew, and says so; afterwards all is right by
    itself.
    """
    async with nodes(redis, "a", "b") as (a, b):
        sockets = [join(a, "ann"), join(b, "bob"), join(b, "cat")]
        await all_say(3, a, b)
        redis.kill()
        await eventually(lambda: says(a)[3] == says(b)[3] == "stale")
        assert (says(a)[:2], says(b)[:2]) == ((3, 1), (3, 2))
        await asyncio.sleep(TICKS["node_lease_ms"] / 1_000)
        assert says(a)[:2] == (3, 1), "leases of nodes do not end while they cannot be renewed"
        sockets += [join(a, "dan"), join(b, "ann")]  # One is new, one changes nodes meanwhile.
        assert says(a)[3] == "stale"

        redis.start()
        await all_say(4, a, b)
        assert [socket.closed for socket in sockets] == [0] * 5
        assert cluster_of(a).ticks_failed > 0


async def test_a_node_alone_is_cut_off(redis: RedisProcess) -> None:
    """A node that Redis does not answer for longer than its lease is
    gone for the others, until it is back.
    """
    async with nodes(redis, "a", "b") as (a, b):
        join(a, "ann")
        join(b, "bob")
        await all_say(2, a, b)
        way, cluster_of(b)._log = (
            cluster_of(b)._log,
            RedisStream(RedisLink(f"redis://127.0.0.1:{free_port()}"), kept_ms=1_000),
        )
        await eventually(lambda: says(a)[3] == says(b)[3] == "stale")
        await all_say(1, a)
        assert says(b)[:2] == (2, 1)

        cluster_of(b)._log = way
        await all_say(2, a, b)


async def test_a_slow_redis_delays_no_client(redis: RedisProcess) -> None:
    """While Redis does not answer, people come in, speak, hear and go as always."""
    link = RedisLink(redis.url)
    async with nodes(redis, "a", "b") as (a, b):
        await all_say(0, a, b)
        await link.client.client_pause(1_000)
        ann = join(a, "ann")
        await asyncio.sleep(0)
        assert ann.presences[0].count == 1
        ann.receive(b'{"type":"mood","mood":"release"}')
        await eventually(lambda: ann.presences[-1].moods["release"] == 1)
        assert a.presence("lobby").low == 1
        await all_say(1, a, b)
    await link.close()


async def test_after_a_crash_of_the_whole_cluster_the_count_is_unknown(redis: RedisProcess) -> None:
    """If no delta of any node came for longer than a lease and none has left, the count is unknown."""
    async with nodes(redis, "a", node_lease_ms=400) as (a,):
        join(a, "ann")
        await all_say(1, a)
        await die(a)
    await asyncio.sleep(0.5)
    async with nodes(redis, "b", lease_ms=1_000, grace_ms=100) as (b,):
        assert says(b)[3] == "unknown"
        join(b, "ann")
        await eventually(lambda: says(b)[3] == "counted")


# --- Going away -------------------------------------------------------------------------------------------


async def test_a_node_drains(redis: RedisProcess) -> None:
    """A node that stops sends its people to the others, accepts no new visitor, and the count stays as it
    was.
    """
    async with nodes(redis, "a", "b", reconnect_spread_ms=5_000) as (a, b):
        sockets = [join(b, f"{index}") for index in range(5)]
        await all_say(5, a, b)
        stopping = asyncio.create_task(b.stop())
        await eventually(lambda: all(socket.closed == RESTART for socket in sockets))
        async with client_of(b) as client:
            assert (await client.get("/readyz")).status_code == 503
        guests = []
        for index in range(5):
            count, low, high, method = says(a)
            assert low <= 5 <= (high or 0)
            assert method == "counted"
            assert count is not None
            guests.append(join(a, f"{index}"))
        await stopping
        await all_say(5, a)
        await eventually(lambda: list(cluster_of(a).nodes) == [])
        for guest in guests:
            guest.ended(graceful=True)  # Else the other one would wait for them, too.


async def test_a_node_that_drains_hands_its_seats_over(redis: RedisProcess) -> None:
    """People without a connection notice nothing of a drain: their seats go on on another node, and the count
    stays as it was.
    """
    async with nodes(redis, "a", "b") as (a, b), client_of(b) as to_b:
        for visitor in ("ann", "bob", "cat"):
            body = {"visitor": visitor.ljust(22, "-"), "mood": "release"}
            await to_b.post("/v1/rooms/lobby/heartbeat", json=body)
        await to_b.post("/v1/rooms/attic/heartbeat", json=body)
        await all_say(3, a, b)
        stopping = asyncio.create_task(b.stop())
        while not stopping.done():
            assert says(a)[0] == 3 or says(a)[1] <= 3 <= (says(a)[2] or 0)
            await asyncio.sleep(0.01)
        await all_say(3, a)
        assert a.rooms["lobby"].room.panel.seat_count == 3
        assert a.presence("attic").count == 1
        await eventually(lambda: list(cluster_of(a).nodes) == [])


async def test_a_visitor_who_does_not_return_from_a_drain(redis: RedisProcess) -> None:
    """People who were disconnected and did not return are suspect until the lease of their node ends, and
    then gone.
    """
    async with nodes(redis, "a", "b") as (a, b):
        join(a, "ann")
        join(b, "bob")
        await all_say(2, a, b)
        await b.stop()
        await in_doubt(a, count=2, low=1)
        await all_say(1, a)


async def test_an_operator_removes_and_drains_nodes(redis: RedisProcess) -> None:
    """At an operator's command a dead node is removed at once, and a living one sends its people away and
    stays.
    """
    link = RedisLink(redis.url)
    orders = RedisStream(link, kept_ms=60_000)
    async with nodes(redis, "a", node_lease_ms=60_000) as (a,):
        async with nodes(redis, "b", node_lease_ms=60_000) as (b,):
            join(b, "bob")
            await all_say(1, a)
            await die(b)
        await eventually(lambda: says(a)[3] == "stale")
        await orders.write(encode_admin_command(AdminCommand("forget", "b")))
        await all_say(0, a)

        ann = join(a, "ann")
        await orders.write(encode_admin_command(AdminCommand("drain", "a")))
        await eventually(lambda: ann.closed == RESTART)
        async with client_of(a) as client:
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
    await link.close()


# --- The rate ---------------------------------------------------------------------------------------------


async def test_all_nodes_publish_one_rate(redis: RedisProcess) -> None:
    """When the panel is full the rate falls on every node, as one of them sets it; a node that comes later
    takes it over.
    """
    async with nodes(redis, "a", "b", panel_size=8, reports_per_s=1_000) as (a, b), client_of(a) as to_a:
        async with client_of(b) as to_b:
            for index in range(40):
                body = {"visitor": f"{index}-abcdefghijklmnopqr"[:22].ljust(22, "-")}
                await (to_a if index % 2 else to_b).post("/v1/rooms/lobby/heartbeat", json=body)
        await eventually(lambda: a.presence("lobby").sample_rate < 1.0)
        await eventually(lambda: a.presence("lobby").sample_rate == b.presence("lobby").sample_rate)
        assert a.rooms["lobby"].room.panel.theta == b.rooms["lobby"].room.panel.theta < 1.0
        assert says(a)[3] == says(b)[3] == "sampled"
        async with nodes(redis, "c", panel_size=8) as (c,):
            await eventually(lambda: c.presence("lobby").sample_rate == a.presence("lobby").sample_rate < 1.0)


# --- Bad input --------------------------------------------------------------------------------------------


async def test_bad_entries_are_ignored(redis: RedisProcess) -> None:
    """Damage, later versions and other programs' entries in the log are counted and do nothing."""
    link = RedisLink(redis.url)
    async with nodes(redis, "a", "b") as (a, b):
        join(a, "ann")
        await all_say(1, a, b)
        for field, value in (("m", b"BRN2"), ("m", b"BRN1\xff\xff\xff\xff"), ("m", b""), ("other", b"x")):
            await link.client.xadd("breathing-room:log", {field: value})
        await link.client.hset("breathing-room:paces", "lobby", "nonsense")
        await eventually(lambda: cluster_of(a).messages_rejected == 4)
        join(b, "bob")
        await all_say(2, a, b)
    await link.close()


async def test_keys_of_another_program(redis: RedisProcess, caplog: pytest.LogCaptureFixture) -> None:
    """Where another program has our keys a node does not start; one that runs loses no visitor, and logs what
    is wrong.
    """
    link = RedisLink(redis.url)
    async with nodes(redis, "a") as (a,):
        socket = join(a, "ann")
        await all_say(1, a)
        async with link.client.pipeline() as at_once:
            at_once.delete("breathing-room:log")
            at_once.set("breathing-room:log", "mine")
            await at_once.execute()
        with caplog.at_level(logging.WARNING):
            await eventually(lambda: says(a)[3] == "stale")
        assert "another program has keys of its own under breathing-room:" in caplog.text
        assert says(a)[:2] == (1, 1)
        with pytest.raises(StoreError, match="another program has keys of its own"):
            await host_inside(redis=redis.url, node="b", **TICKS).__aenter__()
        await link.client.delete("breathing-room:log")
        await all_say(1, a)
        assert socket.closed == 0
    await link.close()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1", "redis://", "redis+sentinel://host", "redis://127.0.0.1?prefix=/"]
)
async def test_a_wrong_address(address: str) -> None:
    """An address that is none is a mistake in the settings, said before anything starts."""
    with pytest.raises(ConfigError, match="redis: "):
        await host_inside(redis=address, **TICKS).__aenter__()


@pytest.mark.slow
@pytest.mark.parametrize("user", ["", ":wrong@"])
async def test_a_wrong_password(user: str) -> None:
    """A node that Redis rejects does not start, and logs what to check, without the password."""
    with redis_process("--requirepass", "hunter2") as server:
        address = server.url.replace("redis://", f"redis://{user}")
        with pytest.raises(StoreError, match="password") as refused:
            await host_inside(redis=address, **TICKS).__aenter__()
        assert "wrong@" not in str(refused.value)
        right = server.url.replace("redis://", "redis://:hunter2@")
        async with host_inside(redis=right, node="a", **TICKS) as host:
            assert says(host)[3] == "counted"


async def test_a_redis_that_is_not_there() -> None:
    """A node does not start without its Redis: it could not know which peers there are."""
    with pytest.raises(StoreError, match="cannot be reached"):
        await host_inside(redis=f"redis://127.0.0.1:{free_port()}", **TICKS).__aenter__()


# --- Costs ------------------------------------------------------------------------------------------------


async def commands(link: RedisLink, host: App) -> float:
    """Count the commands of Redis for one tick of a node, when only that one ticks."""
    before = (await link.client.info("stats"))["total_commands_processed"]
    for _ in range(10):
        await cluster_of(host).tick()
    return (int((await link.client.info("stats"))["total_commands_processed"]) - int(before)) / 10


async def test_commands_do_not_grow_with_people(redis: RedisProcess) -> None:
    """A tick is as many commands for 500 people as for none, and its message hardly longer."""
    link = RedisLink(redis.url)
    await link.client.xadd("breathing-room:log", {"m": b""})  # Else a node waits for others to speak.
    async with nodes(redis, "a", node_ms=60_000, node_lease_ms=720_000) as (a,):
        join(a, "ann")
        await eventually(lambda: a.rooms["lobby"].platform.history is not None)
        await cluster_of(a).tick()  # It names who came.
        quiet = await commands(link, a)
        quiet_bytes = cluster_of(a).message_bytes
        for index in range(500):
            join(a, f"{index}")
        await cluster_of(a).tick()
        assert await commands(link, a) == quiet < 8
        assert cluster_of(a).message_bytes < quiet_bytes + 40
        await die(a)
    await link.close()


async def test_published_leases_are_the_held_ones(redis: RedisProcess) -> None:
    """After a storm of joins, moves and leaves the sums that were published are the leases that are held."""
    async with nodes(redis, "a", "b") as (a, b):
        sockets = [join((a, b)[index % 7 % 2], f"{index % 30}") for index in range(90)]
        for index, socket in enumerate(sockets[:60]):
            socket.ended(graceful=index % 4 != 0)
        await all_say(30, a, b)
        await eventually(
            lambda: all(
                cluster_of(host).published_leases.get("lobby") == host.rooms["lobby"].room.count
                for host in (a, b)
            )
        )
        assert sum(host.rooms["lobby"].room.count for host in (a, b)) == 30


async def test_metrics_show_nodes_and_drift(redis: RedisProcess) -> None:
    """An operator sees how many nodes there are, what all hold together, and that nothing was left untold."""

    async def metrics(host: App) -> dict[str, float]:
        async with client_of(host) as client:
            lines = (await client.get("/metrics")).text.splitlines()
        return {
            name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")
        }

    async with nodes(redis, "a", "b") as (a, b):
        join(a, "ann")
        join(b, "ann")
        join(b, "bob")
        await all_say(2, a, b)
        await eventually(lambda: cluster_of(b).published_leases.get("lobby") == 2)
        await eventually(
            lambda: a.rooms["lobby"].room.count == 0 and cluster_of(a).published_leases["lobby"] == 0
        )
        here, there = await metrics(a), await metrics(b)
        room = '{room="lobby"}'
        assert here['breathing_room_nodes{state="live"}'] == 1
        assert here[f"breathing_room_cluster_standby{room}"] == 1
        assert (
            here[f"breathing_room_cluster_drift{room}"] == there[f"breathing_room_cluster_drift{room}"] == 0
        )
        held = here[f"breathing_room_people{room}"] + there[f"breathing_room_people{room}"]
        assert (
            held
            == here[f"breathing_room_cluster_people{room}"]
            == there[f"breathing_room_cluster_people{room}"]
            == 2
        )
        assert here["breathing_room_cluster_messages_rejected_total"] == 0


async def test_the_command_shows_nodes_and_sends_commands(
    redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`breathing-room nodes` shows what each node published, passes an operator's command on, and names
    unknown nodes.
    """
    monkeypatch.setenv("BREATHING_ROOM_REDIS", redis.url)

    async def nodes_command(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, main, ["nodes", *arguments])

    async with nodes(redis, "a", "b") as (a, b):
        bob = join(b, "bob")
        await all_say(1, a)
        shown = (await nodes_command()).output.splitlines()
        assert shown[0].split("\t") == ["node", "last delta", "lease", "people", "suspect", "seats", "rooms"]
        assert [line.split("\t")[0] for line in shown[1:]] == ["a", "b"]
        assert shown[2].split("\t")[3:] == ["1", "0", "0", "lobby 1"]
        report = json.loads((await nodes_command("--json")).output)
        assert [node["rooms"]["lobby"]["people"] for node in report["nodes"]] == [0, 1]

        assert (await nodes_command("--drain", "b")).exit_code == 0
        await eventually(lambda: bob.closed == RESTART)
        wrong = await nodes_command("--forget", "absent")
        assert wrong.exit_code == 2
        assert "no node absent in the log; expected one of a, b" in wrong.output
    assert (await nodes_command("http://127.0.0.1")).exit_code == 2


def test_the_settings_hide_the_address() -> None:
    """The address, which may hold a password, is not shown with the other settings."""

    assert "hunter2" not in repr(replace(ServerConfig(), redis="redis://:hunter2@127.0.0.1"))
