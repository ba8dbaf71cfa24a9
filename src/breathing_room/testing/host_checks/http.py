"""Checks of a host's HTTP paths: config, history and badge, heartbeats and leaves, event streams, errors."""

from typing import Final
from xml.parsers import expat

from breathing_room.core.breath import PATTERNS
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.wire import DEFAULT_ROOM, ROOM_NAME
from breathing_room.testing.host_context import (
    Check,
    HostCheckContext,
    adding_to,
    ask,
    expect,
    expect_age,
    expect_error,
    expect_presence,
    expect_refusal,
    is_whole,
    matches,
    new_visitor,
    short_presence,
)
from breathing_room.testing.peer import HandshakeRefusedError, Message, read_object

CHECKS: Final[dict[str, Check]] = {}
check = adding_to(CHECKS)


# --- Config, history, badge -------------------------------------------------------------------------------


@check("own room")
async def a_config_is_complete(t: HostCheckContext) -> None:
    """The config has the moods, the breath, all intervals (``ping_ms`` among them) and the server's clock,
    and is cacheable.
    """
    answer = await t.get("/config")
    expect_age(answer)
    config = answer.json()
    keys = "room moods mode breath ping_ms heartbeat_ms poll_ms lease_ms grace_ms presence_url now_ms".split()  # noqa: SIM905
    expect(that=not set(keys) - config.keys(), seen=f"missing: {sorted(set(keys) - config.keys())}")
    expect(that=config["room"] == t.room and config["mode"] == t.mode, seen=config)
    expect(that=all(is_whole(config[key]) for key in keys if key.endswith("_ms")), seen=config)
    expect(that=config["ping_ms"] > 0 and config["heartbeat_ms"] > 0, seen=config)
    moods = config["moods"]
    expect(that=bool(moods) and all(isinstance(mood, str) and mood != UNSPOKEN for mood in moods), seen=moods)
    pattern, phases = config["breath"]["pattern"], config["breath"]["phases"]
    known = PATTERNS[pattern].phases if pattern in PATTERNS else None
    expect(that=known is not None and [list(phase) for phase in known] == phases, seen=config["breath"])


@check("own room", "history")
async def a_history_has_hours_of_the_week(t: HostCheckContext) -> None:
    """The history is a list of averages, each with its hour of the week."""
    hours = (await t.get("/history")).json().get("hours")
    expect(that=isinstance(hours, list), seen=f"hours: {hours!r}")
    for hour in hours or []:
        expect(
            that=hour["hour"] in range(168) and hour["count"] >= 0 and isinstance(hour["moods"], dict),
            seen=hour,
        )


@check("own room", "badge")
async def a_badge_shows_the_label(t: HostCheckContext) -> None:
    """The badge is a well-formed picture with the label in it."""
    await t.add_visitor()
    await t.add_visitor()
    await t.catch_up()
    answer = await t.get("/badge.svg")
    expect(that=answer.headers.get("content-type", "").startswith("image/svg+xml"), seen=dict(answer.headers))
    words: list[str] = []
    parser = expat.ParserCreate()
    parser.CharacterDataHandler = words.append
    try:
        parser.Parse(answer.body, True)
    except expat.ExpatError as error:
        raise AssertionError(f"not well-formed: {error}") from None
    expect(that="2" in words, seen=f"the label 2 is not among {words}")


# --- Heartbeats and leaves --------------------------------------------------------------------------------


@check("own room")
async def a_heartbeat_counts_its_visitor(t: HostCheckContext) -> None:
    """``POST …/heartbeat`` counts its visitor, with a mood or without, and is answered by the presence."""
    presence = await t.heartbeat(new_visitor(), mood=t.terms.moods[-1])
    expect(
        that=matches(presence, {"count": 1, "moods": {t.terms.moods[-1]: 1}}), seen=short_presence(presence)
    )
    presence = await t.heartbeat(new_visitor())
    expect(that=matches(presence, {"count": 2, "unspoken": 1}), seen=short_presence(presence))
    await t.wait_for(count=2)


@check("own room")
async def a_repeated_heartbeat_is_one_visitor(t: HostCheckContext) -> None:
    """A visitor who sends further heartbeats, or has a connection as well, is counted once."""
    visitor = new_visitor()
    await t.heartbeat(visitor)
    await t.heartbeat(visitor)
    if t.has("connection"):
        await t.join(visitor)
    presence = await t.heartbeat(visitor)
    expect(that=presence["count"] == 1, seen=short_presence(presence))


@check("own room")
async def a_heartbeat_changes_or_keeps_the_mood(t: HostCheckContext) -> None:
    """A heartbeat with a mood changes it, one without a mood keeps it."""
    visitor, moods = new_visitor(), (*t.terms.moods, UNSPOKEN)
    await t.heartbeat(visitor, mood=moods[0])
    presence = await t.heartbeat(visitor)
    expect(that=matches(presence, {"count": 1, "moods": {moods[0]: 1}}), seen=short_presence(presence))
    presence = await t.heartbeat(visitor, mood=moods[1])
    wanted = {"moods": {}, "unspoken": 1} if moods[1] == UNSPOKEN else {"moods": {moods[1]: 1}, "unspoken": 0}
    expect(that=matches(presence, wanted), seen=short_presence(presence))
    presence = await t.heartbeat(visitor, mood=UNSPOKEN)
    expect(that=matches(presence, {"count": 1, "moods": {}, "unspoken": 1}), seen=short_presence(presence))


