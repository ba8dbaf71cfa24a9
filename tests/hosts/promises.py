"""Which checks of the suite each of our hosts cannot pass, and why: the one list of exceptions."""

from typing import Final

STORE_MODE: Final = {
    "connection": "a room that is only a store is in no process, so no process holds connections and pushes to them",
    "events": "an event stream is a connection as well",
    "history": "averages need a process that observes the room all the time; the writers do not",
    "restart": "there is nothing to restart: a writer holds nothing but the reports of a batch",
    "api_heartbeat_counts": "to count legacy sampling takes a memory of sessions, of hours",
}
"""Store mode."""

EXCEPTIONS: Final[dict[str, dict[str, str]]] = {
    "server": {},
    "ASGI mount": {},
    "Worker with objects": {
        "a_dead_connection_is_closed": "the runtime cannot send pings, and the network closes what is dead",
        "an_unmasked_frame_is_refused": "the runtime reads the frames, and takes those without a mask",
        "a_connection_without_a_join_is_closed": "workerd leaves TCP open after the closing handshake of a connection that sent nothing",
        "restart": "the platform restarts an object without notice: no code runs that could close its connections",
    },
    "Worker with KV alone": STORE_MODE,
    "stateless front": STORE_MODE,
}
"""Host → check, or a need of checks → why it fails. A check that passes all the same fails the suite."""
