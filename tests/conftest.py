"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import tiers
from harness import Serve, ServerProcess, start_server

if tiers.TIER == "quick":
    tiers.guard()
    collect_ignore = list(tiers.SLOW_FOLDERS)  # To read them takes longer than most tests.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test into its tiers."""
    for item in items:
        tiers.mark(item)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers: ``serve("--lease-ms", "2000", data=..., port=...)``; all are ended after the test."""
    servers: list[ServerProcess] = []

    def start(
        *flags: str, data: Path | None = None, port: int = 0, env: dict[str, str] | None = None
    ) -> ServerProcess:
        server = start_server(data or tmp_path / "room.db", *flags, port=port, env=env)
        servers.append(server)
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def server(serve: Serve) -> ServerProcess:
    """A server with the default settings."""
    return serve()
