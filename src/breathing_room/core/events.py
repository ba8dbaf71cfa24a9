"""Events of a room, in the past tense.

A *connection* is an open socket or event stream, named by an object of the host's choice (anything hashable).
A *visitor* is a person, named by a keyed hash that ``identity.py`` makes; several connections of one visitor
are one person.

A mood of None leaves the mood as it is; ``UNSPOKEN`` takes back an earlier one.
"""

from dataclasses import dataclass
from typing import TypeAlias

from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.leases import Leases
from breathing_room.core.summary import PeerState


@dataclass(frozen=True, slots=True)
class Joined:
    """A visitor joined over a connection."""

    connection: Connection
    visitor: VisitorKey
    mood: str | None = None


@dataclass(frozen=True, slots=True)
class ObserverJoined:
    """A connection subscribed without being counted."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class ObserverLeft:
    """A connection that only observed ended, with or without a leave."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class MoodChanged:
    """The visitor behind a connection named a mood."""

    connection: Connection
    mood: str


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    """A heartbeat of a connection was received."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Left:
    """A connection ended with a leave."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection ended without a leave."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class PanelReported:
    """A report of a visitor without a connection was received: the first, another mood, or a heartbeat.

    The ticket, in [0, 1), decides whether the visitor is in the sample. The prefix is a hash of the address
    prefix that the report came from; None where no quota applies.
    """

    visitor: VisitorKey
    ticket: float
    mood: str | None = None
    prefix: bytes | None = None


@dataclass(frozen=True, slots=True)
class LegacyReported:
    """A report of a legacy client was received: the first, another mood, or a heartbeat that it drew."""

    visitor: VisitorKey
    mood: str


@dataclass(frozen=True, slots=True)
class PanelLeft:
    """A visitor without a connection left."""

    visitor: VisitorKey


@dataclass(frozen=True, slots=True)
class ClaimedElsewhere:
    """A visitor is claimed by another replica of this room, and counted there from now on.

    The room removes the visitor, connections included; ``replica.py`` decides what becomes of those.
    """

    visitor: VisitorKey


@dataclass(frozen=True, slots=True)
class RateSet:
    """The sampling rate was set for all replicas of this room.

    The rates are the one in force, and those that a client may still act on, each with the time until which
    it may, as in a snapshot.
    """

    rates: tuple[tuple[int, float], ...]
    changed_at_ms: int


@dataclass(frozen=True, slots=True)
class SeatsTransferred:
    """Another replica of this room, about to leave, transfers the seats of its panel as in a snapshot."""

    seats: Leases


@dataclass(frozen=True, slots=True)
class PeersChanged:
    """What is known of the other replicas of this room has changed."""

    peers: PeerState


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer that a step asked for has fired. Events at any other time do no harm."""


Event: TypeAlias = (
    Joined
    | ObserverJoined
    | ObserverLeft
    | MoodChanged
    | HeartbeatReceived
    | Left
    | Disconnected
    | PanelReported
    | LegacyReported
    | PanelLeft
    | ClaimedElsewhere
    | RateSet
    | SeatsTransferred
    | PeersChanged
    | TimerFired
)
