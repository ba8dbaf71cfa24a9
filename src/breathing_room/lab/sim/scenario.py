"""Scenarios: what is simulated, from TOML files, checked before anything is run.

Every table of a file is one dataclass here, and every key one of its fields.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from difflib import get_close_matches
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar

from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.errors import ConfigError
from breathing_room.core.write_policies import POLICIES

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
SECOND_MS: Final = 1_000

ESTIMATORS: Final = ("panel", "legacy", "legacy_forced", "write_rate", "history")
MODES: Final = ("auto", "exact", "fast")
KINDS: Final = ("poll", "legacy", "socket")

PEOPLE_MAX: Final = 100_000_000
EXACT_PEOPLE_MAX: Final = 20_000
"""Up to this size the mode is ``exact`` unless another is asked for."""

T = TypeVar("T")


def ranged(default: Any, low: float, high: float, *, make: Callable[[], Any] | None = None) -> Any:
    """Declare a number and its range."""
    metadata = {"range": (low, high)}
    return (
        field(default_factory=make, metadata=metadata) if make else field(default=default, metadata=metadata)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """The length of a run, and its observations.

    Attributes:
        hours: Its length, after the warm-up.
        warm_up_minutes: The time before the first observation.
        observe_every_s: The time between two observations.
        judged_from_minutes: Observations before it are shown and not judged.
        mode: ``auto``, ``exact`` or ``fast``.
        policy: The write policy between the room and the store.
        estimators: The estimators that are compared.
        starts_at_h: The hour of the day (UTC) at which it begins.
        rate: The rate at which the room begins, as if it had been going for a while. 0: four times what the
            crowd at the beginning calls for, so that the rate has to move.
    """

    hours: float = ranged(1.0, 0.01, 24 * 366)
    warm_up_minutes: float = ranged(60.0, 0, 24 * 60)
    observe_every_s: float = ranged(60.0, 1, 86_400)
    judged_from_minutes: float = ranged(0.0, 0, 24 * 60)
    mode: str = "auto"
    policy: str = "bucketed"
    estimators: tuple[str, ...] = ("panel", "legacy", "legacy_forced")
    starts_at_h: float = ranged(12.0, 0, 24)
    rate: float = ranged(0.0, 0, 1)

    def __post_init__(self) -> None:
        """Check the names."""
        _one_of("mode", self.mode, MODES)
        _one_of("policy", self.policy, tuple(POLICIES))
        if not self.estimators:
            raise ConfigError("estimators must name at least one")
        for name in self.estimators:
            _one_of("estimators", name, ESTIMATORS)


@dataclass(frozen=True, kw_only=True, slots=True)
class CrowdSettings:
    """The visitors, and the lengths of their visits.

    Attributes:
        people: The mean number at a time, where the curve is 1.
        closed: Whether exactly ``people`` arrive at the beginning, and no others.
        gather_s: The time within which the first visitors arrive.
        kinds: The shares of polling, legacy and connected visitors.
        curve: Points of hour and factor with straight lines between them; the factor holds after the last
            one.
        period_hours: After how long the curve begins again; 0: never.
        visit: ``exponential``, ``log-normal``, or the name of a file with one visit in seconds per line.
        visit_minutes: The mean visit; that of a file is its own.
        visit_sigma: The standard deviation of the logarithm of a log-normal visit.
        mood_changes: The mean number of changes of mood in a visit.
        moods: The weight of each mood; empty: all equal.
        leaves_share: The share of leaves that arrive.
    """

    people: int = ranged(1_000, 1, PEOPLE_MAX)
    closed: bool = False
    gather_s: int = ranged(60, 1, 60)
    kinds: Mapping[str, float] = field(default_factory=lambda: {"poll": 1.0})
    curve: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    period_hours: float = ranged(0.0, 0, 24 * 366)
    visit: str = "exponential"
    visit_minutes: float = ranged(15.0, 0.1, 24 * 60)
    visit_sigma: float = ranged(0.8, 0.01, 3)
    mood_changes: float = ranged(1.0, 0, 100)
    moods: Mapping[str, float] = field(default_factory=dict)
    leaves_share: float = ranged(0.92, 0, 1)

    def __post_init__(self) -> None:
        """Check how the parts relate."""
        for kind in self.kinds:
            _one_of("kinds", kind, KINDS)
        _weights("kinds", self.kinds)
        if self.moods:
            _weights("moods", self.moods)
        hours = [hour for hour, _ in self.curve]
        if not self.curve or hours[0] != 0 or hours != sorted(set(hours)):
            raise ConfigError("curve must begin at hour 0 and go on in time")
        if any(not 0 <= factor <= 100_000 for _, factor in self.curve):
            raise ConfigError("a factor of curve must be from 0 to 100,000")
        if self.period_hours and hours[-1] >= self.period_hours:
            raise ConfigError("curve must end before period_hours")


@dataclass(frozen=True, kw_only=True, slots=True)
class Surge:
    """Many visitors who arrive at once; their visits are as long as all others.

    Attributes:
        at_minutes: When it begins, counted from the end of the warm-up.
        in_s: How long it takes.
        factor: How many times as many visitors there are afterwards; 1: no surge.
    """

    at_minutes: float = ranged(0.0, 0, 24 * 60)
    in_s: float = ranged(30.0, 1, 3_600)
    factor: float = ranged(1.0, 1, 1_000_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgersSettings:
    """Forged reports, all from one address prefix.

    Attributes:
        share: Their share of all reports that arrive; 0: none.
        tickets: ``chosen``: the room accepts any id, so they choose ids with low tickets; ``drawn``: the room
            accepts signed ids only, so they cannot choose.
        at_minutes: When they begin, counted from the end of the warm-up.
    """

    share: float = ranged(0.0, 0, 0.99)
    tickets: str = "chosen"
    at_minutes: float = ranged(0.0, 0, 24 * 60)

    def __post_init__(self) -> None:
        """Check the names."""
        _one_of("tickets", self.tickets, ("chosen", "drawn"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Wires:
    """The network, and the cache at the edge.

    Attributes:
        loss_share: The share of requests, and of answers, that are lost.
        delay_ms: The mean time of one way, exponential.
        presence_max_age_s: How long the cache answers with a presence; it does so as long again while it
            fetches another.
        config_max_age_s: How long it answers with a config.
    """

    loss_share: float = ranged(0.0, 0, 0.5)
    delay_ms: float = ranged(0.0, 0, 10_000)
    presence_max_age_s: float = ranged(5.0, 0, 3_600)
    config_max_age_s: float = ranged(300.0, 60, 86_400)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A scenario.

    Attributes:
        about: What it shows, in a sentence.
        sizes: The values of ``crowd.people`` in a sweep; empty: no sweep.
        room: The config of the room.
    """

    about: str = ""
    sizes: tuple[int, ...] = ()
    run: Run = field(default_factory=Run)
    crowd: CrowdSettings = field(default_factory=CrowdSettings)
    surge: Surge = field(default_factory=Surge)
    forgers: ForgersSettings = field(default_factory=ForgersSettings)
    wires: Wires = field(default_factory=Wires)
    room: RoomConfig = field(default_factory=lambda: RoomConfig(mode="poll"))

    def __post_init__(self) -> None:
        """Check how the tables relate."""
        for people in self.sizes:
            if not 1 <= people <= PEOPLE_MAX:
                raise ConfigError(f"sizes must be from 1 to {PEOPLE_MAX:,}, not {people!r}")
        for mood in self.crowd.moods:
            _one_of("crowd.moods", mood, (*self.room.moods, UNSPOKEN))
        rate_propagation_ms = round(2_000 * self.wires.presence_max_age_s) + round(1.1 * self.room.poll_ms)
        if self.room.rate_propagation_ms < rate_propagation_ms:
            raise ConfigError(
                f"room.rate_propagation_ms must be at least {rate_propagation_ms:,}: twice wires.presence_max_age_s and the longest poll"
            )

    def of(self, people: int) -> "Scenario":
        """Return the scenario with another size of the crowd."""
        return replace(self, sizes=(), crowd=replace(self.crowd, people=people))

    @property
    def warm_up_ms(self) -> int:
        """The time before the first observation."""
        return round(self.run.warm_up_minutes * MINUTE_MS)

    @property
    def length_ms(self) -> int:
        """The length of a run, warm-up included."""
        return self.warm_up_ms + round(self.run.hours * HOUR_MS)

    @property
    def surge_ms(self) -> tuple[int, int]:
        """When the surge begins and ends."""
        begins_ms = self.warm_up_ms + round(self.surge.at_minutes * MINUTE_MS)
        return begins_ms, begins_ms + round(self.surge.in_s * SECOND_MS)

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The curve, its beginning put at its end where it is repeated."""
        points = self.crowd.curve
        return (*points, (self.crowd.period_hours, points[0][1])) if self.crowd.period_hours else points


# --- Reading ----------------------------------------------------------------------------------------------


def scenario_names() -> list[str]:
    """Name the scenarios that are shipped."""
    folder = resources.files(__package__) / "scenarios"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load(name: str, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Scenario:
    """Read a scenario by its name or from a file.

    Args:
        name: A name of ``scenario_names``, or a path that ends in ``.toml``.
        overrides: Values in place of the file's, by key by table.

    Raises:
        ConfigError: There is none, or its content is invalid.
    """
    if name.endswith(".toml"):
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"cannot read {name}: {reason}") from None
    elif name in scenario_names():
        text = (resources.files(__package__) / "scenarios" / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"there is no scenario {name!r}; there are {', '.join(scenario_names())}, and files that end in .toml"
        )
    try:
        return parse(text, overrides)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def parse(text: str, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Scenario:
    """Read a scenario.

    Raises:
        ConfigError: The content is invalid.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"this is not valid TOML: {error}") from None
    for table, values in (overrides or {}).items():
        merged = tables.setdefault(table, {})
        if isinstance(merged, dict):
            merged.update(values)
    return _read(Scenario, tables, "")


