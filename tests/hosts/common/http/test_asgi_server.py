"""What runs any ASGI application of ours."""

import asyncio
import socket
from typing import Any

import httpx
import pytest
import uvicorn

from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.http.asgi_server import UVICORN_OPTIONS, AsgiServer, listen, url_of


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Begins and ends when asked to, and answers every request."""
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{what}"
            await send({"type": f"lifespan.{what}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


async def test_it_reports_that_it_listens_and_ends_on_a_signal() -> None:
    """A client that is let in when the server says so is answered, without the server's name; then the server
    ends without an error.
    """
    started = asyncio.Event()
    with listen("127.0.0.1", 0) as listener:
        server = AsgiServer(uvicorn.Config(app, **UVICORN_OPTIONS), started.set)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await started.wait()
        async with httpx.AsyncClient() as client:
            answer = await client.get(url_of(listener))
        assert (answer.status_code, answer.content) == (200, b"here")
        assert "server" not in answer.headers
        server.should_exit = True
        await serving


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do() -> None:
    """A second listener on one port is refused by name, unless both agreed to share it."""
    with listen("127.0.0.1", 0, reuse_port=True) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}: .*--port"):
            listen("127.0.0.1", port)
        listen("127.0.0.1", port, reuse_port=True).close()


def test_a_host_that_is_none_is_an_error() -> None:
    """An address that cannot be one is named."""
    with pytest.raises(ConfigError, match=r"cannot listen on 300\.1\.1\.1\.1"):
        listen("300.1.1.1.1", 0)


@pytest.mark.parametrize(
    ("family", "host", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)
def test_an_address_is_shown_as_one_types_it(family: socket.AddressFamily, host: str, shown: str) -> None:
    """The URL of a listener has its port, and brackets around an IPv6 address."""
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        assert url_of(listener) == f"http://{shown}:{listener.getsockname()[1]}"
