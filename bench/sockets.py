"""The benchmark: how much dearer than the kernel alone is a room of ten thousand sockets?

Every stack answers the same client (``load.c``) in the same protocol with messages of the same size. They
take turns, round after round, so that a drift of the machine meets all alike, and every figure is set against
the floor (``floor.c``) of its own round. The server has one core, the load another.

Figures
-------
CPU per delivered message
    User and system time of the server process from just before the first of the pushes until after the last,
    by the text frames that arrived in between.
Memory per idle visitor
    What the server's unshared memory grew by while the visitors joined, by their number. A hundred visitors
    who came and went before have loaded what is loaded only once.
Joins per second per core
    A join is a connect, a handshake, a join message and the first presence. The time runs from the first
    connect until the last presence. Ours also broadcasts each join, as in production; the peers only answer.
Time to the last
    From the message of one visitor who changes mood until the last socket has the presence that shows it.

``--quick`` is a trial; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.console import Console
from rich.table import Table

from breathing_room.core.config import RoomConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

BENCH = Path(__file__).resolve().parent
BUILD = BENCH / "build"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]

WARM_UP_VISITORS = 100
JOINS_AT_ONCE = 100
TIMEOUT_MS = 60_000
PAYLOAD_BYTES = 300  # What ours sends to 10,000; measured again whenever ours takes part.
TRACED_VISITORS = 2_000

CPU_RATIO_MAX = 1.2
MEMORY_BYTES_MAX = 5_000
JOINS_PER_S_MIN = 5_000
LAST_RATIO_MAX = 1.5  # The last waits for all others: CPU once more, and room for the noise of clocks.
LOAD_AVERAGE_MAX = 0.5


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    sockets: int
    rounds: int
    pushes: int
    push_ms: int
    only: list[str]
    json: bool

    @property
    def gap_ms(self) -> int:
        """The pause between two pushes: ours must be free to push at once."""
        apart_ms = max(self.push_ms, self.sockets * 1_000 // RoomConfig().pushes_per_s)
        return apart_ms + max(20, apart_ms // 10)

    @property
    def settle_ms(self) -> int:
        """The pause after a storm of joins, until all of its broadcasts are sent."""
        return 2 * self.gap_ms


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A server to measure."""

    title: str
    command: Callable[[int, Options, Path], list[str]]  # Takes the payload's size, and a directory for data.


def node() -> str:
    """Return the path of Node itself: the one on PATH may be a wrapper, and we measure and end the server."""
    return subprocess.run(
        ["node", "-p", "process.execPath"], check=True, capture_output=True, text=True
    ).stdout.strip()


