"""Read ``tests/fixtures/fcd8191``: values that this commit stored, and its answers (see its ``write.py``)."""

import json
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parents[1] / "fixtures" / "fcd8191"
TOKEN = "a-token-that-is-long-enough-to-be-one"


def read(name: str) -> Any:
    """Read a JSON file of the fixtures."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def line(body: dict[str, Any], since_ms: int) -> str:
    """Format a published presence as a line, as the fixtures do."""
    intervals = body["mood_intervals"]
    moods = [
        f"{mood} {people} {intervals[mood] and list(intervals[mood])}"
        for mood, people in {**body["moods"], "unspoken": body["unspoken"]}.items()
    ]
    people = f"{body['count']} [{body['low']}, {body['high']}] {body['method']}, {body['label']!r}"
    return f"{people}, rate {body['sample_rate']}, +{body['as_of_ms'] - since_ms} ms: {', '.join(moods)}"


async def ask(client: httpx.AsyncClient, since_ms: int, name: str, *arguments: Any) -> str:
    """Play a scene of a story over HTTP, and return the answer as a line."""
    match name, arguments:
        case "read", (room,):
            return line((await client.get(f"/v1/rooms/{room}")).json(), since_ms)
        case "beat", (room, visitor, mood):
            body = {"visitor": visitor.ljust(16, "-"), "mood": mood}
            return line((await client.post(f"/v1/rooms/{room}/heartbeat", json=body)).json(), since_ms)
        case "leave", (room, visitor):
            answer = await client.post(f"/v1/rooms/{room}/leave", json={"visitor": visitor.ljust(16, "-")})
            return str(answer.status_code)
        case "history", (room,):
            return json.dumps((await client.get(f"/v1/rooms/{room}/history")).json()["hours"])
        case "today", (room,):
            headers = {"Authorization": f"Bearer {TOKEN}"}
            answer = await client.get(f"/admin.json?room={room}", headers=headers)
            return json.dumps(answer.json()["room"]["today"], sort_keys=True)
    raise ValueError(name)
