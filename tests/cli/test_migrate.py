"""`breathing-room migrate`, against a Worker with scripted responses; ``hosts/worker/test_migrate.py`` runs
it against real ones.
"""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main

TOKEN = "t" * 32
SEEN = {"count": 100, "low": 90, "high": 110, "method": "sampled"}
UNKNOWN = {"count": None, "low": None, "high": None, "method": "unknown"}


class Workers(http.server.ThreadingHTTPServer):
    """An old Worker below ``/old`` and a new one below ``/new``.

    Attributes:
        old: What the old one publishes; None breaks it.
        new: What the new one publishes.
        elsewhere: How many report to the old one, sample by sample.
        syncing: Whether the new one follows.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.old: dict[str, Any] | None = SEEN
        self.new = SEEN
        self.elsewhere = [0]
        self.syncing = True

    def run(self, *flags: str) -> Result:
        url = f"http://127.0.0.1:{self.server_address[1]}"
        arguments = ["migrate", f"{url}/old", f"{url}/new", "--every", "1ms", *flags]
        return CliRunner(env={"BREATHING_ROOM_ADMIN_TOKEN": TOKEN}).invoke(main, arguments)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for both."""

    server: Workers

    def do_GET(self) -> None:
        workers = self.server
        if self.path.endswith("/migration"):
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            elsewhere = workers.elsewhere.pop(0) if len(workers.elsewhere) > 1 else workers.elsewhere[0]
            self.answer({"syncing": workers.syncing, "seats": 40, "elsewhere": elsewhere})
        else:
            self.answer(workers.old if self.path.startswith("/old") else workers.new)

    def answer(self, body: dict[str, Any] | None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(500 if body is None else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        thread = threading.Thread(target=workers.serve_forever)
        thread.start()
        yield workers
        workers.shutdown()
        thread.join()


def test_it_ends_after_three_samples_without_reports_to_the_old_worker(workers: Workers) -> None:
    """Each sample is a line; a report to the old Worker in between restarts the count of samples."""
    workers.elsewhere = [7, 0, 0, 1, 0]
    done = workers.run()
    assert done.exit_code == 0, done.output
    *samples, last = done.output.splitlines()
    assert [int(sample.rpartition(" ")[2]) for sample in samples] == [7, 0, 0, 1, 0, 0, 0]
    assert "old: 100 (90 to 110, sampled)  new: 100 (90 to 110, sampled)" in samples[0]
    assert last.startswith("No visitor reports to the old room any more")


def test_one_look_says_by_its_status_whether_it_is_done(workers: Workers) -> None:
    """With ``--once`` a script can ask."""
    workers.elsewhere = [3]
    assert workers.run("--once").exit_code == 3
    workers.elsewhere = [0]
    assert workers.run("--once").exit_code == 0


def test_what_contradicts_is_said(workers: Workers) -> None:
    """
    Two intervals that do not overlap are marked; an unknown count and a Worker without a response overlap
    with every other.
    """
    workers.new = SEEN | {"count": 200, "low": 150, "high": 250}
    assert "DO NOT OVERLAP" in workers.run("--once").output
    workers.old = UNKNOWN
    output = workers.run("--once").output
    assert "old: unknown" in output
    assert "DO NOT OVERLAP" not in output
    workers.old = None
    output = workers.run("--once").output
    assert "old: does not respond" in output
    assert "DO NOT OVERLAP" not in output


def test_two_default_rooms_are_not_taken_for_one(workers: Workers) -> None:
    """U2: without --room it is the default room of both; where they differ, the command asks for a name."""
    workers.old, workers.new = SEEN | {"room": "lobby"}, SEEN | {"room": "evening"}
    refused = workers.run("--once")
    assert refused.exit_code == 1
    assert "lobby and evening: name one with --room" in refused.output
    workers.old = workers.new
    assert workers.run("--once").exit_code == 0


def test_what_cannot_be_moved_is_refused(workers: Workers) -> None:
    """A new Worker that syncs with no other, an invalid room name, and a missing token."""
    workers.syncing = False
    refused = workers.run()
    assert refused.exit_code == 1
    assert "syncs with no other" in refused.output
    assert workers.run("--room", "no room").exit_code == 2
    without = CliRunner(env={"BREATHING_ROOM_ADMIN_TOKEN": ""}).invoke(
        main, ["migrate", "http://a", "http://b"]
    )
    assert without.exit_code == 2
    assert "BREATHING_ROOM_ADMIN_TOKEN" in without.output
