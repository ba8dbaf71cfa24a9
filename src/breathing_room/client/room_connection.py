"""One connection to a room: its messages, from the join to the end.

Heartbeats go both ways: the server sends control pings, and the client sends pings. A ping without any message in answer is how a dead
connection is noticed. A request for the time also confirms: messages are answered in order, so its answer says that the
message before it was taken.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from breathing_room.client.clock import ServerClock
from breathing_room.client.errors import ConnectionLostError, RefusedError, is_final
from breathing_room.client.protocol import TimeAnswer, decode
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import PING

logger = logging.getLogger("breathing_room.client")

# Four samples in the first seconds settle the clock; from then on, pings keep the lease.
SETTLING_SAMPLES = 4
SETTLING_S = 1.0


class RoomConnection:
    """One connection to a room.

    Args:
        socket: The WebSocket, open.
        ping_s: The time between two pings.
        answer_s: How long the server may take to answer.
        clock: Learns the server's time.
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
        self.heard_at_s = 0.0
        """When the last message came, by the loop's clock."""
        self._socket = socket
        self._ping_s = ping_s
        self._answer_s = answer_s
        self._clock = clock
        self._on_presence = on_presence
        self._has_joined = False
        # What waits for an answer to a request for the time, by the time that the request carries; None where nothing waits.
        self._questions: dict[float, asyncio.Future[None] | None] = {}
        self._asked_at_s: float | None = None

    async def run(self, join: dict[str, Any]) -> NoReturn:
        """Send the join message, then receive and ping until the connection ends.

        Raises:
            RefusedError: The join was refused, and would be the next time as well.
            ConnectionLostError: The server sent nothing for ``answer_s`` after a ping.
            ConnectionClosed: The connection was closed.
        """
        loop = asyncio.get_running_loop()
        samples = 0
        try:
            await self._socket.send(json.dumps(join))
            next_at_s = loop.time()
            while True:
                try:
                    async with asyncio.timeout_at(self._silent_at_s or next_at_s):
                        self._listen(await self._socket.recv())
                except TimeoutError:
                    now_s = loop.time()
                    if self._silent_at_s is None:
                        if samples < SETTLING_SAMPLES:
                            await self._ask_time(None)
                            samples += 1
                        else:
                            await self._ping()
                        next_at_s = now_s + (SETTLING_S if samples < SETTLING_SAMPLES else self._ping_s)
                    elif now_s >= self._silent_at_s:
                        raise ConnectionLostError("the server fell silent") from None
        finally:
            # What waits is answered by the next connection: its join carries the mood again.
            for answer in self._questions.values():
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
            await self._ask_time(answer)
            await answer

    @property
    def _silent_at_s(self) -> float | None:
        """When the connection will count as dead; None while nothing is unanswered."""
        return None if self._asked_at_s is None else self._asked_at_s + self._answer_s

    async def _ping(self) -> None:
        self._asked_at_s = asyncio.get_running_loop().time()
        await self._socket.send(PING.decode())

    async def _ask_time(self, answer: asyncio.Future[None] | None) -> None:
        sent_ms = time.time() * 1000
        while sent_ms in self._questions:
            sent_ms += 0.001
        self._questions[sent_ms] = answer
        if self._asked_at_s is None:
            self._asked_at_s = asyncio.get_running_loop().time()
        await self._socket.send(json.dumps({"type": "time", "sent_ms": sent_ms}))

    def _listen(self, text: str | bytes) -> None:
        self.heard_at_s = asyncio.get_running_loop().time()
        # Any message shows that the connection is alive.
        self._asked_at_s = self.heard_at_s if self._questions else None
        try:
            message = decode(text)
        except ValueError as error:
            logger.warning("a message of the server was ignored: %s", error)
            return
        match message:
            case Presence():
                self._has_joined = True
                self._on_presence(message)
            case TimeAnswer(sent_ms, now_ms) if sent_ms in self._questions:
                self._clock.learn(sent_ms=sent_ms, now_ms=now_ms, received_ms=time.time() * 1000)
                answer = self._questions.pop(sent_ms)
                self._asked_at_s = self.heard_at_s if self._questions else None
                if answer is not None and not answer.done():
                    answer.set_result(None)
            case ClientError():
                self._complain(message)

    def _complain(self, error: ClientError) -> None:
        """Pass an error on to what caused it: the join, or else the oldest message that waits."""
        if not self._has_joined and is_final(error.status):
            raise RefusedError(error.code, error.message, status=error.status)
        for answer in self._questions.values():
            if answer is not None and not answer.done():
                answer.set_exception(error)
                return
        logger.warning("the server did not understand us: %s", error.code)
