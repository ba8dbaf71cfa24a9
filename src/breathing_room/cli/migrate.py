"""`breathing-room migrate`: see a room through from Workers KV into its object."""

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
"""Looks in a row at which nobody reports to the old one any more, before it is called done."""


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """What both say at one moment.

    Attributes:
        old: The presence that the old one publishes; None where it does not answer.
        new: The presence that the new one publishes.
        syncing: Whether the new one still hears what is reported to the old one.
        elsewhere: People of its panel who reported to the old one last.
    """

    old: dict[str, Any] | None
    new: dict[str, Any]
    syncing: bool
    elsewhere: int

    @classmethod
    def take(cls, old_url: str, new_url: str, room: str, token: str) -> Self:
        """Ask both.

        Raises:
            ClickException: The new one does not answer, or not to this token; or the rooms differ.
            UsageError: An address is none.
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
            raise click.ClickException(f"no answer from {addresses[1]}: {error}") from None
        if old is not None and old.get("room") != new.get("room"):
            raise click.ClickException(
                f"the default rooms differ, {old.get('room')} and {new.get('room')}: name one with --room"
            )
        return cls(old, new, progress["syncing"], progress["elsewhere"])

    @property
    def agrees(self) -> bool:
        """Whether some count lies in both intervals. Who does not know contradicts nobody."""
        if self.old is None or None in (self.old["low"], self.old["high"], self.new["low"], self.new["high"]):
            return True
        return bool(self.old["low"] <= self.new["high"] and self.new["low"] <= self.old["high"])

    @property
    def is_steady(self) -> bool:
        """Whether nobody reports to the old one any more."""
        return not self.syncing or self.elsewhere == 0

    def __str__(self) -> str:
        """Say it in a line."""
        old = "does not answer" if self.old is None else _said(self.old)
        verdict = "" if self.agrees else "  THEY DISAGREE"
        return f"old: {old}  new: {_said(self.new)}  report to the old one: {self.elsewhere:,}{verdict}"


@click.command(
    name="migrate", epilog="Example: breathing-room migrate https://old.example.com https://new.example.com"
)
@click.argument("old_url")
@click.argument("new_url")
@click.option("--room", metavar="NAME", help="The room's name. Default: the default room of both.")
@click.option(
    "--every", "every_ms", type=Length(), default="5s", show_default=True, help="How often to look."
)
@click.option("--once", is_flag=True, help="Look once: exit status 0 if it is done, 3 if not.")
def command(old_url: str, new_url: str, room: str | None, every_ms: int, *, once: bool) -> None:
    """Move a room from Workers KV (`backend=kv`) into its Durable Object, while both answer.

    OLD_URL is the Worker that keeps rooms in KV, NEW_URL one without `backend=kv` over the same namespace, with the operator's token as
    its secret BREATHING_ROOM_ADMIN_TOKEN; the same is expected in the environment here. The first look makes the object take the room over.
    From then on each hears what is reported to the other, so that your page can move its people at leisure. A line is printed for
    each look, and it ends when nobody reports to the old one any more: then that can be deleted.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise click.UsageError(f"the operator's token is expected in {TOKEN_VARIABLE}")
    try:
        room = DEFAULT_ROOM if room is None else check_room(room)
    except ClientError as error:
        raise click.UsageError(str(error)) from None
    calm = 0
    look = MigrationStatus.take(old_url, new_url, room, token)
    if not look.syncing:
        raise click.ClickException(
            "the new room syncs with no other: its KV holds nothing of this room, or reconcile does not run at the old one"
        )
    while True:
        click.echo(f"{time.strftime('%H:%M:%S', time.gmtime())}  {look}")
        calm = calm + 1 if look.is_steady else 0
        if once:
            raise SystemExit(0 if calm else 3)
        if calm == STEADY_SAMPLES:
            break
        time.sleep(every_ms / 1_000)
        look = MigrationStatus.take(old_url, new_url, room, token)
    click.echo("No visitor reports to the old room any more. It can be deleted, and its cron with it.")


def _said(presence: dict[str, Any]) -> str:
    """Say a presence in a few words."""
    count, low, high = presence["count"], presence["low"], presence["high"]
    if count is None:
        return str(presence["method"])
    return f"{count:,} ({span(low, high)}, {presence['method']})"


def _presence(address: str) -> dict[str, Any]:
    """Ask who is there.

    Raises:
        OSError: There is no answer, or none that makes sense.
    """
    try:
        # `http_url` made this address: it is no file.
        with urllib.request.urlopen(address, timeout=ANSWER_S) as answer:  # noqa: S310
            return dict(json.loads(answer.read(BYTES_MAX)))
    except (HTTPException, ValueError) as error:
        raise OSError(str(error)) from None
