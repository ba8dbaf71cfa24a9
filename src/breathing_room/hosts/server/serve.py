"""Runs the server: one process, one port, WebSockets through the slim front, everything else through uvicorn."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import uvicorn
import uvloop
from uvicorn.server import HANDLED_SIGNALS

from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.access.limits import Capacity, raise_file_limit
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.host import Host
from breathing_room.hosts.server.listener import Front
from breathing_room.hosts.server.routes import create_app

log = logging.getLogger("breathing_room.server")

# A client that does not read pins its send buffer in the kernel: 2.2 MB where Linux may choose. The longest burst that we
# send is a few hundred bytes, and the latest presence replaces what could not be sent.
SEND_BUFFER_BYTES = 16_384

# Joins come in storms; what does not fit in the backlog waits a second for its next try. The kernel caps it at somaxconn.
BACKLOG = 16_384

# Every connection is a handful of objects that live long; looking through all of them after each 700 new ones, as
# Python does by default, halves the joins a second.
GC_THRESHOLDS = (50_000, 20, 100)


HOW: Final[Mapping[str, Any]] = {
    "interface": "asgi3",
    "lifespan": "on",
    "log_config": None,
    "access_log": False,  # It would hold addresses.
    "proxy_headers": False,  # ``access/forwarded.py`` reads them, and only from proxies that are trusted.
    "server_header": False,
    "backlog": BACKLOG,
    "timeout_graceful_shutdown": 5,
}
"""What uvicorn is told of every server of ours."""


class Server(uvicorn.Server):
    """uvicorn's server, which says when it listens, and ends with status 0."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End with status 0 when asked to: uvicorn raises the signal again, which ends the process as if it had failed."""
        loop = asyncio.get_running_loop()
        for number in HANDLED_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in HANDLED_SIGNALS:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that we listen, when we do."""
        await super().startup(sockets)
        if self.started:
            self._on_start()


class RoomServer(Server):
    """A server of rooms, which parts from people before it parts from connections."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None], host: Host) -> None:
        super().__init__(config, on_start)
        self._host = host

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Save everything and tell everybody when to come back; then close."""
        for server in self.servers:
            server.close()
        await self._host.stop()
        await super().shutdown(sockets)


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Open the listening socket.

    Args:
        host: The address.
        port: The port; 0 takes a free one.
        reuse_port: Whether other processes may listen on it too.

    Raises:
        ConfigError: The address or port cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from None
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """Say at which address a listening socket is reached."""
    bound_to, port = listener.getsockname()[:2]
    return f"http://[{bound_to}]:{port}" if ":" in bound_to else f"http://{bound_to}:{port}"


def serve(config: ServerConfig, *, on_start: Callable[[str, Capacity], None]) -> None:
    """Serve until a signal ends it.

    Args:
        config: How.
        on_start: Called with the base address and the capacity when the server listens.

    Raises:
        ConfigError: The port cannot be had.
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
    host = Host(config, sockets_max=capacity.sockets)
    await host.open_store()  # A store that cannot be used is said before anybody is let in.
    front = partial(Front, host)
    server = RoomServer(
        uvicorn.Config(
            create_app(host),
            http=partial(front, upgrading=False),  # type: ignore[arg-type]  # it is only ever called
            ws=partial(front, upgrading=True),  # type: ignore[arg-type]
            **HOW,
        ),
        lambda: on_start(url_of(listener), capacity),
        host,
    )
    await server.serve(sockets=[listener])
