"""What only the room itself can answer over HTTP."""

import json
from typing import Any

import pytest

from breathing_room.core.errors import PeerError
from breathing_room.hosts.worker.host import RoomHost
from breathing_room.hosts.worker.request import Request
from breathing_room.hosts.worker.room_http import RoomRoutes
from room_adapter import Objects

TOKEN = "a-token-of-32-characters-or-more-0"
VISITOR = "visitor-0123456789"
TIMES = {"push_ms": 1_000, "lease_ms": 60_000, "grace_ms": 15_000}


async def a_room(*, server: dict[str, Any] | None = None, **settings: Any) -> RoomHost:
    objects = Objects(sockets_per_object=50, **TIMES, **settings)
    for name, value in (server or {}).items():
        object.__setattr__(objects.worker.server, name, value)
    return await objects.awake(0)


def asking(body: Any = None, **headers: str) -> Request:
    async def read(_bytes_max: int) -> bytes:
        return json.dumps(body).encode()

    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "/", {}, found.get, read)


async def ask(room: RoomHost, asked: str, body: Any = None, **headers: str) -> Any:
    answer = await RoomRoutes(room).answer(asked, asking(body, **headers))
    return json.loads(answer.body) if answer.body else answer.status


async def test_a_visit_from_report_to_leave() -> None:
    """A report counts its visitor with its mood, a second one is the same visitor, and a leave ends the visit at once."""
    room = await a_room()
    assert (await ask(room, "/beat", {"visitor": VISITOR, "mood": "release"}))["moods"]["release"] == 1
    assert (await ask(room, "/beat", {"visitor": VISITOR}))["count"] == 1
    assert (await ask(room, ""))["count"] == 1
    assert await ask(room, "/leave", {"visitor": VISITOR}) == 204
    assert (await ask(room, ""))["count"] == 0
    assert room.host.counters.reports == 2


async def test_reports_over_the_budget_are_refused_and_counted() -> None:
    """When the room has taken as many reports as it may, the next is refused with a time to try again, and changes nothing; a leave is taken."""
    room = await a_room()
    await ask(room, "/beat", {"visitor": VISITOR})
    for _ in range(room.budget.burst - 1):
        room.budget.spend(room.host.clock.now_ms())
    with pytest.raises(PeerError) as error:
        await ask(room, "/beat", {"visitor": f"{VISITOR}-2"})
    assert error.value.code == "over_budget"
    assert error.value.retry_after_s is not None
    assert (room.host.counters.reports_shed, (await ask(room, ""))["count"]) == (1, 1)
    assert await ask(room, "/leave", {"visitor": VISITOR}) == 204


async def test_a_prefix_counts_for_its_share_only() -> None:
    """Reports from one address prefix beyond its cap hold seats that do not count; the address itself is nowhere in the room."""
    room = await a_room(prefix_seats_max=2)
    for number in range(5):
        await ask(room, "/beat", {"visitor": f"{VISITOR}-{number}"}, cf_connecting_ip="203.0.113.7")
    await ask(room, "/beat", {"visitor": VISITOR}, cf_connecting_ip="198.51.100.7")
    assert (await ask(room, ""))["count"] == 3
    assert b"203.0.113" not in repr(room.room.snapshot()).encode()


async def test_clients_of_the_document_are_counted_but_not_where_ids_are_signed() -> None:
    """A heartbeat of the document's app is answered in its own shape; where visitors must be signed it is refused."""
    heartbeat = {"sessionId": "session-0123456789", "mood": "release"}
    room = await a_room()
    await ask(room, "/api/heartbeat", heartbeat)
    assert room.host.counters.reports == 1
    signed = await a_room(server={"signing_key": "k" * 32})
    with pytest.raises(PeerError) as error:
        await ask(signed, "/api/heartbeat", heartbeat)
    assert (error.value.code, error.value.status) == ("unsigned_visitor", 403)
    with pytest.raises(PeerError) as error:
        await ask(signed, "/beat", {"visitor": VISITOR})
    assert error.value.code == "unsigned_visitor"


@pytest.mark.parametrize(
    ("token", "shown", "code"),
    [
        ("", f"Bearer {TOKEN}", "not_found"),
        (TOKEN, None, "token_needed"),
        (TOKEN, f"Basic {TOKEN}", "token_needed"),
        (TOKEN, f"Bearer {TOKEN}x", "wrong_token"),
    ],
)
async def test_how_far_a_move_is_is_the_operators_to_see(token: str, shown: str | None, code: str) -> None:
    """Without a token in the config the path is not there; otherwise it takes that token, as a bearer's."""
    room = await a_room(server={"admin_token": token})
    headers = {} if shown is None else {"authorization": shown}
    with pytest.raises(PeerError) as error:
        await ask(room, "/migration", **headers)
    assert error.value.code == code


async def test_the_operator_sees_whether_the_room_still_follows() -> None:
    """With the token, in any case of the scheme, the progress is there."""
    room = await a_room(server={"admin_token": TOKEN})
    assert await ask(room, "/migration", authorization=f"bearer {TOKEN}") == {
        "following": False,
        "seats": 0,
        "elsewhere": 0,
    }


async def test_the_averages_are_those_of_the_room() -> None:
    """The history is of this room by name, before anything was averaged too."""
    assert (await ask(await a_room(), "/history"))["room"] == "lobby"
