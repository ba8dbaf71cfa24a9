"""Run the server: one process, one port, WebSockets through ``Listener``, all other HTTP through uvicorn."""

import asyncio
import gc
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import uvicorn
import uvloop

from breathing_room.hosts.common.access.limits import Capacity, raise_file_limit
from breathing_room.hosts.common.http.asgi_server import UVICORN_OPTIONS, AsgiServer, listen, url_of
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.listener import Listener
from breathing_room.hosts.server.routes import create_app

# Every connection is a few long-lived objects. A garbage collection after each 700 new objects, Python's
# default, halves the joins per second.
GC_THRESHOLDS = (50_000, 20, 100)


class RoomServer(AsgiServer):
    """A server of rooms, which stops its host before uvicorn closes the connections."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None], host: App) -> None:
        super().__init__(config, on_start)
        self._host = host

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, save every room and close connections with a time to reconnect; then shut uvicorn
        down.
        """
        for server in self.servers:
            server.close()
        await self._host.stop()
        await super().shutdown(sockets)


def serve(config: ServerConfig, *, on_start: Callable[[str, Capacity], None]) -> None:
    """Serve until a signal ends it.

    Args:
        config: The server's config.
        on_start: Called with the base URL and the capacity when the server listens.

    Raises:
        ConfigError: The port cannot be bound.
        StoreError: The data file cannot be used.
    """
    capacity = raise_file_limit()
    listener = listen(config.host, config.port, reuse_port=config.reuse_port)
    config = replace(config, port=listener.getsockname()[1])
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, listener, capacity, on_start))


async def _serve(
    config: ServerConfig,
    listener: socket.socket,
    capacity: Capacity,
    on_start: Callable[[str, Capacity], None],
) -> None:
    host = App(config, sockets_max=capacity.sockets)
    await host.open_store()  # A store that cannot be opened is an error before the server listens.
    protocol = partial(Listener, host)
    server = RoomServer(
        uvicorn.Config(
            create_app(host),
            http=partial(protocol, upgrading=False),  # type: ignore[arg-type]  # uvicorn only calls it
            ws=partial(protocol, upgrading=True),  # type: ignore[arg-type]
            **UVICORN_OPTIONS,
        ),
        lambda: on_start(url_of(listener), capacity),
        host,
    )
    await server.serve(sockets=[listener])
