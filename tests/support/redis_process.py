"""A real Redis in a process of its own, for any test: on a free port of the loopback, keeping nothing on
disk.
"""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

START_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(port: int, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start a `redis-server`, and wait until it answers on its port."""
    program = shutil.which("redis-server")
    assert program, "scripts/need redis-server installs it"
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as asker:
            # It listens a moment before it answers.
            asker.sendall(b"PING\r\n")
            if asker.recv(16)[:1] in {b"+", b"-"}:
                return process
        assert process.poll() is None, "redis-server did not start"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class RedisProcess:
    """A `redis-server` that can be stopped and started again, each time empty."""

    flags: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = launch(
            self.port,
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", tempfile.gettempdir()),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            *self.flags,
        )

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def redis_process(*flags: str) -> Iterator[RedisProcess]:
    """Start a Redis, and end it after the block."""
    server = RedisProcess(flags)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def sentinel_process(master: RedisProcess, folder: Path) -> Iterator[int]:
    """Start a Sentinel that watches a master called ``crowd``, and yield its port."""
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor crowd 127.0.0.1 {master.port} 1\n"
    )
    process = launch(port, config, "--sentinel")
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 that signs itself; return it and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
