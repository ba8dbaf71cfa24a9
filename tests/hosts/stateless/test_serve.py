"""Running a writer: what it opens is closed again in every case."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from breathing_room.core.errors import ConfigError, StoreError
from breathing_room.hosts.common.http.asgi_server import AsgiServer, listen, url_of
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.stateless import serve
from breathing_room.hosts.stateless.serve import serve_stateless
from breathing_room.stores import open_store


def a_config(data: Path | str, port: int = 0) -> StoreModeConfig:
    return StoreModeConfig(server=ServerConfig(data=str(data), port=port))


async def test_it_answers_once_it_reports_that_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is passed on once the writer answers there, and the
    store is closed after the last request.
    """
    closed: list[str] = []
    opened = open_store

    async def watched(where: str) -> Any:
        store = await opened(where)
        close = store.close

        async def closing() -> None:
            closed.append(where)
            await close()

        monkeypatch.setattr(store, "close", closing)
        return store

    monkeypatch.setattr(serve, "open_store", watched)
    servers: list[Any] = []

    class Watched(AsgiServer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            servers.append(self)

    monkeypatch.setattr(serve, "AsgiServer", Watched)
    config, listens = a_config(tmp_path / "room.db"), asyncio.get_running_loop().create_future()
    with listen("127.0.0.1", 0) as listener:
        running = asyncio.create_task(serve._serve(config, listener, listens.set_result))
        url = await listens
        assert url == url_of(listener)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/healthz")).json() == {"ok": True}
        assert closed == []
        servers[0].should_exit = True
        await running
    assert closed == [str(tmp_path / "room.db")]


def test_a_port_in_use_is_a_config_error(tmp_path: Path) -> None:
    """A port that is not free is an error of the configuration, and no address is passed on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigError, match="cannot listen"):
            serve_stateless(a_config(tmp_path / "room.db", other.getsockname()[1]), on_start=pytest.fail)


def test_a_store_that_cannot_be_used_is_an_error_before_it_listens(tmp_path: Path) -> None:
    """A file that is no store is refused, before any request is accepted."""
    (tmp_path / "room.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError):
        serve_stateless(a_config(tmp_path / "room.db"), on_start=pytest.fail)
