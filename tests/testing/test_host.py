"""The conformance suite of hosts: a conforming host passes, and every check in it catches a faulty host."""

import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

import breathing_room
from breathing_room.core.errors import HostError
from breathing_room.core.events import TimerFired
from breathing_room.hosts.server.routes import create_app
from breathing_room.testing import CheckFailedError, check_host, checks
from breathing_room.testing.host_checks import CHECKS
from harness import Serve
from inside import HandClock, host_inside, listening
from testing.bad_hosts import document_api, http, presence, sockets
from testing.bad_hosts.good import JOIN_MS, PUSH_MS, TIMES, Good


async def failed_checks(base_url: str, **options: Any) -> dict[str, str]:
    """Run the suite on a host, and return the checks that fail with their messages."""
    broken: dict[str, str] = {}
    try:
        await check_host(base_url, push_ms=PUSH_MS, join_ms=JOIN_MS, **options)
    except* CheckFailedError as group:
        broken = {
            error.check: str(error) for error in group.exceptions if isinstance(error, CheckFailedError)
        }
    return broken


CAUGHT_BY = {
    fault: name
    for family in (presence, http, sockets, document_api)
    for fault, name in family.CAUGHT_BY.items()
}
"""Bad hosts, each a good one with one fault, and the check that it fails."""

# Frames are below ASGI: these faults sit on the wire.
OF_FRAMES = {
    "an_unmasked_frame_is_refused",
    "a_binary_message_is_refused",
    "text_that_is_not_utf8_is_refused",
    "a_long_message_is_refused",
}

BREACH = re.compile(rb"(\x88.)\x03[\xea\xeb\xef\xf1]")
"""A close frame with 1002, 1003, 1007 or 1009."""

OF_RESTARTS = {"a_restart_sends_a_retry_time", "a_restart_keeps_its_visitors"}


# --- One server for all of them ---------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def wrongly_closing(base_url: str) -> AsyncIterator[str]:
    """Run a proxy before a host that replaces every close code for a breach of RFC 6455 by one code."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, wrongly: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(BREACH.sub(b"\\1\x03\xf3", data) if wrongly else data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host_reader, host_writer = await asyncio.open_connection(
            "127.0.0.1", int(base_url.rpartition(":")[2])
        )
        await asyncio.gather(
            pass_on(reader, host_writer, wrongly=False), pass_on(host_reader, writer, wrongly=True)
        )

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as proxy:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"


async def run_all(data: Path) -> dict[str, dict[str, str]]:
    """Run the whole suite on the good host, and on each bad one the check that must catch it, all at the same
    time.

    Returns:
        By the names of the hosts, the failed checks with their messages.
    """
    settings: dict[str, Any] = {"data": str(data), "rooms_per_prefix_max": 1_000_000, **TIMES}
    good = breathing_room.app(**settings)
    kinds: list[type[Good]] = [Good, *CAUGHT_BY]
    hosts = {kind.__name__: kind(good, good.state.host) for kind in kinds}
    mounted = Starlette(routes=[Mount(f"/{name}", host) for name, host in hosts.items()])
    async with listening(mounted) as url, wrongly_closing(url) as wrong_url:

        async def run(name: str, only: Collection[str], at: str = url) -> tuple[str, dict[str, str]]:
            return name, await failed_checks(f"{at}/{name}", only=only)

        # There is one default room: its checks would count each other's visitors.
        default_room = asyncio.Lock()

        async def run_fault(fault: type[Good], name: str) -> tuple[str, dict[str, str]]:
            async with default_room if name in in_default_room else contextlib.nullcontext():
                return await run(fault.__name__, {name})

        in_default_room = {name for name, promise in CHECKS.items() if promise.scope == "default room"}
        runs = [run_fault(fault, name) for fault, name in CAUGHT_BY.items()]
        of_frames, of_own_rooms, *of_faults = await asyncio.gather(
            run("Good", OF_FRAMES, wrong_url),
            run("Good", checks().keys() - in_default_room - OF_RESTARTS),
            *runs,
        )
        of_default_room = await run("Good", in_default_room)
        # Sixty hosts on one core may be too slow for a check of times; those checks are repeated alone.
        _, of_good = await run("Good", of_own_rooms[1].keys() | of_default_room[1].keys())
        return {"frames": of_frames[1], "Good": of_good, **dict(of_faults)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The failed checks of every host."""
    return asyncio.run(run_all(tmp_path_factory.mktemp("hosts") / "room.db"))


def test_good_host_passes_every_check(results: dict[str, dict[str, str]]) -> None:
    """A conforming host fails no check, even among sixty others that keep the machine busy."""
    assert not results["Good"]


