"""An ASGI application in a plain uvicorn, for any test."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_S = 20.0
STOP_S = 10.0


@dataclass
class UvicornProcess:
    """A listening uvicorn."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[str] = field(default_factory=list)

    def stop(self) -> int:
        """End it with SIGTERM, and return its exit status.

        Raises:
            TimeoutExpired: It does not end.
        """
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_S)


@contextmanager
def uvicorn_process(
    app: str, *flags: str, app_dir: Path, working_dir: Path, port: int = 0
) -> Iterator[UvicornProcess]:
    """Run an application until the block ends.

    Args:
        app: The application: ``module:name``.
        *flags: More flags of uvicorn.
        app_dir: The folder of the module.
        working_dir: The folder of relative paths, such as that of a data file.
        port: The port; 0 takes a free one.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--app-dir", str(app_dir), "--port", str(port), *flags, app],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
        cwd=working_dir,
    )
    running = UvicornProcess(process)
    listening = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                running.lines.append(line.rstrip("\n"))
                if not running.url and (found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line)):
                    running.url = found[1]
                    listening.set()
        listening.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        if not listening.wait(START_S) or not running.url:
            raise AssertionError("the application did not start:\n" + "\n".join(running.lines))
        yield running
    finally:
        process.kill()
        process.wait()
        reader.join()
