"""The bill of a steady crowd: operations counted in workerd, and what the price model computes for the same
crowd.

Visitors join, change their mood once, send heartbeats and leave on a timetable, so that two runs differ only
by what the room does. Times are scaled, those of the room and those of the crowd alike. Operations are
counted between two backups in KV, so that no backup is counted in part. The time that an object is awake is
not counted, since workerd does not report it; it stays modeled.
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
"""How many join at once at the beginning: as many as a busy machine answers in time."""

OBJECT = durable_object(push_s=Decimal(30), snapshot_s=Decimal(60))
FIXED = fixed(by_alarm=False, publish_s=Decimal(30), snapshot_s=Decimal(60), lazy_s=Decimal(60))
"""The model's strategies of a room of connections, and of one that publishes: with intervals that keep the
limits of KV and R2 when scaled.
"""

_REPORTS = CrowdFigures(CrowdProfile(leaves_share=Decimal(1))).reports_per_visit(
    fixed.figure("heartbeat_s"), mood_renews=True
)
REPORTED_HEARTBEATS = float(_REPORTS.value) - 3
"""Heartbeats in a visit without a connection, beside the first report, the mood and the leave."""

PRICED = ("workers_requests", "object_requests", "rows_written", "kv_writes", "r2_writes")


class Visitor(ABC):
    """A visit, however it reaches the room."""

    @classmethod
    @abstractmethod
    async def join(cls, url: str, stack: AsyncExitStack) -> "Visitor":
        """Begin a visit; the stack closes what is left of it at the end."""

    @abstractmethod
    async def change_mood(self) -> None:
        """Change the mood."""

    @abstractmethod
    async def heartbeat(self) -> None:
        """Send a message, or a report, that changes nothing."""

    @abstractmethod
    async def leave(self) -> None:
        """End the visit with a leave."""


class OnSocket(Visitor):
    """A visitor with a connection."""

    def __init__(self, socket: WireSocket) -> None:
        self.socket = socket

    @classmethod
    async def join(cls, url: str, stack: AsyncExitStack) -> Visitor:
        """Open a connection and join."""
        socket = await WireSocket.open(url, f"{ROOM}/socket")
        stack.push_async_callback(socket.part)
        stack.callback(socket.cut)
        socket.send_message("join", visitor=secrets.token_urlsafe(16), mood="release")
        await socket.receive("presence")
        return cls(socket)

    async def change_mood(self) -> None:
        """Send the mood."""
        self.socket.send_message("mood", mood="gratitude")

    async def heartbeat(self) -> None:
        """Request the time: a message that wakes the object and is billed, which a ping would not be."""
        self.socket.send_message("time", sent_ms=0)

    async def leave(self) -> None:
        """Close the connection."""
        self.socket.close_normally(1000)
        await self.socket.part()


class OfPanel(Visitor):
    """A visitor of the panel, who reports over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.visitor = secrets.token_urlsafe(16)

    @classmethod
    async def join(cls, url: str, stack: AsyncExitStack) -> Visitor:
        """Report for the first time."""
        del stack
        visitor = cls(url)
        await visitor._report("heartbeat", mood="release")
        return visitor

    async def change_mood(self) -> None:
        """Report a mood."""
        await self._report("heartbeat", mood="gratitude")

    async def heartbeat(self) -> None:
        """Report."""
        await self._report("heartbeat")

    async def leave(self) -> None:
        """Send a leave."""
        await self._report("leave")

    async def _report(self, path: str, **more: str) -> None:
        answer = await ask(self.url, "POST", f"{ROOM}/{path}", {"visitor": self.visitor, **more})
        assert answer.status in {200, 204}, answer


@dataclass(frozen=True)
class Bill:
    """Operations of a crowd and some minutes, by the price book's names.

    Attributes:
        counted: What workerd and the fakes counted.
        modeled: What the price model computes.
        rows: The rows that were counted, by what they hold.
        seconds: How long it took, as the room's clock has it when times are not scaled.
    """

    counted: Mapping[str, float]
    modeled: Mapping[str, float]
    rows: Mapping[str, int]
    seconds: float

    def price_usd(self, used: Mapping[str, float]) -> float:
        """Return the price of operations, beyond what any plan includes."""
        items = {key: BOOK.item(f"cloudflare.{key}") for key in PRICED}
        return sum(used.get(key, 0.0) * float(item.price / item.per) for key, item in items.items())

    @property
    def ratio(self) -> float:
        """The counted price over the modeled one."""
        return self.price_usd(self.counted) / self.price_usd(self.modeled)


BOOK = read_book()


