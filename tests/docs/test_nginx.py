"""The nginx configuration of the how-to, in a real nginx before a real server."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets

from harness import ServerProcess

HOWTO = Path(__file__).resolve().parent.parent.parent / "docs" / "howto" / "nginx.md"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def nginx(server: ServerProcess, tmp_path: Path) -> Iterator[str]:
    found = re.search(r"```nginx\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    port = free_port()
    text = (
        found[1]
        .replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        .replace("listen 80;", f"listen 127.0.0.1:{port};")
    )
    text = text.replace("/var/cache/nginx/presence", str(tmp_path / "cache"))
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        text = text.replace("http {", f"http {{\n    {kind}_temp_path {tmp_path}/{kind};", 1)
    config = tmp_path / "nginx.conf"
    # Started by root, nginx would work as a user who may not enter the test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"{user} daemon off; pid {tmp_path}/nginx.pid; error_log stderr;\n{text}")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen(
        [program, "-e", "stderr", "-p", tmp_path, "-c", config], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()
    assert process.stderr
    process.stderr.close()


def get(url: str) -> tuple[dict[str, object], str]:
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read()), answer.headers.get("X-Cache", "")


async def test_sockets_pass_and_reads_are_cached(nginx: str) -> None:
    """Through nginx a socket joins and hears of itself, and the second read of presence comes from the cache."""
    async with websockets.connect(f"ws://{nginx}/v1/rooms/lobby/socket") as person:
        await person.send(json.dumps({"type": "join", "visitor": "a" * 22, "mood": "release"}))
        heard = json.loads(await person.recv())
        assert (heard["count"], heard["moods"]["release"]) == (1, 1)

        first, how_first = get(f"http://{nginx}/v1/rooms/lobby")
        second, how_second = get(f"http://{nginx}/v1/rooms/lobby")
        assert first == second
        assert first["count"] == 1
        assert (how_first, how_second) == ("MISS", "HIT")
