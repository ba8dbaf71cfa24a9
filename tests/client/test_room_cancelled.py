"""A room whose task is cancelled, as Ctrl-C does it, wherever it happens to be."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.asyncio.server import ServerConnection

import scripted_http
from breathing_room import client
from breathing_room.client import Timing, connect
from scripted_server import Script, answer_pings, presence, scripted
from waiting import PATIENCE_S, first, until

CLIENT = "breathing_room.client"
SOURCE = Path(client.__file__).parent

EARLY_MS = 1
"""The `as_of_ms` of the presence on the connection that is lost."""

STEPS_MIN = 15
"""To fetch the config, to open a socket or to poll, and to receive takes more steps than this."""

Serving = Callable[[], AbstractAsyncContextManager[str]]


class Steps:
    """Counts the moments at which a task of the client begins to wait,
    or goes on, and acts at one of them.
    """

    def __init__(self, left: int) -> None:
        self.act: Callable[[], None] = lambda: None
        self._left = left

    def __enter__(self) -> Self:
        asyncio.get_running_loop().set_task_factory(self._start)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().set_task_factory(None)

    def _start(self, loop: asyncio.AbstractEventLoop, work: Any, /, **options: Any) -> asyncio.Task[Any]:
        """Start a task, counted if it is the client's."""
        code = getattr(work, "cr_code", None)
        counted = code is not None and Path(code.co_filename).parent == SOURCE
        return asyncio.Task(Counted(work, self) if counted else work, loop=loop, **options)

    def one(self) -> None:
        """Count one, and act if it is the one."""
        self._left -= 1
        if self._left == 0:
            self.act()


class Counted(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are counted."""

    def __init__(self, work: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._work = work
        self._steps = steps

    def send(self, value: Any) -> Any:
        """Resume the coroutine until its next await."""
        self._steps.one()
        waits_for = self._work.send(value)
        self._steps.one()
        return waits_for

    def throw(self, *error: Any) -> Any:
        """Throw an error into the coroutine, and run it until its next await."""
        self._steps.one()
        waits_for = self._work.throw(*error)
        self._steps.one()
        return waits_for

    def close(self) -> None:
        """End it."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        """Be a coroutine for the type checker; a task never asks for this."""
        return self._work.__await__()


def on_a_socket() -> AbstractAsyncContextManager[str]:
    """Serve a room on sockets."""

    async def scene(socket: ServerConnection) -> None:
        await socket.send(presence())
        await answer_pings(socket)

    return scripted(Script(scene))


def on_a_lost_socket() -> AbstractAsyncContextManager[str]:
    """Serve a room whose first socket is closed after the first request for the time."""

    async def close_after_a_request(socket: ServerConnection) -> None:
        await socket.send(presence(as_of_ms=EARLY_MS))
        while json.loads(await socket.recv())["type"] != "time":
            pass
        await socket.close(1012, json.dumps({"retry_ms": 0}))

    async def stay_open(socket: ServerConnection) -> None:
        await socket.send(presence())
        await answer_pings(socket)

    return scripted(Script(close_after_a_request, stay_open))


def by_polls() -> AbstractAsyncContextManager[str]:
    """Serve a room that polls."""
    return scripted_http.scripted_http(
        scripted_http.HttpScript(
            {
                "config": scripted_http.answer(scripted_http.POLLED),
                "lobby": scripted_http.presence(),
                "heartbeat": scripted_http.presence(as_of_ms=1_767_225_600_001),
                "leave": b"HTTP/1.1 204 X\r\n\r\n",
            }
        )
    )


async def visit(url: str) -> None:
    """Join, wait for a presence, change the mood, and leave."""
    async with connect(url, mood="release", timing=Timing(backoff_base_s=0.001)) as room:
        await first(room, lambda seen: seen.as_of_ms != EARLY_MS)
        await room.set_mood("gratitude")


@pytest.mark.parametrize("everything", [False, True], ids=["the visitor", "every task"])
@pytest.mark.parametrize("serving", [on_a_socket, on_a_lost_socket, by_polls])
async def test_a_cancellation_at_any_point_ends_the_room(serving: Serving, *, everything: bool) -> None:
    """
    At each step of the room's tasks, before it and behind it, the visitor alone is cancelled, as by Ctrl-C,
    or every task, as at the end of a program: the visit ends as cancelled, and nothing of it goes on.
    """
    before = asyncio.all_tasks()

    def ours() -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() - before if CLIENT in task.get_name()]

    for step in count(1):
        reached = False
        async with serving() as url:
            with Steps(step) as steps:
                visitor = asyncio.create_task(visit(url))

                def cancel(visitor: asyncio.Task[None] = visitor) -> None:
                    nonlocal reached
                    reached = visitor.cancel()  # unless the visit is over
                    for task in ours() if everything else []:
                        task.cancel()

                steps.act = cancel
                ended, _ = await asyncio.wait([visitor], timeout=PATIENCE_S)
            assert ended, f"cancelled at step {step}, it goes on: {visitor.get_stack()}, {ours()}"
            await until(lambda: not ours())
            assert visitor.cancelled() == reached, f"cancelled at step {step}, it ended in another way"
            if not reached:
                break
    assert step > STEPS_MIN, "a visit cannot be over as soon as that"
