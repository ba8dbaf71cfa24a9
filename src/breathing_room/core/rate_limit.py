"""The rate limit of reports of a room on one server: a token bucket. Reports over it are rejected, never
queued.

Tokens are added at a constant rate, and every report that is kept takes one. The bucket stands between the
ticket and the room:

- A report outside the sample takes no token. Its answer holds the rate, and a client that knows the rate
  does not report again; rejected, it would only try again.
- A report in the sample is what costs work: a hash, a lease, an estimate, a share of the next snapshot.
  Without a token it is rejected before any of that. Its client polls before it tries again
  (``core/client_rules/polling.py``) and then reads the rate, which has fallen meanwhile.
- A leave is never rejected: it removes a lease.

Why the defaults: a panel of n sends about n / 165 reports a second (208,000 a day for 400), so a quarter of
it is forty times as many. When a crowd of N comes all at once, about ``n (1 + ln(N / n))`` of its reports
fall into the sample before the rate has fallen: the bucket holds two panels, a whole class of 800 within one
second, and the next quarter follows every second.
"""

from typing import Final

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError

PANEL_MIN: Final = 100
"""A smaller panel costs next to nothing: its limits are those of this size."""

RETRY_S_MAX: Final = 30

OVER_BUDGET: Final = "over_budget"
"""The code of the error."""


class TokenBucket:
    """The token bucket of one room.

    Args:
        config: How the room works.
        now_ms: The host's time. Every later time given is at least as late.

    Attributes:
        per_s: Tokens added in a second.
        burst: The most tokens that it holds.
        retry_after_s: When to try again: half of the bucket is full by then.
    """

    __slots__ = ("_as_of_ms", "_tokens", "burst", "per_s", "retry_after_s")

    def __init__(self, config: RoomConfig, *, now_ms: int) -> None:
        panel_size = max(config.panel_size, PANEL_MIN)
        self.per_s = config.reports_per_s or panel_size // 4
        self.burst = 2 * panel_size
        self.retry_after_s = min(-(-self.burst // (2 * self.per_s)), RETRY_S_MAX)
        self._tokens = float(self.burst)
        self._as_of_ms = now_ms

    def spend(self, now_ms: int) -> None:
        """Take a token.

        Raises:
            ClientError: ``over_budget``: there is none.
        """
        added = max(0, now_ms - self._as_of_ms) * self.per_s / 1_000
        self._tokens = min(self._tokens + added, self.burst)
        self._as_of_ms = now_ms
        if self._tokens < 1:
            raise ClientError(
                "over_budget",
                "more people report than this room takes in a second; poll, then report again",
                status=429,
                retry_after_s=self.retry_after_s,
            )
        self._tokens -= 1
