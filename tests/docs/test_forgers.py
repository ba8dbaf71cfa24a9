"""The figures on the page about forgers are those of the code and its settings."""

import re
from collections.abc import Callable, Iterable
from math import ceil
from pathlib import Path
from random import Random

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.estimate.legacy_sampling import CHANCE, HEARTBEAT_MS, WINDOW_MS
from breathing_room.core.events import LegacyReported, PanelReported, TimerFired
from breathing_room.core.identity import VisitorKey
from breathing_room.core.room import Room
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.server.app import App
from breathing_room.hosts.server.metrics import ALARM_SEATS_MIN, render_metrics

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "topics" / "forgers.md").read_text(encoding="utf-8")
WORDS = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(PAGE.split()))  # without the addresses of links
FAKES = 1_000
CONFIG = RoomConfig()
SEATS = CONFIG.panel_size
START_MS = 1_767_225_600_000


def cap(panel_size: int) -> int:
    """Return the quota of seats of one address."""
    return Room("lobby", RoomConfig(panel_size=panel_size), now_ms=START_MS).panel.prefix_seats_max


def forged_seats(people: int) -> int:
    """Return the forged seats in a panel of so many visitors: its shares are those of the crowd."""
    return ceil(FAKES * SEATS / (people + FAKES))


@pytest.mark.parametrize("people", [100, 1_000, 10_000, 100_000, 1_000_000])
def test_table_is_computed(people: int) -> None:
    """Seats, reports, addresses and the most that one address adds follow from panel size, quota and
    heartbeat_ms.
    """
    seats = forged_seats(people)
    figures = [
        people,
        seats,
        ceil(seats * 60_000 / CONFIG.heartbeat_ms),
        ceil(seats / cap(SEATS)),
        round(people * cap(SEATS) / (SEATS - cap(SEATS))),
    ]
    assert f"| {' | '.join(f'{figure:,}' for figure in figures)} |" in PAGE


def test_words_are_computed() -> None:
    """The figures in the sentences follow from the same settings."""
    pongs = FAKES * 1_000 // CONFIG.ping_ms
    of_400, of_1600 = cap(SEATS), cap(1_600)
    few, many = forged_seats(1_000), forged_seats(100_000)
    addresses = ceil(few / of_400)
    heartbeats = FAKES * CHANCE / (HEARTBEAT_MS / 1_000)
    assert heartbeats == pytest.approx(1)
    for said in (
        f"a panel of {SEATS}, at most {of_400} seats of it for one address, a heartbeat every {CONFIG.heartbeat_ms // 1_000} s",
        f"{FAKES:,} sockets and {pongs} pongs a second, from one address",
        f"polled, 1,000 people there | {few} forged seats, from {addresses} addresses | {FAKES:,} ids that your application issues, and {addresses} addresses",
        f"polled, 100,000 people there | {many} forged seats, from one address",
        f"store mode, 1,000 people there | {few} forged seats, from one address",
        f"pings it every {CONFIG.ping_ms // 1_000} s; {FAKES:,} of them answer {pongs} pings",
        f"{of_400} / {SEATS - of_400} of the crowd, {of_400 / (SEATS - of_400):.0%}".replace("%", " %"),
        f"the cap is {of_1600} seats and the most is {of_1600 / (1_600 - of_1600):.0%}".replace("%", " %"),
        f"of {ALARM_SEATS_MIN} seats or more over half",
        f"{forged_seats(10_000)} seats of {SEATS} from one address are a share of {forged_seats(10_000) / SEATS:.0%}".replace(
            "%", " %"
        ),
        "is 1,000 people after three minutes",
    ):
        assert said in WORDS, said
    assert WINDOW_MS == 180_000


def test_metrics_are_there() -> None:
    """Every metric that the page names exists."""
    named = set(re.findall(r"`(breathing_room_\w+)`", PAGE))
    text = render_metrics(App(ServerConfig()), "")[0].decode()
    assert len(named) >= 7
    assert named <= set(re.findall(r"^# HELP (\w+) ", text, re.MULTILINE))


def a_key(number: int) -> VisitorKey:
    return VisitorKey(number.to_bytes(16))


def settle(room: Room, reports: Callable[[float], Iterable[PanelReported]], now_ms: int) -> int:
    """Report for every visitor in the sample until the rate has settled; return the time then."""
    for _ in range(12):
        now_ms += CONFIG.rate_propagation_ms
        for report in reports(room.panel.rate):
            room.step(report, now_ms=now_ms)
    room.step(TimerFired(), now_ms=now_ms)
    return now_ms


@pytest.mark.parametrize("people", [1_000, 10_000])
def test_room_believes_as_many_fakes_as_the_formula_says(people: int) -> None:
    """Forged seats with the lowest tickets, from enough addresses, move
    a real room's count by the formula.
    """
    chance = Random(1)
    honest = [(a_key(number), chance.random()) for number in range(people)]
    forged = [
        PanelReported(a_key(10**9 + number), 0.0, None, bytes([number // cap(SEATS)]) * 8)
        for number in range(forged_seats(people))
    ]

    def asked(rate: float) -> list[PanelReported]:
        return [PanelReported(key, ticket) for key, ticket in honest if ticket < rate]

    room = Room("lobby", CONFIG, now_ms=START_MS)
    now_ms = settle(room, asked, START_MS)
    before = room.presence(now_ms=now_ms).count
    now_ms = settle(room, lambda rate: [*forged, *asked(rate)], now_ms)
    after, seats = room.presence(now_ms=now_ms).count, room.panel.seat_count
    assert before is not None
    assert after is not None
    error = people / SEATS**0.5  # One standard error of a panel of this size.
    assert abs(before - people) < 3 * error
    assert 320 <= seats <= 480
    assert abs(after - before - people * len(forged) / (seats - len(forged))) < 3 * error


def test_one_session_is_a_thousand_people() -> None:
    """One session of the planning document's kind that repeats its mood once a second is 1,000 people in
    three minutes.
    """
    room = Room("lobby", CONFIG, now_ms=START_MS)
    # Half a heartbeat more: a session has no draw in its first one (core/estimate/legacy_sampling.py).
    for second in range(196):
        room.step(LegacyReported(a_key(1), "release"), now_ms=START_MS + 1_000 * second)
    count = room.presence(now_ms=START_MS + 195_000).count
    assert count == pytest.approx(FAKES, rel=0.01)
