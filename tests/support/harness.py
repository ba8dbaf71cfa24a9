"""A real server in a process of its own, for any test."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

START_S = 20.0


@dataclass
class ServerProcess:
    """A listening `breathing-room serve`."""

    process: subprocess.Popen[str]
    url: str
    data: Path
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it with SIGTERM, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


def start_server(
    data: Path,
    *flags: str,
    port: int = 0,
    env: dict[str, str] | None = None,
    python: str = sys.executable,
) -> ServerProcess:
    """Start a server and wait until it listens; what it prints is kept in ``lines``."""
    process = subprocess.Popen(
        [python, "-m", "breathing_room", "serve", "--port", str(port), "--data", str(data), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
        cwd=data.parent,
    )
    server = ServerProcess(process, "", data)
    listening = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            server.lines.append(line.rstrip("\n"))
            if not server.url and (found := re.search(r"http://127\.0\.0\.1:\d+", line)):
                server.url = found.group()
                listening.set()
        listening.set()
        process.stdout.close()

    threading.Thread(target=read, daemon=True).start()
    if not listening.wait(START_S) or not server.url:
        process.kill()
        raise AssertionError("the server did not start:\n" + "\n".join(server.lines))
    return server


Serve = Callable[..., ServerProcess]
