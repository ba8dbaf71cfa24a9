"""Fuzz a running server over real sockets.

The invariant: for any bytes, cut anywhere, the server answers with legal HTTP and legal frames, closes with a
code that it documents, ends every connection, and keeps serving others: a bystander in the same room gets the
presence of each join and leave, and once the fuzzing pauses the count is exact again. The server's memory
does not grow and its log has no error.
"""

import contextlib
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from fuzzing import FindingError, arguments, campaign, cut, mutate, one_in, random_frames, random_text

from harness import ServerProcess, start_server
from raw_websocket import (
    BreachError,
    Opcode,
    RawSocket,
    await_presence,
    decode_frame,
    handshake,
    join,
    may_be_sent,
)

DOCUMENTED = {1000, 1002, 1003, 1007, 1009, 1012, 4000, 4001, 4002, 4003, 4500, 4501}
"""The codes with which the server may close. A client's own code is sent back as well."""

CHECK_EVERY = 200
"""Inputs between two checks of the server and the bystander."""

GROWTH_BYTES_MAX = 32 << 20

VISITORS = [f"fuzzing-visitor-{number}" for number in range(5)]


def random_message(rng: random.Random) -> bytes:
    """Write a message of the protocol, or almost one."""
    mood = rng.choice(["gratitude", "presence", "release", "connection", "unspoken", "unknown", None, 7])
    message = rng.choice(
        [
            {"type": "join", "visitor": rng.choice(VISITORS)},
            {"type": "join", "visitor": rng.choice(VISITORS), "mood": mood},
            {"type": "observe"},
            {"type": "mood", "mood": mood},
            {"type": "time", "sent_ms": rng.choice([0, 1.5, -1, 1e300, None, "x"])},
            {"type": "leave"} if one_in(rng, 4) else {"type": "time"},
        ]
    )
    text = json.dumps(message).encode()
    return mutate(rng, text) if one_in(rng, 8) else text


def random_payload(rng: random.Random) -> bytes:
    """Make the payload of a data frame: mostly a message."""
    if one_in(rng, 10):
        return b"x" * rng.choice([0, 126, 5000])
    return random_text(rng, 60) if one_in(rng, 10) else random_message(rng)


def random_session(rng: random.Random) -> bytes:
    """Make the whole byte stream of a client."""
    opening = handshake(
        changed={"X-Padding": "x" * rng.choice([0, 10, 1000, 30_000])} if one_in(rng, 8) else None
    )
    if one_in(rng, 8):
        opening = mutate(rng, opening)
    if one_in(rng, 20):
        opening = rng.choice([b"", opening * 2, opening.replace(b"\r\n", b"\n"), rng.randbytes(100)])
    frames = random_frames(rng, lambda: random_payload(rng))
    return opening + (mutate(rng, frames) if one_in(rng, 3) else frames)


