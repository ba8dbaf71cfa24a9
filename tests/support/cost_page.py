"""The page of costs, served by its command in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from program import program


@dataclass(frozen=True)
class CostPage:
    """A `breathing-room cost --web` that listens.

    Attributes:
        process: The command.
        url: The address that it printed.
    """

    process: subprocess.Popen[str]
    url: str


@contextmanager
def cost_page() -> Iterator[CostPage]:
    """Start the command, and wait until it has printed its address."""
    command = [sys.executable, "-u", "-m", "breathing_room", "cost", "--web"]
    with program(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+/", process.stdout.readline())
        assert found, "the command printed no address"
        yield CostPage(process, found[0])