@check("own room")
async def a_leave_request_takes_effect_at_once(t: HostCheckContext) -> None:
    """``POST …/leave`` is answered 204 for any content type, and the
    visitor is not counted any more at once.
    """
    for content_type in ("text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded"):
        visitor = new_visitor()
        await t.heartbeat(visitor)
        answer = await t.leave(visitor, content_type)
        expect(that=answer.status == 204 and answer.body == b"", seen=f"{answer} for {content_type}")
        presence = await t.presence()
        expect(that=presence["count"] == 0, seen=short_presence(presence))


@check("own room")
async def an_unknown_visitor_may_leave(t: HostCheckContext) -> None:
    """A leave of a visitor who is not in the room is no error, and changes nothing."""
    await t.add_visitor()
    answer = await t.leave(new_visitor())
    expect(that=answer.status == 204, seen=answer)
    await t.wait_for(count=1)


# --- Event streams ----------------------------------------------------------------------------------------


@check("own room", "events", "connection")
async def an_event_stream_sends_every_change(t: HostCheckContext) -> None:
    """The event stream begins with the presence and sends every change, as events of that name."""
    stream = await t.stream()
    head = await stream.head()
    kind = head.headers.get("content-type", "")
    expect(that=head.status == 200 and kind.startswith("text/event-stream"), seen=f"{head.status}, {kind!r}")
    expected = {"count": 0}
    for _ in range(3):
        event = await stream.event()
        if event is None or event.get("event") != "presence":
            raise AssertionError(f"expected an event of the type presence, received {event}")
        presence = read_object(event["data"])
        expect_presence(presence, t)
        if presence["count"] == 1:
            return
        expect(that=matches(presence, expected), seen=short_presence(presence))
        await t.join()
    raise AssertionError("the stream sent no presence with the visitor who joined")


@check("own room", "events")
async def an_event_stream_is_not_counted(t: HostCheckContext) -> None:
    """A reader of the event stream is not counted."""
    stream = await t.stream()
    head = await stream.head()
    expect(that=head.status == 200, seen=head)
    await stream.event()
    await t.settle()
    await t.wait_for(count=0, low=0, high=0)


# --- Errors -----------------------------------------------------------------------------------------------


@check("own room")
async def a_bad_body_is_an_error(t: HostCheckContext) -> None:
    """An invalid body is refused with an error of the one shape, and counts no visitor."""
    visitor = new_visitor()
    bad: tuple[tuple[bytes | Message, str], ...] = (
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"[]", "not_an_object"),
        ({}, "bad_visitor"),
        ({"visitor": 7}, "bad_visitor"),
        ({"visitor": "short"}, "bad_visitor"),
        ({"visitor": "v" * 65}, "bad_visitor"),
        ({"visitor": f"{visitor}\n"}, "bad_visitor"),
    )
    for body, code in bad:
        await expect_refusal(t.post("/heartbeat", body), code, 400)
        await expect_refusal(t.post("/leave", body), code, 400)
    await expect_refusal(
        t.post("/heartbeat", {"visitor": visitor, "mood": "no such mood"}), "unknown_mood", 400
    )
    await t.wait_for(count=0)


@check("own room")
async def a_bad_room_is_an_error(t: HostCheckContext) -> None:
    """An invalid room name is refused, over HTTP and in a handshake."""
    for name in ("UPPER", "-dash", "a" * 65, "a%20b"):
        t.room = name
        await expect_refusal(t.get(), "bad_room", 400)
        await expect_refusal(t.post("/heartbeat", {"visitor": new_visitor()}), "bad_room", 400)
        if not t.has("connection"):
            continue
        try:
            await t.socket()
        except HandshakeRefusedError as refused:
            expect(that=refused.answer.status == 400, seen=refused.answer)
            expect_error(refused.answer.json()["error"], "bad_room", 400)
        else:
            raise AssertionError(f"a connection to the room {name!r} was accepted")


@check("own room")
async def a_wrong_path_is_an_error(t: HostCheckContext) -> None:
    """An unknown path is answered 404, and a wrong method 405 with ``Allow``, both with an error of the one
    shape.
    """
    await expect_refusal(t.get("/nothing"), "not_found", 404)
    for method, path in (("GET", "/heartbeat"), ("GET", "/leave"), ("POST", ""), ("POST", "/config")):
        answer = await ask(t.base_url, method, t.path(path))
        seen = f"{answer.status} and Allow: {answer.headers.get('allow')} for {method} {path}"
        expect(that=answer.status == 405 and "allow" in answer.headers, seen=seen)
        expect_error(answer.json().get("error"), "wrong_method", 405)


# --- Rooms by name ----------------------------------------------------------------------------------------


@check("default room")
async def the_default_room_has_an_alias(t: HostCheckContext) -> None:
    """``_default`` is an alias of the default room in every path: the config has the room's name, and both
    lead to one room.
    """
    t.room = DEFAULT_ROOM
    name = (await t.get("/config")).json()["room"]
    expect(that=isinstance(name, str) and ROOM_NAME.fullmatch(name) is not None, seen=f"room: {name!r}")
    before = (await t.presence())["count"]
    expect(that=(await t.presence())["room"] == name, seen=await t.presence())
    await t.add_visitor()
    await t.wait_for(count=before + 1)
    t.room = name
    await t.wait_for(count=before + 1)
    await t.add_visitor()
    t.room = DEFAULT_ROOM
    await t.wait_for(count=before + 2)
    visitor = new_visitor()
    presence = await t.heartbeat(visitor)
    expect(that=(presence["room"], presence["count"]) == (name, before + 3), seen=short_presence(presence))
    answer = await t.leave(visitor)
    expect(that=answer.status == 204, seen=answer)
    await t.wait_for(count=before + 2)
    if t.has("badge"):
        badge = await t.get("/badge.svg")
        expect(that=badge.status == 200 and b"<svg" in badge.body, seen=badge)
