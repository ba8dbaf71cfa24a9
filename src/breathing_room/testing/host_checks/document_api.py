"""Checks of the paths under ``/api``, for the clients of the planning document's app."""

from typing import Final

from breathing_room.core.wire import NORMAL_CLOSURE
from breathing_room.testing.host_context import (
    Check,
    HostCheckContext,
    adding_to,
    expect,
    expect_refusal,
    is_whole,
    new_visitor,
)
from breathing_room.testing.peer import Message, read_object

CHECKS: Final[dict[str, Check]] = {}
check = adding_to(CHECKS, "document")


def expect_document_presence(body: Message, t: HostCheckContext) -> None:
    """Expect a presence in the shape of that app."""
    keys = body.keys() - {"type"}
    expect(that=keys == {"count", "moods", "users", "countryCounts", "timestamp"}, seen=body)
    expect(that=is_whole(body["count"]) and is_whole(body["timestamp"]), seen=body)
    expect(that=tuple(body["moods"]) == t.terms.moods, seen=body["moods"])
    expect(that=(body["users"], body["countryCounts"]) == ([], {}), seen=body)


@check("default room")
async def api_presence_answers(t: HostCheckContext) -> None:
    """``GET /api/presence`` returns the count of the default room, and never a list of users."""
    expect_document_presence((await t.get("/api/presence")).json(), t)


@check("default room")
async def api_config_answers(t: HostCheckContext) -> None:
    """``GET /api/config`` returns the config of that app's clients."""
    config = (await t.get("/api/config")).json()
    sockets = t.has("connection")
    expected = {"sampleRate": 0.03, "heartbeatIntervalMs": 30_000, "supportsWebSocket": sockets, "version": 2}
    expect(that=config == expected, seen=config)


@check("default room")
async def api_heartbeat_counts(t: HostCheckContext) -> None:
    """``POST /api/heartbeat`` counts a session once, and takes an unknown mood for ``presence``."""
    before = (await t.get("/api/presence")).json()["count"]
    session = new_visitor()
    for mood in (t.terms.moods[0], "no such mood"):
        body = (await t.post("/api/heartbeat", {"sessionId": session, "mood": mood})).json()
        expect_document_presence(body, t)
        expect(that=body["count"] == before + 1, seen=f"{body['count']} after one joined {before}")
    await expect_refusal(t.post("/api/heartbeat", {"mood": t.terms.moods[0]}), "bad_visitor", 400)
    await expect_refusal(t.post("/api/heartbeat", b"{"), "bad_json", 400)


@check("default room", "connection")
async def api_room_converses(t: HostCheckContext) -> None:
    """``/api/room`` joins with its query, sends presences in that app's shape, accepts moods and answers
    pings.
    """
    before = (await t.get("/api/presence")).json()
    mood, other = t.terms.moods[0], t.terms.moods[-1]
    person = await t.socket(f"/api/room?sessionId={new_visitor()}&mood={mood}")
    await person.receive("presence", lambda said: bool(said["count"] == before["count"] + 1))
    for text in person.texts:
        expect_document_presence(read_object(text), t)
    person.send_message("mood", mood=other)
    await person.receive("presence", lambda said: bool(said["moods"][other] == before["moods"][other] + 1))
    person.send_message("ping")
    answer = await person.receive("pong")
    expect(that=answer == {"type": "pong"}, seen=answer)
    person.close_normally(NORMAL_CLOSURE)
    await person.ended()
    after = (await t.get("/api/presence")).json()
    expect(that=after["count"] == before["count"], seen=f"{after['count']} after, {before['count']} before")
