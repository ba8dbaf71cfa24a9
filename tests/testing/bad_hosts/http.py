"""Hosts with a fault in their HTTP paths."""

import json
import re
from dataclasses import replace

from starlette.types import Scope

from breathing_room.core.config import UNSPOKEN
from testing.bad_hosts.good import Answer, Good, Json, fresh, noting

CAUGHT_BY: dict[type[Good], str] = {}
caught_by = noting(CAUGHT_BY)


class Configs(Good):
    """Changes every config."""

    def change(self, config: Json) -> Json:
        return config

    def answered(self, answer: Answer) -> Answer:
        return answer.saying(self.change(json.loads(answer.body))) if answer.what == "/config" else answer


@caught_by("a_config_is_complete")
class HasNoClock(Configs):
    """Its config lacks the server's time."""

    def change(self, config: Json) -> Json:
        del config["now_ms"]
        return config


@caught_by("a_config_is_complete")
class HasNoPingInterval(Configs):
    """Its config lacks the time between two pings."""

    def change(self, config: Json) -> Json:
        del config["ping_ms"]
        return config


@caught_by("a_config_is_complete")
class HasNoPause(Configs):
    """Its time between two pings is 0."""

    def change(self, config: Json) -> Json:
        return {**config, "ping_ms": 0}


@caught_by("a_config_is_complete")
class BreathesOtherwise(Configs):
    """It gives a known breath other lengths."""

    def change(self, config: Json) -> Json:
        config["breath"]["phases"][0][1] += 1
        return config


@caught_by("a_history_has_hours_of_the_week")
class HasNoHistory(Good):
    """Its history has no averages."""

    def answered(self, answer: Answer) -> Answer:
        return answer.saying({}) if answer.what == "/history" else answer


@caught_by("a_badge_shows_the_label")
class DrawsBadly(Good):
    """Its badge is not well-formed."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b"</g>", b""))


@caught_by("a_heartbeat_counts_its_visitor")
class IgnoresHeartbeats(Good):
    """It answers heartbeats and does not count them."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        if self.room_of(scope)[1] == "/heartbeat":
            scope = {**self.redirected(scope, "/heartbeat", ""), "method": "GET"}
        return scope, body


class Bodies(Good):
    """Changes the bodies of heartbeats, or of leaves."""

    end = "/heartbeat"

    def change(self, body: Json) -> Json:
        return body

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        if self.room_of(scope)[1] == self.end:
            body = json.dumps(self.change(json.loads(body))).encode()
        return scope, body


@caught_by("a_repeated_heartbeat_is_one_visitor")
class CountsHeartbeats(Bodies):
    """It counts every heartbeat as a visitor."""

    def change(self, body: Json) -> Json:
        return fresh(body)


@caught_by("a_heartbeat_changes_or_keeps_the_mood")
class HeartbeatsWithdrawMoods(Bodies):
    """It takes a heartbeat without a mood for a withdrawal."""

    def change(self, body: Json) -> Json:
        return {"mood": UNSPOKEN, **body}


@caught_by("a_leave_request_takes_effect_at_once")
class IgnoresLeaves(Bodies):
    """It answers leaves and removes no visitor."""

    end = "/leave"

    def change(self, body: Json) -> Json:
        return fresh(body)


@caught_by("a_leave_request_takes_effect_at_once")
class WantsJson(Good):
    """It accepts leaves in JSON only, which a beacon cannot declare."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, status=415) if answer.what == "/leave" and not answer.to_json else answer


@caught_by("an_unknown_visitor_may_leave")
class RejectsUnknownVisitors(Good):
    """It answers leaves with 404."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, status=404) if answer.what == "/leave" else answer


@caught_by("an_event_stream_sends_every_change")
class NamesNoEvents(Good):
    """Its events have no name."""

    def streamed(self, chunk: bytes) -> bytes:
        return chunk.replace(b"event: presence\n", b"")


@caught_by("an_event_stream_sends_every_change")
class StreamsOnce(Good):
    """Its streams send the first presence, and no changes."""

    def streamed(self, chunk: bytes) -> bytes:
        return chunk if b'"count":0' in chunk else b""


@caught_by("an_event_stream_is_not_counted")
class CountsReaders(Good):
    """It counts the readers of its event streams."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        room, what = self.room_of(scope)
        if what == "/events":
            self.add_visitor(room)
        return scope, body


@caught_by("a_bad_body_is_an_error")
class ExplainsOtherwise(Good):
    """Its errors have the shape of another framework's."""

    def answered(self, answer: Answer) -> Answer:
        return answer.saying({"detail": "no"}) if answer.status >= 400 else answer


@caught_by("a_bad_body_is_an_error")
class RefusesOtherwise(Good):
    """It refuses with another status."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, status=422) if answer.status == 400 else answer


@caught_by("a_bad_room_is_an_error")
class RepairsNames(Good):
    """It turns invalid room names into valid ones."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        path = re.sub(
            r"(?<=/v1/rooms/)[^/]+",
            lambda found: re.sub("[^a-z0-9]", "", found[0].lower())[:64],
            scope["path"],
        )
        return {**scope, "path": path, "raw_path": path.encode()}, body


@caught_by("a_wrong_path_is_an_error")
class AllowsNothing(Good):
    """Its 405 has no Allow."""

    def answered(self, answer: Answer) -> Answer:
        answer.headers.pop("allow", None)
        return answer


@caught_by("the_default_room_has_an_alias")
class KnowsNoAlias(Good):
    """It takes the alias for the name of a room, and refuses it."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        return {**scope, "path": scope["path"].replace("/_default", "/-default")}, body


@caught_by("the_default_room_has_an_alias")
class OpensARoomOfThatName(Good):
    """It has another room under the alias than under the name of the default room."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        return {**scope, "path": scope["path"].replace("/_default", "/default")}, body

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b'"room":"default"', b'"room":"lobby"'))
