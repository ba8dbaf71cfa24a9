"""A writer of store mode over HTTP."""

import httpx
import pytest

from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.stateless.app import stateless_app
from breathing_room.stores import MemoryStore

ROOM = "/v1/rooms/lobby"


def a_client(store: MemoryStore, **server: object) -> httpx.AsyncClient:
    """Make a client of an application whose lifespan is not run, as at an edge."""
    app = stateless_app(store, StoreModeConfig(policy="every", server=ServerConfig(**server)))  # type: ignore[arg-type]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://room.example"
    )


async def test_it_is_ready_when_reconcile_has_run() -> None:
    """It is alive at once, and ready once visitors can be counted."""
    store = MemoryStore()
    async with a_client(store) as client:
        assert [(await client.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 503]
        await reconcile(store)
    async with a_client(store) as client:
        assert (await client.get("/readyz")).json() == {"ok": True}


async def test_the_mode_is_always_poll() -> None:
    """The mode in the config is ``poll``, also for a room that is set to another one; and the config may be
    cached.
    """
    async with a_client(MemoryStore(), config_max_age_s=60) as client:
        answer = await client.get(f"{ROOM}/config")
    assert answer.json()["mode"] == "poll"
    assert answer.headers["cache-control"] == "public, max-age=60"


async def test_a_visit_from_report_to_leave() -> None:
    """A report is answered with a presence that includes it, a leave with 204; reads may be cached, answers
    to reports not.
    """
    store = MemoryStore()
    await reconcile(store)
    async with a_client(store) as client:
        heartbeat = await client.post(f"{ROOM}/heartbeat", json={"visitor": "visitor-0123456789"})
        assert (heartbeat.status_code, heartbeat.json()["count"], heartbeat.headers["cache-control"]) == (
            200,
            1,
            "no-store",
        )
        read = await client.get(ROOM)
        assert (read.json()["count"], "max-age" in read.headers["cache-control"]) == (1, True)
        leave = await client.post(f"{ROOM}/leave", json={"visitor": "visitor-0123456789"})
        assert (leave.status_code, leave.content) == (204, b"")
        assert (await client.get(ROOM)).json()["count"] == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/api/heartbeat", 501, "cannot_count"),
        ("GET", "/v1/rooms/No%20Room", 400, "bad_room"),
        ("GET", f"{ROOM}/", 404, "not_found"),
        ("GET", f"{ROOM}/socket", 404, "not_found"),
        ("GET", f"{ROOM}/heartbeat", 405, "wrong_method"),
    ],
)
async def test_what_store_mode_does_not_serve_is_an_error(
    method: str, path: str, status: int, code: str
) -> None:
    """Requests that need memory, a connection or another method have an
    error of their own, in the one shape.
    """
    async with a_client(MemoryStore()) as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("path", ["heartbeat", "leave"])
async def test_pages_of_other_sites_report_only_where_they_may(path: str) -> None:
    """A foreign origin is refused before its body is decoded."""
    store = MemoryStore()
    await reconcile(store)
    async with a_client(store, origins=("https://mine.example",)) as client:
        answer = await client.post(
            f"{ROOM}/{path}", content=b"{", headers={"Origin": "https://other.example"}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden_origin")
