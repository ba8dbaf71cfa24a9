"""`breathing-room serve`."""

import contextlib
import sys
from pathlib import Path

import click

from breathing_room.cli.settings import (
    STORE_MODE_VARIABLE,
    GroupedOption,
    SettingsCommand,
    config_option,
    load_config,
    load_store_mode_config,
    setting_options,
    store_mode_options,
)
from breathing_room.core.errors import HostError, StoreError
from breathing_room.hosts.common.access.limits import Capacity
from breathing_room.hosts.common.store_mode.settings import STORE_MODE_FIELDS
from breathing_room.hosts.server.logging import set_up_logging


@click.command(
    cls=SettingsCommand,
    epilog="Example: breathing-room serve --port 9000 --moods calm,curious --breath box",
)
@config_option
@setting_options
@click.option(
    "--stateless",
    cls=GroupedOption,
    group="place",
    is_flag=True,
    envvar=STORE_MODE_VARIABLE,
    help="Store mode: be one of several stateless writers over one store; `breathing-room reconcile` must run beside them.",
)
@store_mode_options
def command(config_path: Path | None, *, stateless: bool, **given: str | None) -> None:
    """Serve rooms, and the page, until Ctrl-C.

    No setup is needed: the data is in one file in the current folder, and survives a restart. Every option
    can also be set in the environment (BREATHING_ROOM_LEASE_MS=2000) or in a file (lease_ms = 2000); the
    command line overrides the environment, and the environment the file. Secrets are no options: the key for
    signed visitor ids is BREATHING_ROOM_SIGNING_KEY, or signing_key in the file.
    """
    if not stateless:
        for name in STORE_MODE_FIELDS:
            if given.pop(name) is not None:
                raise click.UsageError(
                    f"--{name.replace('_', '-')} is a setting of store mode: add --stateless"
                )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            if stateless:
                _serve_stateless(config_path, given)
            else:
                _serve(config_path, given)
    except HostError as error:
        raise click.UsageError(str(error)) from None
    except StoreError as error:
        raise click.ClickException(str(error)) from None


# The servers are imported late, so that `--help` does not wait for the HTTP libraries.


def _serve(config_path: Path | None, given: dict[str, str | None]) -> None:
    from breathing_room.hosts.server.serve import serve  # noqa: PLC0415
    from breathing_room.hosts.server.workers import serve_workers  # noqa: PLC0415

    config = load_config(config_path, given)
    set_up_logging(config.log_level)
    (serve_workers if config.workers > 1 else serve)(config, on_start=_greet)


def _serve_stateless(config_path: Path | None, given: dict[str, str | None]) -> None:
    from breathing_room.hosts.stateless.serve import serve_stateless  # noqa: PLC0415

    config = load_store_mode_config(config_path, given)
    set_up_logging(config.server.log_level)
    serve_stateless(config, on_start=_greet_stateless)


def _greet(url: str, capacity: Capacity) -> None:
    click.echo(f"Breathing Room listens on {click.style(url, bold=True)}")
    click.echo(
        f"It can hold {capacity.sockets:,} connections ({capacity.files:,} open files). Ctrl-C stops it."
    )
    sys.stdout.flush()


def _greet_stateless(url: str) -> None:
    click.echo(f"Breathing Room, a stateless writer, listens on {click.style(url, bold=True)}")
    click.echo("Visitors are counted while `breathing-room reconcile` runs beside it. Ctrl-C stops it.")
    sys.stdout.flush()
