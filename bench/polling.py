"""Scenarios of visitors without a connection: a real server, a real nginx cache before it, and a crowd over
real HTTP.

Each compares the count of the room with the truth, the reports that reach the server with the budget of the
panel, and the reads of the server with those of the cache.

scaled
    2,000 visitors for ten minutes in thirty seconds: visits, heartbeats, polls and the propagation of a rate
    take a twentieth of their time, and the server takes twenty times as many reports a second. Not scaled are
    the lifetime in the cache, which HTTP counts in whole seconds (1 s in place of 0.25 s), and the lease of a
    seat, which has a minimum of 150 s. So every leave arrives here.
full
    The same with nothing scaled; 92 % of the leaves arrive.
surge
    50 visitors, and 4,950 more within 30 s, with nothing scaled.
legacy
    250 legacy clients, of the planning document's kind, for eight minutes. Their constants cannot be scaled.

The budget is the reports per second of the most seats that a panel may have before the rate falls (n + 4 sqrt
n, see ``core/rate.py``): joins, changes of mood, leaves and heartbeats, by
``core/write_policies/records.Traffic``.

``--quick`` is a trial with fewer visitors and less time; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from rich import box
from rich.console import Console
from rich.table import Table
from sockets import machine

from breathing_room.core.config import DAY_MS, RoomConfig
from breathing_room.core.estimate.legacy_sampling import CHANCE
from breathing_room.core.write_policies.records import Traffic
from breathing_room.lab.load.generator import LoadGenerator, LoadPlan, inspect_room
from breathing_room.lab.load.http_load import LegacyLoad, PollLoad

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from harness import start_server
from nginx_process import Asked, Nginx, start_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from breathing_room.lab.load.observations import Observation

VISIT_MS = 900_000
SCALE = 20
ROOM = "/v1/rooms/lobby"
NAIVE_S = 120
"""The time for which the planning document's server keeps a heartbeat."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The parameters of a scenario.

    Attributes:
        people: The number of visitors; of a surge, at its end.
        before: The number of visitors before a surge.
        surge_s: The length of a surge.
        duration_s: The length of the scenario; with a surge, from its beginning.
        observe_s: The time between two observations.
        scale: The factor by which times are shorter.
        leaves_share: The share of leaves that arrive.
    """

    people: int
    before: int = 0
    surge_s: float = 0.0
    duration_s: float
    observe_s: float
    scale: int = 1
    leaves_share: float = 0.92

    @property
    def visit_ms(self) -> int:
        return VISIT_MS // self.scale

    @property
    def room(self) -> RoomConfig:
        """The room's settings, scaled."""
        usual = RoomConfig()
        if self.scale == 1:
            return replace(usual, mode="poll")
        return replace(
            usual,
            mode="poll",
            heartbeat_ms=usual.heartbeat_ms // self.scale,
            poll_ms=usual.poll_ms // self.scale,
            # A second in the cache, which nginx may make two, another one while it is revalidated, and the
            # longest poll.
            rate_propagation_ms=3_000 + 2_000,
            reports_per_s=usual.panel_size // 4 * self.scale,
        )

    @property
    def lifetime_s(self) -> int:
        """The lifetime of a presence in a cache."""
        return 5 if self.scale == 1 else 1

    @property
    def budget_per_s(self) -> float:
        """The reports and leaves per second of the most seats that there may be."""
        room = self.room
        seats = min(self.people, room.panel_size + 4 * math.sqrt(room.panel_size))
        traffic = Traffic(
            seats=seats,
            visit_ms=self.visit_ms,
            heartbeat_ms=room.heartbeat_ms,
            leaves_share=self.leaves_share,
        )
        return traffic.reports * 1_000 / DAY_MS

    def plan(self, url: str) -> LoadPlan:
        """Return the plan of the load generator."""
        return LoadPlan(
            url=url,
            people=self.people,
            visit_ms=self.visit_ms,
            duration_ms=round(1_000 * self.duration_s),
            observe_ms=round(1_000 * self.observe_s),
            leaves_share=self.leaves_share,
            alone=True,
            seed=1,
        )

    def flags(self) -> list[str]:
        """Return the flags of the server."""
        room = self.room
        names = ("mode", "heartbeat_ms", "poll_ms", "rate_propagation_ms", "reports_per_s")
        settings = [(f"--{name.replace('_', '-')}", str(getattr(room, name))) for name in names]
        settings.append(("--presence-max-age-s", str(self.lifetime_s)))
        return [word for setting in settings for word in setting]


