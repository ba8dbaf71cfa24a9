"""A room moves from KV into its object while visitors report to both Workers, watched by `breathing-room
migrate`.
"""

import asyncio
import contextlib
import os
import secrets
import sys
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from breathing_room.core.tickets import ticket
from breathing_room.hosts.common.store_mode.records import (
    CONTROL,
    RoomControl,
    decode_control,
    encode_control,
)
from breathing_room.testing.host_context import ask, expect_refusal
from hosts.worker.conftest import TIMES, Start
from hosts.worker.platform_fakes import Service
from hosts.worker.runtime import Runtime

pytestmark = pytest.mark.timeout(400)  # Python starts three times.

ROOM = "/v1/rooms/lobby"
RECONCILE_MS = 6_000
PANEL = 30
PEOPLE = 300
RATE = PANEL / PEOPLE
TOKEN = secrets.token_hex(32)
POLLED = TIMES | {
    "BREATHING_ROOM_MODE": "poll",
    "BREATHING_ROOM_PANEL_SIZE": str(PANEL),
    "BREATHING_ROOM_RECONCILE_MS": str(RECONCILE_MS),
    "BREATHING_ROOM_ADMIN_TOKEN": TOKEN,
    # To read a room in KV is to read every report.
    "BREATHING_ROOM_PRESENCE_MAX_AGE_S": "1",
}
OLD = POLLED | {"BREATHING_ROOM_BACKEND": "kv"}
TURNS = 80
PATIENCE_S = 120


