"""Load without sockets: participants who poll, and legacy clients.

Theory of operation
-------------------
Each participant has a time of its next request, and one heap holds all of them by that time. Due requests
wait in one queue for a few drivers, each with a persistent connection of its own. So the number of
connections does not grow with the number of participants, and no request waits for the answer to another
participant's. A participant who leaves sends no more requests but the leave, behind a report that is on its
way.

Participants who poll go by the room's ``heartbeat_ms`` and ``poll_ms``. Legacy clients go by the constants of
their kind, and a server that counts them relies on those; scaled down, they would be other clients.
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
"""A report follows the answer to the first poll, behind what the drivers are sending."""


class HttpParticipant:
    """A simulated visitor over HTTP.

    Attributes:
        mood: The mood.
        place: The index among the connected participants; -1: not connected.
        present: Whether a request was answered, and the participant has not left.
        left: Whether the participant has left.
        due_at_ms: The time in the heap.
    """

    __slots__ = ("due_at_ms", "left", "mood", "place", "present")

    def __init__(self, mood: str) -> None:
        self.mood = mood
        self.place = -1
        self.present = False
        self.left = False
        self.due_at_ms = NO_DEADLINE

    @property
    def next_at_ms(self) -> int:
        """The time of the next request."""
        raise NotImplementedError

    def due(self, at_ms: int) -> Iterable[Any]:
        """Return the requests that are due."""
        raise NotImplementedError

    def report_mood(self) -> None:
        """Report the new mood."""
        raise NotImplementedError


C = TypeVar("C", bound=HttpParticipant)


class HttpLoad(LoadGenerator[C], Generic[C]):
    """Participants over HTTP.

    Args:
        plan: What the participants do.
        view: The room before the load begins.
    """

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        super().__init__(plan, view)
        self.stats: HttpLoadStats = HttpLoadStats()
        self._presence = Endpoint.of(view.info.presence_url)
        self._heap: list[tuple[int, int, C]] = []
        self._pushed = 0
        self._rescheduled = asyncio.Event()
        self._queue: asyncio.Queue[tuple[C, Any]] = asyncio.Queue()
        self._client = HttpClient(Timing().answer_s)
        self._least_delay_ms = now_ms() - view.presence.as_of_ms

    # --- What a kind of participant defines ----------------------------------------------------------------

    def _new_participant(self) -> C:
        """Make a participant who joins now."""
        raise NotImplementedError

    async def _send(self, participant: C, request: Any, client: HttpClient) -> None:
        """Send a request of a participant, and pass on the answer.

        Raises:
            ConnectionLostError: It failed.
            RefusedError: It was rejected for good.
        """
        raise NotImplementedError

    def _send_leave(self, participant: C) -> None:
        """Queue the leave of a participant, unless there is none or a report is on its way."""
        raise NotImplementedError

    # --- What all share ------------------------------------------------------------------------------------

    def _work(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [self._keep_time(), *(self._driver() for _ in range(self._drivers))]

    @property
    def _drivers(self) -> int:
        return min(DRIVERS, self.plan.people)

    def _add_participant(self) -> None:
        self._schedule(self._new_participant())

    def _schedule(self, participant: C) -> None:
        """Put a participant into the heap by the time of the next request."""
        at_ms = NO_DEADLINE if participant.left else participant.next_at_ms
        if at_ms != participant.due_at_ms:
            participant.due_at_ms = at_ms
            if at_ms != NO_DEADLINE:
                self._pushed += 1
                heapq.heappush(self._heap, (at_ms, self._pushed, participant))
                if self._heap[0][2] is participant:
                    self._rescheduled.set()

    async def _keep_time(self) -> None:
        """Queue the requests of participants as they become due."""
        while True:
            self._rescheduled.clear()
            at_ms = now_ms()
            while self._heap and self._heap[0][0] <= at_ms:
                due_at_ms, _, participant = heapq.heappop(self._heap)
                if due_at_ms != participant.due_at_ms:
                    continue  # It was rescheduled meanwhile.
                participant.due_at_ms = NO_DEADLINE
                for request in participant.due(at_ms):
                    self._queue.put_nowait((participant, request))
                self._schedule(participant)
            wait_s = (self._heap[0][0] - now_ms()) / 1000 if self._heap else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._rescheduled.wait()

    async def _driver(self) -> None:
        """Send one request after another."""
        client = HttpClient(Timing().answer_s)
        try:
            while True:
                await self._serve(*await self._queue.get(), client)
                self._queue.task_done()
        finally:
            client.close()

    async def _serve(self, participant: C, request: Any, client: HttpClient) -> None:
        try:
            await self._send(participant, request, client)
        except ConnectionLostError as lost:
            self.stats.ends[lost.reason] += 1
        except RefusedError as refusal:
            self.stats.errors[refusal.code] += 1
            self._remove(participant)
            replaced = participant.left
            participant.present, participant.left = False, True
            self._mark_left(participant)
            self._count_rejection(replaced=replaced)
            return
        else:
            if not (participant.present or participant.left):
                participant.present = True
                self.stats.joined += 1
                self._add(participant)
                self._mark_joined(participant)
        if participant.left:
            self._send_leave(participant)
        self._schedule(participant)

    def _report_mood(self, participant: C) -> None:
        participant.report_mood()
        self._schedule(participant)

    def _start_leaving(self, participant: C) -> None:
        participant.present, participant.left = False, True
        self._remove(participant)
        self._send_leave(participant)

    async def _read_presence(self) -> Presence:
        try:
            self.presence = read_presence(await self._client.request(self._presence))
        except RefusedError as refusal:
            raise ConnectionLostError(refusal.message) from None
        return self.presence

    def _in_flight_s(self, presence: Presence) -> float:
        """Return the age of a presence, which a cache may serve until it is stale, and the time of reports on
        their way.

        The clock of the server may differ from ours: the presence that seemed youngest so far is taken as
        fresh.
        """
        delay_ms = now_ms() - presence.as_of_ms
        self._least_delay_ms = min(self._least_delay_ms, delay_ms)
        return IN_FLIGHT_S + min(delay_ms - self._least_delay_ms, presence.stale_after_ms) / 1000

    async def _leave(self) -> None:
        """Send the leaves of all participants, each over the next free connection."""
        self._queue = asyncio.Queue()
        for participant in list(self._connected):
            self._start_leaving(participant)
        drivers = [asyncio.create_task(self._driver()) for _ in range(self._drivers)]
        done = [asyncio.create_task(self._queue.join()), asyncio.create_task(self._empty.wait())]
        await asyncio.wait(done, timeout=LEAVE_S, return_when=asyncio.FIRST_COMPLETED)
        for task in (*done, *drivers):
            task.cancel()
        await asyncio.wait((*done, *drivers))
        self._client.close()


# --- Polling ----------------------------------------------------------------------------------------------


class PollingParticipant(HttpParticipant):
    """A participant who polls, and reports if sampled."""

    __slots__ = ("leave_decided", "poller")

    def __init__(self, mood: str, poller: Poller) -> None:
        super().__init__(mood)
        self.poller = poller
        self.leave_decided = False

    @property
    def next_at_ms(self) -> int:
        """The time of the poller's next request."""
        return self.poller.next_at_ms

    def due(self, at_ms: int) -> Iterable[Request]:
        """Return the poller's requests that are due."""
        return self.poller.due(at_ms)

    def report_mood(self) -> None:
        """Set the poller's mood."""
        self.poller.set_mood(self.mood, now_ms())


