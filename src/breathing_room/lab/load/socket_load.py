"""Load over WebSockets.

Participants that are due to join wait in a queue. A few connectors each take one, connect, and wait until the
room has answered: that bounds the handshakes in flight, at the beginning, when participants are replaced, and
after a restart.
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
"""A presence is broadcast once a second, so the latest may lack a change while the next one is on its way."""

PUSHES_PER_S: Final = 10_000
"""Large rooms get broadcasts less often.

Half of a server's default, to allow as long again for the next one to arrive.
"""


class Stage(Enum):
    """The stage of a participant's connection."""

    AWAY = auto()
    JOINING = auto()
    PRESENT = auto()
    LEAVING = auto()


class SocketParticipant(SlimSocket):
    """A simulated visitor with a WebSocket."""

    __slots__ = (
        "crowd",
        "early",
        "failures",
        "joined_before",
        "mood",
        "place",
        "settled",
        "stage",
        "visitor",
    )

    def __init__(self, crowd: "SocketLoad") -> None:
        super().__init__(crowd.request)
        self.crowd = crowd
        self.visitor = secrets.token_urlsafe(VISITOR_BYTES)
        self.mood = crowd.rng.choice(crowd.moods)
        self.stage = Stage.AWAY
        self.place = -1
        self.failures = 0
        self.early = False  # One of the first, who has not received the full count yet.
        self.joined_before = False
        self.settled: asyncio.Future[None] | None = None

    @property
    def present(self) -> bool:
        """Whether the room has answered the join, and the participant has not left."""
        return self.stage is Stage.PRESENT

    def report_mood(self) -> None:
        """Send the mood."""
        self.send(json.dumps({"type": "mood", "mood": self.mood}).encode())

    def leave(self) -> None:
        """Leave: close with code 1000."""
        self.stage = Stage.LEAVING
        self.close_normally()

    def opened(self) -> None:
        """Send the join message."""
        self.send(json.dumps({"type": "join", "visitor": self.visitor, "mood": self.mood}).encode())
        self.stage = Stage.JOINING
        self.crowd.add(self)

    def settle(self) -> None:
        """Free the connector that waits for the answer to the join."""
        if self.settled is not None and not self.settled.done():
            self.settled.set_result(None)

    def received(self, message: bytes, frame_bytes: int) -> None:
        """Count a message, and pass a presence on."""
        stats = self.crowd.stats
        stats.messages += 1
        stats.bytes += frame_bytes
        match read(message):
            case Presence() as presence:
                self.crowd.receive(self, presence)
            case ClientError(code=code, status=status):
                stats.errors[code] += 1
                if self.stage is Stage.JOINING and is_final(status):
                    self.refuse(code)

    def lost(self, reason: str, error: ConnectionLostError | RefusedError | None) -> None:
        """Pass the end of the connection on."""
        self.crowd.remove(self, reason, error)


@lru_cache(maxsize=64)
def read(message: bytes) -> Presence | ClientError | None:
    """Decode a presence or an error; return None for other messages.

    All connections receive the same bytes, so they are decoded once.
    """
    try:
        decoded = decode(message)
    except ValueError as error:
        return ClientError("malformed", str(error), status=500)
    return decoded if isinstance(decoded, Presence | ClientError) else None


class SocketLoad(LoadGenerator[SocketParticipant]):
    """Participants over WebSockets.

    Args:
        plan: What the participants do.
        view: The room before the load begins.
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
        """Return the time of two broadcasts.

        The age of the last one does not matter: without a change there is no other.
        """
        del presence
        return max(IN_FLIGHT_S, self.plan.people / PUSHES_PER_S)

    async def _leave(self) -> None:
        for participant in self._connected:
            participant.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                if self._connected:
                    await self._empty.wait()
        for participant in self._connected:
            participant.abort()

    def _add_participant(self) -> None:
        self._due.put_nowait(SocketParticipant(self))

    def _report_mood(self, participant: SocketParticipant) -> None:
        participant.report_mood()

    def _start_leaving(self, participant: SocketParticipant) -> None:
        participant.leave()

    async def _connector(self) -> None:
        """Connect participants from the queue, one at a time."""
        loop = asyncio.get_running_loop()
        while True:
            participant = await self._due.get()
            participant.settled = loop.create_future()
            try:
                async with asyncio.timeout(HANDSHAKE_S):
                    await loop.create_connection(
                        participant.as_protocol, self._host, self._port, ssl=self._tls
                    )
                    await participant.settled
            except (OSError, TimeoutError) as error:
                lost = error_from_exception(error)
                if participant.connected:
                    participant.give_up(lost.reason)
                else:
                    self.remove(participant, lost.reason, lost)
            finally:
                if participant.stage is Stage.AWAY:
                    participant.abort()

    def add(self, participant: SocketParticipant) -> None:
        """Add a participant that has sent the join."""
        self._add(participant)
        if self.stats.gathered_at_s is None:
            participant.early = True
            self.stats.last_join_at_s = asyncio.get_running_loop().time()

    def receive(self, participant: SocketParticipant, presence: Presence) -> None:
        """Record a presence that a participant received; the first one answers the join."""
        if not self.is_ending:
            self.presence = presence
        if participant.stage is Stage.JOINING:
            participant.stage = Stage.PRESENT
            self._join(participant)
        full = self.plan.people + self.others
        if participant.early and presence.count is not None and presence.count >= full:
            participant.early = False
            self.stats.full_at_s.append(asyncio.get_running_loop().time())

    def _join(self, participant: SocketParticipant) -> None:
        if participant.joined_before:
            self.stats.returned += 1
        else:
            self.stats.joined += 1
        participant.joined_before = True
        participant.failures = 0
        self._mark_joined(participant)
        participant.settle()

    def remove(
        self, participant: SocketParticipant, reason: str, error: ConnectionLostError | RefusedError | None
    ) -> None:
        """Remove a participant whose connection ended, and schedule a retry if it is due."""
        self._remove(participant)
        self._mark_left(participant)
        stage, participant.stage = participant.stage, Stage.AWAY
        participant.settle()
        if stage is not Stage.LEAVING:
            self.stats.ends[reason] += 1
        if self.is_ending:
            if not self._connected:
                self._empty.set()
        elif stage is Stage.LEAVING:
            pass  # The participant has been replaced already.
        elif isinstance(error, ConnectionLostError):
            wait_s = error.wait_s(participant.failures, self.rng)
            participant.failures += 1
            asyncio.get_running_loop().call_later(wait_s, self._due.put_nowait, participant)
        else:
            self._count_rejection()
