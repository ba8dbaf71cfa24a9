"""The image: the steps of its Dockerfile, run without an engine.

No container is built here. The Dockerfile is read as an engine reads it, and what it starts is started: the
command and the health check, with the image's environment and no other, with the folders of the image in a
folder of the test.
"""

import contextlib
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from compose_spec import PyCompose

from breathing_room.hosts.common.read_settings import ENVIRONMENT_PREFIX, parse
from breathing_room.hosts.common.settings import FIELDS
from redis_process import free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
HOWTO = (ROOT / "docs" / "howto" / "docker.md").read_text(encoding="utf-8")
PATIENCE_S = 20.0


@dataclass
class Image:
    """The instructions of a Dockerfile."""

    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    check: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Image":
        """Read a Dockerfile of one stage, with lists in JSON."""
        text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        image = cls()
        for line in text.replace("\\\n", " ").splitlines():
            word, _, rest = line.strip().partition(" ")
            match word:
                case "ENV":
                    image.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
                case "USER":
                    image.user = rest
                case "WORKDIR":
                    image.folder = rest
                case "VOLUME":
                    image.volumes += rest.split()
                case "EXPOSE":
                    image.ports += rest.split()
                case "HEALTHCHECK":
                    image.check = json.loads(rest.partition(" CMD ")[2])
                case "CMD":
                    image.command = json.loads(rest)
                case "COPY":
                    image.copied += rest.split()[:-1]
                case "RUN":
                    assert image.user == "root", "nothing is installed after USER"
                    image.run.append(rest)
                case "FROM" | "":
                    pass
                case _:
                    raise AssertionError(f"this test cannot read {word}")
        return image


IMAGE = Image.read(DEPLOY / "Dockerfile")


