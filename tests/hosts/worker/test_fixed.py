"""The deployment whose bill does not grow with the crowd: a panel reports to one room, whose presence a CDN
serves.
"""

import asyncio
import json
import secrets
from itertools import pairwise

from breathing_room.testing.host_context import ask
from hosts.worker.conftest import TIMES, Start
from hosts.worker.platform_fakes import Service

PUBLISH_MS = 1_500
FIXED = TIMES | {
    "BREATHING_ROOM_MODE": "poll",
    "BREATHING_ROOM_PUBLISH_MS": str(PUBLISH_MS),
    "BREATHING_ROOM_IDLE_ALARM_MS": "60000",
}
PAGE = "rooms/lobby/presence.json"


async def report(url: str, room: str = "lobby", **more: str) -> None:
    answer = await ask(
        url, "POST", f"/v1/rooms/{room}/heartbeat", {"visitor": secrets.token_urlsafe(16), **more}
    )
    assert answer.status == 200


async def until(service: Service, *, count: int) -> None:
    """Wait until the published presence has this count."""
    async with asyncio.timeout(10):
        while json.loads(service.values.get(PAGE, b"{}")).get("count") != count:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.05)


async def test_presence_is_published_on_reports_and_by_nothing_else(
    start: Start, kv: Service, bucket: Service
) -> None:
    """
    The presence is put to R2 and to KV with a report, at most every ``publish_ms``, with the headers that a
    CDN needs; a put that failed is made up for, only rooms of the config are published, and without reports
    nothing is.
    """
    services = {"BUCKET": f"r2Bucket {bucket.address}", "PRESENCE": f"kvNamespace {kv.address}"}
    worker = start(FIXED, services=services)
    await report(worker.url, mood="release")
    await until(bucket, count=1)
    await until(kv, count=1)
    first = json.loads(bucket.values[PAGE])
    assert (first["count"], first["moods"]["release"]) == (1, 1)
    assert json.loads(kv.values[PAGE]) == first
    assert bucket.headers[PAGE]["httpFields"] == {
        "contentType": "application/json",
        "cacheControl": "public, max-age=0, stale-while-revalidate=0",
    }
    for _ in range(12):
        await report(worker.url)
        await asyncio.sleep(PUBLISH_MS / 4_000)
    written_at_s = bucket.written_at_s[PAGE]
    assert len(written_at_s) > 1
    assert min(later - former for former, later in pairwise(written_at_s)) > 0.8 * PUBLISH_MS / 1_000

    bucket.failing = True
    await asyncio.sleep(PUBLISH_MS / 1_000)
    await report(worker.url)
    await until(kv, count=14)
    bucket.failing = False
    await asyncio.sleep(PUBLISH_MS / 1_000)
    await report(worker.url)
    await report(worker.url, room="elsewhere")
    await until(bucket, count=15)
    assert bucket.values.keys() == kv.values.keys() == {PAGE}

    writes = bucket.calls["write"]
    await asyncio.sleep(2 * PUBLISH_MS / 1_000)
    assert bucket.calls["write"] == writes
    assert not bucket.too_soon
    assert not kv.too_soon
    assert [line for line in worker.lines if "could not be published" in line] == worker.lines
    config = (await ask(worker.url, "GET", "/v1/rooms/lobby/config")).json()
    assert config["mode"] == "poll"