SETTINGS = {
    "scaled": Setting(people=2_000, duration_s=30, observe_s=1.5, scale=SCALE, leaves_share=1.0),
    "full": Setting(people=2_000, duration_s=600, observe_s=15),
    "surge": Setting(people=5_000, before=50, surge_s=30, duration_s=90, observe_s=2.5),
    "legacy": Setting(people=250, duration_s=480, observe_s=10),
}
QUICK = {
    "scaled": Setting(people=600, duration_s=10, observe_s=1, scale=SCALE, leaves_share=1.0),
    "full": Setting(people=100, duration_s=4, observe_s=1),
    "surge": Setting(
        people=1_200, before=50, surge_s=3, duration_s=12, observe_s=1, scale=SCALE, leaves_share=1.0
    ),
    "legacy": Setting(people=40, duration_s=4, observe_s=1),
}


@dataclass
class Scenario:
    """The result of a scenario.

    Attributes:
        title: Its title.
        setting: Its parameters.
        rows: A row for each observation.
        figures: Further measurements, by name.
        goals: The goals, and whether each was reached.
    """

    title: str
    setting: Setting
    rows: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, bool] = field(default_factory=dict)


@contextmanager
def behind_a_cache(setting: Setting) -> Iterator[Nginx]:
    """Start a server and nginx before it."""
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder) / "room.db", "--log-level", "warning", *setting.flags())
        try:
            with start_nginx(Path(folder), server.port) as nginx:
                yield nginx
        finally:
            server.stop()


# --- What reached the server ------------------------------------------------------------------------------


@dataclass
class Arrivals:
    """The requests that reached the server, by seconds since the crowd began."""

    began_at_s: float
    asked: list[Asked]

    def _times(self, *paths: str) -> list[float]:
        return [asked.at_s - self.began_at_s for asked in self.asked if asked.path in paths]

    @property
    def reports(self) -> list[float]:
        return self._times(f"{ROOM}/heartbeat", f"{ROOM}/leave", "/api/heartbeat")

    @property
    def reads(self) -> list[float]:
        return self._times(ROOM, "/api/presence")

    @property
    def configs(self) -> list[float]:
        return self._times(f"{ROOM}/config", "/api/config")


def between(times: Sequence[float], after_s: float, until_s: float) -> int:
    """Count the times in (after, until]."""
    return sum(after_s < at_s <= until_s for at_s in times)


def rows(observations: Sequence[Observation], arrivals: Arrivals) -> list[dict[str, Any]]:
    """Return a row for each observation, with the requests that reached the server since the one before."""
    made = []
    for before, seen in pairwise([None, *observations]):
        assert seen is not None
        since_s = before.at_s if before else 0.0
        length_s = seen.at_s - since_s
        made.append(
            {
                "at_s": round(seen.at_s, 1),
                "gathered": seen.gathered,
                "truth": seen.own,
                "count": seen.count,
                "low": seen.low,
                "high": seen.high,
                "covered": seen.verdict == "covered",
                "rate": seen.rate,
                "reads_per_s": round(seen.rates(before).get("reads", 0.0), 1),
                "origin_reads_per_s": round(between(arrivals.reads, since_s, seen.at_s) / length_s, 2),
                "reports_per_s": round(between(arrivals.reports, since_s, seen.at_s) / length_s, 2),
            }
        )
    return made


def within_budget(budget_per_s: float, times: Sequence[float], after_s: float, until_s: float) -> bool:
    """Return whether the reports in a window are within the budget and four standard errors."""
    most = budget_per_s * (until_s - after_s)
    return between(times, after_s, until_s) <= most + 4 * math.sqrt(most)


# --- The scenarios ----------------------------------------------------------------------------------------


async def run(crowd: LoadGenerator[Any]) -> float:
    """Run a crowd; return when it began, in seconds since 1970."""
    began_at_s = time.time()
    await crowd.run()
    return began_at_s


def judge(show: Scenario, crowd: LoadGenerator[Any], arrivals: Arrivals) -> None:
    """Add the figures and goals of every crowd that polls."""
    setting, summary = show.setting, crowd.summary()
    show.rows = rows(crowd.observations.all, arrivals)
    reads = len(arrivals.reads)
    lifetimes = setting.duration_s / setting.lifetime_s
    show.figures |= {
        "presences that the crowd asked for": summary["reads"],
        "presences that the server was asked for": reads,
        "of them per lifetime in the cache": round(reads / lifetimes, 2),
        "reports that were shed": summary["shed"],
        "budget, reports a second": round(setting.budget_per_s, 2),
        "failures": summary["ends"] | summary["errors"],
    }
    # A lifetime is one read; the first may have begun before the crowd joined, the last after it left.
    show.goals["the server is asked at most once a lifetime"] = reads <= lifetimes + 2