STACKS = {
    "ours": Stack(
        title="breathing-room serve",
        # With a long lease no pings are sent: a benchmark of pushes needs no other frames, and the peers send
        # none.
        command=lambda _, options, data: [
            *(
                sys.executable,
                "-m",
                "breathing_room",
                "serve",
                "--port",
                "0",
                "--data",
                str(data / "room.db"),
            ),
            *("--lease-ms", "3600000", "--push-ms", str(options.push_ms)),
        ],
    ),
    "floor": Stack(
        title="C floor",
        command=lambda payload_bytes, *_: [str(BUILD / "floor"), str(payload_bytes)],
    ),
    "uvicorn": Stack(
        title="uvicorn websockets-sansio",
        command=lambda payload_bytes, *_: [
            *(sys.executable, str(BENCH / "uvicorn_room.py"), str(payload_bytes), "websockets-sansio")
        ],
    ),
    "uvicorn-websockets": Stack(
        title="uvicorn websockets",
        command=lambda payload_bytes, *_: [
            *(sys.executable, str(BENCH / "uvicorn_room.py"), str(payload_bytes), "websockets")
        ],
    ),
    "ws": Stack(
        title="npm ws",
        command=lambda payload_bytes, *_: [node(), str(BENCH / "ws_room.mjs"), str(payload_bytes)],
    ),
}
BY_DEFAULT = ["ours", "floor", "uvicorn", "ws"]  # Ours first: it sets the size of the message.


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of one stack in one round."""

    cpu_us: float  # Per delivered message; the kernel has its two parts only in ticks of 10 ms.
    user_us: float
    system_us: float
    memory_bytes: float  # Per visitor.
    joins_per_s: float
    join_cpu_us: float
    last_ms: list[float]  # One for every push.
    delivered: int  # Text frames during the pushes.
    due: int  # Pushes times sockets.
    reached: int  # Sockets that had the new presence in time, over all pushes.
    lost: int  # Sockets that the server closed.
    payload_bytes: int

    @property
    def whole(self) -> bool:
        """Whether every socket got every push."""
        return self.reached == self.due <= self.delivered and self.lost == 0


class Server:
    """A stack that serves, alone on its core."""

    def __init__(self, command: Sequence[str], data: Path) -> None:
        os.sched_setaffinity(0, {SERVER_CORE})  # A child inherits it, with every thread that it starts.
        try:
            # The log goes to a file, so that the server never waits for a reader.
            with (data / "log").open("w") as log:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=data
                )
        finally:
            os.sched_setaffinity(0, {LOAD_CORE})
        while line := self.read():
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found.group(1))
                return
        raise SystemExit(f"{' '.join(command)} did not start:\n{(data / 'log').read_text()}")

    def read(self) -> str:
        """Read a line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ask(self, order: str) -> Any:
        """Send a command to its standard input, and return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        while line := self.read():
            if line.startswith(("{", "[", '"')):
                return json.loads(line)
        raise SystemExit(f"the server ended at: {order}")

    def cpu_ns(self) -> int:
        """Return its processor time, user and system, of all threads."""
        # The clock that clock_getcpuclockid(3) names for a process; /proc/PID/stat has the same in ticks of
        # 10 ms.
        return time.clock_gettime_ns((~self.process.pid << 3) | 2)

    def user_share(self, since: tuple[int, int] = (0, 0)) -> tuple[float, tuple[int, int]]:
        """Return the share of user time since the ticks given, and the ticks to pass next time."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        ticks = int(fields[11]), int(fields[12])
        user, system = ticks[0] - since[0], ticks[1] - since[1]
        return user / max(user + system, 1), ticks

    def memory_bytes(self) -> int:
        """Return its unshared memory."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text("ascii")
        return sum(
            int(size) * 1024
            for size in re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB", rollup, re.MULTILINE)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True)
class Answer:
    """The answer of the load to a command; see ``load.c``."""

    goal: int
    reached: int
    elapsed_ns: int
    messages: int
    bytes: int
    payload_bytes: int
    lost: int


class Load:
    """The load: a process with all visitors."""

    def __init__(self, port: int) -> None:
        self.process = subprocess.Popen(
            [BUILD / "load", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def order(self, order: str, *, timeout_ms: int = TIMEOUT_MS) -> Answer:
        """Send a command, and return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{order} {timeout_ms}\n")
        self.process.stdin.flush()
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"the load ended at: {order}")
        return Answer(**json.loads(line))

    def join(self, count: int) -> Answer:
        """Join that many visitors."""
        answer = self.order(f"join {count} {JOINS_AT_ONCE}")
        if answer.reached < count:
            raise SystemExit(
                f"only {answer.reached:,} of {count:,} visitors had a presence within {TIMEOUT_MS} ms"
            )
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()


def warm_up(load: Load, options: Options) -> None:
    """Join, change and close some visitors, so that code and buffers are loaded."""
    load.join(min(WARM_UP_VISITORS, options.sockets))
    for mood in ("release", "gratitude"):
        load.order("wait", timeout_ms=options.gap_ms)
        load.order(f"change {mood}")
    load.order("close")
    load.order("wait", timeout_ms=options.settle_ms)


