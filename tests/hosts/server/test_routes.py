"""JSON over HTTP: what caches, browsers, proxies and operators need to know of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import breathing_room
from breathing_room.core.errors import ConfigError
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.routes import Routes
from breathing_room.stores import SqliteStore
from harness import Serve, ServerProcess
from inside import NOON_MS, HandClock, client_of, host_inside
from raw_websocket import RawSocket, handshake

LOBBY = "/v1/rooms/lobby"
VISITOR = "visitor-0123456789"
PAGES = (LOBBY, f"{LOBBY}/config", f"{LOBBY}/history", f"{LOBBY}/badge.svg", "/api/presence", "/api/config")


@pytest.fixture
async def clock() -> HandClock:
    """A clock that stands until it is moved."""
    return HandClock()


@pytest.fixture
async def host(clock: HandClock) -> AsyncIterator[App]:
    """A host with the default settings, in memory."""
    async with host_inside(clock=clock) as host:
        yield host


@pytest.fixture
async def client(host: App) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that host."""
    async with client_of(host) as client:
        yield client


def error_of(answer: httpx.Response) -> str:
    """Check that an answer is an error of the one shape, and return its code."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"error"}
    error = answer.json()["error"]
    assert error.keys() == {"code", "message", "status"}
    assert error["status"] == answer.status_code
    return str(error["code"])


# --- Caches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "cache_control"),
    [
        (LOBBY, "public, max-age=5, stale-while-revalidate=5"),
        (f"{LOBBY}/config", "public, max-age=300"),
        (f"{LOBBY}/history", "public, max-age=300"),
        (f"{LOBBY}/badge.svg", "public, max-age=5"),
        ("/api/presence", "public, max-age=5"),
        ("/api/config", "public, max-age=300"),
        ("/healthz", "no-store"),
        ("/readyz", "no-store"),
        ("/metrics", "no-store"),
    ],
)
async def test_responses_say_how_long_caches_may_store_them(
    client: httpx.AsyncClient, path: str, cache_control: str
) -> None:
    """What caches may share says for how long, and what is for one client says that no cache may store it."""
    assert (await client.get(path)).headers["cache-control"] == cache_control


async def test_ages_are_settings() -> None:
    """How long caches may store things is set by the operator."""
    async with host_inside(presence_max_age_s=30, config_max_age_s=60) as host, client_of(host) as client:
        assert "max-age=30" in (await client.get(LOBBY)).headers["cache-control"]
        assert "max-age=60" in (await client.get(f"{LOBBY}/config")).headers["cache-control"]


@pytest.mark.parametrize("path", [LOBBY, f"{LOBBY}/config", f"{LOBBY}/badge.svg", "/api/config"])
@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', '"other",W/{} , "more"', "*"])
async def test_a_current_copy_is_answered_304(client: httpx.AsyncClient, path: str, known: str) -> None:
    """
    Who names the ETag, weak or in a list, is answered 304: without a body, and with the same headers for the
    cache.
    """
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": known.format(first.headers["etag"])})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]


@pytest.mark.parametrize("known", ['"other"', "", "other", '"', "W/"])
async def test_an_outdated_copy_is_answered_with_the_body(client: httpx.AsyncClient, known: str) -> None:
    """Any other ETag, and nonsense, is answered with the whole."""
    assert (await client.get(LOBBY, headers={"If-None-Match": known})).status_code == 200


async def test_change_changes_the_etag(client: httpx.AsyncClient) -> None:
    """The ETag of a presence changes as soon as a visitor joins, changes its mood or leaves."""
    seen = [(await client.get(LOBBY)).headers["etag"]]
    for path, body in (
        ("heartbeat", {"visitor": VISITOR}),
        ("heartbeat", {"visitor": VISITOR, "mood": "release"}),
        ("heartbeat", {"visitor": VISITOR, "mood": "gratitude"}),
    ):
        await client.post(f"{LOBBY}/{path}", json=body)
        seen.append((await client.get(LOBBY)).headers["etag"])
    assert len(set(seen)) == len(seen)
    await client.post(f"{LOBBY}/leave", json={"visitor": VISITOR})
    assert (await client.get(LOBBY)).headers["etag"] == seen[0]


async def test_no_cache_keeps_a_stale_presence(clock: HandClock, client: httpx.AsyncClient) -> None:
    """
    A presence in which nothing changes is revalidated by 304 for a while, and never beyond its
    ``stale_after_ms``.
    """
    kept = await client.get(LOBBY)
    not_modified = 0
    for _ in range(100):
        clock.ms += 1_000
        answer = await client.get(LOBBY, headers={"If-None-Match": kept.headers["etag"]})
        if answer.status_code == 304:
            not_modified += 1
            assert clock.ms - kept.json()["as_of_ms"] <= kept.json()["stale_after_ms"]
        else:
            kept = answer
            assert kept.json()["as_of_ms"] == clock.ms
    assert not_modified > 80


async def test_errors_and_heartbeats_are_not_cached(client: httpx.AsyncClient) -> None:
    """No cache may keep an error, or the answer to a heartbeat."""
    assert error_of(await client.get("/v1/rooms/BAD")) == "bad_room"
    assert error_of(await client.get("/nothing")) == "not_found"
    answer = await client.post(f"{LOBBY}/heartbeat", json={"visitor": VISITOR})
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


# --- HEAD -------------------------------------------------------------------------------------------------


def test_head_is_get_without_a_body(server: ServerProcess) -> None:
    """HEAD has the status and headers of GET, its Content-Length too, and no body: the connection goes on."""
    for path in (*PAGES, "/", "/healthz", "/readyz", "/openapi.json"):
        with RawSocket(server.port) as raw:
            got = raw.request("GET", path)
            raw.send(f"HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            while b"\r\n\r\n" not in raw.buffer:
                assert raw.read_more(time.monotonic() + 5)
            head, _, body = bytes(raw.buffer).partition(b"\r\n\r\n")
            raw.buffer.clear()
            assert body == b""
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            assert lines[0] == f"HTTP/1.1 {got.status} OK"
            same = {"date": "", "etag": headers.get("etag", "")}  # Time goes on between the two.
            assert {**headers, **same} == {**got.headers, **same}
            assert raw.request("GET", "/healthz").status == 200


# --- Origins ----------------------------------------------------------------------------------------------

GOOD, EVIL = "https://good.example", "https://evil.example"


async def test_every_origin_may_read_by_default(client: httpx.AsyncClient) -> None:
    """By default every page may read, and may see the headers that it needs; no answer allows credentials."""
    for path in PAGES:
        answer = await client.get(path, headers={"Origin": EVIL})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert {"etag", "retry-after"} <= {name.strip() for name in exposed.split(",")}


async def test_only_named_origins_may_read() -> None:
    """Where origins are named, their pages may read and others may not, and caches keep the answers apart."""
    async with host_inside(origins=(GOOD,)) as host, client_of(host) as client:
        for path in PAGES:
            good = await client.get(path, headers={"Origin": GOOD})
            assert good.headers["access-control-allow-origin"] == GOOD
            evil = await client.get(path, headers={"Origin": EVIL})
            assert "access-control-allow-origin" not in evil.headers
            for answer in (good, evil, await client.get(path)):
                assert "origin" in answer.headers["vary"].lower()


async def test_only_named_origins_may_write() -> None:
    """
    A heartbeat, a leave, a legacy heartbeat or a stream of a page elsewhere is refused, and has no effect.
    """
    async with host_inside(origins=(GOOD,)) as host, client_of(host) as client:
        for origin in (EVIL, "null"):
            for path, body in (
                (f"{LOBBY}/heartbeat", {"visitor": VISITOR}),
                (f"{LOBBY}/leave", {"visitor": VISITOR}),
                ("/api/heartbeat", {"sessionId": VISITOR}),
            ):
                answer = await client.post(path, json=body, headers={"Origin": origin})
                assert (answer.status_code, error_of(answer)) == (403, "forbidden_origin")
            answer = await client.get(f"{LOBBY}/events", headers={"Origin": origin})
            assert (answer.status_code, error_of(answer)) == (403, "forbidden_origin")
        assert (await client.get(LOBBY)).json()["count"] == 0
        for origin in (GOOD, "http://room.example"):  # the second is the server's own
            answer = await client.post(
                f"{LOBBY}/heartbeat", json={"visitor": VISITOR}, headers={"Origin": origin}
            )
            assert answer.status_code == 200


def preflight(origin: str, method: str = "POST", headers: str = "content-type") -> dict[str, str]:
    """Return the headers of the preflight that a browser sends before it posts JSON."""
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


async def test_preflight_of_a_good_page() -> None:
    """
    A page that may write learns so from its preflight before it sends JSON, and need not ask again today.
    """
    async with host_inside(origins=(GOOD,)) as host, client_of(host) as client:
        answer = await client.options(f"{LOBBY}/heartbeat", headers=preflight(GOOD))
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == GOOD
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "content-type" in answer.headers["access-control-allow-headers"].lower()
        assert answer.headers["access-control-max-age"] == "86400"


@pytest.mark.parametrize(
    "asked", [preflight(EVIL), preflight(GOOD, "DELETE"), preflight(GOOD, headers="x-token, content-type")]
)
async def test_preflight_of_a_bad_page(asked: dict[str, str]) -> None:
    """
    A page that may not, or a method or header that is never allowed, is refused; as an error of the one
    shape, like any other.
    """
    async with host_inside(origins=(GOOD,)) as host, client_of(host) as client:
        answer = await client.options(f"{LOBBY}/heartbeat", headers=asked)
        assert answer.status_code in {400, 403}
        assert answer.headers.get("access-control-allow-origin") != EVIL
        assert error_of(answer)


# --- Proxies ----------------------------------------------------------------------------------------------


async def rooms_taken(host: App, forwarded_for: str | None, *, address: str = "127.0.0.1", name: str) -> int:
    """Open rooms until one is refused, and return how many were opened."""
    headers = {} if forwarded_for is None else {"X-Forwarded-For": forwarded_for}
    async with client_of(host, address=address) as client:
        for index in range(10):
            body = {"visitor": VISITOR}
            answer = await client.post(f"/v1/rooms/{name}-{index}/heartbeat", json=body, headers=headers)
            if answer.status_code != 200:
                assert (answer.status_code, error_of(answer)) == (429, "too_many_rooms")
                assert answer.headers["retry-after"] == "60"
                return index
    return 10


async def test_the_header_of_an_untrusted_peer_is_ignored() -> None:
    """Without trusted proxies X-Forwarded-For changes nothing: all rooms count for the peer."""
    async with host_inside(rooms_per_prefix_max=3) as host:
        assert await rooms_taken(host, "203.0.113.1", name="a") == 3
        assert await rooms_taken(host, "203.0.113.2", name="b") == 0
        assert await rooms_taken(host, None, address="192.0.2.1", name="c") == 3


async def test_the_header_of_a_trusted_proxy_is_used() -> None:
    """
    Behind a trusted proxy each client has rooms of its own, and no client gains by writing more into the
    header.
    """
    async with host_inside(rooms_per_prefix_max=3, trusted_proxies=("127.0.0.1/32",)) as host:
        assert await rooms_taken(host, "203.0.113.1", name="a") == 3
        assert await rooms_taken(host, "203.0.113.2", name="b") == 3
        assert await rooms_taken(host, "198.51.100.7, 203.0.113.1", name="c") == 0
        assert await rooms_taken(host, "2001:db8::1", name="d") == 3
        assert await rooms_taken(host, "2001:db8::2", name="e") == 0  # the same /64
        assert await rooms_taken(host, "203.0.113.9", address="192.0.2.1", name="f") == 3
        assert await rooms_taken(host, "203.0.113.8", address="192.0.2.1", name="g") == 0  # not by that proxy


@pytest.mark.parametrize("trusted", [False, True])
def test_sockets_and_requests_share_the_limit(serve: Serve, *, trusted: bool) -> None:
    """
    By socket and by heartbeat, in a real process, an address may open so many rooms; behind a proxy that is
    trusted it is the address in the header, in the last of several headers too, and otherwise the proxy's
    own.
    """
    flags = ("--trusted-proxies", "127.0.0.1/32") if trusted else ()
    port = serve("--rooms-per-prefix-max", "2", *flags).port

    def by_socket(room: str, *forwarded_for: str) -> int:
        with RawSocket(port) as raw:
            raw.send(handshake(room, more=[("X-Forwarded-For", address) for address in forwarded_for]))
            return raw.read_response().status

    def by_beat(room: str, *forwarded_for: str) -> int:
        body = b'{"visitor": "visitor-0123456789"}'
        lines = [f"POST /v1/rooms/{room}/heartbeat HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"X-Forwarded-For: {address}" for address in forwarded_for]
        with RawSocket(port) as raw:
            raw.send("\r\n".join([*lines, "", ""]).encode() + body)
            return raw.read_response().status

    assert by_beat("a", "203.0.113.1") == 200
    assert by_socket("b", "203.0.113.1") == 101
    # A client that sends a header of its own, to which the proxy adds a line.
    assert by_socket("c", "198.51.100.1", "203.0.113.1") == 429
    assert by_beat("c", "198.51.100.1", "203.0.113.1") == 429
    assert by_beat("c", "203.0.113.1") == 429
    assert by_beat("c", "203.0.113.2") == (200 if trusted else 429)
    assert by_socket("d", "203.0.113.3") == (101 if trusted else 429)


# --- Rooms that may be had --------------------------------------------------------------------------------


async def test_a_full_server_is_503() -> None:
    """
    When the server holds as many rooms as it may, another is refused with a time to come back, and those open
    go on.
    """
    async with host_inside(rooms_max=2) as host, client_of(host) as client:
        assert (await client.post("/v1/rooms/one/heartbeat", json={"visitor": VISITOR})).status_code == 200
        answer = await client.post("/v1/rooms/two/heartbeat", json={"visitor": VISITOR})
        assert (answer.status_code, error_of(answer), answer.headers["retry-after"]) == (
            503,
            "too_many_rooms",
            "60",
        )
        assert (await client.post(f"{LOBBY}/heartbeat", json={"visitor": VISITOR})).status_code == 200
        assert (await client.get("/v1/rooms/two")).json()["count"] == 0  # Asking opens nothing.


async def test_room_that_closed_can_be_had_again() -> None:
    """Rooms of people who left count no longer: neither for their address nor for the server."""
    async with host_inside(rooms_per_prefix_max=2, rooms_max=3) as host, client_of(host) as client:
        for turn in range(3):
            rooms = [f"/v1/rooms/{turn}-{index}" for index in range(2)]
            for room in rooms:
                assert (await client.post(f"{room}/heartbeat", json={"visitor": VISITOR})).status_code == 200
            for room in rooms:
                await client.post(f"{room}/leave", json={"visitor": VISITOR})
            await host._close_idle_rooms()
        assert host.rooms.keys() == {"lobby"}


async def test_with_open_rooms_off_other_rooms_are_404() -> None:
    """
    Where rooms are not open to all visitors, one that the file does not name is 404 for every request, and
    one that it names works.
    """
    async with host_inside(open_rooms=False) as host, client_of(host) as client:
        for end in ("", "/config", "/history", "/badge.svg", "/events"):
            answer = await client.get(f"/v1/rooms/other{end}")
            assert (answer.status_code, error_of(answer)) == (404, "no_such_room"), end
        answer = await client.post("/v1/rooms/other/heartbeat", json={"visitor": VISITOR})
        assert (answer.status_code, error_of(answer)) == (404, "no_such_room")
        assert (await client.post(f"{LOBBY}/heartbeat", json={"visitor": VISITOR})).status_code == 200


# --- History ----------------------------------------------------------------------------------------------


async def history_of(host: App, room: str) -> None:
    """Wait until what the store has of a room's past was read."""
    async with asyncio.timeout(5):
        while host.rooms[room].platform.history is None:  # noqa: ASYNC110 -- the host has no event for it
            await asyncio.sleep(0.005)


