"""One room over several servers, each a process, with real sockets and a real Redis: the published counts
during faults.

Every scenario prints its figures as one line of JSON, and under ``holds`` its checks with their results; the
program fails if a check does. An *observation* is the presence of one node; the truth is known, since the
visitors are ours: they reconnect to any open server when theirs ends. So the truth is the same at every
instant, however long an observation takes; but a visitor who is away for longer than ``grace_ms``
(``longest_away_s``) is not present by our own rules. Run all scenarios, or some::

    python bench/cluster.py
    python bench/cluster.py --only spread,rolling --people 300
"""

import argparse
import asyncio
import json
import os
import platform
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import uvloop
from redis.asyncio import Redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from breathing_room.client.errors import ConnectionLostError, RefusedError
from breathing_room.core.config import RoomConfig
from breathing_room.core.events import Joined
from breathing_room.core.identity import VisitorKey
from breathing_room.core.replication.delta import Delta, RoomDelta, decode, encode_delta
from breathing_room.core.room import Room
from breathing_room.hosts.common.access.limits import raise_file_limit
from breathing_room.lab.load.slim_socket import SlimSocket, handshake
from redis_process import RedisProcess, free_port, redis_process

PATH = "/v1/rooms/lobby/socket"
MOODS = ("gratitude", "presence", "release", "connection")
START_S = 60.0
SETTLE_S = 120.0
HANDSHAKES = 100
OBSERVE_S = 0.1
PUSH_MS = 1_000
# The log, the secrets of two days, the rates, the mark of a run that goes on, the averages and the index.
KEYS_MAX = 7
# The bytes that Redis adds to an entry: its id, its field, and their lengths.
STREAM_BYTES = 60


