"""Hosts with a fault in their WebSockets."""

import asyncio
from dataclasses import replace

from starlette.types import Message, Receive, Scope, Send

from breathing_room.core.config import UNSPOKEN
from testing.bad_hosts.good import TIMES, Answer, Good, Json, fresh, noting

CAUGHT_BY: dict[type[Good], str] = {}
caught_by = noting(CAUGHT_BY)


@caught_by("a_join_counts")
class CountsNoJoins(Good):
    """It takes every join for an observe."""

    def from_client(self, message: Json) -> Json:
        return {"type": "observe"} if message["type"] == "join" else message


@caught_by("a_join_counts")
class RepliesTooEarly(Good):
    """Its reply to a join does not include the visitor."""

    def to_client(self, message: Json) -> list[Json]:
        return [{**message, "count": message["count"] - 1} if message.get("count") else message]


@caught_by("an_observer_is_not_counted")
class CountsObservers(Good):
    """It counts observers."""

    def from_client(self, message: Json) -> Json:
        return fresh({"type": "join"}) if message["type"] == "observe" else message


@caught_by("several_connections_are_one_visitor")
class CountsSockets(Good):
    """It counts connections."""

    def from_client(self, message: Json) -> Json:
        return fresh(message) if message["type"] == "join" else message


@caught_by("a_second_join_is_an_error")
class SwallowsErrors(Good):
    """It sends no errors."""

    def to_client(self, message: Json) -> list[Json]:
        return [] if message["type"] == "error" else [message]


@caught_by("a_mood_change_is_atomic")
class LeavesAndJoins(Good):
    """It broadcasts a change of mood as a leave and a join."""

    def to_client(self, message: Json) -> list[Json]:
        without = {
            **message,
            "count": 0,
            "low": 0,
            "high": 0,
            "moods": dict.fromkeys(message.get("moods", ()), 0),
        }
        return [without, message] if message["type"] == "presence" else [message]


@caught_by("a_mood_can_be_withdrawn")
class KeepsMoods(Good):
    """It ignores the withdrawal of a mood."""

    def from_client(self, message: Json) -> Json | None:
        return None if message == {"type": "mood", "mood": UNSPOKEN} else message


@caught_by("the_last_mood_counts")
class JoinsWithdrawMoods(Good):
    """It takes a join without a mood for a withdrawal."""

    def from_client(self, message: Json) -> Json:
        return {"mood": UNSPOKEN, **message} if message["type"] == "join" else message


@caught_by("a_mood_needs_a_join")
class AcceptsMoodsOfObservers(Good):
    """It sends no error when an observer names a mood."""

    def to_client(self, message: Json) -> list[Json]:
        return [] if message["type"] == "error" else [message]


@caught_by("a_ping_is_answered_by_a_pong")
class IgnoresPings(Good):
    """It answers no pings."""

    def to_client(self, message: Json) -> list[Json]:
        return [] if message["type"] == "pong" else [message]


@caught_by("a_ping_is_answered_by_a_pong")
class KnowsOnlyTheConstant(Good):
    """It answers the constant text of a ping, and not one with an unknown key."""

    def from_client(self, message: Json) -> Json | None:
        return None if message["type"] == "ping" and message.keys() != {"type"} else message


@caught_by("a_ping_is_answered_by_a_pong")
class PongsWithTheTime(Good):
    """Its pong has a field."""

    def to_client(self, message: Json) -> list[Json]:
        return [{**message, "now_ms": 1} if message["type"] == "pong" else message]


@caught_by("a_time_request_is_answered")
class TakesAnyTime(Good):
    """It answers a ``sent_ms`` that is no number."""

    def from_client(self, message: Json) -> Json:
        return {**message, "sent_ms": 0} if isinstance(message.get("sent_ms"), str | bool) else message


@caught_by("a_time_request_is_answered")
class RoundsSentTimes(Good):
    """It returns a rounded ``sent_ms``."""

    def to_client(self, message: Json) -> list[Json]:
        return [{**message, "sent_ms": round(message["sent_ms"])} if message["type"] == "time" else message]


@caught_by("a_time_request_is_answered")
class AnswersInSeconds(Good):
    """Its time is in seconds."""

    def to_client(self, message: Json) -> list[Json]:
        return [{**message, "now_ms": message["now_ms"] // 1_000} if message["type"] == "time" else message]


@caught_by("an_invalid_message_is_an_error")
class FlattensErrors(Good):
    """Its errors over WebSockets have another shape than those over HTTP."""

    def to_client(self, message: Json) -> list[Json]:
        return [{"type": "error", **message["error"]} if message["type"] == "error" else message]


@caught_by("broadcasts_are_rate_limited")
class RepeatsMessages(Good):
    """It sends every message ten times."""

    def to_client(self, message: Json) -> list[Json]:
        return [message] * 10


@caught_by("a_leave_message_takes_effect_at_once")
class ClosesOtherwise(Good):
    """It answers a leave with another close code."""

    def closed(self, code: int) -> int:
        return 4000 if code == 1000 else code


@caught_by("a_leave_message_takes_effect_at_once")
class KeepsThoseWhoLeft(Good):
    """It counts visitors who left as it counts suspect ones."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b'"count":0', b'"count":1'))


@caught_by("a_normal_closure_is_a_leave")
class TakesClosesForDisconnects(Good):
    """It takes a normal closure for a lost connection."""

    def parted(self, code: int) -> int:
        del code
        return 1006


@caught_by("a_disconnected_visitor_is_suspect")
class TakesDisconnectsForLeaves(Good):
    """It takes a lost connection for a leave."""

    def parted(self, code: int) -> int:
        del code
        return 1000


@caught_by("a_visitor_who_rejoins_in_time_is_confirmed")
class ForgetsVisitors(Good):
    """It takes a visitor who rejoins for another one."""

    def from_client(self, message: Json) -> Json:
        return fresh(message) if message["type"] == "join" else message


@caught_by("a_visitor_who_does_not_rejoin_expires")
class GivesNoGrace(Good):
    """It removes suspect visitors before their grace is over."""

    def parted(self, code: int) -> int:
        del code
        return 1000


class ClosesQuietSockets(Good):
    """It closes connections without messages, though they answer control pings."""

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_soon() -> Message:
            try:
                async with asyncio.timeout(TIMES["lease_ms"] / 1_000):
                    return await receive()
            except TimeoutError:
                await send({"type": "websocket.close", "code": 4000})
                return {"type": "websocket.disconnect", "code": 1006}

        await super().websocket(scope, receive_soon, send)


caught_by("an_idle_connection_stays_open")(ClosesQuietSockets)


@caught_by("a_dead_connection_is_closed")
class KeepsTheDead(Good):
    """It never notices a dead connection."""

    def parted(self, code: int) -> int | None:
        return code if code == 1000 else None


@caught_by("a_connection_without_a_join_is_closed")
class ClosesWithAnyCode(Good):
    """It closes connections without a join with a code that the protocol does not define."""

    def closed(self, code: int) -> int:
        return 1008 if code == 4001 else code


@caught_by("too_many_invalid_messages_are_refused")
class IsPatient(Good):
    """It closes after too many invalid messages with a code that allows clients to reconnect."""

    def closed(self, code: int) -> int:
        return 4000 if code == 4500 else code


@caught_by("too_many_sockets_are_refused")
class InvitesBack(Good):
    """It closes excess connections with a code that allows clients to reconnect."""

    def closed(self, code: int) -> int:
        return 4003 if code == 4501 else code
