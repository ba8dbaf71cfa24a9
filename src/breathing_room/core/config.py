"""The settings of a room, with the reason for each default.

A setting is declared once: default, meaning with its consequence, unit, range and group stand with the field,
and from there come the checks, ``--help``, the reference and what hosts read from flags, variables and files.
Relations between settings are checked by hand, after the ranges.

Environment, flags and files are read by the hosts and the command; the core receives one validated object.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from breathing_room.core.breath import PATTERNS, Pattern
from breathing_room.core.errors import ConfigError

UNSPOKEN: Final = "unspoken"
"""The mood of visitors who named none. It cannot be declared as a mood of its own."""

MERGED: Final = "merged"
"""In averages, the people of all merged moods. It cannot be declared either."""

MOODS: Final = ("gratitude", "presence", "release", "connection")

# Every presence names every mood: 32 of them with names of 32 letters still fit one network packet.
MOODS_MAX: Final = 32
MOOD_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

# A browser may run the timers of a hidden page only once a minute.
THROTTLED_HEARTBEAT_MS: Final = 60_000

DAY_MS: Final = 86_400_000

MODES: Final = ("socket", "poll")

GROUPS: Final = {
    "counting": "How is a person counted?",
    "place": "Where does the room live?",
    "reading": "How is the number read?",
    "network": "Network and logs",
    "limits": "Limits",
    "security": "Security",
}
"""The groups of settings, in the order in which help and reference show them, with their headings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting as it was declared.

    Attributes:
        name: The field, flag and key of a file; the environment has it in capitals, after a prefix.
        kind: ``int``, ``str``, ``bool``, ``tuple`` (of strings) or ``dict`` (of tables).
        default: Its value where it is not set.
        meaning: What it sets and what follows from it, as a phrase.
        unit: What a number counts; empty for a plain number.
        low: The least number that is accepted.
        high: The greatest.
        choices: The words that are accepted; empty where any text is.
        group: A key of ``GROUPS``.
        secret: It has no flag, and no message repeats it.
    """

    name: str
    kind: type
    default: Any
    meaning: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    group: str = ""
    secret: bool = False

    @property
    def range(self) -> str:
        """The range of a number with its unit; empty for what is no number."""
        return "" if self.low is None else f"{self.low:,} to {self.high:,} {self.unit}".rstrip()

    @property
    def expected(self) -> str:
        """The accepted values, as an error message names them."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind is int:
            return f"a whole number from {self.range}"
        return {bool: "true or false", str: "a string", tuple: "a list of strings"}.get(self.kind, "tables")

    def check(self, value: Any) -> None:
        """Reject a number outside the range, a word that is no choice, and a switch that is neither true nor
        false.

        Raises:
            ConfigError: It names the setting, what is accepted and the value.
        """
        if self.kind is int:
            assert self.low is not None
            assert self.high is not None
            accepted = type(value) is int and self.low <= value <= self.high
        elif self.kind is bool:
            accepted = isinstance(value, bool)
        else:
            accepted = not self.choices or value in self.choices
        if not accepted:
            raise ConfigError(f"{self.name} must be {self.expected}, not {value!r}")


def setting(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
    group: str = "",
    secret: bool = False,
    shown: bool = True,
) -> Any:
    """Declare a field of a config, as ``Setting`` describes it; a number has a range.

    Without a group the reference leaves it out, and ``--help`` has it among the options of the command.
    Without ``shown`` the ``repr`` of the config leaves the field out: an address may hold a password. A
    secret is never shown.
    """
    declared = {
        "meaning": meaning,
        "unit": unit,
        "low": low,
        "high": high,
        "choices": choices,
        "group": group,
        "secret": secret,
    }
    return field(default=default, repr=shown and not secret, metadata=declared)


def setting_of(config: type, name: str, **changes: Any) -> Any:
    """Declare a field as another config declares it, with changes."""
    (found,) = (item for item in fields(config) if item.name == name)
    return setting(**{"default": found.default, **found.metadata, **changes})


