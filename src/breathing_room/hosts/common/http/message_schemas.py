"""Schemas of the messages of v1: those that clients send, over a connection or as a request body, and those
that are sent to connections.
"""

from typing import Final

from breathing_room.core.config import DAY_MS, MOOD_NAME
from breathing_room.core.wire import ROOM_NAME, VISITOR_ID
from breathing_room.hosts.common.http.answer_schemas import PRESENCE
from breathing_room.hosts.common.http.shapes import (
    WHOLE_MAX,
    Field,
    Shape,
    a,
    text,
    type_is,
    whole,
)

TOKEN_CHARACTERS_MAX: Final = 3_072
"""The longest token: a message has at most 4,096 bytes, and the token is only a part of it."""

PROOF_CHARACTERS_MAX: Final = 2_048
"""The longest proof of a human: that of a token of Turnstile."""

LINGER_MS_MAX: Final = 10_000
"""The longest ``linger_ms``: a reload takes about two seconds; for longer absences there is ``grace_ms``."""

_MOOD: Final = text(pattern=MOOD_NAME.pattern)
_ROOM: Final = text(pattern=ROOM_NAME.pattern)
_VISITOR: Final = text(pattern=VISITOR_ID.pattern)
_INSTANT: Final = whole()
_LENGTH: Final = whole(high=31 * DAY_MS)
_NUMBER: Final = {"type": "number", "minimum": -WHOLE_MAX, "maximum": WHOLE_MAX}

# --- Keys that several messages have -----------------------------------------------------------------------

_VISITOR_FIELD: Final = Field(
    "visitor",
    _VISITOR,
    "the client's own random id, or a signed one",
    instead="token",
)
_MOOD_FIELD: Final = Field(
    "mood",
    {**_MOOD, "type": ["string", "null"]},
    "one of the room's moods, or `unspoken` to take a mood back; absent or `null`: the mood stays as it was, "
    "at first `unspoken`",
    optional=True,
)
_ROOM_FIELD: Final = Field(
    "room",
    _ROOM,
    "the room that the message is about, on a connection that serves several rooms, where it is needed; "
    "elsewhere absent",
    optional=True,
    served=False,
)
_TOKEN_FIELD: Final = Field(
    "token",
    text(low=1, high=TOKEN_CHARACTERS_MAX),
    "a JWT that names the visitor (`sub`) in place of `visitor`, admits to rooms (`rooms`) and ends (`exp`); only "
    "in rooms whose config asks for one (`access`)",
    optional=True,
    served=False,
)
_PROOF_FIELD: Final = Field(
    "human",
    text(low=1, high=PROOF_CHARACTERS_MAX),
    "a proof of a human, as the provider of the config (`access.human`) issued it; sent once per visit",
    optional=True,
    served=False,
)
_VISIT_FIELD: Final = Field(
    "visit_ms",
    whole(low=1, high=DAY_MS),
    "the declared length of the visit, at most the config's `visit_ms_max`; what is longer is cut to that",
    optional=True,
    served=False,
)
_LINGER_FIELD: Final = Field(
    "linger_ms",
    whole(high=LINGER_MS_MAX),
    "how much longer the visitor is counted unless a join or report comes first; at most the room's `grace_ms`. "
    "2,000 from a page that is unloaded, which may be a reload; absent: 0",
    optional=True,
    served=False,
)
_FROM_EPOCH_FIELD: Final = Field(
    "from_epoch",
    whole(),
    "the key epoch that the visit moves from, in the first message of a visit that moves to the next one",
    optional=True,
    served=False,
)
_EPOCH_OF_VISIT: Final = Field(
    "epoch",
    whole(),
    "the key epoch of the visit: the `epoch` of the presence that it began with; absent: the present one",
    optional=True,
)


def _later(field: Field) -> Field:
    """Return a field that other messages have already, marked as not yet served in this one."""
    return Field(field.name, field.schema, field.meaning, optional=True, served=False)


# --- Bodies of requests -----------------------------------------------------------------------------------

