"""The capacity of this process: every socket is an open file."""

import resource
from dataclasses import dataclass
from typing import Final

# Files, the store, the listening socket, and polls and page views that come and go beside the sockets.
RESERVED: Final = 256


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the limit on open files leaves.

    Attributes:
        files: The limit now in force.
        sockets: WebSockets that may be open at once.
    """

    files: int
    sockets: int


def raise_file_limit() -> Capacity:
    """Raise the soft limit on open files to the hard one, and return the capacity that it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):
            pass  # macOS refuses "unlimited": the soft limit stays.
    files = 1_048_576 if soft == resource.RLIM_INFINITY else soft
    return Capacity(files, max(files // 2, files - RESERVED))
