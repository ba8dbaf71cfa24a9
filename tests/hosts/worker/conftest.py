"""Workers in the real runtime, for the tests of the edge."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from hosts.worker.platform_fakes import R2, Kv, Service
from hosts.worker.runtime import Runtime, start_runtime

PUSH_MS = 200
JOIN_MS = 2_500
TIMES = {
    "BREATHING_ROOM_PUSH_MS": str(PUSH_MS),
    "BREATHING_ROOM_LEASE_MS": "6000",
    "BREATHING_ROOM_GRACE_MS": "5000",
    "BREATHING_ROOM_JOIN_MS": str(JOIN_MS),
    "BREATHING_ROOM_SNAPSHOT_MS": "2000",
    "BREATHING_ROOM_PRESENCE_MAX_AGE_S": "0",
}


class Start(Protocol):
    """Starts Workers that end with the test."""

    def __call__(
        self,
        variables: Mapping[str, str],
        *,
        services: Mapping[str, str] | None = None,
        folder: Path | None = None,
        main: str | None = None,
    ) -> Runtime: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Workers with settings of their own; a second one with the
    same folder goes on with its objects.
    """
    runtimes: list[Runtime] = []

    def start_one(
        variables: Mapping[str, str],
        *,
        services: Mapping[str, str] | None = None,
        folder: Path | None = None,
        main: str | None = None,
    ) -> Runtime:
        folder = folder or tmp_path / "runtime"
        folder.mkdir(exist_ok=True)
        runtimes.append(start_runtime(folder, variables, services=services, main=main))
        return runtimes[-1]

    yield start_one
    for runtime in runtimes:
        runtime.stop()


@pytest.fixture
def kv() -> Iterator[Service]:
    """A KV namespace."""
    service = Service().start(Kv)
    yield service
    service.stop()


@pytest.fixture
def bucket() -> Iterator[Service]:
    """An R2 bucket."""
    service = Service().start(R2)
    yield service
    service.stop()


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """One Worker with short times, for every test that needs no other."""
    kv = Service().start(Kv)
    services = {"KV": f"kvNamespace {kv.address}"}
    runtime = start_runtime(tmp_path_factory.mktemp("worker"), TIMES, services=services)
    yield runtime
    runtime.stop()
    kv.stop()
