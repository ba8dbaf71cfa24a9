"""The examples, each run as its first lines say."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from uvicorn_process import uvicorn_process

EXAMPLES = Path(__file__).parents[2] / "examples"
ANN, BOB = "ann-0123456789abcdef", "bob-0123456789abcdef"


async def hear(socket: ClientConnection, count: int) -> dict[str, Any]:
    """Read messages until a presence has the count."""
    while (message := json.loads(await socket.recv()))["count"] != count:
        pass
    return dict(message)


async def join(url: str, visitor: str, mood: str) -> ClientConnection:
    """Open a socket and join as a visitor."""
    socket = await connect(
        f"{url.replace('http', 'ws', 1)}/breathing/v1/rooms/lobby/socket", compression=None
    )
    await socket.send(json.dumps({"type": "join", "visitor": visitor, "mood": mood}))
    return socket


@pytest.mark.parametrize("name", [path.stem for path in sorted(EXAMPLES.glob("*_app.py"))])
async def test_two_people_meet_in_a_mounted_room(name: str, tmp_path: Path) -> None:
    """
    Two people in an application that mounts ours see one another, and one sees the other leave; the page is
    there, and so is what the application itself has to say.
    """
    with uvicorn_process(f"{name}:app", app_dir=EXAMPLES, working_dir=tmp_path) as running:
        ann = await join(running.url, ANN, "release")
        await hear(ann, 1)
        bob = await join(running.url, BOB, "gratitude")
        moods = {"gratitude": 1, "presence": 0, "release": 1, "connection": 0}
        assert (await hear(ann, 2))["moods"] == (await hear(bob, 2))["moods"] == moods
        await bob.send('{"type": "leave"}')
        await bob.wait_closed()
        assert bob.close_code == 1000
        assert (await hear(ann, 1))["moods"]["gratitude"] == 0
        async with httpx.AsyncClient(base_url=running.url) as client:
            page = await client.get("/breathing/")
            assert page.status_code == 200
            assert "<html" in page.text
            assert (await client.get("/breathing/v1/rooms/lobby")).json()["count"] == 1
            assert "/breathing/v1/rooms/lobby" in (await client.get("/")).text
            assert (await client.get("/v1/rooms/lobby")).status_code == 404
        await ann.close()
    assert (tmp_path / "breathing-room.db").exists()


def test_examples_are_run() -> None:
    """There is one for FastAPI and one for Starlette, and each says how it is run."""
    names = {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*_app.py")}
    assert names.keys() >= {"fastapi_app", "starlette_app"}
    assert all(f"uvicorn --app-dir examples {name}:app" in text for name, text in names.items())
