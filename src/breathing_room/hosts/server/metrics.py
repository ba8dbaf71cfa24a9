"""Metrics for Prometheus.

Values are collected per scrape; there is no cost in between.

In a cluster each node has its own metrics, and drift shows in two of them. ``cluster_drift`` is the number of
leases that this node has not published yet: it returns to 0 with every tick. And the sum of ``people`` over
all nodes should equal ``cluster_people`` on each of them::

    sum by (room) (breathing_room_people) - on (room) group_right breathing_room_cluster_people
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from breathing_room.hosts.server.app import App, ServerRoom

COUNTERS = {
    "joins": "Connections that joined a room.",
    "reports": "Reports received over HTTP.",
    "reports_outside": "Reports of visitors who are not in the sample; they are not stored.",
    "reports_shed": "Reports rejected because a room was over its budget; the client is asked to retry later.",
    "presence_reads": "Presences read over HTTP from this server, cache hits excluded.",
    "messages_in": "Messages received over connections.",
    "broadcasts": "Broadcasts of a room.",
    "pushes": "Presences sent for broadcasts, one per subscriber.",
    "answers": "Presences sent in answer to a join or an observe.",
    "snapshots": "Snapshots of rooms saved.",
    "snapshots_failed": "Snapshots of rooms that could not be saved.",
    "histories_failed": "Histories of rooms that could not be saved.",
}
"""The help texts of the totals of ``counters.Counters``."""

ROOM_GAUGES = {
    "people": "Leases of visitors: connected ones, suspect ones included, and seats of the panel.",
    "people_suspect": "Visitors whose lease is suspect: their connection broke, or was lost with a restart.",
    "subscribers": "Connections and event streams that are sent every change.",
    "count": "The published count; absent while it is unknown.",
    "count_raw": "The count as it would be without the limit prefix_seats_max.",
    "sample_rate": "The share of visitors without a connection who are asked to report.",
    "effective_rate": "The lowest sampling rate that a client may still act on.",
    "seats": "Seats of the panel, over-quota seats excluded.",
    "seats_over_quota": "Seats that do not count because their address prefix has reached prefix_seats_max.",
    "prefix_share": "The largest share of all seats, over-quota ones included, that one address prefix has.",
    "prefix_alarm": "1 while an address prefix has reached prefix_seats_max, or has over half of 64 seats or more.",
}
"""The help texts of the gauges of every open room."""

ALARM_SEATS_MIN: Final = 64
"""In a smaller panel a family may have half of the seats.