def measure(stack: Stack, options: Options, payload_bytes: int) -> Figures:
    """Measure one stack once."""
    with (
        tempfile.TemporaryDirectory() as data,
        Server(stack.command(payload_bytes, options, Path(data)), Path(data)) as server,
        Load(server.port) as load,
    ):
        warm_up(load, options)
        memory_bytes, cpu_ns = server.memory_bytes(), server.cpu_ns()
        joined = load.join(options.sockets)
        join_cpu_ns = server.cpu_ns() - cpu_ns
        before = load.order("wait", timeout_ms=options.settle_ms)
        memory_bytes = server.memory_bytes() - memory_bytes

        cpu_ns, (_, ticks) = server.cpu_ns(), server.user_share()
        pushes = []
        for push in range(options.pushes):
            pushes.append(load.order(f"change {('release', 'gratitude')[push % 2]}"))
            after = load.order("wait", timeout_ms=options.gap_ms)
        delivered = after.messages - before.messages
        cpu_us = (server.cpu_ns() - cpu_ns) / 1000 / max(delivered, 1)
        user_share, _ = server.user_share(ticks)

        return Figures(
            cpu_us=cpu_us,
            user_us=cpu_us * user_share,
            system_us=cpu_us * (1 - user_share),
            memory_bytes=memory_bytes / options.sockets,
            joins_per_s=options.sockets / joined.elapsed_ns * 1e9,
            join_cpu_us=join_cpu_ns / 1000 / options.sockets,
            last_ms=[push.elapsed_ns / 1e6 for push in pushes],
            delivered=delivered,
            due=options.pushes * options.sockets,
            reached=sum(push.reached for push in pushes),
            lost=after.lost,
            payload_bytes=pushes[-1].payload_bytes,
        )


def where_memory_goes(options: Options) -> list[dict[str, Any]]:
    """Trace ours with fewer visitors; return the memory of a visitor by line of source, the largest first."""
    visitors = min(TRACED_VISITORS, options.sockets)
    with tempfile.TemporaryDirectory() as data:
        command = STACKS["ours"].command(0, options, Path(data))
        command[1:3] = [str(BENCH / "traced.py")]
        with Server(command, Path(data)) as server, Load(server.port) as load:
            warm_up(load, options)
            server.ask("mark")
            load.join(visitors)
            load.order("wait", timeout_ms=options.settle_ms)
            grown = server.ask("report")
    return [{"line": each["line"], "bytes": each["bytes"] / visitors} for each in grown]


def median(rounds: list[dict[str, Figures]], name: str, figure: str) -> float:
    """Return a figure's median over the rounds."""
    return float(statistics.median(getattr(each[name], figure) for each in rounds))


def ratio_to_floor(
    rounds: list[dict[str, Figures]], name: str, figure: Callable[[Figures], float]
) -> float | None:
    """Return the median over the rounds of the ratio to the floor of the same round; None without a floor."""
    if "floor" not in rounds[0]:
        return None
    return statistics.median(figure(each[name]) / figure(each["floor"]) for each in rounds)


def summarize(rounds: list[dict[str, Figures]]) -> dict[str, dict[str, Any]]:
    """Summarize the rounds: medians, and the worst of the times to the last."""
    return {
        name: {
            **{
                figure: median(rounds, name, figure)
                for figure in ("cpu_us", "user_us", "system_us", "memory_bytes", "joins_per_s", "join_cpu_us")
            },
            "cpu_ratio": ratio_to_floor(rounds, name, lambda each: each.cpu_us),
            "last_ms_median": statistics.median(ms for each in rounds for ms in each[name].last_ms),
            "last_ms_worst": max(ms for each in rounds for ms in each[name].last_ms),
            "last_ratio": ratio_to_floor(rounds, name, lambda each: statistics.median(each.last_ms)),
            "delivered": sum(each[name].delivered for each in rounds),
            "due": sum(each[name].due for each in rounds),
            "whole": all(each[name].whole for each in rounds),
            "payload_bytes": rounds[-1][name].payload_bytes,
        }
        for name in rounds[0]
    }


