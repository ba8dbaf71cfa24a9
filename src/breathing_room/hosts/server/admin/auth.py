"""Who may see the operator's page: those who show the ``admin_token``.

The token comes in ``Authorization: Bearer``, or once through a form, which leaves a cookie. The cookie holds a keyed hash and not
the token, so a browser never keeps what the config does; another token makes every cookie worthless. Comparing takes the same
time whatever is wrong, and a wrong one is answered at once: at 32 random characters nobody guesses.
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
    """Tells who may see.

    Args:
        token: The token of the config.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = hmac.digest(self._token, b"breathing-room admin cookie", hashlib.sha256).hex()

    def opens(self, token: str) -> bool:
        """Tell whether this is the token."""
        return hmac.compare_digest(token.encode(), self._token)

    def check(self, request: Request) -> None:
        """Refuse whoever shows neither the token nor a cookie.

        Raises:
            ClientError: ``token_needed`` or ``wrong_token``.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if self.opens(token.strip()):
                return
            raise wrong_token()
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self.cookie.encode()):
            raise ClientError("token_needed", "show the operator's token to see this", status=401)


def wrong_token() -> ClientError:
    """Say that a token is not the one."""
    return ClientError("wrong_token", "this is not the operator's token", status=403)
