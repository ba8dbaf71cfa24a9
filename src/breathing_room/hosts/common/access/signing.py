"""Signed visitor ids: the application that knows its users issues the ids that are counted.

In an unsigned room the author of forged reports chooses the ids, and with them the tickets: a script that
keeps only ids with a low ticket is in every sample, and each of them stands for 1 / rate people. With a
``signing_key`` the server counts only ids that a holder of the key has issued, one at a time, after a login
or under a rate limit of the application.

A signed id is an id: 16 to 64 of ``A-Za-z0-9_-``. Clients carry it as they carry any other, and its ticket is
drawn from all of it, so neither the issuer nor the visitor can choose the ticket::

    random, 22 characters | seconds since 1970, 6 characters | signature, 22 characters

Each part is Base64 for URLs without padding. The signature is the first half of HMAC-SHA-256 (RFC 2104,
section 5) of ``breathing-room visitor``, the room and the first 28 characters, joined by NUL. Characters are
compared, not bytes: the last character of a part has unused bits, and with those one signature would fit
several ids.

Why not ``itsdangerous``: its tokens hold a dot and are longer than an id may be, so every client, the ticket
and the wire would need a second kind of id; its value, the signature, is one call of the standard library,
and an application in any language makes one in five lines (``docs/howto/sign.md``).
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from breathing_room.core.admission import Verify
from breathing_room.core.errors import ClientError, ConfigError
from breathing_room.core.wire import check_room

KEY_CHARACTERS_MIN: Final = 32
"""The length of 128 random bits in hexadecimal."""

RANDOM_BYTES: Final = 16
TIME_BYTES: Final = 4
SIGNATURE_BYTES: Final = 16

CLOCKS_DIFFER_S: Final = 60
"""How far the issuer's clock may be ahead of the server's."""

_SIGNED_CHARACTERS: Final = 28
_CHARACTERS: Final = 50


def sign_visitor(key: str, room: str, *, now_s: int | None = None) -> str:
    """Issue the id of one visitor of one room. Each call is another visitor.

    Args:
        key: The server's ``signing_key``.
        room: The room's name.
        now_s: Seconds since 1970-01-01 UTC, from which the id ages; None for now.

    Returns:
        50 characters, in the form of any visitor id.

    Raises:
        ConfigError: The key is too short.
        ClientError: ``bad_room``.
    """
    check_key(key)
    issued_s = int(time.time()) if now_s is None else now_s
    head = _text(secrets.token_bytes(RANDOM_BYTES)) + _text(issued_s.to_bytes(TIME_BYTES))
    return head + _signature(key, check_room(room), head)


def check_signed(key: str, room: str, visitor: str, *, now_s: int, max_age_s: int | None) -> None:
    """Reject a visitor id without a valid signature for this room.

    Args:
        key: The server's ``signing_key``.
        room: The room's name.
        visitor: A visitor id of valid form.
        now_s: Seconds since 1970-01-01 UTC.
        max_age_s: How long ago it may have been issued; None for any time: an admitted visitor may always
            leave.

    Raises:
        ClientError: ``unsigned_visitor``.
    """
    head, signature = visitor[:_SIGNED_CHARACTERS], visitor[_SIGNED_CHARACTERS:]
    if len(visitor) == _CHARACTERS and hmac.compare_digest(signature, _signature(key, room, head)):
        issued_s = int.from_bytes(base64.urlsafe_b64decode(head[22:] + "=="))
        if max_age_s is None or -CLOCKS_DIFFER_S <= now_s - issued_s <= max_age_s:
            return
    raise ClientError(
        "unsigned_visitor",
        "visitor is not a valid signed id for this room, or it has expired: get a new one from the application",
        status=403,
    )


def verifier(key: str, room: str, *, max_age_s: int, wall_ms: Callable[[], int]) -> Verify:
    """Return the check of visitor ids that ``Admission`` calls.

    Args:
        key: The server's ``signing_key``.
        room: The room's name.
        max_age_s: How long ago an id may have been issued.
        wall_ms: Returns the milliseconds since 1970-01-01 UTC.
    """

    def verify(visitor: str, leaving: bool) -> None:  # noqa: FBT001 - as ``Verify`` has it
        check_signed(key, room, visitor, now_s=wall_ms() // 1_000, max_age_s=None if leaving else max_age_s)

    return verify


def check_key(key: str) -> None:
    """Reject a signing key that is too short to be secret.

    Raises:
        ConfigError: It is too short. The message does not contain it.
    """
    if not isinstance(key, str) or len(key) < KEY_CHARACTERS_MIN or not key.isprintable():
        raise ConfigError(
            f"signing_key must be at least {KEY_CHARACTERS_MIN} random characters, such as `openssl rand -hex 32` prints"
        )


def _signature(key: str, room: str, head: str) -> str:
    message = f"breathing-room visitor\0{room}\0{head}".encode()
    return _text(hmac.digest(key.encode(), message, hashlib.sha256)[:SIGNATURE_BYTES])


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
