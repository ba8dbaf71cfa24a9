"""Somebody without a socket: when to look, when to report, when to say goodbye.

Rule: this is the whole behaviour of a client that polls, and nothing of how it is carried. The Python client, ``crowd --mode
poll`` and the simulator run this file; the browser's ``polling.js`` is the same in its own language.

Theory of operation
-------------------
A visitor *polls* the presence, a cacheable page, every ``poll_ms``. What it reads there is the rate in force, and with it whether
it is one of those who are asked: its ticket, drawn once for the whole stay, lies below the rate. Whoever is asked *reports*: on
coming in, on a change of mood, and otherwise once a ``heartbeat_ms``. Whoever is not asked only reads. No coin is flipped.

A report is repeated until it is acknowledged, after full-jittered waits. One that the server sheds is not simply repeated: the
rate may have fallen meanwhile, and then it is not wanted any more. So its visitor looks again first.

Polls of one visitor keep a distance of their own, ``poll_ms`` times a factor from 0.9 to 1.1 that is drawn once; and so do its
reports, up to half a minute. So those who came together drift apart, and nobody's next poll depends on chance any more.
"""

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.core.presence import Presence
from breathing_room.core.tickets import ticket

STRIDE_MIN: Final = 0.9
STRIDE_MAX: Final = 1.1

HEARTBEAT_JITTERED_MS: Final = 300_000
"""Of a longer beat only so much is stretched: a tenth of it, 30 s, is less than the 45 s by which a report may be late."""

BACKOFF_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 30_000
"""Full jitter: a random wait up to 1 s, 2 s, 4 s, … 30 s, so that a lease of a beat and 90 s outlasts several tries."""


@dataclass(frozen=True, slots=True)
class PollRequest:
    """Ask for the presence; a cache may answer. Then say ``polled`` or ``failed``."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Tell the server that we are here. Then say ``acknowledged`` or ``failed``."""

    visitor: str
    mood: str | None
    epoch: int


@dataclass(frozen=True, slots=True)
class LeaveRequest:
    """Tell the server that we go. Nobody waits for an answer."""

    visitor: str


Request: TypeAlias = PollRequest | ReportRequest
POLL: Final = PollRequest()


class UniformSource(Protocol):
    """Where chance comes from; a ``random.Random`` is one."""

    def uniform(self, a: float, b: float, /) -> float:
        """Draw a number from a to b."""
        ...


