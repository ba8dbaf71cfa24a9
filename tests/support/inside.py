"""A host in the process of the test, with or without sockets."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from breathing_room.hosts.common.rooms.clock import Clock
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.routes import create_app
from breathing_room.ports import Store

NOON_MS = 1_767_268_800_000
"""2026-01-01, a Thursday, 12:00 UTC: hour 84 of the week."""


class HandClock(Clock):
    """A clock that stands until it is moved. Timers of the event loop do not use it."""

    def __init__(self, start_ms: int = NOON_MS) -> None:
        self.ms = start_ms

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return self.ms


@asynccontextmanager
async def host_inside(
    *, store: Store | None = None, clock: Clock | None = None, sockets_max: int = 1_000, **settings: Any
) -> AsyncIterator[App]:
    """Start a host, in memory unless a setting says otherwise, and stop it after the block."""
    config = ServerConfig.load(flags={"data": ":memory:", **settings}, environ={})
    host = App(config, store, clock=clock, sockets_max=sockets_max)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


def client_of(host: App, *, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """Make an HTTP client of a host that comes from an address.

    Each answer ends a turn, as behind a server.
    """

    async def end_turn(_response: httpx.Response) -> None:
        await asyncio.sleep(0)

    transport = httpx.ASGITransport(create_app(host), client=(address, 50_000), raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url="http://room.example", event_hooks={"response": [end_turn]}
    )


class InsideServer(uvicorn.Server):
    """A uvicorn that leaves the signals to the test runner."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application with a plain uvicorn, and yield its base address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = InsideServer(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="critical",
                lifespan="off",
                ws_ping_interval=0.5,
                ws_ping_timeout=0.5,
                timeout_graceful_shutdown=1,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await server.listens.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
