"""Schemas of the HTTP responses of v1 and of their parts, which the messages of connections share."""

from typing import Final, get_args

from breathing_room.core.breath import PATTERNS, PhaseName
from breathing_room.core.config import DAY_MS, MODES, MOOD_NAME, MOODS_MAX
from breathing_room.core.presence import Method
from breathing_room.core.wire import ROOM_NAME
from breathing_room.hosts.common.http.document_api import SESSION_ID_CHARACTERS_MAX
from breathing_room.hosts.common.http.shapes import (
    Field,
    Shape,
    a,
    by_name,
    list_of,
    one_of,
    row,
    text,
    whole,
)

ROOMS_READ_MAX: Final = 100
"""The most rooms of one batch read."""

_MOOD: Final = text(pattern=MOOD_NAME.pattern)
_ROOM: Final = text(pattern=ROOM_NAME.pattern)
_INSTANT: Final = whole()
_LENGTH: Final = whole(high=31 * DAY_MS)

# --- Parts of answers --------------------------------------------------------------------------------------

PARTS: Final = (
    Shape(
        "LabelParts",
        "What a client needs to say the label in any language.",
        (
            Field("rounded", whole(null=True), "the rounded count; `null` where it is unknown or withheld"),
            Field("approximate", {"type": "boolean"}, "whether the count is known no better than that"),
        ),
        served=False,
    ),
    Shape(
        "Shown",
        "What a room's display policy shows in place of the count.",
        (
            Field(
                "text", text(low=1, high=64), "what to show, in English, such as `fewer than 10` or `500+`"
            ),
            Field("low", whole(), "the least count that the text stands for"),
            Field("high", whole(null=True), "the greatest; `null` for no bound"),
            Field("method", one_of(*get_args(Method)), "how the count that is withheld was obtained"),
        ),
        served=False,
    ),
    Shape(
        "Total",
        "A number of people that grows with time, with a 95 % interval.",
        (
            Field("count", whole(), "people since `since_ms`"),
            Field("low", whole(), "the lower end of the interval"),
            Field("high", whole(), "the upper end"),
            Field("since_ms", _INSTANT, "when the counting began; another value: it began again from 0"),
        ),
        served=False,
    ),
    Shape(
        "Override",
        "What an operator did to a number.",
        (
            Field(
                "kind",
                one_of("frozen", "set_aside"),
                "`frozen`: the number is that of `as_of_ms`, and stays. `set_aside`: no number is published, "
                "and `method` is `unknown`",
            ),
            Field("since_ms", _INSTANT, "since when"),
        ),
        served=False,
    ),
    Shape(
        "Breath",
        "How people breathe together.",
        (
            Field(
                "pattern",
                text(low=1, high=32),
                f"its name, such as {', '.join(f'`{one}`' for one in PATTERNS)}",
            ),
            Field(
                "phases",
                list_of(row(("name", one_of(*get_args(PhaseName))), ("length_ms", whole(low=1)))),
                "its phases in order: name and length in ms",
            ),
        ),
    ),
    Shape(
        "HumanProof",
        "Where a proof of a human comes from.",
        (
            Field("provider", text(low=1, high=32), "who issues proofs, such as `turnstile`"),
            Field("site_key", text(low=1, high=256), "the key with which a page asks the provider"),
        ),
        served=False,
    ),
    Shape(
        "Access",
        "What a room asks of those who come, and of those who read.",
        (
            Field(
                "visitors",
                one_of("own", "signed", "token"),
                "`own`: clients make their ids up. `signed`: an application signs them. `token`: a JWT names the visitor",
            ),
            Field(
                "read",
                one_of("anyone", "members"),
                "who may read the presence; `members`: only with a token",
            ),
            Field(
                "human",
                a("HumanProof", null=True),
                "where to get a proof of a human; `null`: none is asked for",
            ),
        ),
        served=False,
    ),
    Shape(
        "MoodLabel",
        "How a mood is shown.",
        (
            Field("icon", text(low=1, high=16, null=True), "a character or an emoji; `null`: none"),
            Field("names", by_name(text(low=1, high=64)), "its name by BCP 47 language tag"),
        ),
        served=False,
    ),
    Shape(
        "HourAverage",
        "How many people are usually in a room in one hour of the week.",
        (
            Field("hour", whole(high=167), "hours since Monday 00:00 UTC"),
            Field("count", {"type": "number", "minimum": 0}, "the mean"),
            Field(
                "moods", by_name({"type": "number", "minimum": 0}), "the mean by mood, `unspoken` included"
            ),
            Field("observed_h", {"type": "number", "minimum": 0}, "how many hours were observed"),
            Field(
                "low",
                whole(null=True),
                "the lower end of a 95 % interval for another such hour; `null` before two weeks",
            ),
            Field("high", whole(null=True), "its upper end; `null` likewise"),
        ),
    ),
    Shape(
        "ErrorDetail",
        "What was wrong.",
        (
            Field("code", text(pattern="[a-z][a-z0-9_]*"), "a word for programs"),
            Field("message", text(low=1), "a sentence for people, which may change"),
            Field("status", whole(low=400, high=599), "the HTTP status that goes with the code"),
            Field(
                "poll",
                {"const": True},
                "the room counts newcomers by polling for now: poll and report, and try a connection again later",
                optional=True,
                served=False,
            ),
        ),
    ),
)

