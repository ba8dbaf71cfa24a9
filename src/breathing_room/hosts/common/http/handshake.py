"""Admit the handshake of a WebSocket: its origin, its room and its codec.

The slim socket, the ASGI socket and the Durable Object each parse the request in their own way, and call
this.
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
    """An admitted handshake.

    Attributes:
        room: The name of the room to connect to.
        codec: The codec of its messages.
        join: The visitor in the query, None where a message names it.
    """

    room: str
    codec: MessageCodec
    join: Join | None

    def begin(self, connection: Connection) -> None:
        """Join the visitor of the query; an error is sent as the first message."""
        if self.join is not None:
            try:
                connection.join(self.join.visitor, self.join.mood)
            except ClientError as error:
                connection.refuse(error)


def first_values(query: str) -> dict[str, str]:
    """Parse the parameters of a query; of several of one name, the first counts."""
    # Most handshakes have none, and parsing an empty query takes a tenth of a handshake's time.
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
        room: The room in the path; None for the path of the document API, whose visitor is in the query.
        query: The parameters of the query.
        origin: The ``Origin`` header.
        host: The ``Host`` header.
        config: The host's config.
        connections: The number of open connections.
        connections_max: The most that may be open.

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
