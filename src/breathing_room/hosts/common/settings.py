"""The settings of a server: one validated object, from options, environment variables and a TOML file.

An option overrides the environment (``BREATHING_ROOM_LEASE_MS``), and the environment overrides the file.
Settings of rooms stand beside those of the server and apply to every room; the file may set them for one room
alone::

    port = 9000
    lease_ms = 30_000

    [rooms.lobby]
    moods = ["calm", "curious"]
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from breathing_room.core.admission import Admission
from breathing_room.core.config import ROOM_FIELDS, RoomConfig, Setting, check_settings, setting, settings_of
from breathing_room.core.errors import ClientError, ConfigError
from breathing_room.core.replication.delta import NODE_NAME
from breathing_room.core.replication.membership import SUSPECT_TICKS
from breathing_room.core.wire import check_room, presence_path
from breathing_room.hosts.common.access.forwarded import Network
from breathing_room.hosts.common.access.signing import check_key, verifier
from breathing_room.hosts.common.read_settings import (
    ROOMS,
    check_names,
    read_file,
    read_variables,
)

PRESENCE_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")
# The characters of a Bearer token (RFC 6750, section 2.1), and too long to guess: wrong tokens are not
# throttled.
ADMIN_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{32,}")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

# RFC 1918, RFC 4193 and RFC 4291: loopback, private and link-local networks.
PRIVATE_NETWORKS: Final = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """The config of a server. Every length is in milliseconds."""

    host: str = setting(
        "127.0.0.1",
        "address to listen on; 0.0.0.0 or :: for all interfaces, so that other machines can reach the server",
        group="network",
    )
    port: int = setting(8000, "port to listen on; 0 picks a free one", low=0, high=65_535, group="network")
    data: str = setting(
        "breathing-room.db",
        "SQLite file that survives a restart; :memory: stores nothing",
        group="place",
    )
    default_room: str = setting(
        "lobby",
        "room of the page, of clients that name no room, and of the paths under /api; it is never closed",
        group="place",
    )
    open_rooms: bool = setting(
        True,
        "whether a room is created when its first visitor joins; if false, only the rooms of the config file exist",
        group="limits",
    )
    rooms_max: int = setting(
        1_000,
        "most rooms open at once; each costs about 10 KB and its own series in /metrics",
        unit="rooms",
        low=1,
        high=1_000_000,
        group="limits",
    )
    rooms_per_prefix_max: int = setting(
        50,
        "most rooms that one address prefix (IPv4 /32, IPv6 /64) may hold open, so that no single client uses up rooms_max",
        unit="rooms",
        low=1,
        high=1_000_000,
        group="limits",
    )
    origins: tuple[str, ...] = setting(
        ("*",),
        "allowed web origins (CORS), such as https://example.com; * for all. The server's own origin is always allowed",
        group="security",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "networks whose X-Forwarded-For is trusted, such as 127.0.0.1/32; without it all clients behind a proxy share its "
        "address",
        group="network",
    )
    uncapped_networks: tuple[str, ...] = setting(
        PRIVATE_NETWORKS,
        "networks to which prefix_seats_max does not apply, such as a school behind one address. By default loopback and "
        "private ones, so that an undeclared proxy does not cap the count",
        group="limits",
    )
    signing_key: str = setting(
        "",
        "key with which visitor ids must be signed (`breathing-room sign`), from the environment or the file only; "
        "without it clients choose their own ids",
        group="security",
        secret=True,
    )
    admin_token: str = setting(
        "",
        "token of the operator's page `/admin`, from the environment or the file only, such as `openssl rand -hex 32` "
        "prints; without it the page is off, and the daily statistics (some 70 KB a room) are not collected",
        group="security",
        secret=True,
    )
    signed_max_age_s: int = setting(
        86_400,
        "how long a signed id is valid; a client needs a new one to join or report after that",
        unit="s",
        low=60,
        high=31 * 86_400,
        group="security",
    )
    presence_max_age_s: int = setting(
        5,
        "how long caches may serve a presence (Cache-Control); longer saves requests, and polled counts are older",
        unit="s",
        low=0,
        high=3_600,
        group="reading",
    )
    config_max_age_s: int = setting(
        300,
        "how long caches may serve a room's config; clients see a changed config with that delay",
        unit="s",
        low=0,
        high=86_400,
        group="reading",
    )
    publish_url: str = setting(
        "",
        "folder or bucket (s3://, gs://, az://) to which presence, config and history of the default room and of the "
        "rooms of the config file are written, so that reads need no server. Credentials come from the environment",
        group="reading",
    )
    publish_ms: int = setting(
        5_000,
        "least time between two rounds of publishing, and the timeout of a write; published counts are older by that",
        unit="ms",
        low=1_000,
        high=60_000,
        group="reading",
    )
    presence_url: str = setting(
        "",
        "public URL of what is published, such as https://cdn.example/presence; clients poll there instead of here",
        group="reading",
    )
    message_bytes_max: int = setting(
        4_096,
        "longest message of a connection; a longer one closes it. The longest valid message has some 200 bytes",
        unit="bytes",
        low=512,
        high=1_048_576,
        group="limits",
    )
    body_bytes_max: int = setting(
        4_096,
        "longest body of a request; a longer one is answered 413",
        unit="bytes",
        low=512,
        high=1_048_576,
        group="limits",
    )
    headers_bytes_max: int = setting(
        16_384,
        "longest request line and headers; longer ones are answered 431. Browsers with many cookies send 8 KB",
        unit="bytes",
        low=1_024,
        high=1_048_576,
        group="limits",
    )
    bad_messages_max: int = setting(
        20,
        "invalid messages after which a connection is closed",
        unit="messages",
        low=1,
        high=1_000_000,
        group="limits",
    )
    handshake_ms: int = setting(
        10_000,
        "timeout for the headers and the body of a request, after which its connection is closed",
        unit="ms",
        low=100,
        high=600_000,
        group="limits",
    )
    join_ms: int = setting(
        10_000,
        "timeout for the first join or observe of a connection, after which it is closed",
        unit="ms",
        low=100,
        high=600_000,
        group="limits",
    )
    slow_reader_ms: int = setting(
        15_000,
        "how long a client may leave data unread before its connection is closed",
        unit="ms",
        low=100,
        high=600_000,
        group="limits",
    )
    reconnect_spread_ms: int = setting(
        5_000,
        "time over which clients reconnect after a restart, each at a random moment; longer spreads the load, and clients "
        "wait longer",
        unit="ms",
        low=0,
        high=600_000,
        group="network",
    )
    redis: str = setting(
        "",
        "URL of the Redis or Valkey through which several servers share rooms (redis://, rediss://, unix://, "
        "redis+sentinel://); `data` is then not used. Set it in the environment if it holds a password",
        group="place",
        shown=False,
    )
    node: str = setting(
        "",
        "name of this server in the cluster, which must be unique; by default the hostname and the port",
        group="place",
    )
    node_ms: int = setting(
        250,
        "time between two deltas that this server sends to the cluster; other servers' counts lag by that. Use 1,000 with "
        "more than a hundred servers",
        unit="ms",
        low=20,
        high=60_000,
        group="place",
    )
    node_lease_ms: int = setting(
        15_000,
        "how long the visitors of a crashed server stay counted, as suspect, while they reconnect to other servers",
        unit="ms",
        low=100,
        high=3_600_000,
        group="place",
    )
    workers: int = setting(
        1,
        "worker processes that share the port, one for each core; more than one need `redis`",
        unit="processes",
        low=1,
        high=1_024,
        group="place",
    )
    reuse_port: bool = setting(
        False,
        "whether several servers on one machine may listen on the port (SO_REUSEPORT); the kernel balances connections",
        group="network",
    )
    log_level: str = setting(
        "info",
        "lowest level that is logged",
        choices=LOG_LEVELS,
        group="network",
    )
    room: RoomConfig = field(default_factory=RoomConfig)
    rooms: Mapping[str, RoomConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field, then their relations."""
        check_settings(self, SERVER_FIELDS)
        self._check_cluster()
        self._check_access()
        for place, name in (
            ("default_room", self.default_room),
            *((f"{ROOMS}.{name}", name) for name in self.rooms),
        ):
            try:
                check_room(name)
            except ClientError as error:
                raise ConfigError(f"{place}: {error.message}") from None
        self._check_room("", self.room)
        for name, room in self.rooms.items():
            self._check_room(f"{ROOMS}.{name}: ", room)

    def _check_cluster(self) -> None:
        """Check the settings of a cluster."""
        if self.node and not NODE_NAME.fullmatch(self.node):
            raise ConfigError(
                f"node must be 1 to 64 characters of A-Z, a-z, 0-9, _, ., : and -, not {self.node!r}"
            )
        if self.redis and self.node_lease_ms < 2 * SUSPECT_TICKS * self.node_ms:
            raise ConfigError(
                f"node_lease_ms must be at least {2 * SUSPECT_TICKS} times node_ms, {2 * SUSPECT_TICKS * self.node_ms:,}: "
                "a server becomes suspect after half of that"
            )
        if self.workers > 1 and not self.redis:
            raise ConfigError(
                "several workers need redis: set it, such as --redis redis://127.0.0.1:6379 or "
                "unix:///run/redis/redis.sock. To install it: apt-get install redis-server; "
                "pip install 'breathing-room[redis]'"
            )

    def _check_access(self) -> None:
        """Check keys, URLs and networks. No message repeats a secret."""
        if self.signing_key != "":
            check_key(self.signing_key)
        if self.admin_token != "" and not (
            isinstance(self.admin_token, str) and ADMIN_TOKEN.fullmatch(self.admin_token)
        ):
            raise ConfigError(
                "admin_token must be at least 32 random letters, digits or -._~+/=, such as `openssl rand -hex 32` prints"
            )
        if self.presence_url and not PRESENCE_URL.fullmatch(self.presence_url):
            raise ConfigError(
                f"presence_url must be an http:// or https:// URL without a query, not {self.presence_url!r}"
            )
        for origin in self.origins:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise ConfigError(f"origins must be * or origins such as https://example.com, not {origin!r}")
        _ = self.proxy_networks, self.networks_without_cap

    def _check_room(self, place: str, room: RoomConfig) -> None:
        """Check the settings of a room against those of the server."""
        if self.publish_url and 2 * self.publish_ms > room.stale_after_ms:
            raise ConfigError(
                f"{place}publish_ms must not exceed half of stale_after_ms, {room.stale_after_ms // 2:,}: "
                "published presences would become stale"
            )
        if room.stale_after_ms < 1_000 * self.presence_max_age_s:
            raise ConfigError(
                f"{place}presence_max_age_s must not exceed stale_after_ms, {room.stale_after_ms:,}: "
                "caches would serve stale presences"
            )
        if self.redis and self.reconnect_spread_ms > room.grace_ms:
            raise ConfigError(
                f"{place}grace_ms must not be less than reconnect_spread_ms, {self.reconnect_spread_ms:,}: "
                "a visitor whose server stops has that long to reconnect to another"
            )
        # stale-while-revalidate doubles the age of a cached copy; a poll is up to a tenth late.
        least_ms = 2_000 * self.presence_max_age_s + room.poll_ms * 11 // 10
        if room.mode == "poll" and room.rate_propagation_ms < least_ms:
            raise ConfigError(
                f"{place}rate_propagation_ms must be at least {least_ms:,}, twice presence_max_age_s plus the longest poll: "
                "clients act on an old rate for that long"
            )

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """``trusted_proxies`` as networks."""
        return _networks("trusted_proxies", self.trusted_proxies)

    @property
    def networks_without_cap(self) -> tuple[Network, ...]:
        """``uncapped_networks`` as networks."""
        return _networks("uncapped_networks", self.uncapped_networks)

    @property
    def kept_rooms(self) -> tuple[str, ...]:
        """The rooms that are never closed and are published: the default room and those of the config."""
        return tuple(dict.fromkeys((self.default_room, *self.rooms)))

    def presence_url_of(self, room: str) -> str | None:
        """Return the URL of the published presence of a room; None if it is not published."""
        if not self.presence_url or room not in self.kept_rooms:
            return None
        return f"{self.presence_url.rstrip('/')}/{presence_path(room)}"

    def room_config(self, name: str) -> RoomConfig:
        """Return the config of a room."""
        return self.rooms.get(name, self.room)

    def admission(
        self, room: str, *, now_ms: int, wall_ms: Callable[[], int], has_memory: bool = True
    ) -> Admission:
        """Create the admission of a room.

        Args:
            room: The room's name.
            now_ms: The host's time.
            wall_ms: Returns the milliseconds since 1970-01-01 UTC.
            has_memory: Whether the process keeps the room between two requests.
        """
        verify = None
        if self.signing_key:
            verify = verifier(self.signing_key, room, max_age_s=self.signed_max_age_s, wall_ms=wall_ms)
        return Admission(room, self.room_config(room), verify, now_ms=now_ms, has_memory=has_memory)

    @classmethod
    def load(
        cls,
        *,
        flags: Mapping[str, Any],
        environ: Mapping[str, str],
        path: Path | None = None,
        others: Mapping[str, Setting] = MappingProxyType({}),
    ) -> Self:
        """Load a config.

        Args:
            flags: The values of command-line options, by the names of settings.
            environ: The environment; variables without the prefix ``BREATHING_ROOM_`` are ignored.
            path: A TOML file.
            others: Settings of other hosts that the file may hold too; they are checked, and left out.

        Raises:
            ConfigError: A name is unknown or a value is not valid; the message names the place.
        """
        # `rooms` may be set by a file or a `config` only: as an argument it would not be checked.
        check_names(flags, FIELDS)
        in_file = read_file(path, {**FIELDS, **others})
        ours = {name: value for name, value in in_file.items() if name not in others}
        return cls.of(ours | read_variables(FIELDS, environ) | dict(flags))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Create a config of typed values, by the names of settings; ``rooms`` has those of single rooms.

        Raises:
            ConfigError: A name is unknown or a value is not valid.
        """
        check_names(values, {*FIELDS, ROOMS})
        of_rooms = {name: value for name, value in values.items() if name in ROOM_FIELDS}
        of_server = {name: value for name, value in values.items() if name in SERVER_FIELDS}
        return cls(
            **of_server,
            room=RoomConfig(**of_rooms),
            rooms={room: _own_config(room, of_rooms | own) for room, own in values.get(ROOMS, {}).items()},
        )


def _networks(name: str, texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(map(ipaddress.ip_network, texts))
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def _own_config(room: str, values: Mapping[str, Any]) -> RoomConfig:
    """Create the config of one room; its errors name the room."""
    try:
        return RoomConfig(**values)
    except ConfigError as error:
        raise ConfigError(f"rooms.{room}: {error}") from None


SERVER_FIELDS: Final = settings_of(ServerConfig)
"""The settings of the server itself, by name."""

FIELDS: Final = SERVER_FIELDS | ROOM_FIELDS
"""The settings of the server and of its rooms, by name."""

SECRETS: Final = frozenset(name for name, declared in FIELDS.items() if declared.secret)
"""The settings that are not options: process lists show command lines."""


def settings() -> Iterator[Setting]:
    """Yield the settings of a server and of its rooms."""
    yield from FIELDS.values()
