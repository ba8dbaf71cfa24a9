"""Several worker processes on one port: every core of a machine for one room.

Each worker is a server and a node of the cluster. All listen on the same port, and the kernel balances new
connections (``SO_REUSEPORT``). The parent accepts none: it holds the port, restarts a worker that crashed,
and forwards the signal to stop. Each worker then drains: its visitors reconnect to workers that still run,
those of the last one to the next start.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from types import FrameType
from typing import Final

from breathing_room.core.errors import ConfigError, HostError, StoreError
from breathing_room.hosts.common.access.limits import Capacity, raise_file_limit
from breathing_room.hosts.common.http.asgi_server import listen, url_of
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.logging import set_up_logging
from breathing_room.hosts.server.serve import serve
from breathing_room.stores.redis_link import RedisLink

log = logging.getLogger("breathing_room.workers")

RESTART_S: Final = 1.0
"""The delay before a crashed worker is restarted, so that one that cannot start does not spin."""


class Worker:
    """A worker process.

    Args:
        config: Its config.
        context: Starts processes.
    """

    def __init__(self, config: ServerConfig, context: SpawnContext) -> None:
        self._config = config
        self._context = context
        self.start_at_s = 0.0
        self.process: SpawnProcess | None = None
        self.ready: Connection | None = None

    def start(self) -> None:
        """Start the process."""
        self.ready, sender = self._context.Pipe(duplex=False)
        self.process = self._context.Process(target=_work, args=(self._config, sender))
        self.process.start()
        sender.close()

    def await_ready(self) -> bool:
        """Wait until the worker listens or ends; return whether it listens."""
        assert self.ready is not None
        try:
            return bool(self.ready.recv())
        except EOFError:
            return False
        finally:
            self.ready.close()

    def stop(self) -> None:
        """Send the process SIGTERM."""
        if self.process is not None:
            self.process.terminate()

    def join(self) -> None:
        """Wait for the end of the process."""
        if self.process is not None:
            self.process.join()


def _work(config: ServerConfig, ready: Connection) -> None:
    """Serve in a worker process."""
    set_up_logging(config.log_level)

    def on_start(_url: str, _capacity: Capacity) -> None:
        ready.send(True)
        ready.close()

    try:
        serve(config, on_start=on_start)
    except (HostError, StoreError) as error:
        log.error("%s", error)
        raise SystemExit(1) from None


def serve_workers(config: ServerConfig, *, on_start: Callable[[str, Capacity], None]) -> None:
    """Serve with several processes until a signal ends it.

    Args:
        config: The config; ``workers`` is the number of processes.
        on_start: Called with the base URL and the capacity of all workers when every one of them listens.

    Raises:
        ConfigError: The port cannot be bound.
        StoreError: Redis cannot be used, or a worker could not start.
    """
    asyncio.run(_check(config))
    capacity = raise_file_limit()
    context = multiprocessing.get_context("spawn")
    with listen(config.host, config.port, reuse_port=True) as holding:
        port = holding.getsockname()[1]
        each = replace(config, port=port, workers=1, reuse_port=True)
        node = config.node or f"{socket.gethostname()}:{port}"
        workers = [Worker(replace(each, node=f"{node}-{index}"), context) for index in range(config.workers)]
        with _stopping(workers) as is_stopping:
            for worker in workers:
                worker.start()
            if not all(worker.await_ready() for worker in workers) and not is_stopping():
                raise StoreError("a worker could not start: see its error above", temporary=False)
            on_start(url_of(holding), Capacity(capacity.files, capacity.sockets * len(workers)))
            _supervise(workers, is_stopping)


async def _check(config: ServerConfig) -> None:
    """Check that Redis can be used, so that an error is reported once and not by every worker."""
    try:
        link = RedisLink(config.redis)
    except HostError as error:
        raise ConfigError(f"redis: {error}") from None
    try:
        await link.check()
    finally:
        await link.close()


@contextlib.contextmanager
def _stopping(workers: list[Worker]) -> Iterator[Callable[[], bool]]:
    """Forward signals to the workers, and wait for their end after the block."""
    stopping = False

    def stop(_number: int = 0, _frame: FrameType | None = None) -> None:
        nonlocal stopping
        stopping = True
        for worker in workers:
            worker.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stopping
    finally:
        stop()
        for worker in workers:
            worker.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _supervise(workers: list[Worker], is_stopping: Callable[[], bool]) -> None:
    """Restart workers that crash, until a signal stops them."""
    while not is_stopping():
        sentinels = [worker.process.sentinel for worker in workers if worker.process is not None]
        wait(sentinels, timeout=RESTART_S)
        for worker in workers:
            if worker.process is not None and not worker.process.is_alive() and not is_stopping():
                log.error("a worker ended with status %s; restarting it", worker.process.exitcode)
                worker.process = None
                worker.start_at_s = time.monotonic() + RESTART_S
            elif worker.process is None and time.monotonic() >= worker.start_at_s and not is_stopping():
                worker.start()
