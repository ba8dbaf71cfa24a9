"""Crowds without sockets: people who poll, and people who flip coins.

Theory of operation
-------------------
Everybody says when they want to do something next, and stands in one heap under that time. Whose time has come hands over
requests, and those wait in one queue for a few carriers, each with a connection of its own that is kept. So the number of
connections does not grow with the crowd, and nobody waits for anybody else's answer. A person who goes sends no more
requests; only a goodbye, behind whatever report is on its way.

Where the times come from: people who poll go by the room's ``heartbeat_ms`` and ``poll_ms``. Those who flip coins go by the constants
of their kind, and a server that counts them knows those; scaled down, they would be other clients.
"""

import asyncio
import contextlib
import heapq
import json
import secrets
from collections.abc import Coroutine, Iterable
from enum import Enum, auto
from random import Random
from typing import Any, ClassVar, Final, Generic, TypeVar

from breathing_room.client.errors import ConnectionLostError, RefusedError, error_from_response
from breathing_room.client.http import Endpoint, HttpClient
from breathing_room.client.polling import OK, Endpoints, leave_body, now_ms, read_presence, send_request
from breathing_room.client.protocol import http_url
from breathing_room.client.room import VISITOR_BYTES
from breathing_room.client.timing import Timing
from breathing_room.core.client_rules.polling import (
    LeaveRequest,
    Poller,
    PollRequest,
    ReportRequest,
    Request,
)
from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.core.estimate.legacy_sampling import CHANCE, HEARTBEAT_MS
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode
from breathing_room.lab.load.generator import LEAVE_S, LoadGenerator, LoadPlan, RoomView
from breathing_room.lab.load.stats import HttpLoadStats

# Twice what keeps a core busy on either side: 3,000 requests a second at 15 ms each are 45 on their way.
DRIVERS: Final = 100

IN_FLIGHT_S: Final = 2.0
"""A report follows the answer to the first poll, behind what the carriers have in hand."""


class HttpParticipant:
    """Somebody who comes, asks and goes over HTTP.

    Attributes:
        mood: How they feel.
        place: Where they stand among those inside.
        here: Whether they were answered once, and have not gone.
        gone: Whether they have gone.
        due_at_ms: Under which time they stand in the heap.
    """

    __slots__ = ("due_at_ms", "gone", "here", "mood", "place")

    def __init__(self, mood: str) -> None:
        self.mood = mood
        self.place = -1
        self.here = False
        self.gone = False
        self.due_at_ms = NO_DEADLINE

    @property
    def next_at_ms(self) -> int:
        """When they want to do something next."""
        raise NotImplementedError

    def due(self, at_ms: int) -> Iterable[Any]:
        """List what they want to send now."""
        raise NotImplementedError

    def feel(self) -> None:
        """Take note of the mood that they have now."""
        raise NotImplementedError


C = TypeVar("C", bound=HttpParticipant)


