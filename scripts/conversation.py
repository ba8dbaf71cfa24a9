"""Writes a conversation with a real server, and the test vectors of a client.

Only values that differ from run to run (instants, tags, the random wait after a restart) are replaced by a
fixed one.
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
from breathing_room.core.wire import PING

PATIENCE_S: Final = 30
PUSH_MS: Final = 20
PAUSE_S: Final = 3 * PUSH_MS / 1_000
"""The pause before a request: after it a change is broadcast at once, so the broadcast is the only answer."""
NOW_MS: Final = 1_767_225_600_000
EPOCH: Final = 20_454
ROOM: Final = "/v1/rooms/lobby"
ANN, BOB, DAN = "ann-0123456789abcdef", "bob-0123456789abcdef", "dan-0123456789abcdef"

SHOWN_HEADERS: Final = ("Content-Type", "Cache-Control", "ETag", "Retry-After")

SAME: Final = {
    r'("(?:as_of|now)_ms": ?)\d+': rf"\g<1>{NOW_MS}",
    r'("epoch": ?)\d{2,}': rf"\g<1>{EPOCH}",
    r'("retry_ms": ?|^retry: )\d+': r"\g<1>3127",
    r'(ETag: |If-None-Match: )".*?"': r'\1"b54eb0d40f1a4b6f8bd9a1c4"',
}
"""Patterns of values that differ from run to run, and their replacements."""


class Transcript:
    """The messages, line by line."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._lines: list[str] = []
        self._before = ""

    def describe(self, text: str) -> None:
        """Add a paragraph about the next messages."""
        if self._lines:
            self.parts.append("```text\n" + "\n".join(self._lines) + "\n```")
            self._lines = []
        self.parts.append(text)

    def line(self, who: str, way: str, text: str) -> None:
        """Add a line: ``>`` is to the server, ``<`` from it."""
        if way == ">":
            time.sleep(PAUSE_S)
        if way == "<":
            text, self._before = "the same bytes" if text == self._before else text, text
        for pattern, same in SAME.items():
            text = re.sub(pattern, same, text)
        self._lines.append(f"{who} {way} {text}")


class HttpClient:
    """A client over HTTP."""

    def __init__(self, who: str, port: int, transcript: Transcript) -> None:
        self.who, self.transcript = who, transcript
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[Any, str]:
        """Send a request; return the answer and its ETag."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.transcript.line(self.who, ">", "; ".join([f"{method} {path}", *map(": ".join, sent.items())]))
        if body is not None:
            self.transcript.line(self.who, ">", json.dumps(body))
        self.connection.request(method, path, None if body is None else json.dumps(body), sent)
        answer = self.connection.getresponse()
        received = [f"{name}: {answer.headers[name]}" for name in SHOWN_HEADERS if name in answer.headers]
        self.transcript.line(self.who, "<", "; ".join([f"{answer.status} {answer.reason}", *received]))
        if answer.headers.get_content_type() == "text/event-stream":
            return answer, ""
        text = answer.read().decode()
        if text:
            self.transcript.line(self.who, "<", text)
        return json.loads(text) if text else None, answer.headers.get("ETag", "")


class Socket:
    """A client over a socket."""

    def __init__(self, who: str, port: int, transcript: Transcript) -> None:
        self.who, self.transcript = who, transcript
        self.connection: ClientConnection = connect(
            f"ws://127.0.0.1:{port}{ROOM}/socket", compression=None, proxy=None
        )
        transcript.line(who, ">", f"open ws://…{ROOM}/socket")

    def send(self, **message: Any) -> None:
        """Send a message."""
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        """Send a text message as it is."""
        self.transcript.line(self.who, ">", text)
        self.connection.send(text)

    def receive(self) -> None:
        """Receive one message."""
        self.transcript.line(self.who, "<", str(self.connection.recv(timeout=PATIENCE_S)))

    def receive_close(self) -> None:
        """Receive a close frame."""
        with contextlib.suppress(ConnectionClosed):
            raise AssertionError(f"received instead of a close: {self.connection.recv(timeout=PATIENCE_S)!r}")
        received = f"close {self.connection.close_code} {self.connection.close_reason}"
        self.transcript.line(self.who, "<", received.strip())

    def close(self, code: int, what: str) -> None:
        """Close with a code."""
        self.transcript.line(self.who, ">", f"close {code}, {what}")
        self.connection.close(code)


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server without stored data; yield it and its port."""
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


