"""Presence as Server-Sent Events, for clients that cannot open a WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator

from breathing_room.core.events import ObserverJoined
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.hosts.server.app import ServerRoom


class EventStream:
    """One listener. It holds the latest presence, never a queue.

    Attributes:
        room: The room that it listens to.
    """

    def __init__(self, room: ServerRoom) -> None:
        self.room = room
        self._latest: EncodedPresence | None = None
        self._goodbye: bytes | None = None
        self._news = asyncio.Event()

    def push(self, encoded: EncodedPresence) -> None:
        """Have the latest ready for when the reader takes it."""
        self._latest = encoded
        self._news.set()

    def close(self, code: int, reason: bytes = b"") -> None:
        """Say when to come back, and end the stream."""
        del code
        retry_ms = json.loads(reason or b"{}").get("retry_ms")
        self._goodbye = b"" if retry_ms is None else b"retry: %d\n\n" % retry_ms
        self._news.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield events until the reader goes or the server stops."""
        host = self.room.host
        self.room.subscribers[self] = None
        self.room.feed(ObserverJoined(self))
        self.room.flush()  # Its reader waits for the first event.
        host.connection_count += 1
        try:
            while True:
                try:
                    async with asyncio.timeout(self.room.ping_ms / 1_000):
                        await self._news.wait()
                except TimeoutError:
                    yield b": still here\n\n"  # A comment keeps proxies from giving up on a quiet stream.
                    continue
                self._news.clear()
                if self._latest is not None:
                    encoded, self._latest = self._latest, None
                    yield b"event: presence\ndata: " + encoded.body + b"\n\n"
                if self._goodbye is not None:
                    yield self._goodbye
                    return
        finally:
            self.room.subscribers.pop(self, None)
            self.room.observer_left(self)
            host.connection_count -= 1
