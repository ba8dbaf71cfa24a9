"""What is said on one connection, from the hello to the end.

Signs of life go both ways: the server pings us, and we send beats. An unanswered beat is how a connection that
died without a word is noticed, and an answered one tells the server's time. Messages are answered in order, so
a beat sent behind another message also tells that this one was taken.
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
from breathing_room.client.protocol import BeatAnswer, decode
from breathing_room.client.timing import Timing
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence

logger = logging.getLogger("breathing_room.client")

# Four samples in the first seconds settle the clock; from then on, beats are signs of life.
SETTLING_BEATS = 4
SETTLING_S = 1.0


class RoomConnection:
    """One connection to a room."""

    def __init__(
        self,
        socket: ClientConnection,
        *,
        timing: Timing,
        clock: ServerClock,
        hear: Callable[[Presence], None],
    ) -> None:
        self.heard_at_s = 0.0
        """When the server said anything last, by the loop's clock."""
        self._socket = socket
        self._timing = timing
        self._clock = clock
        self._hear = hear
        self._greeted = False
        # Who waits for the answer to a beat, by the time that the beat carries; None when nobody does.
        self._questions: dict[float, asyncio.Future[None] | None] = {}
        self._asked_at_s: float | None = None

    async def run(self, hello: dict[str, Any]) -> NoReturn:
        """Say hello, then listen and send beats until the connection ends.

        Raises:
            RefusedError: The hello was not understood; it would not be the next time either.
            ConnectionLostError: The server fell silent.
            ConnectionClosed: The connection was closed.
        """
        loop = asyncio.get_running_loop()
        heartbeats = 0
        try:
            await self._socket.send(json.dumps(hello))
            beat_at_s = loop.time()
            while True:
                try:
                    async with asyncio.timeout_at(self._silent_at_s or beat_at_s):
                        self._listen(await self._socket.recv())
                except TimeoutError:
                    now_s = loop.time()
                    if self._silent_at_s is None:
                        await self._beat(None)
                        heartbeats += 1
                        beat_at_s = now_s + (
                            SETTLING_S if heartbeats < SETTLING_BEATS else self._timing.beat_s
                        )
                    elif now_s >= self._silent_at_s:
                        raise ConnectionLostError("the server fell silent") from None
        finally:
            # Whoever waits learns from the next connection: its hello says what was left unanswered.
            for answer in self._questions.values():
                if answer is not None and not answer.done():
                    answer.set_result(None)

    async def tell(self, mood: str) -> None:
        """Say how we feel, and return when the server has taken it or the connection has ended.

        Raises:
            ClientError: The room has no such mood. It had no effect.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(json.dumps({"type": "mood", "mood": mood}))
            await self._beat(answer)
            await answer

    @property
    def _silent_at_s(self) -> float | None:
        """When the connection will count as dead; None while no beat is unanswered."""
        return None if self._asked_at_s is None else self._asked_at_s + self._timing.answer_s

    async def _beat(self, answer: asyncio.Future[None] | None) -> None:
        sent_ms = time.time() * 1000
        while sent_ms in self._questions:
            sent_ms += 0.001
        self._questions[sent_ms] = answer
        if self._asked_at_s is None:
            self._asked_at_s = asyncio.get_running_loop().time()
        await self._socket.send(json.dumps({"type": "beat", "sent_ms": sent_ms}))

    def _listen(self, text: str | bytes) -> None:
        self.heard_at_s = asyncio.get_running_loop().time()
        try:
            message = decode(text)
        except ValueError as error:
            logger.warning("a message of the server was ignored: %s", error)
            return
        match message:
            case Presence():
                self._greeted = True
                self._hear(message)
            case BeatAnswer(sent_ms, now_ms) if sent_ms in self._questions:
                self._clock.learn(sent_ms=sent_ms, now_ms=now_ms, received_ms=time.time() * 1000)
                answer = self._questions.pop(sent_ms)
                self._asked_at_s = self.heard_at_s if self._questions else None
                if answer is not None and not answer.done():
                    answer.set_result(None)
            case ClientError():
                self._complain(message)

    def _complain(self, error: ClientError) -> None:
        """Pass an error on to whoever caused it: the hello, or else the oldest message that waits."""
        if not self._greeted and is_final(error.status):
            raise RefusedError(error.code, error.message, status=error.status)
        for answer in self._questions.values():
            if answer is not None and not answer.done():
                answer.set_exception(error)
                return
        logger.warning("the server did not understand us: %s", error.code)
