"""`breathing-room serve`."""

import contextlib
import sys
from pathlib import Path

import click

from breathing_room.cli.settings import config_option, load_config, setting_options
from breathing_room.core.errors import ConfigError, StoreError
from breathing_room.hosts.server.limits import Capacity
from breathing_room.hosts.server.logs import set_up_logging


@click.command(epilog="Example: breathing-room serve --port 9000 --moods calm,curious --breath box")
@config_option
@setting_options
def command(config_path: Path | None, **flags: str | None) -> None:
    """Serve rooms, and the page, until Ctrl-C.

    Nothing else needs to be set up: people are kept in one file beside the server, and a restart loses nobody.
    Every option can also be set in the environment (BREATHING_ROOM_LEASE_MS=2000) or in a file (lease_ms = 2000);
    the command line goes before the environment, and the environment before the file. The key for signed
    visitor ids is no option: it is BREATHING_ROOM_SIGNING_KEY, or signing_key in the file.
    """
    # Imported here, so that `--help` does not wait for an HTTP server to load.
    from breathing_room.hosts.server.serve import serve  # noqa: PLC0415

    try:
        config = load_config(config_path, flags)
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
