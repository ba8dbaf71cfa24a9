"""Presence as Server-Sent Events, for clients that cannot open a WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator

from breathing_room.core.events import ObserverJoined
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.hosts.server.app import ServerRoom


class EventStream:
    """One event stream. It holds the latest presence, never a queue.

    Attributes:
        room: The room that it observes.
    """

    def __init__(self, room: ServerRoom) -> None:
        self.room = room
        self._latest: EncodedPresence | None = None
        self._last_chunk: bytes | None = None
        self._pending = asyncio.Event()

    def push(self, encoded: EncodedPresence) -> None:
        """Replace the presence that is sent next."""
        self._latest = encoded
        self._pending.set()

    def close(self, code: int, reason: bytes = b"") -> None:
        """Send the time to reconnect, and end the stream."""
        del code
        retry_ms = json.loads(reason or b"{}").get("retry_ms")
        self._last_chunk = b"" if retry_ms is None else b"retry: %d\n\n" % retry_ms
        self._pending.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield events until the client disconnects or the server stops."""
        host = self.room.host
        self.room.subscribers[self] = None
        self.room.feed(ObserverJoined(self))
        self.room.flush()  # Its client waits for the first event.
        host.connection_count += 1
        try:
            while True:
                try:
                    async with asyncio.timeout(self.room.ping_ms / 1_000):
                        await self._pending.wait()
                except TimeoutError:
                    yield b": still here\n\n"  # A comment keeps proxies from closing an idle stream.
                    continue
                self._pending.clear()
                if self._latest is not None:
                    encoded, self._latest = self._latest, None
                    yield b"event: presence\ndata: " + encoded.body + b"\n\n"
                if self._last_chunk is not None:
                    yield self._last_chunk
                    return
        finally:
            self.room.subscribers.pop(self, None)
            self.room.observer_left(self)
            host.connection_count -= 1