_REPORT: Final = Shape(
    "Report",
    "A visitor without a connection is in the room: the body of a heartbeat.",
    (
        _VISITOR_FIELD,
        _MOOD_FIELD,
        _EPOCH_OF_VISIT,
        _FROM_EPOCH_FIELD,
        Field(
            "query",
            whole(),
            "the number of the membership query that this report answers: the greatest one that the client has seen, "
            "0 if none; a client that knows no queries leaves it out, and is not counted out by one",
            optional=True,
            served=False,
        ),
        _VISIT_FIELD,
        _TOKEN_FIELD,
        _PROOF_FIELD,
    ),
)

_LEAVE: Final = Shape(
    "Leave",
    "A visitor without a connection leaves.",
    (_VISITOR_FIELD, _LINGER_FIELD, _later(_EPOCH_OF_VISIT), _FROM_EPOCH_FIELD, _TOKEN_FIELD),
)

BODIES: Final = (_REPORT, _LEAVE)

# --- Messages of a connection ------------------------------------------------------------------------------

CLIENT_MESSAGES: Final = (
    Shape(
        "JoinMessage",
        "Count this visitor. Answered by the presence.",
        (
            type_is("join"),
            _VISITOR_FIELD,
            _MOOD_FIELD,
            _VISIT_FIELD,
            _later(_EPOCH_OF_VISIT),
            _FROM_EPOCH_FIELD,
            _TOKEN_FIELD,
            _PROOF_FIELD,
            _ROOM_FIELD,
        ),
    ),
    Shape(
        "ObserveMessage",
        "Send the presence of the room, without counting this client. Answered by the presence.",
        (type_is("observe"), _TOKEN_FIELD, _ROOM_FIELD),
    ),
    Shape(
        "MoodMessage",
        "Change the mood of the visitor. Needs a join.",
        (
            type_is("mood"),
            Field("mood", _MOOD, "one of the room's moods, or `unspoken` to take a mood back"),
            _ROOM_FIELD,
        ),
    ),
    Shape("PingMessage", "The heartbeat of a connection. Answered by a pong.", (type_is("ping"),)),
    Shape(
        "TimeRequest",
        "Ask for the server's time. Needs no join.",
        (
            type_is("time"),
            Field(
                "sent_ms",
                {**_NUMBER, "type": ["number", "null"]},
                "the client's clock, which comes back unchanged",
                optional=True,
            ),
        ),
    ),
    Shape(
        "TokenMessage",
        "Go on with a fresh token, before the last one ends.",
        (
            type_is("token"),
            Field("token", text(low=1, high=TOKEN_CHARACTERS_MAX), "the JWT"),
            _ROOM_FIELD,
        ),
        served=False,
    ),
    Shape(
        "LeaveMessage",
        "End the visit. Answered by close 1000.",
        (type_is("leave"), _LINGER_FIELD, _ROOM_FIELD),
    ),
)

SERVER_MESSAGES: Final = (
    Shape(
        "PresenceMessage",
        "The presence: in answer to join and observe, and when something changed.",
        (type_is("presence"), *PRESENCE.fields),
    ),
    Shape("PongMessage", "The answer to a ping.", (type_is("pong"),)),
    Shape(
        "TimeAnswer",
        "The answer to a request for the time.",
        (
            type_is("time"),
            Field("sent_ms", {**_NUMBER, "type": ["number", "null"]}, "as it was sent"),
            Field("now_ms", _INSTANT, "the server's wall clock"),
        ),
    ),
    Shape(
        "ErrorMessage",
        "The last message had no effect; the connection goes on.",
        (type_is("error"), Field("error", a("ErrorDetail"), "what was wrong"), _ROOM_FIELD),
    ),
    Shape(
        "ClosedMessage",
        "What a close frame says, for one room of a connection that serves several.",
        (
            type_is("closed"),
            Field("room", _ROOM, "the room that has ended here"),
            Field("code", whole(low=1000, high=4999), "the close code"),
            Field("retry_ms", _LENGTH, "when to come back, as in a close reason", optional=True),
            Field("poll", {"const": True}, "poll until then, as in a close reason", optional=True),
        ),
        served=False,
    ),
)
