"""The whole server as a process: how it begins, what it says, and how it ends."""

import asyncio
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from breathing_room.testing.peer import WireSocket
from harness import Serve, ServerProcess
from raw_websocket import Opcode, RawSocket, encode_frame, get_presence, handshake, join

SERVE = [sys.executable, "-m", "breathing_room", "serve"]


def failed_start(*flags: str, folder: Path) -> tuple[int, str]:
    """Start a server that cannot start: its exit status, and what it said."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("BREATHING_ROOM_")
    }
    done = subprocess.run(
        [*SERVE, *flags], cwd=folder, env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_start_says_where_and_how_many(server: ServerProcess) -> None:
    """It says in two lines where it listens, how many people it can hold, and how it is ended."""
    server.stop()
    where, how_many = server.lines
    assert where == f"Breathing Room listens on {server.url}"
    assert re.fullmatch(r"It can hold [\d,]+ connections \([\d,]+ open files\)\. Ctrl-C stops it\.", how_many)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_in_order(serve: Serve, number: signal.Signals) -> None:
    """
    A signal ends it within moments, with status 0 and without a word of complaint, though a client is
    connected.
    """
    server = serve()
    with join(server.port) as person:
        began_s = time.monotonic()
        server.process.send_signal(number)
        assert person.read_close(answer=True).close_code == 1012
        assert server.process.wait(10) == 0
        assert time.monotonic() - began_s < 3
    assert len(server.lines) == 2, server.lines


def test_second_start_on_a_port_says_so(server: ServerProcess, tmp_path: Path) -> None:
    """A port that is taken is named, with the option that chooses another."""
    status, said = failed_start("--port", str(server.port), folder=tmp_path)
    assert status == 2
    assert str(server.port) in said
    assert "--port" in said


@pytest.mark.slow
@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_address_that_cannot_be_had_is_named(tmp_path: Path, host: str) -> None:
    """An address that is none, or not of this machine, is named."""
    status, said = failed_start("--host", host, "--port", "0", folder=tmp_path)
    assert status == 2
    assert host in said


@pytest.mark.slow
def test_bad_data_file_is_named(tmp_path: Path) -> None:
    """
    A data file that is not ours, in no folder, or a folder itself is named, and what is in it is left alone.
    """
    (tmp_path / "letter.db").write_text("Dear Ann, " * 100, encoding="utf-8")
    (tmp_path / "folder.db").mkdir()
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as theirs:
        theirs.execute("CREATE TABLE letters (text TEXT)")
    for name in ("letter.db", "folder.db", "theirs.db", "no/such/folder.db"):
        status, said = failed_start("--data", name, "--port", "0", folder=tmp_path)
        assert status == 1, said
        assert name in said
    assert (tmp_path / "letter.db").read_text(encoding="utf-8").startswith("Dear Ann, ")


def test_failed_start_leaves_nothing_behind(server: ServerProcess, tmp_path: Path) -> None:
    """A start that fails for its port makes no data file."""
    failed_start("--port", str(server.port), "--data", "new.db", folder=tmp_path)
    assert not (tmp_path / "new.db").exists()


def test_data_file_is_private(server: ServerProcess) -> None:
    """Only its owner may read the data file."""
    assert server.data.stat().st_mode & 0o077 == 0


def has_ipv6() -> bool:
    """Return whether this machine has ::1."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", *(["::1"] if has_ipv6() else [])])
def test_address_is_shown_as_one_types_it(tmp_path: Path, host: str) -> None:
    """The printed address can be opened as it stands, also where it is of IPv6."""
    command = [*SERVE, "--host", host, "--port", "0", "--data", str(tmp_path / "room.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]

            async def converse() -> int:
                person = await WireSocket.open(url, "/v1/rooms/lobby/socket")
                person.send_message("join", visitor="visitor-0123456789")
                count = (await person.receive("presence"))["count"]
                person.cut()
                return int(count)

            assert asyncio.run(converse()) == 1
        finally:
            process.kill()


async def test_quiet_person_stays_however_short_the_lease(serve: Serve) -> None:
    """
    With the shortest lease that the settings allow, a client that answers pings stays connected: they come in
    time.
    """
    server = serve("--lease-ms", "500", "--grace-ms", "100", "--push-ms", "20")
    person = await WireSocket.open(server.url, "/v1/rooms/lobby/socket")
    person.send_message("join", visitor="visitor-0123456789")
    for _ in range(10):
        await asyncio.sleep(0.125)
        presence = await asyncio.to_thread(get_presence, server.port)
        assert (presence["low"], presence["high"]) == (1, 1)
    assert person.is_open
    person.cut()


def test_connection_can_be_reused_and_upgraded_late(server: ServerProcess) -> None:
    """
    A proxy that keeps connections may send requests first and a handshake later: the socket then works like
    any other.
    """
    with RawSocket(server.port) as proxy:
        for _ in range(2):
            assert proxy.request("GET", "/v1/rooms/lobby").status == 200
        proxy.upgrade(handshake())
        proxy.send_message("join", visitor="visitor-0123456789")
        assert proxy.receive("presence")["count"] == 1
        proxy.send(encode_frame(Opcode.PING, b"there?"))
        frame = proxy.read_frame()
        assert frame is not None
        assert (frame.opcode, frame.payload) == (Opcode.PONG, b"there?")


def test_a_plain_request_on_a_socket_path_is_426(server: ServerProcess) -> None:
    """
    A GET on a socket path that is no handshake is 426, as a connection's first request and as a later one.
    """
    for path in ("/v1/rooms/lobby/socket", "/api/room?sessionId=ann"):
        with RawSocket(server.port) as client:
            assert client.request("GET", path).status == 426
        with RawSocket(server.port) as client:
            client.request("GET", "/healthz")
            answer = client.request("GET", path)
            assert (answer.status, answer.error()["code"]) == (426, "upgrade_required")


def test_the_server_does_not_send_its_name(server: ServerProcess) -> None:
    """No answer says which software of which version runs here."""
    with RawSocket(server.port) as client:
        assert "server" not in client.request("GET", "/").headers


def test_backlog_takes_a_storm(server: ServerProcess) -> None:
    """Three hundred connections that come at the same moment are all taken."""
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
    for client in clients:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    for client in clients:
        client.settimeout(5)
        with closing(client):
            assert client.recv(64).startswith(b"HTTP/1.1 200")
