"""How a connection ends, and whether and when to come back.

The codes are those of ``docs/reference/protocol.md``. Whatever does not say that we may not come back is worth
another try after a full-jittered wait.
"""

import contextlib
import errno
import json
import os
import re
import socket
import ssl
from random import Random
from typing import Final

from breathing_room.client.protocol import decode_error, number
from breathing_room.core.errors import BreathingRoomError, ClientError
from breathing_room.core.wire import CLOSE_CODES, NORMAL_CLOSURE, may_come_back

ABNORMAL: Final = 1006
"""The code of a connection that ended without a close frame (RFC 6455, section 7.4.1)."""

# Of the answers that blame the client, these alone will pass.
PASSING: Final = frozenset({408, 425, 429})

# A server that asks for more than this is mistaken, and nobody waits longer for a room.
RETRY_MS_MAX: Final = 300_000


class RefusedError(ClientError):
    """The server does not want this client back as it is; ``code`` says why."""


class UnreachableError(BreathingRoomError):
    """As many attempts in a row as ``attempts_max`` allows have failed.

    Args:
        url: The server's address, without user name and password.
        reason: Why the last attempt failed, in a few words.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class ConnectionLostError(BreathingRoomError):
    """The connection ended, and we may come back.

    Args:
        trouble: Why, in a few words for people, without any address.
        retry_ms: How long the server wants us to stay away.
        spread: Whether the server told everybody a length of their own, so that it needs no jitter.
    """

    def __init__(self, trouble: str, *, retry_ms: float = 0.0, spread: bool = False) -> None:
        super().__init__(trouble)
        self.trouble = trouble
        self.retry_ms = retry_ms
        self.spread = spread

    def wait_s(self, failures: int, rng: Random, *, base_s: float = 1.0, cap_s: float = 30.0) -> float:
        """Draw how long to wait, in seconds, before coming back.

        Args:
            failures: How many attempts in a row have failed; 0 when a good connection was lost.
            rng: Where the jitter comes from.
            base_s: The longest first wait, which doubles with every failure.
            cap_s: The longest wait of all, not counting what the server asked for.

        Returns:
            What the server asked for, and on top of it a full-jittered wait, uniform from 0 to
            ``min(cap, base * 2**failures)``; without that when the server has spread us, and we have not failed since.

        Source: Brooker, "Exponential backoff and jitter", AWS architecture blog, 2015: of the ways to come back
        after an outage this one asks the least of the server.
        """
        if self.spread and not failures:
            return self.retry_ms / 1000
        return self.retry_ms / 1000 + rng.uniform(0, min(cap_s, base_s * 2 ** min(failures, 30)))


def closed(code: int, reason: str) -> ConnectionLostError | RefusedError | None:
    """Read a close frame of the server; None when it has seen us off."""
    if code == NORMAL_CLOSURE:
        return None
    why = "the connection broke" if code == ABNORMAL else CLOSE_CODES.get(code, "closed by the server")
    why = why.partition(";")[0]
    if not may_come_back(code):
        return RefusedError(f"close_{code}", f"{why} (close code {code})")
    with contextlib.suppress(ValueError, RecursionError):
        match json.loads(reason):
            case {"retry_ms": wait_ms}:
                return ConnectionLostError(
                    why, retry_ms=min(max(number(wait_ms), 0.0), RETRY_MS_MAX), spread=True
                )
    return ConnectionLostError(why)


def is_final(status: int) -> bool:
    """Tell whether an HTTP status blames the client, so that the same request will fail again."""
    return status < 500 and status not in PASSING


def refused(status: int, body: bytes, retry_after: str | None) -> ConnectionLostError | RefusedError:
    """Read an HTTP answer that is not what was asked for: its status, body, and ``Retry-After`` in seconds."""
    code, message = f"http_{status}", f"the server answered with HTTP {status}"
    with contextlib.suppress(ValueError, RecursionError):
        match json.loads(body):
            case {"error": dict(error)}:
                said = decode_error(error)
                code, message = said.code, said.message
    if is_final(status):
        return RefusedError(code, message, status=status)
    wait_s = int(retry_after) if retry_after and re.fullmatch(r"[0-9]{1,9}", retry_after) else 0
    return ConnectionLostError(f"{message} ({status})", retry_ms=min(wait_s * 1000, RETRY_MS_MAX))


def broken(error: BaseException) -> ConnectionLostError:
    """Read a connection that could not be opened. The system's own words for it hold the address; these do not."""
    match error:
        case TimeoutError():
            trouble = "no answer"
        case socket.gaierror():
            trouble = "no such host"
        case ssl.SSLCertVerificationError():
            trouble = "the server's certificate is not trusted"
        case ssl.SSLError():
            trouble = "TLS failed"
        case OSError(errno=int(code)) if code in errno.errorcode:
            trouble = os.strerror(code).lower()
        case OSError():
            trouble = "no connection"
        case _:
            trouble = "no WebSocket there"
    return ConnectionLostError(trouble)
