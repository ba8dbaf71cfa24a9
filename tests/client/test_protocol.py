"""URLs, and the decoding of the server's messages."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.client.protocol import TimeAnswer, decode, decode_pattern, http_url, socket_url
from breathing_room.core.breath import PATTERNS
from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import (
    PONG,
    config_body,
    encode,
    encode_presence,
    error_message,
    presence_message,
    time_message,
)
from scripted_server import COUNTED

wholes = st.integers(0, 2**53)
mood_names = st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,31}\Z")
intervals = st.one_of(
    st.tuples(wholes, wholes).map(lambda ends: (min(ends), max(ends))), st.tuples(wholes, st.none())
)


@st.composite
def presences(draw: st.DrawFn) -> Presence:
    known = draw(st.booleans())
    low, count, high = sorted(draw(st.tuples(wholes, wholes, wholes)))
    return Presence(
        room="lobby",
        count=count if known else None,
        low=low,
        high=high if known else None,
        method=draw(st.sampled_from(["counted", "sampled", "stale", "estimated"])) if known else "unknown",
        sample_rate=draw(st.floats(0.01, 1.0)),
        moods=draw(st.dictionaries(mood_names, st.none() | wholes, max_size=3)),
        unspoken=draw(st.none() | wholes),
        mood_intervals=draw(st.dictionaries(mood_names, st.one_of(st.none(), intervals), max_size=3)),
        label="about 10,000",
        as_of_ms=draw(wholes),
        stale_after_ms=draw(wholes),
        poll_ms=draw(wholes),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("base", ["http://127.0.0.1:8000", "ws://127.0.0.1:8000/", "http://127.0.0.1:8000/"])
def test_http_and_websocket_urls_are_alike(base: str) -> None:
    """A server may be named by any scheme, with or without a slash at the end."""
    assert socket_url(base, "lobby") == "ws://127.0.0.1:8000/v1/rooms/lobby/socket"
    assert http_url(base, "/healthz") == "http://127.0.0.1:8000/healthz"


def test_a_server_may_live_below_a_path() -> None:
    """Behind a proxy the room's path follows the server's own, and TLS stays TLS."""
    assert socket_url("https://example.org/here/", "tea") == "wss://example.org/here/v1/rooms/tea/socket"
    assert http_url("wss://example.org/here", "/healthz") == "https://example.org/here/healthz"


@pytest.mark.parametrize(
    ("base", "room"),
    [
        ("example.org", "lobby"),
        ("ftp://example.org", "lobby"),
        ("http://", "lobby"),
        ("http://example.org:99999", "lobby"),
        ("http://example.org/?room=tea", "lobby"),
        ("http://[::1", "lobby"),
        ("http://example.org", "Lobby"),
        ("http://example.org", "../config"),
        ("http://example.org", ""),
    ],
)
def test_what_is_no_server_url_is_rejected(base: str, room: str) -> None:
    """A mistyped URL or room fails where it is written, not in a loop of attempts."""
    with pytest.raises(HostError):
        socket_url(base, room)


@given(presences())
def test_every_presence_survives_the_wire(presence: Presence) -> None:
    """What the server encodes is what the client reads."""
    assert decode(presence_message(encode_presence(presence))) == presence


def test_the_time_and_errors_survive_the_wire() -> None:
    """
    The answer to a request for the time keeps the time of the request; an error keeps its code, message and
    status.
    """
    assert decode(time_message(12.5, 1_767_225_600_000)) == TimeAnswer(12.5, 1_767_225_600_000)
    error = decode(error_message(ClientError("unknown_mood", "no such mood", status=400)))
    assert isinstance(error, ClientError)
    assert (error.code, error.message, error.status) == ("unknown_mood", "no such mood", 400)


def test_a_message_of_an_unknown_type_is_nothing() -> None:
    """A newer server may send types that this client does not know; a pong asks for nothing."""
    assert decode('{"type": "weather", "rain": true}') is None
    assert decode(PONG) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"count": -1},
        {"count": 5},
        {"count": 2},
        {"count": None},
        {"count": "3"},
        {"count": True},
        {"count": 3.0},
        {"high": None},
        {"low": 10**400, "count": 10**400, "high": 10**400},
        {"method": "guessed"},
        {"method": ["counted"]},
        {"sample_rate": "all"},
        {"moods": []},
        {"moods": {"\x1b[2J": 1}},
        {"moods": {"release": -1}},
        {"unspoken": 1.5},
        {"mood_intervals": {"release": [3, 2]}},
        {"mood_intervals": {"release": [1]}},
        {"mood_intervals": {"release": 2}},
        {"mood_intervals": {"release": [None, 2]}},
        {"mood_intervals": []},
        {"label": "\x1b[31m3"},
        {"label": ""},
        {"label": "3" * 1000},
        {"label": 3},
        {"room": "\n"},
        {"as_of_ms": None},
        {"stale_after_ms": "soon"},
    ],
)
def test_a_presence_that_contradicts_itself_is_rejected(changes: dict[str, Any]) -> None:
    """
    A wrong type, a count outside of its interval, or letters that steer a terminal never reach a reader.
    """
    with pytest.raises(ValueError, match="a "):
        decode(json.dumps(COUNTED | changes))


@pytest.mark.parametrize("key", [key for key in COUNTED if key != "type"])
def test_a_presence_that_lacks_a_key_is_rejected(key: str) -> None:
    """Every key of a presence is required."""
    with pytest.raises(ValueError, match="lacks"):
        decode(json.dumps({name: value for name, value in COUNTED.items() if name != key}))


@given(
    json_values
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["presence", "time", "error"])},
        optional={
            "error": json_values,
            "now_ms": json_values,
            "sent_ms": json_values,
            "moods": json_values,
            "count": json_values,
        },
    )
)
def test_a_malformed_message_is_a_value_error(value: Any) -> None:
    """Any JSON is either decoded or raises the one error that the client expects."""
    try:
        decode(json.dumps(value))
    except ValueError:
        return
    assert value.get("type") != "presence"


@given(st.binary(max_size=50) | st.text(max_size=50) | st.just("[" * 100_000))
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    """Bytes at random, and JSON that nests without end, raise the same error."""
    try:
        decode(text)
    except ValueError:
        return
    assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_the_breathing_pattern_of_a_config_is_decoded(pattern: Any) -> None:
    """The pattern of a room is that of its config."""
    body = encode(config_body("lobby", RoomConfig(breath=pattern.name), now_ms=0))
    assert decode_pattern(json.loads(body)) == pattern


@pytest.mark.parametrize(
    "breath",
    [
        None,
        {},
        {"pattern": "x", "phases": []},
        {"pattern": "x", "phases": [["pant", 1]]},
        {"pattern": "x", "phases": [["hold", 0]]},
    ],
)
def test_a_malformed_breathing_pattern_is_rejected(breath: Any) -> None:
    """No phases, unknown phases and phases of no length are no pattern."""
    with pytest.raises(ValueError, match="breath"):
        decode_pattern({"breath": breath})
