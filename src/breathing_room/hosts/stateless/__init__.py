"""The stateless mode: any number of writers that remember nobody, over one store, and a job that runs now and then.

For places where no process lives long enough to be the room: functions at an edge, a handful of small machines without
a leader. It counts people who poll; there are no sockets.

Theory of operation
-------------------
A *writer* (``stateless_app``) takes reports and puts them into the store under its own name, each of them (policy ``every``) or
one batch every ten seconds (``bucketed``). No key has two writers and none is read in order to be written, so nothing can be
lost between two of them. Whoever wants the presence reads all that lies under the room's prefix and merges it by visitor
(``core/write_policies``): who reports now here, now there, is one person. A writer that dies takes its batch with it, and nothing else.

The rate, and what was seen of leases that ended in silence, must be said by one voice: the *job* (``reconcile``), which runs once
a minute wherever there is a scheduler, and of which there must be one. It alone writes the key ``control``; writers only read it,
at most ``propagation_ms`` late. So theta, the lowest rate that anybody may still be acting on, looks back by so much more. Nothing stops
when the job does: the count stays unbiased, but the panel is no longer held to its size, and ghosts are those of before.

What the store holds of a visitor is a keyed hash, for one lease and two turns of the job. The secret is drawn by the job.

What this mode cannot do
------------------------
Clients of the planning document's kind flip a coin at every beat, and are counted without bias only by whoever can tell a first
report from a repeat: that takes a memory of sessions, of hours. Their heartbeat is answered 501, and they are not counted.
The size of a surge is known to the job after a minute, and to the writers after ``propagation_ms`` more; until then all
its reports are stored. A beat should name the mood: it lasts for one lease after it was named.

In ``hosts/common/store_mode``, ``records.py`` is what lies in the store, ``settings.py`` what can be set,
``controller.py`` the job, ``presence.py`` what both sides read out of the store, and ``writer.py`` a writer.
Here ``app.py`` speaks HTTP for a writer, and ``serve.py`` runs it.
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
    """Import what is asked for, and only that: the job needs no HTTP."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
