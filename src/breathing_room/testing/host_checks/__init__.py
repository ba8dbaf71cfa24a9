"""The promises of a host, in families: each a module of checks, whose docstrings are the sentences."""

from typing import Final

from breathing_room.testing.host_checks import document_api, http, presence, restart, sockets
from breathing_room.testing.host_context import Promise

PROMISES: Final[dict[str, Promise]] = {
    name: promise
    for family in (presence, http, sockets, document_api, restart)
    for name, promise in family.PROMISES.items()
}
"""Every promise, by the name of its check."""
