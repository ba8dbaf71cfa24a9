"""A crowd on sockets.

People who are due to join stand in a queue, and a few ushers each take one, connect, and wait until the room
has answered: that bounds the handshakes in flight, whether a crowd joins, is replaced, or comes back after a
restart.
"""

import asyncio
import contextlib
import json
import secrets
import ssl
from collections.abc import Coroutine, Iterable
from enum import Enum, auto
from functools import lru_cache
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from breathing_room.client.errors import ConnectionLostError, RefusedError, error_from_exception, is_final
from breathing_room.client.protocol import decode, socket_url
from breathing_room.client.room import VISITOR_BYTES
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from breathing_room.lab.load.generator import LEAVE_S, LoadGenerator, LoadPlan, RoomView
from breathing_room.lab.load.slim_socket import SlimSocket, handshake
from breathing_room.lab.load.stats import SocketLoadStats

# Twice what keeps a core busy on either side: 5,000 joins a second at 10 ms each are 50 in flight.
CONNECTORS: Final = 100
HANDSHAKE_S: Final = 10.0

IN_FLIGHT_S: Final = 2.0
"""A presence is announced once a second, so one may be missing a change and the next be on its way."""

PUSHES_PER_S: Final = 10_000
"""Large crowds are told less often. Half of what a server sends by default: as long again for the next one to arrive."""


class Stage(Enum):
    """How far somebody has come."""

    AWAY = auto()
    JOINING = auto()
    HERE = auto()
    LEAVING = auto()


class SocketParticipant(SlimSocket):
    """Somebody in a crowd."""

    __slots__ = ("crowd", "early", "failures", "mood", "place", "settled", "stage", "visitor", "welcomed")

    def __init__(self, crowd: "SocketLoad") -> None:
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

    @property
    def here(self) -> bool:
        """Whether the room has welcomed us, and we have not gone."""
        return self.stage is Stage.HERE

    def feel(self) -> None:
        """Tell our mood."""
        self.send(json.dumps({"type": "mood", "mood": self.mood}).encode())

    def leave(self) -> None:
        """Say goodbye."""
        self.stage = Stage.LEAVING
        self.close_normally()

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
        stats = self.crowd.stats
        stats.messages += 1
        stats.bytes += frame_bytes
        match read(message):
            case Presence() as presence:
                self.crowd.hears(self, presence)
            case ClientError(code=code, status=status):
                stats.errors[code] += 1
                if self.stage is Stage.JOINING and is_final(status):
                    self.refuse(code)

    def lost(self, how: str, parting: ConnectionLostError | RefusedError | None) -> None:
        """Tell the crowd."""
        self.crowd.misses(self, how, parting)


@lru_cache(maxsize=64)
def read(message: bytes) -> Presence | ClientError | None:
    """Read a presence or an error; None for the rest. The same bytes go to everybody, so they are read once."""
    try:
        decoded = decode(message)
    except ValueError as error:
        return ClientError("malformed", str(error), status=500)
    return decoded if isinstance(decoded, Presence | ClientError) else None


class SocketLoad(LoadGenerator[SocketParticipant]):
    """People on sockets.

    Args:
        plan: What they do.
        view: What there is before they come.
    """

    mode: ClassVar[str] = "socket"

    def __init__(self, plan: LoadPlan, view: RoomView) -> None:
        super().__init__(plan, view)
        parts = urlsplit(socket_url(view.info.base, view.info.room))
        self.request = handshake(parts.netloc.rpartition("@")[2], parts.path)
        self.stats: SocketLoadStats = SocketLoadStats()
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "wss" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "wss" else None
        self._due: asyncio.Queue[SocketParticipant] = asyncio.Queue()

    def _work(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [self._connector() for _ in range(min(CONNECTORS, self.plan.people))]

    async def _read_presence(self) -> Presence:
        return self.presence

    def _in_flight_s(self, presence: Presence) -> float:
        """Return two announcements' time. How old the last one is does not matter: where nothing changes there is no other."""
        del presence
        return max(IN_FLIGHT_S, self.plan.people / PUSHES_PER_S)

    async def _leave(self) -> None:
        for person in self._inside:
            person.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                if self._inside:
                    await self._empty.wait()
        for person in self._inside:
            person.abort()

    def _add_participant(self) -> None:
        self._due.put_nowait(SocketParticipant(self))

    def _report_mood(self, person: SocketParticipant) -> None:
        person.feel()

    def _start_leaving(self, person: SocketParticipant) -> None:
        person.leave()

    async def _connector(self) -> None:
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
                lost = error_from_exception(error)
                if person.connected:
                    person.give_up(lost.reason)
                else:
                    self.misses(person, lost.reason, lost)
            finally:
                if person.stage is Stage.AWAY:
                    person.abort()

    def enters(self, person: SocketParticipant) -> None:
        """Note that somebody has sent the join."""
        self._enter(person)
        if self.stats.gathered_at_s is None:
            person.early = True
            self.stats.last_join_at_s = asyncio.get_running_loop().time()

    def hears(self, person: SocketParticipant, presence: Presence) -> None:
        """Note that somebody was told of the room, and welcomed if it is the first time."""
        if not self.is_ending:
            self.presence = presence
        if person.stage is Stage.JOINING:
            person.stage = Stage.HERE
            self._take_in(person)
        full = self.plan.people + self.others
        if person.early and presence.count is not None and presence.count >= full:
            person.early = False
            self.stats.full_at_s.append(asyncio.get_running_loop().time())

    def _take_in(self, person: SocketParticipant) -> None:
        if person.welcomed:
            self.stats.returned += 1
        else:
            self.stats.joined += 1
        person.welcomed = True
        person.failures = 0
        self._welcome(person)
        person.settle()

    def misses(
        self, person: SocketParticipant, how: str, parting: ConnectionLostError | RefusedError | None
    ) -> None:
        """Note that somebody's connection is gone, and see whether they come back."""
        self._exit(person)
        self._has_left(person)
        stage, person.stage = person.stage, Stage.AWAY
        person.settle()
        if stage is not Stage.LEAVING:
            self.stats.ends[how] += 1
        if self.is_ending:
            if not self._inside:
                self._empty.set()
        elif stage is Stage.LEAVING:
            pass  # Somebody else was sent for already.
        elif isinstance(parting, ConnectionLostError):
            wait_s = parting.wait_s(person.failures, self.rng)
            person.failures += 1
            asyncio.get_running_loop().call_later(wait_s, self._due.put_nowait, person)
        else:
            self._count_rejection()
