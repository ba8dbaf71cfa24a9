"""Every error that this package raises on purpose.

::

    BreathingRoomError
    ├── HostError      the caller broke the contract; state unchanged
    │   └── ConfigError    a setting is out of range, or contradicts another
    ├── ClientError    a client broke the protocol; it is answered with the error, and state is unchanged
    └── StoreError     the outside failed; ``temporary`` says whether to try again

A broken invariant is none of these: it is a bug, and an ``assert``.
"""


class BreathingRoomError(Exception):
    """The base class of the package's errors."""


class HostError(BreathingRoomError):
    """The caller of the core broke its contract. The state is as it was before the call."""


class ConfigError(HostError):
    """A setting is out of its range, or contradicts another one.

    The message names the setting and what is accepted.
    """


class ClientError(BreathingRoomError):
    """A client broke the protocol, or exceeded a limit. The state is as it was before.

    Over HTTP it becomes an error response; over a connection an error message or a close code, whose range
    says whether to reconnect.

    Args:
        code: A word for programs, listed in ``docs/reference/errors.md``.
        message: A sentence for the developer of the client. It never repeats the client's input.
        status: The HTTP status that goes with it.
        retry_after_s: When to try again, in seconds, where trying again makes sense.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s


class StoreError(BreathingRoomError):
    """A store, a log or a publishing target outside of the process failed.

    Args:
        message: What failed, for the operator.
        temporary: Whether the same call may succeed later. The host then retries; otherwise it degrades.
    """

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary
