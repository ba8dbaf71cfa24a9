"""The schemas of what clients send agree with the decoder."""

import json
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from breathing_room.core.config import MOODS, UNSPOKEN
from breathing_room.core.errors import ClientError
from breathing_room.core.wire import Message, decode_message, decode_report
from schemas_of_v1 import FROM_CLIENT, validator

ID = "0123456789abcdef"
EPOCH = 7

OF_THE_ROOM = {"unknown_mood", "bad_epoch"}
"""What the decoder refuses since the room does not have it, though its form is right."""

anything: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=70)
    | st.just([])
)
likely = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*FROM_CLIENT, "presence"]) | anything,
        "visitor": st.text("abcXYZ01-_", min_size=15, max_size=65) | anything,
        "mood": st.sampled_from([*MOODS, UNSPOKEN, "fury"]) | anything,
        "sent_ms": st.integers(-(2**54), 2**54) | st.floats(allow_nan=False) | anything,
        "epoch": st.integers(4, 9) | anything,
        "linger_ms": anything,
        "room": anything,
        "token": anything,
    },
)


def decoded(read: Any) -> str | None:
    """Decode something; return the code of the refusal, None if it was taken."""
    try:
        read()
    except ClientError as error:
        return error.code
    return None


def check_message(message: dict[str, Any]) -> None:
    """Check that decoder and schema agree on a message."""
    code = decoded(lambda: decode_message(json.dumps(message), MOODS))
    shape = FROM_CLIENT.get(message["type"]) if isinstance(message.get("type"), str) else None
    accepted = shape is not None and shape.served and validator(shape.name).is_valid(message)
    assert accepted or code is not None
    assert code is None or not accepted or code in OF_THE_ROOM


def check_report(body: dict[str, Any]) -> None:
    """Check that decoder and schema agree on the body of a heartbeat."""
    code = decoded(lambda: decode_report(json.dumps(body).encode(), MOODS, epoch=EPOCH))
    accepted = validator("Report").is_valid(body)
    assert accepted or code is not None
    assert code is None or not accepted or code in OF_THE_ROOM


@given(likely)
@example({"type": "join", "visitor": ID})
@example({"type": "join", "visitor": ID, "mood": None, "token": 7})
@example({"type": "time", "sent_ms": 2**53})
@example({"type": "leave", "linger_ms": "soon"})
def test_a_message_is_taken_as_described(message: dict[str, Any]) -> None:
    """
    What the decoder takes, the schema of a served message accepts; what that refuses, the decoder refuses.
    The decoder alone knows which moods the room has.
    """
    check_message(message)


@given(likely)
@example({"visitor": ID, "epoch": 6})
@example({"visitor": ID, "epoch": 7.0})
def test_a_report_is_taken_as_described(body: dict[str, Any]) -> None:
    """The same of the body of a heartbeat. Which epochs are open, the decoder alone knows."""
    check_report(body)


EDGES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 6, 7, 8, -1, 7.0, 12.5, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 1e308),
    *(
        "",
        ID,
        ID[1:],
        "a" * 64,
        "a" * 65,
        f"{ID}é",
        f"{ID} ",
        "release",
        "unspoken",
        "Release",
        "fury",
        [],
        [ID],
        {},
    ),
)
"""Values at and beyond the limits of each kind of key."""


def test_every_limit_is_described() -> None:
    """
    Each key of each message, and of a report, at each edge: what the decoder takes and what the schema
    accepts agree.
    """
    for kind in (*FROM_CLIENT, "presence", None, 7):
        for key in ("visitor", "mood", "sent_ms", "type", "unknown"):
            for value in EDGES:
                check_message({"type": kind, "visitor": ID, "mood": "release", key: value})
                check_message({"type": kind, key: value})
    for key in ("visitor", "mood", "epoch", "unknown"):
        for value in EDGES:
            check_report({"visitor": ID, key: value})
            check_report({key: value})


def test_every_message_of_the_decoder_is_declared() -> None:
    """
    The decoder reads as many kinds of messages as are declared as served, and each in its shortest form.
    """
    shortest = {
        "join": {"visitor": ID},
        "observe": {},
        "mood": {"mood": "release"},
        "ping": {},
        "time": {},
        "leave": {},
    }
    assert {name for name, shape in FROM_CLIENT.items() if shape.served} == shortest.keys()
    read = {
        type(decode_message(json.dumps({"type": name, **keys}), MOODS)) for name, keys in shortest.items()
    }
    assert read == {*get_args(Message)}


@pytest.mark.parametrize(
    ("name", "value", "is_valid"),
    [
        ("JoinMessage", {"type": "join", "token": "a.b.c"}, True),
        ("JoinMessage", {"type": "join"}, False),
        ("JoinMessage", {"type": "join", "visitor": ID, "visit_ms": 0}, False),
        ("JoinMessage", {"type": "join", "visitor": ID, "visit_ms": 1_800_000, "room": "lobby"}, True),
        ("Report", {"visitor": ID, "query": 1_767_225_600_000, "epoch": 8, "from_epoch": 7}, True),
        ("Report", {"visitor": ID, "query": "yes"}, False),
        ("Leave", {"visitor": ID, "linger_ms": 2_000}, True),
        ("LeaveMessage", {"type": "leave", "linger_ms": 10_001}, False),
        ("TokenMessage", {"type": "token", "token": ""}, False),
        ("ClosedMessage", {"type": "closed", "room": "lobby", "code": 4502}, True),
    ],
)
def test_what_is_not_yet_served_is_described(name: str, value: dict[str, Any], *, is_valid: bool) -> None:
    """
    The schemas of the whole of v1 hold what is not yet served to its form: a token stands in for a visitor,
        and lengths have limits.
    """
    assert validator(name, served_only=False).is_valid(value) is is_valid