class PollLoad(HttpLoad[PollingParticipant]):
    """Participants who poll; those who are sampled report."""

    mode: ClassVar[str] = "poll"

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        super().__init__(plan, view)
        self._info = view.info
        self._endpoints = Endpoints.of(view.info)

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
        self, participant: PollingParticipant, request: Request | LeaveRequest, client: HttpClient
    ) -> None:
        poller = participant.poller
        match request:
            case LeaveRequest():
                self.stats.leaves += 1
                try:
                    await client.request(self._endpoints.leave, leave_body(request))
                finally:
                    self._mark_left(participant)
                return
            case _ if participant.left:
                poller.failed(request, now_ms())  # The participant has left: it is not sent.
                return
            case PollRequest():
                self.stats.reads += 1
            case ReportRequest():
                self.stats.reports += 1
        try:
            self.presence = await send_request(request, poller, client, self._endpoints)
        except ConnectionLostError as lost:
            self.stats.shed += isinstance(request, ReportRequest) and lost.retry_ms > 0
            raise

    def _send_leave(self, participant: PollingParticipant) -> None:
        if participant.leave_decided or (participant.poller.is_reporting and not self.is_ending):
            return
        participant.leave_decided = True
        leave = participant.poller.leave()
        if leave is not None and self.rng.random() < self.plan.leaves_share:
            self._queue.put_nowait((participant, leave))
        else:
            self._mark_left(participant)


