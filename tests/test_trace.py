"""One join, followed through every module that it enters: from the browser's transport to the push and the
snapshot.

``python -m pytest tests/test_trace.py -rP`` prints the modules in the order in which the join enters them,
each with what it does there. ``docs/topics/five-minutes.md`` shows the same; no module stands there twice,
and no two for one purpose.
"""

import asyncio
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

import breathing_room
from breathing_room.hosts.common.http.asgi_server import UVICORN_OPTIONS
from breathing_room.hosts.server.listener import Listener
from breathing_room.hosts.server.routes import create_app
from breathing_room.stores import MemoryStore
from inside import host_inside
from node import node
from simulated_cluster import SimulatedCluster
from virtual_loop import run_virtually

SRC = Path(breathing_room.__file__).parent

# Runs the socket transport over a socket that is none, and returns the file whose functions the engine
# counted, other than its base.
BROWSER = """
    const {Session} = await import('node:inspector/promises');
    const TOOLS = ['emitter.js', 'http.js', 'timers.js'];  // events, JSON that may be damaged, timers that may be long
    let socket;
    globalThis.WebSocket = class { constructor() { socket = this; } send(text) { this.sent ??= text; } close() {} };
    const visit = {observe: false, self: () => ({visitor: 'v', mood: 'release'})};
    const transport = new it.SocketTransport({address: 'https://room.example', room: 'lobby', config: {}, ...visit});
    const counts = [];
    transport.on({presence: ({count}) => counts.push(count)});
    const profiler = new Session();
    profiler.connect();
    await profiler.post('Profiler.enable');
    await profiler.post('Profiler.startPreciseCoverage', {callCount: true, detailed: false});
    const ending = new AbortController();
    transport.run(ending.signal);
    socket.onopen();
    socket.onmessage({data: JSON.stringify({type: 'presence', count: 1})});
    const {result} = await profiler.post('Profiler.takePreciseCoverage');
    ending.abort();
    if (JSON.parse(socket.sent).type !== 'join' || counts[0] !== 1) throw new Error('it did not join');
    return result.filter(({url, functions}) => url.startsWith('file:') && functions.some(({ranges}) => ranges[0].count))
      .map(({url}) => url.split('/').pop()).filter((name) => name.endsWith('.js') && !TOOLS.includes(name));
"""


