"""The protocol page says what the clients and the server do."""

import importlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from breathing_room.client import errors
from breathing_room.client.clock import SAMPLES
from breathing_room.client.timing import Timing
from breathing_room.core.config import RoomConfig
from breathing_room.core.wire import CLOSE_CODES, PING, PONG, PRESENCE_FIELDS
from breathing_room.hosts.common.http.answer_schemas import CONFIG, PRESENCE, ROOMS_READ_MAX
from breathing_room.hosts.common.http.schemas import CLOSE_CODES_TO_COME, ERRORS_TO_COME, V1
from breathing_room.hosts.common.settings import ServerConfig, settings
from breathing_room.testing import checks
from hosts.promises import EXCEPTIONS
from node import CLIENT, node
from schemas_of_v1 import FROM_CLIENT, FROM_SERVER, validate, validator

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "protocol.md").read_text(encoding="utf-8")
MARK: Final = "*(not yet served)*"


def row(start: str) -> str:
    """The row of a table that begins so."""
    (found,) = re.findall(rf"^\| {re.escape(start)}.*$", PAGE, re.MULTILINE)
    return str(found)


def section(heading: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    level = heading.partition(" ")[0]
    return re.split(rf"\n#{{2,{len(level)}}} ", PAGE.split(f"\n{heading}\n")[1])[0]


def constant(file: str, name: str) -> Any:
    """A constant of a script."""
    (found,) = re.findall(
        rf"^(?:export )?const {name} = (.*);$", (CLIENT / file).read_text(encoding="utf-8"), re.MULTILINE
    )
    return node("breath.js", found)


def test_the_times_are_those_of_the_clients() -> None:
    """
    What the page says of answers, pings and backoff is what the browser client and the Python client do.
    """
    timing = Timing()
    assert constant("http.js", "ANSWER_MS") == timing.answer_s * 1_000
    assert f" {timing.answer_s:g} s;" in row("an answer")
    first = ", ".join(f"{ms / 1_000:g} s" for ms in constant("socket_transport.js", "TIME_MS"))
    assert constant("socket_transport.js", "PING_MS") == RoomConfig().ping_ms
    assert f"with the join, then {first} after it," in row("the requests for the time")
    assert f"`ping_ms`; {RoomConfig().ping_ms / 1_000:g} s where" in row("from one ping")
    for file in ("connector.js", "polling.js"):
        assert constant(file, "BACKOFF_MS") == timing.backoff_base_s * 1_000
        assert constant(file, "BACKOFF_MAX_MS") == timing.backoff_cap_s * 1_000
    assert f"min({timing.backoff_cap_s:g} s, {timing.backoff_base_s:g} s · 2^attempt)" in row(
        "before coming back"
    )
    assert row("refused connections").endswith(f"| {constant('connector.js', 'REFUSALS_MAX')} |")
    fallback_s = constant("poll_transport.js", "FALLBACK_POLL_MS") / 1_000
    assert f"at most {fallback_s:g} s, times" in row("from one poll to the next")
    assert f"the presence is read every {fallback_s:g} s" in " ".join(PAGE.split())
    minutes = constant("poll_transport.js", "FALLBACK_MS") / 60_000
    assert row("until a connection").endswith(f"| a random time from {minutes:g} to {2 * minutes:g} min |")
    assert row("an id that is not used").endswith(f"| {constant('tabs.js', 'VISIT_MS') / 60_000:g} min |")
    assert f"Of the last {SAMPLES} the one" in " ".join(PAGE.split())
    assert constant("freshness.js", "SAMPLES") == SAMPLES
    assert f"is cut to 0 to {errors.RETRY_MS_MAX / 1_000:g} s" in " ".join(PAGE.split())


def test_the_limits_are_those_of_the_server() -> None:
    """What the page says of the server's patience is what it has by default."""
    config = ServerConfig()
    text = " ".join(section("## WebSocket").split())
    assert f"is a join or an observe, within {config.join_ms / 1_000:g} s" in text
    assert f"at most {config.message_bytes_max:,} bytes; after {config.bad_messages_max} bad" in text
    assert f"at most {ROOMS_READ_MAX} rooms in one answer" in PAGE


def test_what_hosts_leave_out_is_what_the_suite_excepts() -> None:
    """
    The page names for each host exactly the exceptions with which the suite is run on it, each with its
    reason.
    """
    (table,) = re.findall(r"^\| host \| leaves out .*?\n(?=\n)", PAGE, re.MULTILINE | re.DOTALL)
    said: dict[str, dict[str, str]] = {}
    for line in table.splitlines()[2:]:
        hosts, name, reason = (cell.strip(" `") for cell in line.strip("|").split("|"))
        for host in hosts.split(", "):
            said.setdefault(host, {}).update({name: reason} if name else {})
    assert said == EXCEPTIONS


# --- The schemas ------------------------------------------------------------------------------------------


def test_the_tables_name_every_key() -> None:
    """
    The tables of presence and config list exactly the declared keys in order, marked where they are not yet
    served; and every object of v1 has its place in a table.
    """
    for heading, shape in (("## Presence", PRESENCE), ("### Config", CONFIG)):
        rows = re.findall(r"^\| `(\w+)`(\??) \|.*?\| (.*) \|$", section(heading), re.MULTILINE)
        rows = [found for found in rows if found[0] in {field.name for field in shape.fields}]
        assert [name for name, _, _ in rows] == [field.name for field in shape.fields]
        for (_, absent, meaning), field in zip(rows, shape.fields, strict=True):
            assert meaning.startswith(MARK) == (not field.served), field.name
            assert (absent == "?") == field.optional, field.name
    assert tuple(field.name for field in PRESENCE.fields if field.served) == PRESENCE_FIELDS
    named = [*re.findall(r"\*\*(\w+)\*\* \|", PAGE), "Presence", "Config"]
    assert Counter(named) == Counter(shape.name for shape in V1)


def test_the_mark_is_uniform() -> None:
    """What is not yet served is marked in one way."""
    flat = " ".join(PAGE.split())
    assert flat.count("not yet served") == flat.count(MARK)


BLOCKS = {
    '{"room": "lobby", "count"': "Presence",
    '{"room"': "Config",
    '{"visitor"': "Report",
    '{"error"': "Error",
}
"""How the examples of each kind begin."""


def test_every_example_fits_its_schema() -> None:
    """
    Each JSON block of the page, and each whole message in a table, is what its schema accepts, and has no key
    that is not declared.
    """
    checked = Counter[str]()
    for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL):
        name = next(name for start, name in BLOCKS.items() if block.startswith(start))
        validate(name, block)
        checked[name] += 1
    assert checked == {"Presence": 1, "Config": 1, "Report": 1, "Error": 1}
    messages = FROM_CLIENT | FROM_SERVER
    flat = " ".join(PAGE.split("## The paths of an older app")[0].split())
    for message in re.findall(r'`(\{"type": ?"[^`]*\})`', flat):
        if "…" in message and "presence" in message:
            continue
        found = json.loads(message)
        shapes = [
            by_type[found["type"]] for by_type in (FROM_CLIENT, FROM_SERVER) if found["type"] in by_type
        ]
        fitting = [
            shape for shape in shapes if validator(shape.name, closed=True, served_only=False).is_valid(found)
        ]
        assert fitting, message
        checked[found["type"]] += 1
    assert {*checked} - {*BLOCKS.values()} == messages.keys() - {"presence"}
    assert f"`{PING.decode()}`" in PAGE
    assert f"`{PONG.decode()}`" in PAGE


