"""The wire format: every input is decoded or rejected."""

import json
import re
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from breathing_room.core.breath import PATTERNS
from breathing_room.core.config import MOODS, UNSPOKEN, RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.events import PanelReported
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.core.wire import (
    CLOSE_CODES,
    DEFAULT_ROOM,
    PRESENCE_FIELDS,
    Join,
    Leave,
    Message,
    Mood,
    Observe,
    Ping,
    Report,
    TimeRequest,
    breath_body,
    check_mood,
    check_room,
    check_visitor,
    config_body,
    decode_message,
    decode_object,
    decode_report,
    encode_presence,
    error_body,
    error_message,
    may_come_back,
    presence_message,
    resolve_room,
    retry_reason,
    time_message,
)
from core.playing import visitor

PROTOCOL: Final = (Path(__file__).parents[2] / "docs" / "reference" / "protocol.md").read_text(
    encoding="utf-8"
)
ID: Final = "0123456789abcdef"


def rejection(call: Any, *args: Any) -> ClientError:
    """Make a call that is rejected, and return the error."""
    with pytest.raises(ClientError) as caught:
        call(*args)
    return caught.value


# --- Messages of clients ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'{{"type": "join", "visitor": "{ID}"}}', Join(ID, None)),
        (f'{{"type": "join", "visitor": "{ID}", "mood": null}}', Join(ID, None)),
        (f'{{"type": "join", "visitor": "{ID}", "mood": "release"}}', Join(ID, "release")),
        (f'{{"type": "join", "visitor": "{ID}", "mood": "unspoken"}}', Join(ID, UNSPOKEN)),
        (f'{{"type": "join", "visitor": "{"Z-_9" * 16}", "more": [1]}}', Join("Z-_9" * 16, None)),
        ('{"type": "observe"}', Observe()),
        ('{"type": "mood", "mood": "gratitude"}', Mood("gratitude")),
        ('{"type": "mood", "mood": "unspoken"}', Mood(UNSPOKEN)),
        ('{"type":"ping"}', Ping()),
        ('{"type": "ping", "sent_ms": 7}', Ping()),
        ('{"type": "time"}', TimeRequest(None)),
        ('{"type": "time", "sent_ms": null}', TimeRequest(None)),
        ('{"type": "time", "sent_ms": 12.5}', TimeRequest(12.5)),
        ('{"type": "time", "sent_ms": 0}', TimeRequest(0)),
        ('{"type": "time", "sent_ms": -9007199254740992}', TimeRequest(-(2**53))),
        ('{"type": "leave"}', Leave()),
        (' \n{"type":\t"leave"}\r\n', Leave()),
        ('{"type": "join", "type": "leave"}', Leave()),
    ],
)
def test_every_message_is_decoded(text: str, message: Message) -> None:
    """Every message of the protocol is decoded, as text and as bytes; unknown keys are ignored."""
    assert decode_message(text, MOODS) == message
    assert decode_message(text.encode(), MOODS) == message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("join", "bad_json"),
        ("{'type': 'leave'}", "bad_json"),
        ('{"type": "leave"} {}', "bad_json"),
        ('{"type": "leave",}', "bad_json"),
        ('\ufeff{"type": "leave"}', "bad_json"),
        ('{"type": "leave", "a": "\n"}', "bad_json"),
        ('{"type": "time", "sent_ms": NaN}', "bad_json"),
        ('{"type": "time", "sent_ms": -Infinity}', "bad_json"),
        ('{"type": "time", "sent_ms": ' + "9" * 5_000 + "}", "bad_json"),
        ("[" * 100_000, "bad_json"),
        ('{"a":' * 100_000, "bad_json"),
        ("[]", "not_an_object"),
        ("null", "not_an_object"),
        ("1", "not_an_object"),
        ('"leave"', "not_an_object"),
        ("{}", "unknown_type"),
        ('{"type": null}', "unknown_type"),
        ('{"type": ["leave"]}', "unknown_type"),
        ('{"type": {}}', "unknown_type"),
        ('{"type": "Leave"}', "unknown_type"),
        ('{"type": "presence"}', "unknown_type"),
        ('{"type": "\\ud800"}', "unknown_type"),
        ('{"type": "join"}', "bad_visitor"),
        ('{"type": "join", "visitor": null}', "bad_visitor"),
        ('{"type": "join", "visitor": 1234567890123456}', "bad_visitor"),
        ('{"type": "join", "visitor": ""}', "bad_visitor"),
        (f'{{"type": "join", "visitor": "{ID[1:]}"}}', "bad_visitor"),
        (f'{{"type": "join", "visitor": "{"a" * 65}"}}', "bad_visitor"),
        (f'{{"type": "join", "visitor": "{ID}\\n"}}', "bad_visitor"),
        (f'{{"type": "join", "visitor": "{ID}\\u0000"}}', "bad_visitor"),
        (f'{{"type": "join", "visitor": "{ID}\\ud800"}}', "bad_visitor"),
        (f'{{"type": "join", "visitor": "{ID}é"}}', "bad_visitor"),
        (f'{{"type": "join", "visitor": "{ID}٣"}}', "bad_visitor"),
        (f'{{"type": "join", "visitor": ["{ID}"]}}', "bad_visitor"),
        (f'{{"type": "join", "visitor": "{ID}", "mood": "fury"}}', "unknown_mood"),
        (f'{{"type": "join", "visitor": "{ID}", "mood": ""}}', "unknown_mood"),
        (f'{{"type": "join", "visitor": "{ID}", "mood": false}}', "unknown_mood"),
        ('{"type": "mood"}', "unknown_mood"),
        ('{"type": "mood", "mood": null}', "unknown_mood"),
        ('{"type": "mood", "mood": 1}', "unknown_mood"),
        ('{"type": "mood", "mood": ["release"]}', "unknown_mood"),
        ('{"type": "mood", "mood": {"release": 1}}', "unknown_mood"),
        ('{"type": "mood", "mood": "Release"}', "unknown_mood"),
        ('{"type": "mood", "mood": "release\\n"}', "unknown_mood"),
        ('{"type": "mood", "mood": "\\udfff"}', "unknown_mood"),
        ('{"type": "time", "sent_ms": "12"}', "bad_sent_ms"),
        ('{"type": "time", "sent_ms": true}', "bad_sent_ms"),
        ('{"type": "time", "sent_ms": []}', "bad_sent_ms"),
        ('{"type": "time", "sent_ms": 9007199254740993}', "bad_sent_ms"),
        ('{"type": "time", "sent_ms": -1e400}', "bad_sent_ms"),
        ('{"type": "time", "sent_ms": ' + "9" * 4_000 + "}", "bad_sent_ms"),
    ],
    ids=lambda text: repr(text[:60]),
)
def test_every_bad_message_is_rejected(text: str, code: str) -> None:
    """A bad message is rejected with a code that names the reason, as text and as bytes."""
    assert rejection(decode_message, text, MOODS).code == code
    assert rejection(decode_message, text.encode(), MOODS).code == code


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b'{"visitor": "\xff"}',
        b'{"visitor": "0123456789abcdef", "more": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"visitor": "0123456789abcdef"}',
        '{"visitor": "0123456789abcdef"}'.encode("utf-16"),
        '{"visitor": "0123456789abcdef"}'.encode("utf-16-le"),
        '{"visitor": "0123456789abcdef"}'.encode("utf-32"),
        '{"visitor": "0123456789abcdef"}'.encode("utf-32-be"),
    ],
)
def test_text_is_utf_8(body: bytes) -> None:
    """Another encoding than UTF-8, a byte order mark or an encoded surrogate is rejected."""
    assert rejection(partial(decode_report, epoch=7), body, MOODS).code == "bad_json"


