"""Being in a room without a socket: what a ``Poller`` asks for, carried over HTTP.

The behaviour is that of ``core/client_rules/polling.py``; here are the requests, the clock, and what becomes of an answer. ``carry`` is one
request of anybody, for a crowd as well; ``Polling`` is the stay of one.
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
from breathing_room.client.errors import ConnectionLostError, RefusedError, refused
from breathing_room.client.http import ClientResponse, Endpoint, HttpClient
from breathing_room.client.protocol import decode_presence, http_url
from breathing_room.client.room_info import RoomInfo
from breathing_room.client.timing import Timing
from breathing_room.core.client_rules.polling import (
    NEVER,
    LeaveRequest,
    Poller,
    PollRequest,
    ReportRequest,
    Request,
)
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode

logger = logging.getLogger("breathing_room.client")

OK: Final = 200


def now_ms() -> int:
    """Tell the time of the event loop's clock, in milliseconds."""
    return round(asyncio.get_running_loop().time() * 1000)


@dataclass(frozen=True, slots=True)
class Pages:
    """Where people of a room read and report.

    Attributes:
        presence: Where the presence is read, be it a copy elsewhere.
        heartbeat: Where reports go.
        leave: Where goodbyes go.
    """

    presence: Endpoint
    heartbeat: Endpoint
    leave: Endpoint

    @classmethod
    def of(cls, rules: RoomInfo) -> Self:
        """Find them."""
        heartbeat, leave = (
            http_url(rules.base, f"/v1/rooms/{rules.room}/{verb}") for verb in ("heartbeat", "leave")
        )
        return cls(Endpoint.of(rules.presence_url), Endpoint.of(heartbeat), Endpoint.of(leave))


async def carry(request: Request, poller: Poller, line: HttpClient, pages: Pages) -> Presence:
    """Send a request, tell the poller what became of it, and return what the server says of the room.

    Raises:
        ConnectionLostError: It came to nothing; the poller knows, and will try again.
        RefusedError: It would come to nothing the next time, too.
    """
    try:
        if isinstance(request, PollRequest):
            presence = read_presence(await line.ask(pages.presence))
            poller.heard(presence, now_ms())
        else:
            presence = read_presence(await line.ask(pages.heartbeat, report_body(request)))
            poller.acknowledged(presence, now_ms())
    except ConnectionLostError as lost:
        poller.failed(request, now_ms(), retry_ms=round(lost.retry_ms) or None)
        raise
    except RefusedError as refusal:
        if isinstance(request, ReportRequest) and refusal.code == "bad_epoch":
            poller.outdated(now_ms())
            raise ConnectionLostError(refusal.message) from None
        raise
    return presence


def read_presence(answer: ClientResponse) -> Presence:
    """Read the presence in an answer.

    Raises:
        ConnectionLostError: There is none; another time there may be.
        RefusedError: There will not be one.
    """
    if answer.status != OK:
        raise refused(answer.status, answer.body, answer.headers.get("retry-after"))
    return _decode(answer.body)


@lru_cache(maxsize=64)  # A crowd is told the same by a cache, over and over.
def _decode(body: bytes) -> Presence:
    try:
        return decode_presence(json.loads(body))
    except (ValueError, TypeError, RecursionError):
        raise ConnectionLostError("no presence there") from None


def report_body(report: ReportRequest) -> bytes:
    """Write a report."""
    mood = {} if report.mood is None else {"mood": report.mood}
    return encode({"visitor": report.visitor, **mood, "epoch": report.epoch})


def leave_body(goodbye: LeaveRequest) -> bytes:
    """Write a goodbye."""
    return encode({"visitor": goodbye.visitor})


