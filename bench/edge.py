"""Measure a room at the edge, in workerd: a storm of joins, the cost of a report and of a read, the time to
wake from hibernation, and the bill of the platform.

    python bench/edge.py [--people 250,500,1000]

Processor time is that of workerd as a whole: the Worker, the object, the sockets and Python in all of them.
Bytes are those of messages that the room sent. Beside them stands the app that this grew out of, measured
once in the same workerd (see docs/howto/cloudflare.md).
"""

import argparse
import asyncio
import contextlib
import platform
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from breathing_room.lab.cost.strategies.sources import MEMORY_GB
from breathing_room.testing.host_context import ask
from breathing_room.testing.peer import WireSocket
from hosts.worker.bill import FIXED, OBJECT, PRICED, REPORTED_HEARTBEATS, OfPanel, OnSocket, Timetable
from hosts.worker.platform_fakes import R2, Kv, Service
from hosts.worker.runtime import Runtime, start_runtime

STORM_S = 2.0
SETTLE_S = 3.0
REPORTS = 300
SLEEP_S = 24.0  # ten until the last snapshot, and ten without work

VARIABLES = {
    "BREATHING_ROOM_PUSH_MS": "1000",
    "BREATHING_ROOM_REPORTS_PER_S": "1000000",
    "BREATHING_ROOM_PRESENCE_MAX_AGE_S": "5",
    "BREATHING_ROOM_SNAPSHOT_MS": "10000",
}


@dataclass(frozen=True)
class Storm:
    """The cost of a storm: processor time, and the messages of the room."""

    people: int
    cpu_s: float
    seconds: float
    messages: int
    sent_bytes: int


async def connect(url: str, path: str) -> WireSocket:
    """Open a socket; try again if a busy machine did not answer in time."""
    for _ in range(20):
        with contextlib.suppress(AssertionError):
            return await WireSocket.open(url, path)
    raise RuntimeError("the room cannot be reached")


async def storm(worker: Runtime, room: str, people: int) -> tuple[Storm, list[WireSocket]]:
    """Join visitors within two seconds, and wait until all have the full count."""
    cpu_s, began_s = worker.cpu_s, time.monotonic()

    async def join(index: int) -> WireSocket:
        await asyncio.sleep(index * STORM_S / people)
        socket = await connect(worker.url, f"/v1/rooms/{room}/socket")
        socket.send_message("join", visitor=secrets.token_urlsafe(16), mood="release")
        return socket

    sockets = await asyncio.gather(*(join(index) for index in range(people)))
    seconds = time.monotonic() - began_s
    for socket in sockets:
        await socket.receive("presence", lambda said: bool(said["count"] == people))
    await asyncio.sleep(SETTLE_S)
    texts = [text for socket in sockets for text in socket.texts]
    size = sum(map(len, texts))
    return Storm(people, worker.cpu_s - cpu_s, seconds, len(texts), size), list(sockets)


async def close(sockets: list[WireSocket]) -> None:
    """Close all sockets."""
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
    """Measure the time that a hibernated room takes to answer."""
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
            await close(sockets)
        finally:
            worker.stop()


async def operations() -> None:
    """Count what the platform would bill for a steady crowd over six minutes, beside the figures of the price
    model.
    """
    for name, timetable, kind, way in (
        ("every visitor on a socket, with a push every 30 s", Timetable(), OnSocket, OBJECT),
        (
            "a panel that reports, published every 30 s",
            Timetable(heartbeats=REPORTED_HEARTBEATS),
            OfPanel,
            FIXED,
        ),
    ):
        with ExitStack() as stack:
            kv, bucket = Service().start(Kv), Service().start(R2)
            stack.callback(kv.stop)
            stack.callback(bucket.stop)
            services = {"KV": f"kvNamespace {kv.address}", "BUCKET": f"r2Bucket {bucket.address}"}
            if way is OBJECT:
                del services["BUCKET"]
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            worker = start_runtime(Path(folder), timetable.variables(way), services=services)
            stack.callback(worker.stop)
            bill = await timetable.bill(worker, kv, bucket, kind, way)
        print(
            f"{timetable.people} people for {bill.seconds / 60:.1f} minutes, {timetable.faster:g} times as fast: {name}"
        )
        print(f"{'counted':>12}{'modeled':>12}")
        for item in PRICED:
            if item in bill.modeled:
                print(f"{bill.counted[item]:>12,.1f}{bill.modeled[item]:>12,.1f}  {item.replace('_', ' ')}")
        month = 30 * 86_400 / bill.seconds
        counted_usd, modeled_usd = (month * bill.price_usd(used) for used in (bill.counted, bill.modeled))
        print(
            f"{counted_usd:>12.2f}{modeled_usd:>12.2f}  dollars a month, had the plan nothing included; {bill.ratio - 1:+.1%}"
        )
        awake_s = bill.modeled["object_gb_s"] / float(MEMORY_GB)
        print(f"{'':>12}{awake_s:>12.1f}  seconds awake: modeled, since workerd does not say")
        print(f"{'':>12}{'':>12}  rows: {dict(bill.rows)}")


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
        await close(sockets)
    print(
        "the older app, for comparison: 1,000 people 18-20 s of CPU and 21,800 MB; 2,000 people 121 s and 175,000 MB"
    )
    await asyncio.sleep(SETTLE_S)
    for what, method, path in (
        ("a report that takes a seat, panel growing to 300", "POST", "/v1/rooms/panel/heartbeat"),
        ("a presence that the Worker kept", "GET", "/v1/rooms/panel"),
        ("a read that wakes or asks the room", "GET", "/v1/rooms/panel/history"),
        ("a config", "GET", "/v1/rooms/panel/config"),
    ):
        print(f"{await per_call_ms(worker, method, path):6.1f} ms of CPU: {what}")


if __name__ == "__main__":
    asyncio.run(main())