def settings_of(config: type) -> dict[str, Setting]:
    """Return the settings of a config's class by name; fields that were not declared as settings are left
    out.
    """
    return {
        item.name: Setting(name=item.name, kind=type(item.default), default=item.default, **item.metadata)
        for item in fields(config)
        if "meaning" in item.metadata
    }


def check_settings(config: object, declared: Mapping[str, Setting]) -> None:
    """Reject a config with a field outside of its declared range.

    Args:
        config: The config.
        declared: Its settings, listed once by ``settings_of``.

    Raises:
        ConfigError: As from ``Setting.check``.
    """
    for name, one in declared.items():
        one.check(getattr(config, name))


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomConfig:
    """How one room works. Every length is in milliseconds."""

    moods: tuple[str, ...] = setting(MOODS, "the moods that people can choose from", group="counting")
    breath: str = setting(
        "4-7-8",
        "the breathing pattern that pages show",
        choices=tuple(PATTERNS),
        group="reading",
    )
    mode: str = setting(
        "socket",
        "how clients come in: over a `socket`, each counted exactly, or by `poll`, where a panel reports for all and "
        "the cost does not grow with the crowd",
        choices=MODES,
        group="counting",
    )
    lease_ms: int = setting(
        60_000,
        "how long a connection stays counted after its last heartbeat, for connections that fail without being closed; "
        "each is pinged three times as often",
        unit="ms",
        low=500,
        high=DAY_MS,
        group="counting",
    )
    grace_ms: int = setting(
        15_000,
        "how long a visitor stays counted after a connection ended without a leave: a reload within it changes no count",
        unit="ms",
        low=0,
        high=DAY_MS,
        group="counting",
    )
    heartbeat_ms: int = setting(
        300_000,
        "how often a visitor without a connection sends a heartbeat; changes are reported at once, but a departure without "
        "a leave is noticed 90 s after the heartbeat that is missed",
        unit="ms",
        low=500,
        high=DAY_MS,
        group="counting",
    )
    panel_size: int = setting(
        400,
        "visitors without a connection who are asked to report; the standard error is 1 / sqrt of it (400: 5 %), however "
        "large the crowd",
        unit="people",
        low=1,
        high=1_000_000,
        group="counting",
    )
    reports_per_day: int = setting(
        0,
        "reports a day that the panel may cost; fewer are asked when it costs more. 0: no limit",
        unit="reports",
        low=0,
        high=1_000_000_000,
        group="counting",
    )
    reports_per_s: int = setting(
        0,
        "reports a second that one room accepts on this server, after a burst of two panels; those over it are asked to "
        "try again later. 0: a quarter of panel_size, which is 40 times what a steady panel sends",
        unit="reports",
        low=0,
        high=1_000_000,
        group="limits",
    )
    prefix_seats_max: int = setting(
        0,
        "seats of the panel that one address prefix (IPv4 /32, IPv6 /64) may fill, so that a script cannot; 0: 64, or "
        "a tenth of panel_size if that is more",
        unit="seats",
        low=0,
        high=1_000_000,
        group="limits",
    )
    min_cell_size: int = setting(
        0,
        "the fewest people that a published mood may have; smaller ones are merged. 0: every mood is published",
        unit="people",
        low=0,
        high=1_000_000,
        group="reading",
    )
    history_fallback: bool = setting(
        False,
        "whether a count that is unknown is shown as the average of this hour of the week, labelled `estimated`",
        group="reading",
    )
    epoch_ms: int = setting(
        DAY_MS,
        "how often tickets are drawn again, and the secret changes under which visitor ids are hashed: a visitor has one "
        "key for no longer",
        unit="ms",
        low=60_000,
        high=31 * DAY_MS,
        group="security",
    )
    rate_propagation_ms: int = setting(
        75_000,
        "how long a client may act on a sampling rate after it changed: twice the time in caches, and the longest poll",
        unit="ms",
        low=100,
        high=DAY_MS,
        group="counting",
    )
    push_ms: int = setting(
        1_000,
        "the least time between two broadcasts: how late a pushed count may be",
        unit="ms",
        low=20,
        high=60_000,
        group="reading",
    )
    pushes_per_s: int = setting(
        20_000,
        "messages a second that broadcasts may cost; more subscribers get fewer broadcasts (a message is about 10 us of a "
        "core)",
        unit="messages",
        low=100,
        high=100_000_000,
        group="reading",
    )
    snapshot_ms: int = setting(
        10_000,
        "how often a room that changes is saved: what a crash can lose",
        unit="ms",
        low=100,
        high=3_600_000,
        group="place",
    )
    stale_after_ms: int = setting(
        30_000,
        "how long a client without a live connection may show a presence as live; after that it is shown as old",
        unit="ms",
        low=1_000,
        high=DAY_MS,
        group="reading",
    )
    poll_ms: int = setting(
        30_000,
        "the time between two polls of a client: less is fresher, and costs more reads",
        unit="ms",
        low=1_000,
        high=DAY_MS,
        group="reading",
    )
    connections_per_visitor_max: int = setting(
        32,
        "connections that one visitor may hold; a person has a few tabs, and a thousand connections of one visitor are a bug",
        unit="connections",
        low=1,
        high=10_000,
        group="limits",
    )

    def __post_init__(self) -> None:
        """Check every field, then how they relate."""
        check_settings(self, ROOM_FIELDS)
        if not isinstance(self.moods, tuple) or not 1 <= len(self.moods) <= MOODS_MAX:
            raise ConfigError(f"moods must be 1 to {MOODS_MAX} names, such as calm,curious")
        for mood in self.moods:
            if not isinstance(mood, str) or not MOOD_NAME.fullmatch(mood) or mood in {UNSPOKEN, MERGED}:
                raise ConfigError(
                    f"a mood is 1 to 32 of a-z, 0-9, - and _, and neither {UNSPOKEN!r} nor {MERGED!r}: {mood!r}"
                )
        if len(set(self.moods)) != len(self.moods):
            raise ConfigError("moods must differ from one another")
        if self.grace_ms > self.lease_ms:
            raise ConfigError(
                "grace_ms must not exceed lease_ms: a visitor who disconnected cannot stay longer than a connected one"
            )

    @property
    def pattern(self) -> Pattern:
        """The breathing pattern."""
        return PATTERNS[self.breath]

    @property
    def ping_ms(self) -> int:
        """The time between two pings of a connection: two lost pings must not end a lease."""
        return self.lease_ms // 3

    @property
    def fresh_ms(self) -> int:
        """How long after a report the next one is overdue: one and a quarter ``heartbeat_ms``, at most 45 s
        late.
        """
        return self.heartbeat_ms + min(self.heartbeat_ms // 4, 45_000)

    @property
    def heartbeat_lease_ms(self) -> int:
        """How long after a report a visitor without a connection stays counted.

        One ``heartbeat_ms`` and 90 s of retries, and never less than 2.5 heartbeats of a page whose timers
        the browser throttles.
        """
        return max(self.heartbeat_ms + 90_000, 5 * THROTTLED_HEARTBEAT_MS // 2)

    @property
    def ghost_ms(self) -> float:
        """For how long on average a ghost is counted: a lease, less the half of ``heartbeat_ms`` before the
        departure.
        """
        return self.heartbeat_lease_ms - self.heartbeat_ms / 2

    def reports_share(self, arrivals_per_ms: float) -> float:
        """Return the share of the daily budget that is spent at this rate of reports; 0 without a budget."""
        return arrivals_per_ms * DAY_MS / self.reports_per_day if self.reports_per_day else 0.0


ROOM_FIELDS: Final = settings_of(RoomConfig)
"""The settings of a room by name."""
