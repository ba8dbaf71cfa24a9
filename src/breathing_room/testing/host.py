"""The conformance suite of hosts: one check for each sentence of ``docs/reference/protocol.md``.

The author of a host runs it against a host that listens, under any test runner or none::

    await check_host("http://127.0.0.1:8000")

Every check has a room of its own, so the checks run concurrently, and the visitors of a host in use are not
disturbed; only its default room has a few more visitors meanwhile. The length of a lease is read from the
host's config, and the whole suite takes a little longer than a lease and its grace: configure short ones.
With ``advance``, which moves the host's clock, the checks run one at a time, and none waits. With
``restart``, restarts are checked as well. Exceptions state what a platform cannot do:
``exceptions={"connection": "this platform has no WebSockets"}``.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from breathing_room.core.errors import HostError
from breathing_room.testing.host_checks import CHECKS
from breathing_room.testing.host_context import (
    NEEDS,
    SCOPES,
    HostCheckContext,
    HostTerms,
    Restart,
    ask,
    new_room,
)
from breathing_room.testing.store import Advance, CheckFailedError, short, wait

# Enough concurrent checks to be fast, and few enough that none times out because of the others.
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
    """Check that a host conforms to the protocol. Any client must be allowed to open a room on it.

    Args:
        base_url: The host's URL, such as ``http://127.0.0.1:8000``, with the path at which it is mounted.
        advance: Advances the host's clock by so many milliseconds; by default real time passes.
        restart: Restarts the host.
        push_ms: The host's minimum time between two broadcasts.
        join_ms: The host's time limit for the first ``join`` or ``observe`` of a connection.
        message_bytes_max: The host's maximum size of a message.
        lag_ms: How stale a presence may be, where it is read from a store or a cache.
        exceptions: What the host cannot do, each with the reason: names of checks, or of needs
            (``connection``, ``events``, ``history``, ``badge``, ``document``, ``restart``), which stand for
            every check that has the need. An excepted check must fail, so that no exception outlives its
            reason.
        only: The names of the checks to run; all by default.

    Raises:
        HostError: An exception names no check and no need, or ``only`` names no check, or one that needs a
            ``restart``.
        AssertionError: The server at that URL is no host.
        ExceptionGroup: Of one ``CheckFailedError`` for each check that failed, or passed although it is
            excepted.
    """
    exceptions = exceptions or {}
    unknown = exceptions.keys() - {*CHECKS, *NEEDS}
    if unknown:
        raise HostError(
            f"exceptions that are neither a check nor a need: {', '.join(sorted(unknown))}; "
            f"checks() lists the checks, and needs are {', '.join(NEEDS)}"
        )
    runnable = {name for name, check in CHECKS.items() if restart is not None or check.scope != "restart"}
    if never := set(only or ()) - runnable:
        raise HostError(
            f"only names no check, or one that needs restart: {', '.join(sorted(never))}; checks() lists them"
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
        raise AssertionError(f"expected the config of a room, received {short(config)}") from None
    at_once = asyncio.Semaphore(AT_ONCE if advance is wait else 1)
    failed: list[CheckFailedError] = []

    async def run(*names: str) -> None:
        for name in names:
            if only is None or name in only:
                reasons = [
                    exceptions[key] for key in (name, *sorted(CHECKS[name].needs)) if key in exceptions
                ]
                async with at_once, HostCheckContext(base_url, terms, advance, restart) as context:
                    found = await run_check(name, context)
                failed.extend(needless(name, reasons[0], found) if reasons else found)

    names_in = {scope: [name for name, check in CHECKS.items() if check.scope == scope] for scope in SCOPES}
    await asyncio.gather(run(*names_in["default room"]), *(run(name) for name in names_in["own room"]))
    if restart is not None:
        await run(*names_in["restart"])
    if failed:
        raise ExceptionGroup(f"{len(failed)} of the {len(CHECKS)} checks of a host failed", failed)


def checks() -> dict[str, str]:
    """Return the names of the checks, each with the sentence of the protocol that it checks."""
    return {name: check.sentence for name, check in CHECKS.items()}


def needless(name: str, reason: str, found: list[CheckFailedError]) -> list[CheckFailedError]:
    """Return the failure of an exception that is not needed: its check passed."""
    if found:
        return []
    sentence = CHECKS[name].sentence
    return [CheckFailedError(name, f"{sentence} The check passed, though it is excepted: {reason}")]


async def run_check(name: str, context: HostCheckContext) -> list[CheckFailedError]:
    """Run one check, and return its failure, if any."""
    check = CHECKS[name]
    try:
        await check.run(context)
    except Exception as error:  # noqa: BLE001 -- a faulty host may cause any exception
        seen = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        failure = CheckFailedError(name, f"{check.sentence} But: {seen}")
        failure.__cause__ = error
        return [failure]
    return []
