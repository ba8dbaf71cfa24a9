"""A program on a terminal of its own."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PATIENCE_S = 20.0


class Terminal:
    """The output of a program on its terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.shown = ""
        self._master = master

    def until(self, condition: Callable[[], object]) -> None:
        """Read the output until a condition holds."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, self.shown
            # Linux answers EIO once no process has the terminal open.
            with suppress(OSError):
                if select.select([self._master], [], [], 0.1)[0]:
                    self.shown += os.read(self._master, 65_536).decode(errors="replace")

    def until_shown(self, pattern: str) -> None:
        """Read the output until it matches a pattern."""
        self.until(lambda: re.search(pattern, self.shown, re.DOTALL))

    def until_ended(self) -> int:
        """Read the output until the program ends, and return its exit status."""
        self.until(lambda: self.process.poll() is not None)
        assert self.process.returncode is not None
        return self.process.returncode


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    """Run `breathing-room` on a terminal of 100 by 40 letters."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "breathing_room", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
