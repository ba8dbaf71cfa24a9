"""The settings of store mode: writers and their controller."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from breathing_room.core.config import check_settings, setting, settings_of
from breathing_room.core.rate import Rate
from breathing_room.core.write_policies import POLICIES
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.hosts.common.read_settings import check_names, read_file, read_variables
from breathing_room.hosts.common.settings import FIELDS, ServerConfig
from breathing_room.hosts.common.store_mode.records import REPORTS, RoomControl

POLICIES_HERE: Final = (BucketedPolicy.name, EveryPolicy.name)
"""The policies for many writers. The others keep seats in memory, so a room may have one writer only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreModeConfig:
    """The config of writers and controller, which must be the same for all of them.

    Attributes:
        server: Rooms and HTTP; the settings of connections and of limits per address are not used.
    """

    server: ServerConfig = field(default_factory=ServerConfig)
    policy: str = setting(
        BucketedPolicy.name,
        f"how reports are written to the store: {POLICIES_HERE[0]} in batches, or {POLICIES_HERE[1]} for one write per "
        "report, where a process does not live for ten seconds",
        choices=POLICIES_HERE,
        group="place",
    )
    bucket_ms: int = setting(
        10_000,
        "how long a batch is collected; a writer that crashes loses that much",
        unit="ms",
        low=100,
        high=60_000,
        group="place",
    )
    propagation_ms: int = setting(
        60_000,
        "the longest delay until a writer acts on a rate that `reconcile` sets: half is the writer's cache, half the "
        "propagation of the store",
        unit="ms",
        low=100,
        high=3_600_000,
        group="place",
    )
    reconcile_ms: int = setting(
        60_000,
        "the longest time between two runs of `reconcile`; the sampling rate follows the crowd with that delay",
        unit="ms",
        low=1_000,
        high=3_600_000,
        group="place",
    )

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self, STORE_MODE_FIELDS)

    @classmethod
    def load(cls, *, flags: Mapping[str, Any], environ: Mapping[str, str], path: Path | None = None) -> Self:
        """Load a config: the settings of a server and those of store mode.

        Arguments and errors are those of ``ServerConfig.load``.
        """
        known = FIELDS | STORE_MODE_FIELDS
        check_names(flags, known)
        values = read_file(path, known) | read_variables(known, environ) | dict(flags)
        own = {name: values.pop(name) for name in STORE_MODE_FIELDS if name in values}
        return cls(server=ServerConfig.of(values), **own)

    @property
    def heartbeat_lag_ms(self) -> int:
        """The longest delay until a report is in the store."""
        return self.bucket_ms if self.policy == BucketedPolicy.name else 0

    def make_policy(self, room: str, writer: str) -> WritePolicy:
        """Return the write policy of one writer in one room."""
        prefix = f"{REPORTS}{room}/{writer}/"
        lease_ms, retention_ms = self.server.room_config(room).heartbeat_lease_ms, 2 * self.reconcile_ms
        if self.policy == BucketedPolicy.name:
            return BucketedPolicy(
                prefix, lease_ms=lease_ms, retention_ms=retention_ms, bucket_ms=self.bucket_ms
            )
        return POLICIES[self.policy](prefix, lease_ms=lease_ms, retention_ms=retention_ms)

    def make_rate(self, room: str, control: "RoomControl", now_ms: int) -> Rate:
        """Return the rate of a room as the controller set it."""
        config = self.server.room_config(room)
        rate = Rate(
            config.panel_size, config.rate_propagation_ms + self.propagation_ms, now_ms=control.changed_at_ms
        )
        rate.resume(control.rates, control.changed_at_ms, now_ms)
        return rate


STORE_MODE_FIELDS: Final = settings_of(StoreModeConfig)
"""The settings of store mode, without those of a server."""
