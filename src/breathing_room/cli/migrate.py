"""`breathing-room migrate`: follow the migration of a room from Workers KV into its Durable Object."""

import json
import os
import time
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final, Self

import click

from breathing_room.cli.operator import ANSWER_S, BYTES_MAX, TOKEN_VARIABLE, fetch, span
from breathing_room.cli.reconcile import Length
from breathing_room.client.protocol import http_url
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.wire import DEFAULT_ROOM, check_room

STEADY_SAMPLES: Final = 3
"""Samples in a row without a report to the old Worker, after which the migration is done."""


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """The state of a migration at one moment.

    Attributes:
        old: The presence of the old Worker; None if it does not respond.
        new: The presence of the new Worker.
        syncing: Whether the new Worker still reads the reports of the old one.
        elsewhere: Seats of its panel whose last report went to the old Worker.
    """

    old: dict[str, Any] | None
    new: dict[str, Any]
    syncing: bool
    elsewhere: int

    @classmethod
    def take(cls, old_url: str, new_url: str, room: str, token: str) -> Self:
        """Fetch the state from both Workers.

        Raises:
            ClickException: The new Worker does not respond, or rejects the token; or the rooms differ.
            UsageError: A URL is not valid.
        """
        try:
            addresses = [http_url(url, f"/v1/rooms/{room}") for url in (old_url, new_url)]
        except HostError as error:
            raise click.UsageError(str(error)) from None
        progress = fetch(f"{addresses[1]}/migration", token)
        try:
            old = _presence(addresses[0])
        except OSError:
            old = None
        try:
            new = _presence(addresses[1])
        except OSError as error:
            raise click.ClickException(f"no response from {addresses[1]}: {error}") from None
        if old is not None and old.get("room") != new.get("room"):
            raise click.ClickException(
                f"the default rooms differ, {old.get('room')} and {new.get('room')}: name one with --room"
            )
        return cls(old, new, progress["syncing"], progress["elsewhere"])

    @property
    def agrees(self) -> bool:
        """Whether the intervals overlap; an unknown or missing one overlaps with every other."""
        if self.old is None or None in (self.old["low"], self.old["high"], self.new["low"], self.new["high"]):
            return True
        return bool(self.old["low"] <= self.new["high"] and self.new["low"] <= self.old["high"])

    @property
    def is_steady(self) -> bool:
        """Whether no visitor reports to the old Worker any more."""
        return not self.syncing or self.elsewhere == 0

    def __str__(self) -> str:
        """Return the state as a line."""
        old = "does not respond" if self.old is None else _words(self.old)
        verdict = "" if self.agrees else "  THE INTERVALS DO NOT OVERLAP"
        return f"old: {old}  new: {_words(self.new)}  report to the old one: {self.elsewhere:,}{verdict}"


@click.command(
    name="migrate", epilog="Example: breathing-room migrate https://old.example.com https://new.example.com"
)
@click.argument("old_url")
@click.argument("new_url")
@click.option("--room", metavar="NAME", help="The room's name. Default: the default room of both.")
@click.option(
    "--every",
    "every_ms",
    type=Length(),
    default="5s",
    show_default=True,
    help="The time between two samples.",
)
@click.option(
    "--once",
    is_flag=True,
    help="Take one sample: exit status 0 if no visitor reports to OLD_URL, 3 otherwise.",
)
def command(old_url: str, new_url: str, room: str | None, every_ms: int, *, once: bool) -> None:
    """Migrate a room from Workers KV into its Durable Object.

    Both serve it meanwhile. OLD_URL is the Worker with rooms in KV (`backend=kv`), NEW_URL one without
    `backend=kv` over the same namespace. NEW_URL needs the operator's token as its secret
    BREATHING_ROOM_ADMIN_TOKEN, and this command the same in the environment. The first sample makes the
    object take over the room. From then on reports to one also reach the other, so that pages can switch at
    any time. Each sample prints a line. The command ends when no visitor reports to OLD_URL any more, which
    can then be deleted.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise click.UsageError(f"no operator's token: set {TOKEN_VARIABLE} to that of NEW_URL")
    try:
        room = DEFAULT_ROOM if room is None else check_room(room)
    except ClientError as error:
        raise click.UsageError(str(error)) from None
    steady = 0
    status = MigrationStatus.take(old_url, new_url, room, token)
    if not status.syncing:
        raise click.ClickException(
            "the new room syncs with no other: its KV holds nothing of this room, or reconcile does not run at the old one"
        )
    while True:
        click.echo(f"{time.strftime('%H:%M:%S', time.gmtime())}  {status}")
        steady = steady + 1 if status.is_steady else 0
        if once:
            raise SystemExit(0 if steady else 3)
        if steady == STEADY_SAMPLES:
            break
        time.sleep(every_ms / 1_000)
        status = MigrationStatus.take(old_url, new_url, room, token)
    click.echo("No visitor reports to the old room any more. It can be deleted, and its cron with it.")


def _words(presence: dict[str, Any]) -> str:
    """Return the count, interval and method of a presence."""
    count, low, high = presence["count"], presence["low"], presence["high"]
    if count is None:
        return str(presence["method"])
    return f"{count:,} ({span(low, high)}, {presence['method']})"


def _presence(address: str) -> dict[str, Any]:
    """Fetch a presence.

    Raises:
        OSError: The request fails, or the response is no JSON object.
    """
    try:
        # `http_url` has checked the scheme: this is no file.
        with urllib.request.urlopen(address, timeout=ANSWER_S) as answer:  # noqa: S310
            return dict(json.loads(answer.read(BYTES_MAX)))
    except (HTTPException, ValueError) as error:
        raise OSError(str(error)) from None