async def show_crowd(setting: Setting, title: str, nginx: Nginx) -> Scenario:
    """Run a crowd that polls."""
    plan = setting.plan(nginx.url)
    crowd = PollLoad(plan, await inspect_room(plan))
    arrivals = Arrivals(await run(crowd), nginx.asked())
    show = Scenario(title, setting)
    judge(show, crowd, arrivals)
    # All join at once: the rate has propagated after a lifetime and the longest poll, and all have reported
    # by then.
    settled_s = (
        (crowd.stats.gathered_at_s or 0.0) - crowd.stats.began_at_s + setting.room.rate_propagation_ms / 1_000
    )
    until_s = setting.duration_s
    settled = [row for row in show.rows if row["at_s"] >= settled_s]
    if settled:
        errors = [row["count"] / row["truth"] - 1 for row in settled]
        steady_per_s = between(arrivals.reports, settled_s, until_s) / (until_s - settled_s)
        show.figures |= {
            "the rate was heard of, s": round(settled_s, 1),
            "observations since then": len(settled),
            "of them covered the truth": sum(row["covered"] for row in settled),
            "bias, %": round(100 * sum(errors) / len(errors), 2),
            "root of the mean square error, %": round(
                100 * math.sqrt(sum(error**2 for error in errors) / len(errors)), 2
            ),
            "reports a second since then": round(steady_per_s, 2),
        }
        show.goals["reports stay within the budget"] = within_budget(
            setting.budget_per_s, arrivals.reports, settled_s, until_s
        )
    return show


class Newcomers(PollLoad):
    """The visitors of a surge; their own counts include those of the residents."""

    residents: PollLoad

    def own(self, since_s: float) -> tuple[int, int, int]:
        here, fewest, most = (
            ours + theirs
            for ours, theirs in zip(super().own(since_s), self.residents.own(since_s), strict=True)
        )
        return here, fewest, most


async def show_surge(setting: Setting, title: str, nginx: Nginx) -> Scenario:
    """Run a surge of many visitors into a room with a few."""
    plan = setting.plan(nginx.url)
    few = replace(plan, people=setting.before, duration_ms=None, observe_ms=0)
    residents = PollLoad(few, await inspect_room(few))
    staying = asyncio.create_task(residents.run())
    await asyncio.sleep(2 * setting.lifetime_s + 1)
    newcomers_count = setting.people - setting.before
    many = replace(plan, people=newcomers_count, joins_per_s=newcomers_count / setting.surge_s, seed=2)
    newcomers = Newcomers(many, await inspect_room(many))
    newcomers.residents = residents
    arrivals = Arrivals(await run(newcomers), nginx.asked())
    residents.stop()
    await staying
    show = Scenario(title, setting)
    judge(show, newcomers, arrivals)
    # The residents read, too, and some of their reads were before this time.
    show.goals.pop("the server is asked at most once a lifetime")
    one_s, two_s = (setting.surge_s + lives * setting.lifetime_s for lives in (1, 2))
    after = [row for row in show.rows if row["at_s"] >= two_s]
    peak = max(between(arrivals.reports, second, second + 1) for second in range(round(setting.duration_s)))
    show.figures |= {
        "the most reports in a second": peak,
        "reports a second, from a lifetime after the surge": round(
            between(arrivals.reports, one_s, setting.duration_s) / (setting.duration_s - one_s), 2
        ),
        "observations from two lifetimes after it": len(after),
        "of them covered the truth": sum(row["covered"] for row in after),
    }
    show.goals |= {
        "reports are within the budget from a lifetime after the surge": within_budget(
            setting.budget_per_s, arrivals.reports, one_s, setting.duration_s
        ),
        "the first look after two lifetimes covers the truth": bool(after) and after[0]["covered"],
    }
    return show


