"""The timeouts and waits of a client."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The timeouts and waits of a client, in seconds.

    Attributes:
        backoff_base_s: The longest first wait after a connection was lost or a poll or report failed; it
            doubles with every failure.
        backoff_cap_s: The longest wait of all.
        ping_s: The time between two pings of a connection; None: the room's ``ping_ms``. How often a client
            that polls reads and reports is set by the room.
        answer_s: How long the server may take to answer a request, a handshake or a ping before the
            connection counts as dead. With ``ping_s`` it bounds how long a dead connection goes unnoticed.
        close_s: How long the server may take to answer the close of a connection.
    """

    backoff_base_s: float = 1.0
    backoff_cap_s: float = 30.0
    ping_s: float | None = None
    answer_s: float = 10.0
    close_s: float = 1.0