# --- Legacy clients ---------------------------------------------------------------------------------------


class Call(Enum):
    """A request of a legacy client."""

    CONFIG = auto()
    HEARTBEAT = auto()
    PRESENCE = auto()


class LegacyParticipant(HttpParticipant):
    """A participant with a client of the planning document's kind.

    It sends a heartbeat on joining and on a change of mood. Every 30 s it sends one with a probability of 3
    %, and otherwise reads the presence. It never sends a leave.

    Args:
        mood: The mood.
        reads_config: Whether it reads the probability from the server; otherwise it is built in.
        rng: Draws whether a heartbeat is sent.
    """

    __slots__ = ("_forced", "_heartbeat_at_ms", "_reads_config", "_rng", "chance", "session")

    def __init__(self, mood: str, *, reads_config: bool, rng: Random) -> None:
        super().__init__(mood)
        self.session = secrets.token_urlsafe(VISITOR_BYTES)
        self.chance = CHANCE
        self._reads_config = reads_config
        self._rng = rng
        self._forced = True
        self._heartbeat_at_ms = now_ms() + HEARTBEAT_MS

    @property
    def next_at_ms(self) -> int:
        """At once where a heartbeat is forced, else the next draw."""
        return 0 if self._forced else self._heartbeat_at_ms

    def due(self, at_ms: int) -> Iterable[Call]:
        """Return the requests that are due."""
        if self._reads_config:
            self._reads_config = False
            yield Call.CONFIG
        if self._forced:
            self._forced = False
            yield Call.HEARTBEAT
        if self._heartbeat_at_ms <= at_ms:
            self._heartbeat_at_ms += HEARTBEAT_MS
            yield Call.HEARTBEAT if self._rng.random() < self.chance else Call.PRESENCE

    def report_mood(self) -> None:
        """Force a heartbeat."""
        self._forced = True


class LegacyLoad(HttpLoad[LegacyParticipant]):
    """Legacy clients, half of which read the probability from the server."""

    mode: ClassVar[str] = "legacy"

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        super().__init__(plan, view)
        self._joins = 0
        self._endpoints = {
            call: Endpoint.of(http_url(view.info.base, f"/api/{call.name.lower()}")) for call in Call
        }

    def _new_participant(self) -> LegacyParticipant:
        self._joins += 1
        return LegacyParticipant(self.rng.choice(self.moods), reads_config=self._joins % 2 == 0, rng=self.rng)

    async def _send(self, participant: LegacyParticipant, request: Call, client: HttpClient) -> None:
        if participant.left:
            return
        body = None
        if request is Call.HEARTBEAT:
            self.stats.reports += 1
            body = encode({"sessionId": participant.session, "mood": participant.mood})
        elif request is Call.PRESENCE:
            self.stats.reads += 1
        answer = await client.request(self._endpoints[request], body)
        if answer.status != OK:
            raise error_from_response(answer.status, answer.body, answer.headers.get("retry-after"))
        if request is Call.CONFIG:
            participant.chance = _sample_rate(answer.body)

    def _send_leave(self, participant: LegacyParticipant) -> None:
        """Send nothing: legacy clients have no leave."""
        self._mark_left(participant)


def _sample_rate(body: bytes) -> float:
    """Return the probability in a config, or the one that is built in where there is none."""
    with contextlib.suppress(ValueError, RecursionError):
        match json.loads(body):
            case {"sampleRate": int() | float() as rate} if 0 <= rate <= 1:
                return float(rate)
    return CHANCE
