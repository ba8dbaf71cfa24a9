"""What an operator can watch of a cluster, from each of its nodes."""

from types import SimpleNamespace
from typing import Any

from breathing_room.core.cluster import Message, Nodes, Part
from breathing_room.core.estimate.coin import CoinSums
from breathing_room.core.estimate.panel import PanelSums
from breathing_room.core.summary import Summary
from breathing_room.hosts.server.cluster_metrics import cluster_metrics

NOW_MS = 1_767_268_800_000


def a_part(people: int, seats: int = 0) -> Part:
    panel = PanelSums(tally=(seats,), restored_tally=(0,), seats=seats)
    coins = CoinSums(repeats=(0,), weights=(0,))
    return Part(summary=Summary(people=(people,), silent=(0,), panel=panel, coins=coins))


def a_host(**ages_ms: int) -> Any:
    """A host that holds five leases of a room, and has told of three; others hold four connections and a seat each."""
    nodes = Nodes(("own", 0), late_ms=5_000, seat_lease_ms=600_000, now_ms=NOW_MS)
    for number, (name, age_ms) in enumerate(ages_ms.items(), start=1):
        message = Message(node=(name, 1), lease_ms=20_000, parts={"lobby": a_part(4, seats=1)})
        nodes.hear(message, (number, 0), heard_at_ms=NOW_MS - age_ms, now_ms=NOW_MS)
    nodes.hear(Message(node=("own", 0), lease_ms=20_000), (99, 0), heard_at_ms=NOW_MS, now_ms=NOW_MS)
    nodes.lapse(NOW_MS)
    room = SimpleNamespace(room=SimpleNamespace(count=5), part=SimpleNamespace(parked_count=2))
    cluster = SimpleNamespace(
        nodes=nodes,
        parts_told={"lobby": 3},
        ticks_failed=1,
        messages=7,
        messages_refused=2,
        message_bytes=150,
    )
    return SimpleNamespace(
        cluster=cluster, clock=SimpleNamespace(now_ms=lambda: NOW_MS), rooms={"lobby": room}
    )


def values_of(host: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """Read the values by metric and labels."""
    return {
        metric.name.removeprefix("breathing_room_"): {
            tuple(sample.labels.values()): sample.value for sample in metric.samples
        }
        for metric in cluster_metrics(host)
    }


def test_nodes_are_counted_by_their_state() -> None:
    """A node is live, in doubt once it is late, and gone after its lease, as long as seats of it are left."""
    values = values_of(a_host(a=0, b=4_000, c=9_000, d=30_000))
    assert values["nodes"] == {("live",): 2, ("doubtful",): 1, ("gone",): 1}


def test_what_was_not_sent_yet_is_drift() -> None:
    """The people of the cluster are those that were announced, own and others', and drift is what is held beyond the announced."""
    values = values_of(a_host(a=0, d=30_000))
    assert values["cluster_people"] == {("lobby",): 3 + 5 + 1}
    assert values["cluster_drift"] == {("lobby",): 2}
    assert values["cluster_parked"] == {("lobby",): 2}


def test_messages_and_failures_are_counted() -> None:
    """Ticks that failed, messages read and refused and the size of our own are there without labels."""
    values = values_of(a_host())
    names = ("cluster_ticks_failed", "cluster_messages", "cluster_messages_refused", "cluster_message_bytes")
    assert [values[name][()] for name in names] == [1, 7, 2, 150]


def test_a_server_alone_names_its_metrics_without_values() -> None:
    """A server without a cluster has the same metrics, all of them empty, so that no dashboard shows a wrong 0."""
    values = values_of(SimpleNamespace(cluster=None))
    assert values.keys() == values_of(a_host()).keys()
    assert all(not found for found in values.values())
