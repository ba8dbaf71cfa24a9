"""What an operator can watch of a cluster, from each of its nodes.

Drift shows twice. ``cluster_drift`` is what this node holds and has not told: it goes back to 0 with every tick. And the sum of
``people`` over all nodes is what each of them should have as ``cluster_people``::

    sum by (room) (breathing_room_people) - on (room) group_right breathing_room_cluster_people
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from breathing_room.hosts.server.host import Host


def cluster_metrics(host: Host) -> Iterator[Metric]:
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
            state = "gone" if node.is_gone else "doubtful" if cluster.nodes.is_late(node, now_ms) else "live"
            states[state] += 1
        for state, count in states.items():
            nodes.add_metric([state], count)
        for name, room in host.rooms.items():
            told = cluster.parts_told.get(name, 0)
            others = sum(summary.leases for node in cluster.nodes if (summary := node.sums.get(name)))
            people.add_metric([name], told + others)
            drift.add_metric([name], room.room.count - told)
            parked.add_metric([name], room.part.parked_count if room.part else 0)
        failed.add_metric([], cluster.ticks_failed)
        messages.add_metric([], cluster.messages)
        refused.add_metric([], cluster.messages_refused)
        size.add_metric([], cluster.message_bytes)
    yield from (nodes, people, drift, parked, failed, messages, refused, size)
