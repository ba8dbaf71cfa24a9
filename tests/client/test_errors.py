"""Errors of a connection: whether a client may reconnect, and when."""

import errno
import json
import re
import socket
import ssl
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.client.errors import (
    RETRY_MS_MAX,
    ConnectionLostError,
    RefusedError,
    error_from_close,
    error_from_exception,
    error_from_response,
)

PROTOCOL = Path(__file__).parents[2] / "docs/reference/protocol.md"


@given(st.integers(0, 40), st.integers())
def test_a_wait_is_fully_jittered(failures: int, seed: int) -> None:
    """It lies between 0 and the smaller of the cap and a base that doubles with every failure."""
    wait_s = ConnectionLostError("x").wait_s(failures, Random(seed))
    assert 0 <= wait_s <= min(30, 2**failures)


def test_waits_spread_over_the_whole_range() -> None:
    """
    A thousand clients that lost the same server come back evenly: each tenth of the range gets about a tenth.
    """
    rng = Random(1)
    tenths = [int(ConnectionLostError("x").wait_s(3, rng, base_s=1, cap_s=30) / 0.8) for _ in range(1000)]
    assert all(70 <= tenths.count(tenth) <= 130 for tenth in range(10))


def test_a_wait_that_the_server_spread_gets_no_jitter() -> None:
    """The server gave each client a wait of its own: jitter is added only after a failed attempt."""
    lost = error_from_close(1012, '{"retry_ms": 3127}')
    assert isinstance(lost, ConnectionLostError)
    assert lost.wait_s(0, Random(1)) == 3.127
    assert lost.wait_s(2, Random(1)) > 3.127


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1009, 4500, 4501, 4999])
def test_some_codes_are_final(code: int) -> None:
    """After these a client does not come back; after 1000 there is not even an error."""
    error = error_from_close(code, '{"retry_ms": 1}')
    assert error is None if code == 1000 else isinstance(error, RefusedError)


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 1013, 1014, 3000, 4000, 4001, 4002, 4003, 4499])
def test_all_other_codes_allow_a_reconnect(code: int) -> None:
    """After these a client reconnects."""
    assert isinstance(error_from_close(code, ""), ConnectionLostError)


def test_the_table_of_close_codes_is_obeyed() -> None:
    """Every code that the protocol's table names ends the way that the table says."""
    rows = re.findall(r"^\| ([^|a-z]+) \|.*\| ([^|]+) \|$", PROTOCOL.read_text(), re.MULTILINE)
    assert len(rows) >= 10
    for codes, verdict in rows:
        for code in re.findall(r"\d{4}", codes):
            comes_back = isinstance(error_from_close(int(code), ""), ConnectionLostError)
            assert comes_back == (not verdict.startswith("no")), code


@pytest.mark.parametrize(
    ("reason", "retry_ms"),
    [
        ("", 0),
        ("restarting", 0),
        ("[1]", 0),
        ('{"retry_ms": "soon"}', 0),
        ('{"retry_ms": -5}', 0),
        ('{"retry_ms": 1e9}', RETRY_MS_MAX),
        ("[" * 120, 0),
    ],
)
def test_a_strange_reason_does_no_harm(reason: str, retry_ms: float) -> None:
    """What cannot be read is as if it were not there, and no server keeps a client away for long."""
    lost = error_from_close(1012, reason)
    assert isinstance(lost, ConnectionLostError)
    assert lost.retry_ms == retry_ms


@pytest.mark.parametrize("status", [400, 401, 403, 404, 200, 302, 426])
def test_a_handshake_may_be_refused_for_good(status: int) -> None:
    """The error says what the server said."""
    body = {"error": {"code": "bad_room", "message": "no such room", "status": status}}
    error = error_from_response(status, json.dumps(body).encode(), None)
    assert isinstance(error, RefusedError)
    assert (error.code, str(error), error.status) == ("bad_room", "no such room", status)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_handshake_may_be_refused_for_now(status: int) -> None:
    """No client comes back before the time that the server asks for, and not all at once after it."""
    error = error_from_response(status, b"<html>sorry</html>", "7")
    assert isinstance(error, ConnectionLostError)
    waits_s = {error.wait_s(0, Random(seed)) for seed in range(20)}
    assert len(waits_s) == 20
    assert all(7 <= wait_s <= 8 for wait_s in waits_s)


@pytest.mark.parametrize("retry_after", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "", "9" * 500])
def test_a_strange_retry_after_is_ignored(retry_after: str) -> None:
    """A date, a negative number or a joke falls back to the usual wait."""
    error = error_from_response(503, b"", retry_after)
    assert isinstance(error, ConnectionLostError)
    assert error.retry_ms == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('203.0.113.7', 80)"),
            "connection refused",
        ),
        (OSError("Multiple exceptions: [Errno 111] ('203.0.113.7', 80)"), "no connection"),
        (TimeoutError("203.0.113.7"), "no answer"),
        (socket.gaierror(-2, "203.0.113.7"), "no such host"),
        (ssl.SSLCertVerificationError(1, "203.0.113.7"), "the server's certificate is not trusted"),
        (ValueError("203.0.113.7"), "no WebSocket there"),
    ],
)
def test_the_reason_of_a_failed_attempt_names_no_address(error: Exception, reason: str) -> None:
    """The system's own text has an address; what is logged and shown does not."""
    assert error_from_exception(error).reason == reason
