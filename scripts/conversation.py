"""Writes down a conversation with a real server, and the numbers by which somebody's own client can be checked.

What differs from run to run (instants, tags, the random wait after a restart) is replaced by a number of its kind, and nothing else is.
"""

import contextlib
import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from breathing_room.core.breath import PATTERNS, moment
from breathing_room.core.client_rules.interpolation import Interpolator
from breathing_room.core.tickets import ticket

PATIENCE_S: Final = 30
PUSH_MS: Final = 20
PAUSE_S: Final = 3 * PUSH_MS / 1_000
"""After it a change is told at once, so that whoever caused it hears of it once: the announcement is the answer."""
NOW_MS: Final = 1_767_225_600_000
EPOCH: Final = 20_454
ROOM: Final = "/v1/rooms/lobby"
ANN, BOB, DAN = "ann-0123456789abcdef", "bob-0123456789abcdef", "dan-0123456789abcdef"

TOLD_HEADERS: Final = ("Content-Type", "Cache-Control", "ETag", "Retry-After")

SAME: Final = {
    r'("(?:as_of|now)_ms": ?)\d+': rf"\g<1>{NOW_MS}",
    r'("epoch": ?)\d{2,}': rf"\g<1>{EPOCH}",
    r'("retry_ms": ?|^retry: )\d+': r"\g<1>3127",
    r'(ETag: |If-None-Match: )".*?"': r'\1"b54eb0d40f1a4b6f8bd9a1c4"',
}
"""What differs from run to run, and what stands for it."""


class Transcript:
    """What was said, line by line."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._lines: list[str] = []
        self._before = ""

    def tell(self, text: str) -> None:
        """Say in words what comes next."""
        if self._lines:
            self.parts.append("```text\n" + "\n".join(self._lines) + "\n```")
            self._lines = []
        self.parts.append(text)

    def line(self, who: str, way: str, text: str) -> None:
        """Write a line down: ``>`` is to the server, ``<`` from it."""
        if way == ">":
            time.sleep(PAUSE_S)
        if way == "<":
            text, self._before = "the same bytes" if text == self._before else text, text
        for pattern, same in SAME.items():
            text = re.sub(pattern, same, text)
        self._lines.append(f"{who} {way} {text}")


class UvicornHttp:
    """Somebody who asks over HTTP."""

    def __init__(self, who: str, port: int, transcript: Transcript) -> None:
        self.who, self.transcript = who, transcript
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[Any, str]:
        """Ask; returns what was answered, and its ETag."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        self.transcript.line(self.who, ">", "; ".join([f"{method} {path}", *map(": ".join, told.items())]))
        if body is not None:
            self.transcript.line(self.who, ">", json.dumps(body))
        self.connection.request(method, path, None if body is None else json.dumps(body), told)
        answer = self.connection.getresponse()
        heard = [f"{name}: {answer.headers[name]}" for name in TOLD_HEADERS if name in answer.headers]
        self.transcript.line(self.who, "<", "; ".join([f"{answer.status} {answer.reason}", *heard]))
        if answer.headers.get_content_type() == "text/event-stream":
            return answer, ""
        text = answer.read().decode()
        if text:
            self.transcript.line(self.who, "<", text)
        return json.loads(text) if text else None, answer.headers.get("ETag", "")


