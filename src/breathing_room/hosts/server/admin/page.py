"""The operator's page as HTML: pure functions of the body of ``/admin.json``."""

import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from breathing_room.hosts.server.admin.charts import DAYS, clock_time, day_chart, week_chart

ROOMS_SHOWN: Final = 50

METHODS: Final = {
    "counted": "counted exactly",
    "sampled": "estimated from a sample",
    "stale": "last known",
    "estimated": "estimated from other days",
    "unknown": "not known yet",
}

FRAME: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>{title}</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="robots" content="noindex">
  <meta name="color-scheme" content="dark">
  <meta name="theme-color" content="#0a0e1a">
  <link rel="icon" href="icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="tokens.css">
  <link rel="stylesheet" href="admin.css">
{script}</head>
<body>
{body}
</body>
</html>
"""


def sign_in_page(trouble: str = "") -> str:
    """Render the form for the token.

    Args:
        trouble: The error of the last attempt.
    """
    alert = f'<p id="trouble" role="alert">{escape(trouble)}</p>' if trouble else ""
    described = ' aria-describedby="trouble" aria-invalid="true"' if trouble else ""
    body = (
        '<main class="sign-in"><h1>breathing room</h1><form method="post" action="admin">'
        '<label for="token">The operator\'s token</label>'
        f'<input id="token" name="token" type="password" autocomplete="current-password" required autofocus{described}>'
        f"{alert}<button>Open</button></form></main>"
    )
    return FRAME.format(title="Sign in · Breathing Room", script="", body=body)


def admin_page(body: Mapping[str, Any]) -> str:
    """Render the page.

    Args:
        body: The body of ``/admin.json``.
    """
    room, now_ms = body["room"], body["now_ms"]
    presence = room["presence"]
    count = "unknown" if presence["count"] is None else f"{presence['count']:,}"
    parts = [
        "<header><h1>breathing room</h1>",
        '<form method="post" action="admin"><button name="sign_out" value="1">Sign out</button></form></header>',
        '<main id="main">',
        _hero(room),
        _figure(
            "day", "The last 24 hours", day_chart(room["last_day"], room["week"], now_ms=now_ms), _day_key()
        )
        + _table(
            "day-table",
            "The last 24 hours as a table",
            ("hour", "least", "most"),
            _day_rows(room["last_day"]),
        )
        + "</section>",
        _figure("week", "An average week", week_chart(room["week"], now_ms=now_ms), _week_key(room["week"]))
        + _table("week-table", "The week as a table", ("UTC", *DAYS), _week_rows(room["week"]))
        + "</section>",
        _rooms(body["rooms"], room["room"]),
        '<div class="cards">',
        _card("Traffic", _traffic(body)),
        _card("Store", _store(body["store"], now_ms)),
        _prefixes(room),
        _nodes(body["nodes"]),
        "</div>",
        "</main>",
        _footer(body),
    ]
    script = '  <script type="module" src="admin.js"></script>\n'
    return FRAME.format(
        title=f"{count} in {escape(room['room'])} · Breathing Room", script=script, body="\n".join(parts)
    )


def interval(low: int, high: int | None) -> str:
    """Format an interval."""
    if high is None:
        return f"at least {low:,}"
    return "exactly" if low == high else f"{low:,} to {high:,}"


def people_today(people: Mapping[str, Any]) -> str:
    """Format the number of different people today."""
    if people["high"] is None:
        return f"at least {people['low']:,}"
    return f"{people['count']:,}" if people["low"] == people["high"] else f"about {people['count']:,}"


def _hero(room: Mapping[str, Any]) -> str:
    presence, today = room["presence"], room["today"]
    count = "?" if presence["count"] is None else f"{presence['count']:,}"
    people, on_sockets, peak = today["people"], today["people_on_sockets"], today["peak"]
    range_today = interval(people["low"], people["high"])
    if people["high"] is None:
        range_today = f"{people_today(on_sockets)} over connections, and the sampled part of the others"
    moods = {**presence["moods"], "unspoken": presence["unspoken"]}
    mood_counts = ", ".join(f"{escape(mood)} {number:,}" for mood, number in moods.items() if number)
    facts = [
        (
            "Most today",
            "none yet" if peak is None else f"{peak['count']:,}",
            "" if peak is None else f"{interval(peak['low'], peak['high'])}, at {clock_time(peak['at_ms'])}",
        ),
        (
            "Different people today",
            people_today(people),
            f"{range_today}, since {clock_time(today['since_ms'])}",
        ),
        ("Subscribers", f"{room['subscribers']:,}", "connections and event streams"),
        (
            "Sample rate",
            "all" if presence["sample_rate"] == 1 else f"{presence['sample_rate']:.2%}",
            "of visitors without a connection",
        ),
    ]
    return (
        f'<section id="hero" data-method="{presence["method"]}" aria-labelledby="now">'
        f'<h2 id="now">{escape(room["room"])}</h2><p class="count"><strong>{count}</strong> here now</p>'
        f'<p class="quiet">{interval(presence["low"], presence["high"])}; {METHODS[presence["method"]]}</p>'
        f'<p class="quiet">{mood_counts}</p>'
        f"<dl>{''.join(f'<div><dt>{name}</dt><dd><b>{value}</b> <span>{note}</span></dd></div>' for name, value, note in facts)}</dl>"
        "</section>"
    )


def _footer(body: Mapping[str, Any]) -> str:
    now_ms = body["now_ms"]
    running = _span(now_ms - body["started_at_ms"])
    return (
        f'<footer id="footer"><p>As of {clock_time(now_ms)} UTC; this server has been running for {running}. '
        '<span id="fresh"></span> The same as <a href="admin.json">JSON</a>.</p></footer>'
    )


def _figure(name: str, title: str, chart: str, key: str) -> str:
    """Open the section of a chart; the caller closes it."""
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{chart}<p class="key">{key}</p>'


def _day_key() -> str:
    return '<span class="of-line">people</span> <span class="of-band">95 % interval</span> <span class="of-usual">usual at that hour</span>'


def _week_key(week: Sequence[Mapping[str, Any]]) -> str:
    highest = max((hour["count"] for hour in week), default=0)
    shades = "".join(f'<i class="shade-{shade}"></i>' for shade in range(6))
    return f'<span>0</span><span class="scale" aria-hidden="true">{shades}</span><span>{highest:,.0f} people</span>'


def _day_rows(timeline: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    hours: dict[str, list[int]] = {}
    for sample in timeline:
        if sample["count"] is not None:
            hour = time.strftime("%a %H:00", time.gmtime(sample["at_ms"] / 1_000))
            hours.setdefault(hour, []).append(sample["count"])
    return [(hour, f"{min(counts):,}", f"{max(counts):,}") for hour, counts in hours.items()]


def _week_rows(week: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    means = {hour["hour"]: f"{hour['count']:,.0f}" for hour in week}
    return [
        (f"{hour:02}", *(means.get(24 * day + hour, "-") for day in range(7)))
        for hour in range(24)
        if any(24 * day + hour in means for day in range(7))
    ]


def _table(name: str, title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Render the data of a chart as a folded table."""
    return f'<details id="{name}"><summary>{title}</summary>{_bare_table(title, head, rows)}</details>'


