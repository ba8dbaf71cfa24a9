"""The room of the Python client: stay connected, and yield the latest presence.

Theory of operation
-------------------
One task fetches the room's config, and then connects as it says: over a WebSocket (``room_connection.py``) or
by polling (``polling.py``). When the connection is lost it starts over, after the wait that the close code
asks for. An iteration waits for the latest presence and never for an older one: there is no queue to fall
behind in. While there is no connection, or polls fail, the last presence stays valid for its
``stale_after_ms``, and is then yielded once more with the method ``stale``.
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
    error_from_close,
    error_from_exception,
    error_from_response,
)
from breathing_room.client.http import HttpClient
from breathing_room.client.polling import Polling, now_ms
from breathing_room.client.protocol import config_url, redacted_url, socket_url
from breathing_room.client.room_connection import RoomConnection
from breathing_room.client.room_info import RoomInfo, fetch_room_info
from breathing_room.client.timing import Timing
from breathing_room.core.client_rules.interpolation import Interpolator
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import VISITOR_ID

State = Literal["live", "stale", "unknown"]

logger = logging.getLogger("breathing_room.client")

# The websockets library logs addresses and whole messages, and a join message has the visitor's id.
_disabled_logger = logging.Logger("disabled")  # noqa: LOG001 - outside of the hierarchy, so that no configuration enables it
_disabled_logger.disabled = True

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
    """Join a room, with ``async with``.

    Args:
        url: The server's URL: ``http://``, ``https://``, ``ws://`` or ``wss://``.
        room: The room's name; None for the server's default room.
        mood: One of the room's moods; None to name none.
        visitor: The visitor id, 16 to 64 of ``A-Za-z0-9_-`` with at least 128 random bits, or one that the
            server signed (``breathing-room sign``); a random one by default. Connections with the same id are
            one person.
        observe: Watch the room without being counted.
        attempts_max: Failed attempts in a row after which to give up; None to go on for ever.
        timing: Timeouts and waits.
        rng: The source of the jitter.

    Returns:
        The room. Entering it returns at once, whether or not the server is reachable.

    Raises:
        HostError: The URL, the room's name or the visitor id is invalid, or an observer was given an id or a
            mood.
    """
    if observe and (mood is not None or visitor is not None):
        raise HostError("an observer is not counted: observe=True takes neither visitor nor mood")
    if visitor is not None and not VISITOR_ID.fullmatch(visitor):
        raise HostError("invalid visitor id: expected 16 to 64 of A-Z, a-z, 0-9, - and _")
    config_url(url, room)  # Raises here, rather than in the task, what is wrong with them.
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
    """A room that the client has joined or observes. Made by `connect`.

    Iterating over it yields presences: the latest, if there is one, then each change. A slow loop gets the
    latest and skips what came before it. The iteration goes on through lost connections, and ends with
    `leave`.

    Raises (from the iteration and from `set_mood`):
        RefusedError: The server rejected the client for good: an unknown mood, a bad room, too many sockets.
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
        self._connection_error: str | None = None
        self._presence: Presence | None = None
        self._interpolator = Interpolator()
        self._version = 0
        self._changed = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """Show the room's name, the server's URL, the count, and the connection error."""
        name = "" if self._name is None else f" {self._name}"
        label = "unknown" if self._presence is None else f"{self._presence.label} ({self._presence.method})"
        error = "" if self._connection_error is None else f"; {self._connection_error}"
        return f"<Room{name} at {self.url}: {label}{error}>"

    @property
    def url(self) -> str:
        """The server's URL as it was given, without user name and password."""
        return redacted_url(self._url)

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
        """Whether the presence can be shown as it is: ``live``, ``stale``, or ``unknown`` when there is no
        count.
        """
        if self._presence is None or self._presence.method == "unknown":
            return "unknown"
        return "stale" if self._presence.method == "stale" else "live"

    @property
    def connection_error(self) -> str | None:
        """Why there is no connection, in a few words for people; None while there is no error."""
        return self._connection_error

    def displayed_count(self) -> int | None:
        """Return the count to display at this moment; None while it is unknown.

        Where presence is polled, the count is interpolated from one presence to the next, and stays inside
        the interval of the latest.
        """
        return self._interpolator.at(now_ms())

    def server_now_ms(self) -> int:
        """Return the server's wall clock in milliseconds since 1970-01-01 UTC; our own until the first round
        trip.
        """
        return round(time.time() * 1000 + self._clock.offset_ms)

    async def set_mood(self, mood: str) -> None:
        """Change the mood; ``unspoken`` clears it.

        Returns when the server has taken it. Without a connection it returns at once, and the mood is sent
        with the next join; it also returns at once in a room that polls, if this visitor is not in the
        sample.

        Raises:
            ClientError: The room has no such mood; the one before stays.
            HostError: The client observes, or is not in the room.
        """
        if self._visitor is None:
            raise HostError("an observer is not counted and has no mood")
        if self._task is None or self._has_ended(self._task):
            raise HostError("set_mood() outside of the room: call it inside `async with`, before leave()")
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
        """Leave the room: the server counts the visitor out at once, and the iteration ends.

        Leaving again does nothing.
        """
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise HostError("a room is entered once; call connect() again")
        self._task = asyncio.create_task(self._run(), name="breathing_room.client")
        self._task.add_done_callback(self._on_task_done)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.leave()

    async def __aiter__(self) -> AsyncIterator[Presence]:
        """Yield the latest presence whenever it changed."""
        if self._task is None:
            raise HostError("iterating outside of the room: enter it first, with `async with`")
        seen = 0
        while True:
            changed = self._changed
            if self._presence is not None and seen != self._version:
                seen = self._version
                yield self._presence
            elif self._has_ended(self._task):
                return
            else:
                await changed.wait()

    @staticmethod
    def _has_ended(task: asyncio.Task[None]) -> bool:
        """Return whether the client has left; raise the error that ended it, if one did."""
        if task.done() and not task.cancelled():
            task.result()
        return task.done()

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if not task.cancelled() and (error := task.exception()):
            logger.info(
                "out of the room: %s", error
            )  # It is raised from the iteration, so no warning is due.
        self._notify()

    def _notify(self) -> None:
        # Every iteration holds the event that it waits for, so none misses a change and none clears the event
        # of another.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _run(self) -> None:
        """Connect again and again until the client leaves or the server rejects it for good."""
        timing = self._timing
        while True:
            # One more until a presence comes: a connection that brings none is a failure as well.
            self._failures += 1
            try:
                await self._connect_once()
            except ConnectionLostError as lost:
                self._record_failure(lost)
                wait_s = lost.wait_s(
                    self._failures, self._rng, base_s=timing.backoff_base_s, cap_s=timing.backoff_cap_s
                )
            else:
                return
            await asyncio.sleep(wait_s)

    def _record_failure(self, lost: ConnectionLostError) -> None:
        """Record a failure, and give up if there were too many.

        Raises:
            UnreachableError: There were ``attempts_max`` in a row.
        """
        is_first, self._connection_error = self._connection_error is None, lost.reason
        if self._attempts_max is not None and self._failures >= self._attempts_max:
            raise UnreachableError(self.url, lost.reason) from None
        if self._failures == 1:
            # A program that waits for the first presence shows nothing else: Python prints warnings by
            # itself.
            logger.warning("no connection to %s: %s; trying again", self.url, lost)
        elif is_first:
            logger.info("connection lost: %s", lost)

    async def _connect_once(self) -> None:
        """Fetch the config, and run one connection as it says. Return after a normal closure by the server.

        Raises:
            RefusedError: The server rejected the client for good.
            ConnectionLostError: The connection was lost, and the client may reconnect.
            UnreachableError: Too many polls failed.
        """
        http = HttpClient(self._timing.answer_s)
        try:
            info = await fetch_room_info(http, self._url, self._asked_name)
        finally:
            http.close()
        self._name = info.room
        if info.mode == "poll":
            await self._run_polling(info)
        else:
            await self._run_connection(info)

    async def _run_polling(self, info: RoomInfo) -> None:
        self._failures = 0
        polling = self._connection = Polling(
            info,
            visitor=self._visitor,
            mood=self._mood,
            timing=self._timing,
            rng=self._rng,
            clock=self._clock,
            on_presence=self._on_presence,
            on_poll_failure=self._on_poll_failure,
        )
        try:
            await polling.run()
        finally:
            self._connection = None

    def _on_poll_failure(self, lost: ConnectionLostError | None, received_at_s: float) -> None:
        """Record a poll that failed, or with None: one that brought nothing new."""
        self._mark_stale_later(received_at_s)
        if lost is None:
            self._failures, self._connection_error = 0, None
            return
        self._failures += 1
        self._record_failure(lost)

    async def _run_connection(self, info: RoomInfo) -> None:
        try:
            socket = await open_socket(
                socket_url(info.base, info.room),
                compression=None,
                open_timeout=self._timing.answer_s,
                close_timeout=self._timing.close_s,
                ping_interval=None,  # ``RoomConnection`` sends the pings of our protocol.
                max_size=MESSAGE_BYTES_MAX,
                logger=_disabled_logger,
                user_agent_header="breathing-room",
            )
        except InvalidStatus as error:
            response = error.response
            raise error_from_response(
                response.status_code, bytes(response.body or b""), response.headers.get("Retry-After")
            ) from None
        except (OSError, WebSocketException) as error:
            raise error_from_exception(error) from None
        connection = RoomConnection(
            socket,
            ping_s=info.ping_ms / 1_000 if self._timing.ping_s is None else self._timing.ping_s,
            answer_s=self._timing.answer_s,
            clock=self._clock,
            on_presence=self._on_presence,
        )
        self._connection = connection
        try:
            await connection.run(self._join_message())
        except ConnectionClosed as end:
            code, reason = (ABNORMAL, "") if end.rcvd is None else (end.rcvd.code, end.rcvd.reason)
            if closure := error_from_close(code, reason):
                raise closure from None
        except ConnectionLostError:
            # A close would end the visit, if it arrived: the connection is cut instead, and the lease goes
            # on.
            socket.transport.abort()
            raise
        finally:
            self._mark_stale_later(connection.received_at_s)
            self._connection = None
            try:
                await socket.close()  # With code 1000, which is a leave.
            finally:
                socket.transport.abort()  # In case that the close was cancelled.

    def _join_message(self) -> dict[str, Any]:
        if self._visitor is None:
            return {"type": "observe"}
        join = {"type": "join", "visitor": self._visitor}
        return join if self._mood is None else {**join, "mood": self._mood}

    def _on_presence(self, presence: Presence) -> None:
        """Publish a presence, which also shows that the connection works."""
        if self._failures:
            logger.info("in the room")
        self._failures = 0
        self._connection_error = None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._publish(presence)

    def _publish(self, presence: Presence) -> None:
        length_ms = presence.poll_ms if isinstance(self._connection, Polling) else 0
        self._interpolator = self._interpolator.retarget(
            presence.count, presence.low, presence.high, now_ms=now_ms(), length_ms=length_ms
        )
        self._presence = presence
        self._version += 1
        self._notify()

    def _mark_stale_later(self, received_at_s: float) -> None:
        """Publish the presence as stale ``stale_after_ms`` after the last message, unless a newer one comes
        before.

        It counts from the last message of any kind: changes since then may have been missed.
        """
        if self._presence is not None and self.state == "live" and self._expiry is None:
            presence = replace(self._presence, method="stale")
            self._expiry = asyncio.get_running_loop().call_at(
                received_at_s + presence.stale_after_ms / 1000, self._publish, presence
            )
