"""Hosts with a fault in the presence."""

import secrets

from starlette.types import Scope

from testing.bad_hosts.good import Answer, Good, Json, Presences, noting

CAUGHT_BY: dict[type[Good], str] = {}
caught_by = noting(CAUGHT_BY)


@caught_by("a_presence_is_complete")
class ListsUsers(Presences):
    """It lists the visitors."""

    def change(self, presence: Json) -> Json:
        return {**presence, "users": []}


@caught_by("a_presence_is_complete")
class UnknownIsZero(Presences):
    """It publishes an unknown count as 0."""

    def change(self, presence: Json) -> Json:
        return {**presence, "method": "unknown", "count": 0, "high": 0}


@caught_by("a_presence_is_complete")
class ForgetsTheUnspoken(Presences):
    """Its moods do not sum to its count."""

    def change(self, presence: Json) -> Json:
        return {**presence, "unspoken": 0}


@caught_by("a_presence_is_complete")
class LabelsWrongly(Presences):
    """Its label is another number than its count."""

    def change(self, presence: Json) -> Json:
        return {**presence, "label": "1,000"}


@caught_by("a_presence_is_complete")
class CountsInFractions(Presences):
    """Its ``low`` is no integer."""

    def change(self, presence: Json) -> Json:
        return {**presence, "low": float(presence["low"])}


@caught_by("an_empty_room_is_empty")
class IsNeverEmpty(Presences):
    """It never publishes a count of 0."""

    def change(self, presence: Json) -> Json:
        return {**presence, "count": presence["count"] or 1}


@caught_by("a_presence_is_timestamped")
class TimestampsInSeconds(Presences):
    """Its times are in seconds."""

    def change(self, presence: Json) -> Json:
        return {**presence, "as_of_ms": presence["as_of_ms"] // 1_000}


@caught_by("a_presence_is_timestamped")
class StandsStill(Presences):
    """Its clock does not advance."""

    def change(self, presence: Json) -> Json:
        return {**presence, "as_of_ms": presence["as_of_ms"] // 10_000 * 10_000}


@caught_by("a_presence_is_cacheable")
class HasNoEtag(Good):
    """It sends no ETag."""

    def answered(self, answer: Answer) -> Answer:
        answer.headers.pop("etag", None)
        return answer


@caught_by("a_presence_is_cacheable")
class IsNeverCached(Good):
    """It forbids caches to keep anything."""

    def answered(self, answer: Answer) -> Answer:
        answer.headers["cache-control"] = "no-store"
        return answer


@caught_by("a_presence_is_cacheable")
class NeverNotModified(Good):
    """It ignores If-None-Match."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"if-none-match"]}, body


@caught_by("a_presence_is_cacheable")
class AlwaysNotModified(Good):
    """It answers every If-None-Match with 304."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        headers = [(name, b"*" if name == b"if-none-match" else value) for name, value in scope["headers"]]
        return {**scope, "headers": headers}, body


@caught_by("all_subscribers_receive_the_same_bytes")
class PersonalizesBroadcasts(Presences):
    """It adds something of its own to each subscriber's broadcast."""

    def change(self, presence: Json) -> Json:
        return {**presence, "you": secrets.token_hex(4)}


@caught_by("a_message_does_not_grow_with_the_crowd")
class GrowsWithTheCrowd(Presences):
    """Its messages have some letters for each person."""

    def change(self, presence: Json) -> Json:
        return {**presence, "crowd": "visitor" * presence["count"]}


@caught_by("no_visitor_id_is_disclosed")
class Parrots(Good):
    """Its errors repeat the message that they are about."""

    last = ""

    def from_client(self, message: Json) -> Json:
        self.last = str(message)
        return message

    def to_client(self, message: Json) -> list[Json]:
        if message["type"] == "error":
            message["error"]["message"] += self.last
        return [message]


@caught_by("unknown_keys_are_ignored")
class KnowsAllKeys(Good):
    """It ignores messages with unknown keys."""

    def from_client(self, message: Json) -> Json | None:
        return message if message.keys() <= {"type", "visitor", "mood", "sent_ms"} else None