class Campaign:
    """A server, a bystander in its lobby, and the sessions that are sent to it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.bystander = join(server.port, visitor="bystander-0123456789", mood="release")
        self.count = 0
        self.memory_bytes: int | None = None

    def try_one(self, rng: random.Random) -> str:
        """Send one random session to the server."""
        data = random_session(rng)
        # The answer to the handshake is waited for, mostly: a client must not send frames before.
        head_bytes = data.find(b"\r\n\r\n") + 4
        pieces = [data] if one_in(rng, 4) else [data[:head_bytes], *cut(rng, data[head_bytes:])]
        if one_in(rng, 20):
            pieces = cut(rng, data)
        try:
            outcome = self.feed(pieces, abruptly=one_in(rng, 8))
            self.count += 1
            if self.count % CHECK_EVERY == 0:
                self.check_server()
        except TimeoutError:
            raise FindingError("the server neither answered nor ended the connection", pieces) from None
        except AssertionError as error:
            raise FindingError(str(error) or repr(error), pieces) from error
        return outcome

    def feed(self, pieces: list[bytes], *, abruptly: bool) -> str:
        """Send one session, and check every byte of the answer.

        Returns:
            How it ended.
        """
        with RawSocket(self.server.port) as client:
            for index, piece in enumerate(pieces):
                client.send(piece)
                if (
                    index == 0
                    and len(pieces) > 1
                    and piece.endswith(b"\r\n\r\n")
                    and piece.startswith(b"GET ")
                ):
                    client.read_more(time.monotonic() + 5)
            if abruptly:
                return "aborted by the client"
            with contextlib.suppress(OSError):  # The server was faster.
                client.tcp.shutdown(1)
            answer = client.read_until_end()
        return check_answer(answer)

    def check_server(self) -> None:
        """Check that the count is exact, that the bystander gets the presence of a join, and that the memory
        has not grown.
        """
        port = self.server.port
        await_presence(port, "lobby", lambda presence: (presence["low"], presence["high"]) == (1, 1))
        with join(port, visitor="newcomer-0123456789", mood="connection") as newcomer:
            self.bystander.receive(
                "presence", lambda presence: presence["low"] == 2 == presence["high"], within_s=2
            )
            newcomer.send_message("leave")
            newcomer.read_close(answer=True)
        self.bystander.receive(
            "presence", lambda presence: presence["low"] == 1 == presence["high"], within_s=2
        )

        memory_bytes = resident_bytes(self.server.process.pid)
        self.memory_bytes = self.memory_bytes or memory_bytes
        assert memory_bytes - self.memory_bytes < GROWTH_BYTES_MAX, (
            f"the server grew to {memory_bytes:,} bytes"
        )
        complaints = [line for line in self.server.lines if "Traceback" in line or "Error" in line]
        assert not complaints, complaints


def check_answer(answer: bytes) -> str:
    """Check that bytes are HTTP responses, and then, if the last one says 101, frames.

    Returns:
        How it ended.
    """
    outcome = "ended without an answer"
    while match := re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[!-9;-~]+:[^\r\n]*\r\n)*)\r\n", answer):
        status, answer = int(match[1]), answer[match.end() :]
        outcome = f"HTTP {status}"
        if status == 101:
            return check_frames(answer)
        length = re.search(rb"content-length: *(\d+)", match[2], re.IGNORECASE)
        body, answer = (
            answer[: int(length[1])] if length else answer,
            answer[int(length[1]) :] if length else b"",
        )
        if status >= 400 and body.startswith(b"{"):
            assert set(json.loads(body)["error"]) == {"code", "message", "status"}, body
    assert not answer, f"this is no HTTP: {answer!r}"
    return outcome


def check_frames(data: bytes) -> str:
    """Check that bytes are whole frames, of which a close frame is the last with data."""
    outcome = "open to the end"
    while data:
        if (found := decode_frame(data)) is None:
            raise BreachError(f"the stream ended within a frame: {data!r}")
        frame, length = found
        data = data[length:]
        assert outcome == "open to the end" or frame.opcode == Opcode.PONG, (
            f"after its close frame it sent {frame}"
        )
        if frame.opcode == Opcode.TEXT:
            message = json.loads(frame.payload)
            assert message["type"] in {"presence", "time", "error"}, message
        if frame.opcode == Opcode.CLOSE:
            code = frame.close_code
            outcome = f"closed {code}" if code in DOCUMENTED else "closed with the client's code"
            assert code is None or may_be_sent(code)
    return outcome


def resident_bytes(pid: int) -> int:
    """Read how much memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Start a server, and feed it."""
    argv = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(
            Path(folder) / "room.db", "--push-ms", "20", "--grace-ms", "200", "--rooms-per-prefix-max", "1000"
        )
        try:
            fuzzed = Campaign(server)
            status = campaign(fuzzed.try_one, argv)
            if status == 0:
                fuzzed.check_server()
                fuzzed.bystander.send_message("leave")
                fuzzed.bystander.read_close(answer=True)
                ended = server.stop()
                assert ended in {0, -signal.SIGTERM}, f"the server ended with status {ended}"
        finally:
            if server.process.poll() is None:
                server.kill()
    return status


if __name__ == "__main__":
    sys.exit(main())
