"""Options and loading of settings, as the subcommands share them."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from breathing_room.cli.settings import (
    CONFIG_VARIABLE,
    STORE_MODE_VARIABLE,
    GroupedOption,
    SettingsCommand,
    config_option,
    load_config,
    load_store_mode_config,
    setting_options,
    store_mode_options,
)
from breathing_room.core.config import GROUPS
from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.settings import SECRETS, settings
from breathing_room.hosts.common.store_mode.settings import STORE_MODE_FIELDS


@click.command(cls=SettingsCommand)
@config_option
@setting_options
@store_mode_options
def show(config_path: Path | None, **options: object) -> None:
    """Print what was given."""
    given = {name: value for name, value in options.items() if value is not None}
    print(config_path, given)  # noqa: T201


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(show, list(arguments), env=env)


def test_every_setting_is_an_option_but_the_secret_ones() -> None:
    """Each setting has its option with its meaning; a secret would lie in the shell's history, so it has
    none.
    """
    options = {option.name for option in show.params}
    names = {one.name for one in settings()}
    assert names - options == set(SECRETS)
    assert options - names == {"config_path", *STORE_MODE_FIELDS}
    assert all(option.help for option in show.params if isinstance(option, click.Option))


def test_an_option_that_is_not_typed_says_nothing() -> None:
    """What the command line does not name is left to environment, file and default; so is what writers agree
    on.
    """
    result = run("--lease-ms", "2000")
    assert "{'lease_ms': '2000'}" in result.output
    given = {"data": "room.db", "bucket_ms": None}
    assert load_store_mode_config(None, given).reconcile_ms == STORE_MODE_FIELDS["reconcile_ms"].default
    assert load_store_mode_config(None, given).bucket_ms == STORE_MODE_FIELDS["bucket_ms"].default


def test_writers_are_set_by_flag_before_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What writers agree on comes from flags and variables, as the settings of a server do."""
    monkeypatch.setenv("BREATHING_ROOM_BUCKET_MS", "1000")
    monkeypatch.setenv("BREATHING_ROOM_RECONCILE_MS", "2000")
    config = load_store_mode_config(None, {"data": "room.db", "reconcile_ms": "3000"})
    assert (config.bucket_ms, config.reconcile_ms) == (1_000, 3_000)
    monkeypatch.setenv("BREATHING_ROOM_RECONCILE_MS", "often")
    with pytest.raises(
        ConfigError, match="reconcile_ms must be a whole number from 1,000 to 3,600,000 ms, not 'often'"
    ):
        load_store_mode_config(None, {"data": "room.db"})


def test_help_is_in_the_groups_of_the_settings() -> None:
    """Other options come first, then each group under its heading, and the option of each setting is in its
    own group.
    """
    text = run("--help").output
    headings = ["Options", *GROUPS.values()]
    assert [line for line in text.splitlines() if line in headings] == headings
    parts = re.split(f"^({'|'.join(map(re.escape, headings))})$", text, flags=re.MULTILINE)[1:]
    options = {
        heading: set(re.findall(r"^  --([a-z-]+)", part, re.MULTILINE))
        for heading, part in zip(parts[::2], parts[1::2], strict=True)
    }
    wanted: dict[str, set[str]] = {heading: set() for heading in headings}
    wanted["Options"] = {"config", "help"}
    for one in (*settings(), *STORE_MODE_FIELDS.values()):
        if not one.secret:
            wanted[GROUPS[one.group]].add(one.name.replace("_", "-"))
    assert options == wanted


def test_help_fits_a_narrow_terminal_and_colors_stay_out_of_a_pipe() -> None:
    """At 80 columns no line is longer; headings are bold on a terminal, and a pipe gets plain text."""
    plain = CliRunner().invoke(show, ["--help"], terminal_width=80)
    bold = CliRunner().invoke(show, ["--help"], terminal_width=80, color=True)
    assert max(map(len, plain.output.splitlines())) <= 80
    assert "\x1b" not in plain.output
    assert f"\x1b[1m{GROUPS['counting']}\x1b[0m" in bold.output
    assert click.unstyle(bold.output) == plain.output


def test_a_number_is_shown_with_range_and_default() -> None:
    """The help of an option has the meaning, the range with its unit, the default, and the words that are
    accepted.
    """
    text = " ".join(run("--help").output.split())
    assert "[500 to 86,400,000 ms] [default: 60000]" in text
    assert "--mode socket|poll" in text
    assert "--bucket-ms NUMBER Store mode: how long a batch is collected" in text
    assert all(isinstance(option, GroupedOption) for option in show.params if option.name != "config_path")


def test_flag_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one setting the flag counts before the environment, and that before the file."""
    file = tmp_path / "room.toml"
    file.write_text("lease_ms = 41000\npush_ms = 1000\nport = 1000\n")
    monkeypatch.setenv("BREATHING_ROOM_LEASE_MS", "42000")
    monkeypatch.setenv("BREATHING_ROOM_PUSH_MS", "2000")
    config = load_config(file, {"lease_ms": "43000", "push_ms": None})
    assert (config.room.lease_ms, config.room.push_ms, config.port) == (43_000, 2_000, 1_000)


def test_variables_of_the_command_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that name the file, the mode and what writers agree on are not taken for misspelled
    settings; others are.
    """
    monkeypatch.setenv(CONFIG_VARIABLE, "room.toml")
    monkeypatch.setenv(STORE_MODE_VARIABLE, "1")
    monkeypatch.setenv("BREATHING_ROOM_BUCKET_MS", "1000")
    assert load_config(None, {}).port == 8_000
    monkeypatch.setenv("BREATHING_ROOM_LEESE_MS", "1000")
    with pytest.raises(ConfigError, match="leese_ms"):
        load_config(None, {})


def test_writers_need_a_store_that_they_share() -> None:
    """Memory is no store for several processes, and what is set beside the server's settings is checked like
    them.
    """
    assert load_store_mode_config(None, {"data": "room.db"}).server.data == "room.db"
    with pytest.raises(ConfigError, match="not :memory:"):
        load_store_mode_config(None, {"data": ":memory:"})
    with pytest.raises(ConfigError, match="bucket_ms"):
        load_store_mode_config(None, {"data": "room.db", "bucket_ms": "1"})


def test_the_variable_of_the_file_is_that_of_the_option(tmp_path: Path) -> None:
    """The file may be named by the environment, and the flag goes before it."""
    assert str(tmp_path / "a") in run(env={CONFIG_VARIABLE: str(tmp_path / "a")}).output
    assert str(tmp_path / "b") in run("--config", str(tmp_path / "b"), env={CONFIG_VARIABLE: "a"}).output


def test_one_file_serves_writers_and_servers(tmp_path: Path) -> None:
    """
    The help of `serve` and of `reconcile` says that settings may stand in one file; those of store mode were
    refused there. A server and `sign`, which are given the same file, pass over them.
    """
    file = tmp_path / "settings.toml"
    file.write_text('data = "room.db"\nport = 9000\npolicy = "every"\nreconcile_ms = 30_000\n')
    config = load_store_mode_config(file, {"reconcile_ms": "20000"})
    assert (config.policy, config.reconcile_ms, config.server.port) == ("every", 20_000, 9_000)
    assert load_config(file, {}).port == 9_000
    file.write_text("reconcile_ms = 1\n")
    with pytest.raises(ConfigError, match="reconcile_ms must be a whole number from 1,000"):
        load_store_mode_config(file, {})
    file.write_text("[rooms.garden]\nreconcile_ms = 30_000\n")
    with pytest.raises(ConfigError, match="reconcile_ms applies to all rooms"):
        load_store_mode_config(file, {})
