"""What a check of a host works with: the host, a room of its own, and assertions about responses."""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self, TypeAlias

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.wire import NORMAL_CLOSURE
from breathing_room.testing.peer import PATIENCE_S, TICK_S, Exchange, Message, RawResponse, WireSocket
from breathing_room.testing.store import Advance, short, wait

Need: TypeAlias = Literal["connection", "events", "history", "badge", "document", "restart"]
NEEDS: Final[tuple[Need, ...]] = ("connection", "events", "history", "badge", "document", "restart")
"""What a check may need of a host: WebSockets, event streams, averages, a badge, the paths of the planning
document, restarts.
"""

Restart: TypeAlias = Callable[[], Awaitable[None]]
"""Stops the host gracefully, starts it again at the same address, and returns when it is ready."""


@dataclass(frozen=True, kw_only=True)
class HostTerms:
    """The settings and limits of a host that checks depend on.

    Attributes:
        lag_ms: How stale a presence may be, where it is read from a store or kept by a cache.
        lacks: The needs that the host does not meet.
    """

    moods: tuple[str, ...]
    lease_ms: int
    grace_ms: int
    push_ms: int
    join_ms: int
    message_bytes_max: int
    lag_ms: int = 0
    lacks: frozenset[Need] = frozenset()


async def ask(
    base_url: str,
    method: str,
    path: str,
    body: bytes | Message = b"",
    headers: Mapping[str, str] | None = None,
) -> RawResponse:
    """Send a request, with a JSON body if it is a dictionary, and return the response."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
    exchange = await Exchange.begin(base_url, method, path, body, headers)
    try:
        return await exchange.answer()
    finally:
        exchange.close()


def new_room() -> str:
    """Return the name of a room that no visitor was ever in."""
    return f"check-{secrets.token_hex(8)}"


def new_visitor() -> str:
    """Return a random visitor id."""
    return secrets.token_urlsafe(16)


@dataclass
class HostCheckContext:
    """One host under one check, in a room without other visitors.

    Failures are raised, not asserted with ``assert``, which ``python -O`` would leave out.
    """

    base_url: str
    terms: HostTerms
    advance: Advance
    restart: Restart | None = None
    room: str = field(default_factory=new_room)
    _sockets: list[WireSocket] = field(default_factory=list)
    _streams: list[Exchange] = field(default_factory=list)
    _reporters: set[str] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections and leave with the visitors of the check."""
        for stream in self._streams:
            stream.close()
        for socket in self._sockets:
            socket.close_normally(NORMAL_CLOSURE)
        for socket in self._sockets:
            await socket.part()
        for visitor in self._reporters:
            await self.post("/leave", {"visitor": visitor})

    # HTTP.

    async def get(self, path: str = "", headers: Mapping[str, str] | None = None) -> RawResponse:
        """Send a GET request to a path of the room."""
        return await ask(self.base_url, "GET", self.path(path), headers=headers)

    async def post(
        self, path: str, body: bytes | Message, headers: Mapping[str, str] | None = None
    ) -> RawResponse:
        """Send a POST request to a path of the room."""
        return await ask(self.base_url, "POST", self.path(path), body, headers)

    async def presence(self) -> Message:
        """Return the presence, once it must include every event so far."""
        await self.catch_up()
        return (await self.get()).json()

    async def wait_for(self, **expected: Any) -> None:
        """Request the presence until it has the expected fields."""
        deadline_s = time.monotonic() + PATIENCE_S + self.terms.lag_ms / 1_000
        while not matches(presence := await self.presence(), expected):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"GET still answers {short_presence(presence)}, expected {expected}")
            await asyncio.sleep(TICK_S)
            if self.clock_in_hand:
                await self.tick()

    async def heartbeat(self, visitor: str, **more: Any) -> Message:
        """Send a heartbeat over HTTP, once its response must include
        every event so far; return the presence.
        """
        await self.catch_up()
        self._reporters.add(visitor)
        return (await self.post("/heartbeat", {"visitor": visitor, **more})).json()

    async def leave(self, visitor: str, content_type: str = "application/json") -> RawResponse:
        """Send a leave over HTTP."""
        await self.catch_up()
        body = json.dumps({"visitor": visitor}).encode()
        return await self.post("/leave", body, {"Content-Type": content_type})

    async def add_visitor(self, **more: Any) -> None:
        """Add one visitor to the room: over a connection, or by a heartbeat if the host has no WebSockets."""
        if self.has("connection"):
            await self.join(**more)
        else:
            await self.heartbeat(new_visitor(), **more)

    async def stream(self) -> Exchange:
        """Open the event stream."""
        exchange = await Exchange.begin(self.base_url, "GET", self.path("/events"))
        self._streams.append(exchange)
        return exchange

    def path(self, path: str) -> str:
        """Return a path of the room; paths under ``/api`` belong to the host."""
        return path if path.startswith("/api/") else f"/v1/rooms/{self.room}{path}"

    # Connections.

    async def socket(self, path: str = "/socket") -> WireSocket:
        """Open a connection that has not joined yet."""
        socket = await WireSocket.open(self.base_url, self.path(path))
        if self.clock_in_hand:
            socket.tick = self.tick
        self._sockets.append(socket)
        return socket

    async def join(self, visitor: str | None = None, **more: Any) -> WireSocket:
        """Open a connection, join, and receive the presence."""
        socket = await self.socket()
        socket.send_message("join", visitor=visitor or new_visitor(), **more)
        await socket.receive("presence")
        return socket

    async def observe(self) -> WireSocket:
        """Open a connection, observe, and receive the presence."""
        socket = await self.socket()
        socket.send_message("observe")
        await socket.receive("presence")
        return socket

    def has(self, need: Need) -> bool:
        """Whether the host meets a need."""
        return need not in self.terms.lacks

    @property
    def mode(self) -> str:
        """The ``mode`` that the config must have."""
        return "socket" if self.has("connection") else "poll"

    # Time.

    async def catch_up(self) -> None:
        """Wait until a presence must include every event so far."""
        if self.terms.lag_ms:
            await self.advance(self.terms.lag_ms)

    @property
    def clock_in_hand(self) -> bool:
        """Whether time passes for the host only by ``advance``."""
        return self.advance is not wait

    async def tick(self) -> None:
        """Advance by the longest time between a change and its broadcast."""
        await self.advance(self.terms.push_ms)

    async def settle(self) -> None:
        """Wait until every subscriber must have received every change."""
        await self.advance(2 * self.terms.push_ms)
        await asyncio.sleep(0.05)

    async def pass_time(self, length_ms: int) -> None:
        """Let time pass in steps, so that control pings are answered meanwhile."""
        for _ in range(12):
            await self.advance(length_ms // 12)
            await asyncio.sleep(0.01)


# --- What is expected -------------------------------------------------------------------------------------


def expect(*, that: bool, seen: object) -> None:
    """Raise unless a condition holds.

    Raises:
        AssertionError: It does not hold; the message is ``seen``.
    """
    if not that:
        raise AssertionError(short(seen))


def matches(presence: Message, expected: Mapping[str, Any]) -> bool:
    """Whether a presence has the expected fields; moods that are not expected must have no visitors."""
    moods = expected.get("moods")
    if moods is not None and {mood: people for mood, people in presence["moods"].items() if people} != moods:
        return False
    return all(presence[name] == value for name, value in expected.items() if name != "moods")


def having(**expected: Any) -> Callable[[Message], bool]:
    """Return a predicate for a presence with the expected fields."""
    return lambda presence: matches(presence, expected)


def short_presence(presence: Message) -> str:
    """Return the main fields of a presence in a line."""
    return ", ".join(
        f"{name} {presence.get(name)}" for name in ("count", "low", "high", "method", "moods", "unspoken")
    )


def is_whole(value: object) -> bool:
    """Whether a value is a non-negative integer."""
    return type(value) is int and value >= 0


def covers(interval: Any, people: Any) -> bool:
    """Whether the interval of a mood covers its count; a mood that is merged with others has neither."""
    match interval:
        case None:
            return people is None
        case [low, high] if is_whole(low) and is_whole(people):
            return low <= people and (high is None or (is_whole(high) and people <= high))
    return False


LABEL: Final = re.compile(r"(about )?\d{1,3}(,\d{3})*")
KEYS: Final = frozenset(
    "room count low high method sample_rate epoch moods unspoken mood_intervals label as_of_ms stale_after_ms poll_ms".split()  # noqa: SIM905
)


def expect_presence(presence: Message, t: HostCheckContext) -> None:
    """Expect a presence that has every field and is consistent.

    Raises:
        AssertionError: A field is missing, unknown, of the wrong type, or contradicts another one.
    """
    keys = presence.keys() - {"type"}
    expect(
        that=keys == KEYS, seen=f"missing: {sorted(KEYS - keys)}, not of a presence: {sorted(keys - KEYS)}"
    )
    count, low, high, method = (presence[name] for name in ("count", "low", "high", "method"))
    expect(that=presence["room"] == t.room, seen=f"the room is called {presence['room']!r}")
    expect(that=method in {"counted", "sampled", "stale", "estimated", "unknown"}, seen=f"method {method!r}")
    whole = (low, presence["as_of_ms"], presence["stale_after_ms"], presence["poll_ms"])
    expect(that=all(map(is_whole, whole)), seen=f"numbers that are not whole: {presence}")
    people = presence["moods"]
    expect(
        that=tuple(people) == t.terms.moods, seen=f"the moods are {list(people)}, not {list(t.terms.moods)}"
    )
    cells, intervals = {**people, UNSPOKEN: presence["unspoken"]}, presence["mood_intervals"]
    expect(that=intervals.keys() == cells.keys(), seen=f"intervals of {list(intervals)}")
    for mood, cell in cells.items():
        expect(that=covers(intervals[mood], cell), seen=f"{mood}: {cell} in {intervals[mood]}")
    rate = presence["sample_rate"]
    expect(that=type(rate) in {int, float} and 0 < rate <= 1, seen=f"sample_rate {rate!r}")
    expect(that=is_whole(presence["epoch"]), seen=f"epoch {presence['epoch']!r}")
    total, label = sum(cell or 0 for cell in cells.values()), presence["label"]
    merged = None in cells.values()
    if method == "unknown":
        expect(
            that=(count, high, label) == (None, None, "unknown"),
            seen=f"unknown, but {short_presence(presence)}",
        )
        expect(that=merged or total == low, seen=f"moods that sum to {total}, not to low {low}")
        return
    expect(that=is_whole(count) and is_whole(high) and low <= count <= high, seen=short_presence(presence))
    expect(
        that=total <= count if merged else total == count,
        seen=f"moods that sum to {total}, not to the count {count}",
    )
    expect(that=bool(LABEL.fullmatch(label)), seen=f"label {label!r}")
    expect(that=low < high or label == f"{count:,}", seen=f"label {label!r} for exactly {count}")


def expect_error(error: object, code: str, status: int) -> None:
    """Expect the value of ``error`` in a response or message to have this code and status."""
    if not isinstance(error, dict) or error.keys() != {"code", "message", "status"}:
        raise AssertionError(f"not an error with code, message and status: {short(error)}")
    expect(that=(error["code"], error["status"]) == (code, status), seen=f"{error}, not {code} with {status}")
    expect(that=isinstance(error["message"], str) and error["message"] != "", seen=f"no message: {error}")


async def expect_refusal(answer: Awaitable[RawResponse], code: str, status: int) -> None:
    """Expect a response with this status and an error of the one shape."""
    got = await answer
    expect(that=got.status == status, seen=f"status {got.status}, not {status}: {got.body[:120]!r}")
    body = got.json()
    expect(that=body.keys() == {"error"}, seen=f"expected an object with the key error alone: {body}")
    expect_error(body["error"], code, status)


def expect_age(answer: RawResponse) -> None:
    """Expect a response that caches may keep."""
    cache = answer.headers.get("cache-control", "")
    expect(
        that=bool(re.search(r"max-age=\d+", cache)) and "no-store" not in cache,
        seen=f"Cache-Control: {cache!r}",
    )


# --- The checks -------------------------------------------------------------------------------------------

Scope: TypeAlias = Literal["own room", "default room", "restart"]
SCOPES: Final[tuple[Scope, ...]] = ("own room", "default room", "restart")

CheckFunction: TypeAlias = Callable[[HostCheckContext], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """A sentence of the protocol, the function that checks it, the room it runs in, and what it needs of the
    host.
    """

    sentence: str
    run: CheckFunction
    scope: Scope
    needs: frozenset[Need] = frozenset()


class AddCheck(Protocol):
    """A decorator that adds a function to a family of checks."""

    def __call__(self, scope: Scope, *needs: Need) -> Callable[[CheckFunction], CheckFunction]:
        """Return the decorator for a scope, and for needs beyond those of the family."""


def adding_to(checks: dict[str, Check], *family_needs: Need) -> AddCheck:
    """Return the decorator of a family. The docstring of a check is its sentence of the protocol.

    Args:
        checks: The family.
        *family_needs: What every check of the family needs of a host.
    """

    def check(scope: Scope, *needs: Need) -> Callable[[CheckFunction], CheckFunction]:
        def add(run: CheckFunction) -> CheckFunction:
            checks[run.__name__] = Check(run.__doc__ or "", run, scope, frozenset({*family_needs, *needs}))
            return run

        return add

    return check
