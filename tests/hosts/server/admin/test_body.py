"""What the operator's page says of a server and its rooms, and that it is so."""

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from breathing_room.core.errors import StoreError
from breathing_room.core.history import History
from breathing_room.hosts.server.app import App
from breathing_room.stores.memory import MemoryStore
from harness import Serve
from inside import NOON_MS, HandClock, client_of, host_inside
from raw_websocket import join
from redis_process import redis_process

TOKEN = "a-token-of-32-characters-or-more-0"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class FullDisk(MemoryStore):
    """A store that can be full."""

    is_full = False

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Keep a value, if there is room for it."""
        if self.is_full:
            raise StoreError("the disk is full", temporary=True)
        await super().put(key, value, ttl_ms=ttl_ms)


async def report(client: httpx.AsyncClient, number: int, room: str = "lobby") -> None:
    """Report without a connection."""
    answer = await client.post(f"/v1/rooms/{room}/heartbeat", json={"visitor": f"visitor-{number:010}"})
    assert answer.status_code == 200


async def seen(host: App, query: str = "") -> dict[str, Any]:
    """See what the operator sees."""
    async with client_of(host) as client:
        answer = await client.get(f"/admin.json{query}", headers=BEARER)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_body_has_the_people_here_and_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three people, of whom one leaves: two are here, three came, and three were most."""
    # Of three keys two meet in one register of the sketch once in 1,400 secrets, and count as one.
    monkeypatch.setattr("breathing_room.hosts.common.rooms.secrets.draw_secret", lambda: bytes(32))
    async with host_inside(admin_token=TOKEN, push_ms=20) as host, client_of(host) as client:
        lobby = host.rooms["lobby"]
        await lobby.platform.load_history()
        for number in range(3):
            await report(client, number)
        await lobby.platform.save_history()
        await client.post("/v1/rooms/lobby/leave", json={"visitor": f"visitor-{0:010}"})
        await lobby.platform.save_history()
        body = await seen(host)
        page = (await client.get("/admin", headers=BEARER)).text
    room = body["room"]
    assert room["presence"]["count"] == 2
    assert room["today"]["people"] == {"count": 3, "low": 3, "high": 4}
    assert room["today"]["people_on_sockets"]["count"] == 0
    assert room["today"]["peak"]["count"] == 3
    assert body["totals"]["reports"] == 3
    assert room["last_day"][-1]["count"] == 2
    assert "<strong>2</strong> here now" in page
    assert "<b>about 3</b>" in page


async def test_rooms_are_listed_and_chosen() -> None:
    """Every open room has a row, the fullest first; one of them is shown at length; one that is not open is
    an error.
    """
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        for number in range(2):
            await report(client, number, "garden")
        body = await seen(host, "?room=garden")
        assert [row["room"] for row in body["rooms"]] == ["garden", "lobby"]
        assert (body["room"]["room"], body["room"]["seats"]) == ("garden", 2)
        page = await client.get("/admin?room=garden", headers=BEARER)
        assert '<a href="?room=garden" aria-current="page">' in page.text
        for room, status in (("nowhere", 404), ("NO ROOM", 400)):
            answer = await client.get("/admin.json", params={"room": room}, headers=BEARER)
            assert answer.status_code == status
        assert "nowhere" not in host.rooms


async def test_the_prefix_with_most_seats_is_shown_as_a_hash() -> None:
    """Reports from one address stand out as a share of all, and the address is nowhere in it."""
    async with host_inside(admin_token=TOKEN) as host:
        async with client_of(host, address="203.0.113.7") as client:
            for number in range(3):
                await report(client, number)
        async with client_of(host, address="203.0.113.8") as client:
            await report(client, 3)
            page = (await client.get("/admin", headers=BEARER)).text
        body = await seen(host)
    first, second = body["room"]["prefixes"]
    assert (first["seats"], first["share"], second["share"]) == (3, 0.75, 0.25)
    assert len(first["prefix"]) == 8
    assert "3 seats, 75%" in page
    assert "203.0.113" not in page + json.dumps(body)


