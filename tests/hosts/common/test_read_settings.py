"""How settings are read, by what was declared with them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from breathing_room.core.config import ROOM_FIELDS, Setting, settings_of
from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.read_settings import (
    check_names,
    parse,
    read_file,
    read_variables,
    variable_of,
)
from breathing_room.hosts.common.settings import FIELDS
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.worker.settings import WORKER_FIELDS, WorkerConfig

DAY_MS = 86_400_000

RANGES_OF_FCD8191 = {
    "lease_ms": (500, DAY_MS),
    "grace_ms": (0, DAY_MS),
    "heartbeat_ms": (500, DAY_MS),
    "epoch_ms": (60_000, 31 * DAY_MS),
    "panel_size": (1, 1_000_000),
    "reports_per_day": (0, 1_000_000_000),
    "reports_per_s": (0, 1_000_000),
    "prefix_seats_max": (0, 1_000_000),
    "min_cell_size": (0, 1_000_000),
    "rate_propagation_ms": (100, DAY_MS),
    "push_ms": (20, 60_000),
    "pushes_per_s": (100, 100_000_000),
    "snapshot_ms": (100, 3_600_000),
    "stale_after_ms": (1_000, DAY_MS),
    "poll_ms": (1_000, DAY_MS),
    "connections_per_visitor_max": (1, 10_000),
    "port": (0, 65_535),
    "rooms_max": (1, 1_000_000),
    "rooms_per_prefix_max": (1, 1_000_000),
    "signed_max_age_s": (60, 31 * 86_400),
    "presence_max_age_s": (0, 3_600),
    "config_max_age_s": (0, 86_400),
    "publish_ms": (1_000, 60_000),
    "message_bytes_max": (512, 1_048_576),
    "body_bytes_max": (512, 1_048_576),
    "headers_bytes_max": (1_024, 1_048_576),
    "bad_messages_max": (1, 1_000_000),
    "handshake_ms": (100, 600_000),
    "join_ms": (100, 600_000),
    "slow_reader_ms": (100, 600_000),
    "reconnect_spread_ms": (0, 600_000),
    "node_ms": (20, 60_000),
    "node_lease_ms": (100, 3_600_000),
    "workers": (1, 1_024),
}
"""The calls of `check_range` for servers and rooms, as they stood in that commit."""

STORE_MODE_RANGES_OF_FCD8191 = {
    "bucket_ms": (100, 60_000),
    "propagation_ms": (100, 3_600_000),
    "reconcile_ms": (1_000, 3_600_000),
}

WORKER_RANGES_OF_FCD8191 = {
    "sockets_per_object": (1, 32_768),
    "sockets_max": (1, 100 * 32_768),  # It was 100 times `sockets_per_object`, which is a relation now.
    "idle_alarm_ms": (0, 3_600_000),
    # A Worker had these checked by store mode.
    "bucket_ms": (100, 60_000),
    "reconcile_ms": (1_000, 3_600_000),
}


@pytest.mark.parametrize(
    ("declared", "ranges"),
    [
        (FIELDS, RANGES_OF_FCD8191),
        (settings_of(StoreModeConfig), STORE_MODE_RANGES_OF_FCD8191),
        (settings_of(WorkerConfig), WORKER_RANGES_OF_FCD8191),
    ],
)
def test_every_range_is_the_one_that_was_checked_by_hand(
    declared: dict[str, Setting], ranges: dict[str, tuple[int, int]]
) -> None:
    """What is declared with a number is what commit fcd8191 checked, and a number without a range is none."""
    assert {one.name: (one.low, one.high) for one in declared.values() if one.kind is int} == ranges


def test_a_default_is_a_value_that_is_accepted() -> None:
    """The default of every setting of server, store mode and Worker fits its own declaration."""
    for one in (*WORKER_FIELDS.values(), *settings_of(StoreModeConfig).values()):
        one.check(one.default)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leese_ms", 'unknown setting "leese_ms"; did you mean "lease_ms"?'),
        ("LEESE-MS", 'unknown setting "LEESE-MS"; did you mean "lease_ms"?'),
        ("panelsize", 'unknown setting "panelsize"; did you mean "panel_size"?'),
        ("nonsense", 'unknown setting "nonsense"; `breathing-room serve --help` lists all settings'),
    ],
)
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(name: str, said: str) -> None:
    """The error names the unknown setting and the one most like it, or where all are listed; a known name
    passes.
    """
    check_names(["lease_ms"], FIELDS)
    with pytest.raises(ConfigError) as caught:
        check_names(["lease_ms", name], FIELDS)
    assert str(caught.value) == said


def test_variables_are_read_by_their_prefix() -> None:
    """Each variable with our prefix is the setting of that name, of its kind; those of other programs are
    passed over.
    """
    environ = {
        variable_of("lease_ms"): "2_000",
        variable_of("moods"): "calm, glad",
        "LEASE_MS": "1",
        "HOME": "/",
    }
    assert read_variables(FIELDS, environ) == {"lease_ms": 2_000, "moods": ("calm", "glad")}
    with pytest.raises(ConfigError, match=r'unknown setting "lease_ms"'):
        read_variables(settings_of(StoreModeConfig), environ)


def test_an_unknown_variable_is_named_with_the_nearest_setting() -> None:
    """A misspelled variable with the prefix is an error that names the variable and the nearest setting."""
    with pytest.raises(ConfigError) as caught:
        read_variables(FIELDS, {"BREATHING_ROOM_LEESE_MS": "1"})
    assert (
        str(caught.value) == 'BREATHING_ROOM_LEESE_MS: unknown setting "leese_ms"; did you mean "lease_ms"?'
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("leese_ms = 1", 'unknown setting "leese_ms"; did you mean "lease_ms"?'),
        ("lease-ms = 1", 'unknown setting "lease-ms"; did you mean "lease_ms"?'),
        ("[room.lobby]\npush_ms = 500", 'unknown setting "room"; did you mean "rooms"?'),
        ("[rooms.lobby]\npush-ms = 500", 'rooms.lobby: unknown setting "push-ms"; did you mean "push_ms"?'),
    ],
)
def test_an_unknown_setting_of_a_file_is_named_with_the_nearest_one(
    tmp_path: Path, text: str, error: str
) -> None:
    """A misspelled setting, also of a room's table, or table is an error that names the file and the nearest
    name.
    """
    file = tmp_path / "room.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_file(file, FIELDS)
    assert str(caught.value) == f"{file}: {error}"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("lease_ms", "long", "lease_ms must be a whole number from 500 to 86,400,000 ms, not 'long'"),
        ("lease_ms", "1.5", "lease_ms must be a whole number from 500 to 86,400,000 ms, not '1.5'"),
        ("lease_ms", "7", "lease_ms must be a whole number from 500 to 86,400,000 ms, not 7"),
        ("port", "99999", "port must be a whole number from 0 to 65,535, not 99999"),
        ("open_rooms", "maybe", "open_rooms must be true or false, not 'maybe'"),
        ("mode", "carrier pigeon", "mode must be one of socket, poll, not 'carrier pigeon'"),
    ],
)
def test_text_that_does_not_fit_is_refused_with_what_would(name: str, text: str, said: str) -> None:
    """Flags and variables share their errors: the setting, what it accepts with its unit, and the text."""
    for read in (
        lambda: parse(name, text, FIELDS),
        lambda: read_variables(FIELDS, {variable_of(name): text}),
    ):
        with pytest.raises(ConfigError) as caught:
            read()
        assert str(caught.value) == said


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "7", '{"lobby": 3}', "[" * 100_000, '{"lobby": {"moods": ["calm"]}'],
    ids=lambda text: text[:12],
)
def test_rooms_of_a_variable_are_json(text: str) -> None:
    """The tables of rooms come as JSON; what is none is refused with an example."""
    with pytest.raises(ConfigError) as caught:
        parse("rooms", text, WORKER_FIELDS)
    assert str(caught.value) == 'rooms must be JSON, such as {"lobby": {"moods": ["calm"]}}'


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            {"port": 1},
            "rooms.lobby: port applies to all rooms and cannot be set for one: move it out of the table",
        ),
        ({"pushms": 1}, 'rooms.lobby: unknown setting "pushms"; did you mean "push_ms"?'),
        ({"push_ms": 1}, "rooms.lobby: push_ms must be a whole number from 20 to 60,000 ms, not 1"),
        ({"push_ms": 500.5}, "rooms.lobby: push_ms must be a whole number from 20 to 60,000 ms, not 500.5"),
        ({"moods": "calm"}, "rooms.lobby: moods must be a list of strings"),
        ({"breath": 478}, "rooms.lobby: breath must be one of 4-7-8, box, coherent, not 478"),
        ({"history_fallback": 1}, "rooms.lobby: history_fallback must be true or false, not 1"),
    ],
)
def test_tables_of_file_and_variable_are_read_alike(tmp_path: Path, table: dict[str, Any], said: str) -> None:
    """What is wrong in the table of a room is refused in the same words, and a file is named before them."""
    with pytest.raises(ConfigError) as caught:
        parse("rooms", json.dumps({"lobby": table}), WORKER_FIELDS)
    assert str(caught.value) == said
    file = tmp_path / "room.toml"
    ((name, value),) = table.items()
    file.write_text(f"[rooms.lobby]\n{name} = {json.dumps(value)}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(f"{file}: {said}")):
        read_file(file, FIELDS)


def test_a_file_has_settings_and_tables_of_rooms(tmp_path: Path) -> None:
    """Settings of a file come by name, lists as tuples, and those of single rooms beside them; no file has
    none.
    """
    file = tmp_path / "room.toml"
    file.write_text('push_ms = 500\n[rooms.garden]\nmoods = ["calm"]\n', encoding="utf-8")
    assert read_file(file, FIELDS) == {"push_ms": 500, "rooms": {"garden": {"moods": ("calm",)}}}
    assert read_file(None, FIELDS) == {}
    assert set(ROOM_FIELDS) < set(FIELDS)


def test_a_secret_of_the_wrong_kind_is_not_repeated(tmp_path: Path) -> None:
    """Text is refused without its value: it may be a key, or an address with a password."""
    file = tmp_path / "room.toml"
    for name in ("signing_key", "admin_token", "redis"):
        file.write_text(f"{name} = ['5ecret']\n", encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            read_file(file, FIELDS)
        assert str(caught.value) == f"{file}: {name} must be a string"
