"""A room over several objects in workerd: every connection is sent the whole count, through hibernation and
failure.
"""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from breathing_room.core.wire import NORMAL_CLOSURE
from breathing_room.testing.host_context import ask
from breathing_room.testing.peer import HandshakeRefusedError, WireSocket
from hosts.worker.conftest import Start
from hosts.worker.runtime import Runtime
from hosts.worker.test_sleep import ROOM, SLEEP_S, SLOW, moods, presence

# A crowd joins, four objects hibernate together, and one of them cannot be reached for a while.
pytestmark = pytest.mark.timeout(400)

PATIENCE_S = 60.0
PEOPLE, PER_OBJECT, OBJECTS = 200, 50, 4
SHARDED = SLOW | {
    "BREATHING_ROOM_SOCKETS_PER_OBJECT": str(PER_OBJECT),
    "BREATHING_ROOM_SOCKETS_MAX": str(PER_OBJECT * OBJECTS),
}

# The Worker with a switch: while it is on, no request to or from an object succeeds.
FAILING = """\
from workers import Response

from breathing_room.hosts.worker.entry import BreathingRoom as Object
from breathing_room.hosts.worker.entry import Default as Worker


class Default(Worker):
    async def fetch(self, request):
        url = request.js_object.url
        if "/fail/" in url:
            return await self._room("lobby", int(url.rpartition("/")[2])).fetch(request.js_object)
        return await super().fetch(request)


class BreathingRoom(Object):
    fails = False

    async def fetch(self, request):
        url = request.js_object.url
        if "/fail/" in url:
            self.fails = "/on/" in url
            return Response("")
        if "/shards/" in url and self.fails:
            return Response("injected", status=500)
        return await super().fetch(request)

    async def _call(self, *asked):
        if self.fails:
            raise RuntimeError("injected")
        return await super()._call(*asked)


__all__ = ["BreathingRoom", "Default"]
"""


async def join(url: str, *, older: bool) -> WireSocket:
    """Join as one of our clients or as a document client, whose session id is the routing key."""
    visitor = secrets.token_urlsafe(16)
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(AssertionError):  # A busy machine did not answer in time.
            if older:
                return await WireSocket.open(url, f"/api/room?sessionId={visitor}&mood=release")
            socket = await WireSocket.open(url, f"{ROOM}/socket")
            socket.send_message("join", visitor=visitor, mood="release")
            return socket
    raise AssertionError("the room cannot be reached")


def last_presence(socket: WireSocket) -> Mapping[str, Any]:
    """Return the last presence that a connection was sent."""
    found: dict[str, Any] = next(
        (json.loads(text) for text in reversed(socket.texts) if b'"type":"presence"' in _bytes(text)), {}
    )
    return found


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


async def until(is_so: Callable[[], bool], what: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s, what()
        await asyncio.sleep(0.05)


async def all_hear(sockets: list[WireSocket], **expected: Any) -> None:
    """Wait until every connection was last sent this."""
    await until(
        lambda: all(last_presence(socket).items() >= expected.items() for socket in sockets),
        lambda: {json.dumps({key: last_presence(socket).get(key) for key in expected}) for socket in sockets},
    )


async def sees(url: str, **expected: Any) -> None:
    """Read the presence until it is as expected."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (seen := await presence(url)).items() >= expected.items():
        assert time.monotonic() < deadline_s, seen
        await asyncio.sleep(0.05)


def wakes(worker: Runtime) -> list[int]:
    """List with how many connections objects woke."""
    return [int(line.split()[-2]) for line in worker.lines if " woke, with " in line]


async def test_two_hundred_people_over_four_objects(start: Start) -> None:
    """
    Every connection is sent the whole count after joins, moods and leaves, also when all four objects
    hibernated, and after one could not be reached; a fifth object is refused; no connection is dropped.
    """
    worker = start(SHARDED, main=FAILING)
    with contextlib.ExitStack() as stack:
        ours: list[WireSocket] = []
        older: list[WireSocket] = []
        for _ in range(0, PEOPLE, 20):
            some = await asyncio.gather(*(join(worker.url, older=index % 2 == 0) for index in range(20)))
            for socket in some:
                stack.callback(socket.cut)
            older += some[::2]
            ours += some[1::2]
        whole = {"count": PEOPLE, "low": PEOPLE, "high": PEOPLE, "method": "counted"}
        await sees(worker.url, **whole, moods=moods(release=PEOPLE))
        await all_hear(ours, **whole, moods=moods(release=PEOPLE))
        await all_hear(older, count=PEOPLE)
        assert wakes(worker) == [0] * OBJECTS
        with pytest.raises(HandshakeRefusedError) as refused:
            await WireSocket.open(worker.url, f"{ROOM}/socket")
        assert refused.value.answer.status == 503

        # All of them hibernate: a read wakes the first one, a mood another, and the deltas that follow wake
        # all.
        for _ in range(3):
            await asyncio.sleep(SLEEP_S)
            await sees(worker.url, **whole)
            if len(wakes(worker)) > OBJECTS:
                break
        assert wakes(worker)[OBJECTS:] == [PER_OBJECT]
        for socket in older[:3]:
            socket.send_message("mood", mood="gratitude")
        now = moods(release=PEOPLE - 3, gratitude=3)
        await all_hear(ours, **whole, moods=now)
        await until(lambda: wakes(worker)[OBJECTS:] == [PER_OBJECT] * OBJECTS, lambda: wakes(worker))

        for socket in ours[:10]:
            socket.close_normally(NORMAL_CLOSURE)
            await socket.part()
        gone, ours = ours[:10], ours[10:]
        assert not any(socket.is_open for socket in gone)
        left = PEOPLE - len(gone)
        whole = {"count": left, "low": left, "high": left, "method": "counted"}
        await all_hear(ours, **whole)

        await ask(worker.url, "POST", "/fail/on/2", b"")
        for socket in ours:
            socket.send_message("mood", mood="connection")
        await sees(worker.url, method="stale", count=left)
        stale = await presence(worker.url)
        assert left - PER_OBJECT <= stale["low"] < left <= stale["high"]
        await ask(worker.url, "POST", "/fail/off/2", b"")
        now = moods(connection=len(ours), release=len(older) - 3, gratitude=3)
        await sees(worker.url, **whole, moods=now)
        await all_hear(ours, **whole, moods=now)
        assert all(socket.is_open for socket in (*ours, *older))
        assert not [line for line in worker.lines if not line.startswith(("DEBUG", "WARNING"))]