From this size on that is the default cap of one prefix.
"""


def room_gauges(room: ServerRoom) -> dict[str, float]:
    """Return the values of ``ROOM_GAUGES`` for a room."""
    panel = room.room.panel
    presence = room.presence()
    seats = panel.seat_count + panel.over_quota_count
    largest = panel.largest_prefix_seats
    gauges = {
        "people": room.room.count,
        "people_suspect": room.room.suspect_count,
        "subscribers": len(room.subscribers),
        "sample_rate": panel.rate,
        "effective_rate": panel.theta,
        "seats": panel.seat_count,
        "seats_over_quota": panel.over_quota_count,
        "prefix_share": largest / seats if seats else 0.0,
        "prefix_alarm": largest >= panel.prefix_seats_max
        or (seats >= ALARM_SEATS_MIN and 2 * largest > seats),
    }
    if presence.count is not None:
        estimate, _ = panel.estimate(presence.as_of_ms)
        beyond = panel.raw_estimate(presence.as_of_ms).count - estimate.count
        gauges |= {"count": presence.count, "count_raw": presence.count + max(0, round(beyond))}
    return gauges


def cluster_metrics(host: App) -> Iterator[Metric]:
    """Yield the metrics of a cluster; they have no values on a single server."""
    cluster = host.cluster
    nodes = GaugeMetricFamily(
        "breathing_room_nodes",
        "Other servers of the cluster: live, suspect, or gone (only their seats of panels still count).",
        labels=["state"],
    )
    people = GaugeMetricFamily(
        "breathing_room_cluster_people",
        "Leases of all nodes together, suspect ones included.",
        labels=["room"],
    )
    drift = GaugeMetricFamily(
        "breathing_room_cluster_drift",
        "Leases of this node that it has not published to the cluster yet; 0 after every tick.",
        labels=["room"],
    )
    standby = GaugeMetricFamily(
        "breathing_room_cluster_standby",
        "Visitors with connections here who are counted on another node, where they have connections too.",
        labels=["room"],
    )
    failed = CounterMetricFamily("breathing_room_cluster_ticks_failed", "Ticks that failed because of Redis.")
    messages = CounterMetricFamily("breathing_room_cluster_messages", "Deltas received from the cluster.")
    rejected = CounterMetricFamily(
        "breathing_room_cluster_messages_rejected",
        "Entries of the log that are damaged, or of a later version.",
    )
    size = GaugeMetricFamily(
        "breathing_room_cluster_message_bytes", "The size of the last delta of this node."
    )
    if cluster is not None:
        now_ms = host.clock.now_ms()
        states = {"live": 0, "suspect": 0, "gone": 0}
        for node in cluster.nodes:
            state = (
                "gone" if node.is_gone else "suspect" if cluster.nodes.is_suspect(node, now_ms) else "live"
            )
            states[state] += 1
        for state, count in states.items():
            nodes.add_metric([state], count)
        for name, room in host.rooms.items():
            own = cluster.published_leases.get(name, 0)
            others = sum(summary.leases for node in cluster.nodes if (summary := node.sums.get(name)))
            people.add_metric([name], own + others)
            drift.add_metric([name], room.room.count - own)
            standby.add_metric([name], cluster.standby_count(name))
        failed.add_metric([], cluster.ticks_failed)
        messages.add_metric([], cluster.messages)
        rejected.add_metric([], cluster.messages_rejected)
        size.add_metric([], cluster.message_bytes)
    yield from (nodes, people, drift, standby, failed, messages, rejected, size)


class HostCollector(Collector):
    """Collects the metrics of a host.

    Args:
        host: The host.
    """

    def __init__(self, host: App) -> None:
        self._host = host

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        counters = self._host.counters
        for name, help_text in COUNTERS.items():
            yield CounterMetricFamily(f"breathing_room_{name}", help_text, value=getattr(counters, name))
        publisher = self._host.publisher
        yield CounterMetricFamily(
            "breathing_room_published",
            "Files published.",
            value=publisher.published if publisher else 0,
        )
        yield CounterMetricFamily(
            "breathing_room_publish_failed",
            "Files that could not be published; each is retried.",
            value=publisher.failed if publisher else 0,
        )
        refusals = CounterMetricFamily(
            "breathing_room_refusals", "Errors sent to clients, by code.", labels=["code"]
        )
        for code, count in sorted(counters.refusals.items()):
            refusals.add_metric([code], count)
        yield refusals
        closes = CounterMetricFamily(
            "breathing_room_closes", "Connections closed by the server, by close code.", labels=["code"]
        )
        for close_code, count in sorted(counters.closes.items()):
            closes.add_metric([str(close_code)], count)
        yield closes
        yield GaugeMetricFamily(
            "breathing_room_sockets", "Open connections and event streams.", self._host.connection_count
        )
        yield GaugeMetricFamily(
            "breathing_room_sockets_max", "Connections that may be open at once.", self._host.sockets_max
        )
        gauges = {
            name: GaugeMetricFamily(f"breathing_room_{name}", help_text, labels=["room"])
            for name, help_text in ROOM_GAUGES.items()
        }
        rejected = CounterMetricFamily(
            "breathing_room_seats_rejected",
            "Reports dropped because their address prefix had reached its quota, and the panel its limit of over-quota seats.",
            labels=["room"],
        )
        for name, room in self._host.rooms.items():
            for gauge, value in room_gauges(room).items():
                gauges[gauge].add_metric([name], value)
            rejected.add_metric([name], room.room.panel.rejected_count)
        yield from gauges.values()
        yield rejected
        yield from cluster_metrics(self._host)


def render_metrics(host: App, accept: str) -> tuple[bytes, str]:
    """Encode all metrics.

    Args:
        host: The host.
        accept: The ``Accept`` header of the request; it picks one of two formats.

    Returns:
        The body and its content type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HostCollector(host))
    ProcessCollector(registry=registry)
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type
