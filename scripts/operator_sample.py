"""A made-up week, as the operator's page shows it in pictures."""

import math
from typing import Any

from breathing_room.core.history import HOUR_MS, hour_of_week
from breathing_room.hosts.server.metrics import COUNTERS

NOW_MS = 1_767_298_500_000
"""2026-01-01, a Thursday, 20:15 UTC."""

SAMPLE_MS = 300_000


def usual(hour: int) -> float:
    """Return the mean count of an hour of a made-up week: most in the evening, fewest at night, more on
    Sundays.
    """
    day = hour % 24
    evening = math.exp(-(((day - 20.5) / 3.2) ** 2)) + 0.55 * math.exp(-(((day - 7.5) / 1.6) ** 2))
    return (18 + 290 * evening) * (1.25 if hour // 24 == 6 else 1.0)


def people(at_ms: int) -> float:
    """Return the count at an instant of a made-up day."""
    share = at_ms % HOUR_MS / HOUR_MS
    hour = hour_of_week(at_ms)
    mean = (1 - share) * usual(hour) + share * usual((hour + 1) % 168)
    return mean * (1.1 + 0.05 * math.sin(at_ms / 1_900_000) + 0.03 * math.sin(at_ms / 410_000))


def presence(
    room: str, count: int | None, low: int, high: int | None, method: str, *, rate: float = 1.0
) -> dict[str, Any]:
    """Return a made-up presence."""
    moods = {"gratitude": 84, "presence": 113, "release": 55, "connection": 77} if room == "lobby" else {}
    return {
        "room": room, "count": count, "low": low, "high": high, "method": method, "sample_rate": rate, "moods": moods, "unspoken": 4,
    }  # fmt: skip


def timeline_sample(at_ms: int) -> dict[str, Any]:
    """Return a made-up sample of the timeline; at night the server was down for an hour, and above 200 the
    count is sampled.
    """
    count = round(people(at_ms))
    width = round(1.96 * math.sqrt(count * 3)) if count > 200 else 0
    away = 11 * HOUR_MS < NOW_MS - at_ms < 12 * HOUR_MS
    return {"at_ms": at_ms, "count": None if away else count, "low": count - width, "high": count + width}


def sample() -> dict[str, Any]:
    """Return a made-up body of ``/admin.json``."""
    timeline = [timeline_sample(at_ms) for at_ms in range(NOW_MS - 287 * SAMPLE_MS, NOW_MS + 1, SAMPLE_MS)]
    now = timeline[-1]
    since_ms = NOW_MS - NOW_MS % 86_400_000
    peak = max((seen for seen in timeline if seen["at_ms"] >= since_ms), key=lambda seen: seen["count"] or 0)

    def row(shown: dict[str, Any], most: dict[str, Any] | None, came: int) -> dict[str, Any]:
        sockets = {"count": came, "low": round(came * 0.97), "high": round(came * 1.03)}
        sampled = {**sockets, "count": round(came * 1.7), "low": round(came * 1.65), "high": None}
        today = {
            "since_ms": since_ms,
            "peak": most,
            "people": sampled if shown["sample_rate"] < 1 else sockets,
            "people_on_sockets": sockets,
            "rate_min": shown["sample_rate"],
        }
        return {
            "room": shown["room"],
            "presence": shown,
            "subscribers": round((shown["count"] or 0) * 0.8),
            "today": today,
        }

    lobby = row(presence("lobby", now["count"], now["low"], now["high"], "sampled", rate=0.25), peak, 1_412)
    rooms = [
        lobby,
        row(presence("morning", 38, 38, 38, "counted"), {**peak, "count": 112}, 207),
        row(presence("library", 12, 9, 14, "stale"), {**peak, "count": 31}, 54),
        row(presence("garden", None, 2, None, "unknown"), None, 0),
    ]
    week = [
        {"hour": hour, "count": usual(hour), "moods": {}, "observed_h": 8.0}
        for hour in range(168)
        if hour != 51
    ]
    totals = dict.fromkeys(COUNTERS, 0) | {
        "joins": 18_204, "reports": 91_377, "reports_shed": 12, "presence_reads": 240_118, "pushes": 8_114_902,
    }  # fmt: skip
    return {
        "now_ms": NOW_MS,
        "started_at_ms": NOW_MS - 9 * 86_400_000,
        "sockets": 241,
        "sockets_max": 19_744,
        "totals": totals,
        "refusals": {"bad_visitor": 14, "over_budget": 12},
        "store": {"kind": "redis", "saved_at_ms": NOW_MS - 23_000, "failures": 0},
        "nodes": [
            {"node": "fra-1:8000", "people": 131, "delta_age_ms": 0, "state": "this server"},
            {"node": "fra-2:8000", "people": 118, "delta_age_ms": 180, "state": "live"},
            {"node": "ams-1:8000", "people": 9, "delta_age_ms": 4_200, "state": "suspect"},
        ],
        "rooms": rooms,
        "room": lobby | {
            "seats": 74,
            "seats_over_quota": 3,
            "prefix_alarm": False,
            "prefixes": [
                {"prefix": "9f02c41e", "seats": 11, "share": 0.143},
                {"prefix": "04d7710b", "seats": 4, "share": 0.052},
                {"prefix": "e81c2a90", "seats": 2, "share": 0.026},
            ],
            "last_day": timeline,
            "week": week,
        },
    }  # fmt: skip
