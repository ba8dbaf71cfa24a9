"""A crowd of people in one room."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection

from breathing_room.client import RefusedError, UnreachableError, connect
from breathing_room.core.errors import HostError
from breathing_room.lab.load.generator import LEAVE_S, LoadPlan, inspect_room
from breathing_room.lab.load.socket_load import SocketLoad
from harness import Serve, ServerProcess
from scripted_server import answer_pings, presence, scripted
from waiting import PATIENCE_S, until


@contextlib.asynccontextmanager
async def gathered(plan: LoadPlan) -> AsyncIterator[SocketLoad]:
    """A crowd that is there, and goes afterwards."""
    crowd = SocketLoad(plan, await inspect_room(plan))
    running = asyncio.create_task(crowd.run())
    try:
        await until(lambda: crowd.stats.gathered_at_s is not None or running.done())
        yield crowd
    finally:
        crowd.stop()
        await running


async def test_all_are_counted_and_receive_the_full_count(server: ServerProcess) -> None:
    """
    The room counts all participants and the visitors before them, and each participant receives the full
    count.
    """
    async with connect(server.url) as visitor:
        await anext(aiter(visitor))
        async with gathered(LoadPlan(url=server.url, people=50, visit_ms=0)) as crowd:
            assert (crowd.present, crowd.others) == (50, 1)
            await until(lambda: len(crowd.stats.full_at_s) == 50)
            assert crowd.presence.count == 51
    summary = crowd.summary()
    assert summary["present"] == 50
    assert summary["full_count_heard_by"] == 50
    assert 0 <= summary["full_count_ms_median"] <= summary["full_count_ms_worst"]
    assert summary["ends"] == summary["errors"] == {}


async def test_a_room_that_counts_too_few_is_outside() -> None:
    """
    U5: others can only add to a crowd. A room that says 3 of 20 people is wrong, with others in it (it said 3
    before) as without.
    """

    async def stuck(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(presence(low=3, count=3, high=3))
        await answer_pings(socket)

    async with (
        scripted(stuck) as url,
        gathered(LoadPlan(url=url, people=20, visit_ms=0, observe_ms=100)) as crowd,
    ):
        await until(lambda: crowd.observations.all[-1:] != [] and crowd.observations.all[-1].own_low == 20)
        assert crowd.others_since_s == 0
        assert crowd.observations.all[-1].verdict == "outside"


async def test_people_who_come_and_go_are_in_flight(server: ServerProcess) -> None:
    """
    U5: with ten joins and leaves a second the count is now and then one of a moment ago, and no look calls it
    wrong, nor are others supposed.
    """
    plan = LoadPlan(url=server.url, people=40, visit_ms=4_000, observe_ms=50, seed=1)
    async with gathered(plan) as crowd:
        await until(lambda: crowd.stats.left > 30)
    summary = crowd.summary()
    assert summary["others_since_ms"] is None
    assert summary["outside"] == 0
    assert summary["covered"] == summary["observations"] > 20


async def test_a_polite_crowd_is_gone_at_once(server: ServerProcess) -> None:
    """When the crowd has left, the room is empty: no lease lingers for the grace of a broken connection."""
    async with connect(server.url, observe=True) as observer:
        async with gathered(LoadPlan(url=server.url, people=50, visit_ms=0)):
            pass
        async with asyncio.timeout(10):  # less than the grace
            async for seen in observer:
                if seen.high == 0:
                    break


async def test_who_leaves_is_replaced(server: ServerProcess) -> None:
    """With short stays many go and come, and the crowd keeps its size."""
    async with gathered(LoadPlan(url=server.url, people=40, visit_ms=1_000, seed=1)) as crowd:
        await until(lambda: crowd.stats.left > 40)
        await until(lambda: crowd.present == 40)
        assert crowd.stats.joined >= 80
    assert crowd.summary()["ends"] == {}


async def test_moods_change_and_only_to_moods_of_the_plan(server: ServerProcess) -> None:
    """Each participant has one of the plan's moods, at the beginning and after every change."""
    plan = LoadPlan(
        url=server.url, people=40, visit_ms=0, mood_changes=20_000, moods=("release", "gratitude"), seed=1
    )
    async with gathered(plan) as crowd, connect(server.url, observe=True) as observer:
        await until(lambda: crowd.stats.mood_changes > 20)
        seen = await anext(aiter(observer))
        assert seen.people["release"] + seen.people["gratitude"] == seen.count == 40
    assert crowd.stats.errors == {}


