"""The server with every allocation traced: where the memory of an idle visitor goes.

Tracing makes everything slower and larger, so no figure of the benchmark comes from this process but the
shares by line of source. It serves as ``breathing-room serve`` with the same arguments, and reads standard
input: ``mark`` remembers what is allocated, ``report`` prints a line of JSON with what each line of source
holds more since then.
"""

from __future__ import annotations

import json
import sys
import threading
import tracemalloc
from pathlib import Path


def place(filename: str, line: int) -> str:
    """Return the place of a line of source, from its package on."""
    parts = Path(filename).parts
    if parts[-2:] == ("asyncio", "runners.py"):
        return "the event loop's own transports, handles and buffers"  # In C, below any Python.
    for root in ("site-packages", "src"):
        if root in parts:
            return f"{'/'.join(parts[parts.index(root) + 1 :])}:{line}"
    return f"{Path(filename).name}:{line}"


def obey() -> None:
    """Answer the commands on standard input."""
    before = tracemalloc.take_snapshot()
    for order in sys.stdin:
        now = tracemalloc.take_snapshot()
        if order.strip() == "mark":
            before = now
            print(json.dumps("marked"), flush=True)
        else:
            ignored = [tracemalloc.Filter(inclusive=False, filename_pattern=tracemalloc.__file__)]
            now, before = now.filter_traces(ignored), before.filter_traces(ignored)
            grown = [
                {"line": place(each.traceback[0].filename, each.traceback[0].lineno), "bytes": each.size_diff}
                for each in now.compare_to(before, "lineno")
            ]
            print(json.dumps(grown), flush=True)


if __name__ == "__main__":
    tracemalloc.start(1)
    from breathing_room.cli import main

    threading.Thread(target=obey, daemon=True).start()
    main()
