"""The load generator: many participants in one room, from one process, who join, change mood and leave.

Theory of operation
-------------------
The number of participants is constant: each one that leaves is replaced. Visits are exponential and changes
of mood a Poisson process, and both are memoryless: in place of a timer for each participant there is one
clock for all of them, which ticks at the sum of all rates, and each tick picks a participant at random. That
has the same law.

The kinds of load say how participants join, receive presences and leave: ``SocketLoad`` over WebSockets,
``PollLoad`` and ``LegacyLoad`` over HTTP. All of them observe the room at intervals, and compare its count
with their own number.

The generator knows its own participants only. Other visitors are, or may be, in the room if it was not known
to be empty before, or if it counts more than there are participants. From then on counts are not judged,
except those below our own number: others can only add. A caller who knows that there are no others says so
(``LoadPlan.alone``), and a count above ours is an error.
"""

import asyncio
import contextlib
import math
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from breathing_room.client.errors import ConnectionLostError, UnreachableError
from breathing_room.client.expected_count import ExpectedCount
from breathing_room.client.http import HttpClient
from breathing_room.client.protocol import redacted_url
from breathing_room.client.room import connect
from breathing_room.client.room_info import RoomInfo, fetch_room_info
from breathing_room.client.timing import Timing
from breathing_room.core.errors import HostError
from breathing_room.core.presence import Presence
from breathing_room.lab.load.observations import Observation, Observations
from breathing_room.lab.load.stats import LoadStats

LEAVE_S: Final = 5.0
REDRAW_S: Final = 0.1

# Where no participant leaves before the end, mood changes are counted by visits of this length.
USUAL_VISIT_MS: Final = 900_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPlan:
    """What the participants do.

    Attributes:
        url: The server's address.
        room: The room's name; None for the server's default room.
        people: The number of participants at a time.
        visit_ms: The mean of an exponential visit, after which the participant is replaced; 0: until the end.
        moods: Their moods, drawn evenly; empty for every mood that the room declares.
        mood_changes: The mean number of changes of mood in a visit.
        joins_per_s: Joins per second at the beginning; None for as fast as the server answers.
        duration_ms: The length of the run, joining included; None: until it is stopped.
        observe_ms: The time between two observations of the room; 0: one at the end.
        leaves_share: The share of leaves that arrive, of participants who poll.
        alone: Whether the caller knows that there is no other visitor: a count above the participants is an
            error then.
        seed: The seed of moods, visits and waits. Visitor ids are always new: two runs never share a visitor.
    """

    url: str
    room: str | None = None
    people: int = 1000
    visit_ms: int = USUAL_VISIT_MS
    moods: tuple[str, ...] = ()
    mood_changes: float = 1.0
    joins_per_s: float | None = None
    duration_ms: int | None = None
    observe_ms: int = 10_000
    leaves_share: float = 1.0
    alone: bool = False
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class RoomView:
    """A room before the load begins.

    Attributes:
        info: How the room works.
        presence: Its presence.
        moods: The moods of the participants.
    """

    info: RoomInfo
    presence: Presence
    moods: tuple[str, ...]


async def inspect_room(plan: LoadPlan) -> RoomView:
    """Read the info and the presence of a room before the load begins.

    Raises:
        UnreachableError: The server cannot be reached.
        RefusedError: The server refused the connection.
        HostError: The URL or the room's name is invalid, or the room lacks a mood of the plan.
    """
    async with connect(plan.url, room=plan.room, observe=True, attempts_max=1) as room:
        presence = await anext(aiter(room))
    line = HttpClient(Timing().answer_s)
    try:
        info = await fetch_room_info(line, plan.url, plan.room)
    except ConnectionLostError as lost:
        raise UnreachableError(redacted_url(plan.url), lost.reason) from None
    finally:
        line.close()
    for mood in plan.moods:
        if mood not in info.moods:
            raise HostError(
                f"the moods of {info.room} are {', '.join(info.moods)}; {mood!r} is not among them"
            )
    return RoomView(info, presence, plan.moods or info.moods)


class Participant(Protocol):
    """A simulated visitor.

    Attributes:
        mood: The mood.
        place: The index among the connected participants; -1: not connected.
    """

    mood: str
    place: int

    @property
    def present(self) -> bool:
        """Whether the room has answered, and the participant has not left."""
        ...


