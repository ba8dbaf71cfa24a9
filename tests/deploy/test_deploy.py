"""The files of `deploy/`, checked, and run as far as possible without containers."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from click.testing import CliRunner
from compose_spec import PyCompose

from breathing_room.cli import main
from breathing_room.core.wire import RESTART
from breathing_room.hosts.common.read_settings import ENVIRONMENT_PREFIX, parse
from breathing_room.hosts.common.settings import FIELDS
from harness import Serve, ServerProcess
from redis_process import free_port, redis_process
from waiting import until

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())


# --- Containers -------------------------------------------------------------------------------------------


def test_the_compose_file_is_one() -> None:
    """The compose file conforms to the Compose Specification; with an error in it, it does not."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    compose = PyCompose.from_yaml(text)
    compose.validate()

    assert sorted(compose.service_names()) == ["nginx", "redis", "room"]
    with pytest.raises(ValueError, match="stop_grace_perio"):
        PyCompose.from_yaml(text.replace("stop_grace_period: 15s", "stop_grace_perio: 15s"))


def test_the_compose_file_says_what_the_server_takes() -> None:
    """Every variable of the compose file is a setting, and every file that it names exists."""
    services = PyCompose.from_yaml((DEPLOY / "compose.yaml").read_text(encoding="utf-8")).to_dict()[
        "services"
    ]
    for name, value in services["room"]["environment"].items():
        assert name.startswith(ENVIRONMENT_PREFIX)
        parse(name.removeprefix(ENVIRONMENT_PREFIX).lower(), str(value), FIELDS)
    build = services["room"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert (DEPLOY / "nginx.conf").is_file()


def test_the_image_is_made_of_what_is_there() -> None:
    """Every file that the image copies exists, and its command is ours."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied
    assert all((DEPLOY.parent / name).exists() for name in copied)
    (command,) = (json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD "))
    assert command[0] == "breathing-room"
    assert CliRunner().invoke(main, [*command[1:], "--help"]).exit_code == 0


# --- systemd ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    """systemd finds nothing wrong with the unit, whose command and flags exist."""
    text = unit.read_text(encoding="utf-8")
    (start,) = re.findall(r"^ExecStart=\S+/bin/breathing-room (.+)$", text, re.MULTILINE)
    verb, *flags = start.split()
    shown = CliRunner().invoke(main, [verb, "--help"]).output
    assert all(flag in shown for flag in flags if flag.startswith("--"))

    there = tmp_path / unit.name.replace("@.", "@8001.")
    there.write_text(
        text.replace(
            "/opt/breathing-room/bin/breathing-room", str(Path(sys.executable).parent / "breathing-room")
        )
    )
    # Units that it depends on are not installed here.
    for other in ("redis-server.service", "network-online.target"):
        (tmp_path / other).write_text(
            "[Unit]\nDescription=Another\n"
            + ("[Service]\nExecStart=/bin/true\n" if other.endswith("service") else "")
        )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", there],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    complaints = [line for line in done.stderr.splitlines() if unit.stem.rstrip("@") in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


# --- nginx ------------------------------------------------------------------------------------------------


@pytest.fixture
def two(serve: Serve, tmp_path: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Start two servers of one room."""
    with redis_process() as redis:
        first, second = (
            serve(
                "--node",
                name,
                "--redis",
                redis.url,
                "--reconnect-spread-ms",
                "500",
                "--log-level",
                "error",
                data=tmp_path / "unused",
            )
            for name in ("a", "b")
        )
        yield first, second


@pytest.fixture
def nginx(two: tuple[ServerProcess, ServerProcess], tmp_path: Path) -> Iterator[str]:
    """nginx in front of both, with the configuration of the folder."""
    port = free_port()
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    server = re.search(r"server room:8000( [^;]+);", text)
    assert server
    text = text.replace(server[0], "\n".join(f"server 127.0.0.1:{one.port}{server[1]};" for one in two))
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
        "worker_processes auto;", "worker_processes 1;"
    )
    text = text.replace("/var/cache/nginx/presence", str(tmp_path / "cache")).replace(
        "worker_rlimit_nofile 65536;", ""
    )
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        text = text.replace("http {", f"http {{\n    {kind}_temp_path {tmp_path}/{kind};", 1)
    config = tmp_path / "nginx.conf"
    # Started by root, nginx would run as a user without access to the test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"{user} daemon off; pid {tmp_path}/nginx.pid; error_log stderr crit;\n{text}")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([program, "-e", "stderr", "-p", tmp_path, "-c", config])
    deadline = time.monotonic() + 20
    while True:
        try:
            get(f"http://127.0.0.1:{port}/healthz")
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


def get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url) as answer:
        body: dict[str, Any] = json.loads(answer.read())
        return body


def sockets_of(server: ServerProcess) -> float:
    """Return the number of open sockets of a server."""
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        (found,) = re.findall(r"^breathing_room_sockets (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found)


async def hears_of(person: websockets.ClientConnection, count: int) -> None:
    """Wait until a connection gets a presence with this count."""
    while json.loads(await person.recv()).get("count") != count:
        pass


async def test_one_room_behind_nginx(nginx: str, two: tuple[ServerProcess, ServerProcess]) -> None:
    """Sockets are spread over both servers and get the count of both; when one drains, its visitors and all
    reads go to the other.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def enter(visitor: str) -> websockets.ClientConnection:
            person = await stack.enter_async_context(
                websockets.connect(f"ws://{nginx}/v1/rooms/lobby/socket")
            )
            await person.send(json.dumps({"type": "join", "visitor": visitor * 22}))
            return person

        people = {visitor: await enter(visitor) for visitor in "abcd"}
        for person in people.values():
            await hears_of(person, 4)
        assert [sockets_of(server) for server in two] == [2, 2], "the one with the fewest gets the next"

        two[0].process.terminate()
        parting = {asyncio.create_task(person.wait_closed()): visitor for visitor, person in people.items()}
        while len(parting) > 2:
            gone, _ = await asyncio.wait(parting, return_when=asyncio.FIRST_COMPLETED)
            for visitor in [parting.pop(task) for task in gone]:
                assert people[visitor].close_code == RESTART
                people[visitor] = await enter(visitor)
        assert await asyncio.to_thread(two[0].process.wait, 30) == 0
        for task in parting:
            task.cancel()
        assert get(f"http://{nginx}/readyz") == {"ok": True}
        # Visitors who reconnected are in both counts until the last delta of the drained server is read.
        await until(lambda: get(f"{two[1].url}/v1/rooms/lobby")["count"] == 4)