async def wake(worker: Runtime) -> None:
    """Wait until Python has started, which takes long on a busy machine."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(AssertionError):
                await ask(worker.url, "GET", "/healthz")
                return


async def presence(worker: Runtime) -> dict[str, Any]:
    return (await ask(worker.url, "GET", ROOM)).json()


@dataclass(eq=False)
class Person:
    """A visitor of the crowd: each slice of the tickets has one all the time, so that every share of them is
    exact.
    """

    slice: int
    visitor: str
    drawn: float
    at: Runtime

    @classmethod
    def of(cls, index: int, epoch: int, at: Runtime) -> "Person":
        """Draw a visitor with a ticket of that slice."""
        while True:
            visitor = secrets.token_urlsafe(16)
            drawn = ticket(visitor, room="lobby", epoch=epoch)
            if index <= drawn * PEOPLE < index + 1:
                return cls(index, visitor, drawn, at)

    async def report(self, path: str = "heartbeat", **more: str) -> dict[str, Any]:
        """Report to the Worker at which the visitor is, and return the answer."""
        answer = await ask(self.at.url, "POST", f"{ROOM}/{path}", {"visitor": self.visitor, **more})
        assert answer.status in {200, 204}, answer
        return answer.json() if answer.status == 200 else {}


class Observations:
    """The presences that were read of either Worker, while the number of visitors stays the same."""

    def __init__(self, *workers: Runtime) -> None:
        self.workers = workers
        self.enough = asyncio.Event()
        self.seen: list[dict[str, Any]] = []

    async def go_on(self) -> None:
        """Read presences until ``enough`` is set."""
        while not self.enough.is_set():
            for worker in self.workers:
                self.seen.append(await presence(worker))
            await asyncio.sleep(0.1)


async def run_cron(worker: Runtime, enough: asyncio.Event) -> None:
    """Run the cron of the old Worker, more often than its interval."""
    while not enough.is_set():
        assert (await ask(worker.cron_url, "GET", "/")).body == b"ok"
        await asyncio.sleep(RECONCILE_MS / 3_000)


async def migrate(old: Runtime, new: Runtime, token: str = TOKEN) -> tuple[int, str]:
    """Run the command."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "breathing_room", "migrate", old.url, new.url, "--every", "1s"),
        env=os.environ | {"BREATHING_ROOM_ADMIN_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await program.communicate()
    except BaseException:
        program.kill()
        await program.wait()
        raise
    assert program.returncode is not None
    return program.returncode, output.decode()


def covers_surely(seen: dict[str, Any]) -> bool:
    """Return whether an interval of four standard errors covers the crowd: the published one, of two, misses
    one panel in twenty.
    """
    half = (seen["high"] - seen["low"]) / 2
    return bool(seen["low"] - half <= PEOPLE <= seen["high"] + half)


async def test_a_room_moves_under_load(start: Start, kv: Service, tmp_path: Path) -> None:
    """
    Visitors join, change their mood and leave at both Workers and move from one to the other while the
    command watches, and in every presence of either side the interval covers their number.
    """
    services = {"KV": f"kvNamespace {kv.address}"}
    old = start(OLD, services=services)
    new = start(POLLED, services=services, folder=tmp_path / "new")
    for worker in (old, new):
        await wake(worker)
    enough = asyncio.Event()
    # The controller has set the rate.
    assert (await ask(old.cron_url, "GET", "/")).body == b"ok"
    control = decode_control(kv.values[CONTROL])
    asked = RoomControl(rates=((0, RATE),), changed_at_ms=control.as_of_ms, since_ms=control.as_of_ms)
    kv.values[CONTROL] = encode_control(replace(control, rooms={"lobby": asked}))
    people = [Person.of(index, control.epoch, old) for index in range(PEOPLE)]
    panel = deque(person for person in people if person.drawn < RATE)
    assert len(panel) == PANEL
    for person in panel:
        assert person.drawn < (await person.report(mood="release"))["sample_rate"]

    observations = Observations(old, new)
    async with asyncio.TaskGroup() as doing:
        working = doing.create_task(run_cron(old, enough))
        moving = doing.create_task(migrate(old, new))
        observing = doing.create_task(observations.go_on())
        try:
            for turn in range(TURNS):
                # A visitor leaves and another one joins, more and more of them at the new Worker; and one who
                # stays moves there.
                gone = panel.popleft()
                await gone.report("leave")
                came = Person.of(gone.slice, control.epoch, new if turn >= TURNS // 4 or turn % 2 else old)
                await came.report(mood="release")
                panel.append(came)
                if turn >= TURNS // 4:
                    panel[turn % len(panel)].at = new
                await panel[turn % len(panel)].report(mood="gratitude")
            for person in panel:
                person.at = new
                await person.report()
            code, output = await moving
            assert code == 0, output
        finally:
            observations.enough.set()
            enough.set()
        await asyncio.gather(working, observing)

    assert len(observations.seen) > 20
    for seen in observations.seen:
        assert covers_surely(seen), seen
    lines = output.splitlines()
    assert lines[-1].startswith("No visitor reports to the old room any more")
    assert "DO NOT OVERLAP" not in output
    assert any("report to the old one: 0" not in line for line in lines[:-1])

    # The old Worker is deleted, and its cron with it: the new one syncs no more, and keeps its visitors.
    old.stop()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with asyncio.timeout(PATIENCE_S):
        while (await ask(new.url, "GET", f"{ROOM}/migration", headers=headers)).json()["syncing"]:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.5)
    seen = await presence(new)
    assert covers_surely(seen), seen
    assert new.lines == []


async def test_progress_is_the_operators(start: Start, tmp_path: Path) -> None:
    """
    Only requests with the token are answered the progress of a migration, and the command says so where there
    is none.
    """
    worker = start(POLLED)
    await wake(worker)
    path = f"{ROOM}/migration"
    await expect_refusal(ask(worker.url, "GET", path), "token_needed", 401)
    wrong = {"Authorization": f"Bearer {TOKEN[::-1]}x"}
    await expect_refusal(ask(worker.url, "GET", path, headers=wrong), "wrong_token", 403)
    code, output = await migrate(worker, worker)
    assert code == 1
    assert "syncs with no other" in output
    without = start(TIMES, folder=tmp_path / "without")
    await wake(without)
    await expect_refusal(ask(without.url, "GET", path), "not_found", 404)