class HttpLoad(LoadGenerator[C], Generic[C]):
    """People over HTTP.

    Args:
        plan: What they do.
        view: What there is before they come.
    """

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        super().__init__(plan, view)
        self.stats: HttpLoadStats = HttpLoadStats()
        self._presence = Endpoint.of(view.info.presence_url)
        self._heap: list[tuple[int, int, C]] = []
        self._pushed = 0
        self._rescheduled = asyncio.Event()
        self._sent: asyncio.Queue[tuple[C, Any]] = asyncio.Queue()
        self._line = HttpClient(Timing().answer_s)
        self._least_delay_ms = now_ms() - view.presence.as_of_ms

    # --- What a kind of caller says ---------------------------------------------------------------------------

    def _new_participant(self) -> C:
        """Make somebody who comes now."""
        raise NotImplementedError

    async def _send(self, person: C, request: Any, line: HttpClient) -> None:
        """Carry a request of somebody, and tell them what became of it.

        Raises:
            ConnectionLostError: It came to nothing.
            RefusedError: It will always come to nothing.
        """
        raise NotImplementedError

    def _send_leave(self, person: C) -> None:
        """Let somebody who has gone say goodbye, if they do and are not waiting for an answer."""
        raise NotImplementedError

    # --- What all do ------------------------------------------------------------------------------------------

    def _work(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [self._keep_time(), *(self._driver() for _ in range(self._drivers))]

    @property
    def _drivers(self) -> int:
        return min(DRIVERS, self.plan.people)

    def _add_participant(self) -> None:
        self._schedule(self._new_participant())

    def _schedule(self, person: C) -> None:
        """Put somebody under the time at which they want to do something next."""
        at_ms = NO_DEADLINE if person.gone else person.next_at_ms
        if at_ms != person.due_at_ms:
            person.due_at_ms = at_ms
            if at_ms != NO_DEADLINE:
                self._pushed += 1
                heapq.heappush(self._heap, (at_ms, self._pushed, person))
                if self._heap[0][2] is person:
                    self._rescheduled.set()

    async def _keep_time(self) -> None:
        """Let everybody whose time has come hand over what they want to send."""
        while True:
            self._rescheduled.clear()
            at_ms = now_ms()
            while self._heap and self._heap[0][0] <= at_ms:
                due_at_ms, _, person = heapq.heappop(self._heap)
                if due_at_ms != person.due_at_ms:
                    continue  # It changed its mind meanwhile.
                person.due_at_ms = NO_DEADLINE
                for request in person.due(at_ms):
                    self._sent.put_nowait((person, request))
                self._schedule(person)
            wait_s = (self._heap[0][0] - now_ms()) / 1000 if self._heap else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._rescheduled.wait()

    async def _driver(self) -> None:
        """Carry one request after another."""
        line = HttpClient(Timing().answer_s)
        try:
            while True:
                await self._serve(*await self._sent.get(), line)
                self._sent.task_done()
        finally:
            line.close()

    async def _serve(self, person: C, request: Any, line: HttpClient) -> None:
        try:
            await self._send(person, request, line)
        except ConnectionLostError as lost:
            self.stats.ends[lost.reason] += 1
        except RefusedError as refusal:
            self.stats.errors[refusal.code] += 1
            self._exit(person)
            replaced = person.gone
            person.here, person.gone = False, True
            self._has_left(person)
            self._count_rejection(replaced=replaced)
            return
        else:
            if not (person.here or person.gone):
                person.here = True
                self.stats.joined += 1
                self._enter(person)
                self._welcome(person)
        if person.gone:
            self._send_leave(person)
        self._schedule(person)

    def _report_mood(self, person: C) -> None:
        person.feel()
        self._schedule(person)

    def _start_leaving(self, person: C) -> None:
        person.here, person.gone = False, True
        self._exit(person)
        self._send_leave(person)

    async def _read_presence(self) -> Presence:
        try:
            self.presence = read_presence(await self._line.request(self._presence))
        except RefusedError as refusal:
            raise ConnectionLostError(refusal.message) from None
        return self.presence

    def _in_flight_s(self, presence: Presence) -> float:
        """Return the age of a presence, which a cache may serve for as long as it is valid, and some more for reports on their way.

        The clock of the server need not be ours: the presence that seemed the youngest so far is taken for fresh.
        """
        delay_ms = now_ms() - presence.as_of_ms
        self._least_delay_ms = min(self._least_delay_ms, delay_ms)
        return IN_FLIGHT_S + min(delay_ms - self._least_delay_ms, presence.stale_after_ms) / 1000

    async def _leave(self) -> None:
        """Let everybody say goodbye, each over the next line that is free."""
        self._sent = asyncio.Queue()
        for person in list(self._inside):
            self._start_leaving(person)
        carriers = [asyncio.create_task(self._driver()) for _ in range(self._drivers)]
        said = [asyncio.create_task(self._sent.join()), asyncio.create_task(self._empty.wait())]
        await asyncio.wait(said, timeout=LEAVE_S, return_when=asyncio.FIRST_COMPLETED)
        for task in (*said, *carriers):
            task.cancel()
        await asyncio.wait((*said, *carriers))
        self._line.close()


# --- People who poll ----------------------------------------------------------------------------------------------


class PollingParticipant(HttpParticipant):
    """Somebody who polls, and reports if asked."""

    __slots__ = ("parted", "poller")

    def __init__(self, mood: str, poller: Poller) -> None:
        super().__init__(mood)
        self.poller = poller
        self.parted = False

    @property
    def next_at_ms(self) -> int:
        """When the poller wants to."""
        return self.poller.next_at_ms

    def due(self, at_ms: int) -> Iterable[Request]:
        """List what the poller wants."""
        return self.poller.due(at_ms)

    def feel(self) -> None:
        """Tell the poller."""
        self.poller.set_mood(self.mood, now_ms())


class PollLoad(HttpLoad[PollingParticipant]):
    """People who poll, of whom those report who are asked."""

    mode: ClassVar[str] = "poll"

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        super().__init__(plan, view)
        self._info = view.info
        self._pages = Endpoints.of(view.info)

    def _new_participant(self) -> PollingParticipant:
        mood = self.rng.choice(self.moods)
        poller = Poller(
            secrets.token_urlsafe(VISITOR_BYTES),
            room=self._info.room,
            heartbeat_ms=self._info.heartbeat_ms,
            mood=mood,
            rng=self.rng,
            now_ms=now_ms(),
        )
        return PollingParticipant(mood, poller)

    async def _send(
        self, person: PollingParticipant, request: Request | LeaveRequest, line: HttpClient
    ) -> None:
        poller = person.poller
        match request:
            case LeaveRequest():
                self.stats.leaves += 1
                try:
                    await line.request(self._pages.leave, leave_body(request))
                finally:
                    self._has_left(person)
                return
            case _ if person.gone:
                poller.failed(request, now_ms())  # Nobody is there any more to send it.
                return
            case PollRequest():
                self.stats.reads += 1
            case ReportRequest():
                self.stats.reports += 1
        try:
            self.presence = await send_request(request, poller, line, self._pages)
        except ConnectionLostError as lost:
            self.stats.shed += isinstance(request, ReportRequest) and lost.retry_ms > 0
            raise

    def _send_leave(self, person: PollingParticipant) -> None:
        if person.parted or (person.poller.is_reporting and not self.is_ending):
            return
        person.parted = True
        goodbye = person.poller.leave()
        if goodbye is not None and self.rng.random() < self.plan.leaves_share:
            self._sent.put_nowait((person, goodbye))
        else:
            self._has_left(person)


# --- People who flip coins ----------------------------------------------------------------------------------------


class Call(Enum):
    """What a client of the planning document's kind asks for."""

    CONFIG = auto()
    HEARTBEAT = auto()
    PRESENCE = auto()


class LegacyParticipant(HttpParticipant):
    """Somebody with a client of the planning document's kind.

    It sends a heartbeat on coming and on a change of mood. Every 30 s it flips a coin, and sends one with a chance of 3 %;
    otherwise it reads the presence. It never says goodbye.

    Args:
        mood: How they feel.
        reads_config: Whether it reads the chance from the server; otherwise it is built in.
        rng: The coins.
    """

    __slots__ = ("_beat_at_ms", "_forced", "_reads_config", "_rng", "chance", "session")

    def __init__(self, mood: str, *, reads_config: bool, rng: Random) -> None:
        super().__init__(mood)
        self.session = secrets.token_urlsafe(VISITOR_BYTES)
        self.chance = CHANCE
        self._reads_config = reads_config
        self._rng = rng
        self._forced = True
        self._beat_at_ms = now_ms() + HEARTBEAT_MS

    @property
    def next_at_ms(self) -> int:
        """At once where a heartbeat is forced, else with the next coin."""
        return 0 if self._forced else self._beat_at_ms

    def due(self, at_ms: int) -> Iterable[Call]:
        """List what it sends."""
        if self._reads_config:
            self._reads_config = False
            yield Call.CONFIG
        if self._forced:
            self._forced = False
            yield Call.HEARTBEAT
        if self._beat_at_ms <= at_ms:
            self._beat_at_ms += HEARTBEAT_MS
            yield Call.HEARTBEAT if self._rng.random() < self.chance else Call.PRESENCE

    def feel(self) -> None:
        """Force a heartbeat."""
        self._forced = True


class LegacyLoad(HttpLoad[LegacyParticipant]):
    """People with clients of the planning document's kind, half of which read their chance from the server."""

    mode: ClassVar[str] = "coin"

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        super().__init__(plan, view)
        self._came = 0
        self._pages = {
            call: Endpoint.of(http_url(view.info.base, f"/api/{call.name.lower()}")) for call in Call
        }

    def _new_participant(self) -> LegacyParticipant:
        self._came += 1
        return LegacyParticipant(self.rng.choice(self.moods), reads_config=self._came % 2 == 0, rng=self.rng)

    async def _send(self, person: LegacyParticipant, request: Call, line: HttpClient) -> None:
        if person.gone:
            return
        body = None
        if request is Call.HEARTBEAT:
            self.stats.reports += 1
            body = encode({"sessionId": person.session, "mood": person.mood})
        elif request is Call.PRESENCE:
            self.stats.reads += 1
        answer = await line.request(self._pages[request], body)
        if answer.status != OK:
            raise error_from_response(answer.status, answer.body, answer.headers.get("retry-after"))
        if request is Call.CONFIG:
            person.chance = _sample_rate(answer.body)

    def _send_leave(self, person: LegacyParticipant) -> None:
        """Go without a word: this kind has none."""
        self._has_left(person)


def _sample_rate(body: bytes) -> float:
    """Read the chance in a config, and go by the one that is built in where there is none."""
    with contextlib.suppress(ValueError, RecursionError):
        match json.loads(body):
            case {"sampleRate": int() | float() as rate} if 0 <= rate <= 1:
                return float(rate)
    return CHANCE
