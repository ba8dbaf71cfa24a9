"""Hosts with a fault in the paths under ``/api``."""

from dataclasses import replace

from starlette.types import Scope

from testing.bad_hosts.good import Answer, Good, Json, noting

CAUGHT_BY: dict[type[Good], str] = {}
caught_by = noting(CAUGHT_BY)


@caught_by("api_presence_answers")
class ListsUsersThere(Good):
    """It lists the users, as that app did."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b'"users":[]', b'"users":["ann"]'))


@caught_by("api_config_answers")
class SamplesOtherwise(Good):
    """Its config has another rate than that app's clients use."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b"0.03", b"0.05"))


@caught_by("api_heartbeat_counts")
class IgnoresDocumentHeartbeats(Good):
    """It answers heartbeats and does not count them."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        if scope["path"].endswith("/api/heartbeat"):
            scope = {**self.redirected(scope, "/api/heartbeat", "/api/presence"), "method": "GET"}
        return scope, body


@caught_by("api_room_converses")
class DoesNotPong(Good):
    """It does not answer that app's pings."""

    def to_client(self, message: Json) -> list[Json]:
        return [] if message["type"] == "pong" else [message]