async def test_history_is_averages_by_hour(clock: HandClock, host: App, client: httpx.AsyncClient) -> None:
    """
    The history says how many were there on average in each hour of the week that was seen, and in which
    moods.
    """
    await history_of(host, "lobby")
    await client.post(f"{LOBBY}/heartbeat", json={"visitor": VISITOR, "mood": "release"})
    clock.ms += 45 * 60_000
    await client.post(f"{LOBBY}/leave", json={"visitor": VISITOR})
    clock.ms += 15 * 60_000
    await client.post(f"{LOBBY}/heartbeat", json={"visitor": VISITOR})
    body = (await client.get(f"{LOBBY}/history")).json()
    assert (body["room"], body["timezone"], body["hour_0"]) == ("lobby", "UTC", "Monday 00:00")
    (hour,) = body["hours"]
    assert (hour["hour"], hour["count"], hour["observed_h"]) == (84, 0.75, 1.0)
    assert {mood: people for mood, people in hour["moods"].items() if people} == {"release": 0.75}


async def test_history_outlives_a_restart(tmp_path: Path) -> None:
    """Averages are read back after a stop; the time between does not count."""
    clock = HandClock()
    data = str(tmp_path / "room.db")
    async with host_inside(clock=clock, data=data) as host, client_of(host) as client:
        await client.post(f"{LOBBY}/heartbeat", json={"visitor": VISITOR})
        await history_of(host, "lobby")
        clock.ms += 30 * 60_000
    clock.ms += 7 * 24 * 3_600_000
    async with host_inside(clock=clock, data=data) as host, client_of(host) as client:
        await history_of(host, "lobby")
        (hour,) = (await client.get(f"{LOBBY}/history")).json()["hours"]
    assert (hour["hour"], hour["count"], hour["observed_h"]) == (84, 1.0, 0.5)