@pytest.mark.parametrize(
    ("body", "report"),
    [
        ({"visitor": ID}, Report(ID, None, 7)),
        ({"visitor": ID, "mood": None}, Report(ID, None, 7)),
        ({"visitor": ID, "mood": "release", "type": "leave"}, Report(ID, "release", 7)),
        ({"visitor": ID, "mood": UNSPOKEN}, Report(ID, UNSPOKEN, 7)),
        ({"visitor": ID, "epoch": 7}, Report(ID, None, 7)),
        ({"visitor": ID, "epoch": 6}, Report(ID, None, 6)),
    ],
)
def test_a_report_is_decoded(body: dict[str, Any], report: Report) -> None:
    """A report has the visitor, and may have the mood and the epoch in which the visit began: this or the
    last.
    """
    assert decode_report(json.dumps(body).encode(), MOODS, epoch=7) == report


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"[]", "not_an_object"),
        (b"{}", "bad_visitor"),
        (b'{"visitor": "short"}', "bad_visitor"),
        (b'{"visitor": "0123456789abcdef", "mood": "fury"}', "unknown_mood"),
        (b'{"visitor": "0123456789abcdef", "mood": 0}', "unknown_mood"),
        *(
            (b'{"visitor": "0123456789abcdef", "epoch": %b}' % epoch, "bad_epoch")
            for epoch in (b"8", b"5", b"-7", b"7.0", b"true", b"null", b'"7"', b"[]", b"1e400")
        ),
    ],
)
def test_a_bad_report_is_rejected(body: bytes, code: str) -> None:
    """A bad body is rejected with a code that names the reason."""
    assert rejection(partial(decode_report, epoch=7), body, MOODS).code == code


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
likely = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["join", "observe", "mood", "ping", "time", "leave"]) | anything,
        "visitor": st.text("abcXYZ01-_", min_size=14, max_size=66) | anything,
        "mood": st.sampled_from([*MOODS, UNSPOKEN]) | anything,
        "sent_ms": st.integers() | st.floats() | anything,
    },
)


