"""A crowd: many people in one room, over real sockets, in one process.

Theory of operation
-------------------
People who are due to join stand in a queue, and a few ushers each take one, connect, and wait until the room
has answered: that bounds the handshakes in flight, whether a crowd joins, is replaced, or comes back after a
restart. Stays are exponential and mood changes a Poisson process, and both are memoryless: instead of a timer
for everybody there is one clock for the crowd, which ticks at the sum of all rates and each time picks somebody
at random. That has the same law.
"""

import asyncio
import contextlib
import json
import math
import secrets
import ssl
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from breathing_room.client.parting import LostError, RefusedError, broken, is_final
from breathing_room.client.protocol import decode, socket_url
from breathing_room.client.room import VISITOR_BYTES, connect
from breathing_room.client.slim import SlimSocket, handshake
from breathing_room.client.tally import Tally
from breathing_room.core.errors import HostError, PeerError
from breathing_room.core.presence import Presence

# Twice what keeps a core busy on either side: 5,000 joins a second at 10 ms each are 50 in flight.
USHERS: Final = 100
HANDSHAKE_S: Final = 10.0
GOODBYE_S: Final = 2.0
REDRAW_S: Final = 0.1

# Where nobody leaves before the end, this is the stay that mood changes are counted by.
USUAL_STAY_MS: Final = 900_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a crowd does.

    Attributes:
        url: The server's address.
        room: The room's name.
        people: How many there are at a time.
        stay_ms: The mean of an exponential stay, after which somebody else comes; 0 to stay until the end.
        moods: What people feel, drawn evenly; empty for every mood that the room declares.
        mood_changes: The mean number of times that somebody changes mood in one stay.
        joins_per_s: How fast the crowd gathers; None for as fast as it can.
        duration_ms: When it ends, counted from its beginning; None for when it is stopped.
        seed: Where moods, stays and waits come from. Visitor ids do not: two crowds are never the same people.
    """

    url: str
    room: str = "lobby"
    people: int = 1000
    stay_ms: int = USUAL_STAY_MS
    moods: tuple[str, ...] = ()
    mood_changes: float = 1.0
    joins_per_s: float | None = None
    duration_ms: int | None = None
    seed: int | None = None


class Stage(Enum):
    """How far somebody has come."""

    AWAY = auto()
    JOINING = auto()
    HERE = auto()
    LEAVING = auto()


class Person(SlimSocket):
    """Somebody in a crowd."""

    __slots__ = ("crowd", "early", "failures", "mood", "place", "settled", "stage", "visitor", "welcomed")

    def __init__(self, crowd: "Crowd") -> None:
        super().__init__(crowd.request)
        self.crowd = crowd
        self.visitor = secrets.token_urlsafe(VISITOR_BYTES)
        self.mood = crowd.rng.choice(crowd.moods)
        self.stage = Stage.AWAY
        self.place = -1
        self.failures = 0
        self.early = False  # Of the first crowd, and has not heard of everybody yet.
        self.welcomed = False
        self.settled: asyncio.Future[None] | None = None

    def feel(self) -> None:
        """Change mood."""
        others = [mood for mood in self.crowd.moods if mood != self.mood]
        if others:
            self.mood = self.crowd.rng.choice(others)
            self.crowd.tally.mood_changes += 1
            self.send(json.dumps({"type": "mood", "mood": self.mood}).encode())

    def leave(self) -> None:
        """Say goodbye."""
        self.stage = Stage.LEAVING
        self.say_goodbye()

    def opened(self) -> None:
        """Join."""
        self.send(json.dumps({"type": "join", "visitor": self.visitor, "mood": self.mood}).encode())
        self.stage = Stage.JOINING
        self.crowd.enters(self)

    def settle(self) -> None:
        """Let the usher go on."""
        if self.settled is not None and not self.settled.done():
            self.settled.set_result(None)

    def heard(self, message: bytes, frame_bytes: int) -> None:
        """Count a message, and what it says of the room."""
        tally = self.crowd.tally
        tally.messages += 1
        tally.bytes += frame_bytes
        match read(message):
            case Presence(count=count):
                self.crowd.hears(self, count)
            case PeerError(code=code, status=status):
                tally.errors[code] += 1
                if self.stage is Stage.JOINING and is_final(status):
                    self.refuse(code)

    def lost(self, how: str, parting: LostError | RefusedError | None) -> None:
        """Tell the crowd."""
        self.crowd.misses(self, how, parting)


@lru_cache(maxsize=64)
def read(message: bytes) -> Presence | PeerError | None:
    """Read a presence or an error; None for the rest. The same bytes go to everybody, so they are read once."""
    try:
        decoded = decode(message)
    except ValueError as error:
        return PeerError("malformed", str(error), status=500)
    return decoded if isinstance(decoded, Presence | PeerError) else None


class Crowd:
    """The people of a plan, from their coming to their going."""

    def __init__(self, plan: Plan) -> None:
        """Plan a crowd.

        Raises:
            HostError: The address or the room's name is not one.
        """
        parts = urlsplit(socket_url(plan.url, plan.room))
        self.plan = plan
        self.request = handshake(parts.netloc.rpartition("@")[2], parts.path)
        self.rng = Random(plan.seed)  # noqa: S311 - a crowd keeps no secret
        self.moods = plan.moods
        self.tally = Tally()
        self.others = 0
        """People who were in the room already."""
        self.here = 0
        """People who were welcomed and have not gone."""
        self.count: int | None = None
        """What the room said last, before the crowd began to leave."""
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "wss" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "wss" else None
        self._due: asyncio.Queue[Person] = asyncio.Queue()
        self._inside: list[Person] = []
        self._given_up = 0
        self._ending = False
        self._empty = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None

    @property
    def full(self) -> int:
        """The count when everybody is there."""
        return self.plan.people + self.others

    async def look(self) -> Presence:
        """Look into the room before going in: is it there, who is in it, and what can be felt?

        Raises:
            UnreachableError: The server is not there.
            RefusedError: It does not want us.
            HostError: The room has no mood of the plan.
        """
        async with connect(self.plan.url, room=self.plan.room, observe=True, attempts_max=1) as room:
            presence = await anext(aiter(room))
        for mood in self.plan.moods:
            if mood not in presence.moods:
                raise HostError(
                    f"the moods of {self.plan.room} are {', '.join(presence.moods)}; {mood} is none of them"
                )
        self.moods = self.plan.moods or tuple(presence.moods)
        self.others = presence.low
        return presence

    async def run(self) -> None:
        """Come, stay, and leave. Call `look` before."""
        plan = self.plan
        duration_s = None if plan.duration_ms is None else plan.duration_ms / 1000
        self.tally.began_at_s = asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s) as self._deadline, asyncio.TaskGroup() as tasks:
                for _ in range(min(USHERS, plan.people)):
                    tasks.create_task(self._usher())
                tasks.create_task(self._gather())
                tasks.create_task(self._live())
        self._ending = True
        self.tally.stayed = self.here
        for person in self._inside:
            person.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                if self._inside:
                    await self._empty.wait()
        for person in self._inside:
            person.abort()

    def stop(self) -> None:
        """Let everybody say goodbye and leave; when they are at it already, do not wait for the answers."""
        if self._ending:
            self._empty.set()
        elif self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())

    async def _gather(self) -> None:
        """Send everybody to the queue, at the pace of the plan."""
        loop, pace = asyncio.get_running_loop(), self.plan.joins_per_s
        for index in range(self.plan.people):
            wait_s = 0.0 if pace is None else self.tally.began_at_s + index / pace - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._due.put_nowait(Person(self))

    async def _usher(self) -> None:
        """Take people from the queue into the room, one at a time."""
        loop = asyncio.get_running_loop()
        while True:
            person = await self._due.get()
            person.settled = loop.create_future()
            try:
                async with asyncio.timeout(HANDSHAKE_S):
                    await loop.create_connection(person.again, self._host, self._port, ssl=self._tls)
                    await person.settled
            except (OSError, TimeoutError) as error:
                lost = broken(error)
                if person.connected:
                    person.give_up(lost.trouble)
                else:
                    self.misses(person, lost.trouble, lost)
            finally:
                if person.stage is Stage.AWAY:
                    person.abort()

    async def _live(self) -> None:
        """Let people leave and change mood: a Poisson process of both together."""
        loop, plan = asyncio.get_running_loop(), self.plan
        leaves_per_s = 1000 / plan.stay_ms if plan.stay_ms else 0.0
        changes_per_s = plan.mood_changes * 1000 / (plan.stay_ms or USUAL_STAY_MS)
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
                self._turn(
                    self.rng.choice(self._inside), leaves=self.rng.random() * rate_per_s < leaves_per_s
                )

    def _turn(self, person: Person, *, leaves: bool) -> None:
        if person.stage is not Stage.HERE:
            return
        if not leaves:
            person.feel()
            return
        self.here -= 1
        self.tally.left += 1
        person.leave()
        self._due.put_nowait(Person(self))

    def enters(self, person: Person) -> None:
        """Note that somebody has sent the join."""
        person.place = len(self._inside)
        self._inside.append(person)
        if self.tally.gathered_at_s is None:
            person.early = True
            self.tally.last_join_at_s = asyncio.get_running_loop().time()

    def hears(self, person: Person, count: int | None) -> None:
        """Note that somebody was told the count, and welcomed if it is the first time."""
        if not self._ending:
            self.count = count
        if person.stage is Stage.JOINING:
            self._welcome(person)
        if person.early and count is not None and count >= self.full:
            person.early = False
            self.tally.full_at_s.append(asyncio.get_running_loop().time())

    def _welcome(self, person: Person) -> None:
        tally = self.tally
        person.stage = Stage.HERE
        person.failures = 0
        if person.welcomed:
            tally.returned += 1
        else:
            tally.joined += 1
        person.welcomed = True
        self.here += 1
        if tally.gathered_at_s is None and self.here == self.plan.people:
            tally.gathered_at_s = asyncio.get_running_loop().time()
        person.settle()

    def misses(self, person: Person, how: str, parting: LostError | RefusedError | None) -> None:
        """Note that somebody's connection is gone, and see whether they come back."""
        stage, person.stage = person.stage, Stage.AWAY
        person.settle()
        if person.place >= 0:
            last = self._inside.pop()
            if last is not person:
                self._inside[person.place], last.place = last, person.place
            person.place = -1
        if stage is Stage.HERE:
            self.here -= 1
        if stage is not Stage.LEAVING:
            self.tally.ends[how] += 1
        if self._ending:
            if not self._inside:
                self._empty.set()
        elif stage is Stage.LEAVING:
            pass  # Somebody else was sent for already.
        elif isinstance(parting, LostError):
            wait_s = parting.wait_s(person.failures, self.rng)
            person.failures += 1
            asyncio.get_running_loop().call_later(wait_s, self._due.put_nowait, person)
        else:
            self._given_up += 1
            if self._given_up == self.plan.people:
                self.stop()

    def summary(self) -> dict[str, Any]:
        """Say what the crowd saw, in plain values; before the end as well."""
        return {
            "people": self.plan.people,
            "others": self.others,
            "present": self.here if self.tally.stayed is None else self.tally.stayed,
            "count": self.count,
            **self.tally.summary(self.plan.people),
        }