class Container:
    """A container without an engine: its root is a folder, and its port is a free one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        for path in ("/tmp", *IMAGE.volumes):
            self.on_host(path).mkdir(parents=True, exist_ok=True)
        mapped = {name: self._mapped(value) for name, value in IMAGE.environment.items()}
        # In the image `python` and our command are in one folder of the PATH, as here.
        self.environment = {"PATH": str(Path(sys.executable).parent)} | mapped
        self.environment |= {"BREATHING_ROOM_PORT": str(self.port)}
        self.process: subprocess.Popen[bytes] | None = None

    def on_host(self, path: str) -> Path:
        return self.root / PurePosixPath(path).relative_to("/")

    def _mapped(self, value: str) -> str:
        return str(self.on_host(value)) if value.startswith("/") else value

    def start(self) -> None:
        program = shutil.which(IMAGE.command[0], path=self.environment["PATH"])
        assert program, f"{IMAGE.command[0]} is not installed"
        folder = self.on_host(IMAGE.folder)
        self.process = subprocess.Popen([program, *IMAGE.command[1:]], env=self.environment, cwd=folder)

    def stop(self) -> int:
        """Stop it as `docker stop` does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=10)
        self.process = None
        return status

    def check(self, **more: str) -> int:
        """Run the health check, and return its status."""
        program = shutil.which(IMAGE.check[0], path=self.environment["PATH"])
        assert program
        done = subprocess.run(
            [program, *IMAGE.check[1:]], env=self.environment | more, stderr=subprocess.DEVNULL, check=False
        )
        return done.returncode

    def until_healthy(self) -> None:
        self._until(lambda: self.check() == 0)

    def until_up(self) -> None:
        """Wait until the server answers from inside the container."""

        def is_up() -> bool:
            with contextlib.suppress(OSError):
                return bool(self.get("/readyz"))
            return False

        self._until(is_up)

    def _until(self, is_so: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert self.process is not None
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline_s, f"not so within {PATIENCE_S} s"
            time.sleep(0.05)

    def get(self, path: str, host: str = "127.0.0.1") -> Any:
        with urllib.request.urlopen(f"http://{host}:{self.port}{path}", timeout=5) as answer:
            return json.loads(answer.read())

    def written(self) -> set[Path]:
        """List the files that the server has open for writing."""
        assert self.process is not None
        found = set()
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            flags = re.search(
                r"^flags:\s+(\d+)$",
                (descriptor.parent.parent / "fdinfo" / descriptor.name).read_text(),
                re.MULTILINE,
            )
            path = descriptor.readlink()
            assert flags
            if int(flags[1], 8) & os.O_ACCMODE and path.is_file():
                found.add(path)
        return found


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """A container that is not started yet."""
    container = Container(tmp_path / "container")
    yield container
    if container.process is not None:
        container.process.kill()
        container.process.wait()


def test_a_published_port_reaches_the_server(container: Container) -> None:
    """U7: the image's command listens on every address of the
    container, at the port that the image exposes.
    """
    container.start()
    container.until_up()
    # Another loopback address reaches only a server that listens on all.
    assert container.get("/readyz", "127.0.0.2") == {"ok": True}
    rows = [row.split()[1:4] for row in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    listening = [local for local, _, state in rows if state == "0A"]
    assert f"00000000:{container.port:04X}" in listening
    assert IMAGE.ports == [IMAGE.environment["BREATHING_ROOM_PORT"]]


def test_the_data_is_in_the_volume_and_nothing_else_is_written(container: Container) -> None:
    """U7: the server writes only to the volume, which its user owns; a new container restores the visitors of
    the old one.
    """
    (volume,) = IMAGE.volumes
    container.start()
    container.until_healthy()
    body = json.dumps({"visitor": "a" * 22, "mood": "release"}).encode()
    url = f"http://127.0.0.1:{container.port}/v1/rooms/_default/heartbeat"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as answer:
        assert json.loads(answer.read())["count"] == 1
    written = container.written()
    assert container.on_host(IMAGE.environment["BREATHING_ROOM_DATA"]) in written
    assert all(path.is_relative_to(container.on_host(volume)) for path in written), written
    assert container.stop() == 0
    outside = [
        path
        for path in container.root.rglob("*")
        if path.is_file() and not path.is_relative_to(container.on_host(volume))
    ]
    assert outside == []

    successor = Container(container.root)
    successor.start()
    try:
        successor.until_healthy()
        presence = successor.get("/v1/rooms/_default")
        assert (presence["method"], presence["high"], presence["moods"]["release"]) == ("stale", 1, 1)
    finally:
        successor.stop()


def test_the_health_check_says_whether_people_can_come(container: Container) -> None:
    """U7: the health check fails before the server is up, succeeds while it is, with any proxy set, and fails
    when it is down or hangs.
    """
    assert container.check() == 1
    container.start()
    container.until_healthy()
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert container.check(http_proxy=nowhere, HTTP_PROXY=nowhere) == 0
    assert container.stop() == 0
    assert container.check() == 1
    with socket.create_server(("127.0.0.1", container.port)):
        assert container.check() == 1, "what accepts and never answers is not healthy"


def test_the_server_is_a_user_of_its_own() -> None:
    """U7: the image runs as a user that it creates, with a fixed id, who owns the volume before it is
    declared.
    """
    assert IMAGE.user not in {"root", "0"}
    (script,) = IMAGE.run
    steps = [shlex.split(step) for step in script.split("&&")]
    (made,) = [step for step in steps if step[0] == "useradd"]
    assert made[-1] == IMAGE.user
    uid = made[made.index("--uid") + 1]
    assert int(uid) > 0
    (owned,) = [step for step in steps if step[0] == "install"]
    assert owned[owned.index("--owner") + 1] == IMAGE.user
    assert owned[-1] in IMAGE.volumes
    assert f"chown {uid} " in HOWTO


def test_the_context_is_what_is_copied() -> None:
    """U7: the build context has every file that the image copies, and no other file of a developer's tree."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert rules[0] == "*"

    def is_sent(path: PurePosixPath) -> bool:
        """Whether the last rule that matches the path, or a folder that it is in, lets it through."""
        sent = True
        for rule in rules:
            pattern = rule.removeprefix("!")
            names = [str(part) for part in (path, *path.parents)][:-1]
            short = pattern.removeprefix("**/")
            if any(
                fnmatch.fnmatchcase(PurePosixPath(name).name if pattern != short else name, short)
                for name in names
            ):
                sent = rule.startswith("!")
        return sent

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [PurePosixPath(name) for name in tracked.stdout.splitlines()]
    wanted = {path for path in files if path.parts[0] in IMAGE.copied}
    assert len(wanted) > 200
    assert {path for path in files if is_sent(path)} == wanted
    for name in (
        ".git/HEAD",
        ".venv/bin/python",
        "node_modules/a.js",
        "src/breathing_room/__pycache__/a.pyc",
    ):
        assert not is_sent(PurePosixPath(name)), name
    for name in ("src/breathing_room/web/client/node_modules/a.js", "src/room.db", "src/room.db-wal"):
        assert not is_sent(PurePosixPath(name)), name


def test_the_compose_file_of_one_server() -> None:
    """U7: the compose file of one server conforms to the specification,
    and has the image's port and volume.
    """
    compose = PyCompose.from_yaml((DEPLOY / "compose.one.yaml").read_text(encoding="utf-8"))
    compose.validate()
    (service,) = compose.to_dict()["services"].values()
    build = service["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert [port.rpartition(":")[2] for port in service["ports"]] == IMAGE.ports
    assert [volume.rpartition(":")[2] for volume in service["volumes"]] == IMAGE.volumes
    assert {volume.partition(":")[0] for volume in service["volumes"]} == set(compose.to_dict()["volumes"])


def test_the_how_to_names_what_there_is() -> None:
    """U7: every variable of the how-to is a setting, and its files and port are those of the image."""
    for name, value in re.findall(rf"{ENVIRONMENT_PREFIX}([A-Z_]+)=(\S+)", HOWTO):
        if name != "CONFIG" and not value.startswith('"$('):
            parse(name.lower(), value, FIELDS)
    for name in re.findall(r"deploy/[\w.]+", HOWTO):
        assert (ROOT / name).is_file(), name
    assert f":{IMAGE.ports[0]} " in HOWTO
    assert f":{IMAGE.volumes[0]} " in HOWTO
