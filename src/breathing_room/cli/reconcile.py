"""`breathing-room reconcile`: the controller of store mode."""

import asyncio
import contextlib
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from breathing_room.cli.settings import config_option, load_store_mode_config, store_mode_options
from breathing_room.core.errors import ConfigError, HostError, StoreError
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.common.store_mode.records import Control
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.ports import Store
from breathing_room.stores import open_store

UNITS_MS: Final = {"ms": 1, "s": 1_000, "min": 60_000}
LENGTH: Final = re.compile(rf"(\d{{1,9}}) ?({'|'.join(UNITS_MS)})")


class Length(click.ParamType[int]):
    """A length of time, such as 500ms, 60s or 1min, in milliseconds."""

    name = "LENGTH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a length; an integer is one already."""
        if isinstance(value, int):
            return value
        found = LENGTH.fullmatch(value)
        if found is None or not int(found[1]):
            self.fail(
                f"{value!r} is not a length of time: expected one such as 500ms, 60s or 1min", param, ctx
            )
        return int(found[1]) * UNITS_MS[found[2]]


@click.command(
    name="reconcile", epilog="Example: breathing-room reconcile --data /srv/presence.db --every 60s"
)
@config_option
@click.option(
    "--data", metavar="TEXT", help="The store that the writers share.  [default: breathing-room.db]"
)
@click.option(
    "--every",
    "every_ms",
    type=Length(),
    help="Run repeatedly, with this time between two runs, at most --reconcile-ms.  [default: run once]",
)
@store_mode_options
def command(config_path: Path | None, data: str | None, every_ms: int | None, **own: str | None) -> None:
    """Set the sampling rates of rooms in store mode.

    It runs beside the writers (`breathing-room serve --stateless`). Each run reads all reports, sets the
    sampling rates, counts expired leases and prints a line. Exactly one process may run it: a scheduler once
    a minute, or one process with --every. If it stops, people are still counted without bias, but the panel
    outgrows its size. It needs the same settings as the writers: set them in the environment, or in one file.
    """
    try:
        config = load_store_mode_config(config_path, {"data": data, **own})
        if every_ms is not None and every_ms > config.reconcile_ms:
            raise ConfigError(
                f"--every must be at most reconcile_ms, {config.reconcile_ms:,} ms, for which records are kept: raise "
                "reconcile_ms for the writers too"
            )
        asyncio.run(run(config, every_ms))
    except HostError as error:
        raise click.UsageError(str(error)) from None
    except StoreError as error:
        raise click.ClickException(str(error)) from None


async def run(config: StoreModeConfig, every_ms: int | None) -> None:
    """Run once, or repeatedly until a signal ends it.

    Raises:
        StoreError: The store cannot be opened; or a single run fails.
    """
    store = await open_store(config.server.data)
    try:
        if every_ms is None:
            click.echo(line(await reconcile(store, config)))
            return
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await run_repeatedly(store, config, every_ms, stopping)
    finally:
        await store.close()


async def run_repeatedly(
    store: Store, config: StoreModeConfig, every_ms: int, stopping: asyncio.Event
) -> None:
    """Run until an event is set. An error of the store is printed, and the next run tries again."""
    due_s = time.monotonic()
    while not stopping.is_set():
        try:
            click.echo(line(await reconcile(store, config)))
            sys.stdout.flush()
        except StoreError as error:
            click.echo(f"the store does not respond: {error}; retrying", err=True)
        # A run that took too long is followed by the next at once, not by all that were missed.
        due_s = max(due_s + every_ms / 1_000, time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), due_s - time.monotonic())


def line(control: Control) -> str:
    """Return a control record as a line: its time, epoch and rates."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(control.as_of_ms / 1_000))
    rooms = [
        f"{name}: rate {room.rates[0][1]:.4g}, {room.arrivals_per_ms * 60_000:,.1f} reports a minute, "
        f"{len(room.expired):,} leases expired"
        for name, room in control.rooms.items()
    ]
    return f"{at} epoch {control.epoch}; {'; '.join(rooms) or 'no reports'}"
