"""The wire format: messages and reports are decoded, presences and errors are encoded.

All input from outside is validated here, once. ``docs/reference/protocol.md`` describes the same for readers.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NoReturn, TypeAlias

from breathing_room.core.breath import Pattern
from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.estimate.history import predictions
from breathing_room.core.history import History
from breathing_room.core.presence import Presence

# --- Close codes: the range says whether to reconnect ------------------------------------------------------

NORMAL_CLOSURE: Final = 1000
GOING_AWAY: Final = 1001  # A browser closes with it when its page is closed: a leave, like NORMAL_CLOSURE.
PROTOCOL_ERROR: Final = 1002
NOT_TEXT: Final = 1003
NOT_UTF8: Final = 1007
TOO_BIG: Final = 1009
RESTART: Final = 1012

LEASE_ENDED: Final = 4000
JOIN_LATE: Final = 4001
READS_SLOWLY: Final = 4002
FULL: Final = 4003

BAD_MESSAGES: Final = 4500
TOO_MANY_SOCKETS: Final = 4501

CLOSE_CODES: Final[Mapping[int, str]] = {
    NORMAL_CLOSURE: "the client left",
    PROTOCOL_ERROR: "a frame broke RFC 6455",
    NOT_TEXT: "a binary message where text is expected",
    NOT_UTF8: "text that is not UTF-8",
    TOO_BIG: "a message that is too big",
    RESTART: "the server restarts; the reason says when to reconnect",
    LEASE_ENDED: "the lease ended: nothing was received for lease_ms",
    JOIN_LATE: "no join or observe in time",
    READS_SLOWLY: "the client reads too slowly",
    FULL: "the server is full",
    BAD_MESSAGES: "too many bad messages",
    TOO_MANY_SOCKETS: "this visitor has too many connections open",
}
"""Every code with which the server closes a connection, and why.

The table of ``docs/reference/protocol.md`` has the same; a test compares them. Clients go by the range:
``may_come_back`` here, ``readClose`` in ``web/client/socket_transport.js``.
"""

_CLIENT_BUGS: Final = frozenset({NORMAL_CLOSURE, PROTOCOL_ERROR, NOT_TEXT, NOT_UTF8, 1008, TOO_BIG, 1010})


def may_come_back(close_code: int) -> bool:
    """Return whether a client should reconnect after a close."""
    return close_code not in _CLIENT_BUGS and not 4500 <= close_code <= 4999


# --- Names ------------------------------------------------------------------------------------------------

ROOM_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
VISITOR_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")

DEFAULT_ROOM: Final = "_default"
"""Stands in every path for the server's default room.

It does not match ``ROOM_NAME``, so no room can have this name.
"""


def check_room(name: str) -> str:
    """Return a room's name if it is valid.

    Raises:
        ClientError: ``bad_room``.
    """
    if not ROOM_NAME.fullmatch(name):
        raise ClientError(
            "bad_room", "a room's name is 1 to 64 of a-z, 0-9, - and _, and begins with a letter or digit"
        )
    return name


def resolve_room(name: str, default_room: str) -> str:
    """Return the room that a path names.

    Args:
        name: A room's name, or ``DEFAULT_ROOM``.
        default_room: The name of the server's default room.

    Raises:
        ClientError: ``bad_room``.
    """
    return default_room if name == DEFAULT_ROOM else check_room(name)


def presence_path(room: str) -> str:
    """Return where the presence of a room is published, relative to the publisher's URL."""
    return f"rooms/{room}/presence.json"


def check_visitor(value: object) -> str:
    """Return a visitor id if it is valid.

    Raises:
        ClientError: ``bad_visitor``.
    """
    if not isinstance(value, str) or not VISITOR_ID.fullmatch(value):
        raise ClientError(
            "bad_visitor", "visitor must be 16 to 64 of A-Z, a-z, 0-9, - and _, random and your own"
        )
    return value


def check_mood(value: object, moods: tuple[str, ...]) -> str:
    """Return a mood if the room declares it, or ``UNSPOKEN``.

    Raises:
        ClientError: ``unknown_mood``.
    """
    if not isinstance(value, str) or not (value in moods or value == UNSPOKEN):
        raise ClientError("unknown_mood", f"mood must be one of {', '.join(moods)} or {UNSPOKEN}")
    return value


PING: Final = b'{"type":"ping"}'
"""The heartbeat of a connection.

A constant text, so that the network of an edge can answer without waking the room.
"""

PONG: Final = b'{"type":"pong"}'
"""The answer to a ping, also to one with other spacing."""


# --- Messages of clients ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    """Count this visitor. A mood of None leaves it as it is."""

    visitor: str
    mood: str | None


@dataclass(frozen=True, slots=True)
class Observe:
    """Subscribe to the presence without being counted."""


@dataclass(frozen=True, slots=True)
class Mood:
    """Change the visitor's mood."""

    mood: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A heartbeat of a connection, answered by ``PONG``."""


@dataclass(frozen=True, slots=True)
class TimeRequest:
    """Request the server's time; ``sent_ms`` is returned unchanged."""

    sent_ms: float | None


@dataclass(frozen=True, slots=True)
class Leave:
    """End the visit."""


Message: TypeAlias = Join | Observe | Mood | Ping | TimeRequest | Leave


