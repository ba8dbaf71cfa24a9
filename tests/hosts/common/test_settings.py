"""Settings: one validated object from flags, environment and a file."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from breathing_room.core.config import GROUPS, ROOM_FIELDS, RoomConfig
from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.read_settings import parse
from breathing_room.hosts.common.settings import FIELDS, SECRETS, ServerConfig, settings
from harness import Serve
from raw_websocket import RawSocket


def load(path: Path | None = None, environ: dict[str, str] | None = None, **flags: Any) -> ServerConfig:
    """Put a config together."""
    return ServerConfig.load(flags=flags, environ=environ or {}, path=path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A place for a file of settings."""
    return tmp_path / "room.toml"


def written(file: Path, text: str) -> Path:
    """Write the file."""
    file.write_text(text, encoding="utf-8")
    return file


# --- Where settings come from -----------------------------------------------------------------------------


def test_flag_beats_environment_beats_file(file: Path) -> None:
    """The flag has the last word, then the environment, then the file, then the default."""
    written(file, "lease_ms = 20_000\nheartbeat_ms = 20_000\npush_ms = 2_000\n")
    environ = {
        "BREATHING_ROOM_LEASE_MS": "30000",
        "BREATHING_ROOM_HEARTBEAT_MS": "30001",
        "OTHER_LEASE_MS": "1",
    }
    room = load(file, environ, lease_ms=40_000).room
    assert (room.lease_ms, room.heartbeat_ms, room.push_ms, room.grace_ms) == (40_000, 30_001, 2_000, 15_000)


def test_every_setting_comes_by_every_way(file: Path) -> None:
    """Each setting can be given by flag, environment and file, and means the same."""
    for one in settings():
        name, kind, default = one.name, one.kind, one.default
        text = ",".join(default) if kind is tuple else str(default)
        toml = text.lower() if kind is bool else text if kind is int else f'"{text}"'
        if kind is tuple:
            toml = str(list(default)).replace("'", '"')
        by_file = load(written(file, f"{name} = {toml}\n"))
        by_environment = load(environ={f"BREATHING_ROOM_{name.upper()}": text})
        by_flag = load(**{name: parse(name, text, FIELDS)})
        assert by_file == by_environment == by_flag == ServerConfig(), name


def test_list_of_settings_is_whole() -> None:
    """
    Every field of the server's and the room's config can be set; the two that are made of others cannot.
    """
    fields = {item.name for config in (ServerConfig, RoomConfig) for item in dataclasses.fields(config)}
    assert fields - FIELDS.keys() == {"room", "rooms"}
    assert all(one.meaning and one.group in GROUPS for one in settings())
    assert len(ServerConfig.__dataclass_fields__.keys() & ROOM_FIELDS.keys()) == 0


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "9000", 9000),
        ("lease_ms", "30_000", 30_000),
        ("open_rooms", "false", False),
        ("open_rooms", "Yes", True),
        ("open_rooms", "0", False),
        ("moods", "calm, curious", ("calm", "curious")),
        ("origins", "https://a.example,https://b.example", ("https://a.example", "https://b.example")),
        ("trusted_proxies", "", ()),
        ("data", ":memory:", ":memory:"),
    ],
)
def test_text_is_read(name: str, text: str, value: object) -> None:
    """Numbers, truth values, words and lists are read from text."""
    assert parse(name, text, FIELDS) == value


def test_room_has_its_own_table(file: Path) -> None:
    """A table sets what is said for one room; for the rest the room is like the others, flags included."""
    path = written(
        file,
        'push_ms = 500\n[rooms.garden]\nmoods = ["calm"]\nlease_ms = 30_000\n[rooms.hall]\nbreath = "box"\n',
    )
    config = load(path, {"BREATHING_ROOM_POLL_MS": "20000"}, heartbeat_ms=25_000)
    garden, hall, other = (config.room_config(name) for name in ("garden", "hall", "other"))
    assert (garden.moods, garden.lease_ms, garden.breath) == (("calm",), 30_000, "4-7-8")
    assert (hall.moods, hall.lease_ms, hall.breath) == (RoomConfig().moods, 60_000, "box")
    assert other == config.room
    for room in (garden, hall, other):
        assert (room.push_ms, room.poll_ms, room.heartbeat_ms) == (500, 20_000, 25_000)


