"""What every host promises: each sentence of ``docs/reference/protocol.md`` with a check of its own.

The author of a host runs all of it against one that listens, under any test runner or none::

    await check_host("http://127.0.0.1:8000")

Every check has a room of its own, so the checks run side by side, and the people of a host in use are not disturbed; only
its default room sees a few visitors more. How long leases last is read from the host's config, and all of it takes a
little longer than a lease and its grace: give the host short ones. Who can move the host's clock gives ``advance``; then
the checks run one by one, and none waits. Who can restart the host gives ``restart``; then more is checked. A host whose
platform cannot keep a promise states that: ``exceptions={"connection": "this platform has no WebSockets"}``.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from breathing_room.core.errors import HostError
from breathing_room.testing.host_checks import PROMISES
from breathing_room.testing.host_context import (
    NEEDS,
    SCOPES,
    HostCheckContext,
    HostTerms,
    Restart,
    ask,
    new_room,
)
from breathing_room.testing.store import Advance, BrokenPromiseError, short, wait

# Enough checks side by side to be fast, and few enough that none waits for the packets of the others.
AT_ONCE: Final = 12


async def check_host(
    base_url: str,
    *,
    advance: Advance = wait,
    restart: Restart | None = None,
    push_ms: int = 1_000,
    join_ms: int = 10_000,
    message_bytes_max: int = 4_096,
    lag_ms: int = 0,
    exceptions: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> None:
    """Check that a host keeps every promise of the protocol. Any client must be allowed to open a room on it.

    Args:
        base_url: Where it listens, such as ``http://127.0.0.1:8000``; a path is where it is mounted.
        advance: Lets so many milliseconds pass for the host; by default real ones.
        restart: Restarts it.
        push_ms: The least time between two announcements.
        join_ms: How long a socket may say nothing.
        message_bytes_max: The longest message of a socket.
        lag_ms: How much older than the truth a presence may be: where it is read from a store, what the host keeps of that.
        exceptions: What the host cannot keep, each with the reason: names of checks, or of needs (``connection``, ``events``,
            ``history``, ``badge``, ``document``, ``restart``), which stand for every check that has the need. An excepted check
            must fail, so that a list of exceptions holds none that is not needed.
        only: The names of the checks to run; all by default.

    Raises:
        HostError: An exception is the name of no check and no need, or ``only`` has what is no check, or one that needs a ``restart``.
        AssertionError: What answers at that address is no host.
        ExceptionGroup: Of one ``BrokenPromiseError`` for each promise that was broken, or kept though it is excepted.
    """
    exceptions = exceptions or {}
    unknown = exceptions.keys() - {*PROMISES, *NEEDS}
    if unknown:
        raise HostError(f"exceptions that are neither a check nor a need: {', '.join(sorted(unknown))}")
    runnable = {
        name for name, promise in PROMISES.items() if restart is not None or promise.scope != "restart"
    }
    if never := set(only or ()) - runnable:
        raise HostError(
            f"only has names of no check, or of one that needs restart: {', '.join(sorted(never))}"
        )
    config = (await ask(base_url, "GET", f"/v1/rooms/{new_room()}/config")).json()
    try:
        terms = HostTerms(
            moods=tuple(config["moods"]),
            lease_ms=config["lease_ms"],
            grace_ms=config["grace_ms"],
            push_ms=push_ms,
            join_ms=join_ms,
            message_bytes_max=message_bytes_max,
            lag_ms=lag_ms,
            lacks=frozenset(need for need in NEEDS if need in exceptions),
        )
    except (KeyError, TypeError):
        raise AssertionError(f"the config of a room was due: {short(config)}") from None
    at_once = asyncio.Semaphore(AT_ONCE if advance is wait else 1)
    broken: list[BrokenPromiseError] = []

    async def keep(*names: str) -> None:
        for name in names:
            if only is None or name in only:
                reasons = [
                    exceptions[key] for key in (name, *sorted(PROMISES[name].needs)) if key in exceptions
                ]
                async with at_once, HostCheckContext(base_url, terms, advance, restart) as trial:
                    found = await check_promise(name, trial)
                broken.extend(needless(name, reasons[0], found) if reasons else found)

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


def needless(name: str, reason: str, found: list[BrokenPromiseError]) -> list[BrokenPromiseError]:
    """Return what is wrong with an exception: that the promise is kept."""
    if found:
        return []
    sentence = PROMISES[name].sentence
    return [BrokenPromiseError(name, f"{sentence} That is kept, though it is excepted: {reason}")]


async def check_promise(name: str, trial: HostCheckContext) -> list[BrokenPromiseError]:
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
