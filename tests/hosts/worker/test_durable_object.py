"""The Durable Object of a room in workerd."""

import asyncio
import time

from breathing_room.core.wire import JOIN_LATE
from breathing_room.testing.host_context import ask, new_room
from breathing_room.testing.peer import PATIENCE_S, TICK_S, WireSocket
from hosts.worker.conftest import JOIN_MS, TIMES, Start
from hosts.worker.platform_fakes import Service

WAITING = """\
import asyncio
import gc
import weakref

from workers import Response

from breathing_room.hosts.worker.entry import BreathingRoom as Object
from breathing_room.hosts.worker.entry import Default as Worker

waiting, done = weakref.WeakSet(), []


async def work():
    future = asyncio.get_running_loop().create_future()
    waiting.add(future)
    await future
    del future
    done.append(True)


class BreathingRoom(Object):
    async def fetch(self, request):
        self._spawn(work())
        return await super().fetch(request)


class Default(Worker):
    async def fetch(self, request):
        path = request.js_object.url.rpartition("/")[2]
        if path == "collect":
            gc.collect()
            return Response(str(len(waiting)))
        if path == "finish":
            for future in list(waiting):
                future.set_result(None)
            return Response("")
        if path == "done":
            gc.collect()
            return Response(f"{len(done)} done, {len(waiting)} waiting")
        return await super().fetch(request)
"""
"""Objects that start a task with every request, to which only the object itself has a reference."""

FAILING = """\
from breathing_room.hosts.worker.entry import BreathingRoom as Object
from breathing_room.hosts.worker.entry import Default

alarms = []


class BreathingRoom(Object):
    async def alarm(self, info=None):
        alarms.append(True)
        await super().alarm(info)

    async def _resumed_room(self, name):
        if len(alarms) == 1 and name is None:
            raise RuntimeError("injected")
        return await super()._resumed_room(name)
"""
"""Objects whose first alarm fails."""


async def test_work_that_goes_on_after_an_answer_is_not_collected(start: Start, kv: Service) -> None:
    """
    A task that goes on after the answer, such as a backup, is referenced until it is done, and no longer.

    The event loop holds tasks weakly and an object's ``waitUntil`` held none, so a task that waited could be
    collected.
    """
    worker = start(TIMES, services={"KV": f"kvNamespace {kv.address}"}, main=WAITING)
    await ask(worker.url, "GET", f"/v1/rooms/{new_room()}")
    assert (await ask(worker.url, "GET", "/collect")).body == b"1", "\n".join(worker.lines)
    assert (await ask(worker.url, "GET", "/collect")).body == b"1", "\n".join(worker.lines)
    await ask(worker.url, "GET", "/finish")
    deadline_s = time.monotonic() + PATIENCE_S
    while (seen := (await ask(worker.url, "GET", "/done")).body) != b"1 done, 0 waiting":
        assert time.monotonic() < deadline_s, seen
        await asyncio.sleep(TICK_S)
    assert not worker.lines, "\n".join(worker.lines)


async def test_an_alarm_that_fails_fires_again(start: Start, kv: Service) -> None:
    """
    A room whose alarm fails does later what was due: here, it closes a connection without join or observe.

    It waited for the alarm that had failed, and set no other until it hibernated.
    """
    worker = start(TIMES, services={"KV": f"kvNamespace {kv.address}"}, main=FAILING)
    idle = await WireSocket.open(worker.url, f"/v1/rooms/{new_room()}/socket")
    deadline_s = time.monotonic() + 2 * JOIN_MS / 1_000 + 4 * PATIENCE_S
    while idle.end().code != JOIN_LATE:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(TICK_S)
    idle.cut()
    assert "injected" in "\n".join(worker.lines)
