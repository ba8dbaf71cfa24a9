"""What a room can be told: facts, in the past tense.

A *connection* is a live socket, named by whatever the host likes (anything hashable). A *visitor* is a person,
named by a keyed hash that ``identity.py`` makes; several connections of one visitor are one person.

A mood of None says nothing about the mood; ``UNSPOKEN`` takes back what was said.
"""

from dataclasses import dataclass
from typing import TypeAlias

from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.leases import Leases
from breathing_room.core.summary import PeerState


@dataclass(frozen=True, slots=True)
class Joined:
    """A visitor came in over a connection."""

    connection: Connection
    visitor: VisitorKey
    mood: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """A connection wants to watch without being counted."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class ObserverLeft:
    """A connection that watched ended."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class MoodChanged:
    """Whoever is behind a connection feels otherwise now."""

    connection: Connection
    mood: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A connection gave a sign of life."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Left:
    """A connection said goodbye."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Broke:
    """A connection ended without a goodbye."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Reported:
    """A visitor without a connection came in, named a mood, or gave a sign of life.

    The ticket, in [0, 1), says whether the visitor is in the sample. The prefix is a hash of the address prefix that the report
    came from; None where a cap on prefixes does not apply.
    """

    visitor: VisitorKey
    ticket: float
    mood: str | None = None
    prefix: bytes | None = None


@dataclass(frozen=True, slots=True)
class Tossed:
    """A client that flips coins sent something: a first report, another mood, or a coin that came up."""

    visitor: VisitorKey
    mood: str


@dataclass(frozen=True, slots=True)
class Withdrew:
    """A visitor without a connection said goodbye."""

    visitor: VisitorKey


@dataclass(frozen=True, slots=True)
class Moved:
    """A visitor came in on another machine that holds a part of this room, and is counted there from now on.

    The room forgets the visitor, connections included; what becomes of those is the host's business.
    """

    visitor: VisitorKey


@dataclass(frozen=True, slots=True)
class Paced:
    """The sampling rate was set for all machines that hold a part of this room.

    The rates are the one in force, and those that somebody may still act on, each with the time until when, as in a snapshot.
    """

    rates: tuple[tuple[int, float], ...]
    changed_at_ms: int


@dataclass(frozen=True, slots=True)
class Inherited:
    """Another machine that holds a part of this room ends, and hands over the seats of its panel: as in a snapshot."""

    seats: Leases


@dataclass(frozen=True, slots=True)
class PeersChanged:
    """The other replicas of this room said something: this is what is known of them now."""

    peers: PeerState


@dataclass(frozen=True, slots=True)
class Woken:
    """The time that a step asked for has come, or any other time: it does no harm."""


Event: TypeAlias = (
    Joined
    | Observed
    | ObserverLeft
    | MoodChanged
    | Heard
    | Left
    | Broke
    | Reported
    | Tossed
    | Withdrew
    | Moved
    | Paced
    | Inherited
    | PeersChanged
    | Woken
)
