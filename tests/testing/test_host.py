"""The conformance suite of hosts: it passes a good one, and every promise in it catches a bad one."""

import asyncio
import contextlib
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import breathing_room
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.events import Reported, Woken
from breathing_room.core.identity import VisitorKey
from breathing_room.hosts.server.host import Host
from breathing_room.hosts.server.routes import create_app
from breathing_room.testing import BrokenPromiseError, check_host, checks
from breathing_room.testing.host import PROMISES
from harness import Serve
from inside import HandClock, host_inside, listening

PUSH_MS = 100
JOIN_MS = 400
TIMES = {"lease_ms": 1_500, "grace_ms": 500, "push_ms": PUSH_MS, "join_ms": JOIN_MS}

Told = dict[str, Any]
"""A message of a socket."""


async def broken_promises(base_url: str, **options: Any) -> dict[str, str]:
    """Run the suite on a host, and return the promises that it breaks with what is said about each."""
    broken: dict[str, str] = {}
    try:
        await check_host(base_url, push_ms=PUSH_MS, join_ms=JOIN_MS, **options)
    except* BrokenPromiseError as group:
        broken = {
            error.promise: str(error) for error in group.exceptions if isinstance(error, BrokenPromiseError)
        }
    return broken


# --- Bad hosts: each is a good one with one fault ---------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Attributes:
        what: What was asked for, such as ``/beat``; the path where it was not about a room.
        to_json: Whether the request had a body in JSON.
        status: The status.
        headers: The headers, names in lower case.
        body: The body.
    """

    what: str
    to_json: bool
    status: int
    headers: dict[str, str]
    body: bytes

    def saying(self, body: Told) -> "Answer":
        """Change the body."""
        return replace(self, body=json.dumps(body).encode())


class Good:
    """A host that passes everything on as it is. What a subclass overrides is its fault."""

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self.app = app
        self.host = host

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        """Change a request."""
        return scope, body

    def answered(self, answer: Answer) -> Answer:
        """Change the answer to a request."""
        return answer

    def streamed(self, chunk: bytes) -> bytes:
        """Change a piece of an event stream."""
        return chunk

    def said(self, message: Told) -> Told | None:
        """Change or swallow what a client says over a socket."""
        return message

    def told(self, message: Told) -> list[Told]:
        """Change, swallow or multiply what a client is told over a socket."""
        return [message]

    def closed(self, code: int) -> int:
        """Change the code with which the host closes."""
        return code

    def parted(self, code: int) -> int | None:
        """Change or swallow how a client went."""
        return code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.http if scope["type"] == "http" else self.websocket)(scope, receive, send)

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        scope, body = self.asked(scope, body)
        pieces: list[Message] = [{"type": "http.request", "body": body}]
        begun: Message = {}
        answered = bytearray()
        to_json = (b"content-type", b"application/json") in scope["headers"]

        async def receive_again() -> Message:
            return pieces.pop() if pieces else await receive()

        async def send_on(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = message
                if is_stream():
                    await send(message)
            elif is_stream():
                await send({**message, "body": self.streamed(message["body"])})
            else:
                answered.extend(message.get("body", b""))
                if not message.get("more_body"):
                    await finish()

        def is_stream() -> bool:
            return any(
                value.startswith(b"text/event-stream")
                for name, value in begun["headers"]
                if name == b"content-type"
            )

        async def finish() -> None:
            headers = {name.decode(): value.decode() for name, value in begun["headers"]}
            answer = self.answered(
                Answer(self.room_of(scope)[1], to_json, begun["status"], headers, bytes(answered))
            )
            if "content-length" in answer.headers:
                answer.headers["content-length"] = str(len(answer.body))
            raw = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            await send({"type": "http.response.body", "body": answer.body})

        await self.app(scope, receive_again, send_on)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_changed() -> Message:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    code = self.parted(message["code"])
                    if code is None:
                        await asyncio.Event().wait()
                    return {**message, "code": code}
                with contextlib.suppress(ValueError, TypeError):
                    said = json.loads(message.get("text") or "")
                    changed = self.said({**said})
                    if changed is None:
                        continue
                    if changed != said:
                        return {**message, "text": json.dumps(changed)}
                return message

        async def send_changed(message: Message) -> None:
            if message["type"] == "websocket.close":
                await send({**message, "code": self.closed(message["code"])})
            elif message["type"] == "websocket.send":
                for told in self.told(json.loads(message["text"])):
                    await send({**message, "text": json.dumps(told)})
            else:
                await send(message)

        scope, _ = self.asked(scope, b"")
        await self.app(scope, receive_changed, send_changed)

    # What faults are made of.

    @staticmethod
    def room_of(scope: Scope) -> tuple[str, str]:
        """Find the room and what is asked of it in a path."""
        found = re.search(r"/v1/rooms/([^/]+)(/[a-z.]+)?$", scope["path"])
        return (found[1], found[2] or "") if found else ("", scope["path"])

    @staticmethod
    def redirected(scope: Scope, end: str, new_end: str) -> Scope:
        """Send a request somewhere else."""
        path = scope["path"].removesuffix(end) + new_end
        return {**scope, "path": path, "raw_path": path.encode()}

    def come_in(self, room: str) -> None:
        """Count somebody who is not there."""
        entered = self.host.enter(room, address=None, forwarded_for=None)
        entered.feed(Reported(VisitorKey(secrets.token_bytes(16)), 0.5))


def fresh(message: Told) -> Told:
    """Take a message for that of somebody else."""
    return {**message, "visitor": secrets.token_urlsafe(16)}


class Presences(Good):
    """Changes every presence, whatever carries it."""

    def change(self, presence: Told) -> Told:
        return presence

    def answered(self, answer: Answer) -> Answer:
        if answer.status == 200 and answer.what in {"", "/beat"}:
            return answer.saying(self.change(json.loads(answer.body)))
        return answer

    def told(self, message: Told) -> list[Told]:
        return [self.change(message) if message["type"] == "presence" else message]


CAUGHT_BY: dict[type[Good], str] = {}


def caught_by(promise: str) -> Callable[[type[Good]], type[Good]]:
    """Say which promise a bad host breaks."""

    def note(fault: type[Good]) -> type[Good]:
        CAUGHT_BY[fault] = promise
        return fault

    return note


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
        if self.room_of(scope)[1] == "/beat":
            scope = {**self.redirected(scope, "/beat", ""), "method": "GET"}
        return scope, body


class Bodies(Good):
    """Changes the bodies of beats, or of goodbyes."""

    end = "/beat"

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


@caught_by("a_beat_tells_the_time")
class RoundsBeats(Good):
    """It gives back a rounded ``sent_ms``."""

    def told(self, message: Told) -> list[Told]:
        return [{**message, "sent_ms": round(message["sent_ms"])} if message["type"] == "beat" else message]


@caught_by("a_beat_tells_the_time")
class BeatsInSeconds(Good):
    """It tells the time in seconds."""

    def told(self, message: Told) -> list[Told]:
        return [{**message, "now_ms": message["now_ms"] // 1_000} if message["type"] == "beat" else message]


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


@caught_by("api_presence_answers")
class ListsUsersThere(Good):
    """It lists who is here, as that app did."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b'"users":[]', b'"users":["ann"]'))


