"""Crowds without sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random
from typing import Any

import httpx
import pytest

from breathing_room.client import connect
from breathing_room.core.estimate.legacy_sampling import CHANCE, HEARTBEAT_MS
from breathing_room.core.tickets import ticket
from breathing_room.lab.load.generator import LoadPlan, inspect_room
from breathing_room.lab.load.http_load import (
    DRIVERS,
    IN_FLIGHT_S,
    Call,
    HttpLoad,
    LegacyLoad,
    LegacyParticipant,
    PollLoad,
)
from harness import Serve, ServerProcess
from scripted_http import POLLED, HttpScript, answer, error, presence, scripted_http
from waiting import PATIENCE_S, until

FLAGS = (
    "--mode",
    "poll",
    "--poll-ms",
    "1000",
    "--presence-max-age-s",
    "1",
    "--stale-after-ms",
    "3000",
    "--heartbeat-ms",
    "2000",
)


@pytest.fixture
def polled(serve: Serve) -> ServerProcess:
    """A server whose rooms poll every second, with a heartbeat every two."""
    return serve(*FLAGS)


@contextlib.asynccontextmanager
async def gathered(kind: type[HttpLoad[Any]], plan: LoadPlan) -> AsyncIterator[Any]:
    """A crowd that is there, and goes afterwards."""
    crowd = kind(plan, await inspect_room(plan))
    running = asyncio.create_task(crowd.run())
    try:
        await until(lambda: crowd.stats.gathered_at_s is not None or running.done())
        yield crowd
    finally:
        crowd.stop()
        await running


def metric(server: ServerProcess, name: str) -> float:
    """Read a figure from /metrics."""
    for line in httpx.get(f"{server.url}/metrics").text.splitlines():
        if line.startswith((f"breathing_room_{name} ", f"breathing_room_{name}{{")):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(name)


# --- Polling ----------------------------------------------------------------------------------------------


async def test_all_are_counted_and_removed_at_once(polled: ServerProcess) -> None:
    """In a room where every visitor is sampled, every report is accepted, and every leave."""
    async with gathered(PollLoad, LoadPlan(url=polled.url, people=50, visit_ms=0)) as crowd:
        assert crowd.present == 50
        await until(lambda: crowd.presence.count == 50)
    assert crowd.stats.leaves == 50
    assert crowd.stats.sent_until_end["reports"] == crowd.stats.reports, "the last leaves come after the end"
    assert crowd.summary()["ends"] == crowd.summary()["errors"] == {}
    assert metric(polled, "people") == 0


async def test_a_visitor_more_is_not_called_an_error(polled: ServerProcess) -> None:
    """
    U5: a visitor who comes to a crowd that polls is noticed as soon as the room counts more than the crowd;
    before that it is covered.
    """
    plan = LoadPlan(url=polled.url, people=20, visit_ms=0, mood_changes=0, observe_ms=200)
    async with gathered(PollLoad, plan) as crowd:
        await until(lambda: crowd.observations.last is not None and crowd.observations.last.count == 20)
        assert crowd.observations.last.verdict == "covered"
        async with connect(polled.url):
            await until(lambda: crowd.observations.last.count == 21)
            assert crowd.observations.last.verdict == "others"
    assert crowd.summary()["outside"] == 0
    assert crowd.summary()["bias"] is None


async def test_what_a_cache_still_says_is_not_called_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    U5: a presence of 5 s ago counts those of then, regardless of the server's clock, and only until it is
    stale.
    """
    now = 1_000
    monkeypatch.setattr("breathing_room.lab.load.http_load.now_ms", lambda: now)
    script = HttpScript({"config": answer(POLLED), "lobby": presence(stale_after_ms=30_000)})
    async with scripted_http(script) as url:
        plan = LoadPlan(url=url, people=1)
        crowd = PollLoad(plan, await inspect_room(plan))
    at_first = crowd.presence.as_of_ms
    now = 6_000

    def age_s(as_of_ms: int, **changes: Any) -> float:
        seen = replace(crowd.presence, as_of_ms=as_of_ms, **changes)
        return crowd._in_flight_s(seen) - IN_FLIGHT_S

    assert age_s(at_first + 5_000) == 0
    assert age_s(at_first) == 5
    assert age_s(at_first, stale_after_ms=1_000) == 1
    assert age_s(at_first - 60_000) == 30
    assert age_s(at_first + 6_000) == 0, "the first one came from a cache, and was a second old"
    assert age_s(at_first) == 6


