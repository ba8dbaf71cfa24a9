"""What the subcommands that read a server's settings share."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from breathing_room.hosts.server.config import SECRETS, ServerConfig, parse, settings

Command = TypeVar("Command", bound=Callable[..., None])

CONFIG_VARIABLE: Final = "BREATHING_ROOM_CONFIG"

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=CONFIG_VARIABLE,
    help="TOML file with settings, and with [rooms.NAME] for single rooms.",
)


def setting_options(command: Command) -> Command:
    """Give a command an option for every setting but the secret ones."""
    for name, kind, default, meaning in reversed(list(settings())):
        if name in SECRETS:
            continue
        flag = "--" + name.replace("_", "-")
        shown = ", ".join(default) if kind is tuple else str(default).lower() if kind is bool else default
        metavar = {int: "NUMBER", bool: "true|false", tuple: "A,B,…"}.get(kind, "TEXT")
        help_text = f"{meaning}  [default: {shown}]" if shown != "" else meaning
        command = click.option(flag, name, metavar=metavar, help=help_text[0].upper() + help_text[1:])(
            command
        )
    return command


def load_config(config_path: Path | None, said: Mapping[str, str | None]) -> ServerConfig:
    """Put the settings together from what the command line said, the environment and the file.

    Args:
        config_path: The file.
        said: Settings as text; None for those that the command line does not name.

    Raises:
        ConfigError: A setting is wrong.
    """
    environ = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    flags: dict[str, Any] = {name: parse(name, text) for name, text in said.items() if text is not None}
    return ServerConfig.load(flags=flags, environ=environ, path=config_path)
