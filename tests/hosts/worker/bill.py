"""What the platform would bill for a steady crowd: counted in workerd, and beside it what the price model computes for the same crowd.

People come, feel otherwise once, beat and go on a timetable, so that two runs differ by nothing but what the room does about it. Times
are scaled, those of the room and those of the crowd alike. What is counted lies between two backups in KV, so that no backup is cut
in two. Time that an object is awake is not counted: workerd does not say it; it stays modelled.
"""

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal

from acted_strategies import per_second
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.strategies import changed
from breathing_room.lab.cost.strategies.fixed import fixed
from breathing_room.lab.cost.strategies.objects import durable_object
from breathing_room.lab.cost.strategy import Strategy
from breathing_room.testing.host_context import ask
from breathing_room.testing.peer import WireSocket
from hosts.worker.platform_fakes import Service
from hosts.worker.runtime import Runtime

ROOM = "/v1/rooms/steady"
BACKUP, HISTORY = "snapshot/steady", "history/steady"
PATIENCE_S = 60.0
TOGETHER = 20
"""How many come in at once at the beginning: as many as a busy machine lets in within its patience."""

OBJECT = durable_object(push_s=Decimal(30), snapshot_s=Decimal(60))
FIXED = fixed(by_alarm=False, publish_s=Decimal(30), snapshot_s=Decimal(60), lazy_s=Decimal(60))
"""What the model has for a room over sockets, and for one that publishes: spaced so that scaled times keep the limits of KV and R2."""

_REPORTS = CrowdFigures(CrowdProfile(leaves_share=Decimal(1))).reports_per_visit(
    fixed.figure("beat_s"), mood_renews=True
)
REPORTED_BEATS = float(_REPORTS.value) - 3
"""Signs of life in a stay of somebody without a socket, beside joining, a mood and a goodbye."""

PRICED = ("workers_requests", "object_requests", "rows_written", "kv_writes", "r2_writes")


class Visitor(ABC):
    """Somebody who comes, and what they do."""

    @classmethod
    @abstractmethod
    async def come(cls, url: str, stack: AsyncExitStack) -> "Visitor":
        """Come in; the stack takes away what is left at the end."""

    @abstractmethod
    async def feel(self) -> None:
        """Feel otherwise."""

    @abstractmethod
    async def heartbeat(self) -> None:
        """Give a sign of life."""

    @abstractmethod
    async def go(self) -> None:
        """Say goodbye."""


class OnSocket(Visitor):
    """Somebody on a socket."""

    def __init__(self, socket: WireSocket) -> None:
        self.socket = socket

    @classmethod
    async def come(cls, url: str, stack: AsyncExitStack) -> Visitor:
        """Open a socket and join."""
        socket = await WireSocket.open(url, f"{ROOM}/socket")
        stack.push_async_callback(socket.part)
        stack.callback(socket.cut)
        socket.say("join", visitor=secrets.token_urlsafe(16), mood="release")
        await socket.hear("presence")
        return cls(socket)

    async def feel(self) -> None:
        """Say so."""
        self.socket.say("mood", mood="gratitude")

    async def heartbeat(self) -> None:
        """Beat."""
        self.socket.say("time", sent_ms=0)

    async def go(self) -> None:
        """Close the socket."""
        self.socket.close_normally(1000)
        await self.socket.part()


