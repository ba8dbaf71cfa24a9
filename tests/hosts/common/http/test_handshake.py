"""The handshake of a WebSocket, whichever host reads it."""

from typing import Any

import pytest

from breathing_room.core.errors import ClientError
from breathing_room.core.wire import Join
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.http.handshake import Handshake, admit_handshake, first_values
from breathing_room.hosts.common.rooms.encoded_presence import PROTOCOL
from breathing_room.hosts.common.settings import ServerConfig

OURS = "https://ours.example"
CONFIG = ServerConfig(default_room="evening", origins=(OURS,))


def admit(
    room: str | None = "garden", query: str = "", *, origin: str | None = None, connections: int = 0
) -> Handshake:
    return admit_handshake(
        room,
        first_values(query),
        origin=origin,
        host="room.example",
        config=CONFIG,
        connections=connections,
        connections_max=2,
    )


def refusal(*args: Any, **options: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        admit(*args, **options)
    return error.value.code, error.value.status


def test_a_path_of_a_room_leads_there_and_does_not_join() -> None:
    """The path names the room, or the default one by its alias; the visitor comes in a message."""
    assert admit() == Handshake("garden", PROTOCOL, None)
    assert admit("_default").room == "evening"


def test_the_path_of_the_document_joins_by_its_query() -> None:
    """Without a room in the path it is the default one, in the document's codec, with the visitor and the
    mood of the query.
    """
    admitted = admit(None, "sessionId=s1&mood=release")
    assert admitted == Handshake("evening", document_api.DOCUMENT_CODEC, Join("s1", "release"))
    assert admit(None, "sessionId=s1&sessionId=s2&mood=").join == Join("s1", "presence")


def test_a_foreign_page_a_full_host_a_bad_name_and_a_bad_visitor_are_refused_in_this_order() -> None:
    """Of several reasons the first is answered, and a page of the host itself may always."""
    foreign = "https://foreign.example"
    assert refusal("UPPER", origin=foreign, connections=2) == ("forbidden_origin", 403)
    assert refusal("UPPER", origin=OURS, connections=2) == ("full", 503)
    assert refusal("UPPER", origin=OURS, connections=1) == ("bad_room", 400)
    assert refusal(None, "mood=release") == ("bad_visitor", 400)
    assert admit(origin="http://room.example").room == "garden"


class Socket:
    """A connection that notes its joins, and can be refused."""

    def __init__(self, refusal: ClientError | None = None) -> None:
        self.refusal = refusal
        self.joined: list[tuple[str, str | None]] = []
        self.refused: list[ClientError] = []

    def join(self, visitor: str, mood: str | None) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.joined.append((visitor, mood))

    def refuse(self, error: ClientError) -> None:
        self.refused.append(error)


def test_a_join_that_is_refused_is_the_first_message() -> None:
    """The visitor of the query joins when the socket is open; a refusal goes over it, and without a visitor
    nothing happens.
    """
    admitted, suspect = admit(None, "sessionId=s1"), admit()
    error = ClientError("unsigned_visitor", "not signed", status=403)
    for handshake, socket, joined, refused in (
        (admitted, Socket(), [("s1", "presence")], []),
        (admitted, Socket(error), [], [error]),
        (suspect, Socket(), [], []),
    ):
        handshake.begin(socket)  # type: ignore[arg-type]
        assert (socket.joined, socket.refused) == (joined, refused)
