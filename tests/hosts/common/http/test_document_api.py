"""The paths of the app that the planning document was written for."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from breathing_room.core.config import MOODS, UNSPOKEN, RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.core.wire import Join, Mood, Ping
from breathing_room.hosts.common.http.document_api import (
    DOCUMENT_CODEC,
    SESSION_ID_CHARACTERS_MAX,
    decode_heartbeat,
    presence_body,
    read_mood,
    read_session_id,
)
from breathing_room.hosts.common.rooms.encoded_presence import EncodedPresence
from breathing_room.testing.peer import HandshakeRefusedError, WireSocket
from harness import Serve, ServerProcess
from inside import NOON_MS, HandClock, client_of, host_inside


def a_presence(**changed: Any) -> Presence:
    """Make an empty presence, changed."""
    presence = Room("lobby", RoomConfig(), now_ms=NOON_MS).presence(now_ms=NOON_MS)
    return Presence(**{name: getattr(presence, name) for name in presence.__slots__} | changed)


def test_presence_has_that_apps_shape() -> None:
    """
    Its presence has the five keys of that app, an empty list of users, no countries, and the time in
    milliseconds.
    """
    moods = dict(zip(MOODS, (1, 2, 3, 4), strict=True))
    assert presence_body(a_presence(count=12, low=12, high=12, moods=moods, unspoken=2)) == {
        "count": 12,
        "moods": moods,
        "users": [],
        "countryCounts": {},
        "timestamp": NOON_MS,
    }


@pytest.mark.parametrize(("low", "said"), [(0, 1), (1, 1), (7, 7)])
def test_unknown_count_is_never_zero(low: int, said: int) -> None:
    """
    That app has no unknown count: it is sent the visitors who are known, and at least the client that asks.
    """
    assert presence_body(a_presence(count=None, low=low, high=None, method="unknown"))["count"] == said


def test_unknown_mood_is_presence() -> None:
    """
    A mood that the room does not declare is read as presence, as that app did; where that is none either, as
    unspoken.
    """
    assert read_mood("release", MOODS) == "release"
    for other in ("joy", "Release", "", None, 7, ["release"], UNSPOKEN):
        assert read_mood(other, MOODS) == "presence"
        assert read_mood(other, ("calm", "curious")) == UNSPOKEN


@pytest.mark.parametrize("session_id", ["a", "x" * SESSION_ID_CHARACTERS_MAX, "user 7/é-🧘", "0f8b:{}"])
def test_session_id_has_any_form(session_id: str) -> None:
    """That app's ids are printable text of up to 128 characters."""
    assert read_session_id(session_id) == session_id


@pytest.mark.parametrize(
    "session_id", ["", "x" * (SESSION_ID_CHARACTERS_MAX + 1), "a\nb", "\ud800", None, 7, ["a"]]
)
def test_bad_session_id_is_refused(session_id: object) -> None:
    """Anything else is refused, and not repeated."""
    with pytest.raises(ClientError, match="sessionId must be") as refused:
        read_session_id(session_id)
    assert refused.value.code == "bad_visitor"


def test_heartbeat_is_read() -> None:
    """A heartbeat is a visitor with a mood; other keys are ignored."""
    body = b'{"sessionId": "s1", "mood": "joy", "country": "NL", "timestamp": 1}'
    assert decode_heartbeat(body, MOODS) == Join("s1", "presence")
    assert decode_heartbeat(b'{"sessionId": "s1"}', MOODS) == Join("s1", "presence")


def test_the_document_codec_decodes_two_messages() -> None:
    """Its sockets say mood and ping, and nothing else."""
    assert DOCUMENT_CODEC.decode(b'{"type": "mood", "mood": "release"}', MOODS) == Mood("release")
    assert DOCUMENT_CODEC.decode(b'{"type": "mood", "mood": "joy"}', MOODS) == Mood("presence")
    assert DOCUMENT_CODEC.decode(b'{"type": "ping", "at": 7}', MOODS) == Ping()
    for other in (b'{"type": "join", "visitor": "visitor-0123456789"}', b'{"type": "leave"}', b"{}"):
        with pytest.raises(ClientError) as refused:
            DOCUMENT_CODEC.decode(other, MOODS)
        assert refused.value.code == "unknown_type"


def test_the_document_codec_encodes_that_apps_messages() -> None:
    """Its sockets hear presence in that app's words, and errors in the one shape."""
    presence = a_presence(count=3, low=3, high=3, unspoken=3)
    said = json.loads(DOCUMENT_CODEC.presence(EncodedPresence(presence)))
    assert said == {"type": "presence", **presence_body(presence)}
    assert json.loads(DOCUMENT_CODEC.error(ClientError("code", "words")))["error"]["code"] == "code"


# --- Over HTTP and sockets --------------------------------------------------------------------------------


