"""The protocol page names the times that the clients keep."""

import re
from pathlib import Path
from typing import Any

from breathing_room.client.clock import SAMPLES
from breathing_room.client.timing import Timing
from breathing_room.hosts.common.settings import ServerConfig
from hosts.promises import EXCEPTIONS
from node import CLIENT, node

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")


def row(start: str) -> str:
    """The row of a table that begins so."""
    (found,) = re.findall(rf"^\| {re.escape(start)}.*$", PAGE, re.MULTILINE)
    return str(found)


def constant(file: str, name: str) -> Any:
    """A constant of a script."""
    (found,) = re.findall(
        rf"^(?:export )?const {name} = (.*);$", (CLIENT / file).read_text(encoding="utf-8"), re.MULTILINE
    )
    return node("breath.js", found)


def test_the_times_are_those_of_the_clients() -> None:
    """
    What the page says of answers, beats and backoff is what the browser client and the Python client do.
    """
    timing = Timing()
    assert constant("http.js", "ANSWER_MS") == timing.answer_s * 1_000
    assert f" {timing.answer_s:g} s;" in row("an answer")
    first = ", ".join(f"{ms / 1_000:g} s" for ms in constant("socket_transport.js", "TIME_MS"))
    assert constant("socket_transport.js", "PING_MS") == timing.ping_s * 1_000
    assert f"then {first}, " in row("from one beat")
    assert f"every {timing.ping_s:g} s, or a third of" in row("from one beat")
    for file in ("connector.js", "polling.js"):
        assert constant(file, "BACKOFF_MS") == timing.backoff_base_s * 1_000
        assert constant(file, "BACKOFF_MAX_MS") == timing.backoff_cap_s * 1_000
    assert f"min({timing.backoff_cap_s:g} s, {timing.backoff_base_s:g} s · 2^attempt)" in row(
        "before coming back"
    )
    assert row("refused sockets").endswith(f"| {constant('connector.js', 'REFUSALS_MAX')} |")
    fallback_s = constant("poll_transport.js", "FALLBACK_POLL_MS") / 1_000
    assert f"at most {fallback_s:g} s, times" in row("from one poll to the next")
    assert f"the presence is read every {fallback_s:g} s" in PAGE
    minutes = constant("poll_transport.js", "FALLBACK_MS") / 60_000
    assert row("until a socket").endswith(f"| a random time from {minutes:g} to {2 * minutes:g} min |")
    assert row("an id that nobody").endswith(f"| {constant('tabs.js', 'VISIT_MS') / 60_000:g} min |")
    assert f"Of the last {SAMPLES} the one" in PAGE
    assert constant("freshness.js", "SAMPLES") == SAMPLES


def test_the_limits_are_those_of_the_server() -> None:
    """
    What the page says of the server's patience is what it has unless it is told otherwise.
    """
    config = ServerConfig()
    assert f"`observe` within {config.join_ms / 1_000:g} s is closed" in PAGE
    assert f"at most {config.message_bytes_max:,} bytes; after {config.bad_messages_max} that" in PAGE


def test_what_hosts_leave_out_is_what_the_suite_excepts() -> None:
    """
    The page names for each host exactly the exceptions with which the suite is run on it, each with its reason.
    """
    (table,) = re.findall(r"^\| host \| leaves out .*?\n(?=\n)", PAGE, re.MULTILINE | re.DOTALL)
    said: dict[str, dict[str, str]] = {}
    for line in table.splitlines()[2:]:
        hosts, name, reason = (cell.strip(" `") for cell in line.strip("|").split("|"))
        for host in hosts.split(", "):
            said.setdefault(host, {}).update({name: reason} if name else {})
    assert said == EXCEPTIONS
