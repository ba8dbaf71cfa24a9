"""What an operator can watch, in the format of Prometheus.

The numbers are read when somebody asks; nothing here costs anything in between.

In a cluster each node has numbers of its own, and drift shows twice. ``cluster_drift`` is what this node holds and has not told: it
goes back to 0 with every tick. And the sum of ``people`` over all nodes is what each of them should have as ``cluster_people``::

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
    "joins": "People who came in over a socket.",
    "reports": "Reports of people without a socket.",
    "reports_outside": "Reports of people who are not in the sample; they were answered and forgotten.",
    "reports_shed": "Reports that came over the budget of a room; they were told to come again.",
    "presence_reads": "Presences that were read from this server and not from a cache.",
    "messages_in": "Messages that sockets sent.",
    "broadcasts": "Changes that were told to a room.",
    "pushes": "Announcements times those who were told.",
    "answers": "Presences sent in answer to a join or an observe.",
    "snapshots": "Rooms saved.",
    "snapshots_failed": "Rooms that could not be saved.",
    "histories_failed": "Averages of rooms that could not be saved.",
}
"""The plain totals of ``counters.Counters``, each with its help text."""

ROOM_GAUGES = {
    "people": "People counted, silent ones included.",
    "people_silent": "People whose lease is in doubt: their socket broke, a report is overdue, or a restart was.",
    "subscribers": "Sockets and event streams that are told of every change.",
    "count": "The count that is published; missing while nobody knows it.",
    "count_raw": "What it would be if no address prefix were held to prefix_seats_max.",
    "rate": "The share of visitors without a socket who are asked to report.",
    "theta": "The lowest rate that any visitor may still be acting on.",
    "seats": "Seats of the panel that count, or will.",
    "seats_capped": "Seats that do not count, for their address prefix has its share.",
    "prefix_share": "The share of all seats, capped ones too, that one address prefix has, the largest of them.",
    "prefix_alarm": "1 while one address prefix has as many seats as it may, or of 64 seats or more over half.",
}
"""The gauges that every open room has."""

ALARM_SEATS_MIN: Final = 64
"""In a smaller panel half of the seats is a family. From here on it is what the default cap takes for a script."""


def room_gauges(room: ServerRoom) -> dict[str, float]:
    """Read the gauges of a room, by the names of ``ROOM_GAUGES``."""
    panel = room.room.panel
    presence = room.presence()
    seats = panel.seat_count + panel.over_quota_count
    largest = panel.largest_prefix_seats
    gauges = {
        "people": room.room.count,
        "people_silent": room.room.suspect_count,
        "subscribers": len(room.subscribers),
        "rate": panel.rate,
        "theta": panel.theta,
        "seats": panel.seat_count,
        "seats_capped": panel.over_quota_count,
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
    """Yield every metric of a cluster; without values where the server is alone."""
    cluster = host.cluster
    nodes = GaugeMetricFamily(
        "breathing_room_nodes",
        "Other servers that hold rooms together with this one: live, in doubt, or gone but for seats of the panel.",
        labels=["state"],
    )
    people = GaugeMetricFamily(
        "breathing_room_cluster_people",
        "Leases that all nodes tell of, those in doubt included.",
        labels=["room"],
    )
    drift = GaugeMetricFamily(
        "breathing_room_cluster_drift",
        "Leases held here less those that the others were told of; 0 after every tick.",
        labels=["room"],
    )
    parked = GaugeMetricFamily(
        "breathing_room_cluster_parked",
        "Visitors with sockets here who are counted on another node, for they have sockets there too.",
        labels=["room"],
    )
    failed = CounterMetricFamily("breathing_room_cluster_ticks_failed", "Ticks that Redis did not answer.")
    messages = CounterMetricFamily("breathing_room_cluster_messages", "Messages of nodes that were heard.")
    refused = CounterMetricFamily(
        "breathing_room_cluster_messages_refused",
        "Entries of the log that were damaged, or of a later version.",
    )
    size = GaugeMetricFamily(
        "breathing_room_cluster_message_bytes", "The size of the last message of this node."
    )
    if cluster is not None:
        now_ms = host.clock.now_ms()
        states = {"live": 0, "doubtful": 0, "gone": 0}
        for node in cluster.nodes:
            state = (
                "gone" if node.is_gone else "doubtful" if cluster.nodes.is_suspect(node, now_ms) else "live"
            )
            states[state] += 1
        for state, count in states.items():
            nodes.add_metric([state], count)
        for name, room in host.rooms.items():
            told = cluster.published_leases.get(name, 0)
            others = sum(summary.leases for node in cluster.nodes if (summary := node.sums.get(name)))
            people.add_metric([name], told + others)
            drift.add_metric([name], room.room.count - told)
            parked.add_metric([name], cluster.standby_count(name))
        failed.add_metric([], cluster.ticks_failed)
        messages.add_metric([], cluster.messages)
        refused.add_metric([], cluster.messages_refused)
        size.add_metric([], cluster.message_bytes)
    yield from (nodes, people, drift, parked, failed, messages, refused, size)


class HostCollector(Collector):
    """Reads a host.

    Args:
        host: Whose numbers they are.
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
            "Files that were published.",
            value=publisher.published if publisher else 0,
        )
        yield CounterMetricFamily(
            "breathing_room_publish_failed",
            "Files that could not be published; each is tried again.",
            value=publisher.failed if publisher else 0,
        )
        refusals = CounterMetricFamily(
            "breathing_room_refusals", "Errors that clients were told of, by code.", labels=["code"]
        )
        for code, count in sorted(counters.refusals.items()):
            refusals.add_metric([code], count)
        yield refusals
        closes = CounterMetricFamily(
            "breathing_room_closes", "Sockets that the server closed, by close code.", labels=["code"]
        )
        for close_code, count in sorted(counters.closes.items()):
            closes.add_metric([str(close_code)], count)
        yield closes
        yield GaugeMetricFamily(
            "breathing_room_sockets", "Sockets and event streams open.", self._host.connection_count
        )
        yield GaugeMetricFamily(
            "breathing_room_sockets_max", "Sockets that may be open.", self._host.sockets_max
        )
        gauges = {
            name: GaugeMetricFamily(f"breathing_room_{name}", help_text, labels=["room"])
            for name, help_text in ROOM_GAUGES.items()
        }
        refused = CounterMetricFamily(
            "breathing_room_seats_refused",
            "Reports that were forgotten: their address prefix had its share, and the panel as many capped seats as it keeps.",
            labels=["room"],
        )
        for name, room in self._host.rooms.items():
            for gauge, value in room_gauges(room).items():
                gauges[gauge].add_metric([name], value)
            refused.add_metric([name], room.room.panel.rejected_count)
        yield from gauges.values()
        yield refused
        yield from cluster_metrics(self._host)


def render_metrics(host: App, accept: str) -> tuple[bytes, str]:
    """Write all metrics.

    Args:
        host: Whose they are.
        accept: The header of the request; it chooses between two formats.

    Returns:
        The body and its content type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HostCollector(host))
    ProcessCollector(registry=registry)
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type