TABLES: Final = {
    "run": Run,
    "crowd": CrowdSettings,
    "surge": Surge,
    "forgers": ForgersSettings,
    "wires": Wires,
    "room": RoomConfig,
}


def _read(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Read one table."""
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            advice = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(known)}"
            raise ConfigError(f"{where}{name} is not a setting; {advice}")
    try:
        values = {name: _value(known[name], value, where) for name, value in table.items()}
        if kind is RoomConfig:
            values = {"mode": "poll", **values}
        return kind(**values)
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith(where) else where + message) from None


def _value(entry: "Field[Any]", value: Any, where: str) -> Any:
    """Read one value."""
    name = where + entry.name
    if where == "" and entry.name in TABLES:
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be a table")
        return _read(TABLES[entry.name], value, f"{entry.name}.")
    if entry.name == "curve":
        rows: list[Any] = value if isinstance(value, list) else []
        pairs = all(isinstance(row, list) and len(row) == 2 and all(map(_is_number, row)) for row in rows)
        if not rows or not pairs:
            raise ConfigError(f"{name} must be a list of [hour, factor]")
        return tuple((float(hour), float(factor)) for hour, factor in rows)
    if isinstance(value, list):
        value = tuple(value)
    default = entry.default
    if entry.default_factory is not MISSING:
        default = entry.default_factory()
    expected: str | None = None
    match default:
        case bool():
            expected = None if isinstance(value, bool) else "true or false"
        case int():
            expected = None if type(value) is int else "a whole number"
        case float():
            expected = None if _is_number(value) else "a number"
        case str():
            expected = None if isinstance(value, str) else "text"
        case tuple():
            kind = int if entry.name == "sizes" else str
            right = isinstance(value, tuple) and all(type(part) is kind for part in value)
            expected = None if right else f"a list of {'whole numbers' if kind is int else 'names'}"
        case Mapping():
            right = isinstance(value, dict) and all(map(_is_number, value.values()))
            expected = None if right else "a table of numbers"
    if expected:
        raise ConfigError(f"{name} must be {expected}, not {value!r}")
    if "range" in entry.metadata:
        low, high = entry.metadata["range"]
        if not low <= value <= high:
            raise ConfigError(f"{name} must be from {low:,} to {high:,}, not {value!r}")
    return float(value) if isinstance(default, float) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _one_of(name: str, value: str, values: tuple[str, ...]) -> None:
    if value not in values:
        raise ConfigError(f"{name} must be one of {', '.join(values)}, not {value!r}")


def _weights(name: str, weights: Mapping[str, float]) -> None:
    if any(weight < 0 for weight in weights.values()) or not sum(weights.values()) > 0:
        raise ConfigError(f"{name} must be weights that are not negative, and one of them above 0")
