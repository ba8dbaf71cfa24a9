"""Options and loading of settings, for the subcommands that read them."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from breathing_room.core.config import GROUPS, Setting
from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.read_settings import ENVIRONMENT_PREFIX, parse, variable_of
from breathing_room.hosts.common.settings import FIELDS, ServerConfig, settings
from breathing_room.hosts.common.store_mode.settings import STORE_MODE_FIELDS, StoreModeConfig

Command = TypeVar("Command", bound=Callable[..., None])

CONFIG_VARIABLE: Final = f"{ENVIRONMENT_PREFIX}CONFIG"
STORE_MODE_VARIABLE: Final = f"{ENVIRONMENT_PREFIX}STATELESS"

VARIABLES_OF_COMMANDS: Final = frozenset({CONFIG_VARIABLE, STORE_MODE_VARIABLE})
"""Variables with our prefix that are options of commands, and no settings."""


class GroupedOption(click.Option):
    """An option that ``--help`` shows in a group of settings."""

    def __init__(self, *names: Any, group: str, **attributes: Any) -> None:
        """Make an option; ``group`` is a key of ``GROUPS``."""
        super().__init__(*names, **attributes)
        self.group = group


class SettingsCommand(click.Command):
    """A command whose ``--help`` lists its settings in groups, after its other options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group under its heading; click strips the style if the output is no terminal."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (row := parameter.get_help_record(ctx)) is not None:
                group = parameter.group if isinstance(parameter, GroupedOption) else ""
                rows.setdefault(group, []).append(row)
        for group, heading in {"": "Options", **GROUPS}.items():
            if group in rows:
                formatter.write_paragraph()
                formatter.write(click.style(heading, bold=True) + "\n")
                with formatter.indentation():
                    formatter.write_dl(rows[group])


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=CONFIG_VARIABLE,
    help="TOML file with settings, and with [rooms.NAME] for single rooms.",
)


def setting_options(command: Command) -> Command:
    """Add an option for every setting of a server, except secrets."""
    return _options(command, settings())


def store_mode_options(command: Command) -> Command:
    """Add an option for every setting of store mode, which writers and controller must share."""
    return _options(command, STORE_MODE_FIELDS.values(), "Store mode: ")


def _options(command: Command, declared: Iterable[Setting], prefix: str = "") -> Command:
    """Add options whose text is parsed later, with that of the environment: an option that is not given is
    None.
    """
    for one in reversed([one for one in declared if not one.secret]):
        command = click.option(
            "--" + one.name.replace("_", "-"),
            one.name,
            cls=GroupedOption,
            group=one.group,
            metavar=_metavar(one),
            help=_help(one, prefix),
        )(command)
    return command


def _metavar(declared: Setting) -> str:
    if declared.choices:
        return "|".join(declared.choices)
    return {int: "NUMBER", bool: "true|false", tuple: "A,B,…"}.get(declared.kind, "TEXT")


def _help(declared: Setting, prefix: str) -> str:
    """Return the help of an option: its meaning, range and default."""
    meaning = prefix + declared.meaning
    shown = shown_default(declared, separator=", ")
    return "  ".join(
        (
            meaning[0].upper() + meaning[1:],
            *([f"[{declared.range}]"] if declared.range else ()),
            *([f"[default: {shown}]"] if shown else ()),
        )
    )


def shown_default(declared: Setting, *, separator: str) -> str:
    """Return a default as it would be typed; empty if it is empty."""
    match declared.default:
        case bool() as switch:
            return str(switch).lower()
        case tuple() as parts:
            return separator.join(parts)
        case value:
            return str(value)


def load_config(config_path: Path | None, given: Mapping[str, str | None]) -> ServerConfig:
    """Load the settings of a server from the command line, the environment and the file.

    Args:
        config_path: The file.
        given: Settings as text; None for those that the command line does not name.

    Raises:
        ConfigError: A setting is unknown or not valid.
    """
    # Servers and writers may share one environment and one file: settings of store mode are no error here.
    others = VARIABLES_OF_COMMANDS | set(map(variable_of, STORE_MODE_FIELDS))
    return ServerConfig.load(
        flags=_parsed(given, FIELDS),
        environ=_environment(without=others),
        path=config_path,
        others=STORE_MODE_FIELDS,
    )


def load_store_mode_config(config_path: Path | None, given: Mapping[str, str | None]) -> StoreModeConfig:
    """Load the settings of store mode, and of the server, as ``load_config`` does.

    Args:
        config_path: The file.
        given: Settings as text; None for those that the command line does not name.

    Raises:
        ConfigError: A setting is unknown or not valid.
    """
    config = StoreModeConfig.load(
        flags=_parsed(given, FIELDS | STORE_MODE_FIELDS),
        environ=_environment(without=VARIABLES_OF_COMMANDS),
        path=config_path,
    )
    if config.server.data == ":memory:":
        raise ConfigError("data must be a store that all writers and `reconcile` share, not :memory:")
    return config


def _parsed(given: Mapping[str, str | None], known: Mapping[str, Setting]) -> dict[str, Any]:
    return {name: parse(name, text, known) for name, text in given.items() if text is not None}


def _environment(*, without: Collection[str]) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name not in without}
