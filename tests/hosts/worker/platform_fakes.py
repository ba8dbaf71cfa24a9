"""KV and R2 as services on this machine, for a workerd that has neither: fakes, with the documented limits.

They speak what the runtime's bindings speak: KV is one HTTP request for each call, R2 has its own description
in JSON in front of the bytes. What they hold to, from the platform's pages of 2026-10:

- KV: one write a second to one key, 429 beyond (https://developers.cloudflare.com/kv/platform/limits/); a
  time to live of 60 s or more.
- R2: one write a second to one object (https://developers.cloudflare.com/r2/platform/limits/).

What they do not: reads that are up to 60 s old, and anything about places far apart.
"""

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REST_S = 1.0
TTL_S_MIN = 60


@dataclass
class Service:
    """What all requests of one service share.

    Attributes:
        values: By key.
        headers: The metadata of each in R2.
        ttl_s: The time to live of each in KV.
        calls: How often each kind of call was made.
        failing: Whether every call is answered 500.
        too_soon: How often each key was written too soon.
        written_at_s: When each key was written, by a clock that does not jump.
    """

    values: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    ttl_s: dict[str, int] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    failing: bool = False
    too_soon: Counter[str] = field(default_factory=Counter)
    written_at_s: dict[str, list[float]] = field(default_factory=dict)
    server: ThreadingHTTPServer = field(init=False)

    def start(self, handler: type["Handler"]) -> "Service":
        """Listen on a free port."""
        self.server = Server(("127.0.0.1", 0), type(handler.__name__, (handler,), {"service": self}))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        """Listen no more."""
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def write(self, key: str, value: bytes) -> bool:
        """Keep a value, unless its key was written less than a second ago."""
        now_s = time.monotonic()
        written_at_s = self.written_at_s.setdefault(key, [])
        if written_at_s and now_s - written_at_s[-1] < REST_S:
            self.too_soon[key] += 1
            return False
        written_at_s.append(now_s)
        self.values[key] = value
        return True


class Server(ThreadingHTTPServer):
    """A server that many clients may connect to at once."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing if a runtime ended in the middle of a request: some tests are about that."""


class Handler(BaseHTTPRequestHandler):
    """What both services do."""

    service: Service
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""

    def read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuses(self, call: str) -> bool:
        """Count a call, and fail it if all are to fail."""
        self.service.calls[call] += 1
        if self.service.failing:
            # R2 says in a header what KV says in its status.
            self.answer(
                500,
                b"injected",
                {"cf-r2-error": json.dumps({"v4code": 10001, "message": "injected", "version": 1})},
            )
        return self.service.failing


class Kv(Handler):
    """Workers KV, as the runtime's binding asks it."""

    @property
    def key(self) -> str:
        return unquote(urlsplit(self.path).path[1:])

    def do_GET(self) -> None:
        if not self.key:
            self.list()
        elif not self.refuses("read"):
            value = self.service.values.get(self.key)
            self.answer(404) if value is None else self.answer(200, value)

    def do_PUT(self) -> None:
        value = self.read()
        if self.refuses("write"):
            return
        ttl_s = int(parse_qs(urlsplit(self.path).query).get("expiration_ttl", ["0"])[0])
        if 0 < ttl_s < TTL_S_MIN:
            self.answer(400, b"expiration_ttl is too short")
        elif self.service.write(self.key, value):
            self.service.ttl_s[self.key] = ttl_s
            self.answer(200)
        else:
            self.answer(429)

    def do_DELETE(self) -> None:
        if not self.refuses("delete"):
            self.service.values.pop(self.key, None)
            self.answer(200)

    def list(self) -> None:
        if self.refuses("list"):
            return
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        keys = [{"name": key} for key in sorted(self.service.values) if key.startswith(prefix)]
        self.answer(200, json.dumps({"keys": keys, "list_complete": True, "cacheStatus": None}).encode())


class R2(Handler):
    """R2, as the runtime's binding asks it: only to put."""

    def do_PUT(self) -> None:
        body = self.read()
        size = int(self.headers["cf-r2-metadata-size"])
        about, value = json.loads(body[:size]), body[size:]
        if self.refuses("write"):
            return
        key = about["object"]
        if not self.service.write(key, value):
            self.answer(
                429, b"", {"cf-r2-error": json.dumps({"v4code": 10058, "message": "too soon", "version": 1})}
            )
            return
        self.service.headers[key] = {item: about.get(item) for item in ("httpFields", "customFields")}
        head = {
            "name": key,
            "version": "1",
            "size": str(len(value)),
            "etag": "1",
            "uploaded": str(int(time.time() * 1_000)),
            "httpFields": {},
            "customFields": [],
        }
        encoded = json.dumps(head).encode()
        self.answer(200, encoded, {"cf-r2-metadata-size": str(len(encoded))})
