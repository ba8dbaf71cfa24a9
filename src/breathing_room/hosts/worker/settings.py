"""The settings of a Worker: those of a server, from the variables of ``wrangler``, and a few of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from breathing_room.core.config import RoomConfig, Setting, check_settings, setting, setting_of, settings_of
from breathing_room.core.errors import ConfigError
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.hosts.common.read_settings import ROOMS, read_variables
from breathing_room.hosts.common.settings import FIELDS, ServerConfig
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig

SNAPSHOT_MS_MIN: Final = 2_000
"""Workers KV takes one write a second to one key (https://developers.cloudflare.com/kv/platform/limits/), and
two writes may arrive at different speeds.
"""

OBJECT_SOCKETS_MAX: Final = 32_768
"""Connections that one object may hold (https://developers.cloudflare.com/durable-objects/api/state/)."""

SHARDS_MAX: Final = 100
"""Objects that one room may have: the first one takes a report of each every ``push_ms``, in some
milliseconds each.
"""

BACKENDS: Final = ("objects", "kv")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """The settings of a Worker. Every length is in milliseconds."""

    server: ServerConfig = field(default_factory=ServerConfig)
    sockets_max: int = setting(
        100_000,
        "connections that one room holds, beyond which clients are asked to try later; at most 100 objects hold them",
        unit="sockets",
        low=1,
        high=SHARDS_MAX * OBJECT_SOCKETS_MAX,
        group="limits",
    )
    sockets_per_object: int = setting(
        10_000,
        "connections of a room from which on it is spread over several objects; a broadcast to 10,000 takes an object "
        "0.2 s, and it does one thing at a time",
        unit="sockets",
        low=1,
        high=OBJECT_SOCKETS_MAX,
        group="place",
    )
    idle_alarm_ms: int = setting(
        60_000,
        "how late a room's alarm may fire while it has no subscriber; a read is exact all the same",
        unit="ms",
        low=0,
        high=3_600_000,
        group="place",
    )
    backend: str = setting(
        "objects",
        "where rooms are: `objects`, one for each room, or `kv`, store mode, which counts only a panel of polling clients",
        choices=BACKENDS,
        group="place",
    )
    reconcile_ms: int = setting_of(
        StoreModeConfig, "reconcile_ms", meaning='how often the cron runs `reconcile`, with `backend = "kv"`'
    )
    policy: str = setting_of(
        StoreModeConfig,
        "policy",
        default=EveryPolicy.name,
        meaning="how reports are written to `kv`: `every`, each a write, or `bucketed`, where one object for each room "
        "collects them and writes batches",
    )
    bucket_ms: int = setting_of(
        StoreModeConfig,
        "bucket_ms",
        meaning="how long a batch is collected: the reports that are lost if the object ends",
    )

    def __post_init__(self) -> None:
        """Check every field, then how they relate."""
        check_settings(self, OWN_FIELDS)
        if self.sockets_max > SHARDS_MAX * self.sockets_per_object:
            raise ConfigError(
                f"sockets_max must be at most {SHARDS_MAX} times sockets_per_object, {SHARDS_MAX * self.sockets_per_object:,}, "
                f"not {self.sockets_max:,}: a room has at most {SHARDS_MAX} objects"
            )
        if self.backend == "kv" and any(room.mode != "poll" for room in self.rooms):
            raise ConfigError("mode must be poll with backend kv: no process is there to hold a connection")
        for room in self.rooms:
            if room.snapshot_ms < SNAPSHOT_MS_MIN:
                raise ConfigError(
                    f"snapshot_ms must be at least {SNAPSHOT_MS_MIN:,} at the edge: KV takes one write a second"
                )

    @property
    def shards_max(self) -> int:
        """The number of objects that one room may have."""
        return -(-self.sockets_max // self.sockets_per_object)

    @property
    def rooms(self) -> tuple[RoomConfig, ...]:
        """The settings of rooms: of those without a table of their own, and of the others."""
        return self.server.room, *self.server.rooms.values()

    @property
    def collects(self) -> bool:
        """Whether the backend is KV, and objects collect the reports."""
        return self.backend == "kv" and self.policy == BucketedPolicy.name

    @property
    def store_mode(self) -> StoreModeConfig:
        """The settings of store mode, for rooms with the backend KV."""
        return StoreModeConfig(
            server=self.server, policy=self.policy, bucket_ms=self.bucket_ms, reconcile_ms=self.reconcile_ms
        )

    @classmethod
    def load(cls, variables: Mapping[str, str]) -> Self:
        """Read the variables of a Worker.

        Args:
            variables: By name; only those with the prefix ``BREATHING_ROOM_`` are read.
                ``BREATHING_ROOM_ROOMS`` is the table of the file's ``[rooms.…]`` in JSON.

        Raises:
            ConfigError: A name is unknown or a value is wrong.
        """
        values = read_variables(WORKER_FIELDS, variables)
        own = {name: values.pop(name) for name in OWN_FIELDS if name in values}
        return cls(server=ServerConfig.of(values), **own)


OWN_FIELDS: Final = settings_of(WorkerConfig)
"""The settings that only a Worker has."""

WORKER_FIELDS: Final = {
    **FIELDS,
    **OWN_FIELDS,
    ROOMS: Setting(name=ROOMS, kind=dict, default={}, meaning="settings of single rooms"),
}
"""Every setting that a Worker has, by name."""
