"""Anonymity: after a busy scenario with every log level on, we look everywhere for traces of the visitors."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from breathing_room.core.identity import KEY_BYTES, visitor_key
from breathing_room.core.snapshot import decode_snapshot
from breathing_room.hosts.common.access.signing import sign_visitor
from breathing_room.stores import SqliteStore
from harness import START_S
from raw_websocket import Opcode, RawSocket, await_presence, encode_frame, handshake

pytestmark = pytest.mark.slow

LEASE_MS, GRACE_MS = 5_000, 200

# The visitors. Each has an id of its own, so that a trace identifies the path by which it got out.
PEOPLE = {
    name: f"{name}-5ecret-0f-{name}"
    for name in (
        "joiner",
        "breaker",
        "reporter",
        "leaver",
        "twice",
        "heart",
        "api-room",
        "wrong",
        "query",
        "crash",
    )
}
AGENTS = ('Odd/1.0 (it\'s an "agent"; +http://odd.example)', "Plain-Agent/9", "\u00dcml\u00e4ut/2")
FORWARDED = ("203.0.113.77", "198.51.100.9, 203.0.113.78", "2001:db8:77::9", "[2001:db8:78::9]:4711")
ADDRESSES = ("203.0.113.77", "203.0.113.78", "198.51.100.9", "2001:db8:77::9", "2001:db8:78::9")

PROGRAM = """
import logging, os, sys
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.routes import Routes
from breathing_room.hosts.server.logging import set_up_logging
from breathing_room.hosts.server.serve import serve
from breathing_room.hosts.common.rooms.connection import Connection

set_up_logging("debug")
for name in ("", "asyncio", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "breathing_room.server"):
    logging.getLogger(name).setLevel(1)  # Below uvicorn's own "trace".

async def history(self, request):
    body = await request.body()
    raise RuntimeError(f"{request.client} {request.headers} {request.scope} {body} {request.query_params['visitor']}")

def observe(self):
    if self.room.name == "crash":
        raise RuntimeError(f"no visitor at {self._transport.get_extra_info('peername')}")
    well(self)

