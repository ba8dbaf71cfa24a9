"""The command that says what a room costs."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.lab.cost.strategies import STRATEGIES
from cost_page import cost_page
from harness import ServerProcess

METRICS = """# HELP breathing_room_joins_total People who came in over a socket.
# TYPE breathing_room_joins counter
breathing_room_joins_total 40000.0
# TYPE breathing_room_reports counter
breathing_room_reports_total 8000.0
# TYPE breathing_room_messages_in counter
breathing_room_messages_in_total 600000.0
# TYPE breathing_room_pushes counter
breathing_room_pushes_total 30000000.0
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1000.0
"""


def ask(*arguments: str) -> Result:
    """Run the command, and expect no bug."""
    result = CliRunner().invoke(main, ["cost", *arguments], terminal_width=200)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def answer(*arguments: str) -> Any:
    """Run the command, and read its JSON."""
    result = ask(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_all_strategies_at_one_crowd() -> None:
    """Without a name there is a bill for each strategy, to the cent."""
    body = answer("--people", "10000")
    assert [entry["strategy"] for entry in body["bills"]] == list(STRATEGIES)
    totals = {entry["strategy"]: entry["total"] for entry in body["bills"]}
    assert totals["fixed"] == "5.90"
    assert totals["client-only"] == "0.00"
    assert all(Decimal(total).as_tuple().exponent == -2 for total in totals.values())
    for entry in body["bills"]:
        parts = Decimal(entry["base"]) + sum(Decimal(item["charge"]) for item in entry["items"])
        assert parts == Decimal(entry["total"])


@pytest.mark.parametrize("people", [1_000, 1_000_000])
@pytest.mark.parametrize(("visit", "total"), [("5m", "7.00"), ("10m", "6.05"), ("15m", "5.90")])
def test_fixed_costs_the_same_for_any_crowd(people: int, visit: str, total: str) -> None:
    """
    A panel of 400 costs $5.90 a month for a thousand people and for a million, and somewhat more where they
    stay shorter.
    """
    (made,) = answer("fixed", "--people", str(people), "--visit", visit)["bills"]
    assert made["total"] == total
    assert made["accuracy"]["error"] == pytest.approx(0.05, rel=0.25)
    assert not any(limit["broken"] for limit in made["limits"])


@pytest.mark.parametrize(("visit", "total"), [("5m", "7.43"), ("10m", "6.05"), ("15m", "5.90")])
def test_heartbeats_on_a_schedule_of_their_own(visit: str, total: str) -> None:
    """
    With clients whose change of mood is no heartbeat, and without an alarm, the bills are those of the
    theory's table.
    """
    settings = ("--set", "mood_renews=false", "--set", "by_alarm=false")
    (made,) = answer("fixed", "--people", "1000000", "--visit", visit, *settings)["bills"]
    assert made["total"] == total


def test_fixed_fits_the_free_plan() -> None:
    """
    A panel of 150 that publishes on reports stays within every daily limit, and leaves a quarter for surges.
    """
    (made,) = answer("fixed", "--people", "1000000", "--plan", "free")["bills"]
    assert made["total"] == "0.00"
    assert made["accuracy"]["error"] == pytest.approx(0.082, abs=0.001)
    limits = {limit["title"]: limit for limit in made["limits"]}
    assert limits["Worker requests a day"]["load"] < 75_000
    assert limits["Durable Object duration a day"]["load"] == pytest.approx(11_059.2)
    assert not any(limit["broken"] for limit in made["limits"])


def test_explaining_shows_formula_numbers_price_source_and_date() -> None:
    """
    Every line item can be followed from the crowd to the cent, and every assumption has its source, or a
    warning.
    """
    text = ask("--explain", "fixed", "--people", "1000000").output
    for part in (
        "reports = share × joins × reports_per_visit",
        "= 0.0004 × 2,880,000,000 × 5.03 = 5,794,902 a month",
        "up(max(0, reports + alarms - included) / unit) × price",
        "= up(max(0, 5,794,902 + 518,400 - 1,000,000) / 1,000,000) × 0.15",
        "$0.90  Durable Object requests",
        "$0.15 for 1,000,000 requests, 1,000,000 included; rounded up or pro rata",
        "https://developers.cloudflare.com/durable-objects/platform/pricing/ (checked 2026-11-22, V)",
        "$5.90  in all",
        "UNVERIFIED a cache hit is not a read of the bucket",
        "tiered cache", "a cache rule", "CPU", "every 5 s", "you have a domain on Cloudflare",
        "otherwise $32,664.38",
    ):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_can_be_explained(name: str) -> None:
    """No strategy has a formula that cannot be printed."""
    result = ask("--explain", name)
    assert result.exit_code == 0
    assert "Line items" in result.output
    assert "in all" in result.output


def test_where_limits_break_is_said() -> None:
    """A limit that is broken is named with the crowd from which on it is."""
    bills = {
        entry["strategy"]: entry
        for entry in answer("naive", "sampled", "supabase", "--people", "20000")["bills"]
    }
    broken = {
        name: next(limit["broken_from_people"] for limit in entry["limits"] if limit["broken"])
        for name, entry in bills.items()
    }
    assert broken["naive"] == pytest.approx(30, abs=2)
    assert broken["sampled"] == pytest.approx(1_000, rel=0.03)
    assert broken["supabase"] == pytest.approx(10_001, rel=0.001)
    assert "KV writes to one key, from 29 people" in ask("naive").output


def test_prices_that_are_no_vendors_word_are_said() -> None:
    """A bill that rests on a third party or on memory is marked, in every kind of output."""
    text = ask("self-hosted-ec2").output
    assert "T  https://aws.amazon.com/ec2/pricing/on-demand/" in text
    assert "M  https://aws.amazon.com/vpc/pricing/" in text
    (made,) = answer("self-hosted-ec2")["bills"]
    assert {item["grade"] for item in made["items"]} == {"T", "M"}
    assert made["grade"] == "M"
    assert not any(line.startswith(("T", "M")) for line in answer("naive")["notes"])


def test_csv_has_a_row_for_each_strategy() -> None:
    """A spreadsheet can read it."""
    rows = list(csv.DictReader(io.StringIO(ask("--csv").output)))
    assert [row["strategy"] for row in rows] == list(STRATEGIES)
    assert next(row["total"] for row in rows if row["strategy"] == "fixed") == "5.90"


def test_rounding_is_a_switch() -> None:
    """Where the sources disagree both bills can be had."""
    new = answer("durable-object", "--rounding", "up")["bills"][0]["total"]
    former = answer("durable-object", "--rounding", "pro rata")["bills"][0]["total"]
    assert Decimal(new) > Decimal(former)


def test_a_plot_is_an_svg_with_a_line_for_each_strategy(tmp_path: Path) -> None:
    """It is well-formed, names what it draws, and has a cross where a limit breaks."""
    path = tmp_path / "bill.svg"
    assert ask("naive", "fixed", "--plot", str(path)).exit_code == 0
    root = ET.fromstring(path.read_text())
    svg = "{http://www.w3.org/2000/svg}"
    assert {"naive", "fixed", "$1k", "10M"} <= {element.text for element in root.iter(f"{svg}text")}
    assert len(root.findall(f"{svg}polyline")) == 3  # naive has a part beyond its limit
    assert sum("l10 10m0 -10l-10 10" in (element.get("d") or "") for element in root.iter(f"{svg}path")) == 2


def test_a_budget_finds_the_most_accurate_configuration() -> None:
    """Within $6 a panel is as large as the sum allows; within $10 a machine counts every visitor."""
    found = answer("fixed", "durable-object", "--budget", "6", "--people", "100000")["choices"]
    assert (found[0]["strategy"], found[0]["plan"]) == ("fixed", "paid")
    panel = found[0]["settings"]["panel_size"]
    (larger,) = answer("fixed", "--people", "100000", "--panel", str(panel + 1))["bills"]
    assert Decimal(found[0]["total"]) <= 6 < Decimal(larger["total"])
    assert answer("--budget", "10", "--people", "100000")["choices"][0]["strategy"] == "self-hosted"


def test_the_config_for_serve_is_one_that_serve_takes() -> None:
    """What a budget prints can be put in a file for the server."""
    for entry in answer("--budget", "1000", "--people", "50000")["choices"]:
        if entry["settings"] is not None:
            ServerConfig.load(flags=entry["settings"], environ={})
    text = ask("--budget", "6", "--people", "100000", "fixed").output
    assert 'mode = "poll"' in text
    assert "panel_size = 4" in text


def test_the_documents_claims_are_checked() -> None:
    """Every claim stands beside what is right, and the summary table goes on to a million people."""
    body = answer("--check-document")
    rows = {row["people"]: row for row in body["summary"]}
    assert {people: (row["kv_said"], row["object_said"]) for people, row in rows.items()} == {
        100: ("~$3", "~$2"), 1_000: ("~$30", "~$3"), 10_000: ("~$300", "~$8"), 100_000: ("not feasible", "~$50"), 1_000_000: ("-", "-"),
    }  # fmt: skip
    assert [rows[people]["fixed"] for people in (1_000, 10_000, 100_000, 1_000_000)] == ["5.90"] * 4
    assert Decimal(rows[10_000]["kv"]) > 400
    claims = {claim["about"]: claim for claim in body["claims"]}
    assert claims["reads: 10,000 x 6/min"]["right"] == "86,400,000/day"
    assert claims["0.0001 GB x 432 M x 60 s x $0.001"]["right"] == "$2,592.00"
    assert claims["10,000 people on Durable Objects"]["right"] == "$18.14/month"
    assert claims["lazy writes"]["right"].endswith("$27.40/month")
    assert [claim["holds"] for claim in body["claims"]].count(True) == 8
    assert all(claim["why"] for claim in body["claims"] if not claim["holds"])
    assert "ten times as many" in ask("--check-document").output
    assert "not feasible" in ask("--check-document", "--csv").output


def test_counted_metrics_are_priced(tmp_path: Path) -> None:
    """What a server counted in a day is scaled to a month of 30."""
    path = tmp_path / "metrics.txt"
    path.write_text(METRICS)
    os.utime(path, (1_000 + 86_400, 1_000 + 86_400))
    body = answer("--from-metrics", str(path))
    assert body["over_s"] == 86_400
    sockets, panel, machine = body["months"]
    assert sockets["items"]["cloudflare.workers_requests"]["used"] == 30 * (40_000 + 8_000)
    assert sockets["items"]["cloudflare.object_requests"]["used"] == 30 * (40_000 + 600_000 // 20 + 8_000)
    assert sockets["total"] == "5.30"  # 2.34 million requests, of which one is included: two, rounded up
    assert panel["items"]["cloudflare.workers_requests"]["used"] == 30 * 8_000
    assert machine["total"] == "5.99"
    half = answer("--from-metrics", str(path), "--over", "12h")["months"][0]
    assert half["items"]["cloudflare.workers_requests"]["used"] == 2 * 30 * 48_000
    assert "Counted in 86,400 s: 40,000 joins" in ask("--from-metrics", str(path)).output


def test_a_running_server_is_priced(server: ServerProcess) -> None:
    """The address of a server's metrics is enough; a run of less than a day is said to be short."""
    result = ask("--from-metrics", f"{server.url}/metrics")
    assert result.exit_code == 0, result.output
    assert "less than a day" in result.output
    assert "as your own machine: €5.99 a month" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--people", "-5"], "people must be from 1 to 1,000,000,000, not -5"),
        (["--people", "0"], "people must be from 1"),
        (["--people", "many"], "not a valid integer"),
        (["tea"], "there is no strategy 'tea'; there are naive"),
        (["--explain", "tea"], "there is no strategy 'tea'"),
        (["--visit", "0"], "a visit must be from 1 s to 30 days, not 0 s"),
        (["--visit", "soon"], "is not a duration"),
        (["--hours", "25"], "hours must be above 0 and at most 24, not 25"),
        (["--mood-changes", "-1"], "mood changes must be from 0"),
        (["--mood-changes", "NaN"], "'NaN' is not a number"),
        (["--plan", "gold"], "is not one of"),
        (["--rounding", "down"], "is not one of"),
        (["--panel", "0"], "panel must be above 0"),
        (["--poll", "0"], "poll_s must be above 0"),
        (["--set", "tea=1"], "unknown setting 'tea'; expected one of"),
        (["--set", "by_alarm=perhaps"], "must be true or false"),
        (["--set", "panel=1.5"], "must be a whole number"),
        (["--set", "sample=2", "lazy"], "sample must be above 0 and up to 1, not 2"),
        (["--visit", "1s", "--heartbeat", "720h", "fixed"], "too far apart"),
        (["--prices", "/nonexistent"], "there is no folder"),
        (["--plot", "/nonexistent/bill.svg"], "cannot be written"),
        (["--from-metrics", "/nonexistent"], "cannot be read"),
        (["--from-metrics", "http://127.0.0.1:9"], "cannot be read"),
        (["--from-metrics", __file__], "not metrics"),
        (
            ["--budget", "1", "--people", "100000000", "durable-object"],
            "no configuration counts 100,000,000 people for $1.00 a month",
        ),
        (["--budget", "-1"], "no configuration counts"),
    ],
)
def test_bad_input_gets_a_clear_message_and_exit_code_2(arguments: list[str], said: str) -> None:
    """An invalid argument is an error with its reason and an exit status."""
    result = ask(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_price_file_without_a_source_is_refused(tmp_path: Path) -> None:
    """A price without a source is rejected."""
    (tmp_path / "acme.toml").write_text(
        'title = "Acme"\ncurrency = "USD"\n[sources]\n[plans]\n[items.calls]\ntitle = "Calls"\nunit = "calls"\n'
        'price = "1"\nper = "1"\nrounding = ["up"]\n'
    )
    result = ask("--prices", str(tmp_path))
    assert result.exit_code == 2
    assert "acme.toml: items.calls.source is missing" in result.output


@pytest.mark.slow
def test_no_plotting_library_is_needed(tmp_path: Path) -> None:
    """A plot is drawn without matplotlib and without numpy, which the base install does not have."""
    program = (
        "import sys\n"
        "for name in ('matplotlib', 'numpy'): sys.modules[name] = None\n"
        "from breathing_room.cli import main\n"
        f"main(['cost', '--plot', {str(tmp_path / 'bill.svg')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bill.svg").read_text().startswith("<svg")


@pytest.mark.slow
def test_the_page_is_served_to_this_machine_until_it_is_interrupted() -> None:
    """
    `--web` prints an address of 127.0.0.1 where the page and its bills are, and Ctrl-C ends it without an
    error.
    """
    with cost_page() as page:
        assert page.url.startswith("http://127.0.0.1:")
        assert "what a room costs" in httpx.get(page.url).text
        assert httpx.get(f"{page.url}cost.json?people=1000").json()["crowd"]["people"] == 1_000
        page.process.send_signal(signal.SIGINT)
        assert page.process.wait(20) == 0


def test_a_port_that_is_taken_is_said() -> None:
    """Where another program listens already, the message says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = ask("--web", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "choose another with --port" in result.output


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ["--web", "--people", "1000000"],
            "--web can be combined with --port and --prices only, not --people",
        ),
        (["--web", "fixed", "--json"], "not STRATEGY, --json"),
        (["--port", "9000"], "--port needs --web"),
        (["--over", "6h"], "--over needs --from-metrics"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(asked: list[str], said: str) -> None:
    """
    The page has sliders for the crowd: it came up with 10,000 people, however many were asked for; and a port
    without a page was no port.
    """
    result = ask(*asked)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
