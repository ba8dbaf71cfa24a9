"""One WebSocket connection to a room, from the join message to the close.

The client sends a ping every ``ping_s``, also while messages arrive, so that the server knows that it is
alive. Any message of the server shows that the server is alive; a ping without any message in answer is how a
dead connection is noticed. Requests for the time find the server's clock in the first seconds. Messages are
answered in order, so a request for the time also confirms that the message before it was taken.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NoReturn

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from breathing_room.client.clock import ServerClock
from breathing_room.client.errors import ConnectionLostError, RefusedError, is_final
from breathing_room.client.protocol import TimeAnswer, decode
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import PING

logger = logging.getLogger("breathing_room.client")

TIME_AT_S: Final = (0.0, 0.2, 0.5, 1.0, 3.0)
"""When the server's time is requested, in seconds after the join; the browser client does the same."""


class RoomConnection:
    """One connection to a room.

    Args:
        socket: The WebSocket, open.
        ping_s: The time between two pings.
        answer_s: How long the server may take to answer.
        clock: Is given the server's time.
        on_presence: Called with each presence.
    """

    def __init__(
        self,
        socket: ClientConnection,
        *,
        ping_s: float,
        answer_s: float,
        clock: ServerClock,
        on_presence: Callable[[Presence], None],
    ) -> None:
        self.received_at_s = 0.0
        """When the last message came, by the loop's clock."""
        self._socket = socket
        self._ping_s = ping_s
        self._answer_s = answer_s
        self._clock = clock
        self._on_presence = on_presence
        self._has_joined = False
        # Unanswered requests for the time, by the time that each carries, with what waits for its answer, if
        # anything does.
        self._time_requests: dict[float, asyncio.Future[None] | None] = {}
        self._unanswered_since_s: float | None = None

    async def run(self, join: dict[str, Any]) -> NoReturn:
        """Send the join message, then receive and ping until the connection ends.

        Raises:
            RefusedError: The join was refused, and would be the next time as well.
            ConnectionLostError: The server sent nothing for ``answer_s`` after a ping or a request for the
                time.
            ConnectionClosed: The connection was closed.
        """
        loop = asyncio.get_running_loop()
        try:
            await self._socket.send(json.dumps(join))
            joined_at_s = loop.time()
            time_at_s = deque(joined_at_s + after_s for after_s in TIME_AT_S)
            ping_at_s = joined_at_s + self._ping_s
            while True:
                now_s = loop.time()
                if self._unanswered_since_s is not None and now_s >= self._dead_at_s:
                    raise ConnectionLostError("the server does not answer")
                if time_at_s and now_s >= time_at_s[0]:
                    time_at_s.popleft()
                    await self._request_time(None)
                if now_s >= ping_at_s:
                    ping_at_s = now_s + self._ping_s
                    await self._ping()
                wake_at_s = min(ping_at_s, self._dead_at_s, *list(time_at_s)[:1])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(wake_at_s):
                        self._receive(await self._socket.recv())
        finally:
            # The next connection answers what still waits: its join message carries the mood again.
            for answer in self._time_requests.values():
                if answer is not None and not answer.done():
                    answer.set_result(None)

    async def send_mood(self, mood: str) -> None:
        """Send a change of mood, and return when the server has taken it or the connection has ended.

        Raises:
            ClientError: The room has no such mood. It had no effect.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(json.dumps({"type": "mood", "mood": mood}))
            await self._request_time(answer)
            await answer

    @property
    def _dead_at_s(self) -> float:
        """When the connection will count as dead; infinite while nothing is unanswered."""
        return float("inf") if self._unanswered_since_s is None else self._unanswered_since_s + self._answer_s

    async def _ping(self) -> None:
        self._await_answer()
        await self._socket.send(PING.decode())

    async def _request_time(self, answer: asyncio.Future[None] | None) -> None:
        sent_ms = time.time() * 1000
        while sent_ms in self._time_requests:
            sent_ms += 0.001
        self._time_requests[sent_ms] = answer
        self._await_answer()
        await self._socket.send(json.dumps({"type": "time", "sent_ms": sent_ms}))

    def _await_answer(self) -> None:
        if self._unanswered_since_s is None:
            self._unanswered_since_s = asyncio.get_running_loop().time()

    def _receive(self, text: str | bytes) -> None:
        self.received_at_s = asyncio.get_running_loop().time()
        # Any message shows that the connection is alive.
        self._unanswered_since_s = self.received_at_s if self._time_requests else None
        try:
            message = decode(text)
        except ValueError as error:
            logger.warning("a message of the server was ignored: %s", error)
            return
        match message:
            case Presence():
                self._has_joined = True
                self._on_presence(message)
            case TimeAnswer(sent_ms, now_ms) if sent_ms in self._time_requests:
                self._clock.add_sample(sent_ms=sent_ms, now_ms=now_ms, received_ms=time.time() * 1000)
                answer = self._time_requests.pop(sent_ms)
                self._unanswered_since_s = self.received_at_s if self._time_requests else None
                if answer is not None and not answer.done():
                    answer.set_result(None)
            case ClientError():
                self._on_error(message)

    def _on_error(self, error: ClientError) -> None:
        """Pass an error on to what caused it: the join, or else the oldest message that waits."""
        if not self._has_joined and is_final(error.status):
            raise RefusedError(error.code, error.message, status=error.status)
        for answer in self._time_requests.values():
            if answer is not None and not answer.done():
                answer.set_exception(error)
                return
        logger.warning("the server rejected a message: %s", error.code)