# --- Servers ----------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A `breathing-room serve` as one of several."""

    name: str
    redis_url: str
    flags: tuple[str, ...]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "breathing_room",
            "serve",
            "--port",
            str(self.port),
            "--node",
            self.name,
        ]
        self.process = subprocess.Popen(  # noqa: ASYNC220 - a moment, before anything is measured
            [*command, "--log-level", "error", *self.flags],
            env={**os.environ, "BREATHING_ROOM_REDIS": self.redis_url},
            stdout=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
        )
        # Making a client takes longer than a request.
        async with httpx.AsyncClient(verify=False) as client:
            await until(lambda: is_ready(client, self), patience_s=START_S, step_s=0.1)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def stop(self) -> None:
        """End it with SIGTERM."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait)


@asynccontextmanager
async def servers(redis: RedisProcess, count: int, *flags: str) -> AsyncIterator[list[Server]]:
    """Start servers, and end them after the block."""
    all_of = [Server(f"node-{index}", redis.url, flags) for index in range(count)]
    try:
        await asyncio.gather(*(server.start() for server in all_of))
        yield all_of
    finally:
        for server in all_of:
            if server.process is not None and server.process.poll() is None:
                server.kill()


async def is_ready(client: httpx.AsyncClient, server: Server) -> bool:
    try:
        return (await client.get(f"{server.url}/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


async def until(
    holds: Callable[[], Awaitable[bool]], *, patience_s: float = SETTLE_S, step_s: float = 0.02
) -> float:
    """Poll until a condition holds; return the time that it took, in seconds."""
    began_s = time.monotonic()
    while not await holds():
        if time.monotonic() - began_s > patience_s:
            raise TimeoutError(f"not within {patience_s:.0f} s")
        await asyncio.sleep(step_s)
    return time.monotonic() - began_s


# --- Visitors ---------------------------------------------------------------------------------------------


class Visitor(SlimSocket):
    """A visitor who reconnects whenever the connection ends."""

    __slots__ = ("failures", "left_at_s", "mood", "people", "server", "visitor")

    def __init__(self, people: "Crowd", request: str) -> None:
        super().__init__(request)
        self.people = people
        self.visitor = secrets.token_urlsafe(16)
        self.mood = people.rng.choice(MOODS)
        self.server: Server | None = None
        self.failures = 0
        self.left_at_s = 0.0

    def opened(self) -> None:
        self.send(json.dumps({"type": "join", "visitor": self.visitor, "mood": self.mood}).encode())

    def received(self, message: bytes, frame_bytes: int) -> None:  # noqa: ARG002 - the signature of the base class
        self.people.messages += 1
        if self not in self.people.inside:
            self.people.inside.add(self)
            self.failures = 0
            if self.left_at_s:
                away_s = time.monotonic() - self.left_at_s
                self.people.longest_away_s = max(self.people.longest_away_s, away_s)

    def lost(self, reason: str, error: ConnectionLostError | RefusedError | None) -> None:
        if self in self.people.inside:
            self.people.inside.remove(self)
            self.left_at_s = time.monotonic()
        self.people.ends[reason] += 1
        wait_s = (
            error.wait_s(self.failures, self.people.rng) if isinstance(error, ConnectionLostError) else 0.0
        )
        self.failures += 1
        self.people.connect_later(self, wait_s)


class Crowd:
    """Visitors who are spread over several servers."""

    def __init__(self, all_of: list[Server], count: int) -> None:
        self.rng = Random(1)
        self.open = list(all_of)
        self.inside: set[Visitor] = set()
        self.ends: Counter[str] = Counter()
        self.messages = 0
        self.longest_away_s = 0.0
        self.ending = False
        self.towards: Server | None = None
        """The server of the next connections, as a load balancer would choose; None for any."""
        self._turns = asyncio.Semaphore(HANDSHAKES)
        self._tasks: set[asyncio.Task[None]] = set()
        self.all = [Visitor(self, handshake("127.0.0.1", PATH)) for _ in range(count)]
        for index, person in enumerate(self.all):
            self.connect_later(person, 0.0, all_of[index % len(all_of)])

    def connect_later(self, person: Visitor, wait_s: float, server: Server | None = None) -> None:
        if not self.ending:
            task = asyncio.create_task(self._connect(person, wait_s, server))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, person: Visitor, wait_s: float, server: Server | None) -> None:
        await asyncio.sleep(wait_s)
        async with self._turns:
            person.server = server or self.towards or self.rng.choice(self.open)
            loop = asyncio.get_running_loop()
            try:
                await loop.create_connection(person.as_protocol, "127.0.0.1", person.server.port)
            except OSError:
                self.connect_later(person, self.rng.uniform(0, 0.5))

    async def gathered(self) -> bool:
        return len(self.inside) == len(self.all)

    def of(self, server: Server) -> list[Visitor]:
        return [person for person in self.inside if person.server is server]

    async def leave(self) -> None:
        self.ending = True
        for task in list(self._tasks):
            task.cancel()
        for person in self.all:
            person.abort()
        await asyncio.sleep(0.2)


@asynccontextmanager
async def crowd(all_of: list[Server], count: int) -> AsyncIterator[Crowd]:
    people = Crowd(all_of, count)
    try:
        yield people
    finally:
        await people.leave()


# --- Observations -----------------------------------------------------------------------------------------


class Observer:
    """Reads the presence of every server repeatedly."""

    def __init__(self, all_of: list[Server], truth: int) -> None:
        self.all_of = all_of
        self.truth = truth
        self.observations: list[tuple[float, str, dict[str, Any]]] = []
        self._client = httpx.AsyncClient(timeout=5.0)

    async def observe(self, server: Server) -> dict[str, Any] | None:
        try:
            answer = await self._client.get(f"{server.url}/v1/rooms/lobby")
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None

    async def run(self) -> None:
        while True:
            for server in self.all_of:
                if (said := await self.observe(server)) is not None:
                    self.observations.append((time.monotonic(), server.name, said))
            await asyncio.sleep(OBSERVE_S)

    async def all_right(self) -> bool:
        """Return whether every server has the exact count, without suspects."""
        for server in self.all_of:
            said = await self.observe(server)
            if said is None or (said["count"], said["low"], said["high"], said["method"]) != (
                *(self.truth,) * 3,
                "counted",
            ):
                return False
        return True

    async def any_suspects(self) -> bool:
        """Return whether some server has a method other than counted."""
        looks = [await self.observe(server) for server in self.all_of]
        return any(said is not None and said["method"] != "counted" for said in looks)

    async def close(self) -> None:
        await self._client.aclose()

    def summary(self) -> dict[str, Any]:
        """Return the errors of the observations."""
        seen = [said for _, _, said in self.observations]
        misses = [said for said in seen if not said["low"] <= self.truth <= (said["high"] or 10**9)]
        errors = sorted(
            abs(said["count"] - self.truth) / self.truth for said in seen if said["count"] is not None
        )
        off = [said for said in seen if said["method"] == "counted" and said["count"] != self.truth]
        return {
            "looks": len(seen),
            "interval_missed_truth": len(misses),
            "counted_but_off": len(off),
            "error_95_percent": round(errors[int(0.95 * (len(errors) - 1))], 4) if errors else None,
            "error_worst": round(errors[-1], 4) if errors else None,
            "methods": dict(Counter(said["method"] for said in seen)),
            **(
                {"missed": [self._short(look) for look in self.observations if look[2] in misses][:12]}
                if misses
                else {}
            ),
        }

    def _short(self, look: tuple[float, str, dict[str, Any]]) -> str:
        at_s, name, said = look
        return f"{at_s - self.observations[0][0]:.2f} s, {name}: {said['count']} in [{said['low']}, {said['high']}], {said['method']}"


def no_wrong_figure(summary: dict[str, Any]) -> dict[str, bool]:
    """Return the check that every interval covered the truth."""
    return {"interval_holds_the_truth": summary["interval_missed_truth"] == 0}


@asynccontextmanager
async def observing(all_of: list[Server], truth: int) -> AsyncIterator[Observer]:
    observer = Observer(all_of, truth)
    task = asyncio.create_task(observer.run())
    try:
        yield observer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await observer.close()


# --- Scenarios --------------------------------------------------------------------------------------------


async def spread(count: int, *, changes: int = 40, nodes: int = 3) -> dict[str, Any]:
    """Measure the time from the last join to the full count on all nodes, and that of a mood from one node to
    another.
    """
    with redis_process() as redis:
        async with servers(redis, nodes) as all_of, crowd(all_of, count) as people:
            observer = Observer(all_of, count)
            await until(people.gathered)
            full_s = await until(observer.all_right)
            waits = []
            for index in range(changes):
                here, there = all_of[index % nodes], all_of[(index + 1) % nodes]
                person = people.of(here)[0]
                before = (await observer.observe(there) or {})["moods"]
                person.mood = next(mood for mood in MOODS if mood != person.mood)
                person.send(json.dumps({"type": "mood", "mood": person.mood}).encode())

                async def seen(mood: str = person.mood, before: Any = before, there: Server = there) -> bool:
                    said = await observer.observe(there)
                    return said is not None and said["moods"][mood] == before[mood] + 1

                waits.append(await until(seen))
                await asyncio.sleep(0.3)
            await observer.close()
            return {
                "people": count,
                "full_count_after_last_join_ms": round(1_000 * full_s),
                "mood_seen_elsewhere_ms_median": round(1_000 * statistics.median(waits)),
                "mood_seen_elsewhere_ms_worst": round(1_000 * max(waits)),
                "holds": {"all_say_so_within_2_s": full_s <= 2, "moods_within_2_s": max(waits) <= 2},
            }


async def kills(count: int, *, times: int = 10, lease_ms: int = 15_000, nodes: int = 3) -> dict[str, Any]:
    """Kill a node with its share of the visitors repeatedly; another takes its place."""
    with redis_process() as redis:
        async with (
            servers(redis, nodes, "--node-lease-ms", str(lease_ms)) as all_of,
            crowd(all_of, count) as people,
        ):
            await until(people.gathered)
            *survivors, victim = all_of
            right_after_s, killed, keys = [], [], []
            asker = Redis(port=redis.port)
            async with observing(survivors, count) as observer:
                await until(observer.all_right)
                observer.observations.clear()
                for _ in range(times):
                    killed.append(len(people.of(victim)))
                    people.open.remove(victim)
                    victim.kill()
                    killed_s = time.monotonic()
                    await until(observer.any_suspects)
                    await until(observer.all_right)
                    right_after_s.append(time.monotonic() - killed_s)
                    await victim.start()
                    people.open.append(victim)
                    people.towards = victim  # A share of the visitors, which a load balancer sends there.
                    for person in [person for person in people.inside if people.rng.random() < 1 / nodes]:
                        person.abort()
                    await asyncio.sleep(0.1)
                    await until(people.gathered)
                    people.towards = None
                    await until(observer.all_right)
                    keys.append(await asker.dbsize())
                summary = observer.summary()
            await asker.aclose()
            return {
                "people": count,
                "kills": times,
                "on_the_node_at_least": min(killed),
                "lease_ms": lease_ms,
                "counted_again_ms_median": round(1_000 * statistics.median(right_after_s)),
                "counted_again_ms_worst": round(1_000 * max(right_after_s)),
                "redis_keys": max(keys),
                "longest_away_s": round(people.longest_away_s, 1),
                **summary,
                "holds": {
                    **no_wrong_figure(summary),
                    "right_within_a_lease_and_a_push": 1_000 * max(right_after_s) <= lease_ms + PUSH_MS,
                    "keys_bounded": max(keys) <= KEYS_MAX,
                },
            }


async def redis_away(count: int, *, nodes: int = 3, away_s: float = 30.0) -> dict[str, Any]:
    """Kill Redis, and start it again empty after a while."""
    with redis_process() as redis:
        async with servers(redis, nodes) as all_of, crowd(all_of, count) as people:
            await until(people.gathered)
            async with observing(all_of, count) as observer:
                await until(observer.all_right)
                observer.observations.clear()
                ends = sum(people.ends.values())
                redis.kill()
                killed_s = time.monotonic()
                await asyncio.sleep(away_s)
                meanwhile = [said for at_s, _, said in observer.observations if at_s > killed_s + 2.5]
                widths: dict[str, list[int]] = {}
                for at_s, name, said in observer.observations:
                    if at_s > killed_s + 2.5:
                        widths.setdefault(name, []).append(said["high"] - said["low"])
                redis.start()
                right_s = await until(observer.all_right)
                summary = observer.summary()
            return {
                "people": count,
                "away_s": away_s,
                "sockets_dropped": sum(people.ends.values()) - ends,
                "methods_meanwhile": dict(Counter(said["method"] for said in meanwhile)),
                "width_first": max(seen[0] for seen in widths.values()),
                "width_last": max(seen[-1] for seen in widths.values()),
                "right_again_ms": round(1_000 * right_s),
                **summary,
                "holds": {
                    **no_wrong_figure(summary),
                    "no_socket_dropped": sum(people.ends.values()) == ends,
                    "stale_meanwhile": {said["method"] for said in meanwhile} == {"stale"},
                    "never_narrower": all(seen == sorted(seen) for seen in widths.values()),
                    "right_within_3_s": right_s <= 3,
                },
            }


async def rolling(count: int, *flags: str, nodes: int = 3) -> dict[str, Any]:
    """Restart every node in turn, while its visitors reconnect to the others."""
    with redis_process() as redis:
        async with servers(redis, nodes, *flags) as all_of, crowd(all_of, count) as people:
            await until(people.gathered)
            async with observing(all_of, count) as observer:
                await until(observer.all_right)
                observer.observations.clear()
                stopped_s = []
                for server in all_of:
                    people.open.remove(server)
                    began_s = time.monotonic()
                    await server.stop()
                    stopped_s.append(time.monotonic() - began_s)
                    await server.start()
                    people.open.append(server)
                    await until(people.gathered)
                right_s = await until(observer.all_right)
                summary = observer.summary()
            return {
                "people": count,
                "stop_took_s": [round(took_s, 1) for took_s in stopped_s],
                "right_after_the_last_ms": round(1_000 * right_s),
                "came_back": sum(people.ends.values()),
                "longest_away_s": round(people.longest_away_s, 1),
                **summary,
                "holds": {
                    **no_wrong_figure(summary),
                    "within_5_percent_in_95_percent_of_looks": summary["error_95_percent"] <= 0.05,
                },
            }


async def commands(sizes: list[int], *, measured_s: float = 5.0) -> dict[str, Any]:
    """Measure the commands per second of one node to Redis, by its number of visitors."""
    found: dict[str, Any] = {}
    with redis_process() as redis:
        asker = Redis(port=redis.port)
        for size in sizes:
            async with servers(redis, 1) as all_of, crowd(all_of, size) as people:
                await until(people.gathered)
                await asyncio.sleep(2)
                before = await asker.info()
                began_s = time.monotonic()
                await asyncio.sleep(measured_s)
                after = await asker.info()
                took_s = time.monotonic() - began_s
                found[f"{size}"] = {
                    "commands_per_s": round(
                        (after["total_commands_processed"] - before["total_commands_processed"]) / took_s, 1
                    ),
                    "bytes_in_per_s": round(
                        (after["total_net_input_bytes"] - before["total_net_input_bytes"]) / took_s
                    ),
                    "bytes_out_per_s": round(
                        (after["total_net_output_bytes"] - before["total_net_output_bytes"]) / took_s
                    ),
                }
        await asker.aclose()
    rates = [figures["commands_per_s"] for figures in found.values()]
    return {**found, "holds": {"flat": max(rates) <= 1.25 * min(rates)}}


async def workers(count: int, *, visit_s: int = 20, numbers: tuple[int, ...] = (1, 2)) -> dict[str, Any]:
    """Measure joins and pushes per second with one worker and with two,
    while a client shares the same cores.
    """
    found: dict[str, Any] = {"people": count, "cores": os.cpu_count()}
    for number in numbers:
        with redis_process() as redis:
            async with servers(redis, 1, "--workers", str(number)) as (server,):
                joins = await visit(server, count, visit_s, mood_changes=0)
                await server.stop()
            async with servers(redis, 1, "--workers", str(number), "--push-ms", "100") as (server,):
                pushes = await visit(server, count, visit_s, mood_changes=30)
                await server.stop()
        found[f"workers_{number}"] = {
            "joins_per_s": joins["joins_per_s"],
            "pushes_per_s": round(pushes["messages_per_person"] * count / visit_s),
        }
    for figure in ("joins_per_s", "pushes_per_s") if len(numbers) == 2 else ():
        one, two = (found[f"workers_{number}"][figure] for number in numbers)
        found[f"{figure}_ratio"] = round(two / one, 2) if one and two else None
    return found


async def visit(server: Server, count: int, visit_s: int, *, mood_changes: int) -> dict[str, Any]:
    """Run the load generator in another process; return its summary."""
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "breathing_room", "crowd", server.url, "--json", "--people", str(count)),
        *("--for", f"{visit_s}s", "--mood-changes", str(mood_changes), "--visit", "0", "--seed", "1"),
        stdout=subprocess.PIPE,
    )
    said, _ = await run.communicate()
    summary: dict[str, Any] = json.loads(said)
    return summary


async def paper(
    count: int, *, nodes: int = 1_000, people: int = 10_000, visit_s: int = 900
) -> dict[str, Any]:
    """Compute the cost of many nodes from the size of a delta and the time to send and to read one."""
    del count
    moods_of = RoomConfig().moods
    room = Room("lobby", RoomConfig(), now_ms=0, rate_is_shared=True)
    for index in range(people):
        room.step(Joined(index, VisitorKey(index.to_bytes(16, "big")), MOODS[index % 4]), now_ms=0)
    part = RoomDelta(summary=room.summary(0))
    message = Delta(
        sender=("machine-0001.example:8000", 2**47),
        lease_ms=15_000,
        read=(1_767_268_800_000, 0),
        rooms={"lobby": part},
    )
    value = encode_delta(message, lambda _: moods_of)
    began_s = time.process_time()
    for _ in range(2_000):
        decode(value, lambda _: moods_of)
    read_us = (time.process_time() - began_s) * 1e6 / 2_000
    send_us = await sending_us(value)
    entry_bytes = len(value) + STREAM_BYTES
    keys_per_s = 2 * people / visit_s
    found: dict[str, Any] = {
        "message_bytes": len(value),
        "read_us": round(read_us, 1),
        "send_us": round(send_us, 2),
        "nodes": nodes,
        "people": people,
    }
    for tick_ms in (250, 1_000):
        to_each = nodes * (entry_bytes * 1_000 / tick_ms + 16 * keys_per_s)
        found[f"node_ms_{tick_ms}"] = {
            "messages_per_s_to_each": nodes * 1_000 // tick_ms,
            "commands_per_s_on_redis": 5 * nodes * 1_000 // tick_ms,
            "mb_per_s_to_each": round(to_each / 1e6, 2),
            "gb_per_s_out_of_redis": round(nodes * to_each / 1e9, 2),
            "share_of_a_core_to_read": round(nodes * 1_000 / tick_ms * read_us / 1e6, 3),
            "cores_of_redis_to_send": round(nodes**2 * 1_000 / tick_ms * send_us / 1e6, 1),
            "nodes_that_fill_10_gbit_per_s": round((1.25e9 / (to_each / nodes)) ** 0.5),
            "nodes_that_fill_a_core_of_redis": round((1e6 / (send_us * 1_000 / tick_ms)) ** 0.5),
        }
    return found


async def sending_us(value: bytes, *, entries: int = 1_000, times: int = 50) -> float:
    """Return the CPU time in microseconds that Redis takes to send one entry of the log to one reader."""
    with redis_process() as redis:
        asker = Redis(port=redis.port)
        for _ in range(entries):
            await asker.xadd("log", {"m": value})

        async def cpu_s() -> float:
            used = await asker.info("cpu")
            return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

        began_s = await cpu_s()
        for _ in range(times):
            await asker.xread({"log": "0-0"})
        took_s = await cpu_s() - began_s
        await asker.aclose()
    return took_s * 1e6 / (entries * times)


SCENARIOS: dict[str, Callable[[int], Awaitable[dict[str, Any]]]] = {
    "spread": spread,
    "kills": kills,
    "redis": redis_away,
    "rolling": rolling,
    "commands": lambda count: commands([10, 1_000, min(10_000, 10 * count)]),
    "workers": workers,
    "paper": paper,
}


async def run(names: list[str], count: int) -> bool:
    """Run scenarios; return whether all checks hold."""
    print(
        json.dumps(
            {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
        )
    )
    all_hold = True
    for name in names:
        seen = await SCENARIOS[name](count)
        print(json.dumps({"show": name, **seen}), flush=True)
        all_hold &= all(seen.get("holds", {}).values())
    return all_hold


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios, separated by commas")
    parser.add_argument("--people", type=int, default=3_000)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if strange := set(names) - SCENARIOS.keys():
        parser.error(
            f"unknown scenario {', '.join(sorted(strange))}; expected some of {', '.join(SCENARIOS)}"
        )
    raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if not runner.run(run(names, arguments.people)):
            sys.exit('a check failed; see "holds" of each scenario')


if __name__ == "__main__":
    main()