def test_every_line_of_the_conversation_fits_its_schema() -> None:
    """
    Each message of the recorded conversation, each body and each answer of HTTP is what its schema accepts,
    and has no key that is not declared.
    """
    page = (REFERENCE / "conversation.md").read_text(encoding="utf-8")
    checked, asked = Counter[str](), ""
    for line in re.findall(r"^(?:\w+) ([<>] .*)$", page, re.MULTILINE):
        way, _, text = line.partition(" ")
        if request := re.match(r"(GET|POST) /v1/rooms/lobby(\S*?)(?:;|$)", text):
            asked = request[2]
        text = text.removeprefix("data: ")
        if way == "<" and (close := re.fullmatch(r"close \d+ (\{.*\})", text)):
            name, text = "CloseReason", close[1]
        elif not text.startswith("{") or text.startswith("{} nineteen"):
            continue
        elif "type" in (found := json.loads(text)):
            by_type = FROM_CLIENT if way == ">" else FROM_SERVER
            if found["type"] not in by_type:
                checked["refused"] += 1
                continue
            name = by_type[found["type"]].name
        elif way == ">":
            name = {"/heartbeat": "Report", "/leave": "Leave"}[asked]
        else:
            name = "Error" if "error" in found else {"/config": "Config"}.get(asked, "Presence")
        validate(name, text)
        checked[name] += 1
    assert checked.keys() == {
        *("Config", "Presence", "Report", "Leave", "Error", "CloseReason", "refused"),
        *(FROM_CLIENT[name].name for name in FROM_CLIENT if FROM_CLIENT[name].served),
        *(FROM_SERVER[name].name for name in FROM_SERVER if FROM_SERVER[name].served),
    }


