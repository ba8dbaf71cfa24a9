"""A room, seen by one of the people in it.

Theory of operation
-------------------
One task asks how the room works, and then does as it says: it holds a socket, or it polls (``polling.py``). On a socket it
says who we are, listens, and starts over when the connection is lost, after the wait that the close code calls for.
Whoever iterates waits for the latest presence and never for an older one: there is no queue to fall behind in. While there
is no connection, or polls come to nothing, the last presence stays what it was until its validity ends, and is then
handed out once more with the method ``stale``.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Any, Final, Literal, Self

from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from breathing_room.client.clock import ServerClock
from breathing_room.client.errors import (
    ABNORMAL,
    ConnectionLostError,
    UnreachableError,
    broken,
    closed,
    refused,
)
from breathing_room.client.http import HttpClient
from breathing_room.client.polling import Polling, now_ms
from breathing_room.client.protocol import config_url, shown_url, socket_url
from breathing_room.client.room_connection import RoomConnection
from breathing_room.client.room_info import RoomInfo, fetch_room_info
from breathing_room.client.timing import Timing
from breathing_room.core.client_rules.interpolation import Interpolator
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import VISITOR_ID

State = Literal["live", "stale", "unknown"]

logger = logging.getLogger("breathing_room.client")

# The websockets library logs addresses and whole messages, and a join holds a visitor's id.
_silence = logging.Logger("silence")  # noqa: LOG001 - it is nobody's to configure
_silence.disabled = True

VISITOR_BYTES: Final = 16

MESSAGE_BYTES_MAX: Final = 65_536  # A presence has some 300 bytes.


def connect(
    url: str,
    *,
    room: str | None = None,
    mood: str | None = None,
    visitor: str | None = None,
    observe: bool = False,
    attempts_max: int | None = None,
    timing: Timing | None = None,
    rng: Random | None = None,
) -> "Room":
    """Go into a room, with ``async with``.

    Args:
        url: The server's address: ``http://``, ``https://``, ``ws://`` or ``wss://``.
        room: The room's name; None for the server's default room.
        mood: One of the room's moods; None to name none.
        visitor: Our id, 16 to 64 of ``A-Za-z0-9_-`` with at least 128 random bits, or one that was signed for us (``breathing-room
            sign``); drawn anew by default. Connections with the same id are one person.
        observe: Watch the room without being counted.
        attempts_max: Failed attempts in a row after which to give up; None to go on for ever.
        timing: How patient to be.
        rng: Where the jitter of the waits comes from.

    Returns:
        The room. Entering it returns at once, whether or not the server is there.

    Raises:
        HostError: The address, the room's name or the visitor's id is not one, or a mood was given to an observer.
    """
    if observe and (mood is not None or visitor is not None):
        raise HostError("an observer is not counted, and has neither an id nor a mood")
    if visitor is not None and not VISITOR_ID.fullmatch(visitor):
        raise HostError("a visitor's id is 16 to 64 of A-Z, a-z, 0-9, - and _")
    config_url(url, room)  # Whatever is wrong with them is said at once.
    return Room(
        url,
        room,
        mood=mood,
        visitor=None if observe else visitor or secrets.token_urlsafe(VISITOR_BYTES),
        attempts_max=attempts_max,
        timing=timing or Timing(),
        rng=rng or Random(),  # noqa: S311 - it spreads waits and keeps no secret
    )


class Room:
    """A room that we are in, or watch. Made by `connect`.

    Iterating over it yields presences: the one that is known, if any, then each change. Whoever is slow gets
    the latest. The iteration goes on through lost connections, and ends when we have left.

    Raises (from the iteration and from `set_mood`):
        RefusedError: The server does not want us back: an unknown mood, a bad room, too many sockets.
        UnreachableError: ``attempts_max`` attempts in a row failed.
    """

    def __init__(
        self,
        url: str,
        name: str | None,
        *,
        mood: str | None,
        visitor: str | None,
        attempts_max: int | None,
        timing: Timing,
        rng: Random,
    ) -> None:
        self._url = url
        self._asked_name = self._name = name
        self._mood = mood
        self._visitor = visitor
        self._attempts_max = attempts_max
        self._timing = timing
        self._rng = rng
        self._clock = ServerClock()
        self._task: asyncio.Task[None] | None = None
        self._connection: RoomConnection | Polling | None = None
        self._failures = 0
        self._trouble: str | None = None
        self._presence: Presence | None = None
        self._walk = Interpolator()
        self._version = 0
        self._changed = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """Show the room's name, the server's address, the count, and what is wrong."""
        name = "" if self._name is None else f" {self._name}"
        label = "unknown" if self._presence is None else f"{self._presence.label} ({self._presence.method})"
        trouble = "" if self._trouble is None else f"; {self._trouble}"
        return f"<Room{name} at {self.url}: {label}{trouble}>"

    @property
    def url(self) -> str:
        """The server's address as it was given, without user name and password."""
        return shown_url(self._url)

    @property
    def name(self) -> str | None:
        """The room's name; None for the server's default room until the server has named it."""
        return self._name

    @property
    def presence(self) -> Presence | None:
        """The latest presence, with the method ``stale`` once it is too old; None before the first."""
        return self._presence

    @property
    def state(self) -> State:
        """Whether the presence can be shown as it is: ``live``, ``stale``, or ``unknown`` when there is no count."""
        if self._presence is None or self._presence.method == "unknown":
            return "unknown"
        return "stale" if self._presence.method == "stale" else "live"

    @property
    def trouble(self) -> str | None:
        """Why there is no connection, in a few words for people; None while there is nothing wrong."""
        return self._trouble

    def displayed_count(self) -> int | None:
        """Say what to show as the count at this moment; None while it is unknown.

        Where presence is polled the count walks from one to the next, one way and always inside of the interval of the latest.
        """
        return self._walk.at(now_ms())

    def server_now_ms(self) -> int:
        """Tell the server's wall clock, milliseconds since 1970-01-01 UTC; our own until a beat or report was answered."""
        return round(time.time() * 1000 + self._clock.offset_ms)

    async def set_mood(self, mood: str) -> None:
        """Say how we feel; ``unspoken`` takes it back.

        Returns when the server has taken it. Without a connection it returns at once, and the mood is told as
        soon as there is one; and so it does in a room that polls, if we are not among those who are asked.

        Raises:
            ClientError: The room has no such mood; the one before stays.
            HostError: We only observe, or are not in the room.
        """
        if self._visitor is None:
            raise HostError("an observer is not counted and has no mood")
        if self._task is None or self._ended(self._task):
            raise HostError("a mood can be told inside of `async with` only")
        before, self._mood = self._mood, mood
        if self._connection is None:
            return
        try:
            await self._connection.send_mood(mood)
        except ClientError:
            if self._mood == mood:
                self._mood = before
            raise

    async def leave(self) -> None:
        """Say goodbye: we are out at once, and the iteration ends. Leaving again does nothing."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise HostError("a room is entered once; call connect() again")
        self._task = asyncio.create_task(self._stay(), name="breathing_room.client")
        self._task.add_done_callback(self._end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.leave()

    async def __aiter__(self) -> AsyncIterator[Presence]:
        """Yield the latest presence whenever it changed."""
        if self._task is None:
            raise HostError("a room is heard inside of `async with` only")
        seen = 0
        while True:
            changed = self._changed
            if self._presence is not None and seen != self._version:
                seen = self._version
                yield self._presence
            elif self._ended(self._task):
                return
            else:
                await changed.wait()

    @staticmethod
    def _ended(task: asyncio.Task[None]) -> bool:
        """Tell whether we are out for good, and raise what threw us out."""
        if task.done() and not task.cancelled():
            task.result()
        return task.done()

    def _end(self, task: asyncio.Task[None]) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if not task.cancelled() and (error := task.exception()):
            logger.info("out of the room: %s", error)  # Raised from the iteration; no need to shout.
        self._wake()

    def _wake(self) -> None:
        # Every waiter holds the event that it waits for, so nobody misses a change and nobody clears another's.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _stay(self) -> None:
        """Hold a connection until we leave or are told not to come back."""
        timing = self._timing
        while True:
            # One more until the room is heard: a connection that brings no presence is a failure as well.
            self._failures += 1
            try:
                await self._visit()
            except ConnectionLostError as lost:
                self._fail(lost)
                wait_s = lost.wait_s(
                    self._failures, self._rng, base_s=timing.backoff_base_s, cap_s=timing.backoff_cap_s
                )
            else:
                return
            await asyncio.sleep(wait_s)

    def _fail(self, lost: ConnectionLostError) -> None:
        """Take note of a failure, and give up if there were too many.

        Raises:
            UnreachableError: There were.
        """
        begins, self._trouble = self._trouble is None, lost.trouble
        if self._attempts_max is not None and self._failures >= self._attempts_max:
            raise UnreachableError(self.url, lost.trouble) from None
        if self._failures == 1:
            # A program that waits for the first presence shows nothing else: Python prints warnings by itself.
            logger.warning("no connection to %s: %s; trying again", self.url, lost)
        elif begins:
            logger.info("connection lost: %s", lost)

    async def _visit(self) -> None:
        """Ask how the room works, and be there as it says. It returns when the server has seen us off.

        Raises:
            RefusedError: We may not come back.
            ConnectionLostError: We may.
            UnreachableError: Too many polls came to nothing.
        """
        line = HttpClient(self._timing.answer_s)
        try:
            rules = await fetch_room_info(line, self._url, self._asked_name)
        finally:
            line.close()
        self._name = rules.room
        if rules.mode == "poll":
            await self._poll(rules)
        else:
            await self._hold_connection(rules)

    async def _poll(self, rules: RoomInfo) -> None:
        self._failures = 0
        polling = self._connection = Polling(
            rules,
            visitor=self._visitor,
            mood=self._mood,
            timing=self._timing,
            rng=self._rng,
            clock=self._clock,
            hear=self._hear,
            doubt=self._miss,
        )
        try:
            await polling.run()
        finally:
            self._connection = None

    def _miss(self, lost: ConnectionLostError | None, heard_at_s: float) -> None:
        """Take note of a poll that brought nothing, or with None: nothing new."""
        self._doubt(heard_at_s)
        if lost is None:
            self._failures, self._trouble = 0, None
            return
        self._failures += 1
        self._fail(lost)

    async def _hold_connection(self, info: RoomInfo) -> None:
        try:
            socket = await open_socket(
                socket_url(info.base, info.room),
                compression=None,
                open_timeout=self._timing.answer_s,
                close_timeout=self._timing.close_s,
                ping_interval=None,  # ``RoomConnection`` sends those of our protocol.
                max_size=MESSAGE_BYTES_MAX,
                logger=_silence,
                user_agent_header="breathing-room",
            )
        except InvalidStatus as error:
            answer = error.response
            raise refused(
                answer.status_code, bytes(answer.body or b""), answer.headers.get("Retry-After")
            ) from None
        except (OSError, WebSocketException) as error:
            raise broken(error) from None
        connection = RoomConnection(
            socket,
            ping_s=min(self._timing.ping_s, info.ping_ms / 1_000),
            answer_s=self._timing.answer_s,
            clock=self._clock,
            on_presence=self._hear,
        )
        self._connection = connection
        try:
            await connection.run(self._join_message())
        except ConnectionClosed as end:
            code, reason = (ABNORMAL, "") if end.rcvd is None else (end.rcvd.code, end.rcvd.reason)
            if parting := closed(code, reason):
                raise parting from None
        except ConnectionLostError:
            # A close would end the visit, if it arrived: the connection is cut instead, and the lease goes on.
            socket.transport.abort()
            raise
        finally:
            self._doubt(connection.heard_at_s)
            self._connection = None
            try:
                await socket.close()  # With code 1000, which says that we leave.
            finally:
                socket.transport.abort()  # In case that we were too impatient even for that.

    def _join_message(self) -> dict[str, Any]:
        if self._visitor is None:
            return {"type": "observe"}
        join = {"type": "join", "visitor": self._visitor}
        return join if self._mood is None else {**join, "mood": self._mood}

    def _hear(self, presence: Presence) -> None:
        """Take in what the server says of the room. The connection has proved good."""
        if self._failures:
            logger.info("in the room")
        self._failures = 0
        self._trouble = None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._publish(presence)

    def _publish(self, presence: Presence) -> None:
        walk_ms = presence.poll_ms if isinstance(self._connection, Polling) else 0
        self._walk = self._walk.toward(
            presence.count, presence.low, presence.high, now_ms=now_ms(), length_ms=walk_ms
        )
        self._presence = presence
        self._version += 1
        self._wake()

    def _doubt(self, heard_at_s: float) -> None:
        """Let the presence become stale, unless we hear of the room before its validity is over.

        It counts from the last word on, whatever it was: what changed since then we may not have heard of.
        """
        if self._presence is not None and self.state == "live" and self._expiry is None:
            presence = replace(self._presence, method="stale")
            self._expiry = asyncio.get_running_loop().call_at(
                heard_at_s + presence.stale_after_ms / 1000, self._publish, presence
            )
