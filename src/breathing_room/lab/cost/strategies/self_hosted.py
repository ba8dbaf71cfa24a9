"""One machine with ``breathing-room serve``: over WebSockets, or behind nginx."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from breathing_room.lab.cost.crowd import CrowdFigures
from breathing_room.lab.cost.formula import Figure, exp, figure, given, most
from breathing_room.lab.cost.strategies.sources import BENCH, HEARTBEAT_S, PANEL, POLL_S
from breathing_room.lab.cost.strategy import (
    Assumption,
    Builder,
    LimitedLoad,
    LoadsOf,
    Reading,
    Reporting,
    Storing,
    Strategy,
    Usage,
    builder,
    composed,
    exact,
    fixed_panel,
    knob,
    no_loads,
    panel_share,
)

ASSUMPTIONS: Final = (
    Assumption("memory, CPU and bytes are those of the benchmark, on another machine", BENCH, "V"),
    Assumption("the machine has to be maintained; while it is down there is no count", "by its nature", "V"),
)


# --- Machines ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that is rented, and how its provider bills it.

    Attributes:
        provider: Who rents it out.
        usage: What it takes, however much it is used.
        egress: The item of what is sent.
        unit: The unit of that item.
        unit_bytes: Bytes in it.
    """

    provider: str
    usage: Callable[[], Usage]
    egress: str
    unit: str
    unit_bytes: int

    def sending(self, egress: Figure) -> Usage:
        """Return the usage of so many bytes a month."""
        return {self.egress: egress / given(self.unit_bytes, self.unit, "bytes", "by definition")}


def _day_and_night() -> Usage:
    hours = given(730, "machine_hours", "a month", "365 x 24 / 12")
    return {"machine_hours": hours, "ipv4_hours": hours}


HETZNER: Final = Machine(
    "hetzner", lambda: {"machines": figure(1), "ipv4": figure(1)}, "egress_tb", "TB", 10**12
)
EC2: Final = Machine("aws", _day_and_night, "egress_gb", "GB", 10**9)


def on_a_machine(
    name: str, machine: Machine, reporting: Reporting, reading: Reading, loads: LoadsOf = no_loads
) -> Strategy:
    """Compose a strategy that stores in a file, which costs nothing beside the machine."""
    storing = Storing("file", "a snapshot every 10 s, to a file", lambda _, __: machine.usage())
    return Strategy(
        name=name,
        provider=machine.provider,
        plans=("paid",),
        reporting=reporting,
        storing=storing,
        reading=reading,
        usage=composed(reporting, storing.usage, reading.usage),
        loads=loads,
        assumptions=ASSUMPTIONS,
    )


def in_bytes(sent: Figure, message_bytes: Figure, wire_bytes: Figure) -> Figure:
    """Return the bytes of so many messages."""
    return (sent * (message_bytes + wire_bytes)).named("egress", "bytes a month")


# --- Sockets ----------------------------------------------------------------------------------------------


def changes(crowd: CrowdFigures) -> Figure:
    """Return the changes of the number in a month.

    A socket that ends without a leave is suspect first, and removed when the grace is over: two changes.
    """
    return crowd.joins * (3 + crowd.moods - crowd.leaves)


def broadcasts(crowd: CrowdFigures, reports: Figure, push_s: Figure, pushes_per_s: Figure) -> Figure:
    """Return broadcasts a month: a change is sent at once, and those within the shortest interval after it
    together at its end.
    """
    changing = crowd.per_second(reports, "changes")
    apart = most(push_s, crowd.people / pushes_per_s).named("apart", "s, at least")
    # The probability that nothing changed meanwhile, times the wait for the next change.
    idle = exp(0 - changing * apart) / changing
    return (crowd.month / (apart + idle)).named("broadcasts", "a month")


def over_sockets(
    machine: Machine,
    name: str,
    *,
    push_s: Figure = knob(1, "s", "between two broadcasts, at least (push_ms)"),
    pushes_per_s: Figure = knob(20_000, "a second", "messages that broadcasts may cost (pushes_per_s)"),
    message_bytes: Figure = knob(272, "bytes", f"of a broadcast message; measured ({BENCH})"),
    wire_bytes: Figure = knob(
        74, "bytes", "of IP, TCP and TLS around a message; computed: 20 + 32 + 22", zero=True
    ),
    person_bytes: Figure = knob(1_896, "bytes", f"of memory of a connection; measured ({BENCH})"),
    message_us: Figure = knob("8.97", "us", f"of CPU of a message; measured ({BENCH})"),
    join_us: Figure = knob(172, "us", f"of CPU of a join; measured ({BENCH})"),
) -> Strategy:
    """Each client holds a WebSocket to one machine."""

    def sent(crowd: CrowdFigures, reports: Figure) -> Figure:
        """Return messages to clients: every broadcast to all, and an answer to each join."""
        pushed = broadcasts(crowd, reports, push_s, pushes_per_s) * crowd.people
        return (pushed + crowd.joins).named("sent", "messages a month")

    def loads(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
        """Return the loads on memory and core of the machine."""
        del usage, plan
        yield "memory", (crowd.people * person_bytes).named("memory", "bytes"), "connections are refused"
        busy_us = sent(crowd, changes(crowd)) * message_us + crowd.joins * join_us
        busy = (busy_us / 1_000_000 / crowd.month).named("busy", "cores")
        yield "core", busy, "broadcasts are late"

    reporting = Reporting("sockets", "every visitor, over a WebSocket", changes, exact)
    reading = Reading(
        "pushed",
        "pushed over the socket",
        lambda crowd, reports: machine.sending(in_bytes(sent(crowd, reports), message_bytes, wire_bytes)),
    )
    return on_a_machine(name, machine, reporting, reading, loads)


self_hosted: Final = Builder("self-hosted", partial(over_sockets, HETZNER))
"""One machine, and a WebSocket for each client."""

self_hosted_ec2: Final = Builder("self-hosted-ec2", partial(over_sockets, EC2))
"""The same on a machine of AWS, where what is sent is billed, and which runs day and night."""


# --- Behind nginx -----------------------------------------------------------------------------------------


@builder
def self_hosted_polled(
    name: str,
    *,
    panel: Figure = PANEL,
    heartbeat_s: Figure = HEARTBEAT_S,
    poll_s: Figure = POLL_S,
    message_bytes: Figure = knob(
        735,
        "bytes",
        "of an answer with its headers, of a million people; 630 measured with curl in an empty room",
    ),
    wire_bytes: Figure = knob(
        250, "bytes", "of IP, TCP and TLS around an answer on an open connection; assumed", zero=True
    ),
) -> Strategy:
    """A panel reports to one machine behind nginx, whose cache answers all polls.

    No limit is known: the capacity of nginx was not measured.
    """

    def sent(crowd: CrowdFigures) -> Figure:
        """Return answers.

        An answer to a report is a presence, so the next poll is due later: by half an interval, on average.
        """
        each = crowd.reports_per_visit(heartbeat_s, mood_renews=True)
        members = (panel_share(panel, crowd) * crowd.joins).named("members", "of the panel join a month")
        spared = (members * (each - 1 - crowd.leaves) / 2).named("spared", "polls a month")
        return (crowd.polls(poll_s) - spared + members * each).named("sent", "answers a month")

    reading = Reading(
        "own-cache",
        "polls, answered by nginx's cache",
        lambda crowd, _: HETZNER.sending(in_bytes(sent(crowd), message_bytes, wire_bytes)),
    )
    return on_a_machine(name, HETZNER, fixed_panel(panel, heartbeat_s), reading)