def check_understood(message: Message | Report) -> None:
    """Check that a decoded message has the form that the room relies on."""
    match message:
        case Join(name, mood):
            assert re.fullmatch(r"[A-Za-z0-9_-]{16,64}", name)
            assert mood in {None, *MOODS, UNSPOKEN}
        case Mood(mood):
            assert mood in {*MOODS, UNSPOKEN}
        case Report(_, mood, epoch):
            assert mood in {None, *MOODS, UNSPOKEN}
            assert epoch in {6, 7}
        case TimeRequest(sent_ms):
            assert sent_ms is None or (type(sent_ms) in {int, float} and abs(sent_ms) <= 2**53)


@given(likely | anything)
def test_arbitrary_json_is_decoded_or_rejected(value: Any) -> None:
    """Any JSON is decoded in form or raises ClientError."""
    for text in (json.dumps(value), json.dumps(value).encode()):
        with suppress(ClientError):
            check_understood(decode_message(text, MOODS))
    with suppress(ClientError):
        check_understood(decode_report(json.dumps(value).encode(), MOODS, epoch=7))


@given(st.binary() | st.text().map(str.encode))
@example(b'{"type": "leave"}'.decode().encode("utf-16"))
@example(b"\x00")
@example(b"\x00{\x00}")
@example(b"\xed\xa0\x80")
def test_arbitrary_bytes_are_decoded_or_rejected(value: bytes) -> None:
    """Any bytes are decoded or raise ClientError."""
    with suppress(ClientError):
        check_understood(decode_message(value, MOODS))


@given(st.text())
def test_arbitrary_text_is_decoded_or_rejected(value: str) -> None:
    """Any text, lone surrogates included, is decoded or raises ClientError."""
    with suppress(ClientError):
        check_understood(decode_message(value, MOODS))


@given(st.text("<>&'\"\\\x00\x1b\nabc", min_size=3, max_size=40))
def test_an_error_never_repeats_what_was_sent(marker: str) -> None:
    """An error does not contain what the client sent."""
    marker = f"§{marker}§"
    for value in (
        {"type": marker},
        {"type": "join", "visitor": marker},
        {"type": "join", "visitor": ID, "mood": marker},
        {"type": "mood", "mood": marker},
        {"type": "time", "sent_ms": marker},
        [marker],
    ):
        error = rejection(decode_message, json.dumps(value), MOODS)
        assert "§" not in error.message
        assert "§" not in str(error)
        assert "§".encode() not in error_message(error)
    assert "§" not in rejection(check_room, marker).message


# --- Names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "0", "lobby", "a-b_c", "a" * 64, "7-", "a__"])
def test_a_room_name_is_accepted(name: str) -> None:
    """A room name has 1 to 64 of a-z, 0-9, - and _, and begins with a letter or digit."""
    assert check_room(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", "_a", "A", "lobby ", "lobby\n", "\n", "a" * 65, "a/b", "..", "a\0", "ä", "٣", "%61", "a.b"],
)
def test_a_room_name_is_rejected(name: str) -> None:
    """Any other room name is rejected with bad_room."""
    error = rejection(check_room, name)

    assert (error.code, error.status) == ("bad_room", 400)


