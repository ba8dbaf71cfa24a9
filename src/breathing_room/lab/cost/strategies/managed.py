"""The same room as a hosted service: each client has a connection to it; most of them bill every delivery."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from breathing_room.lab.cost.crowd import CrowdFigures
from breathing_room.lab.cost.formula import Figure, given
from breathing_room.lab.cost.strategies.sources import BENCH
from breathing_room.lab.cost.strategy import (
    LimitedLoad,
    LoadsOf,
    Reading,
    Reporting,
    Storing,
    Strategy,
    Usage,
    UsageOf,
    builder,
    composed,
    exact,
    knob,
)

PUSH_S: Final = knob(30, "s", "between two pushes to all connections")


# --- What all of them share -------------------------------------------------------------------------------


def pushes(crowd: CrowdFigures, push_s: Figure) -> Figure:
    """Return pushes a month."""
    return (crowd.month / push_s).named("pushes", "a month")


def deliveries(crowd: CrowdFigures, push_s: Figure) -> Figure:
    """Return messages to clients a month."""
    return (crowd.people * pushes(crowd, push_s)).named("deliveries", "a month")


def minutes(crowd: CrowdFigures) -> Figure:
    """Return minutes of connections; the last minute of a visit is billed whole: half a minute too much, on
    average.
    """
    return (crowd.people * crowd.month / 60 + crowd.joins / 2).named("minutes", "a month")


def moods(crowd: CrowdFigures) -> Figure:
    """Return changes of mood a month."""
    return crowd.joins * crowd.moods


def joins_leaves_and_moods(crowd: CrowdFigures) -> Figure:
    """Return the calls of all connections a month: one at each end of a visit, and one for each change of
    mood.
    """
    return crowd.joins * (2 + crowd.moods)


def joins(crowd: CrowdFigures) -> Figure:
    """Return joins a month."""
    return crowd.joins


def quotas(*limits: tuple[str, str, Callable[[CrowdFigures], Figure], str]) -> LoadsOf:
    """Return the loads on limits per second: the key of each, the name and month of its load, and what
    happens above it.
    """

    def loads(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
        del usage, plan
        for key, name, month, then in limits:
            yield key, crowd.per_second(month(crowd), name), then

    return loads


def bought(
    name: str,
    provider: str,
    usage: UsageOf,
    loads: LoadsOf,
    *,
    reports: Callable[[CrowdFigures], Figure] = moods,
    plans: tuple[str, ...] = ("paid",),
    larger_plan: Callable[[CrowdFigures], str] | None = None,
) -> Strategy:
    """Compose a strategy on a hosted service that tracks connections and pushes messages.

    Args:
        name: What it is called.
        provider: Whose service it is.
        usage: What the connections, calls and deliveries take.
        loads: Its quotas.
        reports: The calls of a month.
        plans: The plans that it has.
        larger_plan: The plan for a crowd; None: the last one.
    """
    reporting = Reporting("connections", "every visitor, over a connection", reports, exact)
    reading = Reading("pushed", "pushed by the service", usage)
    return Strategy(
        name=name,
        provider=provider,
        plans=plans,
        larger_plan=larger_plan,
        reporting=reporting,
        storing=Storing("service", "the service knows who is connected"),
        reading=reading,
        usage=composed(reporting, reading.usage),
        loads=loads,
        assumptions=(),
    )


# --- Services ---------------------------------------------------------------------------------------------


@builder
def aws_api_gateway(
    name: str,
    *,
    push_s: Figure = PUSH_S,
    function_ms: Figure = knob(10, "ms", "of a function that handles a message; assumed", zero=True),
    call_ms: Figure = knob(1, "ms", "of a function for each recipient of a push; assumed", zero=True),
    function_gb: Figure = knob("0.128", "GB", "of memory of a function; the least there is"),
) -> Strategy:
    """WebSockets of API Gateway, with Lambda functions and DynamoDB."""

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        handled = reports.named("events", "joins, leaves and moods a month")
        calls = (handled + pushes(crowd, push_s)).named("calls", "of functions a month")
        delivered = deliveries(crowd, push_s)
        busy_ms = calls * function_ms + delivered * call_ms
        return {
            "websocket_messages": delivered + moods(crowd),
            "websocket_minutes": minutes(crowd),
            "lambda_requests": calls,
            "lambda_gb_s": busy_ms / 1_000 * function_gb,
            "dynamodb_writes": handled,
        }

    loads = quotas(
        ("websocket_connects", "connects", joins, "further connects are refused"),
        # There is no multicast: each recipient is a call.
        ("account_calls", "calls", partial(deliveries, push_s=push_s), "pushes are throttled"),
    )
    return bought(name, "aws", usage, loads, reports=joins_leaves_and_moods)


@builder
def aws_appsync(name: str, *, push_s: Figure = PUSH_S) -> Strategy:
    """Channels of AppSync Events; a join is two operations, connect and subscribe."""

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        return {
            "appsync_operations": deliveries(crowd, push_s) + pushes(crowd, push_s) + reports,
            "appsync_minutes": minutes(crowd),
        }

    loads = quotas(
        ("appsync_connects", "connects", joins, "further connects are refused"),
        ("appsync_deliveries", "deliveries", partial(deliveries, push_s=push_s), "deliveries are throttled"),
    )
    return bought(name, "aws", usage, loads, reports=joins_leaves_and_moods)


@builder
def ably(name: str, *, push_s: Figure = PUSH_S) -> Strategy:
    """Channels of Ably, at prices that new accounts no longer get."""

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        return {
            "messages": deliveries(crowd, push_s) + pushes(crowd, push_s) + reports,
            "connection_minutes": minutes(crowd),
        }

    def package(crowd: CrowdFigures) -> str:
        """Return the smallest package that is large enough."""
        a_second = deliveries(crowd, push_s).value / crowd.month.value
        return "standard" if crowd.people.value <= 10_000 and a_second <= 2_500 else "pro"

    def loads(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
        """Return those on the package's limits."""
        of_plan = "" if plan == "standard" else "_pro"
        yield f"connections{of_plan}", crowd.people, "further connections are refused"
        yield f"messages{of_plan}", crowd.per_second(usage["messages"], "messages"), "messages are refused"

    return bought(name, "ably", usage, loads, plans=("standard", "pro"), larger_plan=package)


@builder
def supabase(
    name: str,
    *,
    push_s: Figure = PUSH_S,
    message_bytes: Figure = knob(
        346, "bytes", f"of a message on the wire; 272 measured ({BENCH}), and 74 around it"
    ),
) -> Strategy:
    """Channels of Supabase Realtime."""

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        delivered = deliveries(crowd, push_s)
        return {
            "peak_connections": crowd.people,
            "messages": delivered + pushes(crowd, push_s) + reports,
            "egress_gb": delivered * message_bytes / given(10**9, "GB", "bytes", "by definition"),
        }

    def loads(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
        """Return the loads on limits that are raised on request."""
        del plan
        yield "connections", crowd.people, "further connections are refused"
        yield "messages", crowd.per_second(usage["messages"], "messages"), "clients are disconnected"

    return bought(name, "supabase", usage, loads, plans=("pro",))