class OfPanel(Visitor):
    """Somebody without a socket, who reports."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.visitor = secrets.token_urlsafe(16)

    @classmethod
    async def come(cls, url: str, stack: AsyncExitStack) -> Visitor:
        """Report for the first time."""
        del stack
        visitor = cls(url)
        await visitor._report("heartbeat", mood="release")
        return visitor

    async def feel(self) -> None:
        """Report a mood."""
        await self._report("heartbeat", mood="gratitude")

    async def heartbeat(self) -> None:
        """Report."""
        await self._report("heartbeat")

    async def go(self) -> None:
        """Say goodbye."""
        await self._report("leave")

    async def _report(self, path: str, **more: str) -> None:
        answer = await ask(self.url, "POST", f"{ROOM}/{path}", {"visitor": self.visitor, **more})
        assert answer.status in {200, 204}, answer


@dataclass(frozen=True)
class Bill:
    """Operations of a crowd and some minutes, by the price book's names.

    Attributes:
        counted: What workerd and the fakes counted.
        modelled: What the price model computes.
        rows: The rows that were counted, by what they hold.
        seconds: How long it took, as the room's clock has it when times are not scaled.
    """

    counted: Mapping[str, float]
    modelled: Mapping[str, float]
    rows: Mapping[str, int]
    seconds: float

    def price_usd(self, used: Mapping[str, float]) -> float:
        """Price what is counted here beyond what any plan includes."""
        items = {key: BOOK.item(f"cloudflare.{key}") for key in PRICED}
        return sum(used.get(key, 0.0) * float(item.price / item.per) for key, item in items.items())

    @property
    def ratio(self) -> float:
        """What was counted in dollars, over what the model has."""
        return self.price_usd(self.counted) / self.price_usd(self.modelled)


BOOK = read_book()


@dataclass
class Life:
    """A crowd that lives.

    Attributes:
        enough: Set, it lives no more.
        acts: What it has done so far: ``turns``, in each of which one goes, one feels otherwise and one comes, and ``beats``.
    """

    enough: asyncio.Event = field(default_factory=asyncio.Event)
    acts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Timetable:
    """How a crowd lives, in seconds before they are scaled.

    Attributes:
        people: How many are there all the time.
        visit_s: How long each stays.
        heartbeats: Signs of life in a stay, of those who give them by the clock.
        minutes: How long is counted, at least.
        faster: By what times are scaled.
    """

    people: int = 300
    visit_s: float = 900
    heartbeats: float = 15
    minutes: float = 6
    faster: float = 10

    def variables(self, way: Strategy) -> dict[str, str]:
        """Set a room's times as the model has them, and faster."""

        def scaled(knob: str) -> str:
            return f"{1_000 * float(way.settings[knob]) / self.faster:.0f}"

        settings = {
            "LOG_LEVEL": "debug",
            "ROOMS": '{"steady": {}}',
            "SNAPSHOT_MS": scaled("snapshot_s"),
        }
        if way.storing.kind == "rows":
            settings |= {
                "MODE": "poll",
                "PUBLISH_MS": scaled("publish_s"),
                "IDLE_ALARM_MS": scaled("lazy_s"),
            }
        else:
            settings["PUSH_MS"] = scaled("push_s")
        return {f"BREATHING_ROOM_{name}": value for name, value in settings.items()}

    async def bill(
        self,
        worker: Runtime,
        kv: Service,
        bucket: Service | None,
        kind: type[Visitor],
        way: Strategy,
    ) -> Bill:
        """Let a crowd live, and count.

        Args:
            worker: Where, with the variables that ``variables`` says.
            kv: Where it backs the room up.
            bucket: Where it publishes, if it does.
            kind: How people report.
            way: What the model has for that.
        """
        async with AsyncExitStack() as stack:
            people: deque[Visitor] = deque()
            for _ in range(0, self.people, TOGETHER):
                people += await asyncio.gather(
                    *(kind.come(worker.url, stack) for _ in range(min(TOGETHER, self.people - len(people))))
                )
            life = Life()
            living = asyncio.create_task(self._live(worker.url, kind, people, stack, life))
            try:
                # With the first backup go a note and the averages, and with the next ones nothing.
                while HISTORY not in kv.values:
                    await _backed_up(kv)
                began_s, before = await _backed_up(kv), _counts(worker, kv, bucket) + life.acts
                least_s = began_s + 60 * self.minutes / self.faster
                while (ended_s := await _backed_up(kv)) < least_s:
                    pass
                after = _counts(worker, kv, bucket) + life.acts
            finally:
                life.enough.set()  # Who is cancelled on the way in leaves a socket behind.
                await living
        counted = after - before
        acts_per_s = self.people * (3 + self.heartbeats) / self.visit_s
        seconds = (ended_s - began_s) * self.faster
        # On a busy machine the crowd lives more slowly than it should; let the model's live as slowly.
        slower = Decimal(seconds * acts_per_s / (3 * counted["turns"] + counted["beats"]))
        crowd = CrowdProfile(
            people=self.people, visit_s=Decimal(self.visit_s) * slower, leaves_share=Decimal(1)
        )
        way = changed(way, {"beat_s": way.settings["beat_s"] * slower})
        modelled = {key: per_s * seconds for key, per_s in per_second(way, crowd).items()}
        requests = counted["request"]
        operations = {
            "workers_requests": float(requests),  # Each came through the Worker, and went on to the object.
            "object_requests": requests + counted["message"] / 20 + counted["alarm"],
            "rows_written": float(sum(counted[name] for name in counted if name.startswith("row "))),
            "kv_writes": float(counted["kv"]),
            "r2_writes": float(counted["r2"]),
        }
        rows = {name.removeprefix("row "): counted[name] for name in counted if name.startswith("row ")}
        return Bill(operations, modelled, rows, seconds)

    async def _live(
        self,
        url: str,
        kind: type[Visitor],
        people: deque[Visitor],
        stack: AsyncExitStack,
        life: Life,
    ) -> None:
        """Follow the timetable: in each stay each of them beats, feels otherwise once in its middle, goes, and is replaced."""
        began_s, acts = time.monotonic(), life.acts
        async with asyncio.TaskGroup() as doing:
            while not life.enough.is_set():
                passed_s = (time.monotonic() - began_s) * self.faster
                while acts["turns"] < passed_s * self.people / self.visit_s:
                    acts["turns"] += 1
                    doing.create_task(people.popleft().go())
                    doing.create_task(people[self.people // 2].feel())
                    people.append(await kind.come(url, stack))
                while acts["beats"] < passed_s * self.people * self.heartbeats / self.visit_s:
                    acts["beats"] += 1
                    doing.create_task(people[acts["beats"] * 7 % len(people)].heartbeat())
                await asyncio.sleep(0.01)


async def _backed_up(kv: Service) -> float:
    """Wait for the next backup, and tell when it came."""
    known = len(kv.written_at_s.get(BACKUP, []))
    async with asyncio.timeout(PATIENCE_S):
        while len(kv.written_at_s.get(BACKUP, [])) == known:  # noqa: ASYNC110 - it is in another thread
            await asyncio.sleep(0.01)
    return kv.written_at_s[BACKUP][known]


def _counts(worker: Runtime, kv: Service, bucket: Service | None) -> Counter[str]:
    """Say what was billed so far."""
    counts = Counter(line.partition("billed: ")[2] for line in worker.lines if "billed: " in line)
    counts["kv"] = kv.calls["write"]
    counts["r2"] = 0 if bucket is None else bucket.calls["write"]
    return counts
