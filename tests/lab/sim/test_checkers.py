"""What must never happen."""

from dataclasses import replace
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.events import PanelReported
from breathing_room.core.identity import VisitorKey
from breathing_room.core.room import Room
from breathing_room.lab.sim.checkers import UnsafeError, check_presence, check_room, check_store
from breathing_room.lab.sim.meter import StoreMeter

ROOM = Room("lobby", RoomConfig(), now_ms=0)
ROOM.step(PanelReported(VisitorKey(bytes(16)), 0.5, "release"), now_ms=0)
PRESENCE = ROOM.presence(now_ms=0)


def test_a_room_as_it_is_passes() -> None:
    """The presence of a room with one visitor is consistent."""
    check_presence(PRESENCE)
    check_room(ROOM, 0)
    check_store(StoreMeter(rest_ms=1_000))
    check_store(StoreMeter())


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 2},
        {"high": 0},
        {"moods": {**PRESENCE.moods, "release": 0}},
        {"sample_rate": 0.0},
        {"sample_rate": 1.5},
        {"mood_intervals": {**PRESENCE.mood_intervals, "release": None}},
        {"mood_intervals": {**PRESENCE.mood_intervals, "release": (2, 3)}},
    ],
)
def test_a_presence_that_makes_no_sense_stops_the_run(wrong: dict[str, Any]) -> None:
    """A count outside its interval, moods that do not sum to it, and a rate that is none are found."""
    with pytest.raises(UnsafeError):
        check_presence(replace(PRESENCE, **wrong))


def test_a_panel_whose_timer_did_not_fire_is_found() -> None:
    """A lease that is overdue means that the host forgot to wake the room."""
    with pytest.raises(UnsafeError, match="ms ago"):
        check_room(ROOM, 1_000_000)


def test_a_key_without_rest_is_found() -> None:
    """Two writes to one key within a second break the promise of every policy."""
    with pytest.raises(UnsafeError, match="999 ms"):
        check_store(StoreMeter(rest_ms=999))
