"""A conforming host as a proxy, whose subclasses introduce one fault each."""

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from breathing_room.core.events import PanelReported
from breathing_room.core.identity import VisitorKey
from breathing_room.hosts.server.app import App

PUSH_MS = 100
JOIN_MS = 400
TIMES = {"lease_ms": 1_500, "grace_ms": 500, "push_ms": PUSH_MS, "join_ms": JOIN_MS}

Json = dict[str, Any]
"""A message of a connection, or a body."""


@dataclass(frozen=True)
class Answer:
    """The response to a request.

    Attributes:
        what: The path below the room, such as ``/heartbeat``; the whole path if it is not a room's.
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

    def saying(self, body: Json) -> "Answer":
        """Change the body."""
        return replace(self, body=json.dumps(body).encode())


class Good:
    """A host that passes everything on unchanged. What a subclass overrides is its fault."""

    def __init__(self, app: ASGIApp, host: App) -> None:
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

    def from_client(self, message: Json) -> Json | None:
        """Change or drop a message of a client."""
        return message

    def to_client(self, message: Json) -> list[Json]:
        """Change, drop or multiply a message to a client."""
        return [message]

    def closed(self, code: int) -> int:
        """Change the close code of the host."""
        return code

    def parted(self, code: int) -> int | None:
        """Change or drop the close code of a client."""
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
                    received = json.loads(message.get("text") or "")
                    changed = self.from_client({**received})
                    if changed is None:
                        continue
                    if changed != received:
                        return {**message, "text": json.dumps(changed)}
                return message

        async def send_changed(message: Message) -> None:
            if message["type"] == "websocket.close":
                await send({**message, "code": self.closed(message["code"])})
            elif message["type"] == "websocket.send":
                original = json.loads(message["text"])
                for changed in self.to_client(json.loads(message["text"])):
                    # An unchanged message keeps its bytes: a pong is a constant text.
                    text = message["text"] if changed == original else json.dumps(changed)
                    await send({**message, "text": text})
            else:
                await send(message)

        scope, _ = self.asked(scope, b"")
        await self.app(scope, receive_changed, send_changed)

    # Helpers of faults.

    @staticmethod
    def room_of(scope: Scope) -> tuple[str, str]:
        """Return the room of a path and the rest below it."""
        found = re.search(r"/v1/rooms/([^/]+)(/[a-z.]+)?$", scope["path"])
        return (found[1], found[2] or "") if found else ("", scope["path"])

    @staticmethod
    def redirected(scope: Scope, end: str, new_end: str) -> Scope:
        """Change the end of a request's path."""
        path = scope["path"].removesuffix(end) + new_end
        return {**scope, "path": path, "raw_path": path.encode()}

    def add_visitor(self, room: str) -> None:
        """Count a visitor who does not exist."""
        entered = self.host.enter(room, address=None, forwarded_for=None)
        entered.feed(PanelReported(VisitorKey(secrets.token_bytes(16)), 0.5))


def fresh(message: Json) -> Json:
    """Give a message another visitor id."""
    return {**message, "visitor": secrets.token_urlsafe(16)}


class Presences(Good):
    """Changes every presence, over HTTP and WebSockets."""

    def change(self, presence: Json) -> Json:
        return presence

    def answered(self, answer: Answer) -> Answer:
        if answer.status == 200 and answer.what in {"", "/heartbeat"}:
            return answer.saying(self.change(json.loads(answer.body)))
        return answer

    def to_client(self, message: Json) -> list[Json]:
        return [self.change(message) if message["type"] == "presence" else message]


def noting(caught_by: dict[type[Good], str]) -> Callable[[str], Callable[[type[Good]], type[Good]]]:
    """Return a decorator that records the check that a bad host fails."""

    def breaks(check: str) -> Callable[[type[Good]], type[Good]]:
        def note(fault: type[Good]) -> type[Good]:
            caught_by[fault] = check
            return fault

        return note

    return breaks
