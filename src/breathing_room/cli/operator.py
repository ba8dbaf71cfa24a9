"""`breathing-room watch --admin`: the operator's page in the terminal."""

import json
import os
import time
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from breathing_room.client.protocol import http_url
from breathing_room.core.errors import HostError

TOKEN_VARIABLE: Final = "BREATHING_ROOM_ADMIN_TOKEN"  # noqa: S105 - the name of a variable, not a token
EVERY_S: Final = 5.0
ANSWER_S: Final = 10.0
BYTES_MAX: Final = 16_777_216

STEPS: Final = "▁▂▃▄▅▆▇█"
LETTERS: Final = 72
"""One letter for each 20 minutes of the last 24 hours."""

DAY_MS: Final = 86_400_000
ROOMS_SHOWN: Final = 12

TOTALS: Final = ("joins", "reports", "reports_shed", "pushes", "snapshots_failed", "histories_failed")


def watch_server(url: str, *, room: str | None, once: bool, as_json: bool, console: Console) -> None:
    """Show a server, refreshed every few seconds, until Ctrl-C.

    Args:
        url: The server's URL.
        room: The room that is shown in detail; None for the server's default room.
        once: Whether to show it once only.
        as_json: Whether to print the server's response as JSON.
        console: The terminal.

    Raises:
        ClickException: The URL is not a server's, the token is missing or wrong, or the first request fails.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise click.UsageError(f"no operator's token: set {TOKEN_VARIABLE} to the server's admin_token")
    try:
        address = http_url(url, "/admin.json") + ("" if room is None else f"?{urlencode({'room': room})}")
    except HostError as error:
        raise click.UsageError(str(error)) from None
    if as_json or once or not console.is_terminal:
        while True:
            body = fetch(address, token)
            if as_json:
                click.echo(json.dumps(body))
            else:
                console.print(view(body))
            if once:
                return
            time.sleep(EVERY_S)
    body, trouble = fetch(address, token), ""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(view(body, trouble), refresh=True)
            time.sleep(EVERY_S)
            try:
                body, trouble = fetch(address, token), ""
            except click.ClickException as error:
                trouble = error.message


def fetch(address: str, token: str) -> dict[str, Any]:
    """Fetch the JSON of the operator's page.

    Raises:
        ClickException: The request fails, or is refused.
    """
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        # `http_url` has checked the scheme: this is no file.
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            return dict(json.loads(answer.read(BYTES_MAX)))
    except HTTPError as error:
        raise click.ClickException(_refusal(error)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise click.ClickException(f"no response from {address.partition('?')[0]}: {error}") from None


def _refusal(error: HTTPError) -> str:
    """Return the reason for which a server refused a request."""
    try:
        with error:
            body = json.loads(error.read(65_536))["error"]
        code, message = str(body["code"]), str(body["message"])
    except (OSError, ValueError, LookupError, TypeError):
        return f"the server responded with status {error.code}"
    if code == "not_found":
        return "this server has no operator's page: set its admin_token, and restart it"
    return message


def trend(samples: Sequence[Mapping[str, Any]], now_ms: int) -> str:
    """Draw the last 24 hours as a line of letters: the highest count of every 20 minutes, a dot where none is
    known.
    """
    highest: list[int | None] = [None] * LETTERS
    for sample in samples:
        index = LETTERS - 1 - (now_ms - sample["at_ms"]) * LETTERS // DAY_MS
        if sample["count"] is not None and 0 <= index < LETTERS:
            highest[index] = max(highest[index] or 0, sample["count"])
    top = max((count for count in highest if count), default=1)
    return "".join("·" if count is None else STEPS[(len(STEPS) - 1) * count // top] for count in highest)


def span(low: int, high: int | None) -> str:
    """Format an interval."""
    return f"at least {low:,}" if high is None else f"{low:,} to {high:,}" if low != high else "exactly"


def came(people: Mapping[str, Any]) -> str:
    """Format the number of different visitors, or its lower bound."""
    return f"at least {people['low']:,}" if people["high"] is None else f"{people['count']:,}"


def known(count: int | None) -> str:
    """Format a count; `?` if it is unknown."""
    return "?" if count is None else f"{count:,}"


def view(body: Mapping[str, Any], trouble: str = "") -> RenderableType:
    """Draw the last response of a server, and the error of the current request."""
    room = body["room"]
    presence, today, peak = room["presence"], room["today"], room["today"]["peak"]
    head = Text.assemble(
        (known(presence["count"]), "bold"),
        f" here now  {span(presence['low'], presence['high'])}; {presence['method']}",
    )
    facts = Table.grid(padding=(0, 2))
    at = "" if peak is None else time.strftime("at %H:%M UTC", time.gmtime(peak["at_ms"] / 1_000))
    facts.add_row("most today", known(peak and peak["count"]), Text(at, style="dim"))
    sockets = f"{came(today['people_on_sockets'])} over sockets"
    facts.add_row("people today", came(today["people"]), Text(sockets, style="dim"))
    for row in room["prefixes"][:3]:
        facts.add_row("prefix", row["prefix"], Text(f"{row['share']:.0%} of the seats", style="dim"))
    parts: list[RenderableType] = [
        head,
        facts,
        Text.assemble((trend(room["last_day"], body["now_ms"]), "cyan"), ("  24 hours", "dim")),
        Text(),
        _rooms(body["rooms"]),
        Text(),
        _server(body),
    ]
    if trouble:
        parts.append(Text(f"{trouble}; retrying", style="yellow"))
    return Panel(Group(*parts), title=room["room"], expand=False, padding=(1, 2))


def _rooms(rooms: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("room", "now", "95 %", "method", "most today", "people today"):
        table.add_column(name, justify="left" if name in {"room", "method"} else "right", header_style="dim")
    for row in rooms[:ROOMS_SHOWN]:
        presence, today = row["presence"], row["today"]
        table.add_row(
            row["room"],
            known(presence["count"]),
            span(presence["low"], presence["high"]),
            presence["method"],
            known(today["peak"] and today["peak"]["count"]),
            came(today["people"]),
        )
    return table


def _server(body: Mapping[str, Any]) -> Group:
    totals = "  ".join(f"{name.replace('_', ' ')} {body['totals'][name]:,}" for name in TOTALS)
    store = body["store"]
    saved = (
        "not saved yet"
        if store["saved_at_ms"] is None
        else f"saved {max(0, body['now_ms'] - store['saved_at_ms']) // 1_000} s ago"
    )
    lines = [
        Text(f"sockets {body['sockets']:,} of {body['sockets_max']:,}  store {store['kind']}, {saved}"),
        Text(totals, style="dim"),
    ]
    for node in body["nodes"]:
        style = "" if node["state"] in {"live", "this server"} else "yellow"
        lines.append(Text(f"node {node['node']}: {node['people']:,} people, {node['state']}", style=style))
    return Group(*lines)
