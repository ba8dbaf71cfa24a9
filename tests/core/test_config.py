"""The settings of a room, and the errors that name the wrong one."""

from dataclasses import FrozenInstanceError, dataclass, field, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.breath import PATTERNS
from breathing_room.core.config import (
    DAY_MS,
    GROUPS,
    MERGED,
    MOODS,
    MOODS_MAX,
    THROTTLED_HEARTBEAT_MS,
    UNSPOKEN,
    RoomConfig,
    Setting,
    check_settings,
    setting,
    setting_of,
    settings_of,
)
from breathing_room.core.errors import BreathingRoomError, ConfigError, HostError

RANGES = {
    "lease_ms": (500, DAY_MS),
    "grace_ms": (0, DAY_MS),
    "heartbeat_ms": (500, DAY_MS),
    "panel_size": (1, 1_000_000),
    "reports_per_day": (0, 1_000_000_000),
    "reports_per_s": (0, 1_000_000),
    "prefix_seats_max": (0, 1_000_000),
    "min_cell_size": (0, 1_000_000),
    "epoch_ms": (60_000, 31 * DAY_MS),
    "rate_propagation_ms": (100, DAY_MS),
    "push_ms": (20, 60_000),
    "pushes_per_s": (100, 100_000_000),
    "snapshot_ms": (100, 3_600_000),
    "stale_after_ms": (1_000, DAY_MS),
    "poll_ms": (1_000, DAY_MS),
    "connections_per_visitor_max": (1, 10_000),
}


def test_the_defaults() -> None:
    """The default config has the four moods, the pattern 4-7-8, and the times of the reference."""
    config = RoomConfig()

    assert config.moods == MOODS == ("gratitude", "presence", "release", "connection")
    assert config.pattern is PATTERNS["4-7-8"]
    assert (config.lease_ms, config.grace_ms, config.ping_ms) == (60_000, 15_000, 20_000)
    assert (config.heartbeat_ms, config.fresh_ms, config.heartbeat_lease_ms) == (300_000, 345_000, 390_000)
    assert (config.panel_size, config.reports_per_day) == (400, 0)
    assert (config.mode, config.prefix_seats_max, config.min_cell_size) == ("socket", 0, 0)
    assert config.history_fallback is False
    assert (config.epoch_ms, config.rate_propagation_ms) == (DAY_MS, 75_000)
    assert (config.push_ms, config.snapshot_ms, config.stale_after_ms, config.poll_ms) == (
        1_000,
        10_000,
        30_000,
        30_000,
    )


def test_every_number_has_a_range_here() -> None:
    """The table above has every whole number of the config."""
    assert set(RANGES) == {each.name for each in fields(RoomConfig) if type(each.default) is int}


def test_every_field_says_what_it_means() -> None:
    """Every field has a meaning, for ``--help`` and the reference, without a full stop."""
    declared = settings_of(RoomConfig)
    assert list(declared) == [each.name for each in fields(RoomConfig)]
    for one in declared.values():
        assert len(one.meaning) > 20
        assert not one.meaning.endswith(".")
        assert one.group in GROUPS


@dataclass(frozen=True, kw_only=True)
class Kettle:
    """A config with one setting of each kind."""

    cups: int = setting(4, "cups that it holds", unit="cups", low=1, high=12, group="limits")
    whistles: bool = setting(True, "whether it whistles")
    plug: str = setting("EU", "the plug that it has", choices=("EU", "UK"))
    code: str = setting("", "what starts it", secret=True)
    address: str = setting("", "where it stands", shown=False)
    rooms: list[str] = field(default_factory=list)


def test_a_setting_is_what_was_declared_with_its_field() -> None:
    """Name, kind and default come from the field, the rest from its declaration; other fields are no
    settings.
    """
    assert list(settings_of(Kettle)) == ["cups", "whistles", "plug", "code", "address"]
    assert settings_of(Kettle)["cups"] == Setting(
        name="cups",
        kind=int,
        default=4,
        meaning="cups that it holds",
        unit="cups",
        low=1,
        high=12,
        group="limits",
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cups": 13}, "cups must be a whole number from 1 to 12 cups, not 13"),
        ({"cups": True}, "cups must be a whole number from 1 to 12 cups, not True"),
        ({"whistles": "yes"}, "whistles must be true or false, not 'yes'"),
        ({"plug": "US"}, "plug must be one of EU, UK, not 'US'"),
        ({"plug": ["EU"]}, "plug must be one of EU, UK, not ['EU']"),
    ],
)
def test_a_value_that_is_not_declared_is_rejected(wrong: dict[str, Any], message: str) -> None:
    """A value that its declaration does not accept is a ConfigError that names what is accepted."""
    check_settings(Kettle(), settings_of(Kettle))
    with pytest.raises(ConfigError) as caught:
        check_settings(Kettle(**wrong), settings_of(Kettle))
    assert str(caught.value) == message


def test_a_secret_is_not_shown() -> None:
    """The repr of a config leaves out secrets, and addresses that may hold a password."""
    assert repr(Kettle(code="1234", address="redis://:5678@host")) == (
        "Kettle(cups=4, whistles=True, plug='EU', rooms=[])"
    )


