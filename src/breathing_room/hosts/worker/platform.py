"""Conversions between the runtime and Python: JavaScript's values, requests, responses and bindings."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import js
from pyodide.ffi import JsException, to_js
from workers import Response

from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.http.handshake import first_values
from breathing_room.hosts.common.http.responses import Answer, body_cut_off, body_too_large, check_declared
from breathing_room.hosts.common.read_settings import variable_of
from breathing_room.hosts.common.rooms.clock import WallClock
from breathing_room.hosts.worker.room_platform import EdgeServices
from breathing_room.hosts.worker.routes import HttpRequest
from breathing_room.hosts.worker.settings import WORKER_FIELDS, WorkerConfig
from breathing_room.ports import PublishTarget
from breathing_room.stores.kv import KvStore


def to_object(value: Any) -> Any:
    """Convert to a JavaScript value: a dictionary to an object, bytes to a buffer."""
    return to_js(value, dict_converter=js.Object.fromEntries)


def binding(env: Any, name: str) -> Any:
    """Return a binding or a variable; None where the configuration of ``wrangler`` has none."""
    raw = getattr(env, "_env", env)  # The SDK's wrapper would convert every argument, at ten times the price.
    return getattr(raw, name, None)


def worker_config(env: Any) -> WorkerConfig:
    """Read the settings from the variables."""
    found = {variable: binding(env, variable) for variable in map(variable_of, WORKER_FIELDS)}
    return WorkerConfig.load({name: str(value) for name, value in found.items() if value is not None})


class R2Target:
    """An R2 bucket to which presences are published."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Put an object with the headers that the bucket answers to every reader."""
        about = {"contentType": headers["Content-Type"], "cacheControl": headers["Cache-Control"]}
        await self._bucket.put(path, to_js(content), to_object({"httpMetadata": about}))


class AllTargets:
    """Publishes the same files to several targets, to each even if another fails."""

    def __init__(self, targets: list[PublishTarget]) -> None:
        self._targets = targets

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Put a file to every target.

        Raises:
            ExceptionGroup: Some targets failed.
        """
        failed: list[Exception] = []
        for target in self._targets:
            try:
                await target.put(path, content, headers)
            except Exception as error:  # noqa: BLE001 - each may fail with anything
                failed.append(error)
        if failed:
            raise ExceptionGroup("not published everywhere", failed)


class KvTarget:
    """A KV namespace to which presences are published, for Workers elsewhere to read."""

    def __init__(self, namespace: Any) -> None:
        self._store = KvStore(namespace, to_object)

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Put a value; KV has no headers."""
        del headers
        await self._store.put(path, content)


def make_host(env: Any) -> EdgeServices:
    """Create the services that the rooms of a Worker share, from its bindings.

    ``KV`` has the backups of rooms; to ``BUCKET`` (R2) and ``PRESENCE`` (KV) presences are published.
    """
    worker = worker_config(env)
    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("breathing_room").setLevel(worker.server.log_level.upper())
    kv, bucket, presence = binding(env, "KV"), binding(env, "BUCKET"), binding(env, "PRESENCE")
    targets: list[PublishTarget] = []
    if bucket is not None:
        targets.append(R2Target(bucket))
    if presence is not None:
        targets.append(KvTarget(presence))
    return EdgeServices(
        worker=worker,
        clock=WallClock(),
        prefixes=Prefixes((), worker.server.networks_without_cap),
        store=None if kv is None else KvStore(kv, to_object),
        target=AllTargets(targets) if targets else None,
    )


def read_request(request: Any) -> HttpRequest:
    """Convert a JavaScript request to an ``HttpRequest``."""
    url = urlsplit(request.url)
    headers = request.headers

    def header(name: str) -> str | None:
        value = headers.get(name)
        return value if isinstance(value, str) else None

    async def read(bytes_max: int) -> bytes:
        check_declared(header("content-length"), bytes_max)
        if not request.body:
            return b""
        body, reader = b"", request.body.getReader()
        while not (chunk := await read_chunk(reader)).done:
            body += chunk.value.to_bytes()
            if len(body) > bytes_max:
                await reader.cancel()
                raise body_too_large(bytes_max)
        return body

    return HttpRequest(request.method, url.path, first_values(url.query), header, read)


async def read_chunk(reader: Any) -> Any:
    """Read the next chunk of a body.

    Raises:
        ClientError: The client hung up before the end of the body.
    """
    try:
        return await reader.read()
    except JsException:
        raise body_cut_off() from None


def respond(answer: Answer, headers: Mapping[str, str], *, head: bool = False) -> Any:
    """Convert an answer to a JavaScript response."""
    body = None if head or answer.status in {204, 304} else answer.body
    return Response(body, answer.status, headers={**answer.headers, **headers})