# --- What is wrong is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("port", 0, 65_535),
        ("rooms_max", 1, 1_000_000),
        ("rooms_per_prefix_max", 1, 1_000_000),
        ("presence_max_age_s", 0, 30),
        ("config_max_age_s", 0, 86_400),
        ("publish_ms", 1_000, 60_000),
        ("message_bytes_max", 512, 1_048_576),
        ("body_bytes_max", 512, 1_048_576),
        ("headers_bytes_max", 1_024, 1_048_576),
        ("bad_messages_max", 1, 1_000_000),
        ("handshake_ms", 100, 600_000),
        ("join_ms", 100, 600_000),
        ("slow_reader_ms", 100, 600_000),
        ("reconnect_spread_ms", 0, 600_000),
        ("node_ms", 20, 60_000),
        ("node_lease_ms", 100, 3_600_000),
        ("workers", 1, 1),  # More need a Redis.
        ("epoch_ms", 60_000, 31 * 86_400_000),
        ("panel_size", 1, 1_000_000),
        ("prefix_seats_max", 0, 1_000_000),
        ("min_cell_size", 0, 1_000_000),
        ("reports_per_day", 0, 1_000_000_000),
        ("reports_per_s", 0, 1_000_000),
        ("signed_max_age_s", 60, 31 * 86_400),
        ("rate_propagation_ms", 100, 86_400_000),
        ("lease_ms", 15_000, 86_400_000),
        ("grace_ms", 0, 60_000),
        ("heartbeat_ms", 500, 86_400_000),
        ("push_ms", 20, 60_000),
        ("pushes_per_s", 100, 100_000_000),
        ("snapshot_ms", 100, 3_600_000),
        ("stale_after_ms", 5_000, 86_400_000),
        ("poll_ms", 1_000, 86_400_000),
        ("connections_per_visitor_max", 1, 10_000),
    ],
)
def test_numbers_have_a_range(name: str, low: int, high: int) -> None:
    """
    Each number is taken from its least to its greatest value and refused beyond, where other settings leave
    it that far; the error names it.
    """
    for value in (low, high):
        taken: dict[str, Any] = {name: value}
        load(**taken)
    for wrong in (low - 1, high + 1, float(low), "7", None, True):
        refused: dict[str, Any] = {name: wrong}
        with pytest.raises(ConfigError, match=name):
            load(**refused)


