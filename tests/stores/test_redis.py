"""The store in a Redis."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from breathing_room.core.errors import HostError, StoreError
from breathing_room.stores import RedisStore, open_store
from breathing_room.stores.redis_link import RedisLink
from breathing_room.testing import check_store
from redis_process import RedisProcess, free_port, redis_process, sentinel_process, write_certificate


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisProcess]:
    with redis_process() as server:
        yield server


numbers = itertools.count()


def apart(server: RedisProcess) -> str:
    """An address under which nothing was kept before."""
    return f"{server.url}?prefix=test-{next(numbers)}"


async def error_of(address: str) -> StoreError:
    """Open a store that cannot be opened, and return the error. It must not hold the password."""
    with pytest.raises(StoreError) as error:
        await RedisStore.open(address)
    assert "hunter2" not in str(error.value)
    return error.value


async def test_it_is_a_store(redis: RedisProcess) -> None:
    """The store in Redis keeps every promise of a store, in real time."""
    await check_store(lambda: RedisStore.open(apart(redis)))


async def test_a_setting_opens_it(redis: RedisProcess) -> None:
    """The URL of a Redis opens a store, which another one at the same URL shares."""
    address = apart(redis)
    first, second = await open_store(address), await open_store(address)
    await first.put("a", b"1")

    assert isinstance(first, RedisStore)
    assert await second.get("a") == b"1"
    await first.close()
    await second.close()


async def test_all_its_keys_are_under_its_prefix(redis: RedisProcess) -> None:
    """Every key in Redis begins with the prefix, and after the deletes none is left."""
    link = RedisLink(redis.url)
    store = await RedisStore.open(f"{redis.url}?prefix=mine")
    await store.put("a", b"1")
    await store.put("b", b"1", ttl_ms=50_000)
    keys = [key async for key in link.client.scan_iter("mine*")]
    await store.delete("a")
    await store.delete("b")

    assert sorted(keys) == [b"mine:index", b"mine:value/a", b"mine:value/b"]
    assert [key async for key in link.client.scan_iter("mine*")] == []
    await store.close()
    await link.close()


async def test_expired_keys_leave_the_index(redis: RedisProcess) -> None:
    """A list removes expired keys from the index, so that the index does not grow without limit."""
    store = await RedisStore.open(f"{redis.url}?prefix=expiring")
    await store.put("a", b"1", ttl_ms=1)
    await store.put("b", b"1")
    await asyncio.sleep(0.05)

    assert await store.list("") == ["b"]
    link = RedisLink(redis.url)
    assert await link.client.zcard("expiring:index") == 1
    await store.close()
    await link.close()


# --- Ways to a Redis --------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_unix_socket(tmp_path: Path) -> None:
    """A Redis is reached over a Unix socket."""
    path = tmp_path / "redis.sock"
    with redis_process("--unixsocket", str(path)):
        store = await RedisStore.open(f"unix://{path}?db=1")
        await store.put("a", b"1")
        assert await store.get("a") == b"1"
        await store.close()


@pytest.mark.slow
async def test_tls_and_a_password(tmp_path: Path) -> None:
    """A Redis is reached over TLS with a password; a certificate without a known issuer is rejected."""
    certificate, key = write_certificate(tmp_path)
    port = free_port()
    flags = (
        *("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no", "--requirepass", "hunter2"),
    )
    with redis_process(*flags):
        address = f"rediss://:hunter2@127.0.0.1:{port}"
        store = await RedisStore.open(f"{address}?ssl_ca_certs={certificate}")
        await store.put("a", b"1")
        assert await store.get("a") == b"1"
        await store.close()
        assert "cannot be reached" in str(await error_of(address))


async def test_a_sentinel(redis: RedisProcess, tmp_path: Path) -> None:
    """The Sentinels are asked where the master is; one that is unreachable does no harm."""
    with sentinel_process(redis, tmp_path) as port:
        store = await RedisStore.open(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/crowd/2")
        await store.put("a", b"1")
        assert await store.get("a") == b"1"
        await store.close()

        unknown = await error_of(f"redis+sentinel://127.0.0.1:{port}/unknown")
        assert unknown.temporary


# --- Failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "redis://",
        "redis://127.0.0.1:hunter2",
        "redis://127.0.0.1/0?prefix=not allowed",
        "redis://127.0.0.1/0?hunter2=1&socket_timeout=never",
        "redis+sentinel://127.0.0.1",
        "redis+sentinel://:hunter2@127.0.0.1:port/crowd",
        "redis+sentinel:///crowd",
    ],
)
async def test_a_wrong_address(address: str) -> None:
    """An invalid URL is rejected before anything is sent, and is not repeated in the message."""
    with pytest.raises(HostError) as error:
        await open_store(address)

    assert "hunter2" not in str(error.value)


async def test_an_unreachable_server_is_a_temporary_error() -> None:
    """An unreachable server is a temporary error."""
    port = free_port()
    error = await error_of(f"redis://:hunter2@127.0.0.1:{port}/0")

    assert str(error) == f"redis://127.0.0.1:{port} cannot be reached"
    assert error.temporary


@pytest.mark.slow
async def test_a_wrong_password() -> None:
    """A wrong password, and none where one is needed, are reported as
    such, and not as an unreachable server.
    """
    with redis_process("--requirepass", "open sesame") as server:
        wrong = await error_of(f"redis://:hunter2@127.0.0.1:{server.port}")
        none = await error_of(f"redis://127.0.0.1:{server.port}")

    assert "rejects the login" in str(wrong)
    assert "rejects the login" in str(none) or "needs a password" in str(none)
    assert not wrong.temporary
    assert not none.temporary


async def test_keys_of_another_program(redis: RedisProcess) -> None:
    """Keys of another kind under our prefix are reported and left alone."""
    link = RedisLink(redis.url)
    await link.client.rpush("shared:value/a", b"1")
    await link.client.set("taken:index", b"2")
    mine = await RedisStore.open(f"{redis.url}?prefix=shared")
    taken = await RedisStore.open(f"{redis.url}?prefix=taken")

    with pytest.raises(StoreError, match="another program has keys of its own under shared:") as error:
        await mine.get("a")
    assert not error.value.temporary
    for call in (taken.put("a", b"1"), taken.list("")):
        with pytest.raises(StoreError, match="another program"):
            await call
    assert await link.client.lrange("shared:value/a", 0, -1) == [b"1"]
    assert await link.client.get("taken:index") == b"2"
    for closable in (mine, taken, link):
        await closable.close()


@pytest.mark.slow
async def test_a_store_reconnects() -> None:
    """While the server is unreachable calls fail temporarily; afterwards the same store works."""
    with redis_process() as server:
        store = await RedisStore.open(server.url)
        await store.put("a", b"1")
        server.kill()
        with pytest.raises(StoreError) as error:
            await store.get("a")
        assert error.value.temporary
        server.start()
        assert await store.get("a") is None
        await store.put("a", b"2")
        assert await store.get("a") == b"2"
        await store.close()


@pytest.mark.slow
async def test_a_server_without_memory() -> None:
    """A full server is a temporary error: memory may be freed."""
    with redis_process("--maxmemory", "1mb", "--maxmemory-policy", "noeviction") as server:
        store = await RedisStore.open(server.url)
        with pytest.raises(StoreError, match="is out of memory") as error:
            await store.put("a", bytes(2_000_000))
        assert error.value.temporary
        await store.close()
