"""Checks of a host's WebSockets: who is counted, moods, ping and time, errors, broadcasts, and how a
connection ends.
"""

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
    PONG,
    PROTOCOL_ERROR,
    TOO_BIG,
    TOO_MANY_SOCKETS,
)
from breathing_room.testing.host_context import (
    Check,
    HostCheckContext,
    adding_to,
    expect,
    expect_error,
    having,
    matches,
    new_visitor,
    short_presence,
)
from breathing_room.testing.peer import PATIENCE_S, read_object

# The most that a host may accept before it closes a connection. Ours accepts 20 invalid messages and 32
# connections.
BAD_MESSAGES_MAX: Final = 200
SOCKETS_MAX: Final = 64

CHECKS: Final[dict[str, Check]] = {}
check = adding_to(CHECKS, "connection")


# --- Who is counted ---------------------------------------------------------------------------------------


@check("own room")
async def a_join_counts(t: HostCheckContext) -> None:
    """A join counts its visitor, with a mood or without; the reply includes the visitor, and every subscriber
    receives it.
    """
    observer = await t.observe()
    first, second = await t.socket(), await t.socket()
    first.send_message("join", visitor=new_visitor(), mood=t.terms.moods[0])
    answer = await first.receive("presence")
    expect(that=matches(answer, {"count": 1, "moods": {t.terms.moods[0]: 1}}), seen=short_presence(answer))
    second.send_message("join", visitor=new_visitor())
    answer = await second.receive("presence")
    expect(
        that=matches(answer, {"count": 2, "low": 2, "high": 2, "unspoken": 1}), seen=short_presence(answer)
    )
    await observer.receive(
        "presence", having(count=2, low=2, high=2, moods={t.terms.moods[0]: 1}, unspoken=1)
    )
    await first.receive("presence", having(count=2))
    await t.wait_for(count=2, low=2, high=2)


@check("own room")
async def an_observer_is_not_counted(t: HostCheckContext) -> None:
    """An observer receives the presence and is not counted."""
    observer = await t.socket()
    observer.send_message("observe")
    answer = await observer.receive("presence")
    expect(that=answer["count"] in {0, None}, seen=short_presence(answer))
    await t.settle()
    await t.wait_for(count=0, low=0, high=0)


@check("own room")
async def several_connections_are_one_visitor(t: HostCheckContext) -> None:
    """Several connections of one visitor are one person, who is counted until the last of them closes."""
    visitor = new_visitor()
    tabs = [await t.join(visitor) for _ in range(3)]
    await t.wait_for(count=1, low=1, high=1)
    tabs[0].close_normally(NORMAL_CLOSURE)
    await tabs[0].ended()
    tabs[1].cut()
    await t.settle()
    await t.wait_for(count=1, low=1, high=1)
    tabs[2].send_message("leave")
    await t.wait_for(count=0)


@check("own room")
async def a_second_join_is_an_error(t: HostCheckContext) -> None:
    """A connection joins or observes once; a second join or observe is an error without effect."""
    person = await t.join()
    person.send_message("join", visitor=new_visitor())
    expect_error((await person.receive("error"))["error"], "already_joined", 409)
    person.send_message("observe")
    expect_error((await person.receive("error"))["error"], "already_joined", 409)
    await t.settle()
    await t.wait_for(count=1)


# --- Moods ------------------------------------------------------------------------------------------------


