"""The document API: the paths of the planning document's app, so that its clients work unchanged.

Everything that its codec needs is in this file. It serves the default room; an unknown mood is read as
``presence``, as that app did; ids may have any form up to 128 characters; ``users`` is always empty.
"""

from typing import Any, Final

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import (
    Join,
    Message,
    Mood,
    Ping,
    decode_object,
    encode,
    error_message,
    time_message,
)
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence, MessageCodec

SESSION_ID_CHARACTERS_MAX: Final = 128

CONFIG: Final = {"sampleRate": 0.03, "heartbeatIntervalMs": 30_000, "supportsWebSocket": True, "version": 2}

CONFIG_OF_STORE_MODE: Final = {**CONFIG, "supportsWebSocket": False}
"""The config of the document API on a host without connections."""


def presence_body(presence: Presence) -> dict[str, Any]:
    """Return a presence in the form of the document API.

    That form has no unknown count: it then holds ``low``, and at least 1, the client that sent the request.
    """
    count = max(1, presence.low) if presence.count is None else presence.count
    return {
        "count": count,
        # Nor has it merged moods: a mood whose count is withheld is 0.
        "moods": {mood: people or 0 for mood, people in presence.moods.items()},
        "users": [],
        "countryCounts": {},
        "timestamp": presence.as_of_ms,
    }


def read_mood(value: object, moods: tuple[str, ...]) -> str:
    """Read a mood; an undeclared one is read as ``presence`` if the room declares that, else as unspoken."""
    if isinstance(value, str) and value in moods:
        return value
    return "presence" if "presence" in moods else UNSPOKEN


def read_session_id(value: object) -> str:
    """Read a visitor id of the document API.

    Raises:
        ClientError: ``bad_visitor``.
    """
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= SESSION_ID_CHARACTERS_MAX
        or not value.isprintable()
    ):
        raise ClientError(
            "bad_visitor", f"sessionId must be 1 to {SESSION_ID_CHARACTERS_MAX} printable characters"
        )
    return value


_ERROR_TEXTS: Final = {"bad_json": "this is not JSON", "not_an_object": "a JSON object is expected"}
"""The texts of these errors in the document API, whose answers stay as they are, byte for byte."""


def _decode_object(text: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        ClientError: ``bad_json`` or ``not_an_object``.
    """
    try:
        return decode_object(text)
    except ClientError as error:
        raise ClientError(error.code, _ERROR_TEXTS[error.code]) from None


def decode_heartbeat(body: bytes, moods: tuple[str, ...]) -> Join:
    """Decode the body of a heartbeat.

    Raises:
        ClientError: The body is not valid.
    """
    value = _decode_object(body)
    return Join(read_session_id(value.get("sessionId")), read_mood(value.get("mood"), moods))


def _decode(text: bytes, moods: tuple[str, ...]) -> Message:
    value = _decode_object(text)
    match value.get("type"):
        case "mood":
            return Mood(read_mood(value.get("mood"), moods))
        case "ping":
            return Ping()
        case _:
            raise ClientError("unknown_type", "type must be mood or ping")


def _presence(encoded: EncodedPresence) -> bytes:
    return encode({"type": "presence"} | presence_body(encoded.presence))


DOCUMENT_CODEC: Final = MessageCodec(
    decode=_decode,
    presence=_presence,
    time=time_message,
    error=error_message,
)
