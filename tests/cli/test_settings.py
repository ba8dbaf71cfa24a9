"""What the subcommands that read a server's settings share."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from breathing_room.cli.settings import (
    CONFIG_VARIABLE,
    STATELESS_SETTINGS,
    STATELESS_VARIABLE,
    config_option,
    load_config,
    load_stateless_config,
    setting_options,
    stateless_options,
)
from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.settings import SECRETS, settings


@click.command()
@config_option
@setting_options
@stateless_options
def show(config_path: Path | None, **options: object) -> None:
    """Print what was given."""
    given = {
        name: value for name, value in options.items() if value is not None and name not in STATELESS_SETTINGS
    }
    own = {name: options[name] for name in STATELESS_SETTINGS}
    print(config_path, given, own)  # noqa: T201


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(show, list(arguments), env=env)


def test_every_setting_is_an_option_but_the_secret_ones() -> None:
    """Each setting has its option with its meaning; a secret would lie in the shell's history, so it has none."""
    options = {option.name for option in show.params}
    names = {name for name, *_ in settings()}
    assert names - options == set(SECRETS)
    assert options - names == {"config_path", *STATELESS_SETTINGS}
    assert all(option.help for option in show.params if isinstance(option, click.Option))


def test_an_option_that_is_not_typed_says_nothing() -> None:
    """What the command line does not name is left to environment and file; what writers agree on has its default."""
    result = run("--lease-ms", "2000")
    assert "{'lease_ms': '2000'}" in result.output
    assert f"'job_ms': {STATELESS_SETTINGS['job_ms'].default}" in result.output


def test_flag_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one setting the flag counts before the environment, and that before the file."""
    file = tmp_path / "room.toml"
    file.write_text("lease_ms = 41000\npush_ms = 1000\nport = 1000\n")
    monkeypatch.setenv("BREATHING_ROOM_LEASE_MS", "42000")
    monkeypatch.setenv("BREATHING_ROOM_PUSH_MS", "2000")
    config = load_config(file, {"lease_ms": "43000", "push_ms": None})
    assert (config.room.lease_ms, config.room.push_ms, config.port) == (43_000, 2_000, 1_000)


def test_variables_of_the_command_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that name the file, the mode and what writers agree on are not taken for misspelled settings; others are."""
    monkeypatch.setenv(CONFIG_VARIABLE, "room.toml")
    monkeypatch.setenv(STATELESS_VARIABLE, "1")
    monkeypatch.setenv("BREATHING_ROOM_BUCKET_MS", "1000")
    assert load_config(None, {}).port == 8_000
    monkeypatch.setenv("BREATHING_ROOM_LEESE_MS", "1000")
    with pytest.raises(ConfigError, match="leese_ms"):
        load_config(None, {})


def test_writers_need_a_store_that_they_share() -> None:
    """Memory is no store for several processes, and what is set beside the server's settings is checked like them."""
    own = {name: item.default for name, item in STATELESS_SETTINGS.items()}
    assert load_stateless_config(None, {"data": "room.db"}, own).server.data == "room.db"
    with pytest.raises(ConfigError, match="not :memory:"):
        load_stateless_config(None, {"data": ":memory:"}, own)
    with pytest.raises(ConfigError, match="bucket_ms"):
        load_stateless_config(None, {"data": "room.db"}, own | {"bucket_ms": 1})


def test_the_variable_of_the_file_is_that_of_the_option(tmp_path: Path) -> None:
    """The file may be named by the environment, and the flag goes before it."""
    assert str(tmp_path / "a") in run(env={CONFIG_VARIABLE: str(tmp_path / "a")}).output
    assert str(tmp_path / "b") in run("--config", str(tmp_path / "b"), env={CONFIG_VARIABLE: "a"}).output
