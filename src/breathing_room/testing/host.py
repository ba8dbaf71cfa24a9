"""What every host promises: each sentence of ``docs/reference/protocol.md`` with a check of its own.

The author of a host runs all of it against one that listens, under any test runner or none::

    await check_host("http://127.0.0.1:8000")

Every check has a room of its own, so the checks run side by side, and the people of a host in use are not disturbed; only
its default room sees a few visitors more. How long leases last is read from the host's config, and all of it takes a
little longer than a lease and its grace: give the host short ones. Who can move the host's clock gives ``advance``; then
the checks run one by one, and none waits. Who can restart the host gives ``restart``; then more is checked.
"""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias
from xml.parsers import expat

from breathing_room.core.breath import PATTERNS
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.wire import (
    DEFAULT_ROOM,
    GOING_AWAY,
    GOODBYE,
    JOIN_LATE,
    NOT_TEXT,
    NOT_UTF8,
    PROTOCOL_ERROR,
    RESTART,
    ROOM_NAME,
    SENSELESS,
    TOO_BIG,
    TOO_MANY_SOCKETS,
)
from breathing_room.testing.peer import (
    PATIENCE_S,
    TICK_S,
    Answer,
    Exchange,
    Message,
    RefusedError,
    Socket,
    read_object,
)
from breathing_room.testing.store import Advance, BrokenPromiseError, short, wait

Restart: TypeAlias = Callable[[], Awaitable[None]]
"""Stops the host politely, starts it again at the same address, and returns when it answers."""

# Enough checks side by side to be fast, and few enough that none waits for the packets of the others.
AT_ONCE: Final = 12

# A message does not grow with the crowd, but for the digits of its numbers.
GROWTH_BYTES_MAX: Final = 32

