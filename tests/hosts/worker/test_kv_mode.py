"""Rooms with the backend KV, store mode in workerd: a panel of polling clients, and ``reconcile`` run by the
cron.
"""

import asyncio
import secrets
from typing import Any

import pytest

from breathing_room.testing.host_context import ask, expect_refusal
from hosts.worker.conftest import TIMES, Start
from hosts.worker.platform_fakes import Service
from hosts.worker.runtime import Runtime

pytestmark = pytest.mark.timeout(300)  # Python starts twice.

KV_MODE = TIMES | {"BREATHING_ROOM_MODE": "poll", "BREATHING_ROOM_BACKEND": "kv"}
ROOM = "/v1/rooms/lobby"
PEOPLE = 12


async def presence(worker: Runtime) -> dict[str, Any]:
    return (await ask(worker.url, "GET", ROOM)).json()


async def heartbeat(worker: Runtime, visitor: str, **more: Any) -> dict[str, Any]:
    return (await ask(worker.url, "POST", f"{ROOM}/heartbeat", {"visitor": visitor, **more})).json()


async def cron(worker: Runtime) -> None:
    assert (await ask(worker.cron_url, "GET", "/")).body == b"ok"


async def test_a_room_in_kv_is_counted_and_then_moves_into_an_object(start: Start, kv: Service) -> None:
    """
    Before ``reconcile`` ran no visitor is counted; then each report is one write, leaves count, connections
    and legacy sampling are refused; and an object that is deployed over the same KV goes on with the visitors
    and their moods, and with the count in its interval.
    """
    services = {"KV": f"kvNamespace {kv.address}"}
    worker = start(KV_MODE, services=services)
    assert (await presence(worker))["method"] == "unknown"
    await expect_refusal(
        ask(worker.url, "POST", f"{ROOM}/heartbeat", {"visitor": "v" * 22}), "unavailable", 503
    )
    await cron(worker)

    visitors = [secrets.token_urlsafe(16) for _ in range(PEOPLE)]
    writes = kv.calls["write"]
    for visitor in visitors:
        assert (await heartbeat(worker, visitor, mood="release"))["sample_rate"] == 1
    assert kv.calls["write"] == writes + PEOPLE
    await heartbeat(worker, visitors[0], mood="gratitude")
    await ask(worker.url, "POST", f"{ROOM}/leave", {"visitor": visitors[-1]})
    seen = await presence(worker)
    assert (seen["count"], seen["method"]) == (PEOPLE - 1, "counted")
    assert (seen["moods"]["release"], seen["moods"]["gratitude"]) == (PEOPLE - 2, 1)
    for path in ("/socket", "/events", "/history"):
        await expect_refusal(ask(worker.url, "GET", f"{ROOM}{path}"), "not_found", 404)
    await expect_refusal(ask(worker.url, "POST", "/api/heartbeat", b"{}"), "cannot_count", 501)
    assert (await ask(worker.url, "GET", f"{ROOM}/config")).json()["mode"] == "poll"
    await cron(worker)
    kv.failing = True
    await expect_refusal(
        ask(worker.url, "POST", f"{ROOM}/heartbeat", {"visitor": visitors[0]}), "unavailable", 503
    )
    kv.failing = False

    over = start(TIMES | {"BREATHING_ROOM_MODE": "poll"}, services=services)
    both = await asyncio.gather(presence(worker), presence(over))
    for seen in both:
        assert seen["low"] <= PEOPLE - 1 <= seen["high"], seen
        assert (seen["count"], seen["moods"]["release"], seen["moods"]["gratitude"]) == (
            PEOPLE - 1,
            PEOPLE - 2,
            1,
        )
    # A visitor who reports to either of them meanwhile is counted once.
    seen = await heartbeat(over, visitors[0])
    assert (seen["count"], seen["moods"]["gratitude"]) == (PEOPLE - 1, 1)
    await ask(over.url, "POST", f"{ROOM}/leave", {"visitor": visitors[0]})
    assert (await presence(over))["count"] == PEOPLE - 2
    assert over.lines == []


async def test_an_object_collects_what_is_reported(start: Start, kv: Service) -> None:
    """
    With the policy ``bucketed`` many reports are one write some seconds later, which includes leaves; each
    report is answered with all before it; and while KV cannot be read, reports are refused instead of
    counted.
    """
    services = {"KV": f"kvNamespace {kv.address}"}
    worker = start(
        KV_MODE | {"BREATHING_ROOM_POLICY": "bucketed", "BREATHING_ROOM_BUCKET_MS": "3000"}, services=services
    )
    await cron(worker)
    visitors = [secrets.token_urlsafe(16) for _ in range(PEOPLE)]
    writes = kv.calls["write"]
    for number, visitor in enumerate(visitors, 1):
        seen = await heartbeat(worker, visitor, mood="release")
        assert (seen["sample_rate"], seen["count"]) == (1, number)
    await ask(worker.url, "POST", f"{ROOM}/leave", {"visitor": visitors[-1]})
    async with asyncio.timeout(30):
        while (await presence(worker))["count"] != PEOPLE - 1:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.1)
    seen = await presence(worker)
    assert (seen["method"], seen["moods"]["release"]) == ("counted", PEOPLE - 1)
    # One batch, and on a busy machine some more; a write for each report would be one more than there are
    # visitors.
    batches = kv.calls["write"] - writes
    assert batches <= PEOPLE // 2
    assert batches == len([key for key in kv.values if key.startswith("reports/lobby/")])
    await asyncio.sleep(1.1)  # The presence that was read is not kept any longer.
    kv.failing = True
    await expect_refusal(
        ask(worker.url, "POST", f"{ROOM}/heartbeat", {"visitor": visitors[0]}), "unavailable", 503
    )
    kv.failing = False
    assert not [line for line in worker.lines if line.startswith("CRITICAL")]