async def test_the_body_has_the_state_of_the_store() -> None:
    """When the last save was and how many failed, so that a full disk is seen before a restart."""
    clock, store = HandClock(), FullDisk()
    async with host_inside(store=store, admin_token=TOKEN, clock=clock) as host:
        lobby = host.rooms["lobby"]
        await lobby.platform.load_history()
        await lobby.platform.save_history()
        clock.ms += 90_000
        store.is_full = True
        await lobby.platform.save_history()
        await lobby.platform.save_now()
        body = await seen(host)
        assert (body["store"]["saved_at_ms"], body["store"]["failures"]) == (NOON_MS, 2)
        async with client_of(host) as client:
            page = (await client.get("/admin", headers=BEARER)).text
        assert '<dd><b class="worry">2</b></dd>' in page
        store.is_full = False


async def test_the_averages_of_the_week_are_drawn() -> None:
    """What the history knows is in the map, in the table beneath it, and dashed in the chart of the day."""
    history = History()
    history.observe({"release": 40}, wall_ms=NOON_MS - 3_600_000)
    history.observe(None, wall_ms=NOON_MS)
    async with host_inside(admin_token=TOKEN, clock=HandClock()) as host, client_of(host) as client:
        await report(client, 1)
        host.rooms["lobby"].platform.history = history
        page = (await client.get("/admin", headers=BEARER)).text
    assert "<title>Thu 11:00, 40 people</title>" in page
    assert "<td>40</td>" in page


async def test_a_room_with_an_unknown_count() -> None:
    """After a crash the page shows an unknown count, and not 0."""
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        host._unknown_until_ms = host.clock.now_ms() + 60_000
        del host.rooms["lobby"]
        host._open("lobby", host._fresh_room("lobby"))
        page = (await client.get("/admin", headers=BEARER)).text
        assert "<strong>?</strong> here now" in page
        assert "not known yet" in page


def test_a_real_server_distinguishes_joins_from_reports(serve: Serve) -> None:
    """Over real sockets: two tabs of one person and another person are two different people on sockets."""
    server = serve("--push-ms", "20", env={"BREATHING_ROOM_ADMIN_TOKEN": TOKEN})
    sockets = [join(server.port, visitor=f"visitor-{name}-0123") for name in ("ann", "ann", "bob")]
    deadline_s = time.monotonic() + 10
    while True:
        body = httpx.get(f"{server.url}/admin.json", headers=BEARER).json()
        if body["totals"]["joins"] == 3 or time.monotonic() > deadline_s:
            break
    assert body["room"]["today"]["people_on_sockets"]["count"] == 2
    assert body["sockets"] == 3
    assert body["store"]["kind"] == "sqlite"
    for socket in sockets:
        socket.tcp.close()
    server.stop()
    assert TOKEN not in "\n".join(server.lines)


# --- Several servers --------------------------------------------------------------------------------------


def states(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(node["node"], node["state"]) for node in body["nodes"]]


@pytest.mark.slow
async def test_nodes_are_listed_and_know_the_same_people() -> None:
    """Two nodes list one another; a visitor who came to both is one of today's people on each, in either
    order.
    """
    together: dict[str, Any] = {
        "node_ms": 30,
        "node_lease_ms": 1_000,
        "reconnect_spread_ms": 0,
        "admin_token": TOKEN,
    }
    with redis_process() as redis:
        async with (
            host_inside(redis=redis.url, node="one", **together) as one,
            host_inside(redis=redis.url, node="two", **together) as two,
        ):
            async with client_of(one) as here, client_of(two) as there:
                for number, client in ((1, here), (2, here), (2, there), (3, there)):
                    await report(client, number)
            for host in (one, two):
                await host.rooms["lobby"].platform.load_history()
            for host in (one, two, one):
                await host.rooms["lobby"].platform.save_history()
            bodies = [await seen(one), await seen(two)]
            deadline_s = time.monotonic() + 15
            # On a busy machine a node is late now and then, as both of them stand still.
            while states(bodies[0])[1:] != [("two", "live")] and time.monotonic() < deadline_s:
                await asyncio.sleep(0.03)
                bodies[0] = await seen(one)
    assert [body["room"]["today"]["people"]["count"] for body in bodies] == [3, 3]
    assert states(bodies[0]) == [("one", "this server"), ("two", "live")]
    assert bodies[0]["store"]["kind"] == "redis"
