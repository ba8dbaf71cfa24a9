"""What can be set about a server: one validated object, from flags, environment and a TOML file.

A flag goes before the environment (``BREATHING_ROOM_LEASE_MS``), and the environment before the file. Settings of
rooms stand beside those of the server and hold for every room; the file may set them for one room alone::

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
from breathing_room.core.replication.membership import LATE_TICKS
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
# What a Bearer header can carry (RFC 6750, section 2.1), and too long to guess: nothing slows a guesser down.
ADMIN_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{32,}")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

# RFC 1918, RFC 4193 and RFC 4291: this machine, and those of its own network.
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
    """How a server works. Every length is in milliseconds."""

    host: str = setting(
        "127.0.0.1",
        "address to listen on; 0.0.0.0 or :: for every one, so that other machines can reach this server",
        group="network",
    )
    port: int = setting(8000, "port to listen on; 0 takes a free one", low=0, high=65_535, group="network")
    data: str = setting(
        "breathing-room.db", "file that survives a restart; :memory: keeps nothing", group="place"
    )
    default_room: str = setting(
        "lobby",
        "the room of the page and of every client that names none, and of the paths under /api; it is never closed",
        group="place",
    )
    open_rooms: bool = setting(
        True,
        "whether a room opens when its first visitor comes, or only the rooms of the file do",
        group="limits",
    )
    rooms_max: int = setting(
        1_000,
        "rooms open at once, beyond which no other opens; each costs about 10 KB and a row in /metrics",
        unit="rooms",
        low=1,
        high=1_000_000,
        group="limits",
    )
    rooms_per_prefix_max: int = setting(
        50,
        "rooms that one address prefix (IPv4 /32, IPv6 /64) may hold open; stops a script from taking them all",
        unit="rooms",
        low=1,
        high=1_000_000,
        group="limits",
    )
    origins: tuple[str, ...] = setting(
        ("*",),
        "web origins that may use this server, such as https://example.com; * for all. Its own is always allowed",
        group="security",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "networks whose X-Forwarded-For is believed, such as 127.0.0.1/32; without them a proxy counts as one address",
        group="network",
    )
    uncapped_networks: tuple[str, ...] = setting(
        PRIVATE_NETWORKS,
        "networks to which prefix_seats_max does not apply, such as that of a school behind one address. By default "
        "loopback and private ones: a proxy that was not declared must not cut a crowd to 64",
        group="limits",
    )
    signing_key: str = setting(
        "",
        "key under which visitor ids must be signed (`breathing-room sign`), from the environment or the file only; "
        "without one a client may make up an id",
        group="security",
        secret=True,
    )
    admin_token: str = setting(
        "",
        "what opens the operator's page `/admin`, from the environment or the file only, such as `openssl rand -hex 32` "
        "prints; without one the page does not exist, and each room's day (some 70 KB) is not kept",
        group="security",
        secret=True,
    )
    signed_max_age_s: int = setting(
        86_400,
        "how old a signed id may be; a visit that is longer needs a new one",
        unit="s",
        low=60,
        high=31 * 86_400,
        group="security",
    )
    presence_max_age_s: int = setting(
        5,
        "how long a cache may answer for presence: how old a polled count may be, and how rarely caches ask again",
        unit="s",
        low=0,
        high=3_600,
        group="reading",
    )
    config_max_age_s: int = setting(
        300,
        "how long a cache may answer for a room's config: how late clients learn of a changed one",
        unit="s",
        low=0,
        high=86_400,
        group="reading",
    )
    publish_url: str = setting(
        "",
        "folder or bucket (s3://, gs://, az://) to which presence, config and history of the default room and those of "
        "the file are written, so that no read needs this server. Credentials come from the environment",
        group="reading",
    )
    publish_ms: int = setting(
        5_000,
        "the least time between two rounds of publishing, and the most that one may take",
        unit="ms",
        low=1_000,
        high=60_000,
        group="reading",
    )
    presence_url: str = setting(
        "",
        "address under which readers find what is published, such as https://cdn.example/presence; clients poll there",
        group="reading",
    )
    message_bytes_max: int = setting(
        4_096,
        "longest message of a socket, which a longer one closes; the longest that makes sense has some 200 bytes",
        unit="bytes",
        low=512,
        high=1_048_576,
        group="limits",
    )
    body_bytes_max: int = setting(
        4_096,
        "longest body of a request, for the same reason",
        unit="bytes",
        low=512,
        high=1_048_576,
        group="limits",
    )
    headers_bytes_max: int = setting(
        16_384,
        "longest head of a request; browsers with many cookies send 8 KB",
        unit="bytes",
        low=1_024,
        high=1_048_576,
        group="limits",
    )
    bad_messages_max: int = setting(
        20,
        "messages that make no sense, after which a socket is closed",
        unit="messages",
        low=1,
        high=1_000_000,
        group="limits",
    )
    handshake_ms: int = setting(
        10_000,
        "how long a request's head and body may take to arrive, before the connection is closed",
        unit="ms",
        low=100,
        high=600_000,
        group="limits",
    )
    join_ms: int = setting(
        10_000,
        "how long a socket may be open before it sends join or observe; after that it is closed",
        unit="ms",
        low=100,
        high=600_000,
        group="limits",
    )
    slow_reader_ms: int = setting(
        15_000,
        "how long a socket may refuse to read before it is closed",
        unit="ms",
        low=100,
        high=600_000,
        group="limits",
    )
    reconnect_spread_ms: int = setting(
        5_000,
        "over how long clients come back after a restart, each at a moment of its own: longer spares the server, and "
        "keeps clients waiting",
        unit="ms",
        low=0,
        high=600_000,
        group="network",
    )
    redis: str = setting(
        "",
        "address of the Redis or Valkey over which several servers hold one room together (redis://, rediss://, "
        "unix://, redis+sentinel://); `data` is not used then. Give it in the environment if it holds a password",
        group="place",
        shown=False,
    )
    node: str = setting(
        "",
        "name of this server among those, which must differ from the others'; by default the machine's name and the port",
        group="place",
    )
    node_ms: int = setting(
        250,
        "how often this server sends the others what changed: how late they know; with more than a hundred servers, 1,000",
        unit="ms",
        low=20,
        high=60_000,
        group="place",
    )
    node_lease_ms: int = setting(
        15_000,
        "how long the visitors of a server that died stay counted, as suspects, while they come back elsewhere",
        unit="ms",
        low=100,
        high=3_600_000,
        group="place",
    )
    workers: int = setting(
        1,
        "processes that share the port, one for each core; more than one need `redis`",
        unit="processes",
        low=1,
        high=1_024,
        group="place",
    )
    reuse_port: bool = setting(
        False,
        "whether several servers of one machine may listen on the port; the kernel shares connections out",
        group="network",
    )
    log_level: str = setting(
        "info",
        "how much is logged: lines of this level and above",
        choices=LOG_LEVELS,
        group="network",
    )
    room: RoomConfig = field(default_factory=RoomConfig)
    rooms: Mapping[str, RoomConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field, then how they relate."""
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
        """Check what several servers of one room need."""
        if self.node and not NODE_NAME.fullmatch(self.node):
            raise ConfigError(f"node must be 1 to 64 of A-Z, a-z, 0-9, _, ., : and -, not {self.node!r}")
        if self.redis and self.node_lease_ms < 2 * LATE_TICKS * self.node_ms:
            raise ConfigError(
                f"node_lease_ms must be at least {2 * LATE_TICKS} times node_ms: a server is in doubt after half of that"
            )
        if self.workers > 1 and not self.redis:
            raise ConfigError(
                "workers hold one room together over Redis: name one with --redis, such as redis://127.0.0.1:6379 or "
                "unix:///run/redis/redis.sock. To have one: apt-get install redis-server; pip install 'breathing-room[redis]'"
            )

    def _check_access(self) -> None:
        """Check keys, addresses and networks. No message repeats a secret."""
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
                f"presence_url must begin with http:// or https:// and have no query, not {self.presence_url!r}"
            )
        for origin in self.origins:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise ConfigError(f"origins must be * or begin with http:// or https://, not {origin!r}")
        _ = self.proxy_networks, self.networks_without_cap

    def _check_room(self, place: str, room: RoomConfig) -> None:
        """Check the settings of a room against those of the server."""
        if self.publish_url and 2 * self.publish_ms > room.stale_after_ms:
            raise ConfigError(
                f"{place}publish_ms must not exceed half of stale_after_ms, {room.stale_after_ms // 2:,}: readers would be left with "
                "what is no longer valid"
            )
        if room.stale_after_ms < 1_000 * self.presence_max_age_s:
            raise ConfigError(
                f"{place}presence_max_age_s must not exceed stale_after_ms, {room.stale_after_ms:,}: a cache would serve what is no "
                "longer valid"
            )
        if self.redis and self.reconnect_spread_ms > room.grace_ms:
            raise ConfigError(
                f"{place}grace_ms must not be less than reconnect_spread_ms, {self.reconnect_spread_ms:,}: a visitor whom a "
                "server sends to the others is counted for so long"
            )
        # A copy may be as old again while it is renewed; a poll comes up to a tenth late.
        heard_ms = 2_000 * self.presence_max_age_s + room.poll_ms * 11 // 10
        if room.mode == "poll" and room.rate_propagation_ms < heard_ms:
            raise ConfigError(
                f"{place}rate_propagation_ms must be at least {heard_ms:,}: twice presence_max_age_s and the longest poll, until "
                "when a client may act on an old rate"
            )

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """The networks of ``trusted_proxies``."""
        return _networks("trusted_proxies", self.trusted_proxies)

    @property
    def networks_without_cap(self) -> tuple[Network, ...]:
        """The networks of ``uncapped_networks``."""
        return _networks("uncapped_networks", self.uncapped_networks)

    @property
    def kept_rooms(self) -> tuple[str, ...]:
        """The rooms that are never closed, and published."""
        return tuple(dict.fromkeys((self.default_room, *self.rooms)))

    def presence_url_of(self, room: str) -> str | None:
        """Say where readers find the published presence of a room; None for nowhere."""
        if not self.presence_url or room not in self.kept_rooms:
            return None
        return f"{self.presence_url.rstrip('/')}/{presence_path(room)}"

    def room_config(self, name: str) -> RoomConfig:
        """Say how a room works."""
        return self.rooms.get(name, self.room)

    def admission(
        self, room: str, *, now_ms: int, wall_ms: Callable[[], int], has_memory: bool = True
    ) -> Admission:
        """Make what decides which reports and connections come into a room.

        Args:
            room: The room's name.
            now_ms: The host's time.
            wall_ms: Returns the milliseconds since 1970-01-01 UTC.
            has_memory: Whether a process remembers the room between two requests.
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
        """Put a config together.

        Args:
            flags: What the command line set: field names to values of the right types.
            environ: The environment; only names with our prefix are looked at.
            path: A TOML file.
            others: What else the file may set, for hosts that share it; it is checked, and left out.

        Raises:
            ConfigError: A name is unknown or a value is wrong; the message says where it stands.
        """
        # Rooms of their own are a file's, or a `config`'s: as arguments they would come in unchecked.
        check_names(flags, FIELDS)
        in_file = read_file(path, {**FIELDS, **others})
        ours = {name: value for name, value in in_file.items() if name not in others}
        return cls.of(ours | read_variables(FIELDS, environ) | dict(flags))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Make a config of values of the right types, by the names of settings; ``rooms`` has those of single rooms.

        Raises:
            ConfigError: A name is unknown or a value is wrong.
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
    """Make the config of one room, whose errors name it."""
    try:
        return RoomConfig(**values)
    except ConfigError as error:
        raise ConfigError(f"rooms.{room}: {error}") from None


SERVER_FIELDS: Final = settings_of(ServerConfig)
"""What can be set about the server itself."""

FIELDS: Final = SERVER_FIELDS | ROOM_FIELDS
"""Everything that can be set by flag, environment or file, by name."""

SECRETS: Final = frozenset(name for name, declared in FIELDS.items() if declared.secret)
"""Those that are no flags: the list of processes would show them."""


def settings() -> Iterator[Setting]:
    """List what can be set about a server."""
    yield from FIELDS.values()
