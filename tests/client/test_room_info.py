"""How a room works, as a client reads it."""

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


async def ask(reply: Any) -> RoomInfo:
    """Ask a server that answers so."""
    line = HttpClient(5.0)
    async with scripted_http(HttpScript({"config": reply})) as url:
        try:
            return await fetch_room_info(line, url, "lobby")
        finally:
            line.close()


def test_what_our_server_says_is_understood() -> None:
    """
    The mode, the moods and the beat are the room's, and the presence is where the server itself answers.
    """
    config = RoomConfig(mode="poll", moods=("calm",), heartbeat_ms=1_000)
    said = json.loads(encode(config_body("lobby", config, now_ms=0)))
    assert decode_room_info(said, BASE, "lobby") == RoomInfo(
        BASE, "lobby", "poll", ("calm",), 20_000, 1_000, "https://example.org/here/v1/rooms/lobby"
    )


def test_a_config_names_the_room_that_a_client_left_to_the_server() -> None:
    """
    Without a name of the client's own it is that of the config; where that is none, the config makes no sense.
    """
    assert decode_room_info(CONFIG | {"room": "evening"}, BASE, None).room == "evening"
    assert decode_room_info(CONFIG | {"room": "evening"}, BASE, "lobby").room == "lobby"
    for room in (None, 3, "", "_default", "No Room"):
        with pytest.raises(ValueError, match="name"):
            decode_room_info(CONFIG | {"room": room}, BASE, None)


def test_a_room_that_names_no_mode_has_sockets() -> None:
    """
    As before there was another.
    """
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
    """
    At an address of its own, or at another path of the server.
    """
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
def test_a_config_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    """
    Field by field.
    """
    with pytest.raises((ValueError, HostError)):
        decode_room_info(POLLED | change, BASE, "lobby")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(POLLED)), inner),
    max_leaves=9,
)


@given(json_values)
def test_whatever_comes_is_read_or_refused(config: Any) -> None:
    """
    Never with another error than those that are promised.
    """
    try:
        rules = decode_room_info(config, BASE, "lobby")
    except (ValueError, HostError):
        return
    assert rules.mode in {"socket", "poll"}


async def test_a_proxys_own_page_is_no_room() -> None:
    """
    A login page, HTML or JSON, is worth another try; whoever says that there is no such room is believed.
    """
    for reply in (answer(b"<html>log in</html>"), answer([1]), answer(b"[" * 10_000)):
        with pytest.raises(ConnectionLostError, match="no room there"):
            await ask(reply)
    with pytest.raises(ConnectionLostError) as lost:
        await ask(answer(b"<html>", status=503, Retry_After="3"))
    assert lost.value.retry_ms == 3_000
    with pytest.raises(RefusedError) as refused:
        await ask(error("no_such_room", 404))
    assert refused.value.code == "no_such_room"


async def test_a_server_that_moved_is_followed() -> None:
    """
    Its new address is the one for all that comes after.
    """
    async with scripted_http(HttpScript({"config": answer(POLLED)})) as new:
        moved = answer(b"", status=301, Location=f"{new}/below/v1/rooms/lobby/config")
        assert (await ask(moved)).base == f"{new}/below"


@pytest.mark.parametrize(
    "location", ["", "/elsewhere", "/v1/rooms/lobby/config", "http://127.0.0.1:1/v1/rooms/tea/config"]
)
async def test_a_redirection_that_leads_nowhere_is_a_loss(location: str) -> None:
    """
    To another page, to itself for ever, or to another room.
    """
    with pytest.raises(ConnectionLostError, match="moved"):
        await ask(answer(b"", status=302, Location=location))
