"""A client without a connection: when it polls, reports and leaves.

Rule: these are all the rules of a polling client, without any transport. The Python client, ``crowd --mode
poll`` and the simulator run this file; the browser's ``polling.js`` implements the same in JavaScript.

Theory of operation
-------------------
A client *polls* the presence, which may come from a cache, every ``poll_ms``. The presence holds the sample
rate in force, and with it the client knows whether it is in the sample: its ticket, drawn once for the whole
visit, is below the rate. A client in the sample *reports*: at the start of its visit, on a change of mood,
and otherwise once a ``heartbeat_ms``. All others only poll. No client draws a random number for each report.

A report is repeated until it is acknowledged, after waits with full jitter. One that the server rejects with
a time to retry after is not simply repeated: the rate may have fallen meanwhile, so the client polls first.

Each client multiplies ``poll_ms`` by a factor from 0.9 to 1.1 that it draws once, and shifts its heartbeats
by up to half a minute likewise. So clients that started together drift apart, and no later poll depends on
chance.
"""

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.core.presence import Presence
from breathing_room.core.tickets import ticket

STRIDE_MIN: Final = 0.9
STRIDE_MAX: Final = 1.1

HEARTBEAT_JITTERED_MS: Final = 300_000
"""Of a longer ``heartbeat_ms`` only so much is jittered: a tenth, 30 s, is less than the 45 s by which a
report may be late.
"""

BACKOFF_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 30_000
"""Full jitter: a random wait up to 1 s, 2 s, 4 s, … 30 s, so that a lease of one ``heartbeat_ms`` and 90 s
outlasts several tries.
"""


@dataclass(frozen=True, slots=True)
class PollRequest:
    """Get the presence; a cache may answer. ``polled`` or ``failed`` is to follow."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Post a report. ``acknowledged`` or ``failed`` is to follow."""

    visitor: str
    mood: str | None
    epoch: int


@dataclass(frozen=True, slots=True)
class LeaveRequest:
    """Post a leave. Its answer is not waited for."""

    visitor: str


Request: TypeAlias = PollRequest | ReportRequest
POLL: Final = PollRequest()


class UniformSource(Protocol):
    """A source of random numbers, such as ``random.Random``."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a random number from a to b."""
        ...


