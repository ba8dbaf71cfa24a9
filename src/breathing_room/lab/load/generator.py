"""A crowd: many people in one room, in one process, who come, feel, and go.

Theory of operation
-------------------
A crowd has a size, and keeps it: for everybody who leaves somebody else comes. VisitLengths are exponential and mood changes a
Poisson process, and both are memoryless: instead of a timer for everybody there is one clock for the crowd, which ticks
at the sum of all rates and each time picks somebody at random. That has the same law.

How people come in, hear of the room and say goodbye is for the kinds of crowd to say: ``SocketLoad`` over sockets,
``PollLoad`` and ``CoinCrowd`` over HTTP. All of them look up now and then, and set what the room says against their own number.

A crowd knows its own people and nobody else. Other people are, or may be, in the room if it was not known to be empty before, or
if it counts more than ours can be. From then on counts are not judged, except those below our own number: others can only add. A
caller who knows that there are no others says so (``LoadPlan.alone``), and a count above ours is an error.
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

# Where nobody leaves before the end, this is the stay that mood changes are counted by.
USUAL_VISIT_MS: Final = 900_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPlan:
    """What a crowd does.

    Attributes:
        url: The server's address.
        room: The room's name; None for the server's default room.
        people: How many there are at a time.
        visit_ms: The mean of an exponential stay, after which somebody else comes; 0 to stay until the end.
        moods: What people feel, drawn evenly; empty for every mood that the room declares.
        mood_changes: The mean number of times that somebody changes mood in one stay.
        joins_per_s: How fast the crowd gathers; None for as fast as it can.
        duration_ms: When it ends, counted from its beginning; None for when it is stopped.
        observe_ms: How often what the room says is set against the number of people in the crowd.
        leaves_share: The share of leaves that arrive, of people who poll.
        alone: Whether the caller knows that there is no other visitor: what the room counts beyond the crowd is an error then.
        seed: Where moods, stays and waits come from. Visitor ids do not: two crowds are never the same people.
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
    """A room as it is before a crowd comes.

    Attributes:
        info: How the room works.
        presence: Who is in it.
        moods: What the crowd will feel.
    """

    info: RoomInfo
    presence: Presence
    moods: tuple[str, ...]


