"""What the server sees of a polling crowd behind a real nginx cache, with the configuration of the how-to."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from harness import Serve
from nginx_process import Nginx, start_nginx

CLIENTS = 500
LIFETIME_S = 1
POLL_S = 0.5
RUN_S = 8.0


@dataclass
class Cache:
    """A running nginx, the server behind it, and where its answers came from."""

    nginx: Nginx
    server_port: int
    statuses: Counter[str] = field(default_factory=Counter)

    def asked(self) -> Counter[str]:
        return Counter(asked.path for asked in self.nginx.asked())

    def asked_at_s(self, path: str) -> list[float]:
        return [asked.at_s for asked in self.nginx.asked() if asked.path == path]


@pytest.fixture
def cache(serve: Serve, tmp_path: Path) -> Iterator[Cache]:
    server = serve("--presence-max-age-s", str(LIFETIME_S), "--push-ms", "100")
    with start_nginx(tmp_path, server.port) as nginx:
        yield Cache(nginx, server.port)


async def poll(
    cache: Cache, path: str, first_after_s: float, until_s: float, seen: list[tuple[float, int]]
) -> None:
    """One reader: ask again and again over one connection, and note when which count was read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", cache.nginx.port)
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
    """500 readers of two rooms and a config cost one request per lifetime of each; all of them see a change
    in time.
    """
    paths = (
        ["/v1/rooms/lobby"] * (CLIENTS - 100) + ["/v1/rooms/garden"] * 50 + ["/v1/rooms/lobby/config"] * 50
    )
    began_s = time.monotonic()
    until_s = began_s + RUN_S
    seen: list[tuple[float, int]] = []
    ignored: list[tuple[float, int]] = []

    async def newcomer_arrives() -> float:
        await asyncio.sleep(RUN_S / 2)
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{cache.server_port}/v1/rooms/lobby/heartbeat"
            assert (await client.post(url, json={"visitor": "a" * 22})).json()["count"] == 1
        return time.monotonic()

    newcomer = asyncio.create_task(newcomer_arrives())
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

    # A change is served at the latest after a lifetime, and another one in which the old is served while it
    # is renewed.
    assert {count for _, count in seen} == {0, 1}
    assert all(count == 0 for at_s, count in seen if at_s < came_s - 1)
    assert all(count == 1 for at_s, count in seen if at_s > came_s + 2 * LIFETIME_S + 1 + POLL_S)
