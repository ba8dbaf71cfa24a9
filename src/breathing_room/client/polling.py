"""A client without a connection: the requests of a ``Poller``, sent over HTTP.

The rules are those of ``core/client_rules/polling.py``; here are the requests, the clock, and what becomes of
a response. ``send_request`` sends one request of a poller, for the load generator as well; ``Polling`` is the
visit of one client.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final, NoReturn, Self

from breathing_room.client.clock import ServerClock
from breathing_room.client.errors import ConnectionLostError, RefusedError, error_from_response
from breathing_room.client.http import ClientResponse, Endpoint, HttpClient
from breathing_room.client.protocol import decode_presence, http_url
from breathing_room.client.room_info import RoomInfo
from breathing_room.client.timing import Timing
from breathing_room.core.client_rules.polling import (
    LeaveRequest,
    Poller,
    PollRequest,
    ReportRequest,
    Request,
)
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode

logger = logging.getLogger("breathing_room.client")

OK: Final = 200


def now_ms() -> int:
    """Return the time of the event loop's clock, in milliseconds."""
    return round(asyncio.get_running_loop().time() * 1000)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints of a room for clients that poll.

    Attributes:
        presence: Where the presence is read; this may be a copy elsewhere, such as on a CDN.
        heartbeat: Where reports are posted.
        leave: Where leaves are posted.
    """

    presence: Endpoint
    heartbeat: Endpoint
    leave: Endpoint

    @classmethod
    def of(cls, info: RoomInfo) -> Self:
        """Return the endpoints of a room."""
        heartbeat, leave = (
            http_url(info.base, f"/v1/rooms/{info.room}/{verb}") for verb in ("heartbeat", "leave")
        )
        return cls(Endpoint.of(info.presence_url), Endpoint.of(heartbeat), Endpoint.of(leave))


async def send_request(request: Request, poller: Poller, http: HttpClient, endpoints: Endpoints) -> Presence:
    """Send a request of a poller, pass the outcome to the poller, and return the presence in the response.

    Raises:
        ConnectionLostError: The request failed; the poller will try again.
        RefusedError: The server rejected the request, and would again.
    """
    try:
        if isinstance(request, PollRequest):
            presence = read_presence(await http.request(endpoints.presence))
            poller.polled(presence, now_ms())
        else:
            presence = read_presence(await http.request(endpoints.heartbeat, report_body(request)))
            poller.acknowledged(presence, now_ms())
    except ConnectionLostError as lost:
        poller.failed(request, now_ms(), retry_ms=round(lost.retry_ms) or None)
        raise
    except RefusedError as refusal:
        if isinstance(request, ReportRequest) and refusal.code == "bad_epoch":
            poller.epoch_expired(now_ms())
            raise ConnectionLostError(refusal.message) from None
        raise
    return presence


def read_presence(response: ClientResponse) -> Presence:
    """Return the presence in a response.

    Raises:
        ConnectionLostError: There is none; a later request may succeed.
        RefusedError: There is none, and a later request would fail as well.
    """
    if response.status != OK:
        raise error_from_response(response.status, response.body, response.headers.get("retry-after"))
    return _decode(response.body)


@lru_cache(maxsize=64)  # The clients of a load generator read the same bytes from a cache, again and again.
def _decode(body: bytes) -> Presence:
    try:
        return decode_presence(json.loads(body))
    except (ValueError, TypeError, RecursionError):
        raise ConnectionLostError("no presence there") from None


def report_body(report: ReportRequest) -> bytes:
    """Encode a report."""
    mood = {} if report.mood is None else {"mood": report.mood}
    return encode({"visitor": report.visitor, **mood, "epoch": report.epoch})


def leave_body(leave: LeaveRequest) -> bytes:
    """Encode a leave."""
    return encode({"visitor": leave.visitor})


class Polling:
    """The visit of one client that polls.

    Args:
        info: The room's config.
        visitor: The visitor id; None to observe only.
        mood: The mood to report.
        timing: Timeouts and waits.
        rng: The source of the poll factor and of the jitter.
        clock: Is given the server's time in responses to reports, which no cache keeps.
        on_presence: Called with each presence that is newer than the one before.
        on_poll_failure: Called when a poll failed, with the error and the time of the last new presence, by
            the loop's clock; also with None for the error when a poll brought nothing new. It may raise to
            end the visit.
    """

    def __init__(
        self,
        info: RoomInfo,
        *,
        visitor: str | None,
        mood: str | None,
        timing: Timing,
        rng: Random,
        clock: ServerClock,
        on_presence: Callable[[Presence], None],
        on_poll_failure: Callable[[ConnectionLostError | None, float], None],
    ) -> None:
        self._moods = info.moods
        self._check_mood(mood)
        self._endpoints = Endpoints.of(info)
        self._poller = Poller(
            visitor, room=info.room, heartbeat_ms=info.heartbeat_ms, mood=mood, rng=rng, now_ms=now_ms(),
            backoff_ms=round(1000 * timing.backoff_base_s), backoff_max_ms=round(1000 * timing.backoff_cap_s),
        )  # fmt: skip
        self._timing = timing
        self._clock = clock
        self._on_presence = on_presence
        self._on_poll_failure = on_poll_failure
        # Reports and leaves have a connection of their own: they keep their order, and no poll waits for
        # them.
        self._poll_http, self._report_http = HttpClient(timing.answer_s), HttpClient(timing.answer_s)
        self._requests: set[asyncio.Task[None]] = set()
        self._has_changed = asyncio.Event()
        # Whether the server took the next report; a change of mood waits for it.
        self._report_taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._error: BaseException | None = None
        self._newest: Presence | None = None
        self._newest_at_s = 0.0
        # A presence that was read before the server counted us. A client never sees a count that lacks
        # itself.
        self._held_back: Presence | None = None

    async def run(self) -> NoReturn:
        """Poll and report until the server rejects a request or the task is cancelled; then leave.

        Raises:
            RefusedError: The server rejected a request for good.
        """
        poller, loop = self._poller, asyncio.get_running_loop()
        try:
            while self._error is None:
                for request in poller.due(now_ms()):
                    task = asyncio.create_task(self._send(request), name="breathing_room.client.request")
                    self._requests.add(task)
                    task.add_done_callback(self._on_request_done)
                self._has_changed.clear()
                at_ms = poller.next_at_ms
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(
                        None if at_ms == NO_DEADLINE else max(at_ms / 1000, loop.time())
                    ):
                        await self._has_changed.wait()
            raise self._error
        finally:
            await self._leave()

    async def send_mood(self, mood: str) -> None:
        """Report a mood, and return when the server has taken it, needs no report of it, or cannot be reached
        now.

        Raises:
            RefusedError: The room has no such mood.
        """
        poller = self._poller
        self._check_mood(mood)
        poller.set_mood(mood, now_ms())
        self._has_changed.set()
        while not poller.is_up_to_date and (poller.is_reporting or poller.next_at_ms <= now_ms()):
            if not await asyncio.shield(self._report_taken):
                return

    def _check_mood(self, mood: str | None) -> None:
        moods = self._moods
        if mood is not None and mood not in moods and mood != UNSPOKEN:
            raise RefusedError("unknown_mood", f"mood must be one of {', '.join(moods)} or {UNSPOKEN}")

    async def _send(self, request: Request) -> None:
        if isinstance(request, PollRequest):
            try:
                self._receive(await send_request(request, self._poller, self._poll_http, self._endpoints))
            except ConnectionLostError as lost:
                self._on_poll_failure(lost, self._newest_at_s)
            return
        taken = False
        sent_ms = time.time() * 1000
        try:
            presence = await send_request(request, self._poller, self._report_http, self._endpoints)
            taken = True
            self._clock.add_sample(sent_ms=sent_ms, now_ms=presence.as_of_ms, received_ms=time.time() * 1000)
            self._receive(presence)
        except ConnectionLostError as lost:
            logger.info("a report failed: %s", lost)
            if self._held_back is not None:
                self._publish(self._held_back)
        finally:
            answer, self._report_taken = self._report_taken, asyncio.get_running_loop().create_future()
            answer.set_result(taken)

    def _on_request_done(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._error = error
        self._has_changed.set()

    def _receive(self, presence: Presence) -> None:
        """Pass a new presence on. The first one waits for the response to our first report, if one is due."""
        if self._newest is not None and presence.as_of_ms <= self._newest.as_of_ms:
            self._on_poll_failure(None, self._newest_at_s)
        elif self._newest is None and not self._poller.is_up_to_date:
            self._held_back = presence
        else:
            self._publish(presence)

    def _publish(self, presence: Presence) -> None:
        self._held_back = None
        self._newest = presence
        self._newest_at_s = asyncio.get_running_loop().time()
        self._on_presence(presence)

    async def _leave(self) -> None:
        """Post a leave if the server may have counted us, after the report that is on its way."""
        try:
            with contextlib.suppress(TimeoutError, ConnectionLostError):
                async with asyncio.timeout(self._timing.close_s):
                    while self._poller.is_reporting and self._requests:
                        await asyncio.wait(self._requests, return_when=asyncio.FIRST_COMPLETED)
                    if leave := self._poller.leave():
                        await self._report_http.request(self._endpoints.leave, leave_body(leave))
        finally:
            for task in self._requests:
                task.cancel()
            self._poll_http.close()
            self._report_http.close()