# --- Answers -----------------------------------------------------------------------------------------------

PRESENCE: Final = Shape(
    "Presence",
    "How many people are in a room now, and in which mood: the same bytes for every subscriber.",
    (
        Field("room", _ROOM, "the room's name"),
        Field("count", whole(null=True), "people here now; `null` where `method` is `unknown`"),
        Field("low", whole(), "the lower end of a 95 % interval for the count"),
        Field("high", whole(null=True), "its upper end; `null` where `method` is `unknown`"),
        Field("method", one_of(*get_args(Method)), "how the count was obtained"),
        Field(
            "sample_rate",
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "the share of visitors without a connection who are asked to report; 1: all",
        ),
        Field("epoch", whole(), "the key epoch, under which a visit that begins now draws its ticket"),
        Field(
            "moods",
            by_name(whole(null=True), names=MOOD_NAME.pattern),
            "people by mood, in the declared order; `null` for moods that are merged (`min_cell_size`)",
        ),
        Field("unspoken", whole(null=True), "people who named no mood; `null` where they are merged too"),
        Field(
            "mood_intervals",
            by_name(row(("low", whole()), ("high", whole(null=True)), null=True), names=MOOD_NAME.pattern),
            "for every mood and `unspoken` the ends of its 95 % interval; `null` where it is merged, and the upper "
            "end `null` where `method` is `unknown`",
        ),
        Field(
            "label",
            text(low=1, high=64),
            "the count rounded to its own precision, in English: `12`, `about 10,000`, `unknown`. It counts a "
            "reader who is in the room",
        ),
        Field("as_of_ms", _INSTANT, "when this was true"),
        Field("stale_after_ms", _LENGTH, "how long a client without a connection may show it as live"),
        Field("poll_ms", whole(low=1, high=DAY_MS), "when a polling client is to ask again"),
        Field(
            "sample_size",
            whole(),
            "how many seats of the panel the count rests on; absent where no panel is asked",
            optional=True,
            served=False,
        ),
        Field(
            "heartbeat_ms",
            whole(low=500, high=DAY_MS),
            "the time between two reports of a panel member, in place of the config's; it goes with `sample_rate`",
            optional=True,
            served=False,
        ),
        Field(
            "query",
            whole(),
            "the number of the last membership query, which only grows; a panel member that sees a greater one "
            "reports once within 10 s. Absent or 0: there was none",
            optional=True,
            served=False,
        ),
        Field(
            "label_parts",
            a("LabelParts"),
            "the label in parts, for other languages",
            optional=True,
            served=False,
        ),
        Field(
            "arrivals",
            a("Total"),
            "visits that began; only in rooms that declare it",
            optional=True,
            served=False,
        ),
        Field(
            "today",
            a("Total"),
            "different people since midnight UTC; only in rooms that declare it",
            optional=True,
            served=False,
        ),
        Field(
            "shown",
            a("Shown"),
            "what the room's display policy shows in place of the count. That is then withheld, as an unknown one is: `count`, "
            "`high`, the moods and `unspoken` are `null`, `low` is 0, `method` is `unknown`, and `label` is the text",
            optional=True,
            served=False,
        ),
        Field(
            "override",
            a("Override"),
            "an operator froze the number or set it aside; absent: neither",
            optional=True,
            served=False,
        ),
    ),
)

