"""Several processes on one port, with processes that only a test starts and ends."""

import multiprocessing
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from breathing_room.core.errors import ConfigError, StoreError
from breathing_room.hosts.common.access.limits import Capacity
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server import workers
from breathing_room.hosts.server.workers import Worker, serve_workers

CONFIG = ServerConfig(workers=3, redis="redis://127.0.0.1:6379", port=0)


class FakeProcess:
    """A process that lives until a test ends it."""

    exitcode: int | None = None

    def __init__(self, target: object, args: tuple[ServerConfig, Any]) -> None:
        del target
        self.config, self.pipe = args
        self.sentinel = object()

    def start(self) -> None:
        STARTED.append(self)

    def is_alive(self) -> bool:
        return self.exitcode is None

    def terminate(self) -> None:
        self.exitcode = 0

    def join(self) -> None:
        assert not self.is_alive()


STARTED: list[FakeProcess] = []


class Machine:
    """What is outside: the clock, pipes, and what happens at each turn of the supervision."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ready: list[bool | None] = []
        self.turns: list[Any] = []
        self.looks = 0

    def context(self, method: str) -> Any:
        assert method == "spawn"
        return SimpleNamespace(
            Pipe=lambda duplex: (
                SimpleNamespace(recv=self.receive, close=lambda: None),
                SimpleNamespace(close=lambda: None, duplex=duplex),
            ),
            Process=FakeProcess,
        )

    def receive(self) -> bool:
        ready = self.ready.pop(0) if self.ready else True
        if ready is None:
            raise EOFError
        return ready

    def wait(self, sentinels: list[object], timeout: float) -> None:
        self.looks = len(sentinels)
        self.now_s += timeout / 4  # something else woke it
        turn = self.turns.pop(0) if self.turns else stop
        turn()


def stop() -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine()
    STARTED.clear()

    async def check(_config: ServerConfig) -> None:
        """Redis is there."""

    monkeypatch.setattr(workers, "_check", check)
    monkeypatch.setattr(workers, "raise_file_limit", lambda: Capacity(files=5_000, sockets=1_000))
    monkeypatch.setattr(multiprocessing, "get_context", made.context)
    monkeypatch.setattr(workers, "wait", made.wait)
    monkeypatch.setattr(time, "monotonic", lambda: made.now_s)
    before = signal.getsignal(signal.SIGTERM)
    yield made
    assert signal.getsignal(signal.SIGTERM) is before


def test_each_worker_is_a_node_of_its_own_on_one_port(machine: Machine) -> None:
    """All workers get the port that the parent holds, share it, and have different names; the address is said
    when all listen.
    """
    said: list[tuple[str, Capacity, int]] = []
    serve_workers(CONFIG, on_start=lambda url, capacity: said.append((url, capacity, len(STARTED))))
    [(url, capacity, started)] = said
    configs = [process.config for process in STARTED]
    assert started == 3
    assert {config.port for config in configs} == {int(url.rsplit(":", 1)[1])}
    assert all(config.reuse_port and config.workers == 1 for config in configs)
    assert len({config.node for config in configs}) == 3
    assert capacity == Capacity(files=5_000, sockets=3_000)
    assert machine.looks == 3


def test_a_worker_that_ends_is_started_again_after_a_moment(machine: Machine) -> None:
    """A worker that ended unasked is started again with the same name, but not before a second has passed: it
    must not spin.
    """

    def end_one() -> None:
        STARTED[1].exitcode = 1

    counts: list[int] = []
    machine.turns = [end_one, *[lambda: counts.append(len(STARTED))] * 5]
    serve_workers(CONFIG, on_start=lambda _url, _capacity: None)
    assert counts == [3, 3, 3, 3, 4]
    assert [process.config.node for process in STARTED][3] == STARTED[1].config.node
    assert all(not process.is_alive() for process in STARTED)


@pytest.mark.parametrize("ready", [False, None])
def test_a_worker_that_cannot_start_ends_all(ready: bool | None, machine: Machine) -> None:  # noqa: FBT001
    """If a worker ends before it listens the others are ended too, no start is reported, and the error says
    where to look.
    """
    machine.ready = [True, ready]
    said: list[str] = []
    with pytest.raises(StoreError, match="a worker could not start"):
        serve_workers(CONFIG, on_start=lambda url, _capacity: said.append(url))
    assert said == []
    assert all(not process.is_alive() for process in STARTED)


def test_an_invalid_redis_url_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the address is an error of the configuration before any process is started."""
    monkeypatch.setattr(multiprocessing, "get_context", pytest.fail)
    with pytest.raises(ConfigError, match="redis: "):
        serve_workers(ServerConfig(workers=2, redis="redis://127.0.0.1:not-a-port"), on_start=lambda *_: None)


def test_a_worker_that_never_started_is_no_trouble() -> None:
    """Stopping and waiting before the start does nothing."""
    worker = Worker(CONFIG, SimpleNamespace())  # type: ignore[arg-type]
    worker.stop()
    worker.join()
    assert worker.process is None
