"""Store mode: writers without memory over one store, and ``reconcile``."""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from breathing_room.core.config import DAY_MS, RoomConfig
from breathing_room.core.errors import ConfigError, HostError, StoreError
from breathing_room.core.identity import visitor_key
from breathing_room.core.tickets import ticket
from breathing_room.core.write_policies.records import merge
from breathing_room.hosts.common.access.signing import sign_visitor
from breathing_room.hosts.common.rooms.secrets import SECRET
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.records import (
    CONTROL,
    REPORTS,
    Control,
    RoomControl,
    decode_control,
    encode_control,
    read_control,
    read_values,
)
from breathing_room.hosts.stateless import StoreModeConfig, reconcile, stateless_app
from breathing_room.stores import MemoryStore, SqliteStore
from harness import Serve, ServerProcess

MOODS = ("gratitude", "presence", "release", "connection")
START_MS = 20_000 * DAY_MS + 1_000


def visitor(number: int) -> str:
    return f"visitor-{number:016}"


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def a_config(**settings: Any) -> StoreModeConfig:
    room = {
        key: settings.pop(key)
        for key in ("panel_size", "rate_propagation_ms", "heartbeat_ms", "epoch_ms", "min_cell_size")
        if key in settings
    }
    server = ServerConfig(presence_max_age_s=1, room=RoomConfig(**room), **settings.pop("server", {}))
    return StoreModeConfig(server=server, **settings)


