"""What can be set about a room, with the reason for each default.

Environment, flags and files are read by the command; what arrives here is one validated object.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from breathing_room.core.breath import PATTERNS, Pattern
from breathing_room.core.errors import ConfigError

UNSPOKEN: Final = "unspoken"
"""The mood of those who named none. It cannot be declared as a mood of its own."""

MERGED: Final = "merged"
"""In averages, all those whose mood is not told apart. It cannot be declared either."""

MOODS: Final = ("gratitude", "presence", "release", "connection")

# Every announcement names every mood: 32 of them with names of 32 letters still fit one network packet.
MOODS_MAX: Final = 32
MOOD_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

# A browser may run the timers of a hidden page only once a minute.
THROTTLED_BEAT_MS: Final = 60_000

DAY_MS: Final = 86_400_000

MODES: Final = ("socket", "poll")


def setting(default: Any, meaning: str) -> Any:
    """Declare a field of a config with its meaning, which ``--help`` and the reference show."""
    return field(default=default, metadata={"meaning": meaning})


def check_range(config: object, name: str, low: int, high: int) -> None:
    """Refuse a whole number outside [low, high].

    Raises:
        ConfigError: It is not a whole number, or lies outside.
    """
    value = getattr(config, name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} must be a whole number from {low:,} to {high:,}, not {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomConfig:
    """How one room works. Every length is in milliseconds."""

    moods: tuple[str, ...] = setting(MOODS, "the moods that people can choose from")
    breath: str = setting("4-7-8", f"how people breathe together: {', '.join(PATTERNS)}")
    mode: str = setting(
        "socket",
        "how clients come in: over a `socket`, or by `poll`, where a panel reports for all and the bill does not grow with the crowd",
    )
    lease_ms: int = setting(
        60_000,
        "how long a person on a socket stays counted after the last sign of life; sockets are pinged three times as often",
    )
    grace_ms: int = setting(15_000, "how long a person whose socket broke without a goodbye stays counted")
    beat_ms: int = setting(
        300_000, "how often a person without a socket gives a sign of life; changes are reported at once"
    )
    panel_size: int = setting(
        400,
        "people without a socket who are asked to report; the standard error is 1 / sqrt of it (400: 5 %), whatever the crowd",
    )
    reports_per_day: int = setting(
        0, "reports a day that the panel may cost; fewer are asked when it costs more. 0: no limit"
    )
    reports_per_s: int = setting(
        0,
        "reports a second that one room keeps on this server, after a burst of two panels; what comes over it is told to come again. 0: a quarter of panel_size, which is 40 times what a steady panel sends",
    )
    prefix_seats_max: int = setting(
        0,
        "seats of the panel that one address prefix (IPv4 /32, IPv6 /64) may fill, so that a script cannot; 0: 64, or a tenth of panel_size if that is more",
    )
    cell_min: int = setting(
        0,
        "the fewest people that a published mood may have; smaller ones are merged and not told apart. 0: all are",
    )
    history_fallback: bool = setting(
        False,
        "whether a count that nobody knows is shown as the average of this hour of the week, labelled `estimated`",
    )
    epoch_ms: int = setting(
        DAY_MS, "how often tickets are drawn anew, and the secret changes under which visitor ids are hashed"
    )
    spread_ms: int = setting(
        75_000,
        "how long a client may act on a sampling rate after it changed: twice the time in caches, and the longest poll",
    )
    push_ms: int = setting(1_000, "the least time between two announcements to everybody")
    pushes_per_s: int = setting(
        20_000,
        "messages a second that announcements may cost; larger crowds are told less often (a message is about 10 us of a core)",
    )
    snapshot_ms: int = setting(
        10_000, "how often the room is saved while something happens: what a crash can lose"
    )
    valid_ms: int = setting(30_000, "how long a client without a live connection may show a presence as live")
    next_ms: int = setting(30_000, "how often a polling client asks")
    connections_per_visitor_max: int = setting(
        32,
        "sockets that one visitor may hold; people have a few tabs, and a thousand sockets of one person are a bug",
    )

    def __post_init__(self) -> None:
        """Check every field and how they relate."""
        if not isinstance(self.moods, tuple) or not 1 <= len(self.moods) <= MOODS_MAX:
            raise ConfigError(f"moods must be 1 to {MOODS_MAX} names")
        for mood in self.moods:
            if not isinstance(mood, str) or not MOOD_NAME.fullmatch(mood) or mood in {UNSPOKEN, MERGED}:
                raise ConfigError(
                    f"a mood is 1 to 32 of a-z, 0-9, - and _, and neither {UNSPOKEN!r} nor {MERGED!r}: {mood!r}"
                )
        if len(set(self.moods)) != len(self.moods):
            raise ConfigError("moods must differ from one another")
        if not isinstance(self.breath, str) or self.breath not in PATTERNS:
            raise ConfigError(f"breath must be one of {', '.join(PATTERNS)}, not {self.breath!r}")
        if self.mode not in MODES:
            raise ConfigError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        if not isinstance(self.history_fallback, bool):
            raise ConfigError(f"history_fallback must be true or false, not {self.history_fallback!r}")
        check_range(self, "prefix_seats_max", 0, 1_000_000)
        check_range(self, "cell_min", 0, 1_000_000)
        check_range(self, "lease_ms", 500, DAY_MS)
        check_range(self, "grace_ms", 0, DAY_MS)
        check_range(self, "beat_ms", 500, DAY_MS)
        check_range(self, "epoch_ms", 60_000, 31 * DAY_MS)
        check_range(self, "panel_size", 1, 1_000_000)
        check_range(self, "reports_per_day", 0, 1_000_000_000)
        check_range(self, "reports_per_s", 0, 1_000_000)
        check_range(self, "spread_ms", 100, DAY_MS)
        check_range(self, "push_ms", 20, 60_000)
        check_range(self, "pushes_per_s", 100, 100_000_000)
        check_range(self, "snapshot_ms", 100, 3_600_000)
        check_range(self, "valid_ms", 1_000, DAY_MS)
        check_range(self, "next_ms", 1_000, DAY_MS)
        check_range(self, "connections_per_visitor_max", 1, 10_000)
        if self.grace_ms > self.lease_ms:
            raise ConfigError(
                "grace_ms must not exceed lease_ms: a broken socket cannot promise more than an open one"
            )

    @property
    def pattern(self) -> Pattern:
        """How people breathe together."""
        return PATTERNS[self.breath]

    @property
    def ping_ms(self) -> int:
        """How long a socket may be silent before it is pinged: two lost pings must not end a lease."""
        return self.lease_ms // 3

    @property
    def fresh_ms(self) -> int:
        """How long after a report the next one is overdue: one beat and a quarter, at most 45 s late."""
        return self.beat_ms + min(self.beat_ms // 4, 45_000)

    @property
    def beat_lease_ms(self) -> int:
        """How long after a report a person without a socket stays counted.

        A beat and 90 s of retries, and never less than 2.5 beats of a page whose timers the browser throttles.
        """
        return max(self.beat_ms + 90_000, 5 * THROTTLED_BEAT_MS // 2)

    @property
    def ghost_ms(self) -> float:
        """For how long on average somebody who left in silence is still counted: a lease after a beat that was half over."""
        return self.beat_lease_ms - self.beat_ms / 2

    def reports_share(self, arrivals_per_ms: float) -> float:
        """Say what share of the budget of a day is spent on reports that arrive so fast; 0 where there is no budget."""
        return arrivals_per_ms * DAY_MS / self.reports_per_day if self.reports_per_day else 0.0