def decode_object(text: str | bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        ClientError: ``bad_json`` or ``not_an_object``.
    """
    try:
        # Bytes are decoded here: left to itself, the standard library would guess UTF-16 as well.
        value = _DECODER.decode(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError):
        raise ClientError("bad_json", "invalid JSON") from None
    if not isinstance(value, dict):
        raise ClientError("not_an_object", "expected a JSON object")
    return value


def _reject_constant(_: str) -> NoReturn:
    """Reject NaN and Infinity: JSON has none, but the standard library reads them."""
    raise ValueError


# Made once: ``json.loads`` and ``json.dumps`` make one for every call that sets an option.
_DECODER: Final = json.JSONDecoder(parse_constant=_reject_constant)
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def decode_message(text: str | bytes, moods: tuple[str, ...]) -> Message:
    """Decode one message of a connection.

    Args:
        text: The message.
        moods: The moods that the room declares.

    Raises:
        ClientError: It is malformed; the code and message say why.
    """
    value = decode_object(text)
    match value.get("type"):
        case "join":
            mood = value.get("mood")
            return Join(
                check_visitor(value.get("visitor")), None if mood is None else check_mood(mood, moods)
            )
        case "observe":
            return Observe()
        case "mood":
            return Mood(check_mood(value.get("mood"), moods))
        case "ping":
            return Ping()
        case "time":
            return TimeRequest(_check_sent_ms(value.get("sent_ms")))
        case "leave":
            return Leave()
        case _:
            raise ClientError("unknown_type", "type must be one of join, observe, mood, ping, time or leave")


def _check_sent_ms(value: object) -> float | None:
    if value is None:
        return None
    # An integer of a thousand digits would come back as one: a clock needs no more than 2^53.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 2**53:
        raise ClientError("bad_sent_ms", "sent_ms must be a number of at most 2^53")
    return value


@dataclass(frozen=True, slots=True)
class Report:
    """A report of a visitor without a connection.

    A mood of None leaves it as it is; the epoch is the one in which the visit began.
    """

    visitor: str
    mood: str | None
    epoch: int


def check_epoch(value: object, epoch: int) -> int:
    """Return the epoch in which a visit began, if it is the current one or the one before.

    Raises:
        ClientError: ``bad_epoch``.
    """
    if type(value) is not int or not epoch - 1 <= value <= epoch:
        raise ClientError(
            "bad_epoch",
            "epoch must be that of a presence of this room; read the presence and begin a new visit",
        )
    return value


def decode_report(body: bytes, moods: tuple[str, ...], *, epoch: int) -> Report:
    """Decode a report, the body of ``POST …/heartbeat``.

    Args:
        body: The body.
        moods: The moods that the room declares.
        epoch: The current epoch. A visit that began in the one before keeps it.

    Raises:
        ClientError: It is malformed.
    """
    value = decode_object(body)
    mood = value.get("mood")
    began = check_epoch(value.get("epoch", epoch), epoch)
    visitor = check_visitor(value.get("visitor"))
    return Report(visitor, None if mood is None else check_mood(mood, moods), began)


# --- Messages and answers of the server -------------------------------------------------------------------


def encode(value: Mapping[str, Any]) -> bytes:
    """Encode a JSON object, compact."""
    return _ENCODER.encode(value).encode()


PRESENCE_FIELDS: Final = tuple(field.name for field in fields(Presence))


def presence_body(presence: Presence) -> dict[str, Any]:
    """Return the published form of a presence."""
    return {name: getattr(presence, name) for name in PRESENCE_FIELDS}


def encode_presence(presence: Presence) -> bytes:
    """Encode a presence as HTTP and Server-Sent Events carry it."""
    return encode(presence_body(presence))


def presence_message(encoded: bytes) -> bytes:
    """Return the message of a connection for an encoded presence."""
    return b'{"type":"presence",' + encoded[1:]


def time_message(sent_ms: float | None, now_ms: int) -> bytes:
    """Return the answer to a ``TimeRequest``.

    Args:
        sent_ms: What the client sent.
        now_ms: The server's wall clock.
    """
    return encode({"type": "time", "sent_ms": sent_ms, "now_ms": now_ms})


def error_body(error: ClientError) -> dict[str, Any]:
    """Return the one JSON form of errors."""
    return {"error": {"code": error.code, "message": error.message, "status": error.status}}


def error_message(error: ClientError) -> bytes:
    """Return the message of a connection for an error."""
    return encode({"type": "error"} | error_body(error))


def retry_reason(retry_ms: int) -> bytes:
    """Return the reason of a close after which the client should reconnect in ``retry_ms``."""
    return encode({"retry_ms": retry_ms})


def config_body(
    room: str, config: RoomConfig, *, now_ms: int, presence_url: str | None = None
) -> dict[str, Any]:
    """Return the published config of a room, with the URL at which its presence is published, if any."""
    return {
        "room": room,
        "moods": config.moods,
        "mode": config.mode,
        "breath": breath_body(config.pattern),
        "ping_ms": config.ping_ms,
        "heartbeat_ms": config.heartbeat_ms,
        "poll_ms": config.poll_ms,
        "lease_ms": config.lease_ms,
        "grace_ms": config.grace_ms,
        "presence_url": presence_url,
        "now_ms": now_ms,
    }


def history_body(room: str, history: History) -> dict[str, Any]:
    """Return the published averages of a room."""
    return {"room": room, "timezone": "UTC", "hour_0": "Monday 00:00", "hours": predictions(history)}


def breath_body(pattern: Pattern) -> dict[str, Any]:
    """Return the published form of a breathing pattern."""
    return {"pattern": pattern.name, "phases": pattern.phases}
