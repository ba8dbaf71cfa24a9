"""The config of a room, as a client fetches and decodes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.client.errors import ConnectionLostError, RefusedError
from breathing_room.client.http import HttpClient
from breathing_room.client.room_info import RoomInfo, decode_room_info, fetch_room_info
from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import HostError
from breathing_room.core.wire import config_body, encode
from scripted_http import POLLED, HttpScript, answer, error, scripted_http
from scripted_server import CONFIG

BASE = "https://example.org/here"


async def fetch(reply: Any) -> RoomInfo:
    """Fetch the config from a server that answers so."""
    http = HttpClient(5.0)
    async with scripted_http(HttpScript({"config": reply})) as url:
        try:
            return await fetch_room_info(http, url, "lobby")
        finally:
            http.close()


def test_the_config_of_our_server_is_decoded() -> None:
    """
    The mode, the moods and both intervals are the room's, and the presence is read at the server itself.
    """
    config = RoomConfig(mode="poll", moods=("calm",), heartbeat_ms=1_000)
    body = json.loads(encode(config_body("lobby", config, now_ms=0)))
    assert decode_room_info(body, BASE, "lobby") == RoomInfo(
        BASE, "lobby", "poll", ("calm",), 20_000, 1_000, "https://example.org/here/v1/rooms/lobby"
    )


def test_a_config_names_the_room_that_a_client_left_to_the_server() -> None:
    """
    Without a name of the client's own it is that of the config; a config without a valid name is malformed.
    """
    assert decode_room_info(CONFIG | {"room": "evening"}, BASE, None).room == "evening"
    assert decode_room_info(CONFIG | {"room": "evening"}, BASE, "lobby").room == "lobby"
    for room in (None, 3, "", "_default", "No Room"):
        with pytest.raises(ValueError, match="name"):
            decode_room_info(CONFIG | {"room": room}, BASE, None)


def test_a_config_without_a_mode_means_sockets() -> None:
    """As it was before there was another mode."""
    config = {name: value for name, value in CONFIG.items() if name != "mode"}
    assert decode_room_info(config, BASE, "lobby").mode == "socket"


@pytest.mark.parametrize(
    ("presence_url", "found"),
    [
        ("https://cdn.example/lobby.json", "https://cdn.example/lobby.json"),
        ("/static/lobby.json", "https://example.org/static/lobby.json"),
    ],
)
def test_a_presence_may_be_read_elsewhere(presence_url: str, found: str) -> None:
    """At a URL of its own, or at another path of the server."""
    assert decode_room_info(POLLED | {"presence_url": presence_url}, BASE, "lobby").presence_url == found


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "telepathy"},
        {"mode": None},
        {"moods": []},
        {"moods": ["\n"]},
        {"moods": "release"},
        {"heartbeat_ms": 0},
        {"ping_ms": 0},
        {"ping_ms": None},
        {"heartbeat_ms": "soon"},
        {"presence_url": 7},
        {"presence_url": "file:///etc/passwd"},
        {"presence_url": "http://"},
    ],
)
def test_a_malformed_config_is_rejected(change: dict[str, Any]) -> None:
    """Field by field."""
    with pytest.raises((ValueError, HostError)):
        decode_room_info(POLLED | change, BASE, "lobby")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(POLLED)), inner),
    max_leaves=9,
)


@given(json_values)
def test_any_json_is_decoded_or_rejected(config: Any) -> None:
    """With no other error than the two that are promised."""
    try:
        info = decode_room_info(config, BASE, "lobby")
    except (ValueError, HostError):
        return
    assert info.mode in {"socket", "poll"}


async def test_a_proxys_own_page_is_no_room() -> None:
    """
    A login page, HTML or JSON, is tried again later; an error of the server that there is no such room is
    final.
    """
    for reply in (answer(b"<html>log in</html>"), answer([1]), answer(b"[" * 10_000)):
        with pytest.raises(ConnectionLostError, match="no room there"):
            await fetch(reply)
    with pytest.raises(ConnectionLostError) as lost:
        await fetch(answer(b"<html>", status=503, Retry_After="3"))
    assert lost.value.retry_ms == 3_000
    with pytest.raises(RefusedError) as refused:
        await fetch(error("no_such_room", 404))
    assert refused.value.code == "no_such_room"


async def test_a_redirect_is_followed() -> None:
    """The URL that it leads to is the one for all later requests."""
    async with scripted_http(HttpScript({"config": answer(POLLED)})) as new:
        moved = answer(b"", status=301, Location=f"{new}/below/v1/rooms/lobby/config")
        assert (await fetch(moved)).base == f"{new}/below"


@pytest.mark.parametrize(
    "location", ["", "/elsewhere", "/v1/rooms/lobby/config", "http://127.0.0.1:1/v1/rooms/tea/config"]
)
async def test_a_redirect_that_leads_to_no_config_is_a_lost_connection(location: str) -> None:
    """To another page, to itself for ever, or to another room."""
    with pytest.raises(ConnectionLostError, match="redirect"):
        await fetch(answer(b"", status=302, Location=location))