def test_the_alias_stands_for_the_default_room() -> None:
    """In a path ``_default`` is the default room, and no room can have that name."""
    assert resolve_room(DEFAULT_ROOM, "evening") == "evening"
    assert resolve_room("lobby", "evening") == "lobby"
    assert rejection(resolve_room, "_other", "evening").code == "bad_room"
    assert rejection(check_room, DEFAULT_ROOM).code == "bad_room"


def test_names_alone_are_checked_too() -> None:
    """The checks of a visitor and of a mood return their argument or raise."""
    assert check_visitor(ID) == ID
    assert check_mood("release", MOODS) == "release"
    assert rejection(check_visitor, ID.encode()).code == "bad_visitor"
    assert rejection(check_mood, "calm", MOODS).code == "unknown_mood"
    assert rejection(check_mood, None, MOODS).message == (
        "mood must be one of gratitude, presence, release, connection or unspoken"
    )


# --- Messages of the server -------------------------------------------------------------------------------

whole = st.integers(0, 2**53)
presences = st.builds(
    Presence,
    room=st.text(max_size=64).filter(lambda text: text.isprintable()),
    count=st.none() | whole,
    low=whole,
    high=st.none() | whole,
    method=st.sampled_from(["counted", "sampled", "stale", "estimated", "unknown"]),
    sample_rate=st.floats(0, 1, exclude_min=True),
    epoch=st.integers(0, 10**6),
    moods=st.dictionaries(st.sampled_from(MOODS), st.none() | whole),
    unspoken=st.none() | whole,
    mood_intervals=st.dictionaries(st.sampled_from(MOODS), st.none() | st.tuples(whole, st.none() | whole)),
    label=st.sampled_from(["unknown", "12", "about 10,000"]),
    as_of_ms=whole,
    stale_after_ms=whole,
    poll_ms=whole,
)


@given(presences)
def test_a_presence_comes_through(presence: Presence) -> None:
    """An encoded presence is decoded unchanged, over HTTP and over a socket."""
    encoded = encode_presence(presence)
    message = json.loads(presence_message(encoded))

    fields = json.loads(json.dumps(asdict(presence)))  # JSON has lists where we have tuples.
    assert decode_object(encoded) == fields
    assert message == {"type": "presence"} | fields
    assert tuple(decode_object(encoded)) == PRESENCE_FIELDS


def a_presence(people: int, *, moods: tuple[str, ...] = MOODS) -> Presence:
    """Return the presence of a room with so many visitors, spread over the moods."""
    room = Room("lobby", RoomConfig(moods=moods), now_ms=1_767_225_600_000)
    names = (*moods, UNSPOKEN)
    for index in range(people):
        room.step(
            PanelReported(visitor(f"{index}"), 0.5, names[index % len(names)]), now_ms=1_767_225_600_000
        )
    return room.presence(now_ms=1_767_225_600_000)


def test_a_presence_is_as_the_protocol_shows_it() -> None:
    """The example of the protocol has the keys of a presence in order, and its moods sum to the count."""
    block = re.findall(r"```json\n(\{\"room\".*?)```", PROTOCOL, re.DOTALL)[0]
    example = json.loads(block)

    assert tuple(example) == PRESENCE_FIELDS
    assert sum(example["moods"].values()) + example["unspoken"] == example["count"] == int(example["label"])


def test_a_message_does_not_grow_with_the_crowd() -> None:
    """The messages for ten visitors and for ten thousand have nearly the same size."""
    few = len(presence_message(encode_presence(a_presence(10))))
    many = len(presence_message(encode_presence(a_presence(10_000))))

    assert few < 430
    assert 0 < many - few < 80  # The digits of 5 moods with their intervals, and of the count with its own.


def test_no_visitor_can_be_recognized_in_a_presence() -> None:
    """A presence holds no key or id of a visitor."""
    text = encode_presence(a_presence(3))

    assert text.find(visitor("0")) == text.find(visitor("0")[:8]) == -1
    assert set(json.loads(text)) == set(PRESENCE_FIELDS)