def goals(ours: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare ours with its goals."""

    def goal(what: str, wanted: str, figure: float | None, unit: str, *, reached: bool) -> dict[str, Any]:
        return {"what": what, "goal": wanted, "figure": figure, "unit": unit, "reached": reached}

    cpu, last = ours["cpu_ratio"], ours["last_ratio"]
    memory, joins = ours["memory_bytes"], ours["joins_per_s"]
    return [
        goal(
            "CPU per delivered message",
            f"at most {CPU_RATIO_MAX} x floor",
            cpu,
            "x floor",
            reached=cpu is not None and cpu <= CPU_RATIO_MAX,
        ),
        goal(
            "memory per idle visitor",
            f"at most {MEMORY_BYTES_MAX:,} bytes",
            memory,
            "bytes",
            reached=memory <= MEMORY_BYTES_MAX,
        ),
        goal(
            "joins per second per core",
            f"at least {JOINS_PER_S_MIN:,}",
            joins,
            "/s",
            reached=joins >= JOINS_PER_S_MIN,
        ),
        goal(
            "time to the last, median",
            f"at most {LAST_RATIO_MAX} x floor",
            last,
            "x floor",
            reached=last is not None and last <= LAST_RATIO_MAX,
        ),
    ]


def machine() -> dict[str, str]:
    """Return the machine of this run."""
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": model.group(1) if model else platform.machine(),
        "cores": f"{len(CORES)}, the server on core {SERVER_CORE}, the load on core {LOAD_CORE}",
        "kernel": f"{platform.system()} {platform.release()}",
        "load_average": Path("/proc/loadavg").read_text("ascii").split()[0],
    }


def versions() -> dict[str, str]:
    """Return the versions of this run."""

    def first_line(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]

    found = {"Python": platform.python_version()}
    found |= {
        name: version(name) for name in ("breathing-room", "uvicorn", "uvloop", "httptools", "websockets")
    }
    found["gcc"] = first_line("gcc", "-dumpfullversion")
    if shutil.which("node"):
        found["node"] = first_line("node", "--version").removeprefix("v")
        manifest = BENCH.parent / "node_modules" / "ws" / "package.json"
        found["ws"] = json.loads(manifest.read_text("utf-8"))["version"] if manifest.exists() else "missing"
    return found


def build() -> None:
    """Compile the C programs that are older than their sources."""
    BUILD.mkdir(exist_ok=True)
    for source in BENCH.glob("*.c"):
        program = BUILD / source.stem
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            fresh = BUILD / f"{source.stem}.{os.getpid()}"
            subprocess.run(
                ["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", fresh, source], check=True
            )
            fresh.replace(program)  # At once: another run may be starting it.


def table(summary: dict[str, dict[str, Any]], style: box.Box) -> Table:
    """Return a table with a row for each stack."""
    drawn = Table(box=style)
    drawn.add_column("")
    for title in (
        *("CPU us a message", "(user + system)", "x floor", "bytes a visitor", "joins/s", "CPU us a join"),
        *("last, ms", "worst", "x floor", "delivered", "of", "bytes each"),
    ):
        drawn.add_column(title, justify="right")
    for name, row in summary.items():
        drawn.add_row(
            STACKS[name].title,
            f"{row['cpu_us']:.2f}",
            f"({row['user_us']:.2f} + {row['system_us']:.2f})",
            "" if row["cpu_ratio"] is None else f"{row['cpu_ratio']:.2f}",
            f"{row['memory_bytes']:,.0f}",
            f"{row['joins_per_s']:,.0f}",
            f"{row['join_cpu_us']:.0f}",
            f"{row['last_ms_median']:.0f}",
            f"{row['last_ms_worst']:.0f}",
            "" if row["last_ratio"] is None else f"{row['last_ratio']:.2f}",
            f"{row['delivered']:,}",
            f"{row['due']:,}",
            f"{row['payload_bytes']}",
        )
    return drawn


def remarks(report: dict[str, Any]) -> Iterator[str]:
    """Yield the remarks below the table: failures, the memory by line, and the goals."""
    if float(report["machine"]["load_average"]) > LOAD_AVERAGE_MAX:
        yield "[yellow]the machine had other work to do: trust the ratios of CPU, not the times[/]"
    for name, row in report["summary"].items():
        if not row["whole"]:
            yield f"[red]{STACKS[name].title} did not deliver every push to every socket[/]"
    if report["where"]:
        total = sum(each["bytes"] for each in report["where"])
        yield f"\nWhere the memory of a visitor goes in ours: {total:,.0f} bytes traced, the dearest lines first"
        for each in report["where"][:12]:
            yield f"{each['bytes']:8,.0f}  {each['line']}"
        yield ""
    for each in report["goals"]:
        figure = (
            "not measured" if each["figure"] is None else f"{each['figure']:,.2f}".rstrip("0").rstrip(".")
        )
        verdict = "[green]yes[/]" if each["reached"] else "[red]no[/]"
        yield f"{each['what']}: goal {each['goal']}, reached {figure} {each['unit']}: {verdict}"


def show(report: dict[str, Any]) -> None:
    """Print the report; in a pipe, the table as Markdown."""
    console = Console(highlight=False)
    style = box.ROUNDED
    if not console.is_terminal:
        console, style = Console(highlight=False, width=200), box.MARKDOWN
    options = report["options"]
    console.print(
        f"{options['sockets']:,} sockets; rounds: {options['rounds']}, taken in turn, medians; "
        f"pushes a round: {options['pushes']}, at least {options['push_ms']:,} ms apart"
    )
    for words in (report["machine"], report["versions"]):
        console.print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in words.items()))
    console.print(table(report["summary"], style))
    for remark in remarks(report):
        console.print(remark)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Measure a room of very many sockets, and its peers beside it."
    )
    parser.add_argument("--sockets", type=int, help="visitors at once (10000)")
    parser.add_argument("--rounds", type=int, help="rounds; each measures every stack once (3)")
    parser.add_argument("--pushes", type=int, help="changes of mood a round (20)")
    parser.add_argument("--push-ms", type=int, help="the least time between two pushes (500)")
    parser.add_argument(
        "--only", default=",".join(BY_DEFAULT), help=f"some of {','.join(STACKS)} (%(default)s)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="500 sockets, 1 round, 5 pushes 50 ms apart: a trial"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON, each round too")
    read = parser.parse_args(arguments)

    usual = (500, 1, 5, 50) if read.quick else (10_000, 3, 20, 500)
    given = (read.sockets, read.rounds, read.pushes, read.push_ms)
    sockets, rounds, pushes, push_ms = (
        other if one is None else one for one, other in zip(given, usual, strict=True)
    )
    if min(sockets, rounds, pushes, push_ms) < 1:
        parser.error("--sockets, --rounds, --pushes and --push-ms must be at least 1")
    only = read.only.split(",")
    if unknown := set(only) - set(STACKS):
        parser.error(f"--only: {', '.join(sorted(unknown))}: not one of {', '.join(STACKS)}")

    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    if sockets + 200 > files_max:
        parser.error(f"--sockets: a process may open {files_max:,} files here, and needs 200 for itself")
    return Options(
        sockets=sockets,
        rounds=rounds,
        pushes=pushes,
        push_ms=push_ms,
        only=[name for name in STACKS if name in only],
        json=read.json,
    )


def main() -> None:
    """Measure and print."""
    options = parse()
    build()
    progress = Console(stderr=True, highlight=False)
    where_and_when = machine()  # Before our own load raises the load average.
    rounds: list[dict[str, Figures]] = []
    payload_bytes = PAYLOAD_BYTES
    for number in range(1, options.rounds + 1):
        rounds.append({})
        for name in options.only:
            progress.print(f"round {number} of {options.rounds}: {STACKS[name].title}")
            rounds[-1][name] = measure(STACKS[name], options, payload_bytes)
            payload_bytes = rounds[-1].get("ours", rounds[-1][name]).payload_bytes
    where: list[dict[str, Any]] = []
    if "ours" in options.only:
        progress.print("tracing where the memory goes")
        where = where_memory_goes(options)

    summary = summarize(rounds)
    report = {
        "machine": where_and_when,
        "versions": versions(),
        "options": asdict(options),
        "rounds": [{name: asdict(figures) for name, figures in each.items()} for each in rounds],
        "summary": summary,
        "where": where,
        "goals": goals(summary["ours"]) if "ours" in summary else [],
    }
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)


if __name__ == "__main__":
    main()