# What a host may take in good humour before it parts. Ours takes 20 messages and 32 sockets.
SENSELESS_MAX: Final = 200
SOCKETS_MAX: Final = 64


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a host says of itself, or is said to keep to."""

    moods: tuple[str, ...]
    lease_ms: int
    grace_ms: int
    push_ms: int
    join_ms: int
    message_bytes_max: int


async def check_host(
    base_url: str,
    *,
    advance: Advance = wait,
    restart: Restart | None = None,
    push_ms: int = 1_000,
    join_ms: int = 10_000,
    message_bytes_max: int = 4_096,
    only: Collection[str] | None = None,
) -> None:
    """Check that a host keeps every promise of the protocol. Everybody must be allowed to open a room on it.

    Args:
        base_url: Where it listens, such as ``http://127.0.0.1:8000``; a path is where it is mounted.
        advance: Lets so many milliseconds pass for the host; by default real ones.
        restart: Restarts it.
        push_ms: The least time between two announcements.
        join_ms: How long a socket may say nothing.
        message_bytes_max: The longest message of a socket.
        only: The names of the checks to run; all by default.

    Raises:
        AssertionError: What answers at that address is no host.
        ExceptionGroup: Of one ``BrokenPromiseError`` for each promise that was broken.
    """
    config = (await ask(base_url, "GET", f"/v1/rooms/{new_room()}/config")).json()
    try:
        terms = Terms(
            moods=tuple(config["moods"]),
            lease_ms=config["lease_ms"],
            grace_ms=config["grace_ms"],
            push_ms=push_ms,
            join_ms=join_ms,
            message_bytes_max=message_bytes_max,
        )
    except (KeyError, TypeError):
        raise AssertionError(f"the config of a room was due: {short(config)}") from None
    at_once = asyncio.Semaphore(AT_ONCE if advance is wait else 1)
    broken: list[BrokenPromiseError] = []

    async def keep(*names: str) -> None:
        for name in names:
            if only is None or name in only:
                async with at_once, Trial(base_url, terms, advance, restart) as trial:
                    broken.extend(await check_promise(name, trial))

    names_in = {
        scope: [name for name, promise in PROMISES.items() if promise.scope == scope] for scope in SCOPES
    }
    await asyncio.gather(keep(*names_in["default room"]), *(keep(name) for name in names_in["own room"]))
    if restart is not None:
        await keep(*names_in["restart"])
    if broken:
        raise ExceptionGroup(f"{len(broken)} of the {len(PROMISES)} promises of a host are broken", broken)


def checks() -> dict[str, str]:
    """List the checks: their names, each with the promise that it holds a host to."""
    return {name: promise.sentence for name, promise in PROMISES.items()}


async def check_promise(name: str, trial: "Trial") -> list[BrokenPromiseError]:
    """Run one check, and return what is wrong, if anything is."""
    promise = PROMISES[name]
    try:
        await promise.check(trial)
    except Exception as error:  # noqa: BLE001 -- a host may do anything where it should not
        seen = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        broken = BrokenPromiseError(name, f"{promise.sentence} But: {seen}")
        broken.__cause__ = error
        return [broken]
    return []


async def ask(
    base_url: str,
    method: str,
    path: str,
    body: bytes | Message = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request, JSON when the body is a dictionary, and read the answer."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
    exchange = await Exchange.begin(base_url, method, path, body, headers)
    try:
        return await exchange.answer()
    finally:
        exchange.close()


def new_room() -> str:
    """Name a room that nobody was ever in."""
    return f"check-{secrets.token_hex(8)}"


def new_visitor() -> str:
    """Make a visitor id."""
    return secrets.token_urlsafe(16)


@dataclass
class Trial:
    """One host under one check, in a room that nobody else is in.

    Its checks raise and do not ``assert``, which ``python -O`` would leave out.
    """

    base_url: str
    terms: Terms
    advance: Advance
    restart: Restart | None = None
    room: str = field(default_factory=new_room)
    _sockets: list[Socket] = field(default_factory=list)
    _streams: list[Exchange] = field(default_factory=list)
    _reporters: set[str] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the room as it was found."""
        for stream in self._streams:
            stream.close()
        for socket in self._sockets:
            socket.say_goodbye(GOODBYE)
        for socket in self._sockets:
            await socket.part()
        for visitor in self._reporters:
            await self.post("/leave", {"visitor": visitor})

    # HTTP.

    async def get(self, path: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for something of the room."""
        return await ask(self.base_url, "GET", self.path(path), headers=headers)

    async def post(
        self, path: str, body: bytes | Message, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send something to the room."""
        return await ask(self.base_url, "POST", self.path(path), body, headers)

    async def presence(self) -> Message:
        """Ask who is here."""
        return (await self.get()).json()

    async def sees(self, **expected: Any) -> None:
        """Ask who is here until that is as expected."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds(presence := await self.presence(), expected):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"GET still answers {short_presence(presence)}, not {expected}")
            await asyncio.sleep(TICK_S)
            if self.clock_in_hand:
                await self.tick()

    async def beat(self, visitor: str, **more: Any) -> Message:
        """Report over HTTP."""
        self._reporters.add(visitor)
        return (await self.post("/beat", {"visitor": visitor, **more})).json()

    async def stream(self) -> Exchange:
        """Listen to the event stream."""
        exchange = await Exchange.begin(self.base_url, "GET", self.path("/events"))
        self._streams.append(exchange)
        return exchange

    def path(self, path: str) -> str:
        """Find a path of the room; one of ``/api`` is the whole host's."""
        return path if path.startswith("/api/") else f"/v1/rooms/{self.room}{path}"

    # Sockets.

    async def socket(self, path: str = "/socket") -> Socket:
        """Open a socket that has said nothing yet."""
        socket = await Socket.open(self.base_url, self.path(path))
        if self.clock_in_hand:
            socket.tick = self.tick
        self._sockets.append(socket)
        return socket

    async def join(self, visitor: str | None = None, **more: Any) -> Socket:
        """Open a socket and join; the answer has been read."""
        socket = await self.socket()
        socket.say("join", visitor=visitor or new_visitor(), **more)
        await socket.hear("presence")
        return socket

    async def observe(self) -> Socket:
        """Open a socket and observe; the answer has been read."""
        socket = await self.socket()
        socket.say("observe")
        await socket.hear("presence")
        return socket

    # Time.

    @property
    def clock_in_hand(self) -> bool:
        """Whether no time passes for the host but by ``advance``."""
        return self.advance is not wait

    async def tick(self) -> None:
        """Let pass what may pass between a change and its announcement."""
        await self.advance(self.terms.push_ms)

    async def settle(self) -> None:
        """Wait until everybody must have been told of everything."""
        await self.advance(2 * self.terms.push_ms)
        await asyncio.sleep(0.05)

    async def live(self, length_ms: int) -> None:
        """Let time pass in steps, so that pings and their answers get through meanwhile."""
        for _ in range(12):
            await self.advance(length_ms // 12)
            await asyncio.sleep(0.01)


# --- What is expected ---------------------------------------------------------------------------------------------------


def expect(*, that: bool, seen: object) -> None:
    """Fail unless something is so.

    Raises:
        AssertionError: It is not; ``seen`` is.
    """
    if not that:
        raise AssertionError(short(seen))


def holds(presence: Message, expected: Mapping[str, Any]) -> bool:
    """Tell whether a presence says what is expected; moods that are not named must have nobody."""
    moods = expected.get("moods")
    if moods is not None and {mood: people for mood, people in presence["moods"].items() if people} != moods:
        return False
    return all(presence[name] == value for name, value in expected.items() if name != "moods")


def says(**expected: Any) -> Callable[[Message], bool]:
    """Make a test for a presence."""
    return lambda presence: holds(presence, expected)


def short_presence(presence: Message) -> str:
    """Show a presence in a line."""
    return ", ".join(
        f"{name} {presence.get(name)}" for name in ("count", "low", "high", "method", "moods", "unspoken")
    )


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number, and not negative."""
    return type(value) is int and value >= 0


def holds_cell(interval: Any, people: Any) -> bool:
    """Tell whether the people of a mood lie in their interval; a mood that is merged with others has neither."""
    match interval:
        case None:
            return people is None
        case [low, high] if is_whole(low) and is_whole(people):
            return low <= people and (high is None or (is_whole(high) and people <= high))
    return False


LABEL: Final = re.compile(r"(about )?\d{1,3}(,\d{3})*")
KEYS: Final = frozenset(
    "room count low high method rate epoch moods unspoken mood_intervals label as_of_ms valid_ms next_ms".split()  # noqa: SIM905
)


def expect_presence(presence: Message, t: Trial) -> None:
    """Expect a presence that is whole and contradicts itself nowhere."""
    keys = presence.keys() - {"type"}
    expect(
        that=keys == KEYS, seen=f"missing: {sorted(KEYS - keys)}, not of a presence: {sorted(keys - KEYS)}"
    )
    count, low, high, method = (presence[name] for name in ("count", "low", "high", "method"))
    expect(that=presence["room"] == t.room, seen=f"the room is called {presence['room']!r}")
    expect(that=method in {"counted", "sampled", "stale", "estimated", "unknown"}, seen=f"method {method!r}")
    whole = (low, presence["as_of_ms"], presence["valid_ms"], presence["next_ms"])
    expect(that=all(map(is_whole, whole)), seen=f"numbers that are not whole: {presence}")
    people = presence["moods"]
    expect(
        that=tuple(people) == t.terms.moods, seen=f"the moods are {list(people)}, not {list(t.terms.moods)}"
    )
    cells, intervals = {**people, UNSPOKEN: presence["unspoken"]}, presence["mood_intervals"]
    expect(that=intervals.keys() == cells.keys(), seen=f"intervals of {list(intervals)}")
    for mood, cell in cells.items():
        expect(that=holds_cell(intervals[mood], cell), seen=f"{mood}: {cell} in {intervals[mood]}")
    rate = presence["rate"]
    expect(that=type(rate) in {int, float} and 0 < rate <= 1, seen=f"rate {rate!r}")
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
    """Expect the inside of an error."""
    if not isinstance(error, dict) or error.keys() != {"code", "message", "status"}:
        raise AssertionError(f"this has not the shape of an error: {short(error)}")
    expect(that=(error["code"], error["status"]) == (code, status), seen=f"{error}, not {code} with {status}")
    expect(that=isinstance(error["message"], str) and error["message"] != "", seen=f"no message: {error}")


async def expect_refusal(answer: Awaitable[Answer], code: str, status: int) -> None:
    """Expect an answer that is an error of the one shape."""
    got = await answer
    expect(that=got.status == status, seen=f"status {got.status}, not {status}: {got.body[:120]!r}")
    body = got.json()
    expect(that=body.keys() == {"error"}, seen=f"this has not the shape of an error: {body}")
    expect_error(body["error"], code, status)


def expect_age(answer: Answer) -> None:
    """Expect that caches may keep an answer for a while."""
    cache = answer.headers.get("cache-control", "")
    expect(
        that=bool(re.search(r"max-age=\d+", cache)) and "no-store" not in cache,
        seen=f"Cache-Control: {cache!r}",
    )


# --- The promises -------------------------------------------------------------------------------------------------------

Scope: TypeAlias = Literal["own room", "default room", "restart"]
SCOPES: Final[tuple[Scope, ...]] = ("own room", "default room", "restart")


@dataclass(frozen=True)
class Promise:
    """A sentence of the protocol, the check that holds a host to it, and what the check touches."""

    sentence: str
    check: Callable[[Trial], Awaitable[None]]
    scope: Scope


Check: TypeAlias = Callable[[Trial], Awaitable[None]]
PROMISES: Final[dict[str, Promise]] = {}


def promise(scope: Scope) -> Callable[[Check], Check]:
    """Add a check to the suite. Its docstring is the promise, in a sentence."""

    def add(check: Check) -> Check:
        PROMISES[check.__name__] = Promise(check.__doc__ or "", check, scope)
        return check

    return add


# --- Presence -----------------------------------------------------------------------------------------------------------


@promise("own room")
async def a_presence_is_whole(t: Trial) -> None:
    """A presence has every key of the protocol and no other, and its numbers agree."""
    expect_presence(await t.presence(), t)
    person = await t.join(mood=t.terms.moods[0])
    expect_presence(read_object(person.texts[0]), t)
    expect_presence(await t.beat(new_visitor()), t)
    await t.settle()
    expect_presence(await t.presence(), t)
    person.cut()
    await t.sees(low=1)
    expect_presence(await t.presence(), t)


@promise("own room")
async def an_empty_room_is_empty(t: Trial) -> None:
    """A room that nobody came into is known to everybody, and holds nobody."""
    presence = await t.presence()
    nobody = 0 if presence["method"] == "counted" else None
    expect(
        that=holds(presence, {"count": nobody, "low": 0, "moods": {}, "unspoken": 0}),
        seen=short_presence(presence),
    )


@promise("own room")
async def a_presence_says_when_it_was_true(t: Trial) -> None:
    """The time of a presence is the server's, and goes on."""
    first = await t.presence()
    now_ms = (await t.get("/config")).json()["now_ms"]
    expect(that=abs(first["as_of_ms"] - now_ms) < 1_000 * PATIENCE_S, seen=f"{first['as_of_ms']} at {now_ms}")
    await t.advance(100)
    second = await t.presence()
    expect(
        that=second["as_of_ms"] > first["as_of_ms"], seen=f"{first['as_of_ms']}, later {second['as_of_ms']}"
    )


@promise("own room")
async def a_presence_can_be_kept_by_caches(t: Trial) -> None:
    """A presence over HTTP carries an ETag and a Cache-Control, and who has it already is answered 304."""
    # The time in it moves on in steps: one of several tries falls inside a step.
    for _ in range(3):
        first = await t.get()
        expect_age(first)
        etag = first.headers.get("etag", "")
        expect(that=bool(etag), seen=f"no ETag: {dict(first.headers)}")
        again = await t.get(headers={"If-None-Match": etag})
        if again.status == 304:
            expect(that=again.body == b"", seen=f"304 with a body: {again.body!r}")
            break
    else:
        raise AssertionError(
            f"If-None-Match: {etag} was answered {again.status} with ETag {again.headers.get('etag')}"
        )
    await t.join()
    changed = await t.get(headers={"If-None-Match": etag})
    expect(that=changed.status == 200, seen=f"{changed.status} after somebody came")


@promise("own room")
async def everybody_is_told_the_same(t: Trial) -> None:
    """What changed is told to everybody in the same bytes."""
    audience = [await t.observe(), await t.observe(), await t.join()]
    await t.settle()
    await t.join(mood=t.terms.moods[0])
    heard = []
    for socket in audience:
        await socket.hear("presence", says(count=2, unspoken=1))
        heard.append(
            next(text for text in socket.texts if holds(json.loads(text), {"count": 2, "unspoken": 1}))
        )
    expect(that=len(set(heard)) == 1, seen=f"different messages: {set(heard)}")


@promise("own room")
async def a_message_does_not_grow_with_the_crowd(t: Trial) -> None:
    """A presence of a dozen people is as long as that of one, but for the digits."""
    observer = await t.observe()
    await t.join(mood=t.terms.moods[0])
    alone = len(json.dumps(await observer.hear("presence", says(count=1))))
    for _ in range(11):
        await t.join(mood=t.terms.moods[0])
    crowd = len(json.dumps(await observer.hear("presence", says(count=12))))
    expect(
        that=crowd - alone < GROWTH_BYTES_MAX, seen=f"{alone} characters for one person, {crowd} for twelve"
    )


@promise("own room")
async def nobody_is_named(t: Trial) -> None:
    """Nothing that the host says holds a visitor id: no message, body, event or error."""
    visitors = [new_visitor() for _ in range(3)]
    observer, stream = await t.observe(), await t.stream()
    said = [json.dumps(await t.beat(visitors[0]))]
    sockets = [observer, *[await t.join(visitor, mood=t.terms.moods[0]) for visitor in visitors]]
    for visitor, socket in zip(visitors, sockets[1:], strict=True):
        socket.say("join", visitor=visitor)
        socket.say("mood", mood=visitor)
        socket.say("beat", sent_ms=visitor)
        socket.say(visitor)
        socket.send_text(visitor)
        for _ in range(5):
            await socket.hear("error")
    sockets[1].cut()
    sockets[2].say("leave")
    await t.settle()
    paths = ("", "/config", "/history", "/badge.svg", f"/{visitors[0]}")
    said += [(await t.get(path)).body.decode() for path in paths]
    bad = ({"visitor": visitors[0], "mood": visitors[1]}, {"visitor": f"{visitors[0]}!"})
    said += [(await t.post("/beat", body)).body.decode() for body in bad]
    said.append(str(await stream.event()))
    said += [text for socket in sockets for text in socket.texts]
    named = [text for text in said if any(visitor in text for visitor in visitors)]
    expect(that=not named, seen=named[:1])


@promise("own room")
async def unknown_keys_are_ignored(t: Trial) -> None:
    """A key that the protocol does not know changes nothing, in messages and in bodies."""
    person = await t.socket()
    person.say("join", visitor=new_visitor(), mood=t.terms.moods[0], hat="red", count=7)
    await person.hear("presence", says(count=1, moods={t.terms.moods[0]: 1}))
    presence = await t.beat(new_visitor(), hat="red", count=7)
    expect(that=presence["count"] == 2, seen=short_presence(presence))


# --- Config, history, badge -----------------------------------------------------------------------------------------------


@promise("own room")
async def a_config_is_whole(t: Trial) -> None:
    """The config names the moods, the breath, the times and the server's clock, and caches may keep it."""
    answer = await t.get("/config")
    expect_age(answer)
    config = answer.json()
    keys = "room moods mode breath beat_ms next_ms lease_ms grace_ms presence_url now_ms".split()  # noqa: SIM905
    expect(that=not set(keys) - config.keys(), seen=f"missing: {sorted(set(keys) - config.keys())}")
    expect(that=config["room"] == t.room and config["mode"] == "socket", seen=config)
    expect(that=all(is_whole(config[key]) for key in keys if key.endswith("_ms")), seen=config)
    moods = config["moods"]
    expect(that=bool(moods) and all(isinstance(mood, str) and mood != UNSPOKEN for mood in moods), seen=moods)
    pattern, phases = config["breath"]["pattern"], config["breath"]["phases"]
    known = PATTERNS[pattern].phases if pattern in PATTERNS else None
    expect(that=known is not None and [list(phase) for phase in known] == phases, seen=config["breath"])


@promise("own room")
async def a_history_has_hours_of_the_week(t: Trial) -> None:
    """The history is a list of averages, each with its hour of the week."""
    hours = (await t.get("/history")).json().get("hours")
    expect(that=isinstance(hours, list), seen=f"hours: {hours!r}")
    for hour in hours or []:
        expect(
            that=hour["hour"] in range(168) and hour["count"] >= 0 and isinstance(hour["moods"], dict),
            seen=hour,
        )


@promise("own room")
async def a_badge_shows_the_label(t: Trial) -> None:
    """The badge is a well-formed picture with the label in it."""
    await t.join()
    await t.join()
    answer = await t.get("/badge.svg")
    expect(that=answer.headers.get("content-type", "").startswith("image/svg+xml"), seen=dict(answer.headers))
    words: list[str] = []
    parser = expat.ParserCreate()
    parser.CharacterDataHandler = words.append
    try:
        parser.Parse(answer.body, True)
    except expat.ExpatError as error:
        raise AssertionError(f"not well-formed: {error}") from None
    expect(that="2" in words, seen=f"the label 2 is not among {words}")


# --- HTTP: people without a socket ----------------------------------------------------------------------------------------


@promise("own room")
async def a_beat_joins(t: Trial) -> None:
    """A beat over HTTP counts its visitor, with a mood or without, and is answered by the presence."""
    presence = await t.beat(new_visitor(), mood=t.terms.moods[-1])
    expect(that=holds(presence, {"count": 1, "moods": {t.terms.moods[-1]: 1}}), seen=short_presence(presence))
    presence = await t.beat(new_visitor())
    expect(that=holds(presence, {"count": 2, "unspoken": 1}), seen=short_presence(presence))
    await t.sees(count=2)


@promise("own room")
async def a_beat_is_no_second_person(t: Trial) -> None:
    """A visitor who beats again, or who has a socket as well, is one person."""
    visitor = new_visitor()
    await t.beat(visitor)
    await t.beat(visitor)
    await t.join(visitor)
    presence = await t.beat(visitor)
    expect(that=presence["count"] == 1, seen=short_presence(presence))


@promise("own room")
async def a_beat_changes_the_mood_or_leaves_it(t: Trial) -> None:
    """A beat with a mood changes it, one without leaves it as it was."""
    visitor, moods = new_visitor(), (*t.terms.moods, UNSPOKEN)
    await t.beat(visitor, mood=moods[0])
    presence = await t.beat(visitor)
    expect(that=holds(presence, {"count": 1, "moods": {moods[0]: 1}}), seen=short_presence(presence))
    presence = await t.beat(visitor, mood=moods[1])
    wanted = {"moods": {}, "unspoken": 1} if moods[1] == UNSPOKEN else {"moods": {moods[1]: 1}, "unspoken": 0}
    expect(that=holds(presence, wanted), seen=short_presence(presence))
    presence = await t.beat(visitor, mood=UNSPOKEN)
    expect(that=holds(presence, {"count": 1, "moods": {}, "unspoken": 1}), seen=short_presence(presence))


@promise("own room")
async def a_leave_is_at_once(t: Trial) -> None:
    """A goodbye over HTTP is answered 204 whatever its content type, and the person is out at once."""
    for content_type in ("text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded"):
        visitor = new_visitor()
        await t.beat(visitor)
        body = json.dumps({"visitor": visitor}).encode()
        answer = await t.post("/leave", body, {"Content-Type": content_type})
        expect(that=answer.status == 204 and answer.body == b"", seen=f"{answer} for {content_type}")
        presence = await t.presence()
        expect(that=presence["count"] == 0, seen=short_presence(presence))


@promise("own room")
async def a_stranger_may_leave(t: Trial) -> None:
    """The goodbye of somebody who is not there is no error, and changes nothing."""
    await t.join()
    answer = await t.post("/leave", {"visitor": new_visitor()})
    expect(that=answer.status == 204, seen=answer)
    await t.sees(count=1)


# --- HTTP: event streams --------------------------------------------------------------------------------------------------


@promise("own room")
async def an_event_stream_tells_presence(t: Trial) -> None:
    """The event stream begins with the presence and tells every change, as events of that name."""
    stream = await t.stream()
    head = await stream.head()
    kind = head.headers.get("content-type", "")
    expect(that=head.status == 200 and kind.startswith("text/event-stream"), seen=f"{head.status}, {kind!r}")
    expected = {"count": 0}
    for _ in range(3):
        event = await stream.event()
        if event is None or event.get("event") != "presence":
            raise AssertionError(f"an event of the type presence was due: {event}")
        presence = read_object(event["data"])
        expect_presence(presence, t)
        if presence["count"] == 1:
            return
        expect(that=holds(presence, expected), seen=short_presence(presence))
        await t.join()
    raise AssertionError("the stream did not tell that somebody came")


@promise("own room")
async def a_listener_is_not_counted(t: Trial) -> None:
    """Whoever listens to the event stream is not counted by listening."""
    stream = await t.stream()
    await stream.event()
    await t.settle()
    await t.sees(count=0, low=0, high=0)


# --- HTTP: errors ---------------------------------------------------------------------------------------------------------


@promise("own room")
async def a_bad_body_is_an_error(t: Trial) -> None:
    """A body that makes no sense is refused in the one shape of errors, and counts nobody."""
    visitor = new_visitor()
    bad: tuple[tuple[bytes | Message, str], ...] = (
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"[]", "not_an_object"),
        ({}, "bad_visitor"),
        ({"visitor": 7}, "bad_visitor"),
        ({"visitor": "short"}, "bad_visitor"),
        ({"visitor": "v" * 65}, "bad_visitor"),
        ({"visitor": f"{visitor}\n"}, "bad_visitor"),
    )
    for body, code in bad:
        await expect_refusal(t.post("/beat", body), code, 400)
        await expect_refusal(t.post("/leave", body), code, 400)
    await expect_refusal(t.post("/beat", {"visitor": visitor, "mood": "no such mood"}), "unknown_mood", 400)
    await t.sees(count=0)


@promise("own room")
async def a_bad_room_is_an_error(t: Trial) -> None:
    """What cannot be a room's name is refused, by HTTP and in a handshake."""
    for name in ("UPPER", "-dash", "a" * 65, "a%20b"):
        t.room = name
        await expect_refusal(t.get(), "bad_room", 400)
        await expect_refusal(t.post("/beat", {"visitor": new_visitor()}), "bad_room", 400)
        try:
            await t.socket()
        except RefusedError as refused:
            expect(that=refused.answer.status == 400, seen=refused.answer)
            expect_error(refused.answer.json()["error"], "bad_room", 400)
        else:
            raise AssertionError(f"a socket led into the room {name!r}")


@promise("own room")
async def a_wrong_path_is_an_error(t: Trial) -> None:
    """What is not there is 404, and a wrong method is 405 with those that are right, both in the one shape."""
    await expect_refusal(t.get("/nothing"), "not_found", 404)
    for method, path in (("GET", "/beat"), ("GET", "/leave"), ("POST", ""), ("POST", "/config")):
        answer = await ask(t.base_url, method, t.path(path))
        seen = f"{answer.status} and Allow: {answer.headers.get('allow')} for {method} {path}"
        expect(that=answer.status == 405 and "allow" in answer.headers, seen=seen)
        expect_error(answer.json().get("error"), "wrong_method", 405)


# --- Sockets: who is counted ----------------------------------------------------------------------------------------------


@promise("own room")
async def a_join_counts(t: Trial) -> None:
    """Who joins is counted, with a mood or without; the answer says so already, and everybody else hears it."""
    observer = await t.observe()
    first, second = await t.socket(), await t.socket()
    first.say("join", visitor=new_visitor(), mood=t.terms.moods[0])
    answer = await first.hear("presence")
    expect(that=holds(answer, {"count": 1, "moods": {t.terms.moods[0]: 1}}), seen=short_presence(answer))
    second.say("join", visitor=new_visitor())
    answer = await second.hear("presence")
    expect(that=holds(answer, {"count": 2, "low": 2, "high": 2, "unspoken": 1}), seen=short_presence(answer))
    await observer.hear("presence", says(count=2, low=2, high=2, moods={t.terms.moods[0]: 1}, unspoken=1))
    await first.hear("presence", says(count=2))
    await t.sees(count=2, low=2, high=2)


@promise("own room")
async def an_observer_is_not_counted(t: Trial) -> None:
    """Who observes is shown the room and not counted."""
    observer = await t.socket()
    observer.say("observe")
    answer = await observer.hear("presence")
    expect(that=answer["count"] in {0, None}, seen=short_presence(answer))
    await t.settle()
    await t.sees(count=0, low=0, high=0)


@promise("own room")
async def several_sockets_are_one_person(t: Trial) -> None:
    """Several sockets of one visitor are one person, who stays until the last of them closes."""
    visitor = new_visitor()
    tabs = [await t.join(visitor) for _ in range(3)]
    await t.sees(count=1, low=1, high=1)
    tabs[0].say_goodbye(GOODBYE)
    await tabs[0].ended()
    tabs[1].cut()
    await t.settle()
    await t.sees(count=1, low=1, high=1)
    tabs[2].say("leave")
    await t.sees(count=0)


@promise("own room")
async def a_second_join_is_an_error(t: Trial) -> None:
    """A socket joins or observes once; a second word of that kind is an error without effect."""
    person = await t.join()
    person.say("join", visitor=new_visitor())
    expect_error((await person.hear("error"))["error"], "already_joined", 409)
    person.say("observe")
    expect_error((await person.hear("error"))["error"], "already_joined", 409)
    await t.settle()
    await t.sees(count=1)


# --- Sockets: moods -------------------------------------------------------------------------------------------------------


@promise("own room")
async def a_mood_moves_in_one_go(t: Trial) -> None:
    """A change of mood moves one person from one mood to another: at no moment are there more people or fewer."""
    moods = (*t.terms.moods, UNSPOKEN)
    observer = await t.observe()
    person = await t.join(mood=moods[0])
    await observer.hear("presence", says(count=1))
    await t.settle()
    begun = len(observer.texts)
    for mood in (*moods[1:], *moods[:-1], moods[0]):
        person.say("mood", mood=mood)
        await t.advance(t.terms.push_ms // 2)
    await observer.hear("presence", says(count=1, moods={moods[0]: 1}, unspoken=0))
    for presence in map(json.loads, observer.texts[begun:]):
        total = sum(presence["moods"].values()) + presence["unspoken"]
        expect(that=presence["count"] == total == 1, seen=short_presence(presence))
    person.say("mood", mood=moods[1])
    wanted = {"unspoken": 1} if moods[1] == UNSPOKEN else {"moods": {moods[1]: 1}, "unspoken": 0}
    await observer.hear("presence", says(count=1, **wanted))


@promise("own room")
async def a_mood_can_be_taken_back(t: Trial) -> None:
    """The mood ``unspoken`` takes back what was said."""
    person = await t.join(mood=t.terms.moods[0])
    person.say("mood", mood=UNSPOKEN)
    await t.sees(count=1, moods={}, unspoken=1)


@promise("own room")
async def the_last_mood_counts(t: Trial) -> None:
    """Of a visitor with several sockets the last word on mood counts, and a join without a mood says nothing."""
    visitor, mood = new_visitor(), t.terms.moods[-1]
    first = await t.join(visitor, mood=t.terms.moods[0])
    second = await t.join(visitor)
    await t.sees(count=1, moods={t.terms.moods[0]: 1})
    second.say("mood", mood=mood)
    await t.sees(count=1, moods={mood: 1})
    first.say("mood", mood=UNSPOKEN)
    await t.sees(count=1, moods={}, unspoken=1)


@promise("own room")
async def a_mood_needs_a_join(t: Trial) -> None:
    """Who did not join has no mood: an error, and the connection goes on."""
    for socket in (await t.socket(), await t.observe()):
        socket.say("mood", mood=t.terms.moods[0])
        expect_error((await socket.hear("error"))["error"], "not_joined", 409)
        socket.say("beat", sent_ms=1)
        await socket.hear("beat")
    await t.sees(count=0)


# --- Sockets: conversation ------------------------------------------------------------------------------------------------


@promise("own room")
async def a_beat_tells_the_time(t: Trial) -> None:
    """A beat needs no join, and is answered with the server's time and with its own ``sent_ms`` as it was."""
    socket = await t.socket()
    for sent_ms in (12.5, 0, -3, 1_767_225_600_123, 1e-7):
        now_ms = (await t.get("/config")).json()["now_ms"]
        socket.say("beat", sent_ms=sent_ms)
        answer = await socket.hear("beat")
        expect(that=answer.keys() == {"type", "sent_ms", "now_ms"}, seen=answer)
        expect(that=answer["sent_ms"] == sent_ms, seen=f"sent {sent_ms!r}, came back {answer['sent_ms']!r}")
        late_ms = answer["now_ms"] - now_ms
        expect(
            that=type(answer["now_ms"]) is int and abs(late_ms) < 1_000 * PATIENCE_S, seen=f"{late_ms} ms off"
        )


@promise("own room")
async def a_senseless_message_is_an_error(t: Trial) -> None:
    """A message that makes no sense is answered by an error, has no effect, and the connection goes on."""
    bad: tuple[tuple[str, str], ...] = (
        ("", "bad_json"),
        ("{", "bad_json"),
        ("[]", "not_an_object"),
        ("{}", "unknown_type"),
        ('{"type": "dance"}', "unknown_type"),
        ('{"type": "join"}', "bad_visitor"),
        ('{"type": "join", "visitor": "short"}', "bad_visitor"),
        (json.dumps({"type": "join", "visitor": new_visitor(), "mood": "no such mood"}), "unknown_mood"),
    )
    person = await t.socket()
    for text, code in bad:
        person.send_text(text)
        answer = await person.hear("error")
        expect(that=answer.keys() == {"type", "error"}, seen=answer)
        expect_error(answer["error"], code, 400)
    await t.sees(count=0)
    person.say("join", visitor=new_visitor(), mood=t.terms.moods[0])
    await person.hear("presence", says(count=1))
    person.say("mood", mood="no such mood")
    expect_error((await person.hear("error"))["error"], "unknown_mood", 400)
    await t.sees(count=1, moods={t.terms.moods[0]: 1})


@promise("own room")
async def announcements_are_spared(t: Trial) -> None:
    """However much changes, everybody is told at most once per ``push_ms``, and the last is told."""
    moods = (*t.terms.moods, UNSPOKEN)
    observer = await t.observe()
    person = await t.join(mood=moods[0])
    await observer.hear("presence", says(count=1))
    await t.settle()
    begun, begun_at_s = len(observer.texts), time.monotonic()
    for index in range(40):
        person.say("mood", mood=moods[1:][index % (len(moods) - 1)])
    person.say("mood", mood=moods[0])
    await t.settle()
    await observer.hear("presence", says(moods={moods[0]: 1}))
    told = len(observer.texts) - begun
    passed_ms = max(2 * t.terms.push_ms, 1_000 * (time.monotonic() - begun_at_s))
    bound = passed_ms / t.terms.push_ms + 2
    expect(that=told <= bound, seen=f"{told} announcements within {passed_ms:.0f} ms")
    last = read_object(observer.texts[-1])
    expect(that=holds(last, {"moods": {moods[0]: 1}}), seen=f"the last that was told: {short_presence(last)}")


# --- Sockets: going -------------------------------------------------------------------------------------------------------


@promise("own room")
async def a_goodbye_is_at_once(t: Trial) -> None:
    """Who says leave is answered by close 1000, and out at once."""
    observer = await t.observe()
    person = await t.join()
    await observer.hear("presence", says(count=1))
    person.say("leave")
    end = await person.ended()
    expect(that=end.code == GOODBYE, seen=f"closed with {end}")
    presence = await t.presence()
    expect(that=holds(presence, {"count": 0, "high": 0}), seen=short_presence(presence))
    await observer.hear("presence", says(count=0, high=0))


@promise("own room")
async def a_polite_close_is_a_goodbye(t: Trial) -> None:
    """Closing a socket with 1000 or 1001 means the same as leave."""
    for code in (GOODBYE, GOING_AWAY):
        person = await t.join()
        await t.sees(count=1)
        person.say_goodbye(code)
        await person.ended()
        presence = await t.presence()
        expect(that=holds(presence, {"count": 0, "high": 0}), seen=f"{short_presence(presence)} after {code}")


@promise("own room")
async def a_broken_socket_leaves_a_doubt(t: Trial) -> None:
    """When the last socket of a person breaks, the person stays counted in ``high`` and not in ``low``."""
    observer = await t.observe()
    await t.join(mood=t.terms.moods[0])
    lost = await t.join(mood=t.terms.moods[0])
    lost.cut()
    await observer.hear("presence", says(count=2, low=1, high=2, moods={t.terms.moods[0]: 2}))


@promise("own room")
async def who_comes_back_in_time_is_there_again(t: Trial) -> None:
    """A join with the same visitor id within ``grace_ms`` takes the doubt away, and the mood is as it was."""
    visitor, mood = new_visitor(), t.terms.moods[-1]
    (await t.join(visitor, mood=mood)).cut()
    await t.sees(count=1, low=0, high=1)
    await t.join(visitor)
    await t.sees(count=1, low=1, high=1, moods={mood: 1})
    await t.live(t.terms.grace_ms)
    await t.settle()
    await t.sees(count=1, low=1, high=1)


@promise("own room")
async def who_does_not_come_back_is_gone(t: Trial) -> None:
    """A person whose socket broke is out after ``grace_ms``, and not before."""
    observer = await t.observe()
    (await t.join()).cut()
    await observer.hear("presence", says(count=1, low=0, high=1))
    await t.advance(t.terms.grace_ms // 2)
    presence = await t.presence()
    expect(that=presence["count"] == 1, seen=f"{short_presence(presence)} after half of the grace")
    await t.advance(t.terms.grace_ms - t.terms.grace_ms // 2)
    await observer.hear("presence", says(count=0, low=0, high=0))
    await t.sees(count=0)


@promise("own room")
async def a_quiet_socket_stays(t: Trial) -> None:
    """Who says nothing and answers the host's pings is there as long as the socket is."""
    person = await t.join()
    await t.live(t.terms.lease_ms * 3 // 2)
    expect(that=person.is_open, seen="the socket was closed")
    await t.sees(count=1, low=1, high=1)


@promise("own room")
async def a_dead_socket_is_closed(t: Trial) -> None:
    """A socket from which nothing comes, not even an answer to a ping, ends after ``lease_ms``, and its person goes."""
    person = await t.socket()
    person.answers_pings = False
    person.say("join", visitor=new_visitor())
    await person.hear("presence", says(count=1))
    await t.live(t.terms.lease_ms)
    await person.ended()
    await t.live(t.terms.grace_ms)
    await t.sees(count=0)


# --- Sockets: close codes -------------------------------------------------------------------------------------------------


@promise("own room")
async def who_says_nothing_is_closed(t: Trial) -> None:
    """Who says neither join nor observe in time is closed with 4001, whatever else was said."""
    silent, chatting = await t.socket(), await t.socket()
    chatting.say("beat")
    await t.advance(t.terms.join_ms)
    for socket in (silent, chatting):
        end = await socket.ended()
        expect(that=end.code == JOIN_LATE, seen=f"closed with {end}")


@promise("own room")
async def an_unmasked_frame_is_refused(t: Trial) -> None:
    """A frame without a mask breaks RFC 6455: close 1002."""
    person = await t.join()
    person.send_unmasked('{"type": "leave"}')
    end = await person.ended()
    expect(that=end.code == PROTOCOL_ERROR, seen=f"closed with {end}")


@promise("own room")
async def a_binary_message_is_refused(t: Trial) -> None:
    """A binary message is closed with 1003."""
    person = await t.join()
    person.send_binary(b'{"type": "leave"}')
    end = await person.ended()
    expect(that=end.code == NOT_TEXT, seen=f"closed with {end}")


@promise("own room")
async def text_that_is_not_utf8_is_refused(t: Trial) -> None:
    """Text that is not UTF-8 is closed with 1007."""
    person = await t.join()
    person.send_text(b'{"type": "\xff\xfe"}')
    end = await person.ended()
    expect(that=end.code == NOT_UTF8, seen=f"closed with {end}")


@promise("own room")
async def a_long_message_is_refused(t: Trial) -> None:
    """A message that is too big is closed with 1009, and one of the largest size is not."""
    person = await t.join()
    person.send_text('{"type": "beat", "sent_ms": 1}'.ljust(t.terms.message_bytes_max))
    await person.hear("beat")
    person.send_text('{"type": "beat", "sent_ms": 1}'.ljust(t.terms.message_bytes_max + 1))
    end = await person.ended()
    expect(that=end.code == TOO_BIG, seen=f"closed with {end}")


@promise("own room")
async def endless_nonsense_is_refused(t: Trial) -> None:
    """Who sends too many messages that make no sense is closed with 4500."""
    person = await t.join()
    for _ in range(SENSELESS_MAX):
        person.send_text("nonsense")
    end = await person.ended()
    expect(that=end.code == SENSELESS, seen=f"closed with {end}")


@promise("own room")
async def too_many_sockets_are_refused(t: Trial) -> None:
    """A visitor who opens too many sockets is closed with 4501, and those that were there stay."""
    visitor = new_visitor()
    for _ in range(SOCKETS_MAX):
        socket = await t.socket()
        socket.say("join", visitor=visitor)
        socket.say("beat", sent_ms=1)
        try:
            await socket.hear("beat")
        except AssertionError:
            end = await socket.ended()
            expect(that=end.code == TOO_MANY_SOCKETS, seen=f"closed with {end}")
            break
    else:
        raise AssertionError(f"{SOCKETS_MAX} sockets of one visitor were taken")
    await t.sees(count=1, low=1, high=1)


# --- The paths of the planning document's app -----------------------------------------------------------------------------


def expect_compat_presence(body: Message, t: Trial) -> None:
    """Expect a presence as that app has it."""
    keys = body.keys() - {"type"}
    expect(that=keys == {"count", "moods", "users", "countryCounts", "timestamp"}, seen=body)
    expect(that=is_whole(body["count"]) and is_whole(body["timestamp"]), seen=body)
    expect(that=tuple(body["moods"]) == t.terms.moods, seen=body["moods"])
    expect(that=(body["users"], body["countryCounts"]) == ([], {}), seen=body)


@promise("default room")
async def the_default_room_has_an_alias(t: Trial) -> None:
    """``_default`` stands for the name of the default room in every path: the config names that room, and who joins either is in both."""
    t.room = DEFAULT_ROOM
    name = (await t.get("/config")).json()["room"]
    expect(that=isinstance(name, str) and ROOM_NAME.fullmatch(name) is not None, seen=f"room: {name!r}")
    before = (await t.presence())["count"]
    expect(that=(await t.presence())["room"] == name, seen=await t.presence())
    await t.join()
    await t.sees(count=before + 1)
    t.room = name
    await t.sees(count=before + 1)
    await t.join()
    t.room = DEFAULT_ROOM
    await t.sees(count=before + 2)
    visitor = new_visitor()
    told = await t.beat(visitor)
    expect(that=(told["room"], told["count"]) == (name, before + 3), seen=short_presence(told))
    answer = await t.post("/leave", {"visitor": visitor})
    expect(that=answer.status == 204, seen=answer)
    await t.sees(count=before + 2)
    badge = await t.get("/badge.svg")
    expect(that=badge.status == 200 and b"<svg" in badge.body, seen=badge)


@promise("default room")
async def api_presence_answers(t: Trial) -> None:
    """``GET /api/presence`` answers how many are in the default room, and never who."""
    expect_compat_presence((await t.get("/api/presence")).json(), t)


@promise("default room")
async def api_config_answers(t: Trial) -> None:
    """``GET /api/config`` answers what that app's clients ask for."""
    config = (await t.get("/api/config")).json()
    expected = {"sampleRate": 0.03, "heartbeatIntervalMs": 30_000, "supportsWebSocket": True, "version": 2}
    expect(that=config == expected, seen=config)


@promise("default room")
async def api_heartbeat_counts(t: Trial) -> None:
    """``POST /api/heartbeat`` counts a session once, and reads a mood that it does not know as presence."""
    before = (await t.get("/api/presence")).json()["count"]
    session = new_visitor()
    for mood in (t.terms.moods[0], "no such mood"):
        body = (await t.post("/api/heartbeat", {"sessionId": session, "mood": mood})).json()
        expect_compat_presence(body, t)
        expect(that=body["count"] == before + 1, seen=f"{body['count']} after one came to {before}")
    await expect_refusal(t.post("/api/heartbeat", {"mood": t.terms.moods[0]}), "bad_visitor", 400)
    await expect_refusal(t.post("/api/heartbeat", b"{"), "bad_json", 400)


@promise("default room")
async def api_room_converses(t: Trial) -> None:
    """``/api/room`` joins with its query, tells presence in that app's words, takes moods and answers pings."""
    before = (await t.get("/api/presence")).json()
    mood, other = t.terms.moods[0], t.terms.moods[-1]
    person = await t.socket(f"/api/room?sessionId={new_visitor()}&mood={mood}")
    await person.hear("presence", lambda said: bool(said["count"] == before["count"] + 1))
    for text in person.texts:
        expect_compat_presence(read_object(text), t)
    person.say("mood", mood=other)
    await person.hear("presence", lambda said: bool(said["moods"][other] == before["moods"][other] + 1))
    person.say("ping")
    answer = await person.hear("pong")
    expect(that=answer == {"type": "pong"}, seen=answer)
    person.say_goodbye(GOODBYE)
    await person.ended()
    after = (await t.get("/api/presence")).json()
    expect(that=after["count"] == before["count"], seen=f"{after['count']} after, {before['count']} before")


# --- Restart --------------------------------------------------------------------------------------------------------------


@promise("restart")
async def a_restart_says_when_to_come_back(t: Trial) -> None:
    """Before a restart sockets are closed with 1012 and a ``retry_ms``, and event streams end with a ``retry``."""
    assert t.restart is not None
    person, observer, stream = await t.join(), await t.observe(), await t.stream()
    while (event := await stream.event()) is not None and read_object(event["data"])["count"] != 1:
        pass
    await t.restart()
    for socket in (person, observer):
        end = await socket.ended()
        expect(that=end.code == RESTART, seen=f"closed with {end}")
        expect(that=is_whole(read_object(end.reason).get("retry_ms")), seen=end)
    while (event := await stream.event()) is not None and "retry" not in event:
        pass
    expect(that=event is not None and event["retry"].isdecimal(), seen=f"the last event was {event}")
    expect(that=await stream.event() is None, seen="the stream goes on after its retry")


@promise("restart")
async def a_restart_is_no_exodus(t: Trial) -> None:
    """After a restart the people are there as last known, in doubt until each comes back; then they are counted."""
    assert t.restart is not None
    visitors = [new_visitor() for _ in range(3)]
    for visitor in visitors:
        await t.join(visitor, mood=t.terms.moods[0])
    await t.restart()
    for back, visitor in enumerate(visitors):
        presence = await t.presence()
        wanted = {"count": 3, "low": back, "high": 3, "method": "stale", "moods": {t.terms.moods[0]: 3}}
        expect(that=holds(presence, wanted), seen=f"{short_presence(presence)} when {back} of 3 were back")
        expect_presence(presence, t)
        await t.join(visitor)
    await t.sees(count=3, low=3, high=3, method="counted", moods={t.terms.moods[0]: 3})
