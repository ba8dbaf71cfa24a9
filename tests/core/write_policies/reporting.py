"""Reports to a write policy, and what it ordered to be written."""

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.identity import VisitorKey
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.core.write_policies.records import Kind, Put, SeatReport, Writes, decode_records

START_MS = 1_767_225_600_000
LEASE_MS = 150_000
PREFIX = "reports/lobby/room/"
MOODS = ("release", "gratitude", UNSPOKEN)
ANN, BOB, CEM = (VisitorKey(bytes([number]) * 16) for number in (1, 2, 3))
TICKETS = {ANN: 0.25, BOB: 0.5, CEM: 0.75}


def report(
    policy: WritePolicy, at_ms: int, kind: Kind, mood: str | None = None, visitor: VisitorKey = ANN
) -> Writes:
    return policy.report(SeatReport(visitor, TICKETS[visitor], mood, kind), now_ms=START_MS + at_ms)


def said(writes: Writes) -> list[list[tuple[int, str | None, bool]]]:
    """Return the records that were put, as (time, mood, here), by value; a deletion is an empty list."""
    return [
        [
            (record.reported_at_ms - START_MS, record.mood, record.here)
            for record in decode_records(order.value)
        ]
        if isinstance(order, Put)
        else []
        for order in writes.writes
    ]
