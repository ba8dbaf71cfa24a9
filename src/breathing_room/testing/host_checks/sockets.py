"""What a host promises over WebSockets: who is counted, moods, conversation, how a socket ends."""

import json
import time
from typing import Final

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.wire import (
    BAD_MESSAGES,
    GOING_AWAY,
    JOIN_LATE,
    NORMAL_CLOSURE,
    NOT_TEXT,
    NOT_UTF8,
    PING,
    PROTOCOL_ERROR,
    TOO_BIG,
    TOO_MANY_SOCKETS,
)
from breathing_room.testing.host_context import (
    HostCheckContext,
    Promise,
    adding_to,
    expect,
    expect_error,
    holds,
    new_visitor,
    says,
    short_presence,
)
from breathing_room.testing.peer import PATIENCE_S, read_object

# What a host may take in good humour before it parts. Ours takes 20 messages and 32 sockets.
BAD_MESSAGES_MAX: Final = 200
SOCKETS_MAX: Final = 64

PROMISES: Final[dict[str, Promise]] = {}
promise = adding_to(PROMISES, "connection")


# --- Sockets: who is counted ----------------------------------------------------------------------------------------------


@promise("own room")
async def a_join_counts(t: HostCheckContext) -> None:
    """Who joins is counted, with a mood or without; the answer says so already, and everybody else hears it."""
    observer = await t.observe()
    first, second = await t.socket(), await t.socket()
    first.say("join", visitor=new_visitor(), mood=t.terms.moods[0])
    answer = await first.hear("presence")
    expect(that=holds(answer, {"count": 1, "moods": {t.terms.moods[0]: 1}}), seen=short_presence(answer))
    second.say("join", visitor=new_visitor())
    answer = await second.hear("presence")
    expect(that=holds(answer, {"count": 2, "low": 2, "high": 2, "unspoken": 1}), seen=short_presence(answer))
    await observer.hear("presence", says(count=2, low=2, high=2, moods={t.terms.moods[0]: 1}, unspoken=1))
    await first.hear("presence", says(count=2))
    await t.sees(count=2, low=2, high=2)


@promise("own room")
async def an_observer_is_not_counted(t: HostCheckContext) -> None:
    """Who observes is shown the room and not counted."""
    observer = await t.socket()
    observer.say("observe")
    answer = await observer.hear("presence")
    expect(that=answer["count"] in {0, None}, seen=short_presence(answer))
    await t.settle()
    await t.sees(count=0, low=0, high=0)


@promise("own room")
async def several_sockets_are_one_person(t: HostCheckContext) -> None:
    """Several sockets of one visitor are one person, who stays until the last of them closes."""
    visitor = new_visitor()
    tabs = [await t.join(visitor) for _ in range(3)]
    await t.sees(count=1, low=1, high=1)
    tabs[0].close_normally(NORMAL_CLOSURE)
    await tabs[0].ended()
    tabs[1].cut()
    await t.settle()
    await t.sees(count=1, low=1, high=1)
    tabs[2].say("leave")
    await t.sees(count=0)


@promise("own room")
async def a_second_join_is_an_error(t: HostCheckContext) -> None:
    """A socket joins or observes once; a second word of that kind is an error without effect."""
    person = await t.join()
    person.say("join", visitor=new_visitor())
    expect_error((await person.hear("error"))["error"], "already_joined", 409)
    person.say("observe")
    expect_error((await person.hear("error"))["error"], "already_joined", 409)
    await t.settle()
    await t.sees(count=1)


# --- Sockets: moods -------------------------------------------------------------------------------------------------------


