"""The settings of a Worker."""

import re
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig, settings_of
from breathing_room.core.errors import ConfigError
from breathing_room.hosts.common.settings import FIELDS, ServerConfig
from breathing_room.hosts.worker.settings import (
    SHARDS_MAX,
    SNAPSHOT_MS_MIN,
    WORKER_FIELDS,
    WorkerConfig,
)


def load(**variables: str) -> WorkerConfig:
    return WorkerConfig.load({f"BREATHING_ROOM_{name.upper()}": text for name, text in variables.items()})


def test_variables_are_settings_of_server_and_worker() -> None:
    """Each variable sets its field, whether the server has it too or not; those of other programs are
    ignored.
    """
    config = WorkerConfig.load(
        {
            "BREATHING_ROOM_LEASE_MS": "40000",
            "BREATHING_ROOM_SOCKETS_MAX": "50",
            "BREATHING_ROOM_IDLE_ALARM_MS": "7",
            "PATH": "/bin",
        }
    )
    assert (config.server.room.lease_ms, config.sockets_max, config.idle_alarm_ms) == (40_000, 50, 7)
    assert load(mode="poll", backend="kv", policy="bucketed").collects
    assert not load(policy="bucketed").collects


def test_rooms_of_the_table_are_the_others_with_changes() -> None:
    """A room of the table has the settings of all others except for those in the table; lists stay lists."""
    config = load(lease_ms="40000", rooms='{"garden": {"moods": ["calm"], "push_ms": 500}}')
    garden = config.server.rooms["garden"]
    assert (garden.moods, garden.push_ms, garden.lease_ms) == (("calm",), 500, 40_000)
    assert config.server.room.moods != ("calm",)
    assert config.rooms == (config.server.room, garden)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"leese_ms": "1"}, 'unknown setting "leese_ms"; did you mean "lease_ms"?'),
        ({"idle_alarms_ms": "1"}, 'unknown setting "idle_alarms_ms"; did you mean "idle_alarm_ms"?'),
        (
            {"sockets_max": "many"},
            "sockets_max must be a whole number from 1 to 3,276,800 sockets, not 'many'",
        ),
        ({"rooms": "{"}, "rooms must be JSON"),
        ({"rooms": "[]"}, "rooms must be JSON"),
        ({"rooms": '{"garden": 3}'}, "rooms must be JSON"),
        (
            {"rooms": '{"garden": {"port": 1}}'},
            "rooms.garden: port applies to all rooms and cannot be set for one",
        ),
        ({"backend": "r2"}, "backend must be one of objects, kv, not 'r2'"),
        ({"backend": "kv"}, "mode must be poll"),
        ({"policy": "lazy"}, "policy must be one of"),
        ({"snapshot_ms": str(SNAPSHOT_MS_MIN - 1)}, "snapshot_ms must be at least 2,000"),
        ({"sockets_per_object": "32769"}, "sockets_per_object"),
        (
            {"sockets_per_object": "10", "sockets_max": str(10 * SHARDS_MAX + 1)},
            "sockets_max must be at most 100 times sockets_per_object, 1,000, not 1,001",
        ),
        ({"reconcile_ms": "1"}, "reconcile_ms"),
    ],
)
def test_wrong_settings_are_named(variables: dict[str, str], message: str) -> None:
    """An unknown variable, a value of another kind and settings that contradict each other are errors that
    name them.
    """
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(**variables)


@pytest.mark.parametrize(
    ("sockets", "each", "objects"), [(10, 10, 1), (11, 10, 2), (1, 10_000, 1), (100, 1, 100)]
)
def test_as_many_objects_as_sockets_need(sockets: int, each: int, objects: int) -> None:
    """A room has as many objects as its connections need, the last one perhaps not full."""
    assert WorkerConfig(sockets_max=sockets, sockets_per_object=each).shards_max == objects


def test_every_room_is_held_to_the_limits_of_the_edge() -> None:
    """A setting that exceeds the limits of KV is refused for a single room as well as for all."""
    rooms: dict[str, Any] = {"garden": RoomConfig(snapshot_ms=SNAPSHOT_MS_MIN - 1)}
    with pytest.raises(ConfigError, match="snapshot_ms"):
        WorkerConfig(server=ServerConfig(rooms=rooms))
    with pytest.raises(ConfigError, match="mode must be poll"):
        WorkerConfig(
            backend="kv", server=ServerConfig(room=RoomConfig(mode="poll"), rooms={"garden": RoomConfig()})
        )


def test_the_names_are_all_that_a_worker_looks_at() -> None:
    """Every setting is a variable, each under one name, and rooms in KV have the settings of store mode."""
    own = settings_of(WorkerConfig)
    assert len(WORKER_FIELDS) == len(FIELDS) + len(own) + 1
    assert {*FIELDS, *own, "rooms"} == WORKER_FIELDS.keys()
    store_mode = WorkerConfig(policy="bucketed", bucket_ms=500, reconcile_ms=120_000).store_mode
    assert (store_mode.policy, store_mode.bucket_ms, store_mode.reconcile_ms) == ("bucketed", 500, 120_000)