CONFIG: Final = Shape(
    "Config",
    "How a room works.",
    (
        Field("room", _ROOM, "the room's name, also where `_default` was asked for"),
        Field("moods", list_of(_MOOD, high=MOODS_MAX), "the moods to choose from"),
        Field(
            "mode", one_of(*MODES), "how to go on: `socket` over a WebSocket, `poll` as a client that polls"
        ),
        Field("breath", a("Breath"), "how people breathe together"),
        Field("ping_ms", whole(low=1, high=DAY_MS), "the time between two pings of a connection"),
        Field("heartbeat_ms", whole(low=500, high=DAY_MS), "the time between two reports of a panel member"),
        Field("poll_ms", whole(low=1, high=DAY_MS), "the time between two polls"),
        Field(
            "lease_ms", whole(low=500, high=DAY_MS), "how long a connection without a heartbeat stays counted"
        ),
        Field("grace_ms", whole(high=DAY_MS), "how long a visitor whose connection was lost stays counted"),
        Field(
            "presence_url",
            text(null=True),
            "where a copy of the presence is published, absolute or relative to the room's address; `null`: nowhere",
        ),
        Field("now_ms", _INSTANT, "the server's wall clock when it answered; a cache may have kept it"),
        Field(
            "socket_url",
            text(null=True),
            "where a connection that serves several rooms is opened, relative to the room's address; `null` or "
            "absent: each room has a connection of its own",
            optional=True,
            served=False,
        ),
        Field(
            "visit_ms_max",
            whole(high=DAY_MS),
            "the longest visit that may be declared; 0 or absent: none may",
            optional=True,
            served=False,
        ),
        Field(
            "access",
            a("Access"),
            "what the room asks of visitors and readers; absent: ids of their own, and anyone reads",
            optional=True,
            served=False,
        ),
        Field(
            "mood_labels",
            by_name(a("MoodLabel"), names=MOOD_NAME.pattern),
            "how moods are shown, by mood",
            optional=True,
            served=False,
        ),
        Field(
            "opens_at_ms",
            {**_INSTANT, "type": ["integer", "null"]},
            "when the room opens; `null` or absent: it is open",
            optional=True,
            served=False,
        ),
        Field(
            "closes_at_ms",
            {**_INSTANT, "type": ["integer", "null"]},
            "when it closes; `null` or absent: never",
            optional=True,
            served=False,
        ),
    ),
)

ANSWERS: Final = (
    PRESENCE,
    CONFIG,
    Shape(
        "Rooms",
        "The presence of several rooms.",
        (
            Field("rooms", list_of(a("Presence"), high=ROOMS_READ_MAX), "in the order of the request"),
            Field("as_of_ms", _INSTANT, "when the answer was made"),
            Field("poll_ms", whole(low=1, high=DAY_MS), "when to ask again"),
        ),
        served=False,
    ),
    Shape(
        "History",
        "How many people are usually in a room, by hour of the week.",
        (
            Field("room", _ROOM, "the room's name"),
            Field("timezone", {"const": "UTC"}, "the time zone of the hours"),
            Field("hour_0", {"const": "Monday 00:00"}, "when hour 0 begins"),
            Field("hours", list_of(a("HourAverage"), high=168), "the hours that were observed"),
        ),
    ),
    Shape(
        "Error",
        "An error, in the one shape that errors have.",
        (Field("error", a("ErrorDetail"), "what was wrong"),),
    ),
    Shape(
        "CloseReason",
        "The reason of a close frame, where there is one.",
        (
            Field("retry_ms", _LENGTH, "when to come back", optional=True),
            Field(
                "poll",
                {"const": True},
                "poll and report until then: the room counts newcomers by polling",
                optional=True,
                served=False,
            ),
        ),
    ),
)

# --- The planning document's app, and operations -----------------------------------------------------------

DOCUMENT_API: Final = (
    Shape(
        "DocumentHeartbeat",
        "A heartbeat of a client of the planning document.",
        (
            Field("sessionId", text(low=1, high=SESSION_ID_CHARACTERS_MAX), "the client's id, printable"),
            Field("mood", {}, "a mood; anything else is read as `presence`", optional=True),
        ),
    ),
    Shape(
        "DocumentPresence",
        "A presence as that app has it.",
        (
            Field("count", whole(), "people here now; where that is unknown, those known of, and at least 1"),
            Field(
                "moods",
                by_name(whole(), names=MOOD_NAME.pattern),
                "people by mood; 0 for moods that are merged",
            ),
            Field("users", {"type": "array", "maxItems": 0}, "always empty"),
            Field("countryCounts", {"type": "object", "maxProperties": 0}, "always empty"),
            Field("timestamp", _INSTANT, "when this was true, in milliseconds"),
        ),
    ),
    Shape(
        "DocumentConfig",
        "The config as that app has it.",
        (
            Field(
                "sampleRate",
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                "the share of heartbeats to send",
            ),
            Field("heartbeatIntervalMs", whole(low=1), "the time between two draws"),
            Field("supportsWebSocket", {"type": "boolean"}, "whether `/api/room` is there"),
            Field("version", whole(), "always 2"),
        ),
    ),
)

OPERATIONS: Final = (
    Shape("Ok", "All is well.", (Field("ok", {"const": True}, "always `true`"),)),
    Shape(
        "Admin",
        "What the operator's page shows.",
        (
            Field("room", {"type": "object"}, "the room that was asked for, in detail"),
            Field("rooms", list_of({"type": "object"}), "every room, the largest first"),
            Field(
                "nodes", list_of({"type": "object"}), "the replicas of a cluster; empty where there is none"
            ),
            Field("store", {"type": "object"}, "how the store is doing"),
            Field("totals", by_name(whole()), "what was counted since the start"),
            Field("refusals", by_name(whole()), "errors by code"),
            Field("sockets", whole(), "connections that are open"),
            Field("sockets_max", whole(), "the most that may be"),
            Field("now_ms", _INSTANT, "the server's wall clock"),
            Field("started_at_ms", _INSTANT, "when the server started"),
        ),
    ),
)