def raised_codes(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The codes of the errors that the server side raises."""
    monkeypatch.syspath_prepend(str(REFERENCE.parents[1] / "scripts"))
    return {code for code, _, _ in importlib.import_module("reference").raised()}


def test_codes_that_are_to_come_are_named_and_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The page names every error code that is not yet served with its status, and marks exactly the close codes
    that are not; none of them is served already.
    """
    flat = " ".join(PAGE.split())
    for code, (status, _) in ERRORS_TO_COME.items():
        assert f"`{status} {code}`" in flat, code
    marked = re.findall(r"^\| (\d{4}) \| \*\(not yet served\)\*", section("### Close codes"), re.MULTILINE)
    assert [*map(int, marked)] == [*CLOSE_CODES_TO_COME]
    assert CLOSE_CODES_TO_COME.keys().isdisjoint(CLOSE_CODES)
    assert ERRORS_TO_COME.keys().isdisjoint(raised_codes(monkeypatch))


def test_every_name_is_one_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each name in code letters on the page is a setting, a key or a word of the wire, an error code or a check
    of hosts.
    """
    keys = {field.name for shape in V1 for field in shape.fields}
    words = {word for shape in V1 for field in shape.fields for word in field.schema.get("enum", ())}
    known = {one.name for one in settings()} | keys | words | ERRORS_TO_COME.keys()
    known |= raised_codes(monkeypatch) | checks().keys()
    named = set(re.findall(r"`(?:\d{3} )?([a-z]+(?:_[a-z0-9]+)+)`", PAGE))
    assert len(named) > 40
    assert named - known == {"check_host"}


# --- Who may end a client for good ------------------------------------------------------------------------


def cases() -> list[tuple[str, str, str]]:
    """The table of cases: what arrives, what is done then, and which client does so."""
    rows = re.findall(r"^\| [^|]+ \| `(.*)` \| (stop|come back) \| (\w+) \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 20
    return rows


def python_stops(example: str) -> bool:
    """Whether the Python client stops for good."""
    kind, number, rest = (*example.split(" ", 2), "")[:3]
    if kind == "close":
        return not isinstance(errors.error_from_close(int(number), rest), errors.ConnectionLostError)
    return isinstance(errors.error_from_response(int(number), rest.encode(), None), errors.RefusedError)


BROWSER = """
    await (async () => {
      const [closes, answers] = given, stops = [];
      for (const [code, reason] of closes) {
        const ended = new Promise((resolve) => {
          globalThis.WebSocket = class {
            constructor() { setTimeout(() => this.onclose({code, reason})); }
            send() {}
            close() {}
          };
          const place = {address: 'http://x/v1/rooms/lobby', room: 'lobby', config: {}, observe: true, self: () => ({})};
          resolve(new it.SocketTransport(place).run(new AbortController().signal));
        });
        stops.push(Boolean((await ended).stop));
      }
      const {request} = await import(new URL('http.js', given[2]).href);
      for (const [status, body] of answers) {
        globalThis.fetch = async () => new Response(body, {status});
        stops.push(await request('http://x/').then(() => null, ({stop}) => stop));
      }
      return stops;
    })()
"""


@pytest.fixture(name="browser_stops", scope="module")
def what_the_browser_does() -> dict[str, bool]:
    """For each example whether the browser client stops for good."""
    examples = [example for example, _, _ in cases()]
    closes = [one for one in examples if one.startswith("close")]
    answers = [one for one in examples if one.startswith("HTTP")]
    assert len(closes) + len(answers) == len(examples)
    split = [(int(one.split(" ", 2)[1]), (*one.split(" ", 2), "")[2]) for one in (*closes, *answers)]
    stops = node(
        "socket_transport.js", BROWSER, split[: len(closes)], split[len(closes) :], CLIENT.as_uri() + "/"
    )
    return dict(zip((*closes, *answers), stops, strict=True))


@pytest.mark.parametrize(("example", "then", "kept_by"), cases())
def test_both_clients_run_the_table_of_cases(
    example: str, then: str, kept_by: str, browser_stops: dict[str, bool]
) -> None:
    """
    Each case ends each client for good, or not, exactly as the table says; one that a client has come to keep
    is said to be kept.
    """
    stops = {"browser": browser_stops[example], "Python": python_stops(example)}
    keeping = [client for client, stop in stops.items() if stop == (then == "stop")]
    said = {"both": ["browser", "Python"], "neither": []}.get(kept_by, [kept_by])
    assert keeping == said
