"""A plain HTTP server with scripted answers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from scripted_server import CONFIG, COUNTED

POLLED: dict[str, Any] = CONFIG | {"mode": "poll"}


def answer(body: Any, *, status: int = 200, **headers: str) -> bytes:
    """Write an answer; a body that is not bytes is JSON."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return (
        "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", *lines, "", ""]).encode() + text
    )


def presence(**changes: Any) -> bytes:
    """Answer with a presence."""
    return answer({name: value for name, value in COUNTED.items() if name != "type"} | changes)


def error(code: str, status: int, **headers: str) -> bytes:
    """Answer with an error in the shape of the protocol."""
    return answer(
        {"error": {"code": code, "message": "so it is", "status": status}}, status=status, **headers
    )


@dataclass
class Asked:
    """A received request."""

    method: str
    path: str
    body: Any
    connection: int
    at_s: float


@dataclass
class HttpScript:
    """The answers by the last word of the path; a list is played one by one, the last one repeatedly.

    None breaks the connection without a word, and a callable is called for its answer.
    """

    pages: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    def of(self, word: str) -> list[Asked]:
        """Return the requests for a page."""
        return [one for one in self.asked if one.path.rsplit("/", 1)[1] == word]

    def reply(self, path: str) -> bytes | None:
        """Return the answer to a request."""
        page = self.pages[path.rsplit("/", 1)[1]]
        if isinstance(page, list):
            page = page.pop(0) if len(page) > 1 else page[0]
        if isinstance(page, Callable):  # type: ignore[arg-type]
            page = page()
        return page  # type: ignore[no-any-return]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until it ends."""
        self.connections += 1
        connection = self.connections
        task = asyncio.current_task()
        assert task is not None
        self.serving[task] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, *_ = head.split(" ")
                length = next(
                    (
                        int(line.split(":")[1])
                        for line in head.splitlines()
                        if line.lower().startswith("content-length:")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                at_s = asyncio.get_running_loop().time()
                self.asked.append(Asked(method, path, json.loads(body) if body else None, connection, at_s))
                reply = self.reply(path)
                if reply is None:
                    break
                writer.write(reply)
                if b"Connection: close" in reply:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def scripted_http(script: HttpScript, *, port: int = 0, **listening: Any) -> AsyncIterator[str]:
    """Serve a script on 127.0.0.1, and yield the address."""
    server = await asyncio.start_server(script.serve, "127.0.0.1", port, **listening)
    scheme = "https" if listening.get("ssl") else "http"
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in script.serving.values():
            writer.transport.abort()
        await asyncio.gather(*script.serving)