class Poller:
    """The state of one polling client.

    Args:
        visitor: The visitor id; None for an observer, which never reports.
        room: The room's name.
        heartbeat_ms: The time between two heartbeats, from the room's config.
        mood: The visitor's first mood, None for none.
        rng: The source of the jitter.
        now_ms: The time, by any monotonic clock. Every later time given is at least as late.
        backoff_ms: The longest first wait after a failure; it doubles with each failure in a row.
        backoff_max_ms: The longest wait of all.
    """

    __slots__ = (
        "_acknowledged",
        "_as_of_ms",
        "_backoff_max_ms",
        "_backoff_ms",
        "_epoch",
        "_heartbeat_ms",
        "_mood",
        "_mood_reported",
        "_poll_at_ms",
        "_poll_failures",
        "_rate",
        "_report_at_ms",
        "_report_failures",
        "_reported",
        "_reporting",
        "_retry_after_ms",
        "_rng",
        "_room",
        "_stride",
        "_ticket",
        "_visitor",
    )  # fmt: skip

    def __init__(
        self,
        visitor: str | None,
        *,
        room: str,
        heartbeat_ms: int,
        mood: str | None,
        rng: UniformSource,
        now_ms: int,
        backoff_ms: int = BACKOFF_MS,
        backoff_max_ms: int = BACKOFF_MAX_MS,
    ) -> None:
        self._visitor = visitor
        self._room = room
        self._mood = mood
        self._mood_reported = mood
        self._rng = rng
        self._backoff_ms = backoff_ms
        self._backoff_max_ms = backoff_max_ms
        self._stride = rng.uniform(STRIDE_MIN, STRIDE_MAX)
        self._heartbeat_ms = heartbeat_ms + round(
            min(heartbeat_ms, HEARTBEAT_JITTERED_MS) * (self._stride - 1)
        )
        # The state of the latest presence.
        self._as_of_ms = -1
        self._epoch: int | None = None
        self._ticket = 1.0
        self._rate = 0.0
        self._poll_at_ms = now_ms
        self._poll_failures = 0
        self._report_at_ms = NO_DEADLINE
        self._report_failures = 0
        self._retry_after_ms = now_ms
        self._reporting = False
        self._reported = False
        self._acknowledged = False

    # --- Queries -------------------------------------------------------------------------------------------

    @property
    def next_at_ms(self) -> int:
        """When to call ``due``; later is harmless. ``NO_DEADLINE`` while every request is under way."""
        return min(self._poll_at_ms, self._report_at_ms)

    @property
    def poll_at_ms(self) -> int:
        """When the next poll is due; ``NO_DEADLINE`` while one is under way."""
        return self._poll_at_ms

    @property
    def report_at_ms(self) -> int:
        """When the next report is due; ``NO_DEADLINE`` while one is under way or none is due."""
        return self._report_at_ms

    @property
    def is_sampled(self) -> bool:
        """Whether the client is in the sample, by the latest rate that it knows."""
        return self._ticket < self._rate

    @property
    def is_acknowledged(self) -> bool:
        """Whether the server acknowledged a report, and has not removed the seat since."""
        return self._acknowledged

    @property
    def is_up_to_date(self) -> bool:
        """Whether the server knows the mood, if the client is in the sample."""
        return not self.is_sampled or (self._acknowledged and self._mood == self._mood_reported)

    @property
    def is_reporting(self) -> bool:
        """Whether a report is under way. A leave must not overtake it."""
        return self._reporting

    # --- Events --------------------------------------------------------------------------------------------

    def due(self, now_ms: int) -> list[Request]:
        """Return the requests to send now.

        Each is under way until one of the methods below is called for it.
        """
        requests: list[Request] = []
        if self._report_at_ms <= now_ms:
            assert self._epoch is not None
            assert self._visitor is not None
            self._report_at_ms = NO_DEADLINE
            self._reporting = self._reported = True
            self._mood_reported = self._mood
            requests.append(ReportRequest(self._visitor, self._mood, self._epoch))
        if self._poll_at_ms <= now_ms:
            self._poll_at_ms = NO_DEADLINE
            requests.append(POLL)
        return requests

    def polled(self, presence: Presence, now_ms: int) -> None:
        """Handle the answer to a poll."""
        self._poll_failures = 0
        self._poll_at_ms = now_ms + round(presence.poll_ms * self._stride)
        if self._epoch is None or presence.epoch > self._epoch + 1:
            self._begin_visit(presence.epoch)
        self._note_rate(presence)
        if not self.is_sampled:
            self._acknowledged = False
            self._report_at_ms = NO_DEADLINE
            # The server removed the seat when it lowered the rate: no leave is due any more.
            self._reported = self._reporting
        elif not (self._acknowledged or self._reporting) and self._report_at_ms == NO_DEADLINE:
            self._report_at_ms = max(now_ms, self._retry_after_ms)

    def acknowledged(self, presence: Presence, now_ms: int) -> None:
        """Handle the answer to a report; the rate in it decides whether the report counts."""
        self._reporting = False
        self._report_failures = 0
        self._note_rate(presence)
        self._acknowledged = self._reported = self.is_sampled
        self._report_at_ms = NO_DEADLINE
        if self._acknowledged:
            self._report_at_ms = now_ms if self._mood != self._mood_reported else now_ms + self._heartbeat_ms
        if self._poll_at_ms != NO_DEADLINE:  # The answer holds a presence, fresher than that of a poll.
            self._poll_at_ms = now_ms + round(presence.poll_ms * self._stride)

    def failed(self, request: Request, now_ms: int, *, retry_ms: int | None = None) -> None:
        """Handle a request that failed.

        Args:
            request: Which.
            now_ms: The time.
            retry_ms: The wait that the server asked for, None for none.
        """
        if isinstance(request, PollRequest):
            self._poll_at_ms = now_ms + (retry_ms or 0) + self._wait_ms(self._poll_failures)
            self._poll_failures += 1
            return
        self._reporting = False
        at_ms = now_ms + (retry_ms or 0) + self._wait_ms(self._report_failures)
        self._report_failures += 1
        if not self.is_sampled:  # The rate fell while it was under way: it is not needed any more.
            self._reported = False
            return
        if retry_ms is None:
            self._report_at_ms = at_ms
            return
        # Load was shed: poll first, then report if still in the sample. A poll under way serves as well.
        self._acknowledged = False
        self._report_at_ms = NO_DEADLINE
        self._retry_after_ms = at_ms
        if self._poll_at_ms != NO_DEADLINE:
            self._poll_at_ms = at_ms

    def epoch_expired(self, now_ms: int) -> None:
        """Handle a report that was rejected because the visit began in an epoch that is over: start a new
        visit.
        """
        self._reporting = self._acknowledged = False
        self._epoch = None
        self._ticket = 1.0
        self._report_at_ms = NO_DEADLINE
        if self._poll_at_ms != NO_DEADLINE:
            self._poll_at_ms = now_ms + self._wait_ms(self._report_failures)
        self._report_failures += 1

    def set_mood(self, mood: str | None, now_ms: int) -> None:
        """Change the mood. A client with a seat reports it at once."""
        self._mood = mood
        if self._acknowledged and not self._reporting and mood != self._mood_reported:
            self._report_at_ms = now_ms

    def leave(self) -> LeaveRequest | None:
        """Return the leave to post; None if the server has no seat of this visitor."""
        return LeaveRequest(self._visitor) if self._reported and self._visitor is not None else None

    # --- Inside --------------------------------------------------------------------------------------------

    def _note_rate(self, presence: Presence) -> None:
        """Take the rate of a presence, unless a cache kept that for so long that a newer one is known."""
        if presence.as_of_ms >= self._as_of_ms:
            self._as_of_ms = presence.as_of_ms
            self._rate = presence.sample_rate

    def _begin_visit(self, epoch: int) -> None:
        self._epoch = epoch
        if self._visitor is not None:
            self._ticket = ticket(self._visitor, room=self._room, epoch=epoch)
        self._acknowledged = False
        self._report_at_ms = NO_DEADLINE

    def _wait_ms(self, failures: int) -> int:
        return round(self._rng.uniform(0, min(self._backoff_max_ms, self._backoff_ms << min(failures, 10))))