async def test_history_of_a_closed_room_is_still_there(
    clock: HandClock, host: App, client: httpx.AsyncClient
) -> None:
    """A room that is empty right now, and that was closed for it, has the history that it had."""
    await client.post("/v1/rooms/other/heartbeat", json={"visitor": VISITOR})
    await history_of(host, "other")
    clock.ms += 30 * 60_000
    await client.post("/v1/rooms/other/leave", json={"visitor": VISITOR})
    (before,) = (await client.get("/v1/rooms/other/history")).json()["hours"]
    assert before["count"] == 1.0
    await host._close_idle_rooms()
    assert "other" not in host.rooms
    (after,) = (await client.get("/v1/rooms/other/history")).json()["hours"]
    assert after == before


async def test_unknown_time_weighs_nothing(tmp_path: Path) -> None:
    """While a room is unknown or as last known, its averages rest: it is not known who was there."""
    clock = HandClock()
    store = await SqliteStore.open(tmp_path / "room.db")
    await store.put("running", b"1")
    async with host_inside(store=store, clock=clock) as host, client_of(host) as client:
        await history_of(host, "lobby")
        assert (await client.get(LOBBY)).json()["method"] == "unknown"
        clock.ms += 10_000
        assert (await client.get(f"{LOBBY}/history")).json()["hours"] == []


