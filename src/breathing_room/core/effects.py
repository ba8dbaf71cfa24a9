"""What a room can ask for: orders, in the imperative, to be carried out in the order given."""

from dataclasses import dataclass
from typing import TypeAlias

from breathing_room.core.identity import Connection
from breathing_room.core.presence import Presence


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell every connection, observers included. Only the latest matters to a slow one."""

    presence: Presence


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell one connection."""

    connection: Connection
    presence: Presence


@dataclass(frozen=True, slots=True)
class Close:
    """End a connection, with a code of ``wire.py``. The room has forgotten it already."""

    connection: Connection
    code: int


@dataclass(frozen=True, slots=True)
class Save:
    """Take ``Room.snapshot()`` now and store it. If that fails, the next one makes up for it."""


Effect: TypeAlias = Announce | Tell | Close | Save


@dataclass(frozen=True, slots=True)
class Step:
    """The answer to one event.

    Attributes:
        effects: What to do, in this order.
        wake_at_ms: When the room wants ``Woken``, by the clock of ``now_ms``; None for never. It replaces
            every earlier wish.
    """

    effects: tuple[Effect, ...]
    wake_at_ms: int | None