well, Connection.observe, Routes.history = Connection.observe, observe, history
config = ServerConfig.load(flags={}, environ=os.environ)
serve(config, on_start=lambda url, capacity: print(f"listens on {url}", flush=True))
"""


@dataclass
class Scene:
    """A server with every log level on, and what was received of it.

    Attributes:
        received: Every byte that any client received.
        clients: All of them.
        ports: The ports from which the clients came.
        log: What the server wrote.
        metrics: What the operator could read.
        files: The bytes of its files, while all visitors were there and after the last lease and a stop.
        keys: The keyed hashes of those whom a snapshot held while they were there.
        rows_after: The keys of what was stored when the last lease was over.
        hashes_after: How many of those hashes were still in any row then.
    """

    received: bytes = b""
    clients: "list[Client]" = field(default_factory=list)
    ports: set[int] = field(default_factory=set)
    log: str = ""
    metrics: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    keys: set[bytes] = field(default_factory=set)
    rows_after: list[str] = field(default_factory=list)
    hashes_after: int = 0


class Client(RawSocket):
    """A client of whom everything would be worth knowing."""

    scene: Scene
    heard_bytes: int = 0

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.scene.clients.append(self)
        self.scene.ports.add(self.tcp.getsockname()[1])

    def read_more(self, deadline_s: float) -> bool:
        before = len(self.buffer)
        more = super().read_more(deadline_s)
        self.scene.received += self.buffer[before:]
        return more


def headers(index: int) -> dict[str, str]:
    """Say who we are, in one of several ways."""
    agent = AGENTS[index % len(AGENTS)].encode().decode("latin-1")
    return {"User-Agent": agent, "X-Forwarded-For": FORWARDED[index % len(FORWARDED)]}


def upgraded(port: int, index: int, **how: Any) -> Client:
    """Open a WebSocket."""
    client = Client(port)
    client.upgrade(handshake(more=headers(index).items(), **how))
    return client


def joined(port: int, name: str, index: int) -> Client:
    """Open a WebSocket and join."""
    client = upgraded(port, index)
    client.send_message("join", visitor=PEOPLE[name], mood="release")
    client.receive("presence")
    return client


def asks(port: int, method: str, path: str, index: int, body: Any = b"", **more: str) -> int:
    """Send a request, and return the status of the answer."""
    with Client(port) as client:
        return client.request(method, path, body, {**headers(index), **more}).status


def be_busy(port: int) -> list[Client]:
    """Do everything that people do, right and wrong, and return those who are still there."""
    stay = [joined(port, "joiner", 0), joined(port, "twice", 1), joined(port, "twice", 2)]
    joined(port, "breaker", 3).tcp.close()
    leaver = joined(port, "leaver", 0)
    leaver.send_message("leave")
    leaver.read_close(answer=True)
    observer = upgraded(port, 1)
    observer.send_message("observe")
    observer.receive("presence")
    api = upgraded(port, 2, path=f"/api/room?sessionId={PEOPLE['api-room']}&mood=release")
    api.receive("presence")
    stay += [observer, api]
    listener = Client(port)
    listener.send(
        f"GET /v1/rooms/lobby/events?visitor={PEOPLE['query']} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    )
    listener.read_more(time.monotonic() + 5)
    stay.append(listener)

    lobby = "/v1/rooms/lobby"
    assert (
        asks(port, "POST", f"{lobby}/heartbeat", 0, {"visitor": PEOPLE["reporter"], "mood": "release"}) == 200
    )
    assert asks(port, "POST", "/api/heartbeat", 1, {"sessionId": PEOPLE["heart"], "mood": "release"}) == 200

    # Wrong in every way that we know, each time with the id of a visitor in it.
    wrong = PEOPLE["wrong"]
    for text in (
        wrong,
        json.dumps({"type": wrong}),
        json.dumps({"type": "mood", "mood": wrong}),
        f'{{"visitor": "{wrong}"',
    ):
        stay[0].send_text(text)
        stay[0].receive_error()
    stay[3].send_message("mood", mood=wrong)
    stay[3].receive_error()
    assert asks(port, "POST", f"{lobby}/heartbeat", 2, {"visitor": wrong, "mood": wrong}) == 400
    assert asks(port, "POST", f"{lobby}/heartbeat", 2, {"visitor": f"{wrong} "}) == 400
    assert asks(port, "POST", f"{lobby}/heartbeat", 2, wrong.encode()) == 400
    assert asks(port, "POST", f"{lobby}/heartbeat", 2, wrong.encode() * 1_000) == 413
    assert (
        asks(port, "POST", f"{lobby}/heartbeat", 2, {"visitor": wrong}, Origin=f"https://{wrong}.example")
        == 403
    )
    assert asks(port, "POST", "/api/heartbeat", 3, {"sessionId": 7, "visitor": wrong}) == 400
    assert asks(port, "GET", f"/nothing?visitor={PEOPLE['query']}", 0) == 404
    assert asks(port, "DELETE", f"{lobby}?visitor={PEOPLE['query']}", 1) == 405
    assert asks(port, "GET", f"/?sessionId={PEOPLE['query']}", 2) == 200
    assert asks(port, "GET", lobby, 3, X_Long=wrong * 2_000) == 431
    for request in (
        f"{wrong} {wrong}\r\n\r\n".encode(),
        handshake(path=f"/api/room?visitor={wrong}"),
        handshake(changed={"Sec-WebSocket-Key": wrong}),
        handshake(more=[("Origin", f"https://{wrong}.example")]),
    ):
        with Client(port) as client:
            client.send(request)
            client.read_until_end()
    for frame in (encode_frame(Opcode.TEXT, wrong, mask=None), encode_frame(Opcode.BINARY, wrong)):
        breaking = joined(port, "breaker", 0)
        breaking.send(frame)
        breaking.read_close()
        breaking.tcp.close()

    crash = f"{lobby}/history?visitor={PEOPLE['crash']}&sessionId={PEOPLE['crash']}"
    assert asks(port, "GET", crash, 0) == 500
    assert asks(port, "GET", crash, 3, json.dumps({"visitor": PEOPLE["crash"]}).encode()) == 500
    crashing = upgraded(port, 0, room="crash")
    crashing.send_message("observe")
    crashing.read_until_end()
    return stay


def read_files(data: Path) -> bytes:
    """Read the data file and the files that SQLite keeps beside it."""
    return b"".join(path.read_bytes() for path in sorted(data.parent.glob(f"{data.name}*")))


async def read_rows(data: Path) -> dict[str, bytes]:
    """Read what is stored."""
    store = await SqliteStore.open(data, read_only=True)
    try:
        return {key: await store.get(key) or b"" for key in await store.list("")}
    finally:
        await store.close()


def play(
    data: Path, visit: Callable[[Scene, int, Path], None], environ: dict[str, str] | None = None, **more: str
) -> Scene:
    """Run a server, visit it, and look at everything that is left of it."""
    scene = Client.scene = Scene()
    settings = {
        "host": "127.0.0.1",
        "port": 0,
        "data": data,
        "lease_ms": LEASE_MS,
        "grace_ms": GRACE_MS,
        "push_ms": 50,
        "snapshot_ms": 100,
        "origins": "https://good.example",
        # Legacy clients are remembered for longer than this test waits for the lobby.
        "default_room": "hall",
        "trusted_proxies": "127.0.0.1/32",
        **more,
    }
    with (data.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", PROGRAM],
            stdout=subprocess.PIPE,
            stderr=log,
            env={
                **os.environ,
                "PYTHONWARNINGS": "ignore",
                **(environ or {}),
                **{f"BREATHING_ROOM_{name.upper()}": str(value) for name, value in settings.items()},
            },
        )
    assert process.stdout is not None
    with closing(process.stdout):
        try:
            port = int(process.stdout.readline().decode().rpartition(":")[2])
            visit(scene, port, data)
        finally:
            for client in scene.clients:
                client.tcp.close()
            process.terminate()
            process.wait(START_S)
    scene.files["after"] = read_files(data)
    scene.log = (data.parent / "log").read_text(encoding="utf-8", errors="backslashreplace")
    return scene


def look_around(scene: Scene, port: int, data: Path) -> None:
    """Look while all visitors are there, and again when their leases are over."""
    stay = be_busy(port)
    while len(asyncio.run(read_rows(data)).get("snapshot/lobby", b"")) < 5 * KEY_BYTES:
        time.sleep(0.05)
    rows = asyncio.run(read_rows(data))
    snapshot = decode_snapshot(rows["snapshot/lobby"])
    secrets = [value for key, value in rows.items() if key.startswith("secret/")]
    assert secrets
    known: set[bytes] = {
        visitor_key(visitor, room="lobby", secret=secret) for visitor in PEOPLE.values() for secret in secrets
    }
    keys = snapshot.members.keys + snapshot.panel.seats.keys + snapshot.legacy.keys
    scene.keys = {keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)}
    assert scene.keys <= known
    with Client(port) as client:
        scene.metrics = client.request("GET", "/metrics").body.decode()
    scene.files["before"] = read_files(data)

    for client in stay:
        client.tcp.close()
    # Reports have leases of minutes: these two leave.
    for name in ("reporter", "heart"):
        assert asks(port, "POST", "/v1/rooms/lobby/leave", 0, {"visitor": PEOPLE[name]}) == 204
    await_presence(port, "lobby", lambda presence: bool(presence["count"] == 0))
    deadline_s = time.monotonic() + 15
    while "snapshot/lobby" in (rows := asyncio.run(read_rows(data))) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    scene.rows_after = list(rows)
    scene.hashes_after = sum(key in value for key in known for value in rows.values())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """What was left of the scenario."""
    return play(tmp_path_factory.mktemp("privacy") / "room.db", look_around)


def found(text: str, words: Any) -> list[str]:
    """List the lines in which one of the words stands, as a word of its own."""
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(str(word))}(?![\w.]*\w)" for word in words))
    return [line for line in text.splitlines() if pattern.search(line)]


def test_scenario_was_busy(scene: Scene) -> None:
    """
    The scenario is worth the name: the log has the most talkative lines of every library and both crashes,
    and a snapshot held people.
    """
    for said in (
        "HTTP connection made",
        "Started scope=",
        "Exception in ASGI application",
    ):
        assert said in scene.log, scene.log[:2_000]
    assert scene.log.count("RuntimeError") >= 3
    assert len(scene.keys) >= 3  # The joiner, one with two tabs, and the reporter; others come and go.
    assert len(scene.ports) > 30
    assert len(scene.received) > 10_000
    assert "breathing_room_people" in scene.metrics


@pytest.mark.parametrize("name", PEOPLE)
def test_no_visitor_id_is_anywhere(scene: Scene, name: str) -> None:
    """A visitor id, right or wrong, is in no log line, metric, message or file."""
    visitor = PEOPLE[name]
    assert [line for line in scene.log.splitlines() if visitor.lower() in line.lower()] == []
    assert visitor not in scene.metrics
    for data in (scene.received, *scene.files.values()):
        assert visitor.encode().lower() not in data.lower()


@pytest.mark.parametrize("address", [*ADDRESSES, "127.0.0.1"])
def test_no_address_is_anywhere(scene: Scene, address: str) -> None:
    """No address of a peer or of who is behind it is in any log line, metric, message or file."""
    assert found(scene.log, [address]) == []
    assert address not in scene.metrics
    for data in (scene.received, *scene.files.values()):
        assert address.encode() not in data
        assert (address.count(".") != 3) or socket.inet_aton(address) not in scene.files["after"]


def test_no_port_of_a_peer_is_logged(scene: Scene) -> None:
    """
    The port of a peer, which with the time names a subscriber behind a carrier's address, is in no log line.
    """
    assert found(scene.log, scene.ports) == []


@pytest.mark.parametrize(
    "agent", ["Odd/1.0", "odd.example", "Plain-Agent", "2001:db8:78::9]:4711", "ml\\xe4ut", "mläut"]
)
def test_no_agent_is_anywhere(scene: Scene, agent: str) -> None:
    """No word of an agent string is in any log line, metric, message or file."""
    assert [line for line in scene.log.splitlines() if agent in line] == []
    assert agent not in scene.metrics
    for data in (scene.received, *scene.files.values()):
        assert agent.encode() not in data


def test_hashes_live_as_long_as_leases(scene: Scene) -> None:
    """
    The keyed hash of a visitor is stored while the lease lives; afterwards it is in no row, and after a stop
    in no byte of any file. The hall remembers its legacy clients for two hours.
    """
    assert all(key in scene.files["before"] for key in scene.keys)
    assert scene.hashes_after == 0
    assert [key for key in scene.rows_after if key.startswith("snapshot/")] == ["snapshot/hall"]
    assert not [key for key in scene.keys if key in scene.files["after"]]


def test_metrics_have_no_labels_of_people(scene: Scene) -> None:
    """The only labels of our metrics are rooms and codes."""
    ours = [line for line in scene.metrics.splitlines() if line.startswith("breathing_room")]
    assert {label for line in ours for label in re.findall(r'[{,](\w+)="', line)} == {"room", "code"}


# --- Signed ids, caps, and a bucket that is away ----------------------------------------------------------

SIGNING_KEY = "5ecret-signing-key-0123456789abcdef"
SIGNED = {
    "socket": sign_visitor(SIGNING_KEY, "lobby"),
    "heartbeat": sign_visitor(SIGNING_KEY, "lobby"),
    "other-room": sign_visitor(SIGNING_KEY, "hall"),
    "too-old": sign_visitor(SIGNING_KEY, "lobby", now_s=1_000_000_000),
    "changed": sign_visitor(SIGNING_KEY, "lobby")[:-1] + "_",
    "unsigned": "unsigned-5ecret-visitor",
}
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIA5ECRETACCESS",
    "AWS_SECRET_ACCESS_KEY": "5ecret-bucket-key",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_REGION": "us-east-1",
}


def come_signed(scene: Scene, port: int, data: Path) -> None:
    """Come in with signed ids and without, fill a cap and a budget, and see publishing fail."""
    lobby = "/v1/rooms/lobby"
    socket = upgraded(port, 0)
    for name in ("unsigned", "other-room", "socket"):
        socket.send_message("join", visitor=SIGNED[name], mood="release")
        socket.receive_error() if name != "socket" else socket.receive("presence")
    for path in ("heartbeat", "leave"):
        for name in ("unsigned", "other-room", "changed"):
            assert asks(port, "POST", f"{lobby}/{path}", 1, {"visitor": SIGNED[name]}) == 403
    assert asks(port, "POST", f"{lobby}/heartbeat", 1, {"visitor": SIGNED["too-old"]}) == 403
    assert asks(port, "POST", "/api/heartbeat", 2, {"sessionId": SIGNED["heartbeat"]}) == 403
    api = upgraded(port, 2, path=f"/api/room?sessionId={SIGNED['unsigned']}&mood=release")
    api.read_more(time.monotonic() + 5)
    # Two of one address, of whom the cap takes one.
    for visitor in (SIGNED["heartbeat"], sign_visitor(SIGNING_KEY, "lobby")):
        assert asks(port, "POST", f"{lobby}/heartbeat", 0, {"visitor": visitor}) == 200
    deadline_s = time.monotonic() + 10
    while not re.search(r"^breathing_room_publish_failed_total [1-9]", scene.metrics, re.MULTILINE):
        assert time.monotonic() < deadline_s
        with Client(port) as client:
            scene.metrics = client.request("GET", "/metrics").body.decode()
    scene.files["before"] = read_files(data)


@pytest.fixture(scope="module")
def signed_scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """What was left of it."""
    return play(
        tmp_path_factory.mktemp("signed") / "room.db",
        come_signed,
        CREDENTIALS,
        signing_key=SIGNING_KEY,
        publish_url="s3://bucket/presence",
        publish_ms="1000",
        prefix_seats_max="1",
    )


def test_signed_scenario_was_busy(signed_scene: Scene) -> None:
    """Ids were accepted and rejected, a seat was over quota, and a bucket that is away was logged."""
    assert 'breathing_room_refusals_total{code="unsigned_visitor"}' in signed_scene.metrics
    assert 'breathing_room_seats_over_quota{room="lobby"} 1.0' in signed_scene.metrics
    assert "presence.json could not be published" in signed_scene.log


@pytest.mark.parametrize("name", SIGNED)
def test_no_signed_id_is_anywhere(signed_scene: Scene, name: str) -> None:
    """
    No id, signed, badly signed or unsigned, nor its first part alone, is in any log line, metric, message or
    file.
    """
    for part in (SIGNED[name], SIGNED[name][:22]):
        assert part not in signed_scene.log
        assert part not in signed_scene.metrics
        for data in (signed_scene.received, *signed_scene.files.values()):
            assert part.encode() not in data


@pytest.mark.parametrize(
    "secret", [SIGNING_KEY, *(CREDENTIALS[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))]
)
def test_no_secret_is_anywhere(signed_scene: Scene, secret: str) -> None:
    """Neither the signing key nor a credential of the bucket is in any log line, metric, message or file."""
    assert secret not in signed_scene.log
    assert secret not in signed_scene.metrics
    for data in (signed_scene.received, *signed_scene.files.values()):
        assert secret.encode() not in data


@pytest.mark.parametrize("address", [*ADDRESSES, "127.0.0.1"])
def test_no_capped_address_is_anywhere(signed_scene: Scene, address: str) -> None:
    """
    No address that a cap was applied to, in words or in bytes, is in any log line, metric, message or file.
    """
    assert found(signed_scene.log, [address]) == []
    assert address not in signed_scene.metrics
    packed = ip_address(address).packed
    for data in (signed_scene.received, *signed_scene.files.values()):
        assert address.encode() not in data
        assert len(packed) == 4 or packed[:8] not in data


def test_no_hash_of_a_prefix_is_kept(signed_scene: Scene) -> None:
    """The labels of the metrics are rooms and codes here, too: no prefix has one."""
    ours = [line for line in signed_scene.metrics.splitlines() if line.startswith("breathing_room")]
    assert {label for line in ours for label in re.findall(r'[{,](\w+)="', line)} == {"room", "code"}