# --- Operations -------------------------------------------------------------------------------------------


async def test_health_and_readiness(host: App, client: httpx.AsyncClient) -> None:
    """A server is alive as long as it answers, and ready until it stops; then it says when to ask again."""
    for path in ("/healthz", "/readyz"):
        assert (await client.get(path)).json() == {"ok": True}
    host.stopping = True
    assert (await client.get("/healthz")).status_code == 200
    for request in (
        client.get("/readyz"),
        client.post("/v1/rooms/other/heartbeat", json={"visitor": VISITOR}),
        client.post(f"{LOBBY}/heartbeat", json={"visitor": VISITOR}),
    ):
        answer = await request
        assert (answer.status_code, error_of(answer), answer.headers["retry-after"]) == (
            503,
            "unavailable",
            "2",
        )
    host.stopping = False


async def test_bug_is_an_error_without_details(
    client: httpx.AsyncClient, host: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A bug is answered by an error of the one shape that says nothing of what went wrong, and counts as one.
    """

    async def broken(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Routes, "history", broken)
    async with client_of(host) as fresh:
        answer = await fresh.get(f"{LOBBY}/history")
    assert (answer.status_code, error_of(answer)) == (500, "internal")
    assert "secret" not in answer.text
    assert host.counters.refusals["internal"] == 1
    assert (await client.get(LOBBY)).status_code == 200


# --- The page ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/page.js", "javascript"), ("/style.css", "text/css")]
)
async def test_page_says_what_may_run_in_it(client: httpx.AsyncClient, path: str, kind: str) -> None:
    """
    The page and its files come with their types, a policy under which nothing from elsewhere runs, and an
    ETag.
    """
    answer = await client.get(path)
    assert kind in answer.headers["content-type"]
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_page_is_sent_small(client: httpx.AsyncClient) -> None:
    """
    Who takes gzip gets it, and who does not gets the same unpacked; a cache keeps the two apart, and neither
    is the other's 304.
    """
    plain = await client.get("/client.js", headers={"Accept-Encoding": "identity"})
    small = await client.get("/client.js", headers={"Accept-Encoding": "gzip"})
    assert plain.text == small.text
    assert int(small.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert ("content-encoding" in plain.headers, small.headers["content-encoding"]) == (False, "gzip")
    assert plain.headers["vary"] == small.headers["vary"] == "Accept-Encoding"
    known = {"If-None-Match": small.headers["etag"], "Accept-Encoding": "identity"}
    assert (await client.get("/client.js", headers=known)).status_code == 200
    assert (await client.head("/client.js")).content == b""


@pytest.mark.parametrize(
    "path", ["/no.js", "/../pyproject.toml", "/%2e%2e/cli/serve.py", "/__init__.py", "/web/", "/package.json"]
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    """What is not of the page is not there, and said so in the one shape."""
    answer = await client.get(path)
    assert (answer.status_code, error_of(answer)) == (404, "not_found")


# --- Mounted in another application -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"nonsense": 1}, "nonsense"), ({"lease_ms": "long"}, "lease_ms"), ({"port": -1}, "port")],
)
def test_wrong_setting_of_a_mounted_app(settings: dict[str, Any], named: str) -> None:
    """A setting that is unknown or out of its range is an error that names it, before anything is mounted."""
    with pytest.raises(ConfigError, match=named):
        breathing_room.app(**settings)


async def test_mounted_app_starts_with_its_first_requests() -> None:
    """
    A mounted application has no lifespan events: the first requests start it, once, though they come
    together.
    """
    app = breathing_room.app(data=":memory:")
    host: App = app.state.host
    assert not host.ready
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://room.example") as client:
        answers = await asyncio.gather(
            *(client.post(f"{LOBBY}/heartbeat", json={"visitor": f"{VISITOR}-{index}"}) for index in range(5))
        )
        assert sorted(answer.json()["count"] for answer in answers) == [1, 2, 3, 4, 5]
    await host.stop()


async def test_mounted_app_runs_its_own_lifespan() -> None:
    """Who does run the lifespan has the host started before the first request, and stopped after the last."""
    app = breathing_room.app(data=":memory:")
    host: App = app.state.host
    async with app.router.lifespan_context(app):
        assert host.ready
    assert host.stopping


def test_time_of_the_tests_is_a_thursday() -> None:
    """The hour of the week that the tests speak of is that of their clock."""
    assert NOON_MS // 3_600_000 % 168 == (84 - 72) % 168


@pytest.mark.parametrize("path", ["/cost", "/cost.json", "/cost.svg?people=1000", "/cost.css", "/cost.js"])
async def test_the_server_serves_no_cost_page(client: httpx.AsyncClient, path: str) -> None:
    """
    A bill takes a third of a second of a core, and the server once answered it without a token. It answers
    404 now, as for any other unknown path.
    """
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": {"code": "not_found", "message": "not found", "status": 404}}