async def test_the_same_seed_gives_the_same_crowd() -> None:
    """Moods follow the seed; visitors do not, for two crowds are never the same people."""
    people: list[list[str]] = []
    visitors: set[str] = set()

    async def welcome(socket: ServerConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "join":
                people[-1].append(message["mood"])
                visitors.add(message["visitor"])
            await socket.send(presence())

    async with scripted(welcome) as url:
        for _ in range(2):
            people.append([])
            async with gathered(
                LoadPlan(url=url, people=30, visit_ms=0, mood_changes=0, seed=7, joins_per_s=300)
            ):
                pass
    assert sorted(people[0]) == sorted(people[1])
    assert len(visitors) == 60


async def test_a_crowd_comes_back_after_a_power_cut(serve: Serve) -> None:
    """The same people, spread by full jitter, as soon as there is a server again."""
    # With a short lease the room knows its count again soon, snapshot or not.
    flags = ("--lease-ms", "1500", "--grace-ms", "1000")
    server = serve(*flags)
    async with gathered(LoadPlan(url=server.url, people=40, visit_ms=0)) as crowd:
        server.kill()
        await until(lambda: crowd.present == 0)
        serve(*flags, port=server.port)
        await until(lambda: crowd.present == 40)
        assert crowd.stats.returned == 40
        assert crowd.stats.ends["1006"] == 40
        await until(lambda: crowd.presence.count == 40)


async def test_a_crowd_comes_back_after_a_restart(serve: Serve) -> None:
    """At the moments that the server gave each of them."""
    server = serve("--reconnect-spread-ms", "300")
    async with gathered(LoadPlan(url=server.url, people=40, visit_ms=0)) as crowd:
        server.stop()
        await until(lambda: crowd.stats.ends["1012"] == 40)
        serve(port=server.port)
        await until(lambda: crowd.present == 40)


async def test_joins_keep_to_their_pace(server: ServerProcess) -> None:
    """A hundred at two hundred a second take half a second, and no less."""
    async with gathered(LoadPlan(url=server.url, people=100, joins_per_s=200)) as crowd:
        assert 490 <= crowd.summary()["gathered_ms"] < 5_000


async def test_a_crowd_ends_with_its_time(server: ServerProcess) -> None:
    """It need not be stopped."""
    plan = LoadPlan(url=server.url, people=10, duration_ms=300)
    crowd = SocketLoad(plan, await inspect_room(plan))
    async with asyncio.timeout(PATIENCE_S):
        await crowd.run()
    assert crowd.summary()["present"] == 10


async def test_a_load_that_is_rejected_gives_up() -> None:
    """When all participants were rejected for good there is nothing left to wait for."""

    async def send_away(socket: ServerConnection) -> None:
        if json.loads(await socket.recv())["type"] == "observe":
            await socket.send(presence())
            await answer_pings(socket)
        await socket.close(4500)

    async with scripted(send_away) as url:
        plan = LoadPlan(url=url, people=20)
        crowd = SocketLoad(plan, await inspect_room(plan))
        async with asyncio.timeout(PATIENCE_S):
            await crowd.run()
    assert crowd.summary()["joined"] == 0
    assert crowd.stats.ends == {"4500": 20}


async def test_a_join_that_makes_no_sense_is_not_repeated() -> None:
    """A participant that receives such an error does not reconnect, and the summary names the error."""

    async def object_to_it(socket: ServerConnection) -> None:
        if json.loads(await socket.recv())["type"] == "observe":
            await socket.send(presence())
            await answer_pings(socket)
        error = {"code": "unknown_mood", "message": "mood must be release", "status": 400}
        await socket.send(json.dumps({"type": "error", "error": error}))
        await socket.wait_closed()

    async with scripted(object_to_it) as url:
        plan = LoadPlan(url=url, people=20)
        crowd = SocketLoad(plan, await inspect_room(plan))
        async with asyncio.timeout(PATIENCE_S):
            await crowd.run()
    assert crowd.stats.errors == crowd.stats.ends == {"unknown_mood": 20}


async def test_a_crowd_does_not_wait_for_a_server_that_hangs() -> None:
    """Leaves that are not answered are not waited for longer; asked a second time to stop, not at all."""
    joined = 0
    over = asyncio.Event()

    async def hang(socket: ServerConnection) -> None:
        nonlocal joined
        observes = json.loads(await socket.recv())["type"] == "observe"
        await socket.send(presence())
        if observes:
            return
        joined += 1
        socket.transport.pause_reading()  # The close frame will not be read.
        await over.wait()

    async with scripted(hang) as url:
        plan = LoadPlan(url=url, people=5)
        crowd = SocketLoad(plan, await inspect_room(plan))
        running = asyncio.create_task(crowd.run())
        await until(lambda: joined == 5)
        loop = asyncio.get_running_loop()
        crowd.stop()
        await until(lambda: crowd.stats.present_at_end is not None)
        assert not running.done()
        stopped_at_s = loop.time()
        crowd.stop()
        await running
        assert loop.time() - stopped_at_s < LEAVE_S / 2
        over.set()


async def test_a_crowd_looks_before_it_comes(server: ServerProcess, unused_tcp_port: int) -> None:
    """No server, a room that cannot be, or a mood that it does not know: reported before any join."""
    with pytest.raises(UnreachableError):
        await inspect_room(LoadPlan(url=f"http://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(RefusedError):
        await inspect_room(LoadPlan(url=f"{server.url}/elsewhere"))
    with pytest.raises(HostError, match="gratitude"):
        await inspect_room(LoadPlan(url=server.url, moods=("melancholy",)))
