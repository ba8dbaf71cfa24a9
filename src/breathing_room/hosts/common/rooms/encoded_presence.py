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
    """What a socket's messages look like. Ours is ``PROTOCOL``; ``hosts/common/http/document_api.py`` has the other one.

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
    """A presence on its way to everybody."""

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self._texts: dict[Dialect, bytes] = {}
        self._strings: dict[Dialect, str] = {}
        self._frames: dict[Dialect, bytes] = {}

    def text(self, dialect: Dialect) -> bytes:
        """The message of a dialect."""
        made = self._texts.get(dialect)
        if made is None:
            made = self._texts[dialect] = dialect.presence(self)
        return made

    def string(self, dialect: Dialect) -> str:
        """The message of a dialect, for whoever frames strings."""
        made = self._strings.get(dialect)
        if made is None:
            made = self._strings[dialect] = self.text(dialect).decode()
        return made

    def frame(self, dialect: Dialect) -> bytes:
        """The message of a dialect as a WebSocket frame."""
        made = self._frames.get(dialect)
        if made is None:
            made = self._frames[dialect] = frame(TEXT, self.text(dialect))
        return made

    @cached_property
    def body(self) -> bytes:
        """The presence as HTTP carries it."""
        return encode_presence(self.presence)


PROTOCOL = Dialect(
    decode=decode_message,
    presence=lambda announcement: presence_message(announcement.body),
    beat=beat_message,
    error=error_message,
)