async def show_legacy(setting: Setting, title: str, nginx: Nginx) -> Scenario:
    """Run a crowd of legacy clients."""
    plan = setting.plan(nginx.url)
    crowd = LegacyLoad(plan, await inspect_room(plan))
    arrivals = Arrivals(await run(crowd), nginx.asked())
    show = Scenario(title, setting, rows(crowd.observations.all, arrivals))
    for row in show.rows:
        kept = between(arrivals.reports, row["at_s"] - NAIVE_S, row["at_s"])
        row["naive"] = round(kept / CHANCE)
    third_minute = [row for row in show.rows if row["at_s"] >= min(120, setting.duration_s / 2)]
    counts = [row["count"] for row in third_minute]
    show.figures |= {
        "observations from the third minute on": len(third_minute),
        "of them covered the truth": sum(row["covered"] for row in third_minute),
        "their counts, on average": round(sum(counts) / len(counts), 1),
        "the naive figures, on average (biased)": round(
            sum(row["naive"] for row in third_minute) / len(third_minute)
        ),
        "failures": crowd.summary()["ends"] | crowd.summary()["errors"],
    }
    return show


SCENARIOS = {"scaled": show_crowd, "full": show_crowd, "surge": show_surge, "legacy": show_legacy}


def title_of(setting: Setting, name: str) -> str:
    """Return the title of a scenario."""
    kind = "clients of the planning document's kind" if name == "legacy" else "people who poll"
    who = f"{setting.people:,} {kind}"
    if setting.before:
        who = f"{setting.before:,} {kind}, and {setting.people - setting.before:,} more within {setting.surge_s:g} s"
    scaled = (
        ""
        if setting.scale == 1
        else f", for {setting.duration_s * setting.scale / 60:g} minutes of scaled time"
    )
    return f"{who}: {setting.duration_s:g} s{scaled}"


# --- Output -----------------------------------------------------------------------------------------------

COLUMNS = {
    "at_s": "s",
    "truth": "truth",
    "count": "count",
    "interval": "95 % interval",
    "covered": "",
    "rate": "rate",
    "reads_per_s": "reads/s, cache",
    "origin_reads_per_s": "reads/s, server",
    "reports_per_s": "reports/s",
    "naive": "naive (biased)",
}


def print_scenario(show: Scenario) -> None:
    """Print a scenario as a table."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 132)
    console.print(f"\n[bold]{show.title}[/bold]")
    names = [name for name in COLUMNS if name != "naive" or "naive" in show.rows[-1]]
    table = Table(*(COLUMNS[name] for name in names), box=box.SIMPLE if console.is_terminal else box.MARKDOWN)
    for column in table.columns:
        column.justify = "right"
    for row in show.rows:
        covered = "covered" if row["covered"] else "outside" if row["gathered"] else "joining"
        high = "?" if row["high"] is None else f"{row['high']:,}"
        cells = row | {"interval": f"{row['low']:,} to {high}", "covered": covered}
        table.add_row(*(format_figure(cells[name]) for name in names))
    console.print(table)
    for name, figure in show.figures.items():
        console.print(f"{name}: {format_figure(figure)}")
    for goal, reached in show.goals.items():
        console.print(f"{goal}: {'yes' if reached else 'no'}")


def format_figure(figure: Any) -> str:
    """Format a figure."""
    match figure:
        case None:
            return "unknown"
        case dict():
            return ", ".join(f"{name}: {count:,}" for name, count in figure.items()) or "none"
        case int() | float():
            return f"{figure:,}"
        case _:
            return str(figure)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "shows", nargs="*", metavar="SCENARIO", help=f"any of {', '.join(SCENARIOS)}; default: scaled surge"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer people, less time, figures that mean nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    options.shows = options.shows or ["scaled", "surge"]
    for name in options.shows:
        if name not in SCENARIOS:
            parser.error(f"unknown scenario {name!r}; expected some of {', '.join(SCENARIOS)}")
    return options


def main() -> None:
    """Run the scenarios and print them."""
    options = parse()
    where_and_when = machine() | {"cores": str(os.cpu_count())}
    if not options.json:
        print(" · ".join(f"{name} {value}" for name, value in where_and_when.items()))
    shows = []
    for name in options.shows:
        setting = (QUICK if options.quick else SETTINGS)[name]
        title = title_of(setting, name)
        Console(stderr=True, highlight=False).print(title)
        with behind_a_cache(setting) as nginx, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            show = runner.run(SCENARIOS[name](setting, title, nginx))
        shows.append(show)
        if not options.json:
            print_scenario(show)
    if options.json:
        made = {
            name: {"figures": show.figures, "goals": show.goals, "rows": show.rows}
            for name, show in zip(options.shows, shows, strict=True)
        }
        print(json.dumps({"machine": where_and_when, "shows": made}, indent=2))


if __name__ == "__main__":
    main()
