"""Every error that this package raises on purpose.

::

    BreathingRoomError
    ├── HostError      our caller broke the contract; nothing was changed
    │   └── ConfigError    a setting is out of range, or contradicts another
    ├── ClientError      a client did; it is told so, and nothing was changed
    └── StoreError     the outside failed; ``temporary`` says whether to try again

A broken invariant is none of these: it is a bug, and an ``assert``.
"""


class BreathingRoomError(Exception):
    """The root of the tree."""


class HostError(BreathingRoomError):
    """Our caller broke the contract. The state is as it was before the call."""


class ConfigError(HostError):
    """A setting is out of its range, or contradicts another one. The message names it."""


class ClientError(BreathingRoomError):
    """A client sent something that makes no sense. It had no effect.

    Args:
        code: A word for programs, listed in ``docs/reference/errors.md``.
        message: A sentence for the person who writes the client. It never repeats what was sent.
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
    """A store could not do what it was asked.

    Args:
        message: What failed, for the operator.
        temporary: Whether the same call may succeed later. The host then retries; otherwise it degrades.
    """

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary
