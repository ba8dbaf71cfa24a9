"""The checks of a host, in families: each is a module of checks, whose docstrings are the sentences of the
protocol.
"""

from typing import Final

from breathing_room.testing.host_checks import document_api, http, presence, restart, sockets
from breathing_room.testing.host_context import Check

CHECKS: Final[dict[str, Check]] = {
    name: check
    for family in (presence, http, sockets, document_api, restart)
    for name, check in family.CHECKS.items()
}
"""Every check, by its name."""
