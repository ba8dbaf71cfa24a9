"""Run a writer of store mode: one process, one port. Any number may run over one store."""

import asyncio
import socket
from collections.abc import Callable

import uvicorn
import uvloop

from breathing_room.hosts.common.http.asgi_server import UVICORN_OPTIONS, AsgiServer, listen, url_of
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.stateless.app import stateless_app
from breathing_room.stores import open_store


def serve_stateless(config: StoreModeConfig, *, on_start: Callable[[str], None]) -> None:
    """Serve until a signal ends it; then write the batch.

    Args:
        config: The settings.
        on_start: Called with the base address when the writer listens.

    Raises:
        ConfigError: The port is not free.
        StoreError: The store cannot be used.
    """
    listener = listen(config.server.host, config.server.port)
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, listener, on_start))


async def _serve(config: StoreModeConfig, listener: socket.socket, on_start: Callable[[str], None]) -> None:
    # A store that cannot be used is an error before the first request is accepted.
    store = await open_store(config.server.data)
    try:
        app = stateless_app(store, config)
        await AsgiServer(uvicorn.Config(app, **UVICORN_OPTIONS), lambda: on_start(url_of(listener))).serve(
            sockets=[listener]
        )
    finally:
        await store.close()
