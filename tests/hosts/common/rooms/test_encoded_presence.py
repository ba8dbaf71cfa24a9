"""One presence, encoded at most once in each form in which it is sent."""

import json
from dataclasses import replace

from breathing_room.core.config import RoomConfig
from breathing_room.core.room import Room
from breathing_room.core.wire import encode_presence
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, EncodedPresence

PRESENCE = Room("lobby", RoomConfig(), now_ms=0).presence(now_ms=0)


def framed(text: bytes) -> bytes:
    """Stands for what a host's sockets put around a text."""
    return b"\x81" + text


def test_a_form_is_encoded_once_however_many_ask() -> None:
    """Text, string, frame and body come from one encoding, and each is made once: a thousand sockets get the
    same object.
    """
    calls: list[EncodedPresence] = []

    def presence(encoded: EncodedPresence) -> bytes:
        calls.append(encoded)
        return b"{}"

    encoded, codec = EncodedPresence(PRESENCE), replace(PROTOCOL, presence=presence)
    for _ in range(3):
        assert encoded.text(codec) is encoded.text(codec)
        assert encoded.form(codec, bytes.decode) is encoded.form(codec, bytes.decode)
        assert encoded.form(codec, framed) is encoded.form(codec, framed)
        assert encoded.body is encoded.body
    assert calls == [encoded]


def test_all_forms_say_the_same() -> None:
    """The frame holds the text, the string is the text, and the message is the body with its type."""
    encoded = EncodedPresence(PRESENCE)
    text = encoded.text(PROTOCOL)
    assert encoded.form(PROTOCOL, bytes.decode).encode() == text
    assert encoded.form(PROTOCOL, framed) == framed(text)
    assert encoded.body == encode_presence(PRESENCE)
    assert json.loads(text) == {"type": "presence"} | json.loads(encoded.body)


def test_each_codec_has_its_own_text() -> None:
    """Connections of document clients and of ours share the encoded presence, and get different messages."""
    encoded = EncodedPresence(PRESENCE)
    assert encoded.text(document_api.DOCUMENT_CODEC) != encoded.text(PROTOCOL)
    assert encoded.form(document_api.DOCUMENT_CODEC, framed) == framed(
        encoded.text(document_api.DOCUMENT_CODEC)
    )