@check("own room")
async def a_mood_change_is_atomic(t: HostCheckContext) -> None:
    """A change of mood is atomic: every broadcast counts the visitor in exactly one mood."""
    moods = (*t.terms.moods, UNSPOKEN)
    observer = await t.observe()
    person = await t.join(mood=moods[0])
    await observer.receive("presence", having(count=1))
    await t.settle()
    begun = len(observer.texts)
    for mood in (*moods[1:], *moods[:-1], moods[0]):
        person.send_message("mood", mood=mood)
        await t.advance(t.terms.push_ms // 2)
    await observer.receive("presence", having(count=1, moods={moods[0]: 1}, unspoken=0))
    for presence in map(json.loads, observer.texts[begun:]):
        total = sum(presence["moods"].values()) + presence["unspoken"]
        expect(that=presence["count"] == total == 1, seen=short_presence(presence))
    person.send_message("mood", mood=moods[1])
    wanted = {"unspoken": 1} if moods[1] == UNSPOKEN else {"moods": {moods[1]: 1}, "unspoken": 0}
    await observer.receive("presence", having(count=1, **wanted))


@check("own room")
async def a_mood_can_be_withdrawn(t: HostCheckContext) -> None:
    """The mood ``unspoken`` withdraws the visitor's mood."""
    person = await t.join(mood=t.terms.moods[0])
    person.send_message("mood", mood=UNSPOKEN)
    await t.wait_for(count=1, moods={}, unspoken=1)


@check("own room")
async def the_last_mood_counts(t: HostCheckContext) -> None:
    """Of a visitor with several connections the last mood counts, and a join without a mood changes none."""
    visitor, mood = new_visitor(), t.terms.moods[-1]
    first = await t.join(visitor, mood=t.terms.moods[0])
    second = await t.join(visitor)
    await t.wait_for(count=1, moods={t.terms.moods[0]: 1})
    second.send_message("mood", mood=mood)
    await t.wait_for(count=1, moods={mood: 1})
    first.send_message("mood", mood=UNSPOKEN)
    await t.wait_for(count=1, moods={}, unspoken=1)


@check("own room")
async def a_mood_needs_a_join(t: HostCheckContext) -> None:
    """A mood from a connection that has not joined is an error, and the connection stays open."""
    for socket in (await t.socket(), await t.observe()):
        socket.send_message("mood", mood=t.terms.moods[0])
        expect_error((await socket.receive("error"))["error"], "not_joined", 409)
        socket.send_message("time", sent_ms=1)
        await socket.receive("time")
    await t.wait_for(count=0)


# --- Ping and time, errors, broadcasts --------------------------------------------------------------------

NEAR_PINGS: Final = (
    '{"type": "ping"}',
    ' {"type":"ping"}\n',
    '{"type":"ping","n":1}',
    '{"n":1,"type":"ping"}',
)
"""Texts of the same meaning as ``PING``, which a host has to decode."""


@check("own room")
async def a_ping_is_answered_by_a_pong(t: HostCheckContext) -> None:
    """A ping needs no join, and is answered by exactly ``{"type":"pong"}``; other spacing and unknown keys
    make no difference.
    """
    for connection in (await t.socket(), await t.join(), await t.observe()):
        for ping in (PING.decode(), *NEAR_PINGS):
            received = len(connection.texts)
            connection.send_text(ping)
            await connection.receive("pong")
            pongs = [text for text in connection.texts[received:] if read_object(text)["type"] == "pong"]
            expect(that=pongs == [PONG.decode()], seen=f"{ping!r} was answered by {pongs}")
    await t.wait_for(count=1)


@check("own room")
async def a_time_request_is_answered(t: HostCheckContext) -> None:
    """A time request needs no join, and is answered with the server's
    time and its own ``sent_ms`` unchanged.
    """
    socket = await t.socket()
    for sent_ms in (12.5, 0, -3, 1_767_225_600_123, 1e-7):
        now_ms = (await t.get("/config")).json()["now_ms"]
        socket.send_message("time", sent_ms=sent_ms)
        answer = await socket.receive("time")
        expect(that=answer.keys() == {"type", "sent_ms", "now_ms"}, seen=answer)
        expect(that=answer["sent_ms"] == sent_ms, seen=f"sent {sent_ms!r}, came back {answer['sent_ms']!r}")
        late_ms = answer["now_ms"] - now_ms
        expect(
            that=type(answer["now_ms"]) is int and abs(late_ms) < 1_000 * PATIENCE_S, seen=f"{late_ms} ms off"
        )
    for wrong in ("soon", True, 2**54):
        socket.send_message("time", sent_ms=wrong)
        expect_error((await socket.receive("error"))["error"], "bad_sent_ms", 400)


@check("own room")
async def an_invalid_message_is_an_error(t: HostCheckContext) -> None:
    """An invalid message is answered by an error and has no effect, and the connection stays open."""
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
        answer = await person.receive("error")
        expect(that=answer.keys() == {"type", "error"}, seen=answer)
        expect_error(answer["error"], code, 400)
    await t.wait_for(count=0)
    person.send_message("join", visitor=new_visitor(), mood=t.terms.moods[0])
    await person.receive("presence", having(count=1))
    person.send_message("mood", mood="no such mood")
    expect_error((await person.receive("error"))["error"], "unknown_mood", 400)
    await t.wait_for(count=1, moods={t.terms.moods[0]: 1})


@check("own room")
async def broadcasts_are_rate_limited(t: HostCheckContext) -> None:
    """A connection receives at most one broadcast per ``push_ms``, and always the last state."""
    moods = (*t.terms.moods, UNSPOKEN)
    observer = await t.observe()
    person = await t.join(mood=moods[0])
    await observer.receive("presence", having(count=1))
    await t.settle()
    begun, begun_at_s = len(observer.texts), time.monotonic()
    for index in range(40):
        person.send_message("mood", mood=moods[1:][index % (len(moods) - 1)])
    person.send_message("mood", mood=moods[0])
    await t.settle()
    await observer.receive("presence", having(moods={moods[0]: 1}))
    received = len(observer.texts) - begun
    passed_ms = max(2 * t.terms.push_ms, 1_000 * (time.monotonic() - begun_at_s))
    bound = passed_ms / t.terms.push_ms + 2
    expect(that=received <= bound, seen=f"{received} broadcasts within {passed_ms:.0f} ms")
    last = read_object(observer.texts[-1])
    expect(that=matches(last, {"moods": {moods[0]: 1}}), seen=f"the last broadcast: {short_presence(last)}")


# --- Leaves, disconnects and leases -----------------------------------------------------------------------


@check("own room")
async def a_leave_message_takes_effect_at_once(t: HostCheckContext) -> None:
    """A leave is answered by close 1000, and the visitor is not counted any more at once."""
    observer = await t.observe()
    person = await t.join()
    await observer.receive("presence", having(count=1))
    person.send_message("leave")
    end = await person.ended()
    expect(that=end.code == NORMAL_CLOSURE, seen=f"closed with {end}")
    presence = await t.presence()
    expect(that=matches(presence, {"count": 0, "high": 0}), seen=short_presence(presence))
    await observer.receive("presence", having(count=0, high=0))


@check("own room")
async def a_normal_closure_is_a_leave(t: HostCheckContext) -> None:
    """Closing a connection with 1000 or 1001 has the effect of a leave."""
    for code in (NORMAL_CLOSURE, GOING_AWAY):
        person = await t.join()
        await t.wait_for(count=1)
        person.close_normally(code)
        await person.ended()
        presence = await t.presence()
        expect(
            that=matches(presence, {"count": 0, "high": 0}), seen=f"{short_presence(presence)} after {code}"
        )


@check("own room")
async def a_disconnected_visitor_is_suspect(t: HostCheckContext) -> None:
    """A visitor whose last connection is lost is suspect: counted in ``high`` and not in ``low``."""
    observer = await t.observe()
    await t.join(mood=t.terms.moods[0])
    lost = await t.join(mood=t.terms.moods[0])
    lost.cut()
    await observer.receive("presence", having(count=2, low=1, high=2, moods={t.terms.moods[0]: 2}))


@check("own room")
async def a_visitor_who_rejoins_in_time_is_confirmed(t: HostCheckContext) -> None:
    """A join with the same visitor id within ``grace_ms`` confirms the suspect visitor, with the mood of
    before.
    """
    visitor, mood = new_visitor(), t.terms.moods[-1]
    (await t.join(visitor, mood=mood)).cut()
    await t.wait_for(count=1, low=0, high=1)
    await t.join(visitor)
    await t.wait_for(count=1, low=1, high=1, moods={mood: 1})
    await t.pass_time(t.terms.grace_ms)
    await t.settle()
    await t.wait_for(count=1, low=1, high=1)


@check("own room")
async def a_visitor_who_does_not_rejoin_expires(t: HostCheckContext) -> None:
    """A suspect visitor expires after ``grace_ms``, and not before."""
    observer = await t.observe()
    (await t.join()).cut()
    await observer.receive("presence", having(count=1, low=0, high=1))
    await t.advance(t.terms.grace_ms // 2)
    presence = await t.presence()
    expect(that=presence["count"] == 1, seen=f"{short_presence(presence)} after half of the grace")
    await t.advance(t.terms.grace_ms - t.terms.grace_ms // 2)
    await observer.receive("presence", having(count=0, low=0, high=0))
    await t.wait_for(count=0)


@check("own room")
async def an_idle_connection_stays_open(t: HostCheckContext) -> None:
    """A connection that sends no message but answers the host's control pings stays open, and its visitor
    counted.
    """
    person = await t.join()
    await t.pass_time(t.terms.lease_ms * 3 // 2)
    expect(that=person.is_open, seen="the connection was closed")
    await t.wait_for(count=1, low=1, high=1)


@check("own room")
async def a_dead_connection_is_closed(t: HostCheckContext) -> None:
    """A connection from which no frame arrives, not even a control pong, is closed after ``lease_ms``, and
    its visitor expires.
    """
    person = await t.socket()
    person.answers_pings = False
    person.send_message("join", visitor=new_visitor())
    await person.receive("presence", having(count=1))
    await t.pass_time(t.terms.lease_ms)
    await person.ended()
    await t.pass_time(t.terms.grace_ms)
    await t.wait_for(count=0)


# --- Close codes ------------------------------------------------------------------------------------------


@check("own room")
async def a_connection_without_a_join_is_closed(t: HostCheckContext) -> None:
    """A connection without join or observe in time is closed with 4001, even if it sent other messages."""
    idle, active = await t.socket(), await t.socket()
    active.send_message("time")
    await t.advance(t.terms.join_ms)
    for socket in (idle, active):
        end = await socket.ended()
        expect(that=end.code == JOIN_LATE, seen=f"closed with {end}")


@check("own room")
async def an_unmasked_frame_is_refused(t: HostCheckContext) -> None:
    """A frame without a mask breaks RFC 6455: close 1002."""
    person = await t.join()
    person.send_unmasked('{"type": "leave"}')
    end = await person.ended()
    expect(that=end.code == PROTOCOL_ERROR, seen=f"closed with {end}")


@check("own room")
async def a_binary_message_is_refused(t: HostCheckContext) -> None:
    """A binary message is closed with 1003."""
    person = await t.join()
    person.send_binary(b'{"type": "leave"}')
    end = await person.ended()
    expect(that=end.code == NOT_TEXT, seen=f"closed with {end}")


@check("own room")
async def text_that_is_not_utf8_is_refused(t: HostCheckContext) -> None:
    """Text that is not UTF-8 is closed with 1007."""
    person = await t.join()
    person.send_text(b'{"type": "\xff\xfe"}')
    end = await person.ended()
    expect(that=end.code == NOT_UTF8, seen=f"closed with {end}")


@check("own room")
async def a_long_message_is_refused(t: HostCheckContext) -> None:
    """A message over the maximum size is closed with 1009, and one of exactly that size is not."""
    person = await t.join()
    person.send_text('{"type": "time", "sent_ms": 1}'.ljust(t.terms.message_bytes_max))
    await person.receive("time")
    person.send_text('{"type": "time", "sent_ms": 1}'.ljust(t.terms.message_bytes_max + 1))
    end = await person.ended()
    expect(that=end.code == TOO_BIG, seen=f"closed with {end}")


@check("own room")
async def too_many_invalid_messages_are_refused(t: HostCheckContext) -> None:
    """A connection that sends too many invalid messages is closed with 4500."""
    person = await t.join()
    for _ in range(BAD_MESSAGES_MAX):
        person.send_text("nonsense")
    end = await person.ended()
    expect(that=end.code == BAD_MESSAGES, seen=f"closed with {end}")


@check("own room")
async def too_many_sockets_are_refused(t: HostCheckContext) -> None:
    """A connection over a visitor's limit is closed with 4501, and the earlier ones stay open."""
    visitor = new_visitor()
    for _ in range(SOCKETS_MAX):
        socket = await t.socket()
        socket.send_message("join", visitor=visitor)
        socket.send_message("time", sent_ms=1)
        try:
            await socket.receive("time")
        except AssertionError:
            end = await socket.ended()
            expect(that=end.code == TOO_MANY_SOCKETS, seen=f"closed with {end}")
            break
    else:
        raise AssertionError(f"{SOCKETS_MAX} connections of one visitor were accepted")
    await t.wait_for(count=1, low=1, high=1)