@caught_by("api_config_answers")
class SamplesOtherwise(Good):
    """It tells that app's clients another rate."""

    def answered(self, answer: Answer) -> Answer:
        return replace(answer, body=answer.body.replace(b"0.03", b"0.05"))


@caught_by("api_heartbeat_counts")
class HearsNoHeartbeats(Good):
    """It answers heartbeats and does not count them."""

    def asked(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        if scope["path"].endswith("/api/heartbeat"):
            scope = {**self.redirected(scope, "/api/heartbeat", "/api/presence"), "method": "GET"}
        return scope, body


@caught_by("api_room_converses")
class DoesNotPong(Good):
    """It does not answer that app's pings."""

    def told(self, message: Told) -> list[Told]:
        return [] if message["type"] == "pong" else [message]


# Frames are below ASGI: these faults sit on the wire.
OF_FRAMES = {
    "an_unmasked_frame_is_refused",
    "a_binary_message_is_refused",
    "text_that_is_not_utf8_is_refused",
    "a_long_message_is_refused",
}

BREACH = re.compile(rb"(\x88.)\x03[\xea\xeb\xef\xf1]")
"""A close frame with 1002, 1003, 1007 or 1009."""

OF_RESTARTS = {"a_restart_says_when_to_come_back", "a_restart_is_no_exodus"}


# --- One server for all of them ---------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def wrongly_closing(base_url: str) -> AsyncIterator[str]:
    """Stand before a host, and let it close for any breach of RFC 6455 with one code."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, wrongly: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(BREACH.sub(b"\\1\x03\xf3", data) if wrongly else data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host_reader, host_writer = await asyncio.open_connection(
            "127.0.0.1", int(base_url.rpartition(":")[2])
        )
        await asyncio.gather(
            pass_on(reader, host_writer, wrongly=False), pass_on(host_reader, writer, wrongly=True)
        )

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as proxy:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"


async def run_all(data: Path) -> dict[str, dict[str, str]]:
    """Run the whole suite on the good host, and on each bad one the check that must catch it, all at the same time.

    Returns:
        By the names of the hosts, the promises that each broke with what was said.
    """
    settings: dict[str, Any] = {"data": str(data), "rooms_per_prefix_max": 1_000_000, **TIMES}
    good = breathing_room.app(**settings)
    kinds: list[type[Good]] = [Good, *CAUGHT_BY]
    hosts = {kind.__name__: kind(good, good.state.host) for kind in kinds}
    mounted = Starlette(routes=[Mount(f"/{name}", host) for name, host in hosts.items()])
    async with listening(mounted) as url, wrongly_closing(url) as wrong_url:

        async def run(name: str, only: Collection[str], at: str = url) -> tuple[str, dict[str, str]]:
            return name, await broken_promises(f"{at}/{name}", only=only)

        # There is one default room: its checks would count each other's people.
        default_room = asyncio.Lock()

        async def run_fault(fault: type[Good], name: str) -> tuple[str, dict[str, str]]:
            async with default_room if name in in_default_room else contextlib.nullcontext():
                return await run(fault.__name__, {name})

        in_default_room = {name for name, promise in PROMISES.items() if promise.scope == "default room"}
        runs = [run_fault(fault, name) for fault, name in CAUGHT_BY.items()]
        of_frames, of_own_rooms, *of_faults = await asyncio.gather(
            run("Good", OF_FRAMES, wrong_url), run("Good", checks().keys() - in_default_room), *runs
        )
        of_default_room = await run("Good", in_default_room)
        # Sixty hosts on one core may be late for a promise about time; once they are silent there is no excuse.
        _, of_good = await run("Good", of_own_rooms[1].keys() | of_default_room[1].keys())
        return {"frames": of_frames[1], "Good": of_good, **dict(of_faults)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What every host broke."""
    return asyncio.run(run_all(tmp_path_factory.mktemp("hosts") / "room.db"))


def test_good_host_keeps_every_promise(results: dict[str, dict[str, str]]) -> None:
    """
    Nothing is said against a good host, even among sixty others that keep the machine busy.
    """
    assert not results["Good"]


@pytest.mark.parametrize(
    ("fault", "promise"), CAUGHT_BY.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_fault_is_caught(results: dict[str, dict[str, str]], fault: type[Good], promise: str) -> None:
    """
    A host with a fault breaks the promise that is about it, and what is said begins with the sentence of the protocol.
    """
    assert results[fault.__name__].keys() == {promise}
    assert results[fault.__name__][promise].startswith(checks()[promise])


def test_wrong_close_codes_are_caught(results: dict[str, dict[str, str]]) -> None:
    """
    A host that closes with one code for every breach of RFC 6455 breaks every promise about frames.
    """
    assert results["frames"].keys() == OF_FRAMES


def test_every_promise_catches_a_fault() -> None:
    """
    No promise is there for nothing: each has a bad host in this file.
    """
    assert {*CAUGHT_BY.values(), *OF_FRAMES, *OF_RESTARTS} == checks().keys()


async def test_crash_is_no_restart(serve: Serve) -> None:
    """
    A host that dies where it should part, and forgets everybody, breaks every promise about restarts.
    """
    flags = [flag for name, value in TIMES.items() for flag in (f"--{name.replace('_', '-')}", str(value))]
    server = serve(*flags)

    async def crash() -> None:
        nonlocal server
        server.kill()
        for file in server.data.parent.glob(f"{server.data.name}*"):
            file.unlink()
        server = await asyncio.to_thread(serve, *flags, port=server.port)

    broken = await broken_promises(server.url, restart=crash, only=OF_RESTARTS)
    assert broken.keys() == OF_RESTARTS


OF_TIME = {
    "a_quiet_socket_stays",
    "announcements_are_spared",
    "everybody_is_told_the_same",
    "a_broken_socket_leaves_a_doubt",
    "who_comes_back_in_time_is_there_again",
    "who_does_not_come_back_is_gone",
    "who_says_nothing_is_closed",
}


async def test_clock_may_be_in_our_hands() -> None:
    """
    With a clock that is moved by hand, leases of a minute are checked within seconds, one check at a time.
    """
    clock = HandClock()
    at_once, most_at_once = 0, 0
    async with host_inside(clock=clock) as host, listening(create_app(host)) as url:

        async def advance(ms: int) -> None:
            nonlocal at_once, most_at_once
            at_once += 1
            most_at_once = max(most_at_once, at_once)
            await asyncio.sleep(0)
            clock.ms += ms
            for room in host.rooms.values():
                room.check_leases(clock.ms)
                room.feed(Woken())
            at_once -= 1

        began_s, began_ms = time.monotonic(), clock.ms
        await check_host(url, advance=advance, only=OF_TIME)
    assert clock.ms - began_ms > 120_000
    assert time.monotonic() - began_s < 20
    assert most_at_once == 1


async def test_other_server_is_no_host() -> None:
    """
    Whoever gives the address of something else is told so at once.
    """

    async def teapot(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"short and stout"})

    async with listening(teapot) as url:
        with pytest.raises(AssertionError, match="JSON object was due"):
            await check_host(url)


def test_suite_needs_no_test_runner(serve: Serve) -> None:
    """
    The suite checks in a plain program too, without asserts and with nothing but what a user has installed.
    """
    server = serve()
    program = f"""
import asyncio, importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {{"pytest", "_pytest", "httpx", "hypothesis", "fastapi"}}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from breathing_room.testing import check_host
asyncio.run(check_host({server.url!r}, only=["a_join_counts", "a_beat_joins", "an_event_stream_tells_presence"]))
try:
    asyncio.run(check_host({server.url!r}, only=["a_long_message_is_refused"], message_bytes_max=5000))
except ExceptionGroup as broken:
    print(broken.exceptions[0].promise)
"""
    done = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("a_long_message_is_refused\n", "")
