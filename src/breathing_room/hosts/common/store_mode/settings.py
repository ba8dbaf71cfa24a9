"""What can be set about writers and their job."""

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
"""The policies of writers. The others remember seats between reports, so a room has one writer only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreModeConfig:
    """How writers and job work. They must be given the same.

    Attributes:
        server: Rooms and HTTP; what concerns sockets and limits per address is not used.
    """

    server: ServerConfig = field(default_factory=ServerConfig)
    policy: str = setting(
        BucketedPolicy.name,
        f"how reports get into the store: {' or '.join(POLICIES_HERE)}, the latter where a process does not live for ten "
        "seconds",
        choices=POLICIES_HERE,
        group="place",
    )
    bucket_ms: int = setting(
        10_000,
        "how long a batch is collected: what a writer that dies takes with it",
        unit="ms",
        low=100,
        high=60_000,
        group="place",
    )
    propagation_ms: int = setting(
        60_000,
        "how late a writer may learn what the job set: half of it is the writer's own, the other half the store's",
        unit="ms",
        low=100,
        high=3_600_000,
        group="place",
    )
    reconcile_ms: int = setting(
        60_000,
        "how often the job runs, at least: how late the panel is held to its size",
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
        """Put a config together, of the settings of a server and those of writers.

        Arguments and errors are those of ``ServerConfig.load``.
        """
        known = FIELDS | STORE_MODE_FIELDS
        check_names(flags, known)
        values = read_file(path, known) | read_variables(known, environ) | dict(flags)
        own = {name: values.pop(name) for name in STORE_MODE_FIELDS if name in values}
        return cls(server=ServerConfig.of(values), **own)

    @property
    def silence_ms(self) -> int:
        """How late a heartbeat may be in the store."""
        return self.bucket_ms if self.policy == BucketedPolicy.name else 0

    def make_policy(self, room: str, writer: str) -> WritePolicy:
        """Make the policy of one writer in one room."""
        prefix = f"{REPORTS}{room}/{writer}/"
        lease_ms, linger_ms = self.server.room_config(room).heartbeat_lease_ms, 2 * self.reconcile_ms
        if self.policy == BucketedPolicy.name:
            return BucketedPolicy(prefix, lease_ms=lease_ms, linger_ms=linger_ms, bucket_ms=self.bucket_ms)
        return POLICIES[self.policy](prefix, lease_ms=lease_ms, linger_ms=linger_ms)

    def make_rate(self, room: str, control: "RoomControl", now_ms: int) -> Rate:
        """Make the rate of a room as the job left it."""
        config = self.server.room_config(room)
        rate = Rate(
            config.panel_size, config.rate_propagation_ms + self.propagation_ms, now_ms=control.changed_at_ms
        )
        rate.wake(control.rates, control.changed_at_ms, now_ms)
        return rate


STORE_MODE_FIELDS: Final = settings_of(StoreModeConfig)
"""What is set about writers and their job, beside the settings of a server."""