@dataclass
class Progress:
    """The progress of a timetable.

    Attributes:
        enough: Set to end it.
        acts: What was done so far: ``turns``, in each of which one visitor leaves, one changes its mood and
            one joins, and ``heartbeats``.
    """

    enough: asyncio.Event = field(default_factory=asyncio.Event)
    acts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Timetable:
    """The timetable of a crowd, in seconds before they are scaled.

    Attributes:
        people: How many are there all the time.
        visit_s: The length of a visit.
        heartbeats: Heartbeats in a visit.
        minutes: How long operations are counted, at least.
        faster: The factor by which times are scaled.
    """

    people: int = 300
    visit_s: float = 900
    heartbeats: float = 15
    minutes: float = 6
    faster: float = 10

    def variables(self, way: Strategy) -> dict[str, str]:
        """Return the variables of a room with the model's times, scaled."""

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
        """Run the timetable against a Worker, and count the operations.

        Args:
            worker: The Worker, with the variables of ``variables``.
            kv: The namespace of its backups.
            bucket: The bucket to which it publishes; None if it does not.
            kind: How visitors reach the room.
            way: The model's strategy of that.
        """
        async with AsyncExitStack() as stack:
            people: deque[Visitor] = deque()
            for _ in range(0, self.people, TOGETHER):
                people += await asyncio.gather(
                    *(kind.join(worker.url, stack) for _ in range(min(TOGETHER, self.people - len(people))))
                )
            progress = Progress()
            running = asyncio.create_task(self._run(worker.url, kind, people, stack, progress))
            try:
                # The first backup writes a note and the averages as well, the next ones do not.
                while HISTORY not in kv.values:
                    await _backed_up(kv)
                began_s, before = await _backed_up(kv), _counts(worker, kv, bucket) + progress.acts
                least_s = began_s + 60 * self.minutes / self.faster
                while (ended_s := await _backed_up(kv)) < least_s:
                    pass
                after = _counts(worker, kv, bucket) + progress.acts
            finally:
                progress.enough.set()  # A join that is cancelled would leave a socket open.
                await running
        counted = after - before
        acts_per_s = self.people * (3 + self.heartbeats) / self.visit_s
        seconds = (ended_s - began_s) * self.faster
        # On a busy machine the timetable runs more slowly than it should; the model's crowd is slowed down
        # alike.
        slower = Decimal(seconds * acts_per_s / (3 * counted["turns"] + counted["heartbeats"]))
        crowd = CrowdProfile(
            people=self.people, visit_s=Decimal(self.visit_s) * slower, leaves_share=Decimal(1)
        )
        way = changed(way, {"heartbeat_s": way.settings["heartbeat_s"] * slower})
        modeled = {key: per_s * seconds for key, per_s in per_second(way, crowd).items()}
        requests = counted["request"]
        operations = {
            "workers_requests": float(requests),  # Each came through the Worker, and went on to the object.
            "object_requests": requests + counted["message"] / 20 + counted["alarm"],
            "rows_written": float(sum(counted[name] for name in counted if name.startswith("row "))),
            "kv_writes": float(counted["kv"]),
            "r2_writes": float(counted["r2"]),
        }
        rows = {name.removeprefix("row "): counted[name] for name in counted if name.startswith("row ")}
        return Bill(operations, modeled, rows, seconds)

    async def _run(
        self,
        url: str,
        kind: type[Visitor],
        people: deque[Visitor],
        stack: AsyncExitStack,
        progress: Progress,
    ) -> None:
        """Run the timetable: a visit has heartbeats, a change of mood in its middle and a leave, and is
        replaced.
        """
        began_s, acts = time.monotonic(), progress.acts
        async with asyncio.TaskGroup() as doing:
            while not progress.enough.is_set():
                passed_s = (time.monotonic() - began_s) * self.faster
                while acts["turns"] < passed_s * self.people / self.visit_s:
                    acts["turns"] += 1
                    doing.create_task(people.popleft().leave())
                    doing.create_task(people[self.people // 2].change_mood())
                    people.append(await kind.join(url, stack))
                while acts["heartbeats"] < passed_s * self.people * self.heartbeats / self.visit_s:
                    acts["heartbeats"] += 1
                    doing.create_task(people[acts["heartbeats"] * 7 % len(people)].heartbeat())
                await asyncio.sleep(0.01)


async def _backed_up(kv: Service) -> float:
    """Wait for the next backup, and return when it was written."""
    known = len(kv.written_at_s.get(BACKUP, []))
    async with asyncio.timeout(PATIENCE_S):
        while len(kv.written_at_s.get(BACKUP, [])) == known:  # noqa: ASYNC110 - it is in another thread
            await asyncio.sleep(0.01)
    return kv.written_at_s[BACKUP][known]


def _counts(worker: Runtime, kv: Service, bucket: Service | None) -> Counter[str]:
    """Count what was billed so far."""
    counts = Counter(line.partition("billed: ")[2] for line in worker.lines if "billed: " in line)
    counts["kv"] = kv.calls["write"]
    counts["r2"] = 0 if bucket is None else bucket.calls["write"]
    return counts
