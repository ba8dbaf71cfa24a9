"""Logs that identify no visitor."""

import logging
import logging.config
import sys

import pytest
from uvicorn.config import LOGGING_CONFIG

from breathing_room.hosts.server.logging import REDACTED, RedactingFormatter, redact, set_up_logging
from harness import Serve
from raw_websocket import get_presence


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("from 192.0.2.1", f"from {REDACTED}"),
        ("192.0.2.1, 198.51.100.7", f"{REDACTED}, {REDACTED}"),
        ("('192.0.2.1', ", f"('{REDACTED}', "),
        ("<192.0.2.1>", f"<{REDACTED}>"),
        ("::1 and fe80::1%eth0", f"{REDACTED} and {REDACTED}"),
        ("[2001:db8::7]", f"[{REDACTED}]"),
        ("2001:DB8:0:0:1::7 went", f"{REDACTED} went"),
        ("sessionId=abc&mood=x", f"sessionId={REDACTED}&mood=x"),
        ("{'visitor': 'abc', 'mood': 'x'}", f"{{'visitor': '{REDACTED}', 'mood': 'x'}}"),
        ('b\'{"visitor": "abc"}\'', f'b\'{{"visitor": "{REDACTED}"}}\''),
        ("user-agent: 'Mozilla/5.0 (X11)'", f"user-agent: '{REDACTED}'"),
        ("(b'user-agent', b'Mozilla/5.0')", f"(b'user-agent', b'{REDACTED}')"),
    ],
)
def test_ids_and_addresses_are_redacted(text: str, redacted: str) -> None:
    """
    Addresses of both families, ids and agent strings are taken out, in the forms in which libraries print
    them.
    """
    assert redact(text) == redacted


@pytest.mark.parametrize("form", ["{}:{}", "('{}', {})", "Address(host='{}', port={})", '{}:{} - "GET /"'])
def test_port_goes_with_its_address(form: str) -> None:
    """
    The port of a peer is taken out with its address: behind a carrier's address it names the subscriber.
    """
    assert "51234" not in redact(form.format("192.0.2.1", 51_234))


@pytest.mark.parametrize(
    "text",
    [
        "room lobby: restored 12 leases",
        "breathing-room 0.1.0, Python 3.11.7",
        "2026-11-22 10:40:52,850 INFO",
        "at 10:40:52",
        "1.2.3 and 1.2.3.4.5",
        "breathing_room::server",
        "the visitor had too many sockets",
        "a ratio of 3:4",
        "version 2.0.0.1beta",
    ],
)
def test_everything_else_is_left(text: str) -> None:
    """Times, versions and words that only look alike are left as they are."""
    assert redact(text) == text


def test_tracebacks_are_redacted_too() -> None:
    """What an exception says is taken out like the rest, and so are the arguments of a message."""
    try:
        raise ValueError("no answer from 192.0.2.1")  # noqa: TRY301 -- a traceback is what is looked at
    except ValueError:
        record = logging.LogRecord(
            "name", logging.ERROR, "file", 1, "from %s", ("198.51.100.7",), sys.exc_info()
        )
    said = RedactingFormatter("%(message)s").format(record)
    assert "192.0.2.1" not in said
    assert "198.51.100.7" not in said
    assert f"from {REDACTED}" in said
    assert "test_tracebacks_are_redacted_too" in said


def test_message_of_an_exception_is_not_logged() -> None:
    """
    The message of an exception may hold anything that a client sent, and is left out; its type and its stack
    stay.
    """
    try:
        int("visitor-" + "0123456789")
    except ValueError:
        record = logging.LogRecord("name", logging.ERROR, "file", 1, "a bug", (), sys.exc_info())
    said = RedactingFormatter("%(message)s").format(record)
    assert "visitor-0123456789" not in said
    assert "ValueError" in said
    assert "test_message_of_an_exception_is_not_logged" in said


def test_everything_goes_through_one_handler() -> None:
    """
    After `set_up_logging` every logger, uvicorn's too, ends in the one handler that redacts, also where
    uvicorn was configured before.
    """
    logging.config.dictConfig(LOGGING_CONFIG)
    root, uvicorn_logger = logging.getLogger(), logging.getLogger("uvicorn.error")
    handlers, level, uvicorn_level = root.handlers, root.level, uvicorn_logger.level
    try:
        set_up_logging("debug")
        assert [type(handler.formatter) for handler in root.handlers] == [RedactingFormatter]
        assert root.level == logging.DEBUG
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "breathing_room.server"):
            logger = logging.getLogger(name)
            assert (logger.handlers, logger.propagate) == ([], True)
    finally:
        root.handlers = handlers
        root.setLevel(level)
        uvicorn_logger.setLevel(uvicorn_level)


@pytest.mark.parametrize("level", ["debug", "error"])
def test_an_idle_server_logs_two_lines(serve: Serve, level: str) -> None:
    """
    At every level a server where nothing goes wrong says where it listens and what it holds; no request is
    logged.
    """
    server = serve("--log-level", level)
    for _ in range(3):
        get_presence(server.port)
    server.stop()
    said = [line for line in server.lines if "DEBUG" not in line]
    assert [line.split(" ")[0] for line in said] == ["Breathing", "It"]
    assert not [line for line in server.lines[2:] if "127.0.0.1" in line]