def converse() -> str:  # noqa: PLR0915 - one statement for each message, in order
    """Run the conversation, and return it as Markdown."""
    talk = Transcript()
    with server() as (process, port), ExitStack() as leaving:
        dan = HttpClient("dan", port, talk)
        leaving.callback(dan.connection.close)

        def socket(who: str) -> Socket:
            opened = Socket(who, port, talk)
            leaving.callback(opened.connection.close)
            return opened

        talk.describe(
            "Dan reads the config, the presence, and the presence again with an ETag that still matches."
        )
        dan.ask("GET", f"{ROOM}/config")
        presence, tag = dan.ask("GET", ROOM)
        dan.ask("GET", ROOM, If_None_Match=tag)

        talk.describe(
            "Ann joins over a socket, pings and requests the time; Bob joins with a mood, and both get the new presence."
        )
        ann = socket("ann")
        ann.send(type="join", visitor=ANN)
        ann.receive()
        ann.send_text(PING.decode())
        ann.receive()
        ann.send(type="time", sent_ms=12.5)
        ann.receive()
        bob = socket("bob")
        bob.send(type="join", visitor=BOB, mood="release")
        bob.receive()
        ann.receive()

        talk.describe(
            "Ann names a mood that the room does not declare, which is an error and changes nothing; then one that it does."
        )
        ann.send(type="mood", mood="envy")
        ann.receive()
        ann.send(type="mood", mood="gratitude")
        ann.receive()
        bob.receive()

        talk.describe(
            "Dan, without a socket, reports with the epoch of the presence that he read. His ticket is below the sample rate, 1, so he is "
            "counted. A report with another epoch is rejected. Then he leaves."
        )
        dan.ask("POST", f"{ROOM}/heartbeat", {"visitor": DAN, "mood": "presence", "epoch": presence["epoch"]})
        ann.receive()
        bob.receive()
        dan.ask("POST", f"{ROOM}/heartbeat", {"visitor": DAN, "epoch": 1})
        dan.ask("POST", f"{ROOM}/leave", {"visitor": DAN})
        ann.receive()
        bob.receive()

        talk.describe(
            "Bob's connection is lost (a close with 4000 counts the same). He stays counted for `grace_ms`, in `high` and no longer in "
            "`low`, and is confirmed when he joins again."
        )
        bob.close(4000, "which is not a leave")
        ann.receive()
        bob = socket("bob")
        bob.send(type="join", visitor=BOB)
        bob.receive()
        ann.receive()

        talk.describe("Bob leaves, and is removed at once.")
        bob.send(type="leave")
        bob.receive_close()
        ann.receive()

        talk.describe(
            "Eve sends bad messages. Nineteen are answered with an error; after the twentieth the server closes with a code that forbids a reconnect."
        )
        eve = socket("eve")
        eve.send(type="observe")
        eve.receive()
        eve.send(type="tomorrow")
        eve.receive()
        for _ in range(19):
            eve.connection.send("{}")
        talk.line("eve", ">", "{} nineteen times")
        for _ in range(18):
            eve.connection.recv(timeout=PATIENCE_S)
        talk.line("eve", "<", "an error, eighteen times")
        eve.receive()
        eve.receive_close()

        talk.describe(
            "Dan subscribes to events. Then the server restarts, and gives each client a different time to wait before it reconnects."
        )
        stream, _ = dan.ask("GET", f"{ROOM}/events")
        receive_event(stream, talk)
        process.send_signal(signal.SIGTERM)
        ann.receive_close()
        receive_event(stream, talk)
    talk.describe("")
    return "\n\n".join(talk.parts).strip()


def receive_event(stream: http.client.HTTPResponse, talk: Transcript) -> None:
    """Receive one event, up to its empty line."""
    while line := stream.readline().decode().rstrip("\n"):
        talk.line("dan", "<", line)


def vectors() -> str:
    """Return the test vectors of a client's own functions."""
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
    interpolations = [
        "| shown before | count, low, high that arrive | at once | after a third | at `poll_ms` |",
        "|---|---|---|---|---|",
    ]
    for before, count, low, high in (
        (1_000, 1_300, 900, 1_700),
        (1_000, 1_300, 1_200, 1_400),
        (None, 1_300, 900, 1_700),
    ):
        interpolator = Interpolator().retarget(before, before or 0, before, now_ms=0, length_ms=0)
        interpolator = interpolator.retarget(count, low, high, now_ms=0, length_ms=30_000)
        shown = " | ".join(f"{interpolator.at(at_ms):,}" for at_ms in (0, 10_000, 30_000))
        interpolations.append(
            f"| {'unknown' if before is None else f'{before:,}'} | {count:,}, {low:,}, {high:,} | {shown} |"
        )
    return "\n\n".join(
        [
            "### Tickets",
            "\n".join(tickets),
            "### The breath",
            "\n".join(breaths),
            "### Between two polls",
            "\n".join(interpolations),
        ]
    )