async def test_a_person_reports_rarely_and_reads_often(polled: ServerProcess) -> None:
    """
    Ten participants for four seconds: about four reads each, and a report on joining with one or two
    heartbeats.
    """
    plan = LoadPlan(url=polled.url, people=10, visit_ms=0, mood_changes=0, duration_ms=4_500, observe_ms=0)
    crowd = PollLoad(plan, await inspect_room(plan))
    await crowd.run()
    assert 20 <= crowd.stats.reports <= 30
    assert 20 <= crowd.stats.reads <= 50
    assert metric(polled, "reports_total") == crowd.stats.reports


async def test_who_leaves_is_replaced_and_some_leaves_are_lost(polled: ServerProcess) -> None:
    """
    The crowd keeps its size; of a thousand leaves as many arrive as the plan says, within four standard
    errors.
    """
    plan = LoadPlan(url=polled.url, people=40, visit_ms=300, leaves_share=0.6, seed=1)
    async with gathered(PollLoad, plan) as crowd:
        await until(lambda: crowd.stats.left >= 400)
        await until(lambda: crowd.present >= 30)
    assert crowd.stats.joined >= 400
    said = crowd.stats.leaves / (crowd.stats.left + crowd.stats.present_at_end)
    assert abs(said - 0.6) < 4 * (0.6 * 0.4 / 400) ** 0.5 + 0.05, (
        "those who left before they reported say none"
    )
    assert crowd.summary()["errors"] == {}


async def test_moods_of_the_plan_are_reported(polled: ServerProcess) -> None:
    """At the beginning and after every change."""
    plan = LoadPlan(
        url=polled.url, people=30, visit_ms=0, mood_changes=20_000, moods=("release", "gratitude"), seed=1
    )
    async with gathered(PollLoad, plan) as crowd, connect(polled.url, observe=True) as observer:
        await until(lambda: crowd.stats.mood_changes > 20 and crowd.stats.reports > 50)
        async with asyncio.timeout(PATIENCE_S):
            async for seen in observer:
                if seen.count == 30:
                    break
        assert (seen.moods["release"] or 0) + (seen.moods["gratitude"] or 0) == 30


async def test_only_those_report_who_are_asked() -> None:
    """
    Of 400 at a rate of 0.1 just those whose tickets are below it, once each, and no more connections than
    drivers.
    """
    script = HttpScript(
        {
            "config": answer(POLLED),
            "lobby": presence(sample_rate=0.1, poll_ms=1_000),
            "heartbeat": presence(sample_rate=0.1),
            "leave": b"HTTP/1.1 204 X\r\n\r\n",
        }
    )
    async with (
        scripted_http(script) as url,
        # A change of mood would be reported, too.
        gathered(PollLoad, LoadPlan(url=url, people=400, visit_ms=0, mood_changes=0)) as crowd,
    ):
        # Requests are sent in turn: by the third read of all participants the reports after the first have
        # been answered.
        await until(lambda: len(script.of("lobby")) > 1_200)
        assert crowd.present == 400
    reported = {heartbeat.body["visitor"] for heartbeat in script.of("heartbeat")}
    assert all(ticket(visitor, room="lobby", epoch=0) < 0.1 for visitor in reported)
    assert {leave.body["visitor"] for leave in script.of("leave")} == reported
    assert len(script.of("heartbeat")) == len(script.of("leave")) == len(reported)
    assert 40 - 4 * 6 <= len(reported) <= 40 + 4 * 6
    # Two to inspect the room before the joins, one to observe it, and the drivers twice: for the visit and
    # for the leaves.
    assert script.connections <= 2 * DRIVERS + 3


async def test_what_was_shed_is_counted_and_tried_again() -> None:
    """A report over the server's budget is no error, and is taken the next time."""
    shed = error("over_budget", 429, Retry_After="1")
    script = HttpScript(
        {"config": answer(POLLED), "lobby": presence(), "heartbeat": [shed, presence()], "leave": answer({})}
    )
    async with (
        scripted_http(script) as url,
        gathered(PollLoad, LoadPlan(url=url, people=1, mood_changes=0)) as crowd,
    ):
        await until(lambda: len(script.of("heartbeat")) == 2)
    assert (crowd.stats.shed, crowd.stats.reports) == (1, 2)


