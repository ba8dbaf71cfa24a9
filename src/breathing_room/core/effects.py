"""Effects of a room, in the imperative, to be carried out in the order given.

Effects that send name a *version*, not a presence. The host carries them out at the end of its turn, with
``Room.flush()``: the presence of the version that is the latest by then. So a hundred joins that arrive
together cost one description.
"""

from dataclasses import dataclass
from typing import TypeAlias

from breathing_room.core.identity import Connection, VisitorKey


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send the presence to every subscriber, observers included. Only the latest matters to a slow one."""

    version: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send the presence to one connection."""

    connection: Connection
    version: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection with a code of ``wire.py``, after what is queued for it.

    The room has removed it already.
    """

    connection: Connection
    code: int


@dataclass(frozen=True, slots=True)
class KeepConnections:
    """Keep with each of these connections what a hibernated room needs to know of it when it resumes.

    It is used only where an open connection is the lease, and holds all that is to be known of a connection
    that joined.

    Attributes:
        connections: All connections of a visitor.
        visitor: The visitor behind them.
        mood: The visitor's mood, as an index into the declared moods; one past the last: unspoken.
        standby_at: The peer on which the visitor is counted, None for here.
    """

    connections: tuple[Connection, ...]
    visitor: VisitorKey
    mood: int
    standby_at: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class SaveSnapshot:
    """Take ``Room.snapshot()`` now and store it. A failure is made up for by the next one."""


Effect: TypeAlias = Broadcast | Send | Close | KeepConnections | SaveSnapshot


@dataclass(frozen=True, slots=True)
class Step:
    """The effects of one event, and the next deadline.

    Attributes:
        effects: What to do, in this order.
        next_timer_ms: When the room wants ``TimerFired``, by the clock of ``now_ms``; None for never. It
            replaces every earlier one.
    """

    effects: tuple[Effect, ...]
    next_timer_ms: int | None