def test_every_number_has_a_range() -> None:
    """No number of the settings is left out of the list above."""
    tested = {name for name, *_ in next(iter(test_numbers_have_a_range.pytestmark)).args[1]}  # type: ignore[attr-defined]
    assert tested == {one.name for one in settings() if one.kind is int}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"lease_ms": 1_000}, "grace_ms must not exceed lease_ms"),
        ({"grace_ms": 60_001}, "grace_ms must not exceed lease_ms"),
        ({"presence_max_age_s": 31}, "presence_max_age_s must not exceed stale_after_ms"),
        ({"stale_after_ms": 4_999}, "presence_max_age_s must not exceed stale_after_ms"),
        ({"mode": "poll", "rate_propagation_ms": 42_999}, "rate_propagation_ms must be at least 43,000"),
        ({"mode": "poll", "poll_ms": 90_000}, "rate_propagation_ms must be at least 109,000"),
        (
            {"publish_url": "/srv/www", "publish_ms": 15_001},
            "publish_ms must not exceed half of stale_after_ms",
        ),
        ({"presence_url": "cdn.example"}, "presence_url must be an http"),
        ({"presence_url": "https://cdn.example/presence?key=1"}, "presence_url must be an http"),
        ({"presence_url": "https:///presence"}, "presence_url must be an http"),
        ({"workers": 2}, "several workers need redis: set it, such as --redis"),
        (
            {"redis": "redis://127.0.0.1", "node_lease_ms": 2_999},
            "node_lease_ms must be at least 12 times node_ms",
        ),
        (
            {"redis": "redis://127.0.0.1", "reconnect_spread_ms": 15_001},
            "grace_ms must not be less than reconnect_spread_ms",
        ),
        ({"node": "a b"}, "node must be"),
        ({"moods": ()}, "moods"),
        ({"moods": ("calm", "calm")}, "moods"),
        ({"moods": ("unspoken",)}, "unspoken"),
        ({"moods": ("Calm",)}, "mood"),
        ({"moods": tuple(f"mood-{index}" for index in range(33))}, "moods"),
        ({"breath": "panting"}, "breath"),
        ({"log_level": "trace"}, "log_level"),
        ({"origins": ("example.com",)}, "origins"),
        ({"default_room": "The Lobby"}, "default_room"),
        ({"trusted_proxies": ("10.0.0.1/8",)}, "trusted_proxies"),
        ({"trusted_proxies": ("proxy.example",)}, "trusted_proxies"),
        ({"uncapped_networks": ("198.51.100.7/24",)}, "uncapped_networks"),
        ({"uncapped_networks": ("school.example",)}, "uncapped_networks"),
        ({"signing_key": "too short"}, "signing_key must be at least 32"),
        ({"signing_key": "\n" * 32}, "signing_key must be at least 32"),
        ({"signing_key": None}, "signing_key must be at least 32"),
        ({"admin_token": "too short"}, "admin_token must be at least 32"),
        ({"admin_token": "with space " * 8}, "admin_token must be at least 32"),
        ({"admin_token": None}, "admin_token must be at least 32"),
    ],
)
def test_contradictions_are_named(wrong: dict[str, Any], named: str) -> None:
    """
    What contradicts another setting, or is no value at all, is refused with a sentence that names the
    setting.
    """
    with pytest.raises(ConfigError, match=named):
        load(**wrong)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("lease_mss = 1", "lease_mss"),
        ("lease_ms = 'long'", "lease_ms must be a whole number"),
        ("lease_ms = 1.5", "lease_ms must be a whole number"),
        ("lease_ms = true", "lease_ms must be a whole number"),
        ("lease_ms = 7", "lease_ms must be a whole number from"),
        ("open_rooms = 1", "open_rooms"),
        ("data = 7", "data"),
        ("signing_key = 7", "signing_key must be a str"),
        ("uncapped_networks = '10.0.0.0/8'", "uncapped_networks must be a list"),
        ("moods = 'calm'", "moods must be a list"),
        ("moods = ['calm', 7]", "moods must be a list"),
        ("rooms = 7", "rooms must be tables"),
        ("[rooms]\nlobby = 7", "rooms must be tables"),
        ("[rooms.lobby]\nport = 9000", "port"),
        ("[rooms.lobby]\nlease_mss = 1", "lease_mss"),
        ("[rooms.lobby]\nlease_ms = 7", "lease_ms"),
        ("[rooms.lobby]\nlease_ms = 'long'", "rooms.lobby: lease_ms"),
        ("[rooms.'The Lobby']\nlease_ms = 30000", "a room's name"),
        ("room = 1", "room"),
        ("lease_ms = ", "room.toml"),
        ("\xff", "room.toml"),
    ],
)
def test_wrong_file_is_named(file: Path, text: str, named: str) -> None:
    """Every kind of error in a file is rejected with a sentence that names the setting, or else the file."""
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=named):
        load(file)


@pytest.mark.parametrize("table", ["lobby", "garden"])
def test_wrong_room_is_named(file: Path, table: str) -> None:
    """The error of a value that is out of range in the table of one room names that room."""
    with pytest.raises(ConfigError, match=table):
        load(written(file, f"[rooms.{table}]\nlease_ms = 7\n"))


