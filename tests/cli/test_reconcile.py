"""The job of the stateless mode, from the command line; ``tests/hosts/test_stateless.py`` runs it beside real
writers.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main, reconcile
from breathing_room.core.errors import StoreError
from breathing_room.hosts.common.store_mode.records import Control, RoomControl, read_control
from breathing_room.hosts.stateless import StoreModeConfig
from breathing_room.stores import MemoryStore, SqliteStore


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["reconcile", *arguments], env=env)


def test_one_run_is_one_line(tmp_path: Path) -> None:
    """Without ``--every`` the job runs once, writes the control key, prints one line and ends."""
    path = tmp_path / "room.db"
    done = run("--data", str(path))
    assert (done.exit_code, done.stdout.count("\n")) == (0, 1)
    assert "no reports" in done.stdout

    async def control() -> Control | None:
        store = await SqliteStore.open(path, read_only=True)
        try:
            return await read_control(store)
        finally:
            await store.close()

    written = asyncio.run(control())
    assert written is not None
    assert f"epoch {written.epoch};" in done.stdout


def test_line_names_every_room() -> None:
    """
    A line has the time, the epoch, and for each room its rate, its reports and its expired leases, and no
    visitors.
    """
    room = RoomControl(
        rates=((0, 0.04),), changed_at_ms=3, since_ms=1, expired=((2, 7), (3, 9)), arrivals_per_ms=0.002
    )
    control = Control(as_of_ms=1_767_268_800_000, epoch=20_454, rooms={"garden": room, "lobby": room})
    said = "rate 0.04, 120.0 reports a minute, 2 leases expired"
    assert reconcile.line(control) == f"2026-01-01T12:00:00Z epoch 20454; garden: {said}; lobby: {said}"


class Failing(MemoryStore):
    """A store that fails twice."""

    failures = 2

    async def get(self, key: str) -> bytes | None:
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is away", temporary=True)
        return await super().get(key)


async def test_store_that_fails_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--every`` a run that fails is said on standard error, and the next one is made all the same."""
    stopping = asyncio.Event()
    store = Failing()
    going_on = asyncio.create_task(reconcile.run_repeatedly(store, StoreModeConfig(), 10, stopping))
    async with asyncio.timeout(5):
        while not await store.list("control"):  # noqa: ASYNC110 - a store has no event for it
            await asyncio.sleep(0.01)
    stopping.set()
    await going_on
    said = capsys.readouterr()
    assert said.err.count("the store does not respond: the disk is away; retrying\n") == 2
    assert said.out.count("no reports\n") >= 1


@pytest.mark.parametrize(
    ("text", "length_ms"), [("60s", 60_000), ("500ms", 500), ("1min", 60_000), ("2 s", 2_000)]
)
def test_length_is_read(text: str, length_ms: int) -> None:
    """A length of time is a whole number and its unit."""
    assert reconcile.Length().convert(text, None, None) == length_ms


@pytest.mark.parametrize(
    ("arguments", "env", "status", "said"),
    [
        *(
            ((("--every", text), {}, 2, "not a length of time"))
            for text in ("60", "0s", "-1s", "1.5s", "1h", "soon", "")
        ),
        (("--every", "61s"), {}, 2, "must be at most reconcile_ms, 60,000 ms"),
        (("--every", "11s", "--reconcile-ms", "10000"), {}, 2, "must be at most reconcile_ms, 10,000 ms"),
        (("--reconcile-ms", "999"), {}, 2, "reconcile_ms must be a whole number from 1,000"),
        (("--bucket-ms", "99"), {}, 2, "bucket_ms must be a whole number from 100"),
        (("--propagation-ms", "long"), {}, 2, "propagation_ms must be a whole number from 100"),
        (("--policy", "lazy"), {}, 2, "policy must be one of bucketed, every"),
        ((), {"BREATHING_ROOM_POLICY": "snapshot"}, 2, "policy must be one of bucketed, every"),
        ((), {"BREATHING_ROOM_NONSENSE": "1"}, 2, "nonsense"),
        (("--data", ":memory:"), {}, 2, "not :memory:"),
        (("--data", "gopher://disk"), {}, 2, "no store for gopher://"),
        (("--data", "/no/such/room.db"), {}, 1, "/no/such"),
        (("--config", "no.toml"), {}, 2, "no.toml"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    env: dict[str, str],
    status: int,
    said: str,
) -> None:
    """Each mistake ends the command with one sentence that names it, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    done = run(*arguments, env=env)
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--policy", "every"), "--policy is a setting of store mode"),
        (("--bucket-ms", "1000"), "--bucket-ms is a setting of store mode"),
        (("--stateless", "--policy", "on_change"), "policy must be one of"),
        (("--stateless", "--data", ":memory:"), "not :memory:"),
        (("--stateless", "--reconcile-ms", "1"), "reconcile_ms"),
        (("--stateless", "--lease-ms", "1"), "lease_ms"),
    ],
)
def test_an_invalid_setting_of_a_writer_is_an_error(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """
    ``serve --stateless`` refuses what makes no sense with status 2 and one sentence; so does ``serve`` what
    belongs to it only.
    """
    done = subprocess.run(
        [sys.executable, "-m", "breathing_room", "serve", "--port", "0", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
