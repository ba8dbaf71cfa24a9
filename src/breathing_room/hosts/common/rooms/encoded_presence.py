"""A presence to be sent, encoded at most once in each form."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import (
    Message,
    decode_message,
    encode_presence,
    error_message,
    presence_message,
    time_message,
)

Form = TypeVar("Form")


@dataclass(frozen=True, slots=True, eq=False)
class MessageCodec:
    """Encodes and decodes the messages of a connection.

    ``PROTOCOL`` is the one of v1; ``hosts/common/http/document_api.py`` has that of the document API.

    Attributes:
        decode: Decodes a message, given the moods that the room declares.
        presence: Encodes a presence.
        time: Encodes the answer to a time request.
        error: Encodes an error.
    """

    decode: Callable[[bytes, tuple[str, ...]], Message]
    presence: Callable[["EncodedPresence"], bytes]
    time: Callable[[float | None, int], bytes]
    error: Callable[[ClientError], bytes]


class EncodedPresence:
    """A presence to be sent, to every subscriber (``Broadcast``) or to one (``Send``)."""

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self._texts: dict[MessageCodec, bytes] = {}
        self._forms: dict[tuple[MessageCodec, Callable[[bytes], Any]], Any] = {}

    def text(self, codec: MessageCodec) -> bytes:
        """Return the presence as a message of a codec."""
        made = self._texts.get(codec)
        if made is None:
            made = self._texts[codec] = codec.presence(self)
        return made

    def form(self, codec: MessageCodec, make: Callable[[bytes], Form]) -> Form:
        """Return the message of a codec as a transport carries it: framed, or as a string.

        Args:
            codec: The codec.
            make: Converts the message; called once, for the first connection.
        """
        key = codec, make
        made: Form | None = self._forms.get(key)
        if made is None:
            made = self._forms[key] = make(self.text(codec))
        return made

    @cached_property
    def body(self) -> bytes:
        """The presence as a JSON body of HTTP."""
        return encode_presence(self.presence)


PROTOCOL = MessageCodec(
    decode=decode_message,
    presence=lambda encoded: presence_message(encoded.body),
    time=time_message,
    error=error_message,
)
