"""What can be set about a server: one validated object, from flags, environment and a TOML file.

The strongest word is the flag's, then the environment's (``BREATHING_ROOM_LEASE_MS``), then the file's. Settings of
rooms stand beside those of the server and hold for every room; the file may set them for one room alone::

    port = 9000
    lease_ms = 30_000

    [rooms.lobby]
    moods = ["calm", "curious"]
"""

import dataclasses
import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, get_type_hints

from breathing_room.core.admission import Admission
from breathing_room.core.config import RoomConfig, check_range, setting
from breathing_room.core.errors import ConfigError, PeerError
from breathing_room.core.replication.delta import NODE_NAME
from breathing_room.core.replication.membership import LATE_TICKS
from breathing_room.core.wire import check_room, presence_path
from breathing_room.hosts.common.access.forwarded import Network
from breathing_room.hosts.common.access.signing import check_key, check_signed, verifier

ENVIRONMENT_PREFIX: Final = "BREATHING_ROOM_"
PRESENCE_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")
# What a Bearer header can carry (RFC 6750, section 2.1), and too long to guess: nothing slows a guesser down.
ADMIN_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{32,}")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

# RFC 1918, RFC 4193 and RFC 4291: this machine, and whoever sits in its own house.
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

    host: str = setting("127.0.0.1", "address to listen on; 0.0.0.0 or :: for every one")
    port: int = setting(8000, "port to listen on; 0 takes a free one")
    data: str = setting("breathing-room.db", "file that survives a restart; :memory: keeps nothing")
    default_room: str = setting(
        "lobby", "the room of the page and of every client that names none, and of the paths under /api"
    )
    open_rooms: bool = setting(
        True, "whether a room opens when somebody comes in, or only the rooms of the file do"
    )
    rooms_max: int = setting(1_000, "rooms open at once; each costs about 10 KB and a row in /metrics")
    rooms_per_prefix_max: int = setting(
        50,
        "rooms that one address prefix (IPv4 /32, IPv6 /64) may hold open; stops a script from taking them all",
    )
    origins: tuple[str, ...] = setting(
        ("*",),
        "web origins that may use this server, such as https://example.com; * for all. Its own is always allowed",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), "networks whose X-Forwarded-For is believed, such as 127.0.0.1/32"
    )
    uncapped_networks: tuple[str, ...] = setting(
        PRIVATE_NETWORKS,
        "networks to which prefix_seats_max does not apply, such as that of a school behind one address. By default loopback and private ones: a proxy that nobody declared must not cut a crowd to 64",
    )
    signing_key: str = field(
        default="",
        repr=False,
        metadata={
            "meaning": "key under which visitor ids must be signed (`breathing-room sign`), from the environment or the file only; without one anybody may make up an id",
            "secret": True,
        },
    )
    admin_token: str = field(
        default="",
        repr=False,
        metadata={
            "meaning": "what opens the operator's page `/admin`, from the environment or the file only, such as `openssl rand -hex 32` prints; without one the page does not exist, and each room's day (some 70 KB) is not kept",
            "secret": True,
        },
    )
    signed_max_age_s: int = setting(
        86_400, "how old a signed id may be, in seconds; a stay that is longer needs a new one"
    )
    presence_max_age_s: int = setting(5, "how long a cache may answer for presence, in seconds")
    config_max_age_s: int = setting(300, "how long a cache may answer for a room's config, in seconds")
    publish_url: str = setting(
        "",
        "folder or bucket (s3://, gs://, az://) to which presence, config and history of the default room and those of the file are written, so that no read needs this server. Credentials come from the environment",
    )
    publish_ms: int = setting(
        5_000, "the least time between two rounds of publishing, and the most that one may take"
    )
    presence_url: str = setting(
        "",
        "address under which readers find what is published, such as https://cdn.example/presence; clients are told to poll there",
    )
    message_bytes_max: int = setting(
        4_096, "longest message of a socket; the longest that makes sense has some 200 bytes"
    )
    body_bytes_max: int = setting(4_096, "longest body of a request, for the same reason")
    headers_bytes_max: int = setting(
        16_384, "longest head of a request; browsers with many cookies send 8 KB"
    )
    senseless_max: int = setting(20, "messages that make no sense, after which a socket is closed")
    handshake_ms: int = setting(10_000, "how long a request's head and body may take to arrive")
    join_ms: int = setting(10_000, "how long a socket may be open before it says join or observe")
    slow_ms: int = setting(15_000, "how long a socket may refuse to read before it is closed")
    retry_spread_ms: int = setting(
        5_000, "over how long clients come back after a restart; each is told its own moment"
    )
    redis: str = field(
        default="",
        repr=False,
        metadata={
            "meaning": "address of the Redis or Valkey over which several servers hold one room together (redis://, rediss://, unix://, redis+sentinel://); `data` is not used then. Give it in the environment if it holds a password"
        },
    )
    node: str = setting("", "name of this server among those; by default the machine's name and the port")
    node_ms: int = setting(
        250, "how often this server tells the others what it knows; with more than a hundred of them, 1,000"
    )
    node_lease_ms: int = setting(
        15_000,
        "how long the people of a server that died stay counted, in doubt, while they come back elsewhere",
    )
    workers: int = setting(1, "processes that share the port, one for each core; more than one need `redis`")
    reuse_port: bool = setting(
        False,
        "whether several servers of one machine may listen on the port; the kernel shares connections out",
    )
    log_level: str = setting("info", f"how much is logged: {', '.join(LOG_LEVELS)}")
    room: RoomConfig = field(default_factory=RoomConfig)
    rooms: Mapping[str, RoomConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field and how they relate."""
        check_range(self, "port", 0, 65_535)
        check_range(self, "rooms_max", 1, 1_000_000)
        check_range(self, "rooms_per_prefix_max", 1, 1_000_000)
        check_range(self, "presence_max_age_s", 0, 3_600)
        check_range(self, "config_max_age_s", 0, 86_400)
        check_range(self, "publish_ms", 1_000, 60_000)
        check_range(self, "message_bytes_max", 512, 1_048_576)
        check_range(self, "body_bytes_max", 512, 1_048_576)
        check_range(self, "headers_bytes_max", 1_024, 1_048_576)
        check_range(self, "senseless_max", 1, 1_000_000)
        check_range(self, "handshake_ms", 100, 600_000)
        check_range(self, "join_ms", 100, 600_000)
        check_range(self, "slow_ms", 100, 600_000)
        check_range(self, "retry_spread_ms", 0, 600_000)
        check_range(self, "node_ms", 20, 60_000)
        check_range(self, "node_lease_ms", 100, 3_600_000)
        check_range(self, "workers", 1, 1_024)
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
        check_range(self, "signed_max_age_s", 60, 31 * 86_400)
        if self.signing_key != "":
            check_key(self.signing_key)
        if self.admin_token != "" and not (
            isinstance(self.admin_token, str) and ADMIN_TOKEN.fullmatch(self.admin_token)
        ):
            raise ConfigError(
                "admin_token must be at least 32 random letters, digits or -._~+/=, such as `openssl rand -hex 32` prints"
            )
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"log_level must be one of {', '.join(LOG_LEVELS)}, not {self.log_level!r}")
        if self.presence_url and not PRESENCE_URL.fullmatch(self.presence_url):
            raise ConfigError(
                f"presence_url must begin with http:// or https:// and have no query: {self.presence_url!r}"
            )
        for origin in self.origins:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise ConfigError(f"origins must be * or begin with http:// or https://: {origin!r}")
        for place, name in (
            ("default_room", self.default_room),
            *((f"rooms.{name}", name) for name in self.rooms),
        ):
            try:
                check_room(name)
            except PeerError as error:
                raise ConfigError(f"{place}: {error.message}") from None
        _ = self.proxy_networks, self.networks_without_cap
        for place, room in (
            ("", self.room),
            *((f"rooms.{name}: ", room) for name, room in self.rooms.items()),
        ):
            if self.publish_url and 2 * self.publish_ms > room.valid_ms:
                raise ConfigError(
                    f"{place}publish_ms must not exceed half of valid_ms: readers would be left with what is no longer valid"
                )
            if room.valid_ms < 1_000 * self.presence_max_age_s:
                raise ConfigError(
                    f"{place}presence_max_age_s must not exceed valid_ms: a cache would serve what is no longer valid"
                )
            if self.redis and self.retry_spread_ms > room.grace_ms:
                raise ConfigError(
                    f"{place}grace_ms must not be less than retry_spread_ms: whoever a server sends to the others is counted for so long"
                )
            # A copy may be as old again while it is renewed; a poll comes up to a tenth late.
            heard_ms = 2_000 * self.presence_max_age_s + room.next_ms * 11 // 10
            if room.mode == "poll" and room.spread_ms < heard_ms:
                raise ConfigError(
                    f"{place}spread_ms must be at least {heard_ms:,}: twice presence_max_age_s and the longest poll, until when somebody may act on an old rate"
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

    def check_visitor(self, visitor: str, *, room: str, wall_ms: int, leaving: bool = False) -> None:
        """Refuse a visitor whose id nobody signed, where ids have to be signed.

        Args:
            visitor: The id, of valid form.
            room: The room's name.
            wall_ms: Milliseconds since 1970-01-01 UTC.
            leaving: Whether it is a goodbye: that is never too late.

        Raises:
            PeerError: ``unsigned_visitor``.
        """
        if self.signing_key:
            max_age_s = None if leaving else self.signed_max_age_s
            check_signed(self.signing_key, room, visitor, now_s=wall_ms // 1_000, max_age_s=max_age_s)

    @classmethod
    def load(cls, *, flags: Mapping[str, Any], environ: Mapping[str, str], path: Path | None = None) -> Self:
        """Put a config together.

        Args:
            flags: What the command line said: field names to values of the right types.
            environ: The environment; only names with our prefix are looked at.
            path: A TOML file.

        Raises:
            ConfigError: A name is unknown or a value is wrong; the message says where it stands.
        """
        table = _read(path) if path else {}
        rooms = table.pop("rooms", {})
        file_values = {name: _typed(name, value, str(path)) for name, value in table.items()}
        environment = {
            key.removeprefix(ENVIRONMENT_PREFIX).lower(): value
            for key, value in environ.items()
            if key.startswith(ENVIRONMENT_PREFIX)
        }
        environment_values = {name: parse(name, text) for name, text in environment.items()}
        for name in flags.keys() - FIELDS.keys():
            raise ConfigError(f"there is no setting {name}; `breathing-room serve --help` lists them")
        values = file_values | environment_values | dict(flags)

        of_rooms = {name: value for name, value in values.items() if name in ROOM_FIELDS}
        of_server = {name: value for name, value in values.items() if name not in ROOM_FIELDS}
        if not isinstance(rooms, dict) or not all(isinstance(room, dict) for room in rooms.values()):
            raise ConfigError(f"{path}: rooms must be tables, such as [rooms.lobby]")
        return cls(
            **of_server,
            room=RoomConfig(**of_rooms),
            rooms={room: _own_config(f"{path}: rooms.{room}", of_rooms, own) for room, own in rooms.items()},
        )


def _networks(name: str, texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(map(ipaddress.ip_network, texts))
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def _own_config(where: str, of_rooms: Mapping[str, Any], own: Mapping[str, Any]) -> RoomConfig:
    """Make the config of one room from that of all and what its table says."""
    values = {name: _typed(name, value, where, ROOM_FIELDS) for name, value in own.items()}
    try:
        return RoomConfig(**{**of_rooms, **values})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


_TYPES: Final = get_type_hints(ServerConfig) | get_type_hints(RoomConfig)

ROOM_FIELDS: Final = {item.name: item for item in dataclasses.fields(RoomConfig)}
FIELDS: Final = {
    item.name: item
    for item in (*dataclasses.fields(ServerConfig), *dataclasses.fields(RoomConfig))
    if item.metadata
}
"""Everything that can be set by flag, environment or file, by name."""


SECRETS: Final = frozenset(name for name, item in FIELDS.items() if item.metadata.get("secret"))
"""Those that are no flags: the list of processes would show them."""


def settings() -> Iterator[tuple[str, type, Any, str]]:
    """List what can be set: name, type (``int``, ``str``, ``bool`` or ``tuple``), default, meaning."""
    for name, item in FIELDS.items():
        kind = _TYPES[name]
        yield (
            name,
            kind if isinstance(kind, type) and kind in {int, str, bool} else tuple,
            item.default,
            item.metadata["meaning"],
        )


def parse(name: str, text: str) -> Any:
    """Read a setting from text, as the environment and flags have it; several values are separated by commas.

    Raises:
        ConfigError: There is no such setting, or the text does not fit it.
    """
    if name not in FIELDS:
        raise ConfigError(f"there is no setting {name}; `breathing-room serve --help` lists them")
    kind = _TYPES[name]
    if kind is bool:
        if text.lower() not in {"true", "false", "1", "0", "yes", "no"}:
            raise ConfigError(f"{name} must be true or false, not {text!r}")
        return text.lower() in {"true", "1", "yes"}
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ConfigError(f"{name} must be a whole number, not {text!r}") from None
    if kind is str:
        return text
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _typed(name: str, value: Any, where: str, known: Mapping[str, Any] | None = None) -> Any:
    """Check the type of a value of the file."""
    if name not in (FIELDS if known is None else known):
        raise ConfigError(f"{where}: there is no setting {name}; `breathing-room serve --help` lists them")
    kind = _TYPES[name]
    if kind in {int, str, bool}:
        if type(value) is not kind:
            raise ConfigError(
                f"{where}: {name} must be {'a whole number' if kind is int else f'a {kind.__name__}'}"
            )
        return value
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ConfigError(f"{where}: {name} must be a list of strings")
    return tuple(value)
