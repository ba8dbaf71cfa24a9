"""`breathing-room nodes`: the replicas of a cluster, what each publishes, and how old that is."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

import click
from rich.console import Console

from breathing_room.cli.snapshot import length, show
from breathing_room.core.errors import HostError, StoreError
from breathing_room.core.replication.delta import AdminCommand, Delta, decode, encode_admin_command
from breathing_room.core.replication.membership import Membership
from breathing_room.logs.redis_stream import RedisStream
from breathing_room.stores.redis_link import RedisLink

COLUMNS: Final = ("node", "last delta", "lease", "people", "suspect", "seats", "rooms")

# Trimming the log is left to the nodes.
KEPT_MS: Final = 120_000


@click.command(name="nodes", epilog="Example: breathing-room nodes redis://127.0.0.1:6379 --forget web-3")
@click.argument("address", envvar="BREATHING_ROOM_REDIS", metavar="[REDIS]")
@click.option(
    "--forget", metavar="NODE", help="Remove a node that died from the others, before its lease ends."
)
@click.option(
    "--drain",
    metavar="NODE",
    help="Drain a node: its clients reconnect to the others, and it accepts no new ones.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(address: str, *, forget: str | None, drain: str | None, as_json: bool) -> None:
    """Show the nodes that serve a room together.

    Of each: when it last published, its lease, and its sums by room.

    REDIS is the URL that the servers use, or BREATHING_ROOM_REDIS. Only sums are shown, no visitors.
    """
    commands = [AdminCommand(verb, name) for verb, name in (("forget", forget), ("drain", drain)) if name]
    try:
        report = asyncio.run(query(address, commands))
    except HostError as error:
        raise click.UsageError(str(error)) from None
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    # No markup: a name may hold brackets.
    console = Console(markup=False, emoji=False, highlight=False)
    show(console, COLUMNS, [row(node) for node in report["nodes"]])
    if report["refused"]:
        click.echo(
            f"{report['refused']:,} entries of the log were skipped: damaged, or of a later version",
            err=True,
        )


async def query(address: str, commands: Sequence[AdminCommand]) -> dict[str, Any]:
    """Read the recent deltas of the nodes, and append commands to their log.

    Args:
        address: The URL of their Redis.
        commands: The commands to append.

    Raises:
        HostError: The URL is not valid, or a command names a node that is not in the log.
        StoreError: Redis does not respond, is slow, or rejects a command.
    """
    link = RedisLink(address)
    try:
        await link.check()
        log = RedisStream(link, kept_ms=KEPT_MS)
        redis_ms, entries = await log.read()
        nodes, refused = Membership(("", 0), suspect_after_ms=KEPT_MS, seat_lease_ms=0, now_ms=redis_ms), 0
        for entry, value in entries:
            try:
                message = decode(value, no_moods)
            except HostError:
                refused += 1
                continue
            if isinstance(message, Delta):
                nodes.receive(message, entry, received_at_ms=entry[0], now_ms=redis_ms)
            elif message.verb == "forget":
                nodes.remove(message.name)
        known = {node.id[0] for node in nodes}
        for order in commands:
            if order.name not in known:
                raise HostError(
                    f"no node {order.name} in the log; expected one of {', '.join(sorted(known)) or 'none'}"
                )
            await log.write(encode_admin_command(order))
    finally:
        await link.close()
    return {
        "as_of_ms": redis_ms,
        "refused": refused,
        "nodes": sorted(
            (
                {
                    "node": node.id[0],
                    "epoch": node.id[1],
                    "delta_age_ms": max(0, redis_ms - node.suspect_since_ms),
                    "lease_ms": node.lease_ms,
                    "rooms": {
                        room: {
                            "people": sum(summary.members),
                            "suspect": sum(summary.suspect),
                            "seats": summary.panel.seats,
                            "effective_rate": summary.panel.theta,
                        }
                        for room, summary in node.sums.items()
                    },
                }
                for node in nodes
            ),
            key=lambda node: (node["node"], node["epoch"]),
        ),
    }


def no_moods(room: str) -> tuple[str, ...]:
    """Return no moods: here all people of a node are unspoken."""
    del room
    return ()


def row(node: dict[str, Any]) -> tuple[str, ...]:
    """Return a node as a row of the table."""
    rooms = node["rooms"].values()
    over = node["delta_age_ms"] > node["lease_ms"]
    return (
        node["node"],
        f"{length(node['delta_age_ms'])} ago",
        "over" if over else f"{length(node['lease_ms'] - node['delta_age_ms'])} left",
        *(f"{sum(room[kind] for room in rooms):,}" for kind in ("people", "suspect", "seats")),
        ", ".join(f"{name} {room['people'] + room['seats']:,}" for name, room in node["rooms"].items()),
    )
