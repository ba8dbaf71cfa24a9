"""One presence, encoded at most once in each form in which it is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from breathing_room.core.errors import PeerError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import (
    Message,
    beat_message,
    decode_message,
    encode_presence,
    error_message,
    presence_message,
)
from breathing_room.hosts.server.frames import TEXT, frame


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """What a socket's messages look like. Ours is ``PROTOCOL``; ``compat.py`` has the other one.

    Attributes:
        decode: Reads a message, given the moods that the room declares.
        presence: Writes a presence.
        beat: Answers a beat.
        error: Tells of an error.
    """

    decode: Callable[[bytes, tuple[str, ...]], Message]
    presence: Callable[["Announcement"], bytes]
    beat: Callable[[float | None, int], bytes]
    error: Callable[[PeerError], bytes]


class Announcement:
    """A presence on its way to everybody.

    Attributes:
        presence: What is told.
        texts: The message of each dialect, made when it is first asked for.
        frames: The same as WebSocket frames.
    """

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self.texts = _OnDemand(lambda dialect: dialect.presence(self))
        self.frames = _OnDemand(lambda dialect: frame(TEXT, self.texts[dialect]))

    @cached_property
    def body(self) -> bytes:
        """The presence as HTTP carries it."""
        return encode_presence(self.presence)


class _OnDemand(dict[Dialect, bytes]):
    """A dict that makes what is missing: looking up what is there must cost nothing in a fan-out."""

    def __init__(self, make: Callable[[Dialect], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, dialect: Dialect) -> bytes:
        made = self[dialect] = self._make(dialect)
        return made


PROTOCOL = Dialect(
    decode=decode_message,
    presence=lambda announcement: presence_message(announcement.body),
    beat=beat_message,
    error=error_message,
)
