"""Hosts that break a promise of presence."""

import secrets

from starlette.types import Scope

from testing.bad_hosts.good import Answer, Good, Presences, Told, noting

CAUGHT_BY: dict[type[Good], str] = {}
caught_by = noting(CAUGHT_BY)


@caught_by("a_presence_is_whole")
class ListsUsers(Presences):
    """It lists who is here."""

    def change(self, presence: Told) -> Told:
        return {**presence, "users": []}


@caught_by("a_presence_is_whole")
class UnknownIsZero(Presences):
    """It says 0 where it does not know."""

    def change(self, presence: Told) -> Told:
        return {**presence, "method": "unknown", "count": 0, "high": 0}


@caught_by("a_presence_is_whole")
class ForgetsTheUnspoken(Presences):
    """Its moods do not sum to its count."""

    def change(self, presence: Told) -> Told:
        return {**presence, "unspoken": 0}


@caught_by("a_presence_is_whole")
class LabelsWrongly(Presences):
    """Its label is another number than its count."""

    def change(self, presence: Told) -> Told:
        return {**presence, "label": "1,000"}


@caught_by("a_presence_is_whole")
class CountsInFractions(Presences):
    """It has three halves of a person."""

    def change(self, presence: Told) -> Told:
        return {**presence, "low": float(presence["low"])}


@caught_by("an_empty_room_is_empty")
class IsNeverEmpty(Presences):
    """It counts whoever asks."""

    def change(self, presence: Told) -> Told:
        return {**presence, "count": presence["count"] or 1}


@caught_by("a_presence_says_when_it_was_true")
class TellsSeconds(Presences):
    """Its times are in seconds."""

    def change(self, presence: Told) -> Told:
        return {**presence, "as_of_ms": presence["as_of_ms"] // 1_000}


@caught_by("a_presence_says_when_it_was_true")
class StandsStill(Presences):
    """Its clock stands."""

    def change(self, presence: Told) -> Told:
        return {**presence, "as_of_ms": presence["as_of_ms"] // 10_000 * 10_000}


@caught_by("a_presence_can_be_kept_by_caches")
class HasNoEtag(Good):
    """It gives no ETag."""

    def answered(self, answer: Answer) -> Answer:
        answer.headers.pop("etag", None)
        return answer


@caught_by("a_presence_can_be_kept_by_caches")
class IsNeverCached(Good):
    """It forbids caches to keep anything."""

    def answered(self, answer: Answer) -> Answer:
        answer.headers["cache-control"] = "no-store"
        return answer


@caught_by("a_presence_can_be_kept_by_caches")
class NeverNotModified(Good):
    """It takes no notice of If-None-Match."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"if-none-match"]}, body


@caught_by("a_presence_can_be_kept_by_caches")
class AlwaysNotModified(Good):
    """It takes whoever has something for somebody who has the latest."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        headers = [(name, b"*" if name == b"if-none-match" else value) for name, value in scope["headers"]]
        return {**scope, "headers": headers}, body


@caught_by("everybody_is_told_the_same")
class TellsEachOne(Presences):
    """It tells each one something of their own."""

    def change(self, presence: Told) -> Told:
        return {**presence, "you": secrets.token_hex(4)}


@caught_by("a_message_does_not_grow_with_the_crowd")
class GrowsWithTheCrowd(Presences):
    """It has a letter for each person in each message."""

    def change(self, presence: Told) -> Told:
        return {**presence, "crowd": "visitor" * presence["count"]}


@caught_by("nobody_is_named")
class Parrots(Good):
    """Its errors repeat what they are about."""

    last = ""

    def said(self, message: Told) -> Told:
        self.last = str(message)
        return message

    def told(self, message: Told) -> list[Told]:
        if message["type"] == "error":
            message["error"]["message"] += self.last
        return [message]


@caught_by("unknown_keys_are_ignored")
class KnowsAllKeys(Good):
    """It does not answer to messages with keys that it does not know."""

    def said(self, message: Told) -> Told | None:
        return message if message.keys() <= {"type", "visitor", "mood", "sent_ms"} else None