class Poller:
    """One visitor who polls.

    Args:
        visitor: The visitor id; None for somebody who only looks, and is never asked.
        room: The room's name.
        heartbeat_ms: How often a sign of life is due, from the room's config.
        mood: The mood to come in with, None for none.
        rng: Where the stride and the waits come from.
        now_ms: The time, by any clock that does not jump. Every later time given is at least as late.
        backoff_ms: The longest first wait after a failure; it doubles with each one in a row.
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
        # What the server said last, and when that was true.
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

    # --- What can be asked ------------------------------------------------------------------------------------

    @property
    def next_at_ms(self) -> int:
        """When to call ``due``; later is harmless. ``NO_DEADLINE`` while everything that we want is on its way."""
        return min(self._poll_at_ms, self._report_at_ms)

    @property
    def poll_at_ms(self) -> int:
        """When the next poll is due; ``NO_DEADLINE`` while one is on its way."""
        return self._poll_at_ms

    @property
    def report_at_ms(self) -> int:
        """When the next report is due; ``NO_DEADLINE`` while one is on its way or none is asked for."""
        return self._report_at_ms

    @property
    def is_sampled(self) -> bool:
        """Whether we are in the sample, as far as we know."""
        return self._ticket < self._rate

    @property
    def is_acknowledged(self) -> bool:
        """Whether the server took our report, and has not said since that it needs none."""
        return self._acknowledged

    @property
    def is_up_to_date(self) -> bool:
        """Whether the server knows all that it asks us for: our mood, if we are in the sample."""
        return not self.is_sampled or (self._acknowledged and self._mood == self._mood_reported)

    @property
    def is_reporting(self) -> bool:
        """Whether a report is on its way. A goodbye must not overtake it."""
        return self._reporting

    # --- What happens -----------------------------------------------------------------------------------------

    def due(self, now_ms: int) -> list[Request]:
        """List what to send now. Each request is on its way from then on, until one of the calls below."""
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
        """A poll was answered."""
        self._poll_failures = 0
        self._poll_at_ms = now_ms + round(presence.poll_ms * self._stride)
        if self._epoch is None or presence.epoch > self._epoch + 1:
            self._begin_visit(presence.epoch)
        self._note_rate(presence)
        if not self.is_sampled:
            self._acknowledged = False
            self._report_at_ms = NO_DEADLINE
            # The server gave our seat up when it lowered the rate: there is nothing to take back any more.
            self._reported = self._reporting
        elif not (self._acknowledged or self._reporting) and self._report_at_ms == NO_DEADLINE:
            self._report_at_ms = max(now_ms, self._retry_after_ms)

    def acknowledged(self, presence: Presence, now_ms: int) -> None:
        """A report was answered; whether it counts, the rate in the answer says."""
        self._reporting = False
        self._report_failures = 0
        self._note_rate(presence)
        self._acknowledged = self._reported = self.is_sampled
        self._report_at_ms = NO_DEADLINE
        if self._acknowledged:
            self._report_at_ms = now_ms if self._mood != self._mood_reported else now_ms + self._heartbeat_ms
        if self._poll_at_ms != NO_DEADLINE:  # The answer says what a poll would, and it is fresher.
            self._poll_at_ms = now_ms + round(presence.poll_ms * self._stride)

    def failed(self, request: Request, now_ms: int, *, retry_ms: int | None = None) -> None:
        """A request came to nothing.

        Args:
            request: Which.
            now_ms: The time.
            retry_ms: How long the server told us to stay away, None if it did not.
        """
        if isinstance(request, PollRequest):
            self._poll_at_ms = now_ms + (retry_ms or 0) + self._wait_ms(self._poll_failures)
            self._poll_failures += 1
            return
        self._reporting = False
        at_ms = now_ms + (retry_ms or 0) + self._wait_ms(self._report_failures)
        self._report_failures += 1
        if not self.is_sampled:  # The rate fell while it was on its way: nobody wants it any more.
            self._reported = False
            return
        if retry_ms is None:
            self._report_at_ms = at_ms
            return
        # It was shed: look first, and report if we are still asked. A poll on its way will do for the looking.
        self._acknowledged = False
        self._report_at_ms = NO_DEADLINE
        self._retry_after_ms = at_ms
        if self._poll_at_ms != NO_DEADLINE:
            self._poll_at_ms = at_ms

    def epoch_expired(self, now_ms: int) -> None:
        """The server refused a report, since our stay began in an epoch that is over: begin another."""
        self._reporting = self._acknowledged = False
        self._epoch = None
        self._ticket = 1.0
        self._report_at_ms = NO_DEADLINE
        if self._poll_at_ms != NO_DEADLINE:
            self._poll_at_ms = now_ms + self._wait_ms(self._report_failures)
        self._report_failures += 1

    def set_mood(self, mood: str | None, now_ms: int) -> None:
        """Somebody feels otherwise. Who is counted says so at once."""
        self._mood = mood
        if self._acknowledged and not self._reporting and mood != self._mood_reported:
            self._report_at_ms = now_ms

    def leave(self) -> LeaveRequest | None:
        """Somebody goes. Whoever has no seat has nothing to take back."""
        return LeaveRequest(self._visitor) if self._reported and self._visitor is not None else None

    # --- Inside -----------------------------------------------------------------------------------------------

    def _note_rate(self, presence: Presence) -> None:
        """Take note of the rate, unless a cache kept the presence for so long that we know better."""
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