class Socket:
    """Somebody with a socket."""

    def __init__(self, who: str, port: int, transcript: Transcript) -> None:
        self.who, self.transcript = who, transcript
        self.connection: ClientConnection = connect(
            f"ws://127.0.0.1:{port}{ROOM}/socket", compression=None, proxy=None
        )
        transcript.line(who, ">", f"open ws://…{ROOM}/socket")

    def say(self, **message: Any) -> None:
        """Say something."""
        text = json.dumps(message)
        self.transcript.line(self.who, ">", text)
        self.connection.send(text)

    def hear(self) -> None:
        """Hear one message."""
        self.transcript.line(self.who, "<", str(self.connection.recv(timeout=PATIENCE_S)))

    def hear_close(self) -> None:
        """Hear that the server closes."""
        with contextlib.suppress(ConnectionClosed):
            raise AssertionError(f"said instead of a close: {self.connection.recv(timeout=PATIENCE_S)!r}")
        heard = f"close {self.connection.close_code} {self.connection.close_reason}"
        self.transcript.line(self.who, "<", heard.strip())

    def close(self, code: int, what: str) -> None:
        """Close with a code."""
        self.transcript.line(self.who, ">", f"close {code}, {what}")
        self.connection.close(code)


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server that remembers nothing; yields it and its port."""
    flags = ["--port", "0", "--data", ":memory:", "--push-ms", str(PUSH_MS)]
    command = [sys.executable, "-m", "breathing_room", "serve", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                yield process, int(found[1])
                break
        else:
            raise AssertionError("the server did not start:\n" + "".join(lines))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def converse() -> str:  # noqa: PLR0915 - it is told in the order in which it is held
    """Hold the conversation, and return it as Markdown."""
    talk = Transcript()
    with server() as (process, port), ExitStack() as leaving:
        dan = UvicornHttp("dan", port, talk)
        leaving.callback(dan.connection.close)

        def socket(who: str) -> Socket:
            opened = Socket(who, port, talk)
            leaving.callback(opened.connection.close)
            return opened

        talk.tell("Dan looks: how the room works, who is there, and again, with a tag that still holds.")
        dan.ask("GET", f"{ROOM}/config")
        presence, tag = dan.ask("GET", ROOM)
        dan.ask("GET", ROOM, If_None_Match=tag)

        talk.tell("Ann comes over a socket and asks for the time; Bob comes with a mood, and both are told.")
        ann = socket("ann")
        ann.say(type="join", visitor=ANN)
        ann.hear()
        ann.say(type="time", sent_ms=12.5)
        ann.hear()
        bob = socket("bob")
        bob.say(type="join", visitor=BOB, mood="release")
        bob.hear()
        ann.hear()

        talk.tell(
            "Ann feels something that is no mood of this room, which changes nothing; and then one that is."
        )
        ann.say(type="mood", mood="envy")
        ann.hear()
        ann.say(type="mood", mood="gratitude")
        ann.hear()
        bob.hear()

        talk.tell(
            "Dan, without a socket, reports with the epoch of the presence that he saw. His ticket is below the rate, 1, so he is counted. "
            "An epoch that is not is refused; and he says goodbye."
        )
        dan.ask("POST", f"{ROOM}/heartbeat", {"visitor": DAN, "mood": "presence", "epoch": presence["epoch"]})
        ann.hear()
        bob.hear()
        dan.ask("POST", f"{ROOM}/heartbeat", {"visitor": DAN, "epoch": 1})
        dan.ask("POST", f"{ROOM}/leave", {"visitor": DAN})
        ann.hear()
        bob.hear()

        talk.tell(
            "Bob's line breaks (4000 says the same for who has to break it). He stays counted for `grace_ms`, in `high` and no longer in `low`, and is "
            "simply there again when he comes back."
        )
        bob.close(4000, "which is no goodbye")
        ann.hear()
        bob = socket("bob")
        bob.say(type="join", visitor=BOB)
        bob.hear()
        ann.hear()

        talk.tell("Bob leaves, and is gone at once.")
        bob.say(type="leave")
        bob.hear_close()
        ann.hear()

        talk.tell(
            "Eve says what makes no sense. Nineteen times she is told so; after the twentieth she is not wanted back."
        )
        eve = socket("eve")
        eve.say(type="observe")
        eve.hear()
        eve.say(type="tomorrow")
        eve.hear()
        for _ in range(19):
            eve.connection.send("{}")
        talk.line("eve", ">", "{} nineteen times")
        for _ in range(18):
            eve.connection.recv(timeout=PATIENCE_S)
        talk.line("eve", "<", "an error, eighteen times")
        eve.hear()
        eve.hear_close()

        talk.tell(
            "Dan listens to events. Then the server restarts, and tells each of them another moment to come back."
        )
        stream, _ = dan.ask("GET", f"{ROOM}/events")
        hear_event(stream, talk)
        process.send_signal(signal.SIGTERM)
        ann.hear_close()
        hear_event(stream, talk)
    talk.tell("")
    return "\n\n".join(talk.parts).strip()


def hear_event(stream: http.client.HTTPResponse, talk: Transcript) -> None:
    """Hear one event, up to its empty line."""
    while line := stream.readline().decode().rstrip("\n"):
        talk.line("dan", "<", line)


def vectors() -> str:
    """List what a client's own functions must give."""
    tickets = ["| room | epoch | visitor | ticket · 2^32 | ticket |", "|---|---|---|---|---|"]
    for room, epoch, visitor in (
        ("lobby", EPOCH, ANN),
        ("lobby", EPOCH, BOB),
        ("lobby", EPOCH + 1, ANN),
        ("evening-circle", EPOCH, ANN),
        ("lobby", 0, "AAAAAAAAAAAAAAAAAAAAAA"),
    ):
        drawn = ticket(visitor, room=room, epoch=epoch)
        tickets.append(f"| `{room}` | {epoch} | `{visitor}` | {int(drawn * 2**32)} | {drawn:.9f} |")
    breaths = ["| `now_ms` by the server | pattern | phase | next in |", "|---|---|---|---|"]
    for pattern, at_ms in (
        ("4-7-8", 0),
        ("4-7-8", 5_500),
        ("4-7-8", 18_999),
        ("box", 15_999),
        ("coherent", 5_500),
    ):
        there = moment(PATTERNS[pattern], NOW_MS + at_ms)
        breaths.append(f"| {NOW_MS + at_ms} | `{pattern}` | {there.phase} | {there.remaining_ms} ms |")
    walks = [
        "| shown before | count, low, high that arrive | at once | after a third | at `poll_ms` |",
        "|---|---|---|---|---|",
    ]
    for before, count, low, high in (
        (1_000, 1_300, 900, 1_700),
        (1_000, 1_300, 1_200, 1_400),
        (None, 1_300, 900, 1_700),
    ):
        walk = Interpolator().toward(before, before or 0, before, now_ms=0, length_ms=0)
        walk = walk.toward(count, low, high, now_ms=0, length_ms=30_000)
        shown = " | ".join(f"{walk.at(at_ms):,}" for at_ms in (0, 10_000, 30_000))
        walks.append(
            f"| {'unknown' if before is None else f'{before:,}'} | {count:,}, {low:,}, {high:,} | {shown} |"
        )
    return "\n\n".join(
        [
            "### Tickets",
            "\n".join(tickets),
            "### The breath",
            "\n".join(breaths),
            "### Between two polls",
            "\n".join(walks),
        ]
    )
