"""The nginx configuration of the how-to, in a real nginx before a real server."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets

from harness import ServerProcess
from nginx_process import Nginx, start_nginx


@pytest.fixture
def nginx(server: ServerProcess, tmp_path: Path) -> Iterator[Nginx]:
    """nginx before a server with the default settings."""
    with start_nginx(tmp_path, server.port) as nginx:
        yield nginx


def get(url: str) -> tuple[dict[str, object], str]:
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read()), answer.headers.get("X-Cache", "")


async def test_sockets_pass_and_reads_are_cached(nginx: Nginx) -> None:
    """Through nginx a socket joins and gets the presence, and the second read of the presence is answered by
    the cache.
    """
    async with websockets.connect(f"ws://127.0.0.1:{nginx.port}/v1/rooms/lobby/socket") as person:
        await person.send(json.dumps({"type": "join", "visitor": "a" * 22, "mood": "release"}))
        heard = json.loads(await person.recv())
        assert (heard["count"], heard["moods"]["release"]) == (1, 1)

        first, how_first = get(f"{nginx.url}/v1/rooms/lobby")
        second, how_second = get(f"{nginx.url}/v1/rooms/lobby")
        assert first == second
        assert first["count"] == 1
        assert (how_first, how_second) == ("MISS", "HIT")
