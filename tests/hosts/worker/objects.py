"""What the platform keeps for the objects of one room: sockets, on a clock that a test moves.

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
    """A socket as the network keeps it.

    Attributes:
        shard: The object that holds it.
        heard: What was sent to it.
        attached: What is attached to it.
    """

    shard: int
    heard: list[dict[str, Any]] = field(default_factory=list)
    attached: str = ""
    closed: int | None = None

    def send(self, text: str) -> None:
        self.heard.append(json.loads(text))

    def serializeAttachment(self, attached: str) -> None:  # noqa: N802 - the platform's name
        self.attached = attached

    def close(self, code: int, reason: str) -> None:
        del reason
        self.closed = code

    @property
    def said(self) -> dict[str, Any]:
        """The presence that was heard last."""
        return next(said for said in reversed(self.heard) if said["type"] == "presence")
