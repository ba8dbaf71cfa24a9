"""Hosts that break a promise of HTTP."""

import json
import re
from dataclasses import replace

from starlette.types import Scope

from breathing_room.core.config import UNSPOKEN
from testing.bad_hosts.good import Answer, Good, Told, fresh, noting

CAUGHT_BY: dict[type[Good], str] = {}
caught_by = noting(CAUGHT_BY)


class Configs(Good):
    """Changes every config."""

    def change(self, config: Told) -> Told:
        return config

    def answered(self, answer: Answer) -> Answer:
        return answer.saying(self.change(json.loads(answer.body))) if answer.what == "/config" else answer


@caught_by("a_config_is_whole")
class HasNoClock(Configs):
    """Its config does not say what time it is."""

    def change(self, config: Told) -> Told:
        del config["now_ms"]
        return config


@caught_by("a_config_is_whole")
class BreathesOtherwise(Configs):
    """It gives a known breath other lengths."""

    def change(self, config: Told) -> Told:
        config["breath"]["phases"][0][1] += 1
        return config


@caught_by("a_history_has_hours_of_the_week")
class HasNoHistory(Good):
    """It has nothing to tell of the past."""

    def answered(self, answer: Answer) -> Answer:
        return answer.saying({}) if answer.what == "/history" else answer


@caught_by("a_badge_shows_the_label")
class DrawsBadly(Good):
    """Its badge is not well-formed."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b"</g>", b""))


@caught_by("a_beat_joins")
class HearsNoBeats(Good):
    """It answers beats and does not count them."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        if self.room_of(scope)[1] == "/heartbeat":
            scope = {**self.redirected(scope, "/heartbeat", ""), "method": "GET"}
        return scope, body


class Bodies(Good):
    """Changes the bodies of beats, or of goodbyes."""

    end = "/heartbeat"

    def change(self, body: Told) -> Told:
        return body

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        if self.room_of(scope)[1] == self.end:
            body = json.dumps(self.change(json.loads(body))).encode()
        return scope, body


@caught_by("a_beat_is_no_second_person")
class CountsBeats(Bodies):
    """It counts every beat."""

    def change(self, body: Told) -> Told:
        return fresh(body)


@caught_by("a_beat_changes_the_mood_or_leaves_it")
class BeatsTakeMoodsBack(Bodies):
    """It takes a beat without a mood for a mood taken back."""

    def change(self, body: Told) -> Told:
        return {"mood": UNSPOKEN, **body}


@caught_by("a_leave_is_at_once")
class LetsNobodyGo(Bodies):
    """It says goodbye and keeps everybody."""

    end = "/leave"

    def change(self, body: Told) -> Told:
        return fresh(body)


@caught_by("a_leave_is_at_once")
class WantsJson(Good):
    """It takes goodbyes in JSON only, which a beacon cannot say."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, status=415) if answer.what == "/leave" and not answer.to_json else answer


@caught_by("a_stranger_may_leave")
class KnowsStrangers(Good):
    """It tells those who leave that they are not there."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, status=404) if answer.what == "/leave" else answer


@caught_by("an_event_stream_tells_presence")
class NamesNoEvents(Good):
    """Its events have no name."""

    def streamed(self, chunk: bytes) -> bytes:
        return chunk.replace(b"event: presence\n", b"")


@caught_by("an_event_stream_tells_presence")
class TellsOnlyOnce(Good):
    """Its streams tell what is, and never what changed."""

    def streamed(self, chunk: bytes) -> bytes:
        return chunk if b'"count":0' in chunk else b""


@caught_by("a_listener_is_not_counted")
class CountsListeners(Good):
    """It counts whoever listens."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        room, what = self.room_of(scope)
        if what == "/events":
            self.come_in(room)
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
class MendsNames(Good):
    """It takes what cannot be a room's name for one that can."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        path = re.sub(
            r"(?<=/v1/rooms/)[^/]+",
            lambda found: re.sub("[^a-z0-9]", "", found[0].lower())[:64],
            scope["path"],
        )
        return {**scope, "path": path, "raw_path": path.encode()}, body


@caught_by("a_wrong_path_is_an_error")
class AllowsNothing(Good):
    """It does not say which method is right."""

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
