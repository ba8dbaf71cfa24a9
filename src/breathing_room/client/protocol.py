"""The client's half of the protocol: URLs, and the decoding of the server's messages.

``docs/reference/protocol.md`` is the contract. Every message is validated before it is passed on: it may come
from another version of the server or from a proxy in between, and it is printed in terminals.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

from breathing_room.core.breath import Pattern, PhaseName
from breathing_room.core.config import MOOD_NAME
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.presence import Method, Presence
from breathing_room.core.wire import DEFAULT_ROOM, ROOM_NAME

DEFAULT_URL: Final = "http://127.0.0.1:8000"
"""Where ``breathing-room serve`` listens by default."""

LABEL_LETTERS_MAX: Final = 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TimeAnswer:
    """The server's time, in answer to a request for it.

    Attributes:
        sent_ms: What the request carried, unchanged.
        now_ms: The server's wall clock when it answered.
    """

    sent_ms: float
    now_ms: float


def http_url(base: str, path: str) -> str:
    """Return the HTTP URL of a path of a server.

    Args:
        base: The server's URL, ``http://``, ``https://``, ``ws://`` or ``wss://``, with or without a path.
        path: The path below it, such as ``/healthz``.

    Raises:
        HostError: ``base`` is no such URL.
    """
    return _join(base, path, {"http": "http", "ws": "http", "https": "https", "wss": "https"})


def redacted_url(base: str) -> str:
    """Return a server's URL as it may be shown and logged: without user name and password."""
    parts = urlsplit(base)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def config_url(base: str, room: str | None) -> str:
    """Return the URL of a room's config, or with None of the default room's; ``base`` as in `http_url`.

    Raises:
        HostError: The URL or the room's name is invalid.
    """
    return http_url(base, f"/v1/rooms/{DEFAULT_ROOM if room is None else _check_name(room)}/config")


def _check_name(room: str) -> str:
    if not ROOM_NAME.fullmatch(room):
        raise HostError(
            f"invalid room name {room!r}: expected 1 to 64 of a-z, 0-9, - and _, beginning with a letter or a digit"
        )
    return room


def socket_url(base: str, room: str) -> str:
    """Return the URL of a room's WebSocket; ``base`` as in `http_url`.

    Raises:
        HostError: The URL or the room's name is invalid.
    """
    return _join(
        base,
        f"/v1/rooms/{_check_name(room)}/socket",
        {"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"},
    )


def _join(base: str, path: str, schemes: Mapping[str, str]) -> str:
    wanted = "not a server URL: expected one like http://127.0.0.1:8000 or wss://example.org"
    try:
        parts = urlsplit(base)
        _ = parts.port  # Reading it is what validates it.
    except ValueError as error:
        raise HostError(f"{wanted}: {error}") from None
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
        raise HostError(wanted)
    return f"{schemes[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}{path}"


def decode(text: str | bytes) -> Presence | TimeAnswer | ClientError | None:
    """Decode one message of the server.

    Returns:
        The message; a `ClientError`, as a value, when the server rejected a message of ours; None when its
        type is unknown to this version, or a ``pong``.

    Raises:
        ValueError: The message is malformed.
    """
    try:
        message = json.loads(text)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    match message:
        case {"type": "presence"}:
            return decode_presence(message)
        case {"type": "time", "sent_ms": sent_ms, "now_ms": now_ms}:
            return TimeAnswer(number(sent_ms), number(now_ms))
        case {"type": "error", "error": dict(error)}:
            return decode_error(error)
        case {"type": "presence" | "time" | "error"} | {"type": None}:
            raise ValueError("a message lacks a field of its type")
        case {"type": str()}:
            return None
        case _:
            raise ValueError("not a message")


def decode_presence(message: Mapping[str, Any]) -> Presence:
    """Decode a presence, and check that it is consistent.

    Raises:
        ValueError: It is malformed or inconsistent.
    """
    try:
        count, high, moods = message["count"], message["high"], message["moods"]
        presence = Presence(
            room=_text(message["room"], ROOM_NAME),
            count=None if count is None else _whole(count),
            low=_whole(message["low"]),
            high=None if high is None else _whole(high),
            method=message["method"],
            sample_rate=number(message["sample_rate"]),
            epoch=_whole(message.get("epoch", 0)),
            moods={_text(mood, MOOD_NAME): _maybe(_whole, people) for mood, people in moods.items()},
            unspoken=_maybe(_whole, message["unspoken"]),
            mood_intervals={
                _text(mood, MOOD_NAME): _maybe(_interval, interval)
                for mood, interval in message.get("mood_intervals", {}).items()
            },
            label=message["label"],
            as_of_ms=_whole(message["as_of_ms"]),
            stale_after_ms=_whole(message["stale_after_ms"]),
            poll_ms=_whole(message["poll_ms"]),
        )
    except (KeyError, AttributeError) as error:
        raise ValueError("a presence lacks a key") from error
    if presence.method not in get_args(Method):
        raise ValueError("a presence has an unknown method")
    label: Any = presence.label
    if not isinstance(label, str) or not label.isprintable() or not 0 < len(label) <= LABEL_LETTERS_MAX:
        raise ValueError("a presence has no printable label")
    low, high = presence.low, presence.high
    if (count is None) != (presence.method == "unknown") or (count is not None and high is None):
        raise ValueError("a presence has a count that contradicts its method")
    if not low <= (low if count is None else count) <= (math.inf if high is None else high):
        raise ValueError("a presence has a count outside of its interval")
    return presence


def decode_pattern(config: Any) -> Pattern:
    """Decode the breathing pattern of a room's config.

    Raises:
        ValueError: It has none.
    """
    match config:
        case {"breath": {"pattern": str(name), "phases": [_, *_] as phases}}:
            return Pattern(name, tuple(_phase(phase) for phase in phases))
    raise ValueError("a config without a breath")


def _phase(phase: Any) -> tuple[PhaseName, int]:
    match phase:
        case ["inhale" | "hold" | "exhale" | "rest" as name, int(length_ms)] if length_ms > 0:
            return name, length_ms
    raise ValueError("a breathing phase is malformed")


def decode_error(error: Mapping[str, Any]) -> ClientError:
    """Decode an error of the server.

    Raises:
        ValueError: It has another shape.
    """
    match error:
        case {"code": str(code), "message": str(message), "status": int(status)} if (
            code + message
        ).isprintable():
            return ClientError(code, message, status=status)
    raise ValueError("an error is malformed")


def _maybe(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def _interval(value: Any) -> tuple[int, int | None]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("the interval of a mood lacks an end")
    low, high = _whole(value[0]), _maybe(_whole, value[1])
    if high is not None and low > high:
        raise ValueError("the interval of a mood ends before it begins")
    return low, high


def _whole(value: Any) -> int:
    # 2^53 is the largest that every client reads alike, and as an instant the year 287396.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise ValueError("a figure is not a whole number from 0 to 2^53")
    return value


def number(value: Any) -> float:
    """Return a finite number as a float.

    Raises:
        ValueError: It is no finite number.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("a figure is not a number")
    return float(value)


def _text(value: Any, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError("a name is malformed")
    return value
