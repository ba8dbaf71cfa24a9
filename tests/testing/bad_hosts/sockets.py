"""Hosts that break a promise of WebSockets."""

import asyncio
from dataclasses import replace

from starlette.types import Message, Receive, Scope, Send

from breathing_room.core.config import UNSPOKEN
from testing.bad_hosts.good import TIMES, Answer, Good, Told, fresh, noting

CAUGHT_BY: dict[type[Good], str] = {}
caught_by = noting(CAUGHT_BY)


@caught_by("a_join_counts")
class CountsNobody(Good):
    """It takes everybody for an observer."""

    def said(self, message: Told) -> Told:
        return {"type": "observe"} if message["type"] == "join" else message


@caught_by("a_join_counts")
class AnswersTooEarly(Good):
    """Its answer to a join does not count the one who joined."""

    def told(self, message: Told) -> list[Told]:
        return [{**message, "count": message["count"] - 1} if message.get("count") else message]


@caught_by("an_observer_is_not_counted")
class CountsObservers(Good):
    """It counts observers."""

    def said(self, message: Told) -> Told:
        return fresh({"type": "join"}) if message["type"] == "observe" else message


@caught_by("several_sockets_are_one_person")
class CountsSockets(Good):
    """It counts sockets."""

    def said(self, message: Told) -> Told:
        return fresh(message) if message["type"] == "join" else message


@caught_by("a_second_join_is_an_error")
class SwallowsErrors(Good):
    """It says nothing about what it did not understand."""

    def told(self, message: Told) -> list[Told]:
        return [] if message["type"] == "error" else [message]


@caught_by("a_mood_moves_in_one_go")
class LeavesAndJoins(Good):
    """Its changes of mood are a leave and a join."""

    def told(self, message: Told) -> list[Told]:
        without = {
            **message,
            "count": 0,
            "low": 0,
            "high": 0,
            "moods": dict.fromkeys(message.get("moods", ()), 0),
        }
        return [without, message] if message["type"] == "presence" else [message]


@caught_by("a_mood_can_be_taken_back")
class KeepsMoods(Good):
    """It keeps a mood that is taken back."""

    def said(self, message: Told) -> Told | None:
        return None if message == {"type": "mood", "mood": UNSPOKEN} else message


@caught_by("the_last_mood_counts")
class JoinsTakeMoodsBack(Good):
    """It takes a join without a mood for a mood taken back."""

    def said(self, message: Told) -> Told:
        return {"mood": UNSPOKEN, **message} if message["type"] == "join" else message


@caught_by("a_mood_needs_a_join")
class LetsObserversFeel(Good):
    """It says nothing when an observer names a mood."""

    def told(self, message: Told) -> list[Told]:
        return [] if message["type"] == "error" else [message]


@caught_by("a_ping_is_answered_by_a_pong")
class PongsWithTheTime(Good):
    """It puts the time into its pongs."""

    def told(self, message: Told) -> list[Told]:
        return [message | ({"now_ms": 0} if message["type"] == "pong" else {})]


@caught_by("a_beat_tells_the_time")
class RoundsBeats(Good):
    """It gives back a rounded ``sent_ms``."""

    def told(self, message: Told) -> list[Told]:
        return [{**message, "sent_ms": round(message["sent_ms"])} if message["type"] == "time" else message]


@caught_by("a_beat_tells_the_time")
class BeatsInSeconds(Good):
    """It tells the time in seconds."""

    def told(self, message: Told) -> list[Told]:
        return [{**message, "now_ms": message["now_ms"] // 1_000} if message["type"] == "time" else message]


@caught_by("a_senseless_message_is_an_error")
class FlattensErrors(Good):
    """Its errors over sockets have another shape than those over HTTP."""

    def told(self, message: Told) -> list[Told]:
        return [{"type": "error", **message["error"]} if message["type"] == "error" else message]


@caught_by("announcements_are_spared")
class TellsTooMuch(Good):
    """It tells everything ten times."""

    def told(self, message: Told) -> list[Told]:
        return [message] * 10


@caught_by("a_goodbye_is_at_once")
class ClosesOtherwise(Good):
    """It answers a goodbye with another code."""

    def closed(self, code: int) -> int:
        return 4000 if code == 1000 else code


@caught_by("a_goodbye_is_at_once")
class DoubtsGoodbyes(Good):
    """It keeps those who left for as long as those who broke."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b'"count":0', b'"count":1'))


@caught_by("a_polite_close_is_a_goodbye")
class TakesAllForBroken(Good):
    """It takes those who close for those who broke."""

    def parted(self, code: int) -> int:
        del code
        return 1006


@caught_by("a_broken_socket_leaves_a_doubt")
class TakesAllForPolite(Good):
    """It takes those who broke for those who left."""

    def parted(self, code: int) -> int:
        del code
        return 1000


@caught_by("who_comes_back_in_time_is_there_again")
class KnowsNobody(Good):
    """It takes whoever comes back for somebody else."""

    def said(self, message: Told) -> Told:
        return fresh(message) if message["type"] == "join" else message


@caught_by("who_does_not_come_back_is_gone")
class GivesNoGrace(Good):
    """It drops those who broke before their grace is over."""

    def parted(self, code: int) -> int:
        del code
        return 1000


class ClosesQuietSockets(Good):
    """It closes those who say nothing for a while, though their connection lives."""

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_soon() -> Message:
            try:
                async with asyncio.timeout(TIMES["lease_ms"] / 1_000):
                    return await receive()
            except TimeoutError:
                await send({"type": "websocket.close", "code": 4000})
                return {"type": "websocket.disconnect", "code": 1006}

        await super().websocket(scope, receive_soon, send)


caught_by("a_quiet_socket_stays")(ClosesQuietSockets)


@caught_by("a_dead_socket_is_closed")
class KeepsTheDead(Good):
    """It never notices that somebody is gone."""

    def parted(self, code: int) -> int | None:
        return code if code == 1000 else None


@caught_by("who_says_nothing_is_closed")
class ClosesWithAnyCode(Good):
    """It closes the late with a code of no meaning."""

    def closed(self, code: int) -> int:
        return 1008 if code == 4001 else code


@caught_by("endless_nonsense_is_refused")
class IsPatient(Good):
    """It closes those who talk nonsense with a code that lets them come back."""

    def closed(self, code: int) -> int:
        return 4000 if code == 4500 else code


@caught_by("too_many_sockets_are_refused")
class InvitesBack(Good):
    """It closes those with too many sockets with a code that lets them come back."""

    def closed(self, code: int) -> int:
        return 4003 if code == 4501 else code
