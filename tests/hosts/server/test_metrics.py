"""What an operator can watch."""

import json
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from breathing_room.core.estimate.legacy_sampling import LegacySums
from breathing_room.core.estimate.panel import PanelSums
from breathing_room.core.replication.delta import Delta, RoomDelta
from breathing_room.core.replication.membership import Membership
from breathing_room.core.summary import Summary
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.metrics import cluster_metrics
from harness import Serve
from inside import client_of, host_inside
from raw_websocket import RawSocket, await_presence, encode_frame, get_presence, join, observe

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Samples:
    """Read metrics in the text format: values by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Find one value, 0 for a code that never came up."""
    return samples.get((f"breathing_room_{name}", frozenset(labels.items())), 0)


def test_numbers_are_right(serve: Serve) -> None:
    """After a small scenario every metric has the value that an observer of it would count."""
    server = serve("--push-ms", "20", "--grace-ms", "60000", "--snapshot-ms", "100")
    port = server.port
    ann, bob, eve = (join(port, visitor=f"visitor-{name}-0123") for name in ("ann", "bob", "eve"))
    watcher = observe(port)
    with RawSocket(port) as client:
        for _ in range(2):
            client.request("POST", "/v1/rooms/lobby/heartbeat", {"visitor": "visitor-http-0123"})
        client.request("POST", "/v1/rooms/lobby/heartbeat", {"visitor": "short"})
        client.request(
            "POST", "/v1/rooms/lobby/heartbeat", {"visitor": "visitor-http-0123", "mood": "no such"}
        )
    ann.send_text("nonsense")
    ann.receive_error()
    bob.send(encode_frame(2, b"binary"))
    assert bob.read_close().close_code == 1003
    eve.send_message("leave")
    eve.read_close(answer=True)
    await_presence(port, "lobby", lambda presence: bool((presence["low"], presence["high"]) == (2, 3)))

    with RawSocket(port) as client:
        response = client.request("GET", "/metrics")
    assert response.headers["cache-control"] == "no-store"
    samples = read(response.body.decode())
    assert value(samples, "joins_total") == 3
    assert value(samples, "reports_total") == 2
    assert value(samples, "messages_in_total") == 6  # three joins, an observe, nonsense, a leave
    assert value(samples, "refusals_total", code="bad_visitor") == 1
    assert value(samples, "refusals_total", code="unknown_mood") == 1
    assert value(samples, "refusals_total", code="bad_json") == 1
    assert value(samples, "closes_total", code="1003") == 1
    assert value(samples, "closes_total", code="1000") == 1
    assert value(samples, "people", room="lobby") == 3
    assert value(samples, "people_suspect", room="lobby") == 1
    assert value(samples, "subscribers", room="lobby") == 2
    assert value(samples, "sockets") == 2
    assert value(samples, "sockets_max") > 100
    assert value(samples, "answers_total") <= 4
    assert value(samples, "pushes_total") >= value(samples, "broadcasts_total") > 0
    assert value(samples, "snapshots_failed_total") == 0
    assert ("process_resident_memory_bytes", frozenset()) in samples
    for client in (ann, bob, eve, watcher):
        client.tcp.close()


