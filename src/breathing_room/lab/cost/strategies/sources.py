"""What several strategies share: pages of vendors, measurements of ours, an assumption, and the knobs of a
panel.
"""

from decimal import Decimal
from typing import Final

from breathing_room.lab.cost.strategy import Assumption, knob

WORKERS: Final = "https://developers.cloudflare.com/workers/platform/pricing/"
OBJECTS: Final = "https://developers.cloudflare.com/durable-objects/platform/pricing/"
BENCH: Final = "docs/reference/benchmarks.md"
EDGE: Final = "docs/howto/cloudflare.md"

STATIC: Final = Assumption("page and config are static assets: free, and no Worker requests", WORKERS, "V")

PANEL: Final = knob(400, "people", "who report, of a large crowd", most=1_000_000, whole=True)
HEARTBEAT_S: Final = knob(300, "s", "between two heartbeats")
POLL_S: Final = knob(30, "s", "between two polls")

MEMORY_GB: Final = Decimal("0.128")
"""The memory that a Durable Object is billed for, however little it uses."""

PUSH_ROWS: Final = 2
"""Rows written for a broadcast: one at once, one with the next join. The alarm's row is extra."""

SNAPSHOT_ROWS: Final = 3
"""Rows written for a snapshot: the snapshot, the averages, and their times.

In a room over sockets there is one more, with the next change: that it is new.
"""
