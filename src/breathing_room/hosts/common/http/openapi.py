"""The OpenAPI 3.1 description of the HTTP interface, without what is not served yet.

The schemas are those of ``schemas.py``; this module adds the paths.
"""

from importlib.metadata import version
from typing import Any, Final

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.wire import DEFAULT_ROOM, ROOM_NAME
from breathing_room.hosts.common.http.schemas import HTTP
from breathing_room.hosts.common.http.shapes import json_schemas
from breathing_room.hosts.common.settings import ServerConfig

REFERENCES: Final = "#/components/schemas/"

_TEXT: Final = {"type": "string"}
_CACHED: Final = {"304": {"description": "Not modified: the ETag of the request still holds"}}
_ROOM: Final = {
    "name": "room",
    "in": "path",
    "required": True,
    "description": "The room's name, or `_default` for the server's default room",
    "schema": {"type": "string", "pattern": f"^({DEFAULT_ROOM}|{ROOM_NAME.pattern})$"},
}


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REFERENCES + schema}}}


def _answer(schema: str, description: str) -> dict[str, Any]:
    return {"200": {"description": description, "content": _content(schema)}}


def _media(media_type: str, description: str) -> dict[str, Any]:
    return {"200": {"description": description, "content": {media_type: {"schema": _TEXT}}}}


def _operation(
    summary: str, answers: dict[str, Any], *, body: str | None = None, errors: bool = True
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": dict(answers)}
    if errors:
        operation["responses"]["default"] = {"description": "An error", "content": _content("Error")}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    return operation


_HANDSHAKE: Final = _operation(
    "Open a WebSocket; docs/reference/protocol.md describes its messages",
    {
        "101": {"description": "Switching protocols"},
        "426": {"description": "The request is no WebSocket handshake"},
    },
)

_ROOMS: Final = {
    "": {"get": _operation("Read the presence", _answer("Presence", "The presence") | _CACHED)},
    "/config": {"get": _operation("Read how the room works", _answer("Config", "The config") | _CACHED)},
    "/heartbeat": {
        "post": _operation(
            "Join, change the mood, or send a heartbeat, without a connection",
            _answer("Presence", "The presence"),
            body="Report",
        )
    },
    "/leave": {
        "post": _operation("Leave the room", {"204": {"description": "The visitor has left"}}, body="Leave")
    },
    "/events": {
        "get": _operation(
            "Follow the presence as Server-Sent Events",
            _media("text/event-stream", "Events of type presence"),
        )
    },
    "/history": {
        "get": _operation(
            "Read the averages by hour of the week", _answer("History", "The averages") | _CACHED
        )
    },
    "/badge.svg": {
        "get": _operation("Read a badge with the label", _media("image/svg+xml", "An image") | _CACHED)
    },
    "/socket": {"get": _HANDSHAKE},
}
"""Below ``/v1/rooms/{room}``."""

_DOCUMENT_API: Final = {
    "/api/presence": {
        "get": _operation(
            "Read the presence, as the planning document's app has it",
            _answer("DocumentPresence", "The presence") | _CACHED,
        )
    },
    "/api/config": {
        "get": _operation("Read that app's config", _answer("DocumentConfig", "The config") | _CACHED)
    },
    "/api/heartbeat": {
        "post": _operation(
            "Send that app's heartbeat", _answer("DocumentPresence", "The presence"), body="DocumentHeartbeat"
        )
    },
    "/api/room": {"get": _HANDSHAKE},
}

_OK: Final = _answer("Ok", "Yes")

_OPERATIONS: Final = {
    "/metrics": {
        "get": _operation("Read metrics for Prometheus", _media("text/plain", "Metrics"), errors=False)
    },
    "/healthz": {"get": _operation("Check that the process answers", _OK, errors=False)},
    "/readyz": {"get": _operation("Check that the server takes visitors", _OK)},
    "/openapi.json": {
        "get": _operation("Read this description", {"200": {"description": "OpenAPI 3.1"}}, errors=False)
    },
}

_OPERATOR: Final = {
    "/admin.json": {
        "parameters": [
            _ROOM | {"in": "query", "required": False, "description": "The room to show in detail"}
        ],
        "get": _operation(
            "Read what the operator's page shows; needs the token",
            _answer("Admin", "The state of the server"),
        )
        | {"security": [{"token": []}]},
    }
}


def openapi(config: ServerConfig) -> dict[str, Any]:
    """Return the OpenAPI document of this server.

    Args:
        config: Its moods stand in the schemas as an example: rooms may declare their own.
    """
    schemas = json_schemas(HTTP, served_only=True, references=REFERENCES)
    schemas["Report"]["properties"]["mood"]["examples"] = [*config.room.moods, UNSPOKEN]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Breathing Room",
            "version": version("breathing-room"),
            "description": "How many people are here with you right now, and how they feel.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            f"/v1/rooms/{{room}}{path}": {"parameters": [_ROOM]} | item for path, item in _ROOMS.items()
        }
        | _DOCUMENT_API
        | _OPERATIONS
        | (_OPERATOR if config.admin_token else {}),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }
