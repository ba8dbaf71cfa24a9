"""Run an ASGI application under uvicorn: its options, the listening socket and a graceful shutdown."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from breathing_room.core.errors import ConfigError

# A client that does not read pins its send buffer in the kernel: 2.2 MB where Linux may choose. The longest
# burst that is sent is a few hundred bytes, and the latest presence replaces one that could not be sent.
SEND_BUFFER_BYTES = 16_384

# Joins come in storms; a SYN beyond the backlog is retried after a second. The kernel caps it at somaxconn.
BACKLOG = 16_384

UVICORN_OPTIONS: Final[Mapping[str, Any]] = {
    "interface": "asgi3",
    "lifespan": "on",
    "log_config": None,
    "access_log": False,  # It would hold addresses.
    "proxy_headers": False,  # ``access/forwarded.py`` reads them, and only from proxies that are trusted.
    "server_header": False,
    "backlog": BACKLOG,
    "timeout_graceful_shutdown": 5,
}
"""The uvicorn options that every server of this package uses."""


class AsgiServer(uvicorn.Server):
    """A uvicorn server that calls back when it listens, and exits with status 0 on a signal."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Exit with status 0 on a signal: uvicorn raises the signal again, which would end the process with
        an error.
        """
        loop = asyncio.get_running_loop()
        for number in HANDLED_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in HANDLED_SIGNALS:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and call back once the server listens."""
        await super().startup(sockets)
        if self.started:
            self._on_start()


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Open the listening socket.

    Args:
        host: The address.
        port: The port; 0 takes a free one.
        reuse_port: Whether other processes may listen on it too.

    Raises:
        ConfigError: The address or port cannot be bound.
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
    """Return the URL of a listening socket."""
    bound_to, port = listener.getsockname()[:2]
    return f"http://[{bound_to}]:{port}" if ":" in bound_to else f"http://{bound_to}:{port}"
