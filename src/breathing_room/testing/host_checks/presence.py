"""Checks of a host's presence, over HTTP and WebSockets alike."""

import json
from typing import Final

from breathing_room.testing.host_context import (
    Check,
    HostCheckContext,
    adding_to,
    expect,
    expect_age,
    expect_presence,
    having,
    matches,
    new_visitor,
    short_presence,
)
from breathing_room.testing.peer import PATIENCE_S, WireSocket, read_object

# The size of a message does not depend on the crowd, except for the digits of its numbers.
GROWTH_BYTES_MAX: Final = 32

CHECKS: Final[dict[str, Check]] = {}
check = adding_to(CHECKS)


@check("own room")
async def a_presence_is_complete(t: HostCheckContext) -> None:
    """A presence has every field of the protocol and no other, and its numbers are consistent."""
    expect_presence(await t.presence(), t)
    expect_presence(await t.heartbeat(new_visitor()), t)
    if t.has("connection"):
        person = await t.join(mood=t.terms.moods[0])
        expect_presence(read_object(person.texts[0]), t)
        await t.settle()
        expect_presence(await t.presence(), t)
        person.cut()
        await t.wait_for(low=1)
    expect_presence(await t.presence(), t)


@check("own room")
async def an_empty_room_is_empty(t: HostCheckContext) -> None:
    """A room that no visitor has entered is published, with a count of 0 or none."""
    presence = await t.presence()
    count = 0 if presence["method"] == "counted" else None
    expect(
        that=matches(presence, {"count": count, "low": 0, "moods": {}, "unspoken": 0}),
        seen=short_presence(presence),
    )


@check("own room")
async def a_presence_is_timestamped(t: HostCheckContext) -> None:
    """The ``as_of_ms`` of a presence is the server's time, and advances."""
    first = await t.presence()
    now_ms = (await t.get("/config")).json()["now_ms"]
    late_ms = now_ms - first["as_of_ms"]
    expect(that=abs(late_ms) < 1_000 * PATIENCE_S + t.terms.lag_ms, seen=f"{first['as_of_ms']} at {now_ms}")
    await t.advance(100)
    second = await t.presence()
    expect(
        that=second["as_of_ms"] > first["as_of_ms"], seen=f"{first['as_of_ms']}, later {second['as_of_ms']}"
    )


@check("own room")
async def a_presence_is_cacheable(t: HostCheckContext) -> None:
    """A presence over HTTP has an ETag and a Cache-Control, and ``If-None-Match`` with its ETag is answered
    304.
    """
    # The time in it advances in steps: one of several tries falls inside a step.
    for _ in range(3):
        first = await t.get()
        expect_age(first)
        etag = first.headers.get("etag", "")
        expect(that=bool(etag), seen=f"no ETag: {dict(first.headers)}")
        again = await t.get(headers={"If-None-Match": etag})
        if again.status == 304:
            expect(that=again.body == b"", seen=f"304 with a body: {again.body!r}")
            break
    else:
        raise AssertionError(
            f"If-None-Match: {etag} was answered {again.status} with ETag {again.headers.get('etag')}"
        )
    await t.add_visitor()
    await t.catch_up()
    changed = await t.get(headers={"If-None-Match": etag})
    expect(that=changed.status == 200, seen=f"{changed.status} after a visitor joined")


@check("own room", "connection")
async def all_subscribers_receive_the_same_bytes(t: HostCheckContext) -> None:
    """A broadcast reaches every subscriber in the same bytes."""
    subscribers = [await t.observe(), await t.observe(), await t.join()]
    await t.settle()
    await t.join(mood=t.terms.moods[0])
    received = []
    for socket in subscribers:
        await socket.receive("presence", having(count=2, unspoken=1))
        received.append(
            next(text for text in socket.texts if matches(json.loads(text), {"count": 2, "unspoken": 1}))
        )
    expect(that=len(set(received)) == 1, seen=f"different messages: {set(received)}")


@check("own room", "connection")
async def a_message_does_not_grow_with_the_crowd(t: HostCheckContext) -> None:
    """A presence of a dozen people is as long as that of one, except for the digits."""
    observer = await t.observe()
    await t.join(mood=t.terms.moods[0])
    alone = len(json.dumps(await observer.receive("presence", having(count=1))))
    for _ in range(11):
        await t.join(mood=t.terms.moods[0])
    crowd = len(json.dumps(await observer.receive("presence", having(count=12))))
    expect(
        that=crowd - alone < GROWTH_BYTES_MAX, seen=f"{alone} characters for one person, {crowd} for twelve"
    )


@check("own room")
async def no_visitor_id_is_disclosed(t: HostCheckContext) -> None:
    """The host discloses no visitor id: in no message, body, event or error."""
    visitors = [new_visitor() for _ in range(3)]
    stream = await t.stream() if t.has("events") else None
    sockets = [await t.observe()] if t.has("connection") else []
    said = [json.dumps(await t.heartbeat(visitors[0]))]
    if t.has("connection"):
        sockets += await over_sockets(t, visitors)
    await t.settle()
    paths = ("", "/config", "/history", "/badge.svg", f"/{visitors[0]}")
    said += [(await t.get(path)).body.decode() for path in paths]
    bad = ({"visitor": visitors[0], "mood": visitors[1]}, {"visitor": f"{visitors[0]}!"})
    said += [(await t.post("/heartbeat", body)).body.decode() for body in bad]
    if stream is not None:
        said.append(str(await stream.event()))
    said += [text for socket in sockets for text in socket.texts]
    named = [text for text in said if any(visitor in text for visitor in visitors)]
    expect(that=not named, seen=named[:1])


async def over_sockets(t: HostCheckContext, visitors: list[str]) -> list[WireSocket]:
    """Join with visitors, send invalid messages that contain their ids, and end the connections in several
    ways.
    """
    sockets = [await t.join(visitor, mood=t.terms.moods[0]) for visitor in visitors]
    for visitor, socket in zip(visitors, sockets, strict=True):
        socket.send_message("join", visitor=visitor)
        socket.send_message("mood", mood=visitor)
        socket.send_message("time", sent_ms=visitor)
        socket.send_message(visitor)
        socket.send_text(visitor)
        for _ in range(5):
            await socket.receive("error")
    sockets[0].cut()
    sockets[1].send_message("leave")
    return sockets


@check("own room")
async def unknown_keys_are_ignored(t: HostCheckContext) -> None:
    """Unknown keys in messages and bodies are ignored."""
    presence = await t.heartbeat(new_visitor(), hat="red", count=7)
    expect(that=presence["count"] == 1, seen=short_presence(presence))
    if t.has("connection"):
        person = await t.socket()
        person.send_message("join", visitor=new_visitor(), mood=t.terms.moods[0], hat="red", count=7)
        await person.receive("presence", having(count=2, moods={t.terms.moods[0]: 1}))