async def test_a_load_that_is_rejected_gives_up() -> None:
    """When all participants were rejected for good there is nothing left to wait for."""
    script = HttpScript({"config": answer(POLLED), "lobby": [presence(), error("no_such_room", 404)]})
    async with scripted_http(script) as url:
        plan = LoadPlan(url=url, people=20)
        crowd = PollLoad(plan, await inspect_room(plan))
        async with asyncio.timeout(PATIENCE_S):
            await crowd.run()
    assert crowd.summary()["joined"] == 0
    assert crowd.stats.errors == {"no_such_room": 20}


async def test_a_crowd_outlives_its_server(serve: Serve) -> None:
    """While it is down all participants retry; when it is back they are counted."""
    server = serve(*FLAGS)
    async with gathered(PollLoad, LoadPlan(url=server.url, people=30, visit_ms=0)) as crowd:
        await until(lambda: crowd.presence.count == 30)
        server.kill()
        await until(lambda: crowd.stats.ends.total() >= 30)
        serve(*FLAGS, port=server.port)
        before = crowd.stats.reads
        # How many there were before is unknown; those who have reported since are certain.
        await until(lambda: crowd.stats.reads > before + 60 and crowd.presence.low == 30)
        assert crowd.present == 30


# --- Legacy clients ---------------------------------------------------------------------------------------


async def test_each_heartbeat_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Forced on coming and on a change of mood; then every 30 s three in a hundred are heartbeats, the others
    reads.
    """
    monkeypatch.setattr("breathing_room.lab.load.http_load.now_ms", lambda: 0)
    participant = LegacyParticipant("release", reads_config=True, rng=Random(1))
    assert participant.next_at_ms == 0
    assert list(participant.due(0)) == [Call.CONFIG, Call.HEARTBEAT]
    assert participant.next_at_ms == HEARTBEAT_MS
    participant.report_mood()
    assert list(participant.due(10)) == [Call.HEARTBEAT]
    heartbeats = 20_000
    calls = [
        call for heartbeat in range(1, heartbeats + 1) for call in participant.due(heartbeat * HEARTBEAT_MS)
    ]
    assert len(calls) == heartbeats
    heads = calls.count(Call.HEARTBEAT)
    assert abs(heads - heartbeats * CHANCE) <= 4 * (heartbeats * CHANCE * (1 - CHANCE)) ** 0.5
    assert calls.count(Call.PRESENCE) == heartbeats - heads


async def test_half_of_the_probabilities_are_the_servers() -> None:
    """
    Half read the chance from the config, half have it built in; all come with a heartbeat and go without a
    word.
    """
    script = HttpScript(
        {
            "config": answer(CONFIG_OF_BOTH),
            "lobby": presence(),
            "heartbeat": answer({"count": 1}),
            "presence": answer({"count": 1}),
        }
    )
    async with (
        scripted_http(script) as url,
        gathered(LegacyLoad, LoadPlan(url=url, people=40, visit_ms=0, mood_changes=0)) as crowd,
    ):
        await until(lambda: len(script.of("heartbeat")) == 40)
        chances = sorted(person.chance for person in crowd._connected)
    assert chances == [CHANCE] * 20 + [0.5] * 20
    assert len({heartbeat.body["sessionId"] for heartbeat in script.of("heartbeat")}) == 40
    assert len([one for one in script.of("config") if one.path == "/api/config"]) == 20
    assert crowd.stats.leaves == 0


CONFIG_OF_BOTH = POLLED | {"sampleRate": 0.5}


async def test_the_real_server_knows_their_paths(server: ServerProcess) -> None:
    """Nothing is refused, and a handful that just came is counted as a handful at the most."""
    async with gathered(LegacyLoad, LoadPlan(url=server.url, people=5, visit_ms=0, mood_changes=0)) as crowd:
        await until(lambda: crowd.stats.reports == 5)
        await crowd._observe()
    assert crowd.summary()["errors"] == crowd.summary()["ends"] == {}
    assert crowd.observations.last is not None
    assert crowd.observations.last.low <= 5
