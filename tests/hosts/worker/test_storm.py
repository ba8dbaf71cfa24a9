"""Many join at once: the messages sent grow with connections and with time, and not with the square of
connections.
"""

import asyncio
import secrets
import time

from breathing_room.testing.host_context import new_room
from breathing_room.testing.peer import WireSocket
from hosts.worker.conftest import PUSH_MS
from hosts.worker.runtime import Runtime

PEOPLE = 150
MESSAGE_BYTES_MAX = 600


async def test_a_storm_is_a_handful_of_messages(worker: Runtime) -> None:
    """
    Each connection that joins in a burst is sent one answer, and then at most one message per ``push_ms``,
    none of them longer for the crowd; the last one has the count of all.
    """
    path = f"/v1/rooms/{new_room()}/socket"
    began_s = time.monotonic()

    async def join() -> WireSocket:
        socket = await WireSocket.open(worker.url, path)
        socket.send_message("join", visitor=secrets.token_urlsafe(16), mood="release")
        return socket

    sockets: list[WireSocket] = []
    for _ in range(0, PEOPLE, 50):  # as many as a busy machine lets in within its patience
        sockets += await asyncio.gather(*(join() for _ in range(50)))
    for socket in sockets:
        await socket.receive("presence", lambda said: bool(said["count"] == PEOPLE))
    await asyncio.sleep(2 * PUSH_MS / 1_000)
    passed_ms = 1_000 * (time.monotonic() - began_s)
    most = max(len(socket.texts) for socket in sockets)
    assert most <= passed_ms / PUSH_MS + 2
    assert max(len(text) for socket in sockets for text in socket.texts) < MESSAGE_BYTES_MAX
    for socket in sockets:
        socket.cut()
