"""`breathing-room serve`."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from breathing_room.core.errors import ConfigError, StoreError
from breathing_room.hosts.server.config import ServerConfig, parse, settings
from breathing_room.hosts.server.limits import Capacity
from breathing_room.hosts.server.logs import set_up_logging


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every setting."""
    for name, kind, default, meaning in reversed(list(settings())):
        flag = "--" + name.replace("_", "-")
        shown = ",".join(default) if kind is tuple else str(default).lower() if kind is bool else default
        metavar = {int: "NUMBER", bool: "true|false", tuple: "A,B,…"}.get(kind, "TEXT")
        help_text = f"{meaning}  [default: {shown}]" if shown != "" else meaning
        command = click.option(flag, name, metavar=metavar, help=help_text[0].upper() + help_text[1:])(
            command
        )
    return command


@click.command(epilog="Example: breathing-room serve --port 9000 --moods calm,curious --breath box")
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="BREATHING_ROOM_CONFIG",
    help="TOML file with settings, and with [rooms.NAME] for single rooms.",
)
@_setting_options
def command(config_path: Path | None, **flags: Any) -> None:
    """Serve rooms, and the page, until Ctrl-C.

    Nothing else needs to be set up: people are kept in one file beside the server, and a restart loses nobody.
    Every option can also be set in the environment (BREATHING_ROOM_LEASE_MS=2000) or in a file (lease_ms = 2000);
    the command line goes before the environment, and the environment before the file.
    """
    # Imported here, so that `--help` does not wait for an HTTP server to load.
    from breathing_room.hosts.server.serve import serve  # noqa: PLC0415

    environ = {name: value for name, value in os.environ.items() if name != "BREATHING_ROOM_CONFIG"}
    try:
        said = {name: parse(name, text) for name, text in flags.items() if text is not None}
        config = ServerConfig.load(flags=said, environ=environ, path=config_path)
        set_up_logging(config.log_level)
        with contextlib.suppress(KeyboardInterrupt):
            serve(config, on_start=_greet)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    except StoreError as error:
        raise click.ClickException(str(error)) from None


def _greet(url: str, capacity: Capacity) -> None:
    click.echo(f"Breathing Room listens on {click.style(url, bold=True)}")
    click.echo(
        f"It can hold {capacity.sockets:,} people on sockets ({capacity.files:,} open files). Ctrl-C stops it."
    )
    sys.stdout.flush()
