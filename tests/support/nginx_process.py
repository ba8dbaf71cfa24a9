"""A real nginx with the configuration of the how-to, and a log of its requests to the server."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto" / "nginx.md"

# Between the cache and the server: it changes nothing, and logs every request of the cache.
COUNTER = """
    log_format asked '$msec $request_method $request_uri $status';
    server {{
        listen 127.0.0.1:{counter};
        access_log {log} asked;
        location / {{
            proxy_pass http://127.0.0.1:{server};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_header;
        }}
    }}
"""


@dataclass(frozen=True)
class Asked:
    """A request that reached the server, with the time of its answer in seconds since 1970."""

    at_s: float
    method: str
    path: str
    status: int


@dataclass(frozen=True)
class Nginx:
    """A running nginx: its port, and the log of requests that reached the server."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self) -> list[Asked]:
        """Return the requests that reached the server until now."""
        rows = (line.split() for line in self.log.read_text().splitlines())
        return [Asked(float(at_s), method, path, int(status)) for at_s, method, path, status in rows]


def free_ports(count: int) -> list[int]:
    """Return ports that are free."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def start_nginx(folder: Path, server_port: int, *, sockets: bool = True) -> Iterator[Nginx]:
    """Start nginx before a server, wait until it listens, and end it afterwards.

    Args:
        folder: Where its files go.
        server_port: The server's port on 127.0.0.1.
        sockets: Whether it passes WebSockets; without them it is an nginx with its default settings.
    """
    front, counter = free_ports(2)
    log = folder / "asked.log"
    found = re.search(r"```nginx\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    text = (
        found[1]
        .replace("127.0.0.1:8000", f"127.0.0.1:{counter}")
        .replace("listen 80;", f"listen 127.0.0.1:{front};")
        .replace("/var/cache/nginx/presence", str(folder / "cache"))
    )
    folders = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    counting = COUNTER.format(counter=counter, log=log, server=server_port)
    text = text.replace("http {", f"http {{\n{folders}{counting}", 1)
    if not sockets:
        text = text.replace("proxy_set_header Upgrade $http_upgrade;", "")
    config = folder / "nginx.conf"
    # Started by root, nginx would run as a user without access to the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"{user} daemon off; pid {folder}/nginx.pid; error_log stderr error;\n{text}")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([program, "-e", "stderr", "-p", folder, "-c", config])
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", front), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    try:
        yield Nginx(front, log)
    finally:
        process.terminate()
        process.wait()
