"""The schemas of the wire agree with what is encoded, and with one another."""

import inspect
import json
import re
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from breathing_room.core import wire
from breathing_room.core.breath import PATTERNS
from breathing_room.core.config import MOODS, UNSPOKEN, RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.history import History
from breathing_room.core.presence import Method, Presence
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.http.answer_schemas import CONFIG, PRESENCE
from breathing_room.hosts.common.http.schemas import EVERY, HTTP, V1, v1_document
from breathing_room.hosts.common.http.shapes import Shape
from schemas_of_v1 import FROM_SERVER, validate, validate_message, validator


def served(shape: Shape) -> tuple[str, ...]:
    """The keys that are served."""
    return tuple(field.name for field in shape.fields if field.served)


def test_the_document_is_valid_and_whole() -> None:
    """It is a JSON Schema, every reference in it leads to a definition, and no two shapes share a name."""
    document = v1_document()
    Draft202012Validator.check_schema(document)
    referred = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(document)))
    assert referred <= document["$defs"].keys()
    assert document["$defs"].keys() == {shape.name for shape in V1} | {"ClientMessage", "ServerMessage"}
    assert len({shape.name for shape in V1}) == len(V1)
    assert len(EVERY) == len({*map(id, (*V1, *HTTP))})


def test_no_part_is_served_of_what_is_not() -> None:
    """What is served refers to nothing that is not: the description of the HTTP interface is whole."""
    for shape in EVERY.values():
        for field in shape.fields:
            named = re.findall(r"'\$ref': '(\w+)'", str(field.schema))
            assert not (shape.served and field.served) or all(EVERY[name].served for name in named), field


def test_the_keys_are_those_that_are_sent() -> None:
    """The served keys of presence and config are those that the encoders write, in their order."""
    assert served(PRESENCE) == wire.PRESENCE_FIELDS
    assert served(CONFIG) == tuple(wire.config_body("lobby", RoomConfig(), now_ms=0))


whole = st.integers(0, 2**53)
presences = st.builds(
    Presence,
    room=st.from_regex(wire.ROOM_NAME, fullmatch=True),
    count=st.none() | whole,
    low=whole,
    high=st.none() | whole,
    method=st.sampled_from(get_args(Method)),
    sample_rate=st.floats(0, 1, exclude_min=True),
    epoch=st.integers(0, 10**6),
    moods=st.dictionaries(st.sampled_from(MOODS), st.none() | whole),
    unspoken=st.none() | whole,
    mood_intervals=st.dictionaries(
        st.sampled_from([*MOODS, UNSPOKEN]), st.none() | st.tuples(whole, st.none() | whole)
    ),
    label=st.sampled_from(["unknown", "12", "about 10,000"]),
    as_of_ms=whole,
    stale_after_ms=st.integers(1_000, 86_400_000),
    poll_ms=st.integers(1_000, 86_400_000),
)


@given(presences)
def test_every_presence_fits(presence: Presence) -> None:
    """
    Every presence that is encoded fits its schema, over HTTP, over a connection and as the planning
    document's app has it.
    """
    encoded = wire.encode_presence(presence)
    validate("Presence", encoded)
    validate_message(wire.presence_message(encoded), FROM_SERVER)
    validate("DocumentPresence", json.dumps(document_api.presence_body(presence)))


def test_every_answer_fits() -> None:
    """
    Every other answer and message of a server fits its schema, in which nothing is sent that is not declared.
    """
    for mode in ("socket", "poll"):
        for breath in PATTERNS:
            config = RoomConfig(mode=mode, breath=breath)
            for url in (None, "https://cdn.example/rooms/lobby/presence.json"):
                body = wire.config_body("lobby", config, now_ms=5, presence_url=url)
                validate("Config", wire.encode(body))
    history = History()
    for week in range(3):
        for minute in range(0, 180, 5):
            at_ms = (week * 7 * 24 * 60 + minute) * 60_000
            history.observe({"release": minute, UNSPOKEN: 1}, wall_ms=at_ms)
    assert wire.history_body("lobby", history)["hours"]
    validate("History", wire.encode(wire.history_body("lobby", history)))
    error = ClientError("bad_epoch", "begin a new visit", status=400, retry_after_s=3)
    validate("Error", wire.encode(wire.error_body(error)))
    validate("CloseReason", wire.retry_reason(3_127))
    for message in (
        wire.error_message(error),
        wire.PONG,
        wire.time_message(12.5, 7),
        wire.time_message(None, 7),
    ):
        validate_message(message, FROM_SERVER)
    for config_of_app in (document_api.CONFIG, document_api.CONFIG_OF_STORE_MODE):
        validate("DocumentConfig", json.dumps(config_of_app))


def encoded_types() -> set[str]:
    """The types of the messages that the core encodes."""
    return {*re.findall(r'"type": ?"(\w+)"', inspect.getsource(wire))} - {"ping"}


def test_the_messages_of_a_server_are_those_that_are_declared() -> None:
    """Each type of message that the core encodes is declared as served, and no other type is."""
    assert {name for name, shape in FROM_SERVER.items() if shape.served} == encoded_types()


@given(
    st.dictionaries(st.sampled_from(["sessionId", "mood"]), st.text(max_size=140) | st.integers() | st.none())
)
def test_a_heartbeat_of_the_document_is_taken_as_described(body: dict[str, Any]) -> None:
    """
    What the decoder of the planning document's heartbeats takes, the schema accepts; what the schema refuses,
    the decoder does.
    """
    try:
        document_api.decode_heartbeat(json.dumps(body).encode(), MOODS)
    except ClientError:
        return
    validator("DocumentHeartbeat").validate(body)


@pytest.mark.parametrize("name", ["Presence", "Config", "Report", "JoinMessage"])
def test_unknown_keys_are_ignored(name: str) -> None:
    """No schema refuses a key that it does not know."""
    good = {
        "Presence": json.loads(wire.encode_presence(EMPTY_PRESENCE)),
        "Config": json.loads(wire.encode(wire.config_body("lobby", RoomConfig(), now_ms=0))),
        "Report": {"visitor": "v" * 16},
        "JoinMessage": {"type": "join", "visitor": "v" * 16},
    }[name]
    for served_only in (True, False):
        assert validator(name, served_only=served_only).is_valid({**good, "of_a_later_version": [1]})


EMPTY_PRESENCE = Presence(
    room="lobby",
    count=0,
    low=0,
    high=0,
    method="counted",
    sample_rate=1.0,
    moods={},
    unspoken=0,
    mood_intervals={},
    label="0",
    as_of_ms=0,
    stale_after_ms=1_000,
    poll_ms=1_000,
)