def test_event_streams_are_sockets_too(serve: Serve) -> None:
    """Who listens to an event stream takes a place like a socket, and gives it back."""
    server = serve("--push-ms", "20")

    def sockets() -> float:
        with RawSocket(server.port) as client:
            return value(read(client.request("GET", "/metrics").body.decode()), "sockets")

    with RawSocket(server.port) as listener:
        listener.send(b"GET /v1/rooms/lobby/events HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"event: presence" not in listener.buffer:
            assert listener.read_more(time.monotonic() + 5)
        assert sockets() == 1
    get_presence(server.port)
    for _ in range(100):
        if not sockets():
            break
    assert sockets() == 0


async def fetch(host: App, accept: str | None = None) -> httpx.Response:
    """Request the metrics."""
    async with client_of(host) as client:
        return await client.get("/metrics", headers={} if accept is None else {"accept": accept})


async def test_both_formats_are_spoken() -> None:
    """
    The text format is the default, and who asks for OpenMetrics gets that; both are what their parsers take.
    """
    async with host_inside() as host:
        text = await fetch(host)
        assert text.headers["content-type"].startswith("text/plain; version=")
        assert read(text.text)
        open_metrics = await fetch(host, "application/openmetrics-text; version=1.0.0")
        assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
        names = {family.name for family in parse_openmetrics(open_metrics.text)}  # type: ignore[no-untyped-call]
        assert {"breathing_room_joins", "breathing_room_people", "breathing_room_sockets_max"} <= names


async def test_every_metric_says_what_it_is() -> None:
    """Each has a help text of a sentence, a type, and our prefix or that of the process."""
    async with host_inside() as host:
        families = list(parse_text((await fetch(host)).text))
    for family in families:
        assert family.name.startswith(("breathing_room_", "process_"))
        assert family.type in {"counter", "gauge"}
        assert family.documentation.endswith(".") or family.name.startswith("process_")


async def test_closed_room_leaves_no_metric() -> None:
    """A room that was closed for being idle is not there any more."""
    async with host_inside() as host, client_of(host) as client:
        await client.post("/v1/rooms/other/heartbeat", json={"visitor": "visitor-0123456789"})
        assert 'room="other"' in (await fetch(host)).text
        await client.post("/v1/rooms/other/leave", json={"visitor": "visitor-0123456789"})
        await host._close_idle_rooms()
        assert 'room="other"' not in (await fetch(host)).text
        assert 'room="lobby"' in (await fetch(host)).text


@pytest.mark.parametrize("code", ["bad_room", "not_found", "wrong_method"])
async def test_refusals_of_every_kind_are_counted(code: str) -> None:
    """An error counts once, wherever in the server it arises."""
    request = {
        "bad_room": ("GET", "/v1/rooms/BAD"),
        "not_found": ("GET", "/nothing/here"),
        "wrong_method": ("DELETE", "/v1/rooms/lobby"),
    }[code]
    async with host_inside() as host, client_of(host) as client:
        answer = await client.request(*request)
        assert json.loads(answer.text)["error"]["code"] == code
        assert value(read((await fetch(host)).text), "refusals_total", code=code) == 1


async def scrape(host: App) -> Samples:
    """Read the metrics of the default format."""
    return read((await fetch(host)).text)


async def reports(host: App, address: str, numbers: range) -> None:
    """Have visitors report who come from one address."""
    async with client_of(host, address=address) as client:
        for number in numbers:
            body = {"visitor": f"visitor-{number:012}"}
            assert (await client.post("/v1/rooms/lobby/heartbeat", json=body)).status_code == 200


async def test_forgers_raise_the_alarm() -> None:
    """
    Of a hundred reports from one prefix as many are counted as it may have; the operator sees both counts,
    who was left out, how large the share of that prefix is, and an alarm.
    """
    async with host_inside() as host:
        await reports(host, "10.0.0.7", range(30))  # a private network, which has no cap
        before = await scrape(host)
        assert value(before, "prefix_alarm", room="lobby") == value(before, "prefix_share", room="lobby") == 0
        await reports(host, "203.0.113.9", range(100, 200))
        assert host.presence("lobby").count == 94
        samples = await scrape(host)
    seen = {
        name: value(samples, name, room="lobby")
        for name in (
            "count",
            "count_raw",
            "seats",
            "seats_over_quota",
            "prefix_share",
            "prefix_alarm",
            "sample_rate",
            "effective_rate",
        )
    }
    assert seen == {
        "count": 94,
        "count_raw": 130,
        "seats": 94,
        "seats_over_quota": 36,
        "prefix_share": pytest.approx(100 / 130),
        "prefix_alarm": 1,
        "sample_rate": 1,
        "effective_rate": 1,
    }
    assert value(samples, "seats_rejected_total", room="lobby") == 0


@pytest.mark.parametrize(
    ("one", "others", "alarm"),
    [(9, 0, 0), (33, 30, 0), (33, 31, 1), (32, 32, 0), (40, 60, 0), (64, 100, 1), (63, 100, 0)],
)
async def test_alarm_is_for_a_prefix_that_dominates(one: int, others: int, alarm: int) -> None:
    """
    The alarm rings when one prefix has all the seats that it may, or over half of 64 or more; in a smaller
    panel half of the seats is a family.
    """
    async with host_inside() as host:
        await reports(host, "203.0.113.9", range(one))
        for number in range(others):
            await reports(host, f"198.51.100.{number + 1}", range(1_000 + number, 1_001 + number))
        assert value(await scrape(host), "prefix_alarm", room="lobby") == alarm


async def test_rejected_seats_are_counted() -> None:
    """
    When the panel keeps as many over-quota seats as it is meant to have in all, further ones are rejected,
    and counted.
    """
    async with host_inside(panel_size=5, prefix_seats_max=2) as host:
        await reports(host, "203.0.113.9", range(10))
        samples = await scrape(host)
    assert value(samples, "seats", room="lobby") == 2
    assert value(samples, "seats_over_quota", room="lobby") == 5
    assert value(samples, "seats_rejected_total", room="lobby") == 3


async def test_reads_at_the_origin_are_counted() -> None:
    """
    A presence that was read here counts once, by either path, also when the answer is that nothing changed;
    configs do not.
    """
    async with host_inside() as host, client_of(host) as client:
        first = await client.get("/v1/rooms/lobby")
        await client.get("/v1/rooms/lobby", headers={"If-None-Match": first.headers["etag"]})
        await client.get("/api/presence")
        await client.get("/v1/rooms/lobby/config")
        assert value(await scrape(host), "presence_reads_total") == 3


async def test_unknown_count_is_missing() -> None:
    """While the count is unknown the metric is absent, and no other number stands in for it."""
    async with host_inside() as host:
        host._unknown_until_ms = host.clock.now_ms() + 60_000
        host.enter("other", address=None, forwarded_for=None)
        text = (await fetch(host)).text
    assert 'breathing_room_count{room="lobby"} 0.0' in text
    assert 'breathing_room_people{room="other"} 0.0' in text
    assert 'breathing_room_count{room="other"}' not in text
    assert 'breathing_room_count_raw{room="other"}' not in text


# --- Of a cluster -----------------------------------------------------------------------------------------

NOW_MS = 1_767_268_800_000


def a_part(people: int, seats: int = 0) -> RoomDelta:
    panel = PanelSums(tally=(seats,), restored_tally=(0,), seats=seats)
    legacy = LegacySums(repeats=(0,), weights=(0,))
    return RoomDelta(summary=Summary(members=(people,), suspect=(0,), panel=panel, legacy=legacy))


def a_host(**ages_ms: int) -> Any:
    """A host that holds five leases of a room, and has published three; others hold four connections and a
    seat each.
    """
    nodes = Membership(("own", 0), suspect_after_ms=5_000, seat_lease_ms=600_000, now_ms=NOW_MS)
    for number, (name, age_ms) in enumerate(ages_ms.items(), start=1):
        message = Delta(sender=(name, 1), lease_ms=20_000, rooms={"lobby": a_part(4, seats=1)})
        nodes.receive(message, (number, 0), received_at_ms=NOW_MS - age_ms, now_ms=NOW_MS)
    nodes.receive(Delta(sender=("own", 0), lease_ms=20_000), (99, 0), received_at_ms=NOW_MS, now_ms=NOW_MS)
    nodes.expire(NOW_MS)
    room = SimpleNamespace(room=SimpleNamespace(count=5))
    cluster = SimpleNamespace(
        standby_count=lambda _name: 2,
        nodes=nodes,
        published_leases={"lobby": 3},
        ticks_failed=1,
        messages=7,
        messages_rejected=2,
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
    """A node is live, suspect once it is late, and gone after its lease, as long as seats of it are left."""
    values = values_of(a_host(a=0, b=4_000, c=9_000, d=30_000))
    assert values["nodes"] == {("live",): 2, ("suspect",): 1, ("gone",): 1}


def test_unpublished_leases_are_drift() -> None:
    """The people of the cluster are those that were published, own and others', and drift is what is held
    beyond that.
    """
    values = values_of(a_host(a=0, d=30_000))
    assert values["cluster_people"] == {("lobby",): 3 + 5 + 1}
    assert values["cluster_drift"] == {("lobby",): 2}
    assert values["cluster_standby"] == {("lobby",): 2}


def test_messages_and_failures_are_counted() -> None:
    """Ticks that failed, messages read and refused and the size of our own are there without labels."""
    values = values_of(a_host())
    names = ("cluster_ticks_failed", "cluster_messages", "cluster_messages_rejected", "cluster_message_bytes")
    assert [values[name][()] for name in names] == [1, 7, 2, 150]


def test_a_server_alone_names_its_metrics_without_values() -> None:
    """A server without a cluster has the same metrics, all of them empty, so that no dashboard shows a wrong
    0.
    """
    values = values_of(SimpleNamespace(cluster=None))
    assert values.keys() == values_of(a_host()).keys()
    assert all(not found for found in values.values())
