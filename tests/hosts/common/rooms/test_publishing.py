"""Presence as static files, in a folder and in a bucket."""

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import HostError
from breathing_room.core.history import History
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.core.wire import encode_presence
from breathing_room.hosts.common.rooms.publishing import (
    PublishedFile,
    Publisher,
    config_file,
    history_file,
    presence_file,
)
from harness import Serve, ServerProcess

HOWTO = Path(__file__).resolve().parents[4] / "docs" / "howto" / "publish.md"
START_MS = 1_767_225_600_000


def files_in(folder: Path) -> list[str]:
    """What has been published, and nothing that is still being written."""
    return [path.name for path in folder.rglob("[a-z]*.json")]


def a_presence(count: int, at_ms: int) -> Presence:
    empty = Room("lobby", RoomConfig(), now_ms=START_MS).presence(now_ms=START_MS + at_ms)
    changes = {"count": count, "low": count, "high": count, "unspoken": count, "label": str(count)}
    return Presence(**{name: getattr(empty, name) for name in empty.__slots__} | changes)


def a_page(count: int, at_ms: int) -> PublishedFile:
    return presence_file(a_presence(count, at_ms))


async def publish(publisher: Publisher, count: int, at_ms: int) -> int:
    return await publisher.publish([a_page(count, at_ms)], now_ms=START_MS + at_ms)


# --- A folder ---------------------------------------------------------------------------------------------


async def test_a_folder_holds_what_the_server_answers(tmp_path: Path) -> None:
    """Presence, config and history are files of JSON that every user may read, and nothing else is left
    beside them.
    """
    publisher = Publisher(str(tmp_path / "public"))
    history = History()
    history.observe({"release": 3}, wall_ms=START_MS)
    history.observe({"release": 3}, wall_ms=START_MS + 60_000)
    pages = [a_page(7, 0), config_file("lobby", RoomConfig()), history_file("lobby", history)]
    assert await publisher.publish(pages, now_ms=START_MS) == 3
    folder = tmp_path / "public" / "rooms" / "lobby"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "history.json", "presence.json"]
    assert (folder / "presence.json").read_bytes() == encode_presence(a_presence(7, 0))
    config = json.loads((folder / "config.json").read_bytes())
    assert config["breath"]["pattern"] == "4-7-8"
    assert "now_ms" not in config
    assert json.loads((folder / "history.json").read_bytes())["hours"][0]["count"] == 3
    umask = os.umask(0)
    os.umask(umask)
    assert (folder / "presence.json").stat().st_mode & 0o777 == 0o666 & ~umask


async def test_only_what_changed_or_grew_old_is_written(tmp_path: Path) -> None:
    """Nothing is written twice within the time, nor unless it differs or half of its validity is over."""
    publisher = Publisher(str(tmp_path), publish_ms=5_000)
    assert await publish(publisher, 1, 0) == 1
    assert await publish(publisher, 2, 4_999) == 0, "too soon"
    assert await publish(publisher, 2, 5_000) == 1
    assert await publish(publisher, 2, 10_000) == 0, "nothing changed"
    assert await publish(publisher, 2, 15_000) == 0
    assert await publish(publisher, 2, 20_000) == 1, "as_of is 15 s old, half of stale_after_ms"
    assert publisher.published == 3
    assert json.loads((tmp_path / "rooms/lobby/presence.json").read_bytes())["as_of_ms"] == START_MS + 20_000


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    """While a presence is published as fast as may be, every read of it is whole."""
    publisher = Publisher(f"file://{tmp_path}")
    path = tmp_path / "rooms" / "lobby" / "presence.json"
    done = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not done.is_set():
            if path.exists():
                seen.add(json.loads(path.read_bytes())["count"])

    reader = threading.Thread(target=read)
    reader.start()

    async def write() -> None:
        for count in range(300):
            assert await publisher.publish([a_page(count, 0)], now_ms=START_MS + 5_000 * count)

    try:
        asyncio.run(write())
    finally:
        done.set()
        reader.join()
    assert len(seen) > 10


# --- Failures ---------------------------------------------------------------------------------------------


class Stuck:
    """A target that never answers, then fails, then works."""

    def __init__(self) -> None:
        self.mode = "hang"
        self.held: dict[str, bytes] = {}

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        assert headers["Content-Type"] == "application/json"
        if self.mode == "hang":
            await asyncio.Event().wait()
        if self.mode == "fail":
            raise OSError("full")
        self.held[path] = content