async def inspect_room(plan: LoadPlan) -> RoomView:
    """Look into a room before going in: is it there, how does it work, who is in it, and what can be felt?

    Raises:
        UnreachableError: The server is not there.
        RefusedError: It does not want us.
        HostError: The address or the room's name is not one, or the room has no mood of the plan.
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
            raise HostError(f"the moods of {info.room} are {', '.join(info.moods)}; {mood} is none of them")
    return RoomView(info, presence, plan.moods or info.moods)


class Participant(Protocol):
    """One of a crowd.

    Attributes:
        mood: How they feel.
        place: Where they stand among those inside; -1: outside.
    """

    mood: str
    place: int

    @property
    def here(self) -> bool:
        """Whether the room has welcomed them, and they have not gone."""
        ...


P = TypeVar("P", bound=Participant)


class LoadGenerator(Generic[P]):
    """The people of a plan, from their coming to their going.

    Args:
        plan: What they do.
        view: What there is before they come.
    """

    mode: ClassVar[str]
    stats: LoadStats

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        self.plan = plan
        self.moods = view.moods
        self.presence = view.presence
        """What the room said last, before the crowd began to leave."""
        self.others = view.presence.low
        """People who were in the room already, at least."""
        self.others_since_s: float | None = None if plan.alone or view.presence.high == 0 else 0.0
        """When other people were noticed, in seconds since the crowd began: 0 where they may have been there before."""
        self.here = 0
        """People who were welcomed and have not gone."""
        self.observations = Observations()
        self.rng = Random(plan.seed)  # noqa: S311 - a crowd keeps no secret
        self._inside: list[P] = []
        self._own = ExpectedCount()
        self._expected = 0
        self._leaving: set[P] = set()
        self._given_up = 0
        self._ending = False
        self._empty = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None

    def own(self, since_s: float) -> tuple[int, int, int]:
        """Return how many of our own people are here, and the fewest and the most that there were since an instant of the loop's clock."""
        return self.here, *self._own.since(since_s)

    @property
    def is_ending(self) -> bool:
        """Whether the crowd is leaving."""
        return self._ending

    async def run(self) -> None:
        """Come, stay, and leave."""
        duration_s = None if self.plan.duration_ms is None else self.plan.duration_ms / 1000
        self.stats.began_at_s = asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s) as self._deadline, asyncio.TaskGroup() as tasks:
                for work in (self._join_all(), *self._work(), self._churn(), self._observe_repeatedly()):
                    tasks.create_task(work)
        self.stats.end(asyncio.get_running_loop().time(), self.here)
        if self._last_observation_is_old():
            await self._observe()
        self._ending = True
        await self._leave()

    def stop(self) -> None:
        """Let everybody say goodbye and leave; when they are at it already, do not wait for the answers."""
        if self._ending:
            self._empty.set()
        elif self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def summary(self) -> dict[str, Any]:
        """Say what the crowd saw, in plain values; before the end as well."""
        last, since_s = self.observations.last, self.others_since_s
        return {
            "mode": self.mode,
            "people": self.plan.people,
            "others": self.others,
            "others_since_ms": None if since_s is None else round(1000 * since_s),
            "present": self.here if self.stats.present_at_end is None else self.stats.present_at_end,
            "count": None if last is None else last.count,
            **self.stats.summary(self.plan.people),
            **self.observations.summary(),
        }

    # --- What a kind of crowd says ----------------------------------------------------------------------------

    def _work(self) -> Iterable[Coroutine[Any, Any, None]]:
        """List what else is to be done at the same time while the crowd is there."""
        raise NotImplementedError

    async def _read_presence(self) -> Presence:
        """Read what the room says now.

        Raises:
            ConnectionLostError: It cannot be read.
        """
        raise NotImplementedError

    def _in_flight_s(self, presence: Presence) -> float:
        """Return how old a presence may be, with the time that a join or leave takes to reach the room."""
        raise NotImplementedError

    async def _leave(self) -> None:
        """Let everybody say goodbye."""
        raise NotImplementedError

    def _add_participant(self) -> None:
        """Have somebody else come."""
        raise NotImplementedError

    def _report_mood(self, person: P) -> None:
        """Let somebody tell the mood that they have now."""
        raise NotImplementedError

    def _start_leaving(self, person: P) -> None:
        """Let somebody say goodbye, who is not here any more."""
        raise NotImplementedError

    # --- What all do ------------------------------------------------------------------------------------------

    async def _join_all(self) -> None:
        """Let everybody come, at the pace of the plan."""
        loop, pace = asyncio.get_running_loop(), self.plan.joins_per_s
        for index in range(self.plan.people):
            wait_s = 0.0 if pace is None else self.stats.began_at_s + index / pace - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._expected += 1
            self._note_bounds()
            self._add_participant()

    async def _churn(self) -> None:
        """Let people leave and change mood: a Poisson process of both together."""
        loop, plan = asyncio.get_running_loop(), self.plan
        leaves_per_s = 1000 / plan.visit_ms if plan.visit_ms else 0.0
        changes_per_s = plan.mood_changes * 1000 / (plan.visit_ms or USUAL_VISIT_MS)
        rate_per_s = leaves_per_s + changes_per_s
        at_s = loop.time()
        while rate_per_s:
            people = len(self._inside)
            wait_s = self.rng.expovariate(rate_per_s * people) if people else math.inf
            # Drawn anew after a while, with the people of then: a memoryless wait may be cut anywhere.
            at_s += min(wait_s, REDRAW_S)
            if (early_s := at_s - loop.time()) > 0:
                await asyncio.sleep(early_s)
            if wait_s <= REDRAW_S and self._inside:
                self._leave_or_change_mood(
                    self.rng.choice(self._inside), leaves=self.rng.random() * rate_per_s < leaves_per_s
                )

    def _leave_or_change_mood(self, person: P, *, leaves: bool) -> None:
        if not person.here:
            return
        if leaves:
            self.here -= 1
            self.stats.left += 1
            self._leaving.add(person)
            self._note_bounds()
            self._start_leaving(person)
            self._add_participant()
        elif others := [mood for mood in self.moods if mood != person.mood]:
            person.mood = self.rng.choice(others)
            self.stats.mood_changes += 1
            self._report_mood(person)

    def _note_bounds(self) -> None:
        """Note how many of our own people the room may count from now on."""
        now_s = asyncio.get_running_loop().time()
        self._own.record(now_s, low=self.here, high=self._expected + len(self._leaving))

    def _has_left(self, person: P) -> None:
        """Note that the room has heard that a person left, or never will."""
        if person in self._leaving:
            self._leaving.discard(person)
            self._note_bounds()

    def _enter(self, person: P) -> None:
        """Note that somebody is inside."""
        person.place = len(self._inside)
        self._inside.append(person)

    def _welcome(self, person: P) -> None:
        """Note that the room has taken somebody in, who is here now."""
        assert person.here
        self.here += 1
        self._note_bounds()
        if self.stats.gathered_at_s is None and self.stats.joined >= self.plan.people:
            self.stats.gathered_at_s = asyncio.get_running_loop().time()

    def _exit(self, person: P) -> None:
        """Note that somebody is outside. Whoever is still here was thrown out."""
        if person.place >= 0:
            last = self._inside.pop()
            if last is not person:
                self._inside[person.place], last.place = last, person.place
            person.place = -1
        if person.here:
            self.here -= 1
            self._note_bounds()

    def _count_rejection(self, *, replaced: bool = False) -> None:
        """Note that a person was sent away for good; when as many were as were to come, there is nothing left to wait for."""
        self._given_up += 1
        self._expected -= not replaced
        self._note_bounds()
        if self._given_up == self.plan.people:
            self.stop()

    async def _observe_repeatedly(self) -> None:
        """Look at the room, over and over, however long a look takes."""
        loop, at_s = asyncio.get_running_loop(), self.stats.began_at_s
        while self.plan.observe_ms:
            at_s += self.plan.observe_ms / 1000
            await asyncio.sleep(max(0.0, at_s - loop.time()))
            await self._observe()

    def _last_observation_is_old(self) -> bool:
        """Tell whether the last look is so long ago that another one at the end says something else."""
        ago_s = asyncio.get_running_loop().time() - self.stats.began_at_s
        return (
            self.observations.last is None
            or ago_s - self.observations.last.at_s > self.plan.observe_ms / 10_000
        )

    async def _observe(self) -> None:
        try:
            presence = await self._read_presence()
        except ConnectionLostError:
            return  # Who cannot see anything has nothing to compare.
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
