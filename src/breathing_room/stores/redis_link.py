"""The client of a Redis or Valkey, 7.0 and later, which the store and the log share.

URLs
----
=========================================================  =======================================================
``redis://[user:password@]host[:port][/database]``         one server
``rediss://…``                                             the same over TLS
``unix:///run/redis/redis.sock[?db=0]``                    the same over a Unix socket
``redis+sentinel://host[:port],host[:port]/name[/database]``  whichever server the Sentinels call the master of ``name``
``rediss+sentinel://…``                                    the same over TLS, to the Sentinels too
=========================================================  =======================================================

``?prefix=NAME`` separates several deployments in one Redis. Other options are redis-py's own
(``ssl_ca_certs``, ...); ``sentinel_username`` and ``sentinel_password`` are for the Sentinels.
"""

import re
from collections.abc import Awaitable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from breathing_room.core.errors import HostError, StoreError

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")

PREFIX: Final = "breathing-room"
PREFIX_FORM: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

VERSION_MIN: Final = (7, 0)

SENTINEL_PORT: Final = 26_379

# How long a call waits for an answer, and for a connection. A slower server counts as unreachable.
TIMEOUT_S: Final = 5.0

INSTALL: Final = "pip install 'breathing-room[redis]'"


def is_redis(address: str) -> bool:
    """Return whether an address is the URL of a Redis."""
    return address.partition("://")[0].lower() in SCHEMES and "://" in address


class RedisLink:
    """A client of a Redis, with errors for operators.

    Args:
        address: A URL, as described above.
        timeout_s: How long to wait for an answer.
        retries: How often a call is repeated at once when a connection is lost: after a restart of Redis
            every one is.

    Raises:
        HostError: The address is not a URL of a Redis, or the package for Redis is not installed.
    """

    def __init__(self, address: str, *, timeout_s: float = TIMEOUT_S, retries: int = 1) -> None:
        self.where, self.prefix, self.client = _connect(address, timeout_s, retries)

    def key(self, name: str) -> str:
        """Return a name with the prefix."""
        return f"{self.prefix}:{name}"

    async def check(self) -> None:
        """Check that the server is reachable, accepts the login, and is new enough.

        Raises:
            StoreError: It is not.
        """
        version = str((await self.call(self.client.info("server")))["redis_version"])
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < VERSION_MIN:
            raise StoreError(
                f"{self.where} is Redis {version}; 7.0 or later is needed, or any Valkey", temporary=False
            )

    async def call(self, call: Awaitable[T]) -> T:
        """Await a call.

        Raises:
            StoreError: It failed. The message names the server, and holds no password.
        """
        from redis.exceptions import RedisError  # noqa: PLC0415 - as in ``_connect``

        try:
            return await call
        except (RedisError, OSError) as error:
            raise self._translate(error) from error

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()
        sentinels = getattr(self.client.connection_pool, "sentinel_manager", None)
        for sentinel in sentinels.sentinels if sentinels else ():
            await sentinel.aclose()

    def _translate(self, error: Exception) -> StoreError:
        from redis import exceptions  # noqa: PLC0415 - as in ``_connect``

        match error:
            case (
                exceptions.AuthenticationError()
                | exceptions.AuthorizationError()
                | exceptions.NoPermissionError()
            ):
                return StoreError(
                    f"{self.where} rejects the login: check the user and password of its URL",
                    temporary=False,
                )
            case exceptions.TimeoutError():
                return StoreError(f"{self.where} does not answer in time", temporary=True)
            case exceptions.BusyLoadingError():
                return StoreError(f"{self.where} is still loading its data", temporary=True)
            case exceptions.ConnectionError() | OSError():
                return StoreError(f"{self.where} cannot be reached", temporary=True)
            case exceptions.ReadOnlyError():
                return StoreError(f"{self.where} is a replica, and accepts no writes", temporary=True)
            case exceptions.OutOfMemoryError():
                return StoreError(f"{self.where} is out of memory", temporary=True)
        text = str(error)
        if "NOAUTH" in text or "WRONGPASS" in text:
            return StoreError(f"{self.where} needs a password: add it to its URL", temporary=False)
        if "WRONGTYPE" in text:
            return StoreError(
                f"another program has keys of its own under {self.prefix}: in {self.where}; "
                "choose another prefix with ?prefix=NAME",
                temporary=False,
            )
        # Redis begins its errors with a word in capitals; the rest may repeat our input.
        return StoreError(
            f"{self.where} rejects a command: {text.split(' ', 1)[0]}", temporary="MISCONF" in text
        )


def read_script(package: str, name: str) -> str:
    """Read a script from the folder ``lua`` of a package."""
    return files(package).joinpath("lua", name).read_text(encoding="utf-8")


def _connect(address: str, timeout_s: float, retries: int) -> "tuple[str, str, Redis]":
    """Make a client; it connects on its first call.

    Returns:
        The server's name in messages, our prefix, and the client.
    """
    try:
        # An optional dependency: a single server needs no Redis.
        from redis.asyncio import Redis, Sentinel  # noqa: PLC0415
        from redis.asyncio.connection import parse_url  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError:
        raise HostError(f"Redis needs one more package: {INSTALL}") from None

    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    if scheme not in SCHEMES or not rest:
        raise HostError(
            f"the URL of a Redis begins with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
        )
    base, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    prefix = options.pop("prefix", PREFIX)
    if not PREFIX_FORM.fullmatch(prefix):
        raise HostError("a prefix is 1 to 64 of A-Z, a-z, 0-9, _, . and -")
    settings: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), retries),
        "protocol": 2,
    }
    try:
        if not scheme.endswith("+sentinel"):
            settings |= parse_url(f"{scheme}://{base}?{urlencode(options)}")
            where = f"{scheme}://{settings.get('path') or _host_port(settings)}"
            connection_class = settings.pop("connection_class", None)
            if connection_class is None:
                return where, prefix, Redis(**settings)
            from redis.asyncio import ConnectionPool  # noqa: PLC0415

            return (
                where,
                prefix,
                Redis.from_pool(ConnectionPool(connection_class=connection_class, **settings)),
            )
        user, _, members = base.rpartition("@")
        hosts, _, path = members.partition("/")
        service, _, database = path.partition("/")
        if not service:
            raise HostError(f"{scheme}:// needs the name of a master: {scheme}://host,host/name")
        sentinel = {
            name.removeprefix("sentinel_"): options.pop(name)
            for name in ("sentinel_username", "sentinel_password")
            if name in options
        }
        # Common options are parsed as those of a single server.
        plain = f"{scheme.removesuffix('+sentinel')}://{user}{'@' if user else ''}host/{database}?{urlencode(options)}"
        settings |= {name: value for name, value in parse_url(plain).items() if name != "host"}
        if settings.pop("connection_class", None) is not None:
            settings["ssl"] = True
        tls = {name: value for name, value in settings.items() if name.startswith("ssl")}
        common = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "protocol": 2}
        master = Sentinel(  # type: ignore[no-untyped-call]
            [_member(member) for member in hosts.split(",")],
            sentinel_kwargs=common | tls | sentinel,
            **settings,
        ).master_for(unquote(service))
    except (ValueError, TypeError) as error:
        # redis-py repeats its input, perhaps a password: only the type of the error is passed on.
        raise HostError(f"not the URL of a Redis: {scheme}://… ({type(error).__name__})") from None
    return f"{scheme}://{hosts}/{service}", prefix, master


def _host_port(settings: dict[str, Any]) -> str:
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def _member(member: str) -> tuple[str, int]:
    """Parse a Sentinel's host and port."""
    parts = urlsplit(f"//{member}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or SENTINEL_PORT