def _bare_table(label: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    columns = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _rooms(rooms: Sequence[Mapping[str, Any]], current: str) -> str:
    lines = []
    for row in rooms[:ROOMS_SHOWN]:
        presence, today = row["presence"], row["today"]
        here = ' aria-current="page"' if row["room"] == current else ""
        count = "?" if presence["count"] is None else f"{presence['count']:,}"
        lines.append(
            (
                f'<a href="?room={row["room"]}"{here}>{row["room"]}</a>',
                count,
                count if presence["low"] == presence["high"] else interval(presence["low"], presence["high"]),
                presence["method"],
                f"{today['peak']['count']:,}" if today["peak"] else "-",
                people_today(today["people"]),
            )
        )
    more = f'<p class="quiet">and {len(rooms) - ROOMS_SHOWN:,} more</p>' if len(rooms) > ROOMS_SHOWN else ""
    table = _bare_table(
        "Rooms as a table", ("room", "now", "95 %", "method", "most today", "people today"), lines
    )
    return f'<section id="rooms" aria-labelledby="rooms-title"><h2 id="rooms-title">Rooms</h2>{table}{more}</section>'


def _card(title: str, facts: Iterable[tuple[str, str]]) -> str:
    name = title.split(maxsplit=1)[0].lower()
    lines = "".join(f"<div><dt>{dt}</dt><dd>{dd}</dd></div>" for dt, dd in facts)
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2><dl>{lines}</dl></section>'


def _traffic(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    totals = body["totals"]
    refused = ", ".join(f"{escape(code)} {count:,}" for code, count in list(body["refusals"].items())[:3])
    return [
        ("open connections", f"{body['sockets']:,} of {body['sockets_max']:,}"),
        ("joins", f"{totals['joins']:,}"),
        ("reports", f"{totals['reports']:,}"),
        ("reports shed", _warning(totals["reports_shed"])),
        ("reads", f"{totals['presence_reads']:,}"),
        ("pushes", f"{totals['pushes']:,}"),
        ("errors", refused or "none"),
    ]


def _store(store: Mapping[str, Any], now_ms: int) -> list[tuple[str, str]]:
    saved = store["saved_at_ms"]
    return [
        ("kind", {"memory": "memory: lost when the process ends"}.get(store["kind"], store["kind"])),
        ("last save", "none yet" if saved is None else f"{_span(now_ms - saved)} ago"),
        ("failures", _warning(store["failures"])),
    ]


def _warning(count: int) -> str:
    return f'<b class="worry">{count:,}</b>' if count else "none"


def _prefixes(room: Mapping[str, Any]) -> str:
    alarm = (
        '<p class="worry">One address prefix has reached its quota, or has over half of the seats.</p>'
        if room["prefix_alarm"]
        else ""
    )
    facts = [
        (f"<code>{row['prefix']}</code>", f"{row['seats']:,} seats, {row['share']:.0%}")
        for row in room["prefixes"]
    ]
    if not facts:
        facts = [("none", "no reports from networks with a quota")]
    if room["seats_over_quota"]:
        facts.append(("seats over quota", _warning(room["seats_over_quota"])))
    return _card("Prefixes with most seats", facts).removesuffix("</section>") + alarm + "</section>"


def _nodes(nodes: Sequence[Mapping[str, Any]]) -> str:
    return (
        _card(
            "Nodes",
            [(escape(node["node"]), f"{node['people']:,} people, {_state(node)}") for node in nodes],
        )
        if nodes
        else ""
    )


def _state(node: Mapping[str, Any]) -> str:
    if node["state"] in {"live", "this server"}:
        return str(node["state"])
    return f'<b class="worry">{node["state"]}</b>, last delta {_span(node["delta_age_ms"])} ago'


def _span(length_ms: int) -> str:
    """Format a duration in its largest unit."""
    seconds = max(length_ms, 0) // 1_000
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {unit}"
    return f"{seconds} s"
