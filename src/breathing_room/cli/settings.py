"""What the subcommands that read a server's settings share."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.settings import ENVIRONMENT_PREFIX, SECRETS, ServerConfig, parse, settings
from breathing_room.hosts.common.store_mode.settings import StatelessConfig

Command = TypeVar("Command", bound=Callable[..., None])

CONFIG_VARIABLE: Final = f"{ENVIRONMENT_PREFIX}CONFIG"
STATELESS_VARIABLE: Final = f"{ENVIRONMENT_PREFIX}STATELESS"

STATELESS_SETTINGS: Final = {
    item.name: item for item in dataclasses.fields(StatelessConfig) if "meaning" in item.metadata
}
"""What is set about writers and their job, beside the settings of a server."""

OTHER_VARIABLES: Final = frozenset(
    (
        CONFIG_VARIABLE,
        STATELESS_VARIABLE,
        *(f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in STATELESS_SETTINGS),
    )
)
"""Variables with our prefix that are no settings of a server."""

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


def stateless_options(command: Command) -> Command:
    """Give a command an option for everything that writers and job must agree on."""
    for name, item in reversed(STATELESS_SETTINGS.items()):
        command = click.option(
            "--" + name.replace("_", "-"),
            name,
            type=type(item.default),
            default=item.default,
            show_default=True,
            metavar="NUMBER" if isinstance(item.default, int) else "TEXT",
            envvar=f"{ENVIRONMENT_PREFIX}{name.upper()}",
            help=f"Stateless mode: {item.metadata['meaning']}.",
        )(command)
    return command


def load_stateless_config(
    config_path: Path | None, said: Mapping[str, str | None], own: Mapping[str, Any]
) -> StatelessConfig:
    """Put together how writers and job work.

    Args:
        config_path: The file, as for ``load_config``.
        said: Likewise.
        own: What is set beside it.

    Raises:
        ConfigError: A setting is wrong.
    """
    server = load_config(config_path, said)
    if server.data == ":memory:":
        raise ConfigError("data must be a store that all writers and their job share, and not :memory:")
    return StatelessConfig(server=server, **own)


def load_config(config_path: Path | None, said: Mapping[str, str | None]) -> ServerConfig:
    """Put the settings together from what the command line said, the environment and the file.

    Args:
        config_path: The file.
        said: Settings as text; None for those that the command line does not name.

    Raises:
        ConfigError: A setting is wrong.
    """
    environ = {name: value for name, value in os.environ.items() if name not in OTHER_VARIABLES}
    flags: dict[str, Any] = {name: parse(name, text) for name, text in said.items() if text is not None}
    return ServerConfig.load(flags=flags, environ=environ, path=config_path)
