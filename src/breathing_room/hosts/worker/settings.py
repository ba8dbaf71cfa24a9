"""What can be set about a Worker: the server's settings, from the variables of ``wrangler``, and a few of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from breathing_room.core.config import RoomConfig, check_range, setting
from breathing_room.core.errors import ConfigError
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.hosts.common.settings import ENVIRONMENT_PREFIX, FIELDS, ROOM_FIELDS, ServerConfig
from breathing_room.hosts.common.store_mode.settings import StatelessConfig

SNAPSHOT_MS_MIN: Final = 2_000
"""Workers KV takes one write a second to one key (https://developers.cloudflare.com/kv/platform/limits/), and two writes may travel at
different speeds."""

OBJECT_SOCKETS_MAX: Final = 32_768
"""Sockets that one object may hold (https://developers.cloudflare.com/durable-objects/api/state/)."""

SHARDS_MAX: Final = 100
"""Objects that one room may have: the first one hears from each of them every ``push_ms``, in some milliseconds each."""

KEEPERS: Final = ("objects", "kv")

ROOMS: Final = "rooms"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """How a Worker works. Every length is in milliseconds."""

    server: ServerConfig = field(default_factory=ServerConfig)
    sockets_max: int = setting(
        100_000, "sockets that one room holds; what comes over it is told to come again"
    )
    sockets_per_object: int = setting(
        10_000,
        "sockets of a room from which on it is spread over several objects; to tell 10,000 takes an object 0.2 s, and it does one thing at a time",
    )
    lazy_ms: int = setting(
        60_000,
        "how late a room may be woken by its alarm while nobody watches; whoever reads it sees the truth all the same",
    )

    keeper: str = setting(
        "objects",
        "who keeps rooms: `objects`, one for each room, or `kv`, where nobody has a memory and only a panel of those who poll is counted",
    )
    job_ms: int = setting(60_000, "how often the cron runs, where rooms are kept in `kv`")
    policy: str = setting(
        EveryPolicy.name,
        "how reports get into `kv`: `every`, each a write, or `bucketed`, where one object for each room collects them and writes batches",
    )
    bucket_ms: int = setting(10_000, "how long a batch is collected: what an object that dies takes with it")

    def __post_init__(self) -> None:
        """Check every field and how they relate."""
        if self.keeper not in KEEPERS:
            raise ConfigError(f"keeper must be one of {', '.join(KEEPERS)}, not {self.keeper!r}")
        if self.keeper == "kv" and any(room.mode != "poll" for room in self.rooms):
            raise ConfigError(
                "mode must be poll where rooms are kept in kv: nobody is there to hold a socket"
            )
        check_range(self, "sockets_per_object", 1, OBJECT_SOCKETS_MAX)
        check_range(self, "sockets_max", 1, SHARDS_MAX * self.sockets_per_object)
        check_range(self, "lazy_ms", 0, 3_600_000)
        _ = self.stateless
        for room in self.rooms:
            if room.snapshot_ms < SNAPSHOT_MS_MIN:
                raise ConfigError(
                    f"snapshot_ms must be at least {SNAPSHOT_MS_MIN:,} at the edge: KV takes one write a second"
                )

    @property
    def shards_max(self) -> int:
        """The objects that one room may have."""
        return -(-self.sockets_max // self.sockets_per_object)

    @property
    def rooms(self) -> tuple[RoomConfig, ...]:
        """How rooms work: those without a table of their own, and the others."""
        return self.server.room, *self.server.rooms.values()

    @property
    def collects(self) -> bool:
        """Whether rooms are kept in KV, and objects collect what is reported."""
        return self.keeper == "kv" and self.policy == BucketedPolicy.name

    @property
    def stateless(self) -> StatelessConfig:
        """How rooms work that are kept in KV."""
        return StatelessConfig(
            server=self.server, policy=self.policy, bucket_ms=self.bucket_ms, job_ms=self.job_ms
        )

    @classmethod
    def load(cls, variables: Mapping[str, str]) -> Self:
        """Read the variables of a Worker.

        Args:
            variables: By name; only those with the prefix ``BREATHING_ROOM_`` are looked at. ``BREATHING_ROOM_ROOMS`` is the table
                of the file's ``[rooms.…]`` in JSON.

        Raises:
            ConfigError: A name is unknown or a value is wrong.
        """
        ours = {
            name.removeprefix(ENVIRONMENT_PREFIX).lower(): text
            for name, text in variables.items()
            if name.startswith(ENVIRONMENT_PREFIX)
        }
        own: dict[str, Any] = {name: _whole(name, ours.pop(name)) for name in OWN if name in ours}
        own |= {name: ours.pop(name) for name in CHOICES if name in ours}
        rooms = _rooms(ours.pop(ROOMS, "{}"))
        server = ServerConfig.load(
            flags={}, environ={f"{ENVIRONMENT_PREFIX}{name.upper()}": text for name, text in ours.items()}
        )
        if rooms:
            of_all = {name: getattr(server.room, name) for name in ROOM_FIELDS}
            kept = {name: RoomConfig(**{**of_all, **room}) for name, room in rooms.items()}
            values = {name: getattr(server, name) for name in FIELDS.keys() - ROOM_FIELDS.keys()}
            server = ServerConfig(**values, room=server.room, rooms=kept)
        return cls(server=server, **own)


OWN: Final = ("sockets_max", "sockets_per_object", "lazy_ms", "job_ms", "bucket_ms")
"""The settings that only a Worker has, and that are numbers."""

CHOICES: Final = ("keeper", "policy")
"""The others."""

NAMES: Final = tuple(f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in (*FIELDS, *OWN, *CHOICES, ROOMS))
"""Every variable that a Worker looks at."""


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{name} must be a whole number, not {text!r}") from None


def _rooms(text: str) -> dict[str, dict[str, Any]]:
    """Read the table of rooms."""
    try:
        rooms = json.loads(text)
        table = {
            str(room): {
                name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
            }
            for room, settings in rooms.items()
        }
    except (ValueError, AttributeError, RecursionError):
        raise ConfigError('rooms must be JSON, such as {"lobby": {"moods": ["calm"]}}') from None
    for room, settings in table.items():
        if unknown := settings.keys() - ROOM_FIELDS.keys():
            raise ConfigError(f"rooms: {room}: there is no setting {min(unknown)} of a room")
    return table
