"""Everything that the conformance suite of hosts and a good host send each other, against the schemas of the
wire.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import breathing_room
from breathing_room.testing import check_host
from breathing_room.testing.peer import Exchange, RawResponse, WireSocket
from inside import listening
from schemas_of_v1 import FROM_CLIENT, FROM_SERVER, validate, validate_message, validator
from testing.bad_hosts.good import JOIN_MS, PUSH_MS, TIMES

ANSWERS = {
    "": "Presence",
    "/config": "Config",
    "/heartbeat": "Presence",
    "/history": "History",
    "/api/presence": "DocumentPresence",
    "/api/heartbeat": "DocumentPresence",
    "/api/config": "DocumentConfig",
}
"""What the path below a room is answered with, if all is well."""


class Recorder:
    """Records an exchange while it goes on.

    Attributes:
        sent: What clients sent over connections.
        received: What they were sent, with the path of the connection.
        answers: Paths with what they were answered over HTTP.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.received: list[tuple[str, str]] = []
        self.answers: list[tuple[str, RawResponse]] = []
        self._paths: dict[int, str] = {}
        self._record_connections(monkeypatch)
        self._record_http(monkeypatch)

    def _record_connections(self, monkeypatch: pytest.MonkeyPatch) -> None:
        take, send = WireSocket._take, WireSocket.send_text

        def recorded_take(socket: WireSocket) -> None:
            before = len(socket.texts)
            take(socket)
            self.received += [(socket._url, text) for text in socket.texts[before:]]

        def recorded_send(socket: WireSocket, text: str | bytes) -> None:
            if isinstance(text, str) and "/api/" not in socket._url:
                self.sent.append(text)
            send(socket, text)

        monkeypatch.setattr(WireSocket, "_take", recorded_take)
        monkeypatch.setattr(WireSocket, "send_text", recorded_send)

    def _record_http(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begin, answer = Exchange.begin.__func__, Exchange.answer  # type: ignore[attr-defined]

        async def recorded_begin(
            cls: type[Exchange], base_url: str, method: str, path: str, *rest: Any
        ) -> Exchange:
            exchange: Exchange = await begin(cls, base_url, method, path, *rest)
            self._paths[id(exchange)] = path
            return exchange

        async def recorded_answer(exchange: Exchange) -> RawResponse:
            got = await answer(exchange)
            self.answers.append((self._paths.pop(id(exchange)), got))
            return got

        monkeypatch.setattr(Exchange, "begin", classmethod(recorded_begin))
        monkeypatch.setattr(Exchange, "answer", recorded_answer)


def check_message(url: str, text: str) -> str:
    """Check what a connection was sent; return its type."""
    message = json.loads(text)
    if "/api/room" in url and message["type"] == "presence":
        message.pop("type")
        validate("DocumentPresence", json.dumps(message))
        return "the document's presence"
    validate_message(text, FROM_SERVER)
    return str(message["type"])


def check_answer(path: str, answer: RawResponse) -> str:
    """Check what a path was answered over HTTP; return the name of the schema."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return answer.headers.get("content-type", "nothing")
    below = path.partition("?")[0].removeprefix("/v1/rooms/")
    below = below if below.startswith("/api/") else "".join(below.partition("/")[1:])
    name = ANSWERS[below] if answer.status < 400 else "Error"
    validate(name, answer.body)
    if name == "Error":
        assert json.loads(answer.body)["error"]["status"] == answer.status
    return name


@pytest.mark.slow
async def test_all_that_is_exchanged_fits_the_schemas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While the suite runs, every message and answer of the host is what its schema accepts, with no key that is
    not declared; and every kind of message is among them.
    """
    recorder = Recorder(monkeypatch)
    settings: dict[str, Any] = {"data": str(tmp_path / "room.db"), "rooms_per_prefix_max": 1_000_000, **TIMES}
    app = breathing_room.app(**settings)
    async with listening(app) as url:
        await check_host(url, push_ms=PUSH_MS, join_ms=JOIN_MS)

    received = Counter(check_message(where, text) for where, text in recorder.received)
    assert received.keys() == {name for name, shape in FROM_SERVER.items() if shape.served} | {
        "the document's presence"
    }
    answered = Counter(check_answer(path, answer) for path, answer in recorder.answers)
    assert answered.keys() >= {*ANSWERS.values(), "Error"}

    accepted = Counter[str]()
    for text in recorder.sent:
        try:
            kind = json.loads(text)["type"]
        except (ValueError, TypeError, KeyError):
            continue  # The suite sends what is no message as well.
        shape = FROM_CLIENT.get(kind) if isinstance(kind, str) else None
        if shape is not None and validator(shape.name).is_valid(json.loads(text)):
            accepted[kind] += 1
    assert accepted.keys() == {name for name, shape in FROM_CLIENT.items() if shape.served}
