"""Authentication of the operator's page by the ``admin_token``.

The token comes in ``Authorization: Bearer``, or once through a form, which sets a cookie. The cookie holds a
keyed hash and not the token, so a browser never stores the token; a new token invalidates every cookie.
Comparisons run in constant time. Wrong tokens are not throttled: 32 random characters cannot be guessed.
"""

import hashlib
import hmac
from typing import Final

from starlette.requests import Request

from breathing_room.core.errors import ClientError

COOKIE: Final = "breathing-room-admin"
COOKIE_S: Final = 12 * 3_600
"""A working day."""


class AdminAuth:
    """Checks the token of a request.

    Args:
        token: The token of the config.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = hmac.digest(self._token, b"breathing-room admin cookie", hashlib.sha256).hex()

    def opens(self, token: str) -> bool:
        """Return whether this is the token."""
        return hmac.compare_digest(token.encode(), self._token)

    def check(self, request: Request) -> None:
        """Reject a request without a valid token or cookie.

        Raises:
            ClientError: ``token_needed`` or ``wrong_token``.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if self.opens(token.strip()):
                return
            raise wrong_token()
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self.cookie.encode()):
            raise ClientError("token_needed", "the operator's token is required", status=401)


def wrong_token() -> ClientError:
    """Return the error of a wrong token."""
    return ClientError("wrong_token", "the operator's token is wrong", status=403)