async def test_a_failure_is_counted_and_made_up_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A target that hangs or fails blocks a round no longer than its
    timeout; the next one writes the latest.
    """
    publisher = Publisher(str(tmp_path), publish_ms=50)
    target = publisher._target = Stuck()
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(5):
            assert await publish(publisher, 1, 0) == 0
        target.mode = "fail"
        assert await publish(publisher, 2, 50) == 0
    assert [record.getMessage() for record in caplog.records] == [
        "rooms/lobby/presence.json could not be published: TimeoutError (see the debug log)",
        "rooms/lobby/presence.json could not be published: OSError (see the debug log)",
    ]
    target.mode = "work"
    assert await publish(publisher, 2, 100) == 1
    assert (publisher.published, publisher.failed) == (1, 2)
    assert json.loads(target.held["rooms/lobby/presence.json"])["count"] == 2


async def test_a_host_runs_it(tmp_path: Path) -> None:
    """``run`` publishes what it is given, again and again, until it is cancelled."""
    publisher = Publisher(str(tmp_path), publish_ms=20)
    counts = iter(range(1_000))
    started = time.monotonic()

    def now_ms() -> int:
        return START_MS + int((time.monotonic() - started) * 1_000)

    task = asyncio.create_task(publisher.run(lambda: [a_page(next(counts), 0)], now_ms))
    deadline = time.monotonic() + 10
    while publisher.published < 3:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_example_of_the_how_to_runs(tmp_path: Path) -> None:
    """What the how-to says to write publishes a room's presence and config."""
    example = re.search(r"```python\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    names: dict[str, Any] = {}
    exec(example[1].replace("/srv/www/presence", str(tmp_path)), names)
    room = Room("lobby", RoomConfig(), now_ms=START_MS)
    task = asyncio.create_task(names["publish"](room, lambda: START_MS))
    deadline = time.monotonic() + 10
    while len(files_in(tmp_path)) < 2:
        assert time.monotonic() < deadline
        assert not task.done()
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    presence = json.loads((tmp_path / "rooms/lobby/presence.json").read_bytes())
    assert (presence["count"], presence["as_of_ms"]) == (0, START_MS)


@pytest.mark.parametrize(
    "path", ["../x.json", "/etc/x.json", "a/../b.json", "rooms/lobby/.json", "x", "a//b.json"]
)
def test_a_page_stays_where_it_belongs(path: str) -> None:
    """A path that leads elsewhere is refused."""
    with pytest.raises(HostError, match="path"):
        PublishedFile(path, {}, 5)


# --- A bucket, at a real S3 server ------------------------------------------------------------------------


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of an S3 server with a bucket ``site``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            assert httpx.put(f"{url}/site").status_code == 200
            break
        except httpx.TransportError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield url
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
async def test_a_bucket_answers_readers_with_the_right_headers(
    s3: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Objects at an S3 server have their type and age; when the server goes away that is counted, and nothing
    waits.
    """
    options = {
        "endpoint": s3,
        "access_key_id": "test",
        "secret_access_key": "hidden",
        "region": "us-east-1",
    }
    publisher = Publisher("s3://site/presence", options=options)
    assert await publish(publisher, 12, 0) == 1
    # The server wants a signature, and does not look at it.
    signature = "AWS4-HMAC-SHA256 Credential=a/b/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=c"
    async with httpx.AsyncClient(headers={"Authorization": signature}) as reader:
        answer = await reader.get(f"{s3}/site/presence/rooms/lobby/presence.json")
    assert answer.json()["count"] == 12
    assert answer.content == encode_presence(a_presence(12, 0))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=5, stale-while-revalidate=5"

    away = Publisher("s3://site/presence", options=options | {"endpoint": "http://127.0.0.1:9"})
    async with asyncio.timeout(10):
        assert await publish(away, 12, 0) == 0
    assert away.failed == 1
    assert "hidden" not in caplog.text


async def test_a_page_at_rest_is_not_written_again(tmp_path: Path) -> None:
    """Averages change all the time; they are written no more often than a cache would revalidate."""
    publisher = Publisher(str(tmp_path))
    history = History()

    async def publish_after(at_ms: int) -> int:
        history.observe({"release": 3}, wall_ms=START_MS + at_ms)
        return await publisher.publish([history_file("lobby", history)], now_ms=START_MS + at_ms)

    written = [await publish_after(at_ms) for at_ms in range(0, 605_000, 5_000)]
    assert [index * 5_000 for index, count in enumerate(written) if count] == [0, 300_000, 600_000]


# --- By the server ----------------------------------------------------------------------------------------


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """Serve a folder as any plain file server does; yield its address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def metric(server: ServerProcess, name: str) -> int:
    """Read a counter of a server."""
    found = re.search(
        rf"^breathing_room_{name}_total (\S+)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE
    )
    assert found
    return int(float(found[1]))


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_reader_needs_the_server(serve: Serve, tmp_path: Path) -> None:
    """
    ``serve`` publishes the default room and those of the file, and says where; readers hear of a change from
    a plain file server within a round, and no read reaches the server. Rooms that visitors opened are not
    published.
    """
    config = tmp_path / "room.toml"
    config.write_text("[rooms.garden]\nmoods = ['calm']\n", encoding="utf-8")
    public = tmp_path / "public"
    public.mkdir()
    with file_server(public) as address:
        server = serve(
            *("--config", str(config), "--publish-url", str(public), "--publish-ms", "1000"),
            *("--presence-url", f"{address}/", "--push-ms", "20"),
        )
        until(lambda: len(files_in(public)) == 6)
        urls = {
            room: httpx.get(f"{server.url}/v1/rooms/{room}/config").json()["presence_url"]
            for room in ("lobby", "garden", "other")
        }
        assert urls == {
            "lobby": f"{address}/rooms/lobby/presence.json",
            "garden": f"{address}/rooms/garden/presence.json",
            "other": None,
        }
        config_json = httpx.get(f"{address}/rooms/garden/config.json").json()
        assert (config_json["presence_url"], config_json["moods"]) == (urls["garden"], ["calm"])
        for room, mood in (("garden", "calm"), ("other", "release")):
            body = {"visitor": "visitor-0123456789", "mood": mood}
            assert httpx.post(f"{server.url}/v1/rooms/{room}/heartbeat", json=body).status_code == 200
        until(lambda: bool(httpx.get(urls["garden"]).json()["count"] == 1))
        assert httpx.get(urls["garden"]).json()["moods"] == {"calm": 1}
        assert httpx.get(urls["lobby"]).json()["count"] == 0
        assert not (public / "rooms" / "other").exists()
        assert httpx.get(f"{address}/rooms/lobby/history.json").json()["room"] == "lobby"
        assert metric(server, "presence_reads") == 0
        assert metric(server, "publish_failed") == 0
        assert metric(server, "published") >= 7


def test_a_bucket_that_goes_away_blocks_no_client(s3: str, serve: Serve) -> None:
    """
    With an address and credentials from the environment ``serve`` publishes to S3; when that fails it is
    logged and counted, people come and go as before, and no credential is in the log or the metrics.
    """
    environ = {
        "AWS_ACCESS_KEY_ID": "AKIAHIDDEN",
        "AWS_SECRET_ACCESS_KEY": "hidden-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3,
    }
    flags = ("--publish-ms", "1000", "--push-ms", "20", "--log-level", "debug")
    server = serve("--publish-url", "s3://site/live", *flags, env=environ)
    signature = "AWS4-HMAC-SHA256 Credential=a/b/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=c"

    def published() -> int | None:
        answer = httpx.get(f"{s3}/site/live/rooms/lobby/presence.json", headers={"Authorization": signature})
        return answer.json()["count"] if answer.status_code == 200 else None

    until(lambda: published() == 0)
    heartbeat = f"{server.url}/v1/rooms/lobby/heartbeat"
    httpx.post(heartbeat, json={"visitor": "visitor-0123456789"})
    until(lambda: published() == 1)
    assert httpx.post(f"{s3}/moto-api/reset").status_code == 200  # The bucket is gone.
    failed_before = metric(server, "publish_failed")
    httpx.post(heartbeat, json={"visitor": "visitor-9876543210"})
    until(lambda: metric(server, "publish_failed") > failed_before)
    assert httpx.get(f"{server.url}/v1/rooms/lobby").json()["count"] == 2
    log = "\n".join(server.lines)
    assert "presence.json could not be published" in log
    for text in (log, httpx.get(f"{server.url}/metrics").text):
        assert "hidden" not in text.lower()
        assert "visitor-" not in text