@promise("own room")
async def a_mood_moves_in_one_go(t: HostCheckContext) -> None:
    """A change of mood moves one person from one mood to another: at no moment are there more people or fewer."""
    moods = (*t.terms.moods, UNSPOKEN)
    observer = await t.observe()
    person = await t.join(mood=moods[0])
    await observer.hear("presence", says(count=1))
    await t.settle()
    begun = len(observer.texts)
    for mood in (*moods[1:], *moods[:-1], moods[0]):
        person.say("mood", mood=mood)
        await t.advance(t.terms.push_ms // 2)
    await observer.hear("presence", says(count=1, moods={moods[0]: 1}, unspoken=0))
    for presence in map(json.loads, observer.texts[begun:]):
        total = sum(presence["moods"].values()) + presence["unspoken"]
        expect(that=presence["count"] == total == 1, seen=short_presence(presence))
    person.say("mood", mood=moods[1])
    wanted = {"unspoken": 1} if moods[1] == UNSPOKEN else {"moods": {moods[1]: 1}, "unspoken": 0}
    await observer.hear("presence", says(count=1, **wanted))


@promise("own room")
async def a_mood_can_be_taken_back(t: HostCheckContext) -> None:
    """The mood ``unspoken`` takes back what was said."""
    person = await t.join(mood=t.terms.moods[0])
    person.say("mood", mood=UNSPOKEN)
    await t.sees(count=1, moods={}, unspoken=1)


@promise("own room")
async def the_last_mood_counts(t: HostCheckContext) -> None:
    """Of a visitor with several sockets the last word on mood counts, and a join without a mood says nothing."""
    visitor, mood = new_visitor(), t.terms.moods[-1]
    first = await t.join(visitor, mood=t.terms.moods[0])
    second = await t.join(visitor)
    await t.sees(count=1, moods={t.terms.moods[0]: 1})
    second.say("mood", mood=mood)
    await t.sees(count=1, moods={mood: 1})
    first.say("mood", mood=UNSPOKEN)
    await t.sees(count=1, moods={}, unspoken=1)


@promise("own room")
async def a_mood_needs_a_join(t: HostCheckContext) -> None:
    """Who did not join has no mood: an error, and the connection goes on."""
    for socket in (await t.socket(), await t.observe()):
        socket.say("mood", mood=t.terms.moods[0])
        expect_error((await socket.hear("error"))["error"], "not_joined", 409)
        socket.say("time", sent_ms=1)
        await socket.hear("time")
    await t.sees(count=0)


# --- Sockets: conversation ------------------------------------------------------------------------------------------------


@promise("own room")
async def a_ping_is_answered_by_a_pong(t: HostCheckContext) -> None:
    """A ping needs no join, and is answered by a pong without keys, also where it has spaces or keys itself."""
    for socket in (await t.socket(), await t.join()):
        for ping in (PING.decode(), '{ "type": "ping" }', '{"type":"ping","sent_ms":7}'):
            socket.send_text(ping)
            pong = await socket.hear("pong")
            expect(that=pong == {"type": "pong"}, seen=pong)


@promise("own room")
async def a_beat_tells_the_time(t: HostCheckContext) -> None:
    """A beat needs no join, and is answered with the server's time and with its own ``sent_ms`` as it was."""
    socket = await t.socket()
    for sent_ms in (12.5, 0, -3, 1_767_225_600_123, 1e-7):
        now_ms = (await t.get("/config")).json()["now_ms"]
        socket.say("time", sent_ms=sent_ms)
        answer = await socket.hear("time")
        expect(that=answer.keys() == {"type", "sent_ms", "now_ms"}, seen=answer)
        expect(that=answer["sent_ms"] == sent_ms, seen=f"sent {sent_ms!r}, came back {answer['sent_ms']!r}")
        late_ms = answer["now_ms"] - now_ms
        expect(
            that=type(answer["now_ms"]) is int and abs(late_ms) < 1_000 * PATIENCE_S, seen=f"{late_ms} ms off"
        )


@promise("own room")
async def a_senseless_message_is_an_error(t: HostCheckContext) -> None:
    """A message that makes no sense is answered by an error, has no effect, and the connection goes on."""
    bad: tuple[tuple[str, str], ...] = (
        ("", "bad_json"),
        ("{", "bad_json"),
        ("[]", "not_an_object"),
        ("{}", "unknown_type"),
        ('{"type": "dance"}', "unknown_type"),
        ('{"type": "join"}', "bad_visitor"),
        ('{"type": "join", "visitor": "short"}', "bad_visitor"),
        (json.dumps({"type": "join", "visitor": new_visitor(), "mood": "no such mood"}), "unknown_mood"),
    )
    person = await t.socket()
    for text, code in bad:
        person.send_text(text)
        answer = await person.hear("error")
        expect(that=answer.keys() == {"type", "error"}, seen=answer)
        expect_error(answer["error"], code, 400)
    await t.sees(count=0)
    person.say("join", visitor=new_visitor(), mood=t.terms.moods[0])
    await person.hear("presence", says(count=1))
    person.say("mood", mood="no such mood")
    expect_error((await person.hear("error"))["error"], "unknown_mood", 400)
    await t.sees(count=1, moods={t.terms.moods[0]: 1})


@promise("own room")
async def announcements_are_spared(t: HostCheckContext) -> None:
    """However much changes, everybody is told at most once per ``push_ms``, and the last is told."""
    moods = (*t.terms.moods, UNSPOKEN)
    observer = await t.observe()
    person = await t.join(mood=moods[0])
    await observer.hear("presence", says(count=1))
    await t.settle()
    begun, begun_at_s = len(observer.texts), time.monotonic()
    for index in range(40):
        person.say("mood", mood=moods[1:][index % (len(moods) - 1)])
    person.say("mood", mood=moods[0])
    await t.settle()
    await observer.hear("presence", says(moods={moods[0]: 1}))
    told = len(observer.texts) - begun
    passed_ms = max(2 * t.terms.push_ms, 1_000 * (time.monotonic() - begun_at_s))
    bound = passed_ms / t.terms.push_ms + 2
    expect(that=told <= bound, seen=f"{told} announcements within {passed_ms:.0f} ms")
    last = read_object(observer.texts[-1])
    expect(that=holds(last, {"moods": {moods[0]: 1}}), seen=f"the last that was told: {short_presence(last)}")


# --- Sockets: going -------------------------------------------------------------------------------------------------------


@promise("own room")
async def a_goodbye_is_at_once(t: HostCheckContext) -> None:
    """Who says leave is answered by close 1000, and out at once."""
    observer = await t.observe()
    person = await t.join()
    await observer.hear("presence", says(count=1))
    person.say("leave")
    end = await person.ended()
    expect(that=end.code == NORMAL_CLOSURE, seen=f"closed with {end}")
    presence = await t.presence()
    expect(that=holds(presence, {"count": 0, "high": 0}), seen=short_presence(presence))
    await observer.hear("presence", says(count=0, high=0))


@promise("own room")
async def a_polite_close_is_a_goodbye(t: HostCheckContext) -> None:
    """Closing a socket with 1000 or 1001 means the same as leave."""
    for code in (NORMAL_CLOSURE, GOING_AWAY):
        person = await t.join()
        await t.sees(count=1)
        person.close_normally(code)
        await person.ended()
        presence = await t.presence()
        expect(that=holds(presence, {"count": 0, "high": 0}), seen=f"{short_presence(presence)} after {code}")


@promise("own room")
async def a_broken_socket_leaves_a_doubt(t: HostCheckContext) -> None:
    """When the last socket of a person breaks, the person stays counted in ``high`` and not in ``low``."""
    observer = await t.observe()
    await t.join(mood=t.terms.moods[0])
    lost = await t.join(mood=t.terms.moods[0])
    lost.cut()
    await observer.hear("presence", says(count=2, low=1, high=2, moods={t.terms.moods[0]: 2}))


@promise("own room")
async def who_comes_back_in_time_is_there_again(t: HostCheckContext) -> None:
    """A join with the same visitor id within ``grace_ms`` takes the doubt away, and the mood is as it was."""
    visitor, mood = new_visitor(), t.terms.moods[-1]
    (await t.join(visitor, mood=mood)).cut()
    await t.sees(count=1, low=0, high=1)
    await t.join(visitor)
    await t.sees(count=1, low=1, high=1, moods={mood: 1})
    await t.live(t.terms.grace_ms)
    await t.settle()
    await t.sees(count=1, low=1, high=1)


@promise("own room")
async def who_does_not_come_back_is_gone(t: HostCheckContext) -> None:
    """A person whose socket broke is out after ``grace_ms``, and not before."""
    observer = await t.observe()
    (await t.join()).cut()
    await observer.hear("presence", says(count=1, low=0, high=1))
    await t.advance(t.terms.grace_ms // 2)
    presence = await t.presence()
    expect(that=presence["count"] == 1, seen=f"{short_presence(presence)} after half of the grace")
    await t.advance(t.terms.grace_ms - t.terms.grace_ms // 2)
    await observer.hear("presence", says(count=0, low=0, high=0))
    await t.sees(count=0)


@promise("own room")
async def a_quiet_socket_stays(t: HostCheckContext) -> None:
    """Who says nothing and answers the host's pings is there as long as the socket is."""
    person = await t.join()
    await t.live(t.terms.lease_ms * 3 // 2)
    expect(that=person.is_open, seen="the socket was closed")
    await t.sees(count=1, low=1, high=1)


@promise("own room")
async def a_dead_socket_is_closed(t: HostCheckContext) -> None:
    """A socket from which nothing comes, not even an answer to a ping, ends after ``lease_ms``, and its person goes."""
    person = await t.socket()
    person.answers_pings = False
    person.say("join", visitor=new_visitor())
    await person.hear("presence", says(count=1))
    await t.live(t.terms.lease_ms)
    await person.ended()
    await t.live(t.terms.grace_ms)
    await t.sees(count=0)


# --- Sockets: close codes -------------------------------------------------------------------------------------------------


@promise("own room")
async def who_says_nothing_is_closed(t: HostCheckContext) -> None:
    """Who says neither join nor observe in time is closed with 4001, whatever else was said."""
    suspect, chatting = await t.socket(), await t.socket()
    chatting.say("time")
    await t.advance(t.terms.join_ms)
    for socket in (suspect, chatting):
        end = await socket.ended()
        expect(that=end.code == JOIN_LATE, seen=f"closed with {end}")


@promise("own room")
async def an_unmasked_frame_is_refused(t: HostCheckContext) -> None:
    """A frame without a mask breaks RFC 6455: close 1002."""
    person = await t.join()
    person.send_unmasked('{"type": "leave"}')
    end = await person.ended()
    expect(that=end.code == PROTOCOL_ERROR, seen=f"closed with {end}")


@promise("own room")
async def a_binary_message_is_refused(t: HostCheckContext) -> None:
    """A binary message is closed with 1003."""
    person = await t.join()
    person.send_binary(b'{"type": "leave"}')
    end = await person.ended()
    expect(that=end.code == NOT_TEXT, seen=f"closed with {end}")


@promise("own room")
async def text_that_is_not_utf8_is_refused(t: HostCheckContext) -> None:
    """Text that is not UTF-8 is closed with 1007."""
    person = await t.join()
    person.send_text(b'{"type": "\xff\xfe"}')
    end = await person.ended()
    expect(that=end.code == NOT_UTF8, seen=f"closed with {end}")


@promise("own room")
async def a_long_message_is_refused(t: HostCheckContext) -> None:
    """A message that is too big is closed with 1009, and one of the largest size is not."""
    person = await t.join()
    person.send_text('{"type": "time", "sent_ms": 1}'.ljust(t.terms.message_bytes_max))
    await person.hear("time")
    person.send_text('{"type": "time", "sent_ms": 1}'.ljust(t.terms.message_bytes_max + 1))
    end = await person.ended()
    expect(that=end.code == TOO_BIG, seen=f"closed with {end}")


@promise("own room")
async def endless_nonsense_is_refused(t: HostCheckContext) -> None:
    """Who sends too many messages that make no sense is closed with 4500."""
    person = await t.join()
    for _ in range(BAD_MESSAGES_MAX):
        person.send_text("nonsense")
    end = await person.ended()
    expect(that=end.code == BAD_MESSAGES, seen=f"closed with {end}")


@promise("own room")
async def too_many_sockets_are_refused(t: HostCheckContext) -> None:
    """A visitor who opens too many sockets is closed with 4501, and those that were there stay."""
    visitor = new_visitor()
    for _ in range(SOCKETS_MAX):
        socket = await t.socket()
        socket.say("join", visitor=visitor)
        socket.say("time", sent_ms=1)
        try:
            await socket.hear("time")
        except AssertionError:
            end = await socket.ended()
            expect(that=end.code == TOO_MANY_SOCKETS, seen=f"closed with {end}")
            break
    else:
        raise AssertionError(f"{SOCKETS_MAX} sockets of one visitor were taken")
    await t.sees(count=1, low=1, high=1)
