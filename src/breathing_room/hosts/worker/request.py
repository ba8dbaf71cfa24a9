"""A request as routes see it, whatever brought it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from breathing_room.core.errors import PeerError
from breathing_room.core.wire import DEFAULT_ROOM, resolve_room
from breathing_room.hosts.common.http.origins import origin_allowed

ROOM_PATH: Final = re.compile(r"/v1/rooms/([^/]*)(/[a-z.]*)?")

OF_A_ROOM: Final[Mapping[str, str]] = {
    "": "GET",
    "/config": "GET",
    "/beat": "POST",
    "/leave": "POST",
    "/events": "GET",
    "/history": "GET",
    "/badge.svg": "GET",
    "/migration": "GET",
    "/socket": "GET",
}
"""What can be asked of a room, and how."""

OF_ALL: Final[Mapping[str, str]] = {
    "/api/presence": "GET",
    "/api/config": "GET",
    "/api/heartbeat": "POST",
    "/api/room": "GET",
    "/healthz": "GET",
    "/readyz": "GET",
    "/openapi.json": "GET",
}


class WrongMethodError(PeerError):
    """A path that takes another method.

    Args:
        allowed: Those that it takes.
    """

    def __init__(self, allowed: str) -> None:
        super().__init__("wrong_method", "this path takes another method", status=405)
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked.

    Attributes:
        method: In capitals.
        path: Without the query.
        query: Its parameters; of several of one name, the first.
        header: Finds a header, None where there is none.
        read: Reads the body up to a limit.
    """

    method: str
    path: str
    query: Mapping[str, str]
    header: Callable[[str], str | None]
    read: Callable[[int], Awaitable[bytes]]

    def check_origin(self, allowed: tuple[str, ...]) -> None:
        """Refuse a page of a site that may not use this Worker.

        Raises:
            PeerError: ``forbidden_origin``.
        """
        if not origin_allowed(self.header("origin"), self.header("host"), allowed):
            raise PeerError("forbidden_origin", "this origin may not use this server", status=403)


def find_route(method: str, path: str, default_room: str) -> tuple[str, str]:
    """Find what a path means.

    Returns:
        The room's name, and what is asked of it: a key of ``OF_A_ROOM`` or ``OF_ALL``.

    Raises:
        PeerError: There is nothing, or it takes another method, or what should be a room's name is none.
    """
    found = ROOM_PATH.fullmatch(path)
    name, asked = (DEFAULT_ROOM, path) if found is None else (found[1], found[2] or "")
    takes = (OF_ALL if found is None else OF_A_ROOM).get(asked)
    if takes is None:
        raise PeerError("not_found", "there is nothing here", status=404)
    if method != takes and not (method == "HEAD" and takes == "GET"):
        raise WrongMethodError("GET, HEAD" if takes == "GET" else takes)
    return resolve_room(name, default_room), asked
