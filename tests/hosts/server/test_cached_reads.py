"""What the server sees of a polling crowd behind a real nginx cache, with the configuration of the how-to."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from harness import Serve

HOWTO = Path(__file__).resolve().parents[3] / "docs" / "howto" / "nginx.md"
CLIENTS = 500
LIFETIME_S = 1
POLL_S = 0.5
RUN_S = 8.0

# Between the cache and the server: it changes nothing, and writes down whatever the cache asks for.
COUNTER = """
    log_format asked '$msec $request_uri $status $http_x_forwarded_for';
    server {{
        listen 127.0.0.1:{counter};
        access_log {log} asked;
        location / {{
            proxy_pass http://127.0.0.1:{server};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
"""


@dataclass
class Cache:
    """A running nginx: where readers ask, where the server is, and what reached it."""

    port: int
    server_port: int
    log: Path
    statuses: Counter[str] = field(default_factory=Counter)

    def asked(self) -> Counter[str]:
        return Counter(line.split()[1] for line in self.log.read_text().splitlines())

    def asked_at_s(self, path: str) -> list[float]:
        return [
            float(line.split()[0]) for line in self.log.read_text().splitlines() if line.split()[1] == path
        ]


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def cache(serve: Serve, tmp_path: Path) -> Iterator[Cache]:
    server = serve("--presence-max-age-s", str(LIFETIME_S), "--push-ms", "100")
    front, counter = free_ports(2)
    log = tmp_path / "asked.log"
    found = re.search(r"```nginx\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    text = (
        found[1]
        .replace("127.0.0.1:8000", f"127.0.0.1:{counter}")
        .replace("listen 80;", f"listen 127.0.0.1:{front};")
        .replace("/var/cache/nginx/presence", str(tmp_path / "cache"))
    )
    folders = "".join(
        f"    {kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    counting = COUNTER.format(counter=counter, log=log, server=server.port)
    text = text.replace("http {", f"http {{\n{folders}{counting}", 1)
    config = tmp_path / "nginx.conf"
    # Started by root, nginx would work as a user who may not enter the test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"{user} daemon off; pid {tmp_path}/nginx.pid; error_log stderr error;\n{text}")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([program, "-e", "stderr", "-p", tmp_path, "-c", config])
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", front), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield Cache(front, server.port, log)
    process.terminate()
    process.wait()


async def poll(
    cache: Cache, path: str, first_after_s: float, until_s: float, seen: list[tuple[float, int]]
) -> None:
    """One reader: ask again and again over one connection, and note when which count was read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", cache.port)
    request = f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    await asyncio.sleep(first_after_s)
    while time.monotonic() < until_s:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        assert head.startswith("HTTP/1.1 200"), head
        assert length
        body = json.loads(await reader.readexactly(int(length[1])))
        status = re.search(r"(?i)x-cache: (\w+)", head)
        cache.statuses[status[1] if status else "none"] += 1
        if "count" in body:
            seen.append((time.monotonic(), body["count"]))
        await asyncio.sleep(POLL_S)
    writer.close()
    await writer.wait_closed()


async def test_the_origin_sees_one_read_a_lifetime(cache: Cache) -> None:
    """500 readers of two rooms and a config cost one request per lifetime of each; all of them see a change in time."""
    paths = (
        ["/v1/rooms/lobby"] * (CLIENTS - 100) + ["/v1/rooms/garden"] * 50 + ["/v1/rooms/lobby/config"] * 50
    )
    began_s = time.monotonic()
    until_s = began_s + RUN_S
    seen: list[tuple[float, int]] = []
    ignored: list[tuple[float, int]] = []

    async def somebody_comes() -> float:
        await asyncio.sleep(RUN_S / 2)
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{cache.server_port}/v1/rooms/lobby/beat"
            assert (await client.post(url, json={"visitor": "a" * 22})).json()["count"] == 1
        return time.monotonic()

    newcomer = asyncio.create_task(somebody_comes())
    await asyncio.gather(
        *(
            poll(cache, path, POLL_S * number / CLIENTS, until_s, seen if path.endswith("lobby") else ignored)
            for number, path in enumerate(paths)
        )
    )
    came_s = await newcomer
    elapsed_s = time.monotonic() - began_s
    asked = cache.asked()
    reads = sum(cache.statuses.values())
    # Lifetimes that could begin in this time.
    lifetimes = int(elapsed_s / LIFETIME_S) + 1
    assert reads >= 0.5 * CLIENTS * RUN_S / POLL_S
    for path in ("/v1/rooms/lobby", "/v1/rooms/garden"):
        assert 3 <= asked[path] <= lifetimes
        between_s = [later - sooner for sooner, later in pairwise(cache.asked_at_s(path))]
        # nginx counts whole seconds: a lifetime of one is one to two of them, and never less.
        assert min(between_s) > 0.9 * LIFETIME_S
    assert asked["/v1/rooms/lobby/config"] == 1
    assert set(asked) == set(paths)

    # A change is served at the latest after a lifetime, and another one in which the old is served while it is renewed.
    assert {count for _, count in seen} == {0, 1}
    assert all(count == 0 for at_s, count in seen if at_s < came_s - 1)
    assert all(count == 1 for at_s, count in seen if at_s > came_s + 2 * LIFETIME_S + 1 + POLL_S)