class Trace:
    """The modules of the package that are entered, in their order, and how often each function is called."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}
        self.calls: Counter[str] = Counter()

    def note(self, frame: FrameType, event: str, _argument: object) -> None:
        """Take a call of the interpreter's profiler."""
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(str(SRC)):
            return
        module, name = Path(file).relative_to(SRC).as_posix(), frame.f_code.co_qualname
        self.modules.setdefault(module, name)
        self.calls[f"{module}:{name}"] += 1

    @contextmanager
    def recording(self) -> Iterator[None]:
        threading.setprofile(self.note)
        sys.setprofile(self.note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


class Wire:
    """The server's end of a connection, in memory; it notes what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        self.written += data

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50_000) if name in {"peername", "sockname"} else default


HANDSHAKE = (
    b"GET /v1/rooms/lobby/socket HTTP/1.1\r\nHost: room.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def masked(text: str) -> bytes:
    """Frame a short text as a client does, with a mask of zeros."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text.encode()


async def one_machine() -> tuple[Trace, Trace]:
    push, snapshot = Trace(), Trace()
    store = MemoryStore()
    async with host_inside(store=store, snapshot_ms=500, push_ms=100) as app:
        config = Config(create_app(app), **UVICORN_OPTIONS)
        config.load()

        def connect() -> tuple[Listener, Wire]:
            return Listener(
                app, upgrading=False, config=config, server_state=ServerState(), app_state={}
            ), Wire()

        def say(front: Listener, wire: Wire, text: str) -> None:
            front.connection_made(wire)  # type: ignore[arg-type]
            front.data_received(HANDSHAKE)
            wire.protocol.data_received(masked(text))

        async def turn() -> None:
            for _ in range(3):
                await asyncio.sleep(0)

        observer, joins = connect(), connect()
        say(*observer, '{"type":"observe"}')
        await asyncio.sleep(0.2)
        seen = len(observer[1].written)
        with push.recording():
            say(*joins, '{"type":"join","visitor":"0123456789abcdef0123456789abcdef"}')
            await turn()
        assert b'"count":1,' in observer[1].written[seen:]
        assert joins[1].written.endswith(observer[1].written[seen:])
        while not await store.list("note/"):
            with snapshot.recording():
                await asyncio.sleep(0.01)
        for _, wire in (observer, joins):
            wire.protocol.connection_lost(None)
    return push, snapshot


async def cluster() -> Trace:
    trace = Trace()
    async with SimulatedCluster(0, people=0, loss=0.0, slow_s=0.0) as nodes:
        for person, name in enumerate(nodes.names):
            nodes.tabs[person] = []
            nodes.join(person, name)
        await asyncio.sleep(3)
        nodes.tabs[3] = []
        for looking in nodes._tasks:
            looking.cancel()
        with trace.recording():
            nodes.join(3, "node-0")
            await asyncio.sleep(1)
        assert [host.counts() for host in nodes.hosts.values()] == 3 * [(4, 4, 4, "counted")]
    return trace


TABLE = re.compile(r"^\| (\d+) \| `([^`]+)` \| (.+) \|$")
PAGE = SRC.parents[1] / "docs/topics/five-minutes.md"


def page() -> tuple[list[dict[str, str]], set[str]]:
    """Read the page: of each of its tables the modules, with what they do; and the modules that it names
    beside them.
    """
    tables: list[dict[str, str]] = []
    text = PAGE.read_text(encoding="utf-8")
    for line in text.splitlines():
        if row := TABLE.match(line):
            number, module, purpose = row.groups()
            if number == "1":
                tables.append({})
            tables[-1][module] = purpose
    beside = text.partition("Beside them stand tools:")[2].partition("\n\n")[0]
    return tables, set(re.findall(r"`([^`]+)`", beside))


def show(title: str, trace: Trace, purposes: dict[str, str]) -> None:
    print(title)  # noqa: T201
    for module, function in trace.modules.items():
        print(f"  {module:46} {function:36} {purposes.get(module, '')}")  # noqa: T201


@pytest.mark.slow
def test_a_join_enters_each_module_for_one_purpose_as_the_page_shows_it() -> None:
    """
    From the transport in the browser to the push, then to the snapshot: the modules are those of the page, in
    its order, and no two do the same.
    """
    (joins, saves, _), beside = page()
    push, snapshot = asyncio.run(one_machine())
    browser = node("socket_transport.js", f"await (async () => {{ {BROWSER} }})()")
    show("one join, on one machine", push, joins)
    show("its snapshot", snapshot, saves)

    assert browser == ["socket_transport.js"]
    assert [f"web/client/{browser[0]}", *(module for module in push.modules if module not in beside)] == [
        *joins
    ]
    assert [module for module in snapshot.modules if module not in {*joins, *beside}] == [*saves]
    assert len({*joins.values(), *saves.values()}) == len(joins) + len(saves)


@pytest.mark.slow
def test_what_decides_and_what_describes_is_entered_once() -> None:
    """A join is applied, counted, decided about, described and encoded once each, for two connections that
    get the same bytes.
    """
    push, _ = asyncio.run(one_machine())
    once = (
        "core/room.py:Room.apply",
        "core/summary.py:counts",
        "core/broadcaster.py:Broadcaster.step",
        "core/presence.py:describe",
        "core/wire.py:encode_presence",
        "hosts/server/frames.py:text_frame",
    )
    assert {call: push.calls[call] for call in once} == dict.fromkeys(once, 1)
    assert push.calls["hosts/server/socket.py:Socket.push"] == 2


def test_on_three_machines_the_same_modules_decide_and_those_of_the_page_come_in() -> None:
    """Beside what one machine enters there are the modules of the page's last table; a presence is described
    once for each broadcast.
    """
    (joins, _, replicates), beside = page()
    trace = run_virtually(cluster())
    show("one join, on three machines", trace, joins | replicates)

    settings = {"hosts/common/settings.py", "core/config.py"}
    assert [module for module in trace.modules if module not in {*joins, *beside, *settings}] == [*replicates]
    assert (
        trace.calls["core/presence.py:describe"] == trace.calls["core/broadcaster.py:Broadcaster.flush"] == 4
    )
