"""The rate limit of reports to a room."""

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.rate_limit import RETRY_S_MAX, TokenBucket
from breathing_room.core.tickets import ticket
from breathing_room.hosts.server.app import App
from inside import HandClock, client_of, host_inside


def rejection(bucket: TokenBucket, now_ms: int) -> ClientError | None:
    """Spend a token; return the error if there was none."""
    try:
        bucket.spend(now_ms)
    except ClientError as error:
        return error
    return None


def spent(bucket: TokenBucket, now_ms: int) -> int:
    """Spend until the bucket is empty; return how many tokens that were."""
    count = 0
    while (error := rejection(bucket, now_ms)) is None:
        count += 1
    assert (error.code, error.status, error.retry_after_s) == ("over_budget", 429, bucket.retry_after_s)
    return count


def bucket_of(host: App) -> TokenBucket:
    """Return the bucket of the lobby."""
    bucket = host.rooms["lobby"].admission.bucket
    assert bucket is not None
    return bucket


@pytest.mark.parametrize(
    ("settings", "burst", "per_s", "retry_after_s"),
    [
        ({}, 800, 100, 4),
        ({"panel_size": 1_600}, 3_200, 400, 4),
        ({"panel_size": 1}, 200, 25, 4),
        ({"reports_per_s": 1_000}, 800, 1_000, 1),
        ({"reports_per_s": 1}, 800, 1, RETRY_S_MAX),
    ],
)
def test_the_budget_follows_the_panel_size(
    settings: dict[str, int], burst: int, per_s: int, retry_after_s: int
) -> None:
    """A bucket has a burst of two panels, then so many tokens a second, and its error has whole seconds to
    wait.
    """
    bucket = TokenBucket(RoomConfig(**settings), now_ms=0)  # type: ignore[arg-type]
    assert bucket.retry_after_s == retry_after_s
    assert spent(bucket, 0) == burst
    assert spent(bucket, 1_000) == min(per_s, burst)
    assert spent(bucket, 3_000) == min(2 * per_s, burst)
    assert spent(bucket, 10_000_000) == burst


def test_a_clock_that_steps_back_adds_no_token() -> None:
    """A clock that steps back neither fills the bucket nor empties it."""
    bucket = TokenBucket(RoomConfig(), now_ms=10_000)
    assert spent(bucket, 10_000) == 800
    assert spent(bucket, 0) == 0
    assert spent(bucket, 1_000) == 100


def a_visitor(number: int, *, below: float) -> str:
    """Return a visitor of the lobby with a ticket below a rate, or above it if that is negative."""
    return next(
        name
        for attempt in range(10_000)
        if (ticket(name := f"visitor-{number:04}-{attempt:06}", room="lobby", epoch=20_454) < abs(below))
        is (below > 0)
    )


async def test_reports_over_the_budget_are_shed_and_leaves_are_not() -> None:
    """A report over the limit is answered 429 with whole seconds to wait, and leaves no seat; a leave is
    always accepted, and so are the reports of the next second's tokens.
    """
    clock = HandClock()
    heartbeat, leave = "/v1/rooms/lobby/heartbeat", "/v1/rooms/lobby/leave"
    async with host_inside(clock=clock, panel_size=100, reports_per_s=5) as host, client_of(host) as client:
        assert host.epoch == 20_454
        bucket = bucket_of(host)
        for _ in range(bucket.burst - 1):
            bucket.spend(clock.ms)
        assert (await client.post(heartbeat, json={"visitor": "visitor-0123456789"})).status_code == 200
        for _ in range(3):
            shed = await client.post(heartbeat, json={"visitor": "visitor-9876543210"})
            assert (shed.status_code, shed.json()["error"]["code"]) == (429, "over_budget")
            assert shed.headers["retry-after"] == str(bucket.retry_after_s) == "20"
        legacy = await client.post("/api/heartbeat", json={"sessionId": "s1"})
        assert legacy.status_code == 429
        assert host.presence("lobby").count == 1
        assert (await client.post(leave, json={"visitor": "visitor-0123456789"})).status_code == 204
        assert host.presence("lobby").count == 0
        assert (host.counters.reports_shed, host.counters.refusals["over_budget"]) == (4, 4)
        clock.ms += 1_000
        answers = [await client.post(heartbeat, json={"visitor": f"visitor-{n:012}"}) for n in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert host.presence("lobby").count == 5


async def test_a_report_outside_the_sample_takes_no_token() -> None:
    """With an empty bucket a report outside the sample is answered with the rate, so that its client stops
    reporting.
    """
    clock = HandClock()
    async with (
        host_inside(clock=clock, panel_size=10, reports_per_s=1) as host,
        client_of(host) as client,
    ):
        number = 0
        while (rate := host.rooms["lobby"].room.panel.rate) == 1.0:
            number += 1
            body = {"visitor": a_visitor(number, below=1.0)}
            assert (await client.post("/v1/rooms/lobby/heartbeat", json=body)).status_code == 200
        spent(bucket_of(host), clock.ms)
        inside, outside = a_visitor(0, below=rate), a_visitor(0, below=-rate)
        assert (await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": inside})).status_code == 429
        answer = await client.post("/v1/rooms/lobby/heartbeat", json={"visitor": outside})
        assert (answer.status_code, answer.json()["sample_rate"]) == (200, rate)
        assert host.counters.reports_outside == 1


async def test_rooms_have_budgets_of_their_own() -> None:
    """An empty bucket of one room does not limit another room."""
    async with host_inside(clock=HandClock()) as host, client_of(host) as client:
        spent(bucket_of(host), host.clock.now_ms())
        body = {"visitor": "visitor-0123456789"}
        assert (await client.post("/v1/rooms/lobby/heartbeat", json=body)).status_code == 429
        assert (await client.post("/v1/rooms/garden/heartbeat", json=body)).status_code == 200
