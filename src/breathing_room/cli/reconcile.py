"""`breathing-room reconcile`: the job of the stateless mode."""

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
        """Read one."""
        if isinstance(value, int):
            return value
        found = LENGTH.fullmatch(value)
        if found is None or not int(found[1]):
            self.fail(f"{value!r} is no length of time, such as 60s", param, ctx)
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
    help="Go on, with so much between two runs; without it, one run. At most --reconcile-ms.",
)
@store_mode_options
def command(config_path: Path | None, data: str | None, every_ms: int | None, **own: str | None) -> None:
    """Look after the rates of writers without a memory (`breathing-room serve --stateless`).

    Each run reads what the writers stored, says the rates anew and prints a line. Exactly one process may do this: a
    scheduler that calls it once a minute, or one that goes on with --every. If it stops, people are still counted without bias,
    but the panel is not held to its size. It must be given the settings of the writers, best through the environment or
    one file.
    """
    try:
        config = load_store_mode_config(config_path, {"data": data, **own})
        if every_ms is not None and every_ms > config.reconcile_ms:
            raise ConfigError(
                f"--every must not exceed reconcile_ms, {config.reconcile_ms:,}: records would be gone by then"
            )
        asyncio.run(run(config, every_ms))
    except HostError as error:
        raise click.UsageError(str(error)) from None
    except StoreError as error:
        raise click.ClickException(str(error)) from None


async def run(config: StoreModeConfig, every_ms: int | None) -> None:
    """Run once, or again and again until a signal ends it.

    Raises:
        StoreError: The store cannot be opened; or, of a single run, fails.
    """
    store = await open_store(config.server.data)
    try:
        if every_ms is None:
            click.echo(line(await reconcile(store, config)))
            return
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await keep_on(store, config, every_ms, stopping)
    finally:
        await store.close()


async def keep_on(store: Store, config: StoreModeConfig, every_ms: int, stopping: asyncio.Event) -> None:
    """Run until told to stop. A store that fails is said, and tried again the next time."""
    due_s = time.monotonic()
    while not stopping.is_set():
        try:
            click.echo(line(await reconcile(store, config)))
            sys.stdout.flush()
        except StoreError as error:
            click.echo(f"the store does not answer: {error}", err=True)
        # A run that took long is followed by the next at once, not by all that were missed.
        due_s = max(due_s + every_ms / 1_000, time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), due_s - time.monotonic())


def line(control: Control) -> str:
    """Say in a line what the job said."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(control.as_of_ms / 1_000))
    rooms = [
        f"{name}: rate {room.rates[0][1]:.4g}, {room.arrivals_per_ms * 60_000:,.1f} reports a minute, "
        f"{len(room.expired):,} ended in silence"
        for name, room in control.rooms.items()
    ]
    return f"{at} epoch {control.epoch}; {'; '.join(rooms) or 'no reports'}"
