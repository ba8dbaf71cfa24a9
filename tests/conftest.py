"""Fixtures and hooks of all tests."""

import gc
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import tiers
from harness import Serve, ServerProcess, start_server

if tiers.TIER == "quick":
    tiers.guard()
    collect_ignore = list(tiers.SLOW_FOLDERS)  # To read them takes longer than most tests.

# A failed run of `make quick` or `make test` fails again when it is repeated: examples are derived from the
# test's source. `make soak` draws new and more examples. Neither has a deadline: a busy machine is slow, and
# that is no failure.
EXAMPLES = {"quick": 50, "test": 100, "soak": 1_000}
settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=EXAMPLES[tiers.TIER])
settings.register_profile("soak", deadline=None, max_examples=EXAMPLES["soak"], print_blob=True)
settings.load_profile("soak" if tiers.TIER == "soak" else "fixed")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of a soak before Hypothesis and the processes of xdist ask for it."""
    profile = config.option.hypothesis_profile or settings.get_current_profile_name()
    if profile == "soak" and config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(secrets.randbits(32))


def pytest_report_header(config: pytest.Config) -> str:
    """Print how property tests are drawn, so that a run can be repeated."""
    seed = config.option.hypothesis_seed
    drawn = f"--hypothesis-seed={seed}" if seed else "a seed from the source of each test"
    return f"property tests: profile {settings.get_current_profile_name()}, {settings().max_examples} examples, {drawn}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test into its tiers, the longest first."""
    for item in items:
        tiers.mark(item)
    tiers.longest_first(items)


def pytest_collection_finish() -> None:
    """Freeze the objects of the collection: the garbage collector would scan them in a tenth of the time."""
    gc.collect()
    gc.freeze()


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