P = TypeVar("P", bound=Participant)


class LoadGenerator(Generic[P]):
    """The participants of a plan, from the first join to the last leave.

    Args:
        plan: What the participants do.
        view: The room before the load begins.
    """

    mode: ClassVar[str]
    stats: LoadStats

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        self.plan = plan
        self.moods = view.moods
        self.presence = view.presence
        """The latest presence before the participants began to leave."""
        self.others = view.presence.low
        """Visitors who were in the room before, at least."""
        self.others_since_s: float | None = None if plan.alone or view.presence.high == 0 else 0.0
        """When other visitors were noticed, in seconds since the beginning: 0 where they may have been there
        before.
        """
        self.present = 0
        """Participants who joined and have not left."""
        self.observations = Observations()
        self.rng = Random(plan.seed)  # noqa: S311 - no secret depends on it
        self._connected: list[P] = []
        self._own = ExpectedCount()
        self._expected = 0
        self._leaving: set[P] = set()
        self._rejected = 0
        self._ending = False
        self._empty = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None

    def own(self, since_s: float) -> tuple[int, int, int]:
        """Return the number of participants present, and the smallest and largest since an instant of the
        loop's clock.
        """
        return self.present, *self._own.since(since_s)

    @property
    def is_ending(self) -> bool:
        """Whether the participants are leaving."""
        return self._ending

    async def run(self) -> None:
        """Let the participants join, visit and leave."""
        duration_s = None if self.plan.duration_ms is None else self.plan.duration_ms / 1000
        self.stats.began_at_s = asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s) as self._deadline, asyncio.TaskGroup() as tasks:
                for work in (self._join_all(), *self._work(), self._churn(), self._observe_repeatedly()):
                    tasks.create_task(work)
        self.stats.end(asyncio.get_running_loop().time(), self.present)
        if self._last_observation_is_old():
            await self._observe()
        self._ending = True
        await self._leave()

    def stop(self) -> None:
        """Let all participants leave; if they are leaving already, do not wait for the answers."""
        if self._ending:
            self._empty.set()
        elif self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def summary(self) -> dict[str, Any]:
        """Return the results in plain values; before the end as well."""
        last, since_s = self.observations.last, self.others_since_s
        return {
            "mode": self.mode,
            "people": self.plan.people,
            "others": self.others,
            "others_since_ms": None if since_s is None else round(1000 * since_s),
            "present": self.present if self.stats.present_at_end is None else self.stats.present_at_end,
            "count": None if last is None else last.count,
            **self.stats.summary(self.plan.people),
            **self.observations.summary(),
        }

    # --- What a kind of load defines -----------------------------------------------------------------------

    def _work(self) -> Iterable[Coroutine[Any, Any, None]]:
        """Return further tasks that run while the participants are present."""
        raise NotImplementedError

    async def _read_presence(self) -> Presence:
        """Read the current presence.

        Raises:
            ConnectionLostError: It cannot be read.
        """
        raise NotImplementedError

    def _in_flight_s(self, presence: Presence) -> float:
        """Return the greatest age of a presence, plus the delay of a join or leave on its way."""
        raise NotImplementedError

    async def _leave(self) -> None:
        """Let all participants leave."""
        raise NotImplementedError

    def _add_participant(self) -> None:
        """Let another participant join."""
        raise NotImplementedError

    def _report_mood(self, participant: P) -> None:
        """Send the mood of a participant."""
        raise NotImplementedError

    def _start_leaving(self, participant: P) -> None:
        """Send the leave of a participant who is not present any more."""
        raise NotImplementedError

    # --- What all share ------------------------------------------------------------------------------------

    async def _join_all(self) -> None:
        """Let all participants join, at the rate of the plan."""
        loop, pace = asyncio.get_running_loop(), self.plan.joins_per_s
        for index in range(self.plan.people):
            wait_s = 0.0 if pace is None else self.stats.began_at_s + index / pace - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._expected += 1
            self._note_bounds()
            self._add_participant()

    async def _churn(self) -> None:
        """Let participants leave and change mood: one Poisson process of both."""
        loop, plan = asyncio.get_running_loop(), self.plan
        leaves_per_s = 1000 / plan.visit_ms if plan.visit_ms else 0.0
        changes_per_s = plan.mood_changes * 1000 / (plan.visit_ms or USUAL_VISIT_MS)
        rate_per_s = leaves_per_s + changes_per_s
        at_s = loop.time()
        while rate_per_s:
            people = len(self._connected)
            wait_s = self.rng.expovariate(rate_per_s * people) if people else math.inf
            # Drawn again after a while, with the participants of then: a memoryless wait may be cut anywhere.
            at_s += min(wait_s, REDRAW_S)
            if (early_s := at_s - loop.time()) > 0:
                await asyncio.sleep(early_s)
            if wait_s <= REDRAW_S and self._connected:
                self._leave_or_change_mood(
                    self.rng.choice(self._connected), leaves=self.rng.random() * rate_per_s < leaves_per_s
                )

    def _leave_or_change_mood(self, participant: P, *, leaves: bool) -> None:
        if not participant.present:
            return
        if leaves:
            self.present -= 1
            self.stats.left += 1
            self._leaving.add(participant)
            self._note_bounds()
            self._start_leaving(participant)
            self._add_participant()
        elif others := [mood for mood in self.moods if mood != participant.mood]:
            participant.mood = self.rng.choice(others)
            self.stats.mood_changes += 1
            self._report_mood(participant)

    def _note_bounds(self) -> None:
        """Record how many participants the room may count from now on."""
        now_s = asyncio.get_running_loop().time()
        self._own.record(now_s, low=self.present, high=self._expected + len(self._leaving))

    def _mark_left(self, participant: P) -> None:
        """Record that the leave of a participant has arrived, or never will."""
        if participant in self._leaving:
            self._leaving.discard(participant)
            self._note_bounds()

    def _add(self, participant: P) -> None:
        """Add a connected participant."""
        participant.place = len(self._connected)
        self._connected.append(participant)

    def _mark_joined(self, participant: P) -> None:
        """Record that the room has answered a join."""
        assert participant.present
        self.present += 1
        self._note_bounds()
        if self.stats.gathered_at_s is None and self.stats.joined >= self.plan.people:
            self.stats.gathered_at_s = asyncio.get_running_loop().time()

    def _remove(self, participant: P) -> None:
        """Remove a participant. One who is still present was disconnected."""
        if participant.place >= 0:
            last = self._connected.pop()
            if last is not participant:
                self._connected[participant.place], last.place = last, participant.place
            participant.place = -1
        if participant.present:
            self.present -= 1
            self._note_bounds()

    def _count_rejection(self, *, replaced: bool = False) -> None:
        """Count a participant who was rejected for good; when all were, stop."""
        self._rejected += 1
        self._expected -= not replaced
        self._note_bounds()
        if self._rejected == self.plan.people:
            self.stop()

    async def _observe_repeatedly(self) -> None:
        """Observe the room at intervals, regardless of how long an observation takes."""
        loop, at_s = asyncio.get_running_loop(), self.stats.began_at_s
        while self.plan.observe_ms:
            at_s += self.plan.observe_ms / 1000
            await asyncio.sleep(max(0.0, at_s - loop.time()))
            await self._observe()

    def _last_observation_is_old(self) -> bool:
        """Return whether another observation at the end would differ from the last one."""
        ago_s = asyncio.get_running_loop().time() - self.stats.began_at_s
        return (
            self.observations.last is None
            or ago_s - self.observations.last.at_s > self.plan.observe_ms / 10_000
        )

    async def _observe(self) -> None:
        try:
            presence = await self._read_presence()
        except ConnectionLostError:
            return  # There is no presence to compare with.
        stats, now_s = self.stats, asyncio.get_running_loop().time()
        own, fewest, most = self.own(now_s - self._in_flight_s(presence))
        if presence.low > most and self.others_since_s is None and not self.plan.alone:
            self.others_since_s = now_s - stats.began_at_s
        self.observations.add(
            Observation(
                at_s=now_s - stats.began_at_s,
                gathered=stats.gathered_at_s is not None,
                own=own,
                own_low=fewest,
                own_high=most,
                others=self.others_since_s is not None,
                count=presence.count,
                low=presence.low,
                high=presence.high,
                method=presence.method,
                rate=presence.sample_rate,
                sent=stats.sent(),
            )
        )
