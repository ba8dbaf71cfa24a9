"""The same small room on uvicorn's stock WebSockets: a raw ASGI app, and nothing else.

It is written as its documentation suggests and as cheaply as that allows: no framework, no compression, no
log, the presence encoded once per change, and one ``await send`` after the other (a task per socket costs
several times more).

Usage: uvicorn_room.py PAYLOAD_BYTES websockets-sansio|websockets; prints its address, and runs until it is
killed.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

import uvicorn

PAYLOAD_BYTES = int(sys.argv[1])
MOODS = ("gratitude", "presence", "release", "connection")

moods: dict[str, str] = {}  # By visitor.
sends: dict[str, Any] = {}  # By visitor: the send of the socket.
tally = dict.fromkeys((*MOODS, "unspoken"), 0)


def presence() -> dict[str, str]:
    """Return the presence, padded with spaces to the size that is compared."""
    count = len(moods)
    text = json.dumps(
        {
            "type": "presence",
            "room": "lobby",
            "count": count,
            "low": count,
            "high": count,
            "method": "counted",
            "sample_rate": 1.0,
            "moods": {mood: tally[mood] for mood in MOODS},
            "unspoken": tally["unspoken"],
            "label": f"{count:,}",
            "as_of_ms": time.time_ns() // 1_000_000,
            "stale_after_ms": 30_000,
            "poll_ms": 30_000,
        },
        separators=(",", ":"),
    )
    return {"type": "websocket.send", "text": text.ljust(PAYLOAD_BYTES)}


async def room(scope: Any, receive: Any, send: Any) -> None:
    """Serve one socket until it ends."""
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    visitor = ""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        message = json.loads(event["text"])
        if message["type"] == "join":
            visitor = message["visitor"]
            moods[visitor] = "unspoken"
            sends[visitor] = send
            tally["unspoken"] += 1
            await send(presence())
        elif message["type"] == "mood":
            tally[moods[visitor]] -= 1
            moods[visitor] = message["mood"]
            tally[message["mood"]] += 1
            message = presence()
            for send_to in list(sends.values()):
                await send_to(message)
    if visitor:
        tally[moods.pop(visitor)] -= 1
        del sends[visitor]


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        room,
        ws=sys.argv[2],
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # The benchmark turns the keepalive of every stack off.
        lifespan="off",
        log_level="error",
        access_log=False,
    )
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
