"""A way to a Redis, which answers late, wrongly or not at all."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import breathing_room
from breathing_room.core.errors import StoreError
from breathing_room.stores.redis_link import RedisLink, is_redis, read_script


def test_the_url_of_a_redis_is_recognized_by_its_scheme() -> None:
    """URLs of Redis are distinguished from file names by their scheme."""
    assert is_redis("redis://localhost")
    assert is_redis("REDISS+sentinel://a,b/name")
    assert is_redis("unix:///run/redis.sock")
    assert not is_redis("redis")
    assert not is_redis("file://redis.db")


@asynccontextmanager
async def pretending(answer: bytes | None) -> AsyncIterator[int]:
    """Answer every command with the same, or with nothing, and yield the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if answer is not None:
                # A pipeline of commands wants as many answers; each begins with an asterisk on a line of its
                # own.
                writer.write(answer * data.count(b"*"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_redis_too_old() -> None:
    """A server before 7.0 is rejected by its version."""
    info = b"# Server\r\nredis_version:6.2.14\r\n"
    async with pretending(b"$%d\r\n%s\r\n" % (len(info), info)) as port:
        link = RedisLink(f"redis://127.0.0.1:{port}")
        with pytest.raises(StoreError) as error:
            await link.check()
        await link.close()

    assert "is Redis 6.2.14; 7.0 or later is needed" in str(error.value)
    assert not error.value.temporary


async def test_a_redis_that_does_not_answer() -> None:
    """A call to a server that does not answer fails within the time-out."""
    async with pretending(None) as port:
        link = RedisLink(f"redis://127.0.0.1:{port}", timeout_s=0.05)
        with pytest.raises(StoreError, match="does not answer in time") as error:
            await link.check()
        await link.close()

    assert error.value.temporary


async def test_a_connection_that_is_not_accepted_times_out() -> None:
    """A connection that is not accepted fails within the time-out, not after minutes."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        link = RedisLink(f"redis://127.0.0.1:{full.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(StoreError) as error:
            await link.check()
        assert error.value.temporary
        await link.close()


@pytest.mark.parametrize(("package", "name"), [("stores", "list.lua"), ("logs", "swap.lua")])
def test_scripts_lie_beside_what_runs_them(package: str, name: str) -> None:
    """A script is read from the folder `lua` of its package, whole."""
    file = Path(breathing_room.__file__).parent / package / "lua" / name
    assert read_script(f"breathing_room.{package}", name) == file.read_text(encoding="utf-8")
