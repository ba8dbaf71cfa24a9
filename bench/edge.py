"""Measure a room at the edge, in workerd: a storm of joins, what a report and a read cost, and how long a sleeper takes to wake.

    python bench/edge.py [--people 250,500,1000]

Processor time is that of workerd as a whole: the Worker, the object, the sockets and Python in all of them. Bytes are those of messages
that the room sent. Beside them stands the app that this grew out of, measured once in the same workerd (see docs/howto/cloudflare.md).
"""

import argparse
import asyncio
import contextlib
import platform
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from breathing_room.testing.host import ask
from breathing_room.testing.peer import Socket
from hosts.worker.runtime import Runtime, start_runtime

STORM_S = 2.0
SETTLE_S = 3.0
REPORTS = 300
# A steady crowd, for what is billed.
PEOPLE, MINUTES, TIMES_FASTER = 300, 6, 10
STAY_S, BEAT_S, PUSH_S, SNAPSHOT_S = 900, 60, 10, 30

SLEEP_S = 24.0  # ten until the last snapshot, and ten without work

VARIABLES = {
    "BREATHING_ROOM_PUSH_MS": "1000",
    "BREATHING_ROOM_REPORTS_PER_S": "1000000",
    "BREATHING_ROOM_PRESENCE_MAX_AGE_S": "5",
    "BREATHING_ROOM_SNAPSHOT_MS": "10000",
}


@dataclass(frozen=True)
class Storm:
    """What a storm cost: processor time, and what the room sent."""

    people: int
    cpu_s: float
    seconds: float
    messages: int
    sent_bytes: int


async def knock(url: str, path: str) -> Socket:
    """Open a socket, and again if a busy machine did not answer in time."""
    for _ in range(20):
        with contextlib.suppress(AssertionError):
            return await Socket.open(url, path)
    raise RuntimeError("the room cannot be reached")


async def storm(worker: Runtime, room: str, people: int) -> tuple[Storm, list[Socket]]:
    """Let people come in within two seconds, and wait until all have heard the last of it."""
    cpu_s, began_s = worker.cpu_s, time.monotonic()

    async def come(index: int) -> Socket:
        await asyncio.sleep(index * STORM_S / people)
        socket = await knock(worker.url, f"/v1/rooms/{room}/socket")
        socket.say("join", visitor=secrets.token_urlsafe(16), mood="release")
        return socket

    sockets = await asyncio.gather(*(come(index) for index in range(people)))
    seconds = time.monotonic() - began_s
    for socket in sockets:
        await socket.hear("presence", lambda said: bool(said["count"] == people))
    await asyncio.sleep(SETTLE_S)
    texts = [text for socket in sockets for text in socket.texts]
    size = sum(map(len, texts))
    return Storm(people, worker.cpu_s - cpu_s, seconds, len(texts), size), list(sockets)


async def part(sockets: list[Socket]) -> None:
    """Let everybody go."""
    for socket in sockets:
        socket.cut()
    await asyncio.gather(*(socket.part() for socket in sockets))


async def per_call_ms(worker: Runtime, method: str, path: str) -> float:
    """Measure the processor time of one request, each from a visitor of its own."""
    cpu_s = worker.cpu_s
    for _ in range(REPORTS):
        body = {"visitor": secrets.token_urlsafe(16)} if method == "POST" else b""
        answer = await ask(worker.url, method, path, body)
        assert answer.status == 200, answer
    return 1_000 * (worker.cpu_s - cpu_s) / REPORTS


async def wake(people: int) -> None:
    """Measure how long a sleeping room takes to answer."""
    with tempfile.TemporaryDirectory() as folder:
        worker = start_runtime(Path(folder), VARIABLES | {"BREATHING_ROOM_LOG_LEVEL": "debug"})
        try:
            _, sockets = await storm(worker, "sleeper", people)
            await asyncio.sleep(SLEEP_S)
            began_s = time.monotonic()
            await ask(worker.url, "GET", "/v1/rooms/sleeper/history")  # not kept by the Worker
            took_ms = 1_000 * (time.monotonic() - began_s)
            if f"DEBUG room sleeper woke, with {people} sockets" not in worker.lines:
                raise RuntimeError("the room did not sleep")
            print(f"woke with {people} sockets and answered within {took_ms:.0f} ms")
            await part(sockets)
        finally:
            worker.stop()


