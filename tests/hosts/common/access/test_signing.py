"""Ids that count only if a holder of the key has issued them."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

import breathing_room
from breathing_room.cli import main
from breathing_room.core.errors import ClientError, ConfigError
from breathing_room.core.events import PanelReported
from breathing_room.core.tickets import ticket
from breathing_room.core.wire import VISITOR_ID
from breathing_room.hosts.common.access.signing import CLOCKS_DIFFER_S, check_signed, sign_visitor
from breathing_room.hosts.server.routes import create_app
from breathing_room.testing.peer import WireSocket
from harness import Serve
from inside import NOON_MS, HandClock, client_of, host_inside, listening

NODE = shutil.which("node") or str(Path(sys.executable).with_name("node"))
HOWTO = Path(__file__).resolve().parents[4] / "docs" / "howto" / "sign.md"
KEY = "0123456789abcdef0123456789abcdef"
NOON_S = NOON_MS // 1_000
DAY_S = 86_400


def signed(room: str = "lobby", *, key: str = KEY, age_s: int = 0) -> str:
    """Issue an id at noon, or so long before."""
    return sign_visitor(key, room, now_s=NOON_S - age_s)


def refusal(visitor: str, room: str = "lobby", *, max_age_s: int | None = DAY_S) -> ClientError | None:
    """Check an id at noon; return the error if it is not taken."""
    try:
        check_signed(KEY, room, visitor, now_s=NOON_S, max_age_s=max_age_s)
    except ClientError as error:
        return error
    return None


def is_taken(visitor: str, room: str = "lobby", *, max_age_s: int | None = DAY_S) -> bool:
    """Return whether an id is accepted at noon; if not, the error must
    be the right one, and not repeat it.
    """
    error = refusal(visitor, room, max_age_s=max_age_s)
    if error is None:
        return True
    assert (error.code, error.status, error.retry_after_s) == ("unsigned_visitor", 403, None)
    assert not visitor or visitor not in error.message
    return False


# --- The id -----------------------------------------------------------------------------------------------


def test_signed_id_is_an_id() -> None:
    """
    It has the form of any visitor id, is another each time, and is taken in its room until it is too old.
    """
    ids = [signed() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(VISITOR_ID.fullmatch(visitor) and is_taken(visitor) for visitor in ids)
    assert breathing_room.sign_visitor is sign_visitor


def test_signed_id_holds_for_one_room_and_one_key() -> None:
    """In another room, or signed with another key, it is worth nothing."""
    assert not is_taken(signed("garden"))
    assert is_taken(signed("garden"), "garden")
    assert not is_taken(signed(key=KEY[::-1]))


def test_no_character_can_be_changed() -> None:
    """An id with a character that is changed, added or removed is not valid: one signature fits one id."""
    visitor = signed()
    for index, character in enumerate(visitor):
        for other in "AQgwB_-9":
            if other != character:
                assert not is_taken(visitor[:index] + other + visitor[index + 1 :])
    for other in (visitor + "A", visitor[:-1], visitor[1:], "", "visitor-0123456789", "A" * 50, "-" * 64):
        assert not is_taken(other)


@pytest.mark.parametrize(
    ("age_s", "taken"),
    [(0, True), (DAY_S, True), (DAY_S + 1, False), (-CLOCKS_DIFFER_S, True), (-CLOCKS_DIFFER_S - 1, False)],
)
def test_signed_id_ages(age_s: int, taken: bool) -> None:  # noqa: FBT001 - a column of the table above
    """
    It is accepted as long as the setting says, and a minute early: clocks differ. A visitor may leave at any
    time.
    """
    visitor = signed(age_s=age_s)
    assert is_taken(visitor) is taken
    assert is_taken(visitor, max_age_s=None)


def test_a_signed_id_does_not_choose_its_ticket() -> None:
    """The tickets of signed ids are spread evenly: of 1,000 about a tenth lies in each tenth."""
    tenths = Counter(int(10 * ticket(signed(), room="lobby", epoch=1)) for _ in range(1_000))
    assert all(50 <= tenths[tenth] <= 150 for tenth in range(10))  # five standard deviations


def test_key_that_could_be_guessed_is_refused() -> None:
    """A short key is refused where ids are issued as where they are checked, and not repeated."""
    with pytest.raises(ConfigError, match="at least 32") as refused:
        sign_visitor("hunter2", "lobby")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ClientError, match="room"):
        sign_visitor(KEY, "The Lobby")


# --- A server that wants them -----------------------------------------------------------------------------


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Read a refusal."""
    return answer.status_code, answer.json()["error"]["code"]