async def test_it_serves_the_default_room() -> None:
    """
    A visitor of these paths is in the room that the config names, together with the visitors of the v1 paths.
    """
    async with host_inside(default_room="hall") as host, client_of(host) as client:
        await client.post(
            "/v1/rooms/hall/heartbeat", json={"visitor": "visitor-0123456789", "mood": "release"}
        )
        answer = await client.post("/api/heartbeat", json={"sessionId": "s1", "mood": "joy"})
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["count"] == 2
        assert {mood: people for mood, people in answer.json()["moods"].items() if people} == {
            "release": 1,
            "presence": 1,
        }
        presence = await client.get("/api/presence")
        assert presence.headers["cache-control"].startswith("public, max-age=")
        assert presence.json()["count"] == (await client.get("/v1/rooms/hall")).json()["count"] == 2


async def test_visitor_is_the_same_by_both_ways() -> None:
    """One id that comes by both ways is one person."""
    async with host_inside() as host, client_of(host) as client:
        await client.post("/api/heartbeat", json={"sessionId": "visitor-0123456789", "mood": "release"})
        await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": "visitor-0123456789"})
        assert (await client.get("/api/presence")).json()["count"] == 1


async def test_presence_is_revalidated() -> None:
    """
    Who has the latest is answered 304 here as well: the time in the body alone does not make it another.
    """
    clock = HandClock()
    async with host_inside(clock=clock) as host, client_of(host) as client:
        first = await client.get("/api/presence")
        clock.ms += 1_000
        again = await client.get("/api/presence", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        await client.post("/api/heartbeat", json={"sessionId": "s1"})
        changed = await client.get("/api/presence", headers={"If-None-Match": first.headers["etag"]})
        assert changed.json()["count"] == 1


async def test_config_is_cached() -> None:
    """That app's config never changes: caches may keep it, and revalidate it for nothing."""
    async with host_inside() as host, client_of(host) as client:
        first = await client.get("/api/config")
        assert "max-age=300" in first.headers["cache-control"]
        again = await client.get("/api/config", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304


async def open_room(url: str, session_id: str, mood: str = "release") -> WireSocket:
    """Open a socket as that app does; the first presence has been read."""
    socket = await WireSocket.open(url, f"/api/room?sessionId={quote(session_id, safe='')}&mood={mood}")
    await socket.receive("presence")
    return socket


async def test_a_room_serves_document_clients(serve: Serve) -> None:
    """
    A socket of that app joins with its query, is sent every change, changes its mood, and gets errors for
    what it cannot say; one id with odd characters in two tabs is one person.
    """
    server = serve("--push-ms", "20", "--grace-ms", "100")
    ann = await open_room(server.url, "ann 1/é&=+", "joy")
    tab = await open_room(server.url, "ann 1/é&=+", "release")
    bob = await open_room(server.url, "bob")
    said = await ann.receive("presence", lambda message: bool(message["count"] == 2))
    assert said.keys() == {"type", "count", "moods", "users", "countryCounts", "timestamp"}
    await bob.receive("presence", lambda message: bool(message["moods"]["release"] == 2))
    bob.send_message("mood", mood="joy")
    await ann.receive("presence", lambda message: bool(message["moods"]["presence"] == 1))
    bob.send_message("join", visitor="visitor-0123456789")
    assert (await bob.receive("error"))["error"]["code"] == "unknown_type"
    bob.send_message("ping")
    assert await bob.receive("pong") == {"type": "pong"}
    bob.cut()
    await ann.receive("presence", lambda message: bool(message["count"] == 1))
    for socket in (ann, tab):
        socket.close_normally(1000)
        await socket.ended()


async def test_room_needs_a_session_id(server: ServerProcess) -> None:
    """A handshake without an id that can be read is refused with an error of the one shape."""
    for query in ("", "?mood=release", "?sessionId=", "?sessionId=a%0Ab", f"?sessionId={'x' * 129}"):
        with pytest.raises(HandshakeRefusedError) as refused:
            await WireSocket.open(server.url, f"/api/room{query}")
        answer = refused.value.answer
        assert answer.status == 400
        assert answer.json()["error"]["code"] == "bad_visitor"


async def test_too_many_sockets_of_a_session_are_closed(serve: Serve) -> None:
    """
    One id with more sockets than a visitor may hold gets an error and a close; the earlier sockets stay.
    """
    server = serve("--connections-per-visitor-max", "2")
    first = [await open_room(server.url, "ann") for _ in range(2)]
    third = await WireSocket.open(server.url, "/api/room?sessionId=ann")
    assert (await third.receive("error"))["error"]["code"] == "too_many_sockets"
    assert (await third.ended()).code == 4501
    await asyncio.sleep(0)
    assert all(socket.is_open for socket in first)
    for socket in first:
        socket.cut()