def test_presence_of_every_room_is_valid_when_it_is_served(file: Path) -> None:
    """
    A cache must not serve what is no longer valid: that holds for rooms with settings of their own, too.
    """
    with pytest.raises(ConfigError, match="presence_max_age_s"):
        load(
            written(
                file, "presence_max_age_s = 20\n[rooms.garden]\nstale_after_ms = 10_000\npoll_ms = 10_000\n"
            )
        )


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there, or is none, is named."""
    for path in (tmp_path / "no.toml", tmp_path):
        with pytest.raises(ConfigError, match=re.escape(str(path))):
            load(path)


def test_unknown_name_in_the_environment_is_named() -> None:
    """A name with our prefix that is no setting is a mistake, and said."""
    with pytest.raises(ConfigError, match="lease_mss"):
        load(environ={"BREATHING_ROOM_LEASE_MSS": "1"})
    with pytest.raises(ConfigError, match="open_rooms must be true or false"):
        load(environ={"BREATHING_ROOM_OPEN_ROOMS": "maybe"})


# --- The command ------------------------------------------------------------------------------------------


def run(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `breathing-room serve` where it must not get as far as serving."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BREATHING_ROOM_")}
    return subprocess.run(
        [sys.executable, "-m", "breathing_room", "serve", *arguments],
        cwd=folder,
        env={**clean, **environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.slow
def test_help_lists_every_setting(tmp_path: Path) -> None:
    """`--help` has an option for every setting, with its default, but for those that are secret."""
    said = run("--help", folder=tmp_path)
    assert said.returncode == 0
    for one in settings():
        name, kind, default = one.name, one.kind, one.default
        if name in SECRETS:
            assert f"--{name.replace('_', '-')}" not in said.stdout
            continue
        flag = re.escape("--" + name.replace("_", "-"))
        found = re.search(rf"^ +{flag} (.*(?:\n {{20,}}.*)*)", said.stdout, re.MULTILINE)
        assert found, name
        shown = (
            ", ".join(default) if kind is tuple else str(default).lower() if kind is bool else str(default)
        )
        assert not shown or f"[default: {shown}]" in re.sub(r"\s+", " ", found[1]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "environ", "text", "named"),
    [
        (["--lease-ms", "long"], {}, "", "lease_ms"),
        (["--lease-ms", "7"], {}, "", "lease_ms"),
        (["--lease-mss", "7"], {}, "", "--lease-mss"),
        (["--port", "70000"], {}, "", "port"),
        (["--moods", "Calm"], {}, "", "mood"),
        ([], {"BREATHING_ROOM_GRACE_MS": "70000"}, "", "grace_ms"),
        ([], {"BREATHING_ROOM_NONSENSE": "1"}, "", "nonsense"),
        (["--config", "room.toml"], {}, "push_ms = 1", "push_ms"),
        ([], {"BREATHING_ROOM_CONFIG": "room.toml"}, "pushes = 1", "pushes"),
        (["--config", "no.toml"], {}, "", "no.toml"),
        (["--publish-url", "gopher://bucket/presence"], {}, "", "publish_url: cannot publish"),
        (["--presence-url", "cdn.example"], {}, "", "presence_url"),
    ],
)
def test_wrong_setting_ends_with_status_2(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], text: str, named: str
) -> None:
    """The command ends with status 2 and one sentence that names the setting; nothing was made."""
    written(tmp_path / "room.toml", text)
    done = run(*arguments, folder=tmp_path, **environ)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["room.toml"]


@pytest.mark.slow
def test_a_secret_is_in_no_output(tmp_path: Path) -> None:
    """
    A signing key comes from the environment or the file; it is no flag, the config does not show it, and a
    wrong one is not repeated.
    """
    key = "5ecret-" * 8
    path = written(tmp_path / "room.toml", f'signing_key = "{key}"')
    for config in (load(path), load(environ={"BREATHING_ROOM_SIGNING_KEY": key})):
        assert config.signing_key == key
        assert "5ecret" not in repr(config)
    assert {"signing_key", "admin_token"} == SECRETS
    for arguments, environ in (
        (["--signing-key", key], {}),
        ([], {"BREATHING_ROOM_SIGNING_KEY": "5ecret"}),
    ):
        done = run(*arguments, folder=tmp_path, **environ)
        assert done.returncode == 2
        assert "signing" in done.stderr
        assert "5ecret" not in done.stderr


def test_the_server_follows_its_settings(serve: Serve, tmp_path: Path) -> None:
    """A real server takes its flags, environment and file, and says so in the configs of its rooms."""
    path = written(
        tmp_path / "room.toml",
        'heartbeat_ms = 20_000\n[rooms.garden]\nmoods = ["calm"]\nbreath = "coherent"\n',
    )
    server = serve("--lease-ms", "40000", "--config", str(path), env={"BREATHING_ROOM_GRACE_MS": "9000"})
    with RawSocket(server.port) as client:
        lobby = json.loads(client.request("GET", "/v1/rooms/lobby/config").body)
        garden = json.loads(client.request("GET", "/v1/rooms/garden/config").body)
    for config in (lobby, garden):
        assert (config["lease_ms"], config["heartbeat_ms"], config["grace_ms"]) == (40_000, 20_000, 9_000)
    assert (garden["moods"], garden["breath"]["pattern"]) == (["calm"], "coherent")
    assert (len(lobby["moods"]), lobby["breath"]["pattern"]) == (4, "4-7-8")


@pytest.mark.parametrize(
    "rooms", [{"garden": {"moods": ("calm",)}}, {"garden": {"port": 1}}, {"garden": RoomConfig()}, [], None]
)
def test_rooms_are_no_argument(rooms: Any) -> None:
    """
    Single rooms have tables in the file, whose names and types are checked there. As an argument of
    `breathing_room.app` they were taken without a check, and a wrong one ended in an `AttributeError` or a
    `TypeError`.
    """
    with pytest.raises(ConfigError, match='unknown setting "rooms"'):
        ServerConfig.load(flags={"rooms": rooms}, environ={})
