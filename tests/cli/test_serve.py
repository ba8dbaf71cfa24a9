"""`breathing-room serve`, as it is typed; the servers that it starts are replaced, and have tests of their
own.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main
from breathing_room.core.errors import ConfigError, StoreError
from breathing_room.hosts.common.access.limits import Capacity
from breathing_room.hosts.server import serve as server_module
from breathing_room.hosts.server import workers as workers_module
from breathing_room.hosts.stateless import serve as stateless_module

Started = list[tuple[str, Any]]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Take away the handler that the command logs through: it would go on in this process, and write records
    before others do.
    """
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Note what would be started, and with which configuration."""
    found: Started = []

    def start(name: str, *where: object) -> Callable[..., None]:
        def run(config: Any, *, on_start: Callable[..., None]) -> None:
            found.append((name, config))
            on_start("http://127.0.0.1:8000", *where)

        return run

    capacity = Capacity(files=2_000, sockets=1_234)
    monkeypatch.setattr(server_module, "serve", start("one", capacity))
    monkeypatch.setattr(workers_module, "serve_workers", start("several", capacity))
    monkeypatch.setattr(stateless_module, "serve_stateless", start("writer"))
    return found


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["serve", *arguments], env=env)


def test_one_process_unless_several_are_asked_for(started: Started) -> None:
    """Without workers one process serves, with some of them a parent, and both say address and capacity once
    they listen.
    """
    one = run("--port", "9000", "--moods", "calm,curious")
    several = run("--workers", "2", "--redis", "redis://127.0.0.1")
    assert [name for name, _ in started] == ["one", "several"]
    assert (started[0][1].port, started[0][1].room.moods) == (9_000, ("calm", "curious"))
    for result in (one, several):
        assert result.exit_code == 0, result.output
        assert "http://127.0.0.1:8000" in result.output
        assert "1,234" in result.output


def test_a_writer_is_started_with_what_writers_agree_on(started: Started) -> None:
    """With --stateless a writer runs, by flag or by environment, with its own settings, and names the job
    that it needs.
    """
    result = run("--stateless", "--data", "room.db", "--bucket-ms", "500")
    assert result.exit_code == 0, result.output
    assert "reconcile" in result.output
    run("--data", "room.db", env={"BREATHING_ROOM_STATELESS": "1", "BREATHING_ROOM_BUCKET_MS": "700"})
    assert [(name, config.bucket_ms) for name, config in started] == [("writer", 500), ("writer", 700)]


def test_settings_of_writers_need_the_mode(started: Started) -> None:
    """A flag that only writers know is refused without --stateless, and named; in the environment it may
    stand for others.
    """
    result = run("--bucket-ms", "500")
    assert (result.exit_code, started) == (2, [])
    assert "--bucket-ms is a setting of store mode: add --stateless" in result.output
    assert run(env={"BREATHING_ROOM_BUCKET_MS": "500"}).exit_code == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("port 1 is taken"), 2),
        (StoreError("the file is locked", temporary=True), 1),
        (KeyboardInterrupt(), 0),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong setting ends with 2, a store that fails with 1, Ctrl-C
    with 0; none of them with a traceback.
    """

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(server_module, "serve", fail)
    result = run()
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert str(error) in result.output