@given(st.none() | st.integers(-(2**53), 2**53) | st.floats(-(2.0**53), 2.0**53))
def test_a_time_answer_has_the_time_of_its_request(sent_ms: float | None) -> None:
    """The answer to a time request has its sent_ms unchanged."""
    message = decode_message(json.dumps({"type": "time", "sent_ms": sent_ms}), MOODS)
    assert isinstance(message, TimeRequest)

    answer = json.loads(time_message(message.sent_ms, 1_767_225_600_000))

    assert answer == {"type": "time", "sent_ms": sent_ms, "now_ms": 1_767_225_600_000}
    assert type(answer["sent_ms"]) is type(sent_ms)


def test_an_error_has_one_shape() -> None:
    """An error has code, message and status, over HTTP and over a socket."""
    error = ClientError("unknown_mood", "no such mood", status=400, retry_after_s=3)
    body = {"error": {"code": "unknown_mood", "message": "no such mood", "status": 400}}

    assert error_body(error) == body
    assert json.loads(error_message(error)) == {"type": "error"} | body
    assert str(error) == "no such mood"
    assert error.retry_after_s == 3


def test_a_config_says_what_the_protocol_lists() -> None:
    """The config of a room has the keys of the protocol, and the values of the config."""
    section = PROTOCOL.split("### Config")[1].split("\n### ")[0]
    (example,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    rows = [row for row in re.findall(r"^\| `.*", section, re.MULTILINE) if "not yet served" not in row]
    body = config_body("lobby", RoomConfig(), now_ms=5)

    assert [row.split("`")[1] for row in rows] == list(body)
    assert json.loads(example) == json.loads(json.dumps(body)) | {"now_ms": 1_767_225_600_000}
    assert json.loads(json.dumps(body)) == {
        "room": "lobby",
        "moods": list(MOODS),
        "mode": "socket",
        "breath": {"pattern": "4-7-8", "phases": [["inhale", 4_000], ["hold", 7_000], ["exhale", 8_000]]},
        "ping_ms": 20_000,
        "heartbeat_ms": 300_000,
        "poll_ms": 30_000,
        "lease_ms": 60_000,
        "grace_ms": 15_000,
        "presence_url": None,
        "now_ms": 5,
    }
    assert breath_body(PATTERNS["coherent"]) == {
        "pattern": "coherent",
        "phases": (("inhale", 5_500), ("exhale", 5_500)),
    }


# --- Close codes ------------------------------------------------------------------------------------------


def close_table(*, ours: bool = False) -> dict[int, bool]:
    """Read the protocol's table of close codes: whether to reconnect after each that it lists alone (and we
    send).
    """
    section = PROTOCOL.split("### Close codes")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([\d, \u2013]+) \| (.*) \| (.*) \|$", section, re.MULTILINE)
    alone = {
        int(code): not answer.startswith("no")
        for codes, meaning, answer in rows
        if "\u2013" not in codes
        and not (ours and ("never sent by us" in meaning or "not yet served" in meaning))
        for code in codes.split(",")
    }
    assert len(alone) >= 12
    return alone


def test_a_client_comes_back_as_the_protocol_says() -> None:
    """A client reconnects after the codes and ranges for which the table says so, and after no others of
    them.
    """
    for code, back in close_table().items():
        assert may_come_back(code) is back, code
    assert all(map(may_come_back, range(4_000, 4_500)))
    assert not any(map(may_come_back, range(4_500, 5_000)))


def test_after_any_other_code_a_client_comes_back() -> None:
    """A client reconnects after any code that the table does not list."""
    others = set(range(1_000, 4_000)) - set(close_table())

    assert {code for code in others if not may_come_back(code)} == set()


def test_the_table_and_the_code_list_the_same_codes() -> None:
    """The close codes of the server are those of the protocol's table, and each has a reason."""
    assert set(CLOSE_CODES) == set(close_table(ours=True))
    assert all(CLOSE_CODES.values())


def test_a_retry_reason_fits_into_a_close_frame() -> None:
    """The reason with retry_ms has at most 123 bytes."""
    assert retry_reason(3_127) == b'{"retry_ms":3127}'
    assert len(retry_reason(86_400_000)) <= 123
