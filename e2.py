import sys; sys.path.insert(0, "/tmp/wt/me")
from e1 import sub
C = "src/breathing_room/client/"
sub(C + "errors.py",
('''"""How a connection ends, and whether and when to come back.

The codes are those of ``docs/reference/protocol.md``. Whatever does not say that we may not come back is worth
another try after a full-jittered wait.
"""''', '''"""Errors of a connection: whether the client may reconnect, and when.

The codes are those of ``docs/reference/protocol.md``. An error that does not forbid it is retried after a
full-jittered wait.
"""'''),
("# Of the answers that blame the client, these alone will pass.\nPASSING:", "# Of the statuses that blame the client, these alone are temporary.\nTEMPORARY_STATUSES:"),
("PASSING}", "TEMPORARY_STATUSES}", 0),
("not in PASSING", "not in TEMPORARY_STATUSES"),
("# A server that asks for more than this is mistaken, and nobody waits longer for a room.\n", "# A server that asks for a longer wait is misconfigured: the client retries after this long.\n"),
('''    """The server does not want this client back as it is; ``code`` says why."""''', '''    """The server rejected this client, and would again; ``code`` says why."""'''),
('''    """As many attempts in a row as ``attempts_max`` allows have failed.

    Args:
        url: The server's address, without user name and password.''', '''    """All attempts that ``attempts_max`` allows have failed, one after another.

    Args:
        url: The server's URL, without user name and password.'''),
('''    """The connection ended, and we may come back.

    Args:
        trouble: Why, in a few words for people, without any address.
        retry_ms: How long the server wants us to stay away.
        spread: Whether the server told everybody a length of their own, so that it needs no jitter.
    """

    def __init__(self, trouble: str, *, retry_ms: float = 0.0, spread: bool = False) -> None:
        super().__init__(trouble)
        self.trouble = trouble
''', '''    """The connection ended, and the client may reconnect.

    Args:
        reason: Why, in a few words for people, without any address.
        retry_ms: How long the server asked the client to wait.
        spread: Whether the server gave each client a wait of its own, which needs no jitter.
    """

    def __init__(self, reason: str, *, retry_ms: float = 0.0, spread: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
'''),
('''        """Draw how long to wait, in seconds, before coming back.
''', '''        """Draw how long to wait before the next attempt, in seconds.
'''),
('''            rng: Where the jitter comes from.
''', '''            rng: The source of the jitter.
'''),
('''            What the server asked for, and on top of it a full-jittered wait, uniform from 0 to
            ``min(cap, base * 2**failures)``; without that when the server has spread us, and we have not failed since.

        Source: Brooker, "Exponential backoff and jitter", AWS architecture blog, 2015: of the ways to come back
        after an outage this one asks the least of the server.
''', '''            What the server asked for, and on top of it a full-jittered wait, uniform from 0 to
            ``min(cap, base * 2**failures)``; without that when the server spread its clients, and no attempt has
            failed since.

        Source: Brooker, "Exponential backoff and jitter", AWS architecture blog, 2015: of the ways to reconnect
        after an outage this one asks the least of the server.
'''),
('''def closed(code: int, reason: str) -> ConnectionLostError | RefusedError | None:
    """Read a close frame of the server; None when it has seen us off."""
''', '''def error_from_close(code: int, reason: str) -> ConnectionLostError | RefusedError | None:
    """Return the error that a close frame of the server means; None for a normal closure."""
'''),
('''    """Tell whether an HTTP status blames the client, so that the same request will fail again."""
''', '''    """Return whether an HTTP status blames the client, so that the same request will fail again."""
'''),
('''def refused(status: int, body: bytes, retry_after: str | None) -> ConnectionLostError | RefusedError:
    """Read an HTTP answer that is not what was asked for: its status, body, and ``Retry-After`` in seconds."""
''', '''def error_from_response(
    status: int, body: bytes, retry_after: str | None
) -> ConnectionLostError | RefusedError:
    """Return the error that an HTTP response means, from its status, body, and ``Retry-After`` in seconds."""
'''),
('''                said = decode_error(error)
                code, message = said.code, said.message
''', '''                decoded = decode_error(error)
                code, message = decoded.code, decoded.message
'''),
('''def broken(error: BaseException) -> ConnectionLostError:
    """Read a connection that could not be opened. The system's own words for it hold the address; these do not."""
''', '''def error_from_exception(error: BaseException) -> ConnectionLostError:
    """Return the error that a failed connection attempt means; unlike the system's text it names no address."""
'''),
("            trouble = ", "            reason = ", 7),
("    return ConnectionLostError(trouble)\n", "    return ConnectionLostError(reason)\n"),
)