async def test_reports_and_leaves_must_be_signed() -> None:
    """
    A heartbeat or a leave without a valid signature is 403 and changes nothing; with one it counts, and one
    id is one person.
    """
    clock = HandClock()
    async with host_inside(clock=clock, signing_key=KEY) as host, client_of(host) as client:
        room = "/v1/rooms/lobby"
        visitor = signed()
        too_old = signed(age_s=DAY_S + 1)
        for path, wrong in (
            *product(("heartbeat", "leave"), ("visitor-0123456789", signed("garden"), visitor[:-1])),
            ("heartbeat", too_old),
        ):
            answer = await client.post(f"{room}/{path}", json={"visitor": wrong})
            assert code_of(answer) == (403, "unsigned_visitor")
            assert wrong not in answer.text
        assert host.presence("lobby").count == 0
        for _ in range(3):
            answer = await client.post(f"{room}/heartbeat", json={"visitor": visitor, "mood": "release"})
            assert (answer.status_code, answer.json()["count"]) == (200, 1)
        host.rooms["lobby"].feed(PanelReported(host.rooms["lobby"].visitor_key(too_old), 0.5))
        assert (await client.post(f"{room}/leave", json={"visitor": too_old})).status_code == 204
        assert host.presence("lobby").count == 1


async def test_unsigned_report_opens_no_room() -> None:
    """A client without a signed id opens no room with it."""
    async with host_inside(signing_key=KEY) as host, client_of(host) as client:
        await client.post("/v1/rooms/garden/heartbeat", json={"visitor": "visitor-0123456789"})
        assert host.rooms.keys() == {"lobby"}


async def test_legacy_clients_are_rejected_where_ids_are_signed() -> None:
    """
    Their heartbeat is 403 for any id, since one signed id could send any number of legacy reports; their
    reads go on.
    """
    async with host_inside(signing_key=KEY) as host, client_of(host) as client:
        for session_id in ("s1", signed()):
            answer = await client.post("/api/heartbeat", json={"sessionId": session_id})
            assert code_of(answer) == (403, "unsigned_visitor")
        assert (await client.get("/api/presence")).status_code == 200
        assert host.presence("lobby").count == 0


async def test_sockets_must_be_signed(serve: Serve) -> None:
    """
    A join over a socket, and a socket of the planning document's kind, are refused without a signature and
    counted with one; who only watches needs none.
    """
    server = serve("--push-ms", "20", env={"BREATHING_ROOM_SIGNING_KEY": KEY})
    watcher = await WireSocket.open(server.url, "/v1/rooms/lobby/socket")
    watcher.send_message("observe")
    assert (await watcher.receive("presence"))["count"] == 0
    person = await WireSocket.open(server.url, "/v1/rooms/lobby/socket")
    for wrong in ("visitor-0123456789", sign_visitor(KEY, "garden")):
        person.send_message("join", visitor=wrong)
        error = (await person.receive("error"))["error"]
        assert (error["code"], error["status"]) == ("unsigned_visitor", 403)
    person.send_message("join", visitor=sign_visitor(KEY, "lobby"))
    await watcher.receive("presence", lambda presence: bool(presence["count"] == 1))
    stranger = await WireSocket.open(server.url, "/api/room?sessionId=s1")
    assert (await stranger.receive("error"))["error"]["code"] == "unsigned_visitor"
    other = await WireSocket.open(server.url, f"/api/room?sessionId={sign_visitor(KEY, 'lobby')}")
    await watcher.receive("presence", lambda presence: bool(presence["count"] == 2))
    for socket in (watcher, person, stranger, other):
        socket.cut()