@asynccontextmanager
async def a_writer(store: Any, config: StoreModeConfig, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A writer in this process, without a lifespan, as at an edge; what waits is written at the end."""
    app = stateless_app(store, config, **options)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://writer") as client:
        yield client
        await app.state.writer.stop()


async def heartbeat(
    client: httpx.AsyncClient, number: int, mood: str | None = None, **more: Any
) -> dict[str, Any]:
    body = {"visitor": visitor(number), **({"mood": mood} if mood else {}), **more}
    answer = await client.post("/v1/rooms/lobby/heartbeat", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def presence(client: httpx.AsyncClient) -> dict[str, Any]:
    return dict((await client.get("/v1/rooms/lobby")).json())


async def test_the_default_room_has_an_alias() -> None:
    """U2: ``_default`` stands for the name of the default room in every path of a writer, also where there is
    no other room.
    """
    config = a_config(server={"default_room": "evening", "open_rooms": False}, policy="every")
    store, clock = MemoryStore(), Clock()
    await reconcile(store, config, clock=clock)
    async with a_writer(store, config, clock=clock) as client:
        room = "/v1/rooms/_default"
        assert (await client.get(f"{room}/config")).json()["room"] == "evening"
        answer = await client.post(f"{room}/heartbeat", json={"visitor": visitor(1)})
        assert (answer.status_code, answer.json()["room"], answer.json()["count"]) == (200, "evening", 1)
        for name in ("_default", "evening"):
            assert (await client.get(f"/v1/rooms/{name}")).json()["count"] == 1
        assert (await client.post(f"{room}/leave", json={"visitor": visitor(1)})).status_code == 204
        assert (await client.get("/v1/rooms/evening")).json()["count"] == 0
        assert (await client.get("/v1/rooms/lobby")).status_code == 404


# --- Several processes, one file --------------------------------------------------------------------------

BUCKET_MS = 1_000

SLACK_S = 1.0
"""Beside the bucket there is the time of a timer and of a put, on a busy machine."""


def start_writer(serve: Serve, policy: str) -> ServerProcess:
    """Start a writer from the command line, over the file that all of a test share."""
    return serve(
        *("--stateless", "--policy", policy, "--bucket-ms", str(BUCKET_MS), "--propagation-ms", "400"),
        *("--presence-max-age-s", "1"),
    )


async def until_count(client: httpx.AsyncClient, count: int) -> dict[str, Any]:
    deadline = time.monotonic() + 15
    while (seen := await presence(client))["count"] != count:
        assert time.monotonic() < deadline, f"{seen['count']} instead of {count}"
        await asyncio.sleep(0.05)
    return seen


@pytest.mark.parametrize("policy", ["bucketed", "every"])
async def test_two_writers_and_the_death_of_one(policy: str, serve: Serve, tmp_path: Path) -> None:
    """200 visitors at two processes are 200 for both; a killed one loses its batch, and no visitor is counted
    twice.
    """
    config = StoreModeConfig(policy=policy, bucket_ms=BUCKET_MS, propagation_ms=400)
    store = await SqliteStore.open(tmp_path / "room.db")
    await reconcile(store, config)
    victim, other = start_writer(serve, policy), start_writer(serve, policy)
    async with httpx.AsyncClient(base_url=victim.url) as a, httpx.AsyncClient(base_url=other.url) as b:
        for number in range(0, 200, 20):
            people = range(number, number + 20)
            await asyncio.gather(*(heartbeat((a, b)[who % 2], who, MOODS[who % 4]) for who in people))
        # Some report now here, now there.
        await asyncio.gather(*(heartbeat((b, a)[who % 2], who, MOODS[who % 4]) for who in range(40)))
        for client in (a, b):
            seen = await until_count(client, 200)
            assert (seen["low"], seen["high"], seen["method"]) == (200, 200, "counted")
            assert seen["moods"] == dict.fromkeys(MOODS, 50)

        # Ten leave at the writer that they did not report to.
        for who in range(100, 110):
            answer = await (b, a)[who % 2].post("/v1/rooms/lobby/leave", json={"visitor": visitor(who)})
            assert answer.status_code == 204
        for client in (a, b):
            await until_count(client, 190)
        await reconcile(store, config)
        await until_count(b, 190)

        await asyncio.gather(*(heartbeat(a, who) for who in range(200, 230)))
        victim.kill()
        await asyncio.sleep(1)  # What a writer has read may be a second old.
        left = (await presence(b))["count"]
        assert 190 <= left <= 220
        assert left == 220 or policy == "bucketed"
        for number in range(0, 230, 23):
            present = [who for who in range(number, number + 23) if not 100 <= who < 110]
            await asyncio.gather(*(heartbeat(b, who, MOODS[who % 4]) for who in present))
        await until_count(b, 220)
    await store.close()


async def stored_visitors(store: SqliteStore, room: str = "lobby") -> set[bytes]:
    """Read whose reports are in the store."""
    return {key for key, record in merge(await read_values(store, room)).items() if record.here}


@pytest.mark.parametrize("policy", ["bucketed", "every"])
async def test_kill_9_loses_no_more_than_the_last_bucket(policy: str, serve: Serve, tmp_path: Path) -> None:
    """
    Writers are killed at random moments of a stream of reports: a report that was answered a bucket's time
    before is in the store, and with ``every`` each report that was answered.
    """
    chance = random.Random(9)
    store = await SqliteStore.open(tmp_path / "room.db")
    control = await reconcile(store, StoreModeConfig(policy=policy, bucket_ms=BUCKET_MS, propagation_ms=400))
    secret = await store.get(f"{SECRET}{control.epoch}")
    assert secret is not None
    number = 0
    for _ in range(3):
        victim = await asyncio.to_thread(start_writer, serve, policy)
        answered_at_s: dict[bytes, float] = {}
        kill_at_s = float("inf")
        async with httpx.AsyncClient(base_url=victim.url) as client:
            while time.monotonic() < kill_at_s:
                number += 1
                await heartbeat(client, number)
                key = visitor_key(visitor(number), room="lobby", secret=secret)
                answered_at_s[key] = time.monotonic()
                await asyncio.sleep(0.02)
                if kill_at_s == float("inf") and answered_at_s.keys() & await stored_visitors(store):
                    kill_at_s = time.monotonic() + chance.random()  # From the first batch on, at any moment.
            victim.kill()
            killed_at_s = time.monotonic()
        stored = await stored_visitors(store)
        lost = [killed_at_s - at_s for key, at_s in answered_at_s.items() if key not in stored]
        assert max(lost, default=0) <= (BUCKET_MS / 1_000 + SLACK_S if policy == "bucketed" else 0)
    await store.close()


async def test_graceful_stop_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    """A writer that is stopped writes its batch before it ends, with status 0, and its visitors are counted
    by others.
    """
    store = await SqliteStore.open(tmp_path / "room.db")
    await reconcile(store, StoreModeConfig(bucket_ms=BUCKET_MS, propagation_ms=400))
    leaver, other = start_writer(serve, "bucketed"), start_writer(serve, "bucketed")
    async with httpx.AsyncClient(base_url=leaver.url) as client:
        await asyncio.gather(*(heartbeat(client, who) for who in range(20)))
    assert await asyncio.to_thread(leaver.stop) == 0
    assert len(await stored_visitors(store)) == 20
    async with httpx.AsyncClient(base_url=other.url) as client:
        assert (await presence(client))["count"] == 20
    await store.close()


async def test_three_writers_and_reconcile_in_processes(serve: Serve, tmp_path: Path) -> None:
    """
    All from the command line: the count is unknown before ``reconcile`` runs; then visitors who report to
    several writers are merged, and the line that ``reconcile`` prints has the rate.
    """
    writers = [start_writer(serve, "bucketed") for _ in range(3)]
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{writers[0].url}/v1/rooms/lobby")).json()["method"] == "unknown"
    controller = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "breathing_room", "reconcile", "--data", str(tmp_path / "room.db")),
        *("--every", "200ms", "--bucket-ms", str(BUCKET_MS), "--propagation-ms", "400"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert controller.stdout is not None
    try:
        assert b"no reports" in await controller.stdout.readline()
        await asyncio.sleep(0.3)  # A writer may read it half of its propagation time late.
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=writer.url)) for writer in writers
            ]
            for turn in range(3):
                await asyncio.gather(*(heartbeat(clients[(who + turn) % 3], who) for who in range(30)))
            for client in clients:
                await until_count(client, 30)
        async with asyncio.timeout(10):
            while b"lobby: rate 1, " not in (line := await controller.stdout.readline()):
                assert line
    finally:
        controller.terminate()
        assert await controller.wait() == 0


# --- Rates, epochs and ghosts, on a manual clock ----------------------------------------------------------


async def test_moods_have_intervals_and_small_ones_are_merged() -> None:
    """Every mood has an interval about its count; where the room sets ``min_cell_size`` a smaller mood cannot
    be derived.
    """
    clock = Clock()
    for min_cell_size, moods, unspoken in (
        (0, {"gratitude": 6, "presence": 3, "release": 0, "connection": 1}, 0),
        (4, {"gratitude": 6, "presence": None, "release": None, "connection": None}, None),
    ):
        config = a_config(policy="every", min_cell_size=min_cell_size)
        store = MemoryStore(clock=clock)
        async with a_writer(store, config, clock=clock) as client:
            unknown = await presence(client)
            assert set(unknown["mood_intervals"]) == {*MOODS, "unspoken"}
            assert unknown["mood_intervals"]["release"] == (None if min_cell_size else [0, None])
            await reconcile(store, config, clock=clock)
            for who in range(10):
                seen = await heartbeat(
                    client, who, "gratitude" if who < 6 else "presence" if who < 9 else "connection"
                )
        assert (seen["count"], seen["moods"], seen["unspoken"]) == (10, moods, unspoken)
        assert seen["mood_intervals"] == {
            mood: people if people is None else [people, people]
            for mood, people in {**moods, "unspoken": unspoken}.items()
        }


@pytest.mark.slow
async def test_a_large_crowd_is_sampled_and_the_interval_holds_it() -> None:
    """``reconcile`` lowers the rate, writers use it within the propagation time, and reports above it are not
    stored.
    """
    clock, config = Clock(), a_config(panel_size=100, rate_propagation_ms=75_000, policy="every")
    store = MemoryStore(clock=clock)
    await reconcile(store, config, clock=clock)
    async with a_writer(store, config, clock=clock) as a, a_writer(store, config, clock=clock) as b:
        for who in range(1_000):
            await heartbeat((a, b)[who % 2], who, MOODS[who % 4])
        clock.now_ms += 1_000  # What a writer has read may be a second old.
        assert (await presence(a))["count"] == 1_000

        clock.now_ms += 60_000
        control = await reconcile(store, config, clock=clock)
        rate = control.rooms["lobby"].rates[0][1]
        assert 0.09 <= rate <= 0.1
        # The writer may not have read it yet; half of the propagation time later it has.
        clock.now_ms += 30_000
        seen = await presence(b)
        assert seen["sample_rate"] == rate
        assert seen["method"] == "sampled"
        assert seen["low"] <= 1_000 <= seen["high"]
        assert seen["high"] - seen["low"] < 500
        assert sum(seen["moods"].values()) + seen["unspoken"] == seen["count"]
        for mood, people in seen["moods"].items():
            low, high = seen["mood_intervals"][mood]
            assert low <= people <= high
            assert low <= 250 <= high
            assert high - low < 300

        keys = len(await store.list(REPORTS))
        for who in range(1_000, 1_200):
            assert (await heartbeat(a, who))["sample_rate"] == rate
        asked = sum(ticket(visitor(who), room="lobby", epoch=20_000) < rate for who in range(1_000, 1_200))
        assert 0 < asked < 200
        assert len(await store.list(REPORTS)) == keys + asked
        clock.now_ms += 1_000
        seen = await presence(a)
        assert seen["low"] <= 1_200 <= seen["high"]

        # The rate rises again when most have left; the new seats are not counted before every client has read
        # it.
        for who in range(1_150):
            await a.post("/v1/rooms/lobby/leave", json={"visitor": visitor(who)})
        clock.now_ms += 2 * (75_000 + 60_000)
        control = await reconcile(store, config, clock=clock)
        changed_at_ms = clock.now_ms
        raised = control.rooms["lobby"].rates[0][1]
        assert raised > rate
        clock.now_ms = changed_at_ms + 75_000 + 60_000 - 1
        assert config.make_rate("lobby", control.rooms["lobby"], clock.now_ms).theta(clock.now_ms) == rate
        clock.now_ms += 1
        assert config.make_rate("lobby", control.rooms["lobby"], clock.now_ms).theta(clock.now_ms) == raised


@pytest.mark.slow
async def test_ghosts_are_seen_by_the_controller() -> None:
    """Ghosts are counted until their leases expire, and from then on used only to correct the count of
    others.
    """
    clock, config = Clock(), a_config(policy="every", heartbeat_ms=60_000)
    store = MemoryStore(clock=clock)
    await reconcile(store, config, clock=clock)
    chance = random.Random(1)
    here: dict[int, int] = {}
    async with a_writer(store, config, clock=clock) as client:
        number = 0
        for minute in range(25):
            clock.now_ms += 60_000
            number += 20
            here |= dict.fromkeys(range(number - 20, number), minute)
            gone = [who for who in here if chance.random() < 0.2]  # In silence, all of them.
            here = {who: since for who, since in here.items() if who not in gone}
            for who in here:
                await heartbeat(client, who)
            control = await reconcile(store, config, clock=clock)
        assert len(control.rooms["lobby"].expired) > 100
        seen = await presence(client)
        # Nearly every seat that missed a heartbeat is a ghost: without a correction there would be 40 more.
        assert seen["low"] <= len(here) <= seen["high"]
        assert abs(seen["count"] - len(here)) <= 15


async def test_a_visit_outlives_its_epoch() -> None:
    """A visitor who goes on naming the epoch in which the visit began is counted once after it changed, and
    can leave.
    """
    clock, config = Clock(), a_config(policy="every", epoch_ms=DAY_MS)
    store = MemoryStore(clock=clock)
    clock.now_ms += DAY_MS - 60_000
    await reconcile(store, config, clock=clock)
    async with a_writer(store, config, clock=clock) as client:
        began = (await heartbeat(client, 1, "release"))["epoch"]
        clock.now_ms += 60_000
        await reconcile(store, config, clock=clock)
        seen = await heartbeat(client, 1, epoch=began)
        assert (seen["epoch"], seen["count"], seen["moods"]["release"]) == (began + 1, 1, 1)
        await client.post("/v1/rooms/lobby/leave", json={"visitor": visitor(1)})
        assert (await presence(client))["count"] == 0
        refused = await client.post(
            "/v1/rooms/lobby/heartbeat", json={"visitor": visitor(1), "epoch": began - 1}
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_epoch")


async def test_nothing_is_kept_after_lease_and_job() -> None:
    """After the last report, a lease and two runs of ``reconcile``, no
    key but the controller's own is left.
    """
    clock, config = Clock(), a_config(policy="every")
    store = MemoryStore(clock=clock)
    await reconcile(store, config, clock=clock)
    async with a_writer(store, config, clock=clock) as client:
        await heartbeat(client, 1, "release")
        stored = [await store.get(key) or b"" for key in await store.list("")]
        assert not any(visitor(1).encode() in value for value in stored)
        clock.now_ms += config.server.room.heartbeat_lease_ms + 2 * config.reconcile_ms
        assert await store.list(REPORTS) == []
        assert (await presence(client))["count"] == 0
    control = await reconcile(store, config, clock=clock)
    assert set(await store.list("")) == {CONTROL, f"secret/{control.epoch}", f"secret/{control.epoch + 1}"}


async def test_before_reconcile_ran_the_count_is_unknown() -> None:
    """Without a control key the presence is unknown and reports are refused for now; then both work."""
    clock, config = Clock(), a_config()
    store = MemoryStore(clock=clock)
    async with a_writer(store, config, clock=clock) as client:
        assert (await presence(client))["method"] == "unknown"
        assert (await presence(client))["count"] is None
        refused = await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": visitor(1)})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert (await client.get("/readyz")).status_code == 503
        await reconcile(store, config, clock=clock)
        assert (await heartbeat(client, 1))["count"] == 1
        clock.now_ms += 1_000
        assert (await client.get("/readyz")).status_code == 200


async def test_alone_in_the_room_is_one_at_once() -> None:
    """A visitor who reports is counted in the answer, though the batch is not yet in the store."""
    clock, config = Clock(), a_config()
    store = MemoryStore(clock=clock)
    await reconcile(store, config, clock=clock)
    async with a_writer(store, config, clock=clock) as client:
        seen = await heartbeat(client, 1, "gratitude")
        assert (seen["count"], seen["low"], seen["high"], seen["sample_rate"]) == (1, 1, 1, 1)
        assert await store.list(REPORTS) == []
        assert seen["as_of_ms"] == clock.now_ms - config.bucket_ms
    assert len(await store.list(REPORTS)) == 1


async def test_a_store_that_fails_for_a_moment_loses_nothing() -> None:
    """A put that failed is tried again, and what it holds is counted meanwhile."""
    clock, config = Clock(), a_config(bucket_ms=100)

    class Shaky(MemoryStore):
        failures = 2

        async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
            if key.startswith(REPORTS) and self.failures:
                self.failures -= 1
                raise StoreError("away", temporary=self.failures > 0)
            await super().put(key, value, ttl_ms=ttl_ms)

    store = Shaky(clock=clock)
    await reconcile(store, config, clock=clock)
    store.failures = 1
    async with a_writer(store, a_config(policy="every"), clock=clock) as client:
        refused = await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": visitor(1)})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    store.failures = 2
    app_config = a_config(bucket_ms=100)
    async with a_writer(store, app_config, clock=clock) as client:
        assert (await heartbeat(client, 1))["count"] == 1
        clock.now_ms += 1_000
        deadline = time.monotonic() + 10
        while store.failures == 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert (await presence(client))["count"] == 1


# --- The surface ------------------------------------------------------------------------------------------


async def test_legacy_sampling_is_refused() -> None:
    """The heartbeat of a document client is 501, in the one shape that errors have."""
    async with a_writer(MemoryStore(), a_config()) as client:
        answer = await client.post("/api/heartbeat", json={"sessionId": "x", "mood": "presence"})
        assert answer.status_code == 501
        assert answer.json()["error"]["code"] == "cannot_count"
        assert answer.json()["error"]["status"] == 501


async def test_ids_must_be_signed_where_there_is_a_key() -> None:
    """With a signing key a report or a leave without a signature is 403 and stored nowhere; one with it
    counts.
    """
    key = "0123456789abcdef0123456789abcdef"
    store, config = MemoryStore(), a_config(server={"signing_key": key})
    await reconcile(store, config)
    async with a_writer(store, config) as client:
        for path in ("heartbeat", "leave"):
            for wrong in (visitor(1), sign_visitor(key, "garden")):
                answer = await client.post(f"/v1/rooms/lobby/{path}", json={"visitor": wrong})
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "unsigned_visitor")
        signed = sign_visitor(key, "lobby")
        answer = await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": signed})
        assert (answer.status_code, answer.json()["count"]) == (200, 1)
        answer = await client.post("/v1/rooms/lobby/leave", json={"visitor": signed})
        assert answer.status_code == 204
        assert (await presence(client))["count"] == 0


async def test_reads_can_be_cached() -> None:
    """Presence and config have an ETag and a ``max-age``; a conditional request is answered 304."""
    store, config = MemoryStore(), StoreModeConfig()
    await reconcile(store, config)
    async with a_writer(store, config) as client:
        for path, age in (("/v1/rooms/lobby", "max-age=5"), ("/v1/rooms/lobby/config", "max-age=300")):
            first = await client.get(path)
            assert age in first.headers["cache-control"]
            again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
            assert again.status_code in {200, 304}  # The time may have moved on by a step.
            assert again.status_code == 304 or again.headers["etag"] != first.headers["etag"]
        assert (await client.get("/v1/rooms/lobby/config")).json()["mode"] == "poll"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/rooms/lobby/heartbeat", b"{", 400, "bad_json"),
        ("POST", "/v1/rooms/lobby/heartbeat", b"[]", 400, "not_an_object"),
        ("POST", "/v1/rooms/lobby/heartbeat", b'{"visitor":"short"}', 400, "bad_visitor"),
        (
            "POST",
            "/v1/rooms/lobby/heartbeat",
            b'{"visitor":"0123456789abcdef","mood":"rage"}',
            400,
            "unknown_mood",
        ),
        ("POST", "/v1/rooms/lobby/heartbeat", b"x" * 5_000, 413, "body_too_large"),
        ("POST", "/v1/rooms/lobby/leave", b"{}", 400, "bad_visitor"),
        ("POST", "/v1/rooms/NO/heartbeat", b"{}", 400, "bad_room"),
        ("GET", "/v1/rooms/other", b"", 404, "no_such_room"),
        ("GET", "/v1/rooms/lobby/heartbeat", b"", 405, "wrong_method"),
        ("GET", "/nothing", b"", 404, "not_found"),
    ],
)
async def test_bad_requests_are_clear_errors(
    method: str, path: str, body: bytes, status: int, code: str
) -> None:
    """Each is refused with its code, and nothing is stored."""
    store, config = MemoryStore(), a_config(server={"open_rooms": False})
    await reconcile(store, config)
    async with a_writer(store, config) as client:
        answer = await client.request(method, path, content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert await store.list(REPORTS) == []


async def test_more_rooms_than_rooms_max_are_refused() -> None:
    """A writer holds batches for so many rooms and no more."""
    store, config = MemoryStore(), a_config(server={"rooms_max": 2})
    await reconcile(store, config)
    async with a_writer(store, config) as client:
        answers = [
            await client.post(f"/v1/rooms/room{number}/heartbeat", json={"visitor": visitor(1)})
            for number in range(3)
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert answers[2].json()["error"]["code"] == "too_many_rooms"


def test_a_policy_that_remembers_is_refused() -> None:
    """Only policies without memory of visitors can have several writers."""
    with pytest.raises(ConfigError, match="bucketed"):
        StoreModeConfig(policy="lazy")


def test_the_control_key_decodes_as_it_was() -> None:
    """Writing and reading changes nothing; damage is a clear error."""
    room = RoomControl(
        rates=((0, 0.04), (5, 1.0)), changed_at_ms=3, since_ms=1, expired=((2, 7),), arrivals_per_ms=0.5
    )
    control = Control(as_of_ms=9, epoch=4, rooms={"lobby": room})
    assert decode_control(encode_control(control)) == control
    body = json.loads(encode_control(control))
    body["rooms"]["lobby"]["rates"] = []
    for damaged in (b"", b"[]", b"{}", json.dumps(body).encode()):
        with pytest.raises(HostError, match="control"):
            decode_control(damaged)


async def test_a_damaged_store_is_read_around() -> None:
    """Values that cannot be read are logged and left out; ``reconcile`` writes the control key again."""
    store, config = MemoryStore(), a_config(policy="every")
    await store.put(CONTROL, b"?")
    assert await read_control(store) is None
    await reconcile(store, config)
    await store.put(f"{REPORTS}lobby/x/1", b"?")
    async with a_writer(store, config) as client:
        assert (await heartbeat(client, 1))["count"] == 1
        await reconcile(store, config)
        assert (await presence(client))["count"] == 1