async def stay(worker: Runtime, until_s: float, dice: random.Random) -> None:
    """Be one place in a steady crowd: somebody comes, feels otherwise once, beats, goes, and another one comes."""
    while time.monotonic() < until_s:
        begun_s = time.monotonic()
        leaves_s = begun_s + dice.expovariate(1 / (STAY_S / TIMES_FASTER))
        feels_s: float | None = begun_s + dice.random() * (leaves_s - begun_s)
        socket = await knock(worker.url, "/v1/rooms/steady/socket")
        socket.say("join", visitor=secrets.token_urlsafe(16), mood="release")
        beat_s = begun_s + dice.random() * BEAT_S / TIMES_FASTER
        while (now_s := time.monotonic()) < min(leaves_s, until_s):
            if feels_s is not None and now_s >= feels_s:
                feels_s = None
                socket.say("mood", mood="gratitude")
            if now_s >= beat_s:
                beat_s += BEAT_S / TIMES_FASTER
                socket.say("beat", sent_ms=now_s)
            await asyncio.sleep(0.1)
        socket.say_goodbye(1000)
        await socket.part()


async def operations() -> None:
    """Count what the platform would bill for a steady crowd, and what the price model computes for it."""
    push_s, snapshot_s = PUSH_S / TIMES_FASTER, SNAPSHOT_S / TIMES_FASTER
    variables = VARIABLES | {
        "BREATHING_ROOM_LOG_LEVEL": "debug",
        "BREATHING_ROOM_PUSH_MS": f"{1_000 * push_s:.0f}",
        "BREATHING_ROOM_SNAPSHOT_MS": f"{1_000 * snapshot_s:.0f}",
    }
    dice = random.Random(1)  # a crowd that is the same each time
    with tempfile.TemporaryDirectory() as folder:
        worker = start_runtime(Path(folder), variables)
        try:
            until_s = time.monotonic() + MINUTES * 60 / TIMES_FASTER
            await asyncio.gather(*(stay(worker, until_s, dice) for _ in range(PEOPLE)))
        finally:
            worker.stop()
    counted = Counter(line.partition("billed: ")[2] for line in worker.lines if "billed: " in line)
    share = MINUTES * 60
    joins = PEOPLE + PEOPLE * share / STAY_S
    messages = joins + PEOPLE * share / BEAT_S + PEOPLE * share / STAY_S
    print(
        f"{PEOPLE} people for {MINUTES} minutes, {TIMES_FASTER} times as fast; counted, and as the crowd was drawn:"
    )
    print(f"{counted['request']:>8}{joins:>8.0f} requests of the object")
    print(f"{counted['message']:>8}{messages:>8.0f} messages")
    print(
        f"{counted['alarm']:>8}{share / PUSH_S + share / SNAPSHOT_S:>8.0f} alarms: at most one for each push and each snapshot"
    )
    rows = {name.removeprefix("row "): number for name, number in counted.items() if name.startswith("row ")}
    print(f"{sum(rows.values()):>8} rows: {rows}")


async def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", default="250,500,1000", help="crowds, separated by commas")
    crowds = [int(people) for people in parser.parse_args().people.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        worker = start_runtime(Path(folder), VARIABLES)
        try:
            await measure(worker, crowds)
        finally:
            worker.stop()
    await wake(crowds[-1])
    await operations()


async def measure(worker: Runtime, crowds: list[int]) -> None:
    await ask(worker.url, "GET", "/v1/rooms/lobby")
    today = time.strftime("%Y-%m-%d")
    print(f"{today}, {platform.machine()}, Python in workerd; {STORM_S:g} s storms, push_ms 1,000")
    print(f"{'people':>8}{'CPU s':>8}{'ms each':>9}{'messages each':>15}{'MB sent':>9}{'let in, s':>11}")
    for people in crowds:
        done, sockets = await storm(worker, f"storm-{people}", people)
        each = f"{1_000 * done.cpu_s / people:>9.1f}{done.messages / people:>15.1f}"
        print(f"{people:>8}{done.cpu_s:>8.1f}{each}{done.sent_bytes / 1e6:>9.2f}{done.seconds:>11.1f}")
        await part(sockets)
    print(
        "the older app, for comparison: 1,000 people 18-20 s of CPU and 21,800 MB; 2,000 people 121 s and 175,000 MB"
    )
    await asyncio.sleep(SETTLE_S)
    for what, method, path in (
        ("a report that takes a seat, panel growing to 300", "POST", "/v1/rooms/panel/beat"),
        ("a presence that the Worker kept", "GET", "/v1/rooms/panel"),
        ("a read that wakes or asks the room", "GET", "/v1/rooms/panel/history"),
        ("a config", "GET", "/v1/rooms/panel/config"),
    ):
        print(f"{await per_call_ms(worker, method, path):6.1f} ms of CPU: {what}")


if __name__ == "__main__":
    asyncio.run(main())