class Polling:
    """The stay of somebody who polls.

    Args:
        rules: How the room works.
        visitor: Our id; None to look only.
        mood: How we feel.
        timing: How patient to be.
        rng: Where the stride and the jitter come from.
        clock: Learns the server's time from answers to reports, which no cache kept.
        hear: Called with each presence that is newer than the one before.
        doubt: Called when a poll came to nothing, with why, and with when we heard of the room last, by the loop's clock; also,
            with None for why, when a poll brought only what we know already. It may raise to end the stay.
    """

    def __init__(
        self,
        rules: RoomInfo,
        *,
        visitor: str | None,
        mood: str | None,
        timing: Timing,
        rng: Random,
        clock: ServerClock,
        hear: Callable[[Presence], None],
        doubt: Callable[[ConnectionLostError | None, float], None],
    ) -> None:
        self._rules = rules
        self._check(mood)
        self._pages = Pages.of(rules)
        self._poller = Poller(
            visitor, room=rules.room, heartbeat_ms=rules.heartbeat_ms, mood=mood, rng=rng, now_ms=now_ms(),
            backoff_ms=round(1000 * timing.backoff_base_s), backoff_max_ms=round(1000 * timing.backoff_cap_s),
        )  # fmt: skip
        self._timing = timing
        self._clock = clock
        self._hear = hear
        self._doubt = doubt
        # Reports and goodbyes have a line of their own: they keep their order, and no poll waits for them.
        self._polls, self._reports = HttpClient(timing.answer_s), HttpClient(timing.answer_s)
        self._carrying: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        # Whether the next report is taken, for whoever waits for that.
        self._taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ended: BaseException | None = None
        self._newest: Presence | None = None
        self._newest_at_s = 0.0
        # What was read before the room knew of us. Whoever is there never sees a room without themselves.
        self._held: Presence | None = None

    async def run(self) -> NoReturn:
        """Poll and report until we are refused, or cancelled: then say goodbye.

        Raises:
            RefusedError: The server does not want us.
        """
        poller, loop = self._poller, asyncio.get_running_loop()
        try:
            while self._ended is None:
                for request in poller.due(now_ms()):
                    task = asyncio.create_task(self._carry(request), name="breathing_room.client.carry")
                    self._carrying.add(task)
                    task.add_done_callback(self._carried)
                self._woken.clear()
                at_ms = poller.next_at_ms
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(None if at_ms == NEVER else max(at_ms / 1000, loop.time())):
                        await self._woken.wait()
            raise self._ended
        finally:
            await self._go()

    async def send_mood(self, mood: str) -> None:
        """Say how we feel, and return when the server has taken it, needs no word of it, or cannot be reached now.

        Raises:
            RefusedError: The room has no such mood.
        """
        poller = self._poller
        self._check(mood)
        poller.feel(mood, now_ms())
        self._woken.set()
        while not poller.is_told and (poller.is_reporting or poller.next_at_ms <= now_ms()):
            if not await asyncio.shield(self._taken):
                return

    def _check(self, mood: str | None) -> None:
        moods = self._rules.moods
        if mood is not None and mood not in moods and mood != UNSPOKEN:
            raise RefusedError("unknown_mood", f"mood must be one of {', '.join(moods)} or {UNSPOKEN}")

    async def _carry(self, request: Request) -> None:
        if isinstance(request, PollRequest):
            try:
                self._take(await carry(request, self._poller, self._polls, self._pages))
            except ConnectionLostError as lost:
                self._doubt(lost, self._newest_at_s)
            return
        taken = False
        sent_ms = time.time() * 1000
        try:
            presence = await carry(request, self._poller, self._reports, self._pages)
            taken = True
            self._clock.learn(sent_ms=sent_ms, now_ms=presence.as_of_ms, received_ms=time.time() * 1000)
            self._take(presence)
        except ConnectionLostError as lost:
            logger.info("a report came to nothing: %s", lost)
            if self._held is not None:
                self._publish(self._held)
        finally:
            answer, self._taken = self._taken, asyncio.get_running_loop().create_future()
            answer.set_result(taken)

    def _carried(self, task: asyncio.Task[None]) -> None:
        self._carrying.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._ended = error
        self._woken.set()

    def _take(self, presence: Presence) -> None:
        """Take in a presence. The first one waits for the answer to our first report, if one is asked of us."""
        if self._newest is not None and presence.as_of_ms <= self._newest.as_of_ms:
            self._doubt(None, self._newest_at_s)
        elif self._newest is None and not self._poller.is_told:
            self._held = presence
        else:
            self._publish(presence)

    def _publish(self, presence: Presence) -> None:
        self._held = None
        self._newest = presence
        self._newest_at_s = asyncio.get_running_loop().time()
        self._hear(presence)

    async def _go(self) -> None:
        """Say goodbye if the room knows of us, behind whatever report is on its way."""
        try:
            with contextlib.suppress(TimeoutError, ConnectionLostError):
                async with asyncio.timeout(self._timing.close_s):
                    while self._poller.is_reporting and self._carrying:
                        await asyncio.wait(self._carrying, return_when=asyncio.FIRST_COMPLETED)
                    if goodbye := self._poller.leave():
                        await self._reports.ask(self._pages.leave, leave_body(goodbye))
        finally:
            for task in self._carrying:
                task.cancel()
            self._polls.close()
            self._reports.close()