def test_a_field_can_be_declared_as_in_another_config() -> None:
    """A field declared as in another config has its range, unit and default, except for those given."""

    @dataclass(frozen=True)
    class Pot:
        cups: int = setting_of(Kettle, "cups", default=6, meaning="cups that a pot holds")

    (cups,) = settings_of(Pot).values()
    assert (cups.default, cups.meaning, cups.range) == (6, "cups that a pot holds", "1 to 12 cups")


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_a_range_are_in_it(name: str) -> None:
    """The least and the greatest value of every number are accepted."""
    least, greatest = RANGES[name]
    settings: dict[str, Any] = {"lease_ms": DAY_MS, "grace_ms": 0}

    assert getattr(RoomConfig(**settings | {name: least}), name) == least
    assert getattr(RoomConfig(**settings | {name: greatest}), name) == greatest


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("wrong", ["below", "above", None, "60000", 1_500.0, True, [], float("nan")])
def test_a_number_outside_its_range_is_rejected(name: str, wrong: object) -> None:
    """A number outside its range is a ConfigError that names the field, the range and the value."""
    least, greatest = RANGES[name]
    value = {"below": least - 1, "above": greatest + 1}.get(wrong, wrong) if isinstance(wrong, str) else wrong
    settings: dict[str, Any] = {name: value}

    with pytest.raises(ConfigError) as caught:
        RoomConfig(**settings)

    unit = settings_of(RoomConfig)[name].unit
    assert unit
    assert (
        str(caught.value)
        == f"{name} must be a whole number from {least:,} to {greatest:,} {unit}, not {value!r}"
    )


@pytest.mark.parametrize(
    ("moods", "message"),
    [
        ((), "moods must be 1 to 32 names"),
        (tuple(f"m{index}" for index in range(MOODS_MAX + 1)), "moods must be 1 to 32 names"),
        (["calm"], "moods must be 1 to 32 names"),
        ("calm", "moods must be 1 to 32 names"),
        (None, "moods must be 1 to 32 names"),
        (("calm", "calm"), "moods must differ"),
        (("calm", UNSPOKEN), "neither 'unspoken' nor 'merged': 'unspoken'"),
        (("calm", MERGED), "neither 'unspoken' nor 'merged': 'merged'"),
        (("",), "a mood is 1 to 32"),
        (("Calm",), "a mood is 1 to 32 of a-z, 0-9, - and _, and neither 'unspoken' nor 'merged': 'Calm'"),
        (("calm\n",), "a mood is 1 to 32"),
        (("-calm",), "a mood is 1 to 32"),
        (("käse",), "a mood is 1 to 32"),
        (("c" * 33,), "a mood is 1 to 32"),
        ((7,), "a mood is 1 to 32"),
        ((("calm",),), "a mood is 1 to 32"),
    ],
)
def test_wrong_moods_are_rejected(moods: Any, message: str) -> None:
    """Moods that are not a tuple of distinct names of a fixed form are a ConfigError that names the wrong
    one.
    """
    with pytest.raises(ConfigError) as caught:
        RoomConfig(moods=moods)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    "moods", [("calm",), ("a",), ("0-_",), ("c" * 32,), tuple(f"m{index}" for index in range(MOODS_MAX))]
)
def test_moods_of_the_right_form_are_accepted(moods: tuple[str, ...]) -> None:
    """From 1 to 32 moods are accepted."""
    assert RoomConfig(moods=moods).moods == moods


@pytest.mark.parametrize("mode", ["", "sockets", "POLL", None, 1])
def test_an_unknown_mode_is_rejected(mode: Any) -> None:
    """An unknown mode is a ConfigError that lists the modes."""
    with pytest.raises(ConfigError, match="mode must be one of socket, poll"):
        RoomConfig(mode=mode)


@pytest.mark.parametrize("value", [0, 1, None, "true"])
def test_a_switch_is_true_or_false(value: Any) -> None:
    """A value other than True and False is a ConfigError."""
    with pytest.raises(ConfigError, match="history_fallback must be true or false"):
        RoomConfig(history_fallback=value)


@pytest.mark.parametrize("breath", ["", "4-7-9", "BOX", None, 478, ["box"], {}])
def test_an_unknown_breath_is_rejected(breath: Any) -> None:
    """An unknown pattern is a ConfigError that lists the patterns."""
    with pytest.raises(ConfigError) as caught:
        RoomConfig(breath=breath)

    assert "4-7-8, box, coherent" in str(caught.value)


def test_the_grace_is_at_most_the_lease() -> None:
    """A grace longer than the lease is a ConfigError that names both settings."""
    assert RoomConfig(lease_ms=500, grace_ms=500).grace_ms == 500
    with pytest.raises(ConfigError, match="grace_ms must not exceed lease_ms"):
        RoomConfig(lease_ms=500, grace_ms=501)


@given(st.integers(500, DAY_MS))
def test_a_report_is_overdue_before_its_lease_ends(heartbeat_ms: int) -> None:
    """For any heartbeat_ms the next report is due, then overdue, and only then the lease ends."""
    config = RoomConfig(heartbeat_ms=heartbeat_ms)

    assert config.heartbeat_ms < config.fresh_ms < config.heartbeat_lease_ms
    assert config.heartbeat_lease_ms >= 5 * THROTTLED_HEARTBEAT_MS / 2


@given(st.integers(500, DAY_MS))
def test_two_lost_pings_do_not_end_a_lease(lease_ms: int) -> None:
    """Three pings fit into a lease."""
    assert 0 < 3 * RoomConfig(lease_ms=lease_ms, grace_ms=0).ping_ms <= lease_ms


def test_a_config_is_a_value() -> None:
    """A config compares by its fields, can be a key, and cannot be changed."""
    assert RoomConfig(push_ms=50) == RoomConfig(push_ms=50) != RoomConfig()
    assert len({RoomConfig(), RoomConfig()}) == 1
    with pytest.raises(FrozenInstanceError):
        RoomConfig().push_ms = 5  # type: ignore[misc]


def test_a_config_error_is_the_hosts() -> None:
    """A ConfigError is a HostError: the caller broke the contract."""
    assert issubclass(ConfigError, HostError)
    assert issubclass(HostError, BreathingRoomError)
