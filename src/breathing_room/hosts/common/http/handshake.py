"""The handshake of a WebSocket: who may open one, where it leads, and what is spoken on it.

The slim socket, the ASGI socket and the object of a Worker each read the request in their own way, and ask here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from breathing_room.core.admission import admit_connection
from breathing_room.core.errors import ClientError
from breathing_room.core.wire import DEFAULT_ROOM, Join, resolve_room
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.http.origins import check_origin
from breathing_room.hosts.common.rooms.connection import Connection
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL, MessageCodec
from breathing_room.hosts.common.settings import ServerConfig


@dataclass(frozen=True, slots=True)
class Handshake:
    """A handshake that may be answered.

    Attributes:
        room: The name of the room that it leads to.
        codec: What is spoken.
        join: The visitor that the query names, None where a message will.
    """

    room: str
    codec: MessageCodec
    join: Join | None

    def begin(self, session: Connection) -> None:
        """Join the visitor of the query; a refusal is the first message."""
        if self.join is not None:
            try:
                session.join(self.join.visitor, self.join.mood)
            except ClientError as error:
                session.refuse(error)


def first_values(query: str) -> dict[str, str]:
    """Read the parameters of a query; of several of one name, the first."""
    # Most handshakes have none, and to parse nothing takes a tenth of a handshake's time.
    return dict(reversed(parse_qsl(query, keep_blank_values=True))) if query else {}


def admit_handshake(
    room: str | None,
    query: Mapping[str, str],
    *,
    origin: str | None,
    host: str | None,
    config: ServerConfig,
    connections: int,
    connections_max: int,
) -> Handshake:
    """Admit a handshake.

    Args:
        room: The room in the path; None for the path of the planning document's app, whose visitor is in the query.
        query: The parameters of the query.
        origin: The ``Origin`` header.
        host: The ``Host`` header.
        config: How the host works.
        connections: Those that are open.
        connections_max: The most that may be.

    Raises:
        ClientError: ``forbidden_origin``, ``full``, ``bad_room`` or ``bad_visitor``.
    """
    check_origin(origin, host, config.origins)
    admit_connection(connections, connections_max)
    name = resolve_room(DEFAULT_ROOM if room is None else room, config.default_room)
    if room is not None:
        return Handshake(name, PROTOCOL, None)
    visitor = document_api.read_session_id(query.get("sessionId"))
    mood = document_api.read_mood(query.get("mood"), config.room_config(name).moods)
    return Handshake(name, document_api.DOCUMENT_CODEC, Join(visitor, mood))