async def test_mounted_sockets_must_be_signed() -> None:
    """In a room mounted in another application a join is held to the same."""
    async with host_inside(signing_key=KEY) as host, listening(create_app(host)) as url:
        person = await WireSocket.open(url, "/v1/rooms/lobby/socket")
        person.send_message("join", visitor="visitor-0123456789")
        assert (await person.receive("error"))["error"]["code"] == "unsigned_visitor"
        person.send_message("join", visitor=sign_visitor(KEY, "lobby"))
        assert (await person.receive("presence"))["count"] == 1
        person.cut()


NO_ID: dict[str, object] = {
    "nothing": None,
    "number": 7,
    "empty": "",
    "list": [signed()],
    "object": {"id": signed()},
    "newline": signed() + "\n",
    "dot": f"{signed()}.{signed()}",
    "accents": "é" * 50,
}


@pytest.mark.parametrize("visitor", NO_ID.values(), ids=NO_ID)
async def test_what_is_no_id_is_no_signed_id_either(visitor: object) -> None:
    """What does not have the form of an id is ``bad_visitor``, as in any room."""
    async with host_inside(signing_key=KEY) as host, client_of(host) as client:
        for path in ("heartbeat", "leave"):
            answer = await client.post(f"/v1/rooms/lobby/{path}", json={"visitor": visitor})
            assert code_of(answer) == (400, "bad_visitor")
        assert host.presence("lobby").count == 0


async def test_server_without_a_key_takes_any_id() -> None:
    """Where there is no key, ids stay as they are, signed ones among them."""
    async with host_inside() as host, client_of(host) as client:
        for visitor in ("visitor-0123456789", signed()):
            assert (
                await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": visitor})
            ).status_code == 200
        assert host.presence("lobby").count == 2


# --- The command, and the page about it -------------------------------------------------------------------


def run(*arguments: str, env: dict[str, str] | None = None) -> Any:
    """Run `breathing-room sign`."""
    return CliRunner().invoke(main, ["sign", *arguments], env=env)


@pytest.mark.slow
def test_command_prints_one_id(tmp_path: Path) -> None:
    """
    `breathing-room sign ROOM` prints an id that counts in that room, with the key of the environment or of
    the file.
    """
    path = tmp_path / "room.toml"
    path.write_text(f'signing_key = "{KEY}"', encoding="utf-8")
    for done in (
        run("lobby", env={"BREATHING_ROOM_SIGNING_KEY": KEY}),
        run("lobby", "--config", str(path)),
    ):
        assert done.exit_code == 0
        check_signed(KEY, "lobby", done.stdout.rstrip("\n"), now_s=2**31, max_age_s=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["lobby"], {}, "no signing_key"),
        (["lobby"], {"BREATHING_ROOM_SIGNING_KEY": "hunter2"}, "at least 32"),
        (["The Lobby"], {"BREATHING_ROOM_SIGNING_KEY": KEY}, "a room's name"),
        ([], {"BREATHING_ROOM_SIGNING_KEY": KEY}, "ROOM"),
    ],
)
def test_command_says_what_is_wrong(arguments: list[str], env: dict[str, str], said: str) -> None:
    """
    Without a key, with a bad one, or without a room it ends with status 2 and one sentence, and repeats no
    key.
    """
    done = run(*arguments, env=env)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "hunter2" not in done.stderr
    assert KEY not in done.stderr


def example(language: str) -> str:
    """Take the example of a language out of the how-to."""
    found = re.search(rf"```{language}\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.mark.slow
async def test_examples_of_the_how_to_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python and the JavaScript of the how-to issue ids that a server takes, another one each time."""
    monkeypatch.setenv("BREATHING_ROOM_SIGNING_KEY", KEY)
    names: dict[str, Any] = {}
    exec(example("python"), names)
    answer = json.loads((await names["visitor"](None)).body)
    script = example("js") + "\nconsole.log(signVisitor('lobby'), signVisitor('lobby'));"
    node = await asyncio.to_thread(
        subprocess.run, [NODE, "-e", script], capture_output=True, text=True, check=True
    )
    ids = [answer["visitor"], *node.stdout.split()]
    assert len(set(ids)) == 3
    for visitor in ids:
        check_signed(KEY, "lobby", visitor, now_s=2**31, max_age_s=None)
