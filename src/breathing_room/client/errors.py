"""Errors of a connection: whether the client may reconnect, and when.

The codes are those of ``docs/reference/protocol.md``. An error that does not forbid it is retried after a
full-jittered wait.
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

# Of the statuses that blame the client, these alone are temporary.
TEMPORARY_STATUSES: Final = frozenset({408, 425, 429})

# A server that asks for a longer wait is misconfigured: the client retries after this long.
RETRY_MS_MAX: Final = 300_000


class RefusedError(ClientError):
    """The server rejected this client, and would again; ``code`` says why."""


class UnreachableError(BreathingRoomError):
    """All attempts that ``attempts_max`` allows have failed, one after another.

    Args:
        url: The server's URL, without user name and password.
        reason: Why the last attempt failed, in a few words.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class ConnectionLostError(BreathingRoomError):
    """The connection ended, and the client may reconnect.

    Args:
        reason: Why, in a few words for people, without any address.
        retry_ms: How long the server asked the client to wait.
        spread: Whether the server gave each client a wait of its own, which needs no jitter.
    """

    def __init__(self, reason: str, *, retry_ms: float = 0.0, spread: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_ms = retry_ms
        self.spread = spread

    def wait_s(self, failures: int, rng: Random, *, base_s: float = 1.0, cap_s: float = 30.0) -> float:
        """Draw how long to wait before the next attempt, in seconds.

        Args:
            failures: How many attempts in a row have failed; 0 when a good connection was lost.
            rng: The source of the jitter.
            base_s: The longest first wait, which doubles with every failure.
            cap_s: The longest wait of all, not counting what the server asked for.

        Returns:
            What the server asked for, and on top of it a full-jittered wait, uniform from 0 to ``min(cap,
            base * 2**failures)``; without that when the server spread its clients, and no attempt has failed
            since.

        Source: Brooker, "Exponential backoff and jitter", AWS architecture blog, 2015: of the ways to
        reconnect after an outage this one puts the least load on the server.
        """
        if self.spread and not failures:
            return self.retry_ms / 1000
        return self.retry_ms / 1000 + rng.uniform(0, min(cap_s, base_s * 2 ** min(failures, 30)))


def error_from_close(code: int, reason: str) -> ConnectionLostError | RefusedError | None:
    """Return the error that a close frame of the server means; None for a normal closure."""
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
    """Return whether an HTTP status blames the client, so that the same request will fail again."""
    return status < 500 and status not in TEMPORARY_STATUSES


def error_from_response(
    status: int, body: bytes, retry_after: str | None
) -> ConnectionLostError | RefusedError:
    """Return the error that an HTTP response means, from its status, body, and ``Retry-After`` in seconds."""
    code, message = f"http_{status}", f"the server answered with HTTP {status}"
    with contextlib.suppress(ValueError, RecursionError):
        match json.loads(body):
            case {"error": dict(error)}:
                decoded = decode_error(error)
                code, message = decoded.code, decoded.message
    if is_final(status):
        return RefusedError(code, message, status=status)
    wait_s = int(retry_after) if retry_after and re.fullmatch(r"[0-9]{1,9}", retry_after) else 0
    return ConnectionLostError(f"{message} ({status})", retry_ms=min(wait_s * 1000, RETRY_MS_MAX))


def error_from_exception(error: BaseException) -> ConnectionLostError:
    """Return the error that a failed connection attempt means; it names no address."""
    match error:
        case TimeoutError():
            reason = "no answer"
        case socket.gaierror():
            reason = "no such host"
        case ssl.SSLCertVerificationError():
            reason = "the server's certificate is not trusted"
        case ssl.SSLError():
            reason = "TLS failed"
        case OSError(errno=int(code)) if code in errno.errorcode:
            reason = os.strerror(code).lower()
        case OSError():
            reason = "no connection"
        case _:
            reason = "no WebSocket there"
    return ConnectionLostError(reason)
