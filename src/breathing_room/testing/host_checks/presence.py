"""What a host promises of presence, whatever carries it."""

import json
from typing import Final

from breathing_room.testing.host_context import (
    HostCheckContext,
    Promise,
    adding_to,
    expect,
    expect_age,
    expect_presence,
    holds,
    new_visitor,
    says,
    short_presence,
)
from breathing_room.testing.peer import PATIENCE_S, WireSocket, read_object

# A message does not grow with the crowd, but for the digits of its numbers.
GROWTH_BYTES_MAX: Final = 32

PROMISES: Final[dict[str, Promise]] = {}
promise = adding_to(PROMISES)


@promise("own room")
async def a_presence_is_whole(t: HostCheckContext) -> None:
    """A presence has every key of the protocol and no other, and its numbers agree."""
    expect_presence(await t.presence(), t)
    expect_presence(await t.heartbeat(new_visitor()), t)
    if t.has("connection"):
        person = await t.join(mood=t.terms.moods[0])
        expect_presence(read_object(person.texts[0]), t)
        await t.settle()
        expect_presence(await t.presence(), t)
        person.cut()
        await t.sees(low=1)
    expect_presence(await t.presence(), t)


@promise("own room")
async def an_empty_room_is_empty(t: HostCheckContext) -> None:
    """A room that nobody came into is known to everybody, and holds nobody."""
    presence = await t.presence()
    nobody = 0 if presence["method"] == "counted" else None
    expect(
        that=holds(presence, {"count": nobody, "low": 0, "moods": {}, "unspoken": 0}),
        seen=short_presence(presence),
    )


@promise("own room")
async def a_presence_says_when_it_was_true(t: HostCheckContext) -> None:
    """The time of a presence is the server's, and goes on."""
    first = await t.presence()
    now_ms = (await t.get("/config")).json()["now_ms"]
    late_ms = now_ms - first["as_of_ms"]
    expect(that=abs(late_ms) < 1_000 * PATIENCE_S + t.terms.lag_ms, seen=f"{first['as_of_ms']} at {now_ms}")
    await t.advance(100)
    second = await t.presence()
    expect(
        that=second["as_of_ms"] > first["as_of_ms"], seen=f"{first['as_of_ms']}, later {second['as_of_ms']}"
    )


@promise("own room")
async def a_presence_can_be_kept_by_caches(t: HostCheckContext) -> None:
    """A presence over HTTP carries an ETag and a Cache-Control, and who has it already is answered 304."""
    # The time in it moves on in steps: one of several tries falls inside a step.
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
    await t.come()
    await t.catch_up()
    changed = await t.get(headers={"If-None-Match": etag})
    expect(that=changed.status == 200, seen=f"{changed.status} after somebody came")


@promise("own room", "connection")
async def everybody_is_told_the_same(t: HostCheckContext) -> None:
    """What changed is told to everybody in the same bytes."""
    subscribers = [await t.observe(), await t.observe(), await t.join()]
    await t.settle()
    await t.join(mood=t.terms.moods[0])
    heard = []
    for socket in subscribers:
        await socket.hear("presence", says(count=2, unspoken=1))
        heard.append(
            next(text for text in socket.texts if holds(json.loads(text), {"count": 2, "unspoken": 1}))
        )
    expect(that=len(set(heard)) == 1, seen=f"different messages: {set(heard)}")


@promise("own room", "connection")
async def a_message_does_not_grow_with_the_crowd(t: HostCheckContext) -> None:
    """A presence of a dozen people is as long as that of one, but for the digits."""
    observer = await t.observe()
    await t.join(mood=t.terms.moods[0])
    alone = len(json.dumps(await observer.hear("presence", says(count=1))))
    for _ in range(11):
        await t.join(mood=t.terms.moods[0])
    crowd = len(json.dumps(await observer.hear("presence", says(count=12))))
    expect(
        that=crowd - alone < GROWTH_BYTES_MAX, seen=f"{alone} characters for one person, {crowd} for twelve"
    )


@promise("own room")
async def nobody_is_named(t: HostCheckContext) -> None:
    """Nothing that the host says holds a visitor id: no message, body, event or error."""
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
    """Have visitors join, say much that makes no sense with their ids in it, and go in several ways."""
    sockets = [await t.join(visitor, mood=t.terms.moods[0]) for visitor in visitors]
    for visitor, socket in zip(visitors, sockets, strict=True):
        socket.say("join", visitor=visitor)
        socket.say("mood", mood=visitor)
        socket.say("time", sent_ms=visitor)
        socket.say(visitor)
        socket.send_text(visitor)
        for _ in range(5):
            await socket.hear("error")
    sockets[0].cut()
    sockets[1].say("leave")
    return sockets


@promise("own room")
async def unknown_keys_are_ignored(t: HostCheckContext) -> None:
    """A key that the protocol does not know changes nothing, in messages and in bodies."""
    presence = await t.heartbeat(new_visitor(), hat="red", count=7)
    expect(that=presence["count"] == 1, seen=short_presence(presence))
    if t.has("connection"):
        person = await t.socket()
        person.say("join", visitor=new_visitor(), mood=t.terms.moods[0], hat="red", count=7)
        await person.hear("presence", says(count=2, moods={t.terms.moods[0]: 1}))
