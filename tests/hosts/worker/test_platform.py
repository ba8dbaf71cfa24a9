"""Conversions between the runtime and Python, over fakes of the runtime's modules; ``test_conformance.py``
runs workerd.
"""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from breathing_room.core.errors import ClientError
from breathing_room.hosts.common.http.responses import Answer

NAME = "breathing_room.hosts.worker.platform"


class JsError(Exception):
    """The exception that the runtime raises for an error of JavaScript."""


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import the module over fakes of the runtime's modules."""

    def module(name: str, **members: Any) -> ModuleType:
        made = ModuleType(name)
        vars(made).update(members)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    def response(body: Any, status: int, headers: dict[str, str]) -> SimpleNamespace:
        return SimpleNamespace(body=body, status=status, headers=headers)

    module("js", Object=SimpleNamespace(fromEntries=dict))
    module("pyodide", ffi=module("pyodide.ffi", to_js=lambda value, **_: value, JsException=JsError))
    module("workers", Response=response)
    sys.modules.pop(NAME, None)
    yield importlib.import_module(NAME)
    sys.modules.pop(NAME, None)
    del sys.modules["breathing_room.hosts.worker"].platform


class Target:
    """A target to publish to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.put_there: list[Any] = []

    async def put(self, *what: Any, **more: Any) -> None:
        if self.error is not None:
            raise self.error
        self.put_there.append((what, more))


async def test_one_target_that_fails_does_not_keep_files_from_the_others(platform: Any) -> None:
    """All targets are tried, and their errors are raised together afterwards."""
    first, second, third = Target(RuntimeError("a")), Target(), Target(ValueError("b"))
    with pytest.raises(ExceptionGroup) as error:
        await platform.AllTargets([first, second, third]).put("path", b"x", {})
    assert [type(one) for one in error.value.exceptions] == [RuntimeError, ValueError]
    assert len(second.put_there) == 1
    await platform.AllTargets([second]).put("path", b"x", {})


async def test_an_object_of_a_bucket_has_the_headers_of_its_readers(platform: Any) -> None:
    """Content type and age go into the object's metadata, which the bucket answers to every reader."""
    bucket = Target()
    await platform.R2Target(bucket).put(
        "a.json", b"{}", {"Content-Type": "application/json", "Cache-Control": "max-age=5"}
    )
    about = {"httpMetadata": {"contentType": "application/json", "cacheControl": "max-age=5"}}
    assert bucket.put_there == [(("a.json", b"{}", about), {})]


def test_a_binding_may_be_missing_or_wrapped(platform: Any) -> None:
    """A binding is found behind the SDK's wrapper, and a missing one is None; variables are read as text."""
    env = SimpleNamespace(_env=SimpleNamespace(KV="kv", BREATHING_ROOM_LEASE_MS=41_000))
    assert platform.binding(env, "KV") == "kv"
    assert platform.binding(env._env, "BUCKET") is None
    assert platform.worker_config(env).server.room.lease_ms == 41_000


def a_request(*chunks: bytes, url: str = "https://room.example/a/b?x=1&y=&x=2", **headers: str) -> Any:
    left = list(chunks)
    cancelled: list[bool] = []

    async def read() -> Any:
        if not left:
            return SimpleNamespace(done=True)
        chunk = left.pop(0)
        return SimpleNamespace(done=False, value=SimpleNamespace(to_bytes=lambda: chunk))

    async def cancel() -> None:
        cancelled.append(True)

    reader = SimpleNamespace(read=read, cancel=cancel)
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    body = SimpleNamespace(getReader=lambda: reader) if chunks else None
    return SimpleNamespace(method="POST", url=url, headers=found, body=body, cancelled=cancelled)


async def test_a_request_is_converted_for_routes(platform: Any) -> None:
    """Path without query, the first of several parameters, headers or None, and the whole body."""
    request = platform.read_request(a_request(b"ab", b"c", host="room.example"))
    assert (request.method, request.path, dict(request.query)) == ("POST", "/a/b", {"x": "1", "y": ""})
    assert (request.header("host"), request.header("origin")) == ("room.example", None)
    assert await request.read(3) == b"abc"
    assert await platform.read_request(a_request()).read(3) == b""


@pytest.mark.parametrize("declared", [None, "4", "3"])
async def test_a_body_over_its_limit_is_refused(declared: str | None, platform: Any) -> None:
    """A body above the limit is refused and not read on, whether its length was declared rightly, wrongly or
    not.
    """
    raw = a_request(b"ab", b"cd", b"ef", **({} if declared is None else {"content_length": declared}))
    with pytest.raises(ClientError) as error:
        await platform.read_request(raw).read(3)
    assert error.value.status == 413
    assert raw.cancelled == ([] if declared == "4" else [True])


async def test_half_a_body_is_the_clients_error(platform: Any) -> None:
    """A client that disconnects in the middle of a body is refused as cut off, as a server does; it is no
    bug.
    """

    async def lose_the_connection() -> Any:
        raise JsError("Error: Network connection lost.")

    raw = a_request(b"ab")
    raw.body.getReader().read = lose_the_connection
    with pytest.raises(ClientError) as error:
        await platform.read_request(raw).read(3)
    assert (error.value.code, error.value.status) == ("cut_off", 400)


def test_a_response_without_a_body_has_none(platform: Any) -> None:
    """To HEAD, and with 204 and 304, no body is sent; headers are those of the answer and those that all
    answers share.
    """
    answer = Answer(200, b"{}", {"A": "a", "B": "b"})
    made = platform.respond(answer, {"B": "c"})
    assert (made.body, made.status, made.headers) == (b"{}", 200, {"A": "a", "B": "c"})
    assert platform.respond(answer, {}, head=True).body is None
    assert [platform.respond(Answer(status, b""), {}).body for status in (204, 304)] == [None, None]
