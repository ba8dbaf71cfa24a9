"""The JSON of the operator's page: the server, its rooms, its store and the nodes of its cluster."""

from typing import Any, Final

from breathing_room.core.wire import presence_body
from breathing_room.hosts.server.app import App, ServerRoom
from breathing_room.hosts.server.metrics import COUNTERS, room_gauges

PREFIXES_SHOWN: Final = 5
PREFIX_BYTES: Final = 4
"""Bytes of a hash that are shown: enough to distinguish five prefixes, too few to search for one."""


def admin_body(host: App, room: ServerRoom) -> dict[str, Any]:
    """Return the body of ``/admin.json``: the server, a row for every room, and the details of one room.

    Args:
        host: The server.
        room: The room with details.
    """
    wall_ms = host.clock.wall_ms()
    rooms = sorted((room_row(other, wall_ms) for other in host.rooms.values()), key=_most_first)
    return {
        "now_ms": wall_ms,
        "started_at_ms": host.started_at_ms,
        "sockets": host.connection_count,
        "sockets_max": host.sockets_max,
        "totals": {name: getattr(host.counters, name) for name in COUNTERS},
        "refusals": dict(host.counters.refusals.most_common()),
        "store": store_body(host),
        "nodes": node_rows(host),
        "rooms": rooms,
        "room": room_body(room, wall_ms),
    }


def _most_first(row: dict[str, Any]) -> tuple[int, str]:
    return -(row["presence"]["count"] or 0), row["room"]


def room_row(room: ServerRoom, wall_ms: int) -> dict[str, Any]:
    """Return the row of a room."""
    assert room.platform.day is not None
    return {
        "room": room.name,
        "presence": presence_body(room.presence()),
        "subscribers": len(room.subscribers),
        "today": room.platform.day.body(wall_ms=wall_ms),
    }


def room_body(room: ServerRoom, wall_ms: int) -> dict[str, Any]:
    """Return the row and the details of a room."""
    assert room.platform.day is not None
    gauges = room_gauges(room)
    panel = room.room.panel
    seats = panel.seat_count + panel.over_quota_count
    return room_row(room, wall_ms) | {
        "seats": panel.seat_count,
        "seats_over_quota": panel.over_quota_count,
        "prefix_alarm": bool(gauges["prefix_alarm"]),
        "prefixes": [
            {"prefix": prefix[:PREFIX_BYTES].hex(), "seats": held, "share": round(held / seats, 4)}
            for prefix, held in panel.largest_prefixes(PREFIXES_SHOWN)
        ],
        "last_day": room.platform.day.timeline_body(wall_ms=wall_ms),
        "week": [] if room.platform.history is None else room.platform.history.averages(),
    }


def store_body(host: App) -> dict[str, Any]:
    """Return the state of the store."""
    return {
        "kind": type(host.store).__name__.removesuffix("Store").lower(),
        "saved_at_ms": host.saved_at_ms,
        "failures": host.counters.snapshots_failed + host.counters.histories_failed,
    }


def node_rows(host: App) -> list[dict[str, Any]]:
    """Return the nodes of the cluster, this one first; empty on a single server."""
    cluster = host.cluster
    if cluster is None:
        return []
    now_ms = host.clock.now_ms()
    own = {
        "node": cluster.node[0],
        "people": sum(room.room.count for room in host.rooms.values()),
        "delta_age_ms": 0,
        "state": "cut off" if cluster.nodes.is_cut_off(now_ms) else "this server",
    }
    return [own] + [
        {
            "node": node.id[0],
            "people": sum(summary.leases for summary in node.sums.values()),
            "delta_age_ms": max(0, now_ms - node.suspect_since_ms),
            "state": "gone"
            if node.is_gone
            else "suspect"
            if cluster.nodes.is_suspect(node, now_ms)
            else "live",
        }
        for node in cluster.nodes
    ]
