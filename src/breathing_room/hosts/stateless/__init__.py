"""Store mode: many writers without memory over one store, and ``reconcile``, which runs periodically.

For places where no process lives long enough to be the room: functions at an edge, a handful of small
machines without a leader. It counts visitors who poll; there are no connections.

Theory of operation
-------------------
A *writer* (``stateless_app``) takes reports and puts them into the store under its own name, each of them
(policy ``every``) or one batch every ten seconds (``bucketed``). No key has two writers and no key is read in
order to be written, so no report is lost between two of them. A presence is read from all values under the
room's prefix, merged by visitor (``core/write_policies``): a visitor who reports to one writer and then to
another is counted once. A writer that dies loses its batch, and nothing else.

The rate, and how many leases expired, must come from one process: the *controller* (``reconcile``), which
runs once a minute wherever there is a scheduler, and of which there must be one. It alone writes the key
``control``; writers read it, at most ``propagation_ms`` late. So the effective rate, the lowest at which a
client may still act, looks back by as much more. If the controller stops, the count stays unbiased, but the
panel is no longer held to its size, and the correction for ghosts is that of before.

The store holds a keyed hash of a visitor for one lease and two runs of the controller, which also draws the
secret.

What this mode cannot do
------------------------
Document clients (legacy sampling) draw by lot at every heartbeat. To count them without bias takes a memory
of their sessions, of hours, which distinguishes a first report from a repeat. Their heartbeat is answered
501, and they are not counted. The size of a surge is known to the controller after a minute, and to the
writers after ``propagation_ms`` more; until then all its reports are stored. A heartbeat should name the
mood: a mood lasts for one lease after it was named.

In ``hosts/common/store_mode``, ``records.py`` is what the store holds, ``settings.py`` the settings,
``controller.py`` is ``reconcile``, ``presence.py`` what both sides read from the store, and ``writer.py`` a
writer. Here ``app.py`` is the ASGI application of a writer, and ``serve.py`` runs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breathing_room.hosts.common.store_mode.controller import reconcile
    from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
    from breathing_room.hosts.stateless.app import stateless_app

__all__ = ["StoreModeConfig", "reconcile", "stateless_app"]

_HOMES = {
    "StoreModeConfig": "breathing_room.hosts.common.store_mode.settings",
    "reconcile": "breathing_room.hosts.common.store_mode.controller",
    "stateless_app": "breathing_room.hosts.stateless.app",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is used: ``reconcile`` needs no HTTP."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
