"""How many connections a process can hold, and how the next one is rejected."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from breathing_room.hosts.common.access.limits import RESERVED, raise_file_limit
from raw_websocket import RawSocket, handshake, join

pytestmark = pytest.mark.slow

HARD = 512
HOLDS = 256


def limits_of(soft: int, hard: int) -> tuple[int, int, int]:
    """Ask a process that begins with these limits for its capacity, and
    for the soft limit that it then has.
    """
    program = (
        "import resource\n"
        "from breathing_room.hosts.common.access.limits import raise_file_limit\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "capacity = raise_file_limit()\n"
        "print(capacity.files, capacity.sockets, resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    files, sockets, now = map(int, done.stdout.split())
    return files, sockets, now


@pytest.mark.parametrize(
    ("soft", "hard", "sockets"),
    [(128, 4_096, 4_096 - RESERVED), (256, 512, 256), (64, 64, 32), (1_024, 1_024, 768)],
)
def test_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int, sockets: int) -> None:
    """
    The limit on open files is raised as far as it may be; a part of it stays for everything else, at most
    half.
    """
    assert limits_of(soft, hard) == (hard, sockets, hard)


def test_capacity_is_what_is_in_force() -> None:
    """What is said is what holds in this process."""
    assert raise_file_limit().files == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A server that may open few files: what it says at its start, and its port."""
    # The limit of a process can only sink, so a shell in between lowers it, and becomes the server.
    shell = ["sh", "-c", f'ulimit -n {HARD}; exec "$@"', "sh"]
    serve = [sys.executable, "-m", "breathing_room", "serve", "--port", "0", "--push-ms", "50"]
    with subprocess.Popen(
        [*shell, *serve, "--data", tmp_path / "room.db"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline() + process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
            assert found, said
            yield said, int(found[1])
        finally:
            process.kill()


def test_full_server_says_so_and_goes_on(small_server: tuple[str, int]) -> None:
    """
    Under a low limit the server says how many it holds; one more is refused with 503 and a time to come back,
    whether by socket or by event stream, while those inside, polls and the page go on; and who leaves makes
    room.
    """
    said, port = small_server
    assert f"{HOLDS} connections ({HARD} open files)" in said
    with ExitStack() as stack:
        inside = [stack.enter_context(join(port, visitor=f"visitor-{index:08}")) for index in range(HOLDS)]
        for _ in range(3):
            with RawSocket(port) as client:
                client.send(handshake())
                refused = client.read_response()
            assert refused.error()["code"] == "full"
            assert (refused.status, refused.headers["retry-after"]) == (503, "10")
        with RawSocket(port) as client:
            refused = client.request("GET", "/v1/rooms/lobby/events")
            assert (refused.status, refused.error()["code"]) == (503, "full")
        with RawSocket(port) as client:
            assert json.loads(client.request("GET", "/v1/rooms/lobby").body)["count"] == HOLDS
            assert client.request("GET", "/").status == 200
        inside[0].send_message("mood", mood="release")
        inside[-1].receive("presence", lambda presence: bool(presence["moods"]["release"] == 1))
        inside[0].send_message("leave")
        inside[0].read_close(answer=True)
        stack.enter_context(join(port, visitor="visitor-newcomer"))
