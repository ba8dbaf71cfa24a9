"""What an operator can watch, in the format of Prometheus.

The numbers are read when somebody asks; nothing here costs anything in between.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from breathing_room.hosts.server.host import Host

COUNTERS = {
    "joins": "People who came in over a socket.",
    "reports": "Reports of people without a socket.",
    "reports_outside": "Reports of people who are not in the sample; they were answered and forgotten.",
    "messages_in": "Messages that sockets sent.",
    "announcements": "Changes that were told to a room.",
    "pushes": "Announcements times those who were told.",
    "answers": "Presences sent in answer to a join or an observe.",
    "snapshots": "Rooms saved.",
    "snapshots_failed": "Rooms that could not be saved.",
}
"""The plain totals of ``counters.Counters``, each with its help text."""

ROOM_GAUGES = {
    "people": "People counted, silent ones included.",
    "people_silent": "People whose lease is in doubt: their socket broke, a report is overdue, or a restart was.",
    "audience": "Sockets and event streams that are told of every change.",
}
"""The gauges that every open room has."""


class HostCollector(Collector):
    """Reads a host.

    Args:
        host: Whose numbers they are.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        counters = self._host.counters
        for name, help_text in COUNTERS.items():
            yield CounterMetricFamily(f"breathing_room_{name}", help_text, value=getattr(counters, name))
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
            "breathing_room_sockets", "Sockets and event streams open.", self._host.session_count
        )
        yield GaugeMetricFamily(
            "breathing_room_sockets_max", "Sockets that may be open.", self._host.sockets_max
        )
        gauges = {
            name: GaugeMetricFamily(f"breathing_room_{name}", help_text, labels=["room"])
            for name, help_text in ROOM_GAUGES.items()
        }
        for name, room in self._host.rooms.items():
            gauges["people"].add_metric([name], room.room.count)
            gauges["people_silent"].add_metric([name], room.room.silent_count)
            gauges["audience"].add_metric([name], len(room.audience))
        yield from gauges.values()


def render_metrics(host: Host, accept: str) -> tuple[bytes, str]:
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
