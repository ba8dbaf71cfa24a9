"""Fakes of what the platform holds for the objects of one room: connections, on a clock that a test moves.

The objects themselves are in ``room_adapter.py``.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from breathing_room.hosts.common.rooms.clock import Clock

BROKEN = 1006


class HandClock(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at_ms = 1_767_225_600_000

    def now_ms(self) -> int:
        return self.at_ms

    def wall_ms(self) -> int:
        return self.at_ms


@dataclass(eq=False)
class Wire:
    """A connection as the network holds it.

    Attributes:
        shard: The object that holds it.
        received: The messages that it was sent.
        attached: What is attached to it.
    """

    shard: int
    received: list[dict[str, Any]] = field(default_factory=list)
    attached: str = ""
    closed: int | None = None

    def send(self, text: str) -> None:
        self.received.append(json.loads(text))

    def serializeAttachment(self, attached: str) -> None:  # noqa: N802 - the platform's name
        self.attached = attached

    def close(self, code: int, reason: str) -> None:
        del reason
        self.closed = code

    @property
    def presence(self) -> dict[str, Any]:
        """The last presence that it was sent."""
        return next(message for message in reversed(self.received) if message["type"] == "presence")
