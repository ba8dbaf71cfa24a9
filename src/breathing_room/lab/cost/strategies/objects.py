"""Durable Objects with WebSockets."""

from collections.abc import Iterable
from typing import Final

from breathing_room.lab.cost.crowd import CrowdFigures
from breathing_room.lab.cost.formula import Figure, figure, least, up
from breathing_room.lab.cost.strategies.sources import (
    EDGE,
    MEMORY_GB,
    OBJECTS,
    PUSH_ROWS,
    SNAPSHOT_ROWS,
    STATIC,
)
from breathing_room.lab.cost.strategy import (
    Assumption,
    LimitedLoad,
    Reading,
    Reporting,
    Storing,
    Strategy,
    Usage,
    builder,
    composed,
    every,
    exact,
    knob,
)

OBJECTS_MAX: Final = 100
"""Objects that one room of the Worker may have."""


def object_count(people: Figure, *, objects: Figure, sockets: Figure) -> Figure:
    """Return how many objects share a crowd: twice as many each time that they are full, if their number is
    not set.
    """
    if objects.value:
        return objects
    needed = int(up(people / sockets.value).value)
    return figure(min(1 << (needed - 1).bit_length(), OBJECTS_MAX)).named("objects", "")


def sums_interval(sums_s: Figure, push_s: Figure) -> Figure:
    """Return the time between two sums that an object sends to the first of several."""
    return least(sums_s, push_s) if push_s.value else sums_s


@builder
def durable_object(
    name: str,
    *,
    heartbeat_s: Figure = knob(60, "s", "between two messages of a connection; the vendor's example"),
    objects: Figure = knob(
        0, "objects", "that share the crowd; 0: as many as it takes", zero=True, whole=True
    ),
    sockets: Figure = knob(
        10_000,
        "sockets",
        "that an object holds before there are twice as many (sockets_per_object)",
        whole=True,
    ),
    hibernating: bool = knob(True, "", "whether an object hibernates between messages"),
    handler_ms: Figure = knob(
        1, "ms", "to handle a message; measured in workerd: 0.65 (JavaScript) to 3 (Python)", zero=True
    ),
    connect_ms: Figure = knob(1, "ms", "to accept a connection; likewise", zero=True),
    push_s: Figure = knob(30, "s", "between two pushes to all connections; 0: none", zero=True),
    send_us: Figure = knob(20, "us", "to send to one socket; measured in workerd: 16 to 23", zero=True),
    snapshot_s: Figure = knob(
        60, "s", "between two snapshots, each of them a KV write too; 0: none", zero=True
    ),
    sums_s: Figure = knob(
        5,
        "s",
        "between two sums that an object sends to the first of several, or push_s if that is less; 0: never",
        zero=True,
    ),
    closes_billed: bool = knob(False, "", "whether closing a WebSocket is a request"),
) -> Strategy:
    """Each client holds a WebSocket to a Durable Object; several share the crowd where one is too small."""

    def messages(crowd: CrowdFigures) -> Figure:
        """Return messages in; the heartbeats of a client begin at any moment of the minute."""
        sent = crowd.people * crowd.month / heartbeat_s + crowd.joins * crowd.moods
        return sent.named("messages", "a month")

    def sharing(crowd: CrowdFigures) -> Figure:
        return object_count(crowd.people, objects=objects, sockets=sockets)

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        shards = sharing(crowd)
        pushes = every(crowd.month, push_s).named("pushes", "a month and object")
        snapshots = (shards * every(crowd.month, snapshot_s)).named("snapshots", "a month")
        # A snapshot is taken with the next event; where nothing is pushed, an alarm sees to it.
        alarms = ((shards * pushes) if pushes.value else snapshots).named("alarms", "a month")
        sums_rows, sums = figure(0), figure(0)
        if sums_s.value and shards.value > 1:
            # The alarm for sending sums pushes, too.
            often = every(crowd.month, sums_interval(sums_s, push_s))
            alarms = sums_rows = (shards * often).named("alarms", "a month")
            sums = ((shards - 1) * often).named("sums", "a month")
        requests = crowd.joins + reports / 20 + alarms + sums
        if closes_billed:
            requests += crowd.joins
        awake = shards * crowd.month
        if hibernating:
            handling = (reports + 2 * sums) * handler_ms
            handling += crowd.joins * connect_ms
            sending = crowd.people * pushes * send_us / 1_000
            awake = least((handling + sending) / 1_000, awake)
        return {
            "workers_requests": crowd.joins,
            "workers_cpu_ms": crowd.joins * figure(1),
            "object_requests": requests,
            "object_gb_s": MEMORY_GB * awake.named("awake", "s a month"),
            "rows_written": alarms
            + sums_rows
            + PUSH_ROWS * shards * pushes
            + (SNAPSHOT_ROWS + 1) * snapshots,
            "kv_writes": every(crowd.month, snapshot_s),
        }

    def loads(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
        """Return the loads on one object: its WebSockets and messages."""
        del usage, plan
        shards = sharing(crowd)
        connections = (crowd.people / shards).named("sockets", "of an object")
        yield "object_sockets", connections, "further sockets are refused"
        load = (messages(crowd) + crowd.joins) / crowd.month / shards
        yield "object_load", load.named("load", "a second and object"), "requests fail as overloaded"

    reporting = Reporting("sockets", "every visitor, over a WebSocket", messages, exact)
    storing = Storing("objects", "a snapshot every 60 s, to its rows and to KV", usage)
    return Strategy(
        name=name,
        reporting=reporting,
        storing=storing,
        reading=Reading("pushed", "pushed over the socket"),
        usage=composed(reporting, storing.usage),
        loads=loads,
        assumptions=ASSUMPTIONS + ((ALARMS_SLEEP,) if hibernating else ()),
    )


durable_object_awake: Final = durable_object.again("durable-object-awake", hibernating=False)
"""As ``durable-object``, but it never hibernates: WebSockets accepted without the hibernation API, or a
running timer.
"""

ASSUMPTIONS: Final = (
    Assumption("WebSocket auto-responses are not used: every message counts", OBJECTS, "V"),
    Assumption("pushes cost nothing but the time to send them", OBJECTS, "V"),
    Assumption(
        "each push is an alarm, which is a request, and 3 rows; a snapshot is 4 rows and a KV write; all counted in workerd",
        EDGE,
        "V",
    ),
    Assumption(
        "each of several objects has an alarm and two rows for sending sums, and a call of the first one; only that is backed up in KV",
        EDGE,
        "V",
    ),
    Assumption("closing a WebSocket is not a request", OBJECTS, "M", {"closes_billed": True}),
    Assumption("a Worker request that accepts a connection takes 1 ms", "assumed", "M"),
    STATIC,
)
ALARMS_SLEEP: Final = Assumption(
    "a pending alarm does not keep an object awake", OBJECTS, "M", {"hibernating": False}
)
"""An assumption for objects that hibernate."""
