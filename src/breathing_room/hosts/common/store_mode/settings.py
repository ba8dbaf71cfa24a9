"""What can be set about writers and their job."""

from dataclasses import dataclass, field
from typing import Final

from breathing_room.core.config import check_range, setting
from breathing_room.core.errors import ConfigError
from breathing_room.core.rate import Rate
from breathing_room.core.write_policies import POLICIES
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.records import REPORTS, RoomControl

POLICIES_HERE: Final = (BucketedPolicy.name, EveryPolicy.name)
"""The others remember people between reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatelessConfig:
    """How writers and job work. They must be given the same.

    Attributes:
        server: Rooms and HTTP; what concerns sockets and limits per address is not used.
    """

    server: ServerConfig = field(default_factory=ServerConfig)
    policy: str = setting(
        BucketedPolicy.name,
        f"how reports get into the store: {' or '.join(POLICIES_HERE)}, the latter where a process does not live for ten seconds",
    )
    bucket_ms: int = setting(10_000, "how long a batch is collected: what a writer that dies takes with it")
    propagation_ms: int = setting(
        60_000,
        "how late a writer may know what the job said: half of it is the writer's own, the other half the store's",
    )
    job_ms: int = setting(60_000, "how often the job runs, at least")

    def __post_init__(self) -> None:
        """Check every field."""
        if self.policy not in POLICIES_HERE:
            raise ConfigError(
                f"policy must be one of {', '.join(POLICIES_HERE)}: the others remember people, and are a room's only writer"
            )
        check_range(self, "bucket_ms", 100, 60_000)
        check_range(self, "propagation_ms", 100, 3_600_000)
        check_range(self, "job_ms", 1_000, 3_600_000)

    @property
    def silence_ms(self) -> int:
        """How late a sign of life may be in the store."""
        return self.bucket_ms if self.policy == BucketedPolicy.name else 0

    def make_policy(self, room: str, writer: str) -> WritePolicy:
        """Make the policy of one writer in one room."""
        prefix = f"{REPORTS}{room}/{writer}/"
        lease_ms, linger_ms = self.server.room_config(room).beat_lease_ms, 2 * self.job_ms
        if self.policy == BucketedPolicy.name:
            return BucketedPolicy(prefix, lease_ms=lease_ms, linger_ms=linger_ms, bucket_ms=self.bucket_ms)
        return POLICIES[self.policy](prefix, lease_ms=lease_ms, linger_ms=linger_ms)

    def make_rate(self, room: str, control: "RoomControl", now_ms: int) -> Rate:
        """Make the rate of a room as the job left it."""
        config = self.server.room_config(room)
        rate = Rate(config.panel_size, config.spread_ms + self.propagation_ms, now_ms=control.changed_at_ms)
        rate.wake(control.rates, control.changed_at_ms, now_ms)
        return rate