@pytest.mark.parametrize(
    ("fault", "check"), CAUGHT_BY.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_fault_is_caught(results: dict[str, dict[str, str]], fault: type[Good], check: str) -> None:
    """A host with a fault fails the check of it, and the message begins with the sentence of the protocol."""
    assert results[fault.__name__].keys() == {check}
    assert results[fault.__name__][check].startswith(checks()[check])


def test_wrong_close_codes_are_caught(results: dict[str, dict[str, str]]) -> None:
    """A host that closes with one code for every breach of RFC 6455 fails every check of frames."""
    assert results["frames"].keys() == OF_FRAMES


def test_every_check_catches_a_fault() -> None:
    """Each check fails for a bad host in ``bad_hosts``."""
    assert {*CAUGHT_BY.values(), *OF_FRAMES, *OF_RESTARTS} == checks().keys()


async def test_crash_is_no_restart(serve: Serve) -> None:
    """A host that is killed and loses its data fails every check of restarts."""
    flags = [flag for name, value in TIMES.items() for flag in (f"--{name.replace('_', '-')}", str(value))]
    server = serve(*flags)

    async def crash() -> None:
        nonlocal server
        server.kill()
        for file in server.data.parent.glob(f"{server.data.name}*"):
            file.unlink()
        server = await asyncio.to_thread(serve, *flags, port=server.port)

    broken = await failed_checks(server.url, restart=crash, only=OF_RESTARTS)
    assert broken.keys() == OF_RESTARTS


OF_TIME = {
    "an_idle_connection_stays_open",
    "broadcasts_are_rate_limited",
    "all_subscribers_receive_the_same_bytes",
    "a_disconnected_visitor_is_suspect",
    "a_visitor_who_rejoins_in_time_is_confirmed",
    "a_visitor_who_does_not_rejoin_expires",
    "a_connection_without_a_join_is_closed",
}


async def test_clock_may_be_advanced_by_the_caller() -> None:
    """
    With a clock that the caller advances, leases of a minute are checked within seconds, one check at a time.
    """
    clock = HandClock()
    at_once, most_at_once = 0, 0
    async with host_inside(clock=clock) as host, listening(create_app(host)) as url:

        async def advance(ms: int) -> None:
            nonlocal at_once, most_at_once
            at_once += 1
            most_at_once = max(most_at_once, at_once)
            await asyncio.sleep(0)
            clock.ms += ms
            for room in host.rooms.values():
                room.platform.check_leases(clock.ms)
                room.feed(TimerFired())
            at_once -= 1

        began_s, began_ms = time.monotonic(), clock.ms
        await check_host(url, advance=advance, only=OF_TIME)
    assert clock.ms - began_ms > 120_000
    assert time.monotonic() - began_s < 20
    assert most_at_once == 1


@pytest.mark.parametrize("only", [["a_join_count"], "a_join_counts", ["a_restart_keeps_its_visitors"]])
async def test_only_without_a_runnable_check_is_refused(only: Collection[str]) -> None:
    """
    A misspelled name in `only` selected no check, as did one string, and a check of restarts without a
    `restart`: any address passed.
    """
    with pytest.raises(HostError, match="only"):
        await check_host("http://127.0.0.1:9", only=only)


async def test_an_exception_that_is_not_needed_fails() -> None:
    """
    A check is excepted by its name or by a need of it; an exception for a check that passes is reported.
    """
    async with host_inside() as host, listening(create_app(host)) as url:
        only = {
            "a_history_has_hours_of_the_week",
            "a_badge_shows_the_label",
            "a_heartbeat_counts_its_visitor",
        }
        exceptions = {"history": "no averages", "a_heartbeat_counts_its_visitor": "no reports"}
        needless = await failed_checks(url, only=only, exceptions=exceptions)
        assert needless.keys() == {"a_history_has_hours_of_the_week", "a_heartbeat_counts_its_visitor"}
        assert "passed, though it is excepted: no averages" in needless["a_history_has_hours_of_the_week"]

        async def without_history(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"].endswith("/history"):
                scope = {**scope, "path": "/nothing/here"}
            await create_app(host)(scope, receive, send)

        async with listening(without_history) as other:
            assert not await failed_checks(other, only=only, exceptions={"history": "no averages"})
            assert (await failed_checks(other, only=only)).keys() == {"a_history_has_hours_of_the_week"}
        with pytest.raises(HostError, match="neither a check nor a need: sockets"):
            await check_host(url, exceptions={"sockets": "none"})


async def test_presence_may_lag_by_lag_ms() -> None:
    """A host whose presence lags passes if the lag is given as `lag_ms`, and fails a check if it is not."""
    host_clock = HandClock()
    async with host_inside(clock=host_clock) as host:
        app = create_app(host)
        kept: dict[str, tuple[int, list[Any]]] = {}

        async def late(scope: Scope, receive: Receive, send: Send) -> None:
            """Keep every presence for a second."""
            if scope["type"] != "http" or scope["method"] != "GET":
                await app(scope, receive, send)
                return
            read_at_ms, messages = kept.get(scope["path"], (0, []))
            if host_clock.ms - read_at_ms >= 1_000:
                messages = []

                async def keep(message: Any) -> None:
                    messages.append(message)

                await app(scope, receive, keep)
                kept[scope["path"]] = host_clock.ms, messages
            for message in messages:
                await send(message)

        async def advance(ms: int) -> None:
            host_clock.ms += ms

        async with listening(late) as url:
            options: dict[str, Any] = {"advance": advance, "only": {"a_presence_is_timestamped"}}
            assert (await failed_checks(url, **options)).keys() == options["only"]
            assert not await failed_checks(url, **options, lag_ms=1_000)


async def test_other_server_is_no_host() -> None:
    """The suite fails at once for the address of another kind of server."""

    async def teapot(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"short and stout"})

    async with listening(teapot) as url:
        with pytest.raises(AssertionError, match="expected a JSON object"):
            await check_host(url)


def test_suite_needs_no_test_runner(serve: Serve) -> None:
    """
    The suite runs in a plain program too, without asserts and with nothing but what a user has installed.
    """
    server = serve()
    program = f"""
import asyncio, importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {{"pytest", "_pytest", "httpx", "hypothesis", "fastapi"}}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from breathing_room.testing import check_host
asyncio.run(check_host({server.url!r}, only=["a_join_counts", "a_heartbeat_counts_its_visitor", "an_event_stream_sends_every_change"]))
try:
    asyncio.run(check_host({server.url!r}, only=["a_long_message_is_refused"], message_bytes_max=5000))
except ExceptionGroup as broken:
    print(broken.exceptions[0].check)
"""
    done = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("a_long_message_is_refused\n", "")
