"""The HTTP interface, described in OpenAPI 3.1."""

from importlib.metadata import version
from typing import Any

from breathing_room.core.config import MODES, UNSPOKEN
from breathing_room.core.wire import DEFAULT_ROOM, ROOM_NAME, VISITOR_ID
from breathing_room.hosts.common.http.document_api import SESSION_ID_CHARACTERS_MAX
from breathing_room.hosts.common.settings import ServerConfig

_WHOLE: dict[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0}


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _answer(schema: str, description: str) -> dict[str, Any]:
    return {"200": {"description": description, "content": _content(schema)}}


def _operation(
    summary: str, answers: dict[str, Any], *, body: str | None = None, errors: bool = True
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": dict(answers)}
    if errors:
        operation["responses"]["default"] = {"description": "An error", "content": _content("Error")}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    return operation


def _object(properties: dict[str, Any], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def openapi(config: ServerConfig) -> dict[str, Any]:
    """Describe what this server answers.

    Args:
        config: Its moods stand in the schemas as an example: rooms may declare their own.
    """
    moods = [*config.room.moods, UNSPOKEN]
    visitor = {"type": "string", "pattern": f"^{VISITOR_ID.pattern}$"}
    mood = {"type": "string", "examples": moods}
    text = {"type": "string"}
    cached = {"304": {"description": "You have it already"}}
    people_by_mood = {"type": "object", "additionalProperties": {"type": "number"}}
    svg = {"200": {"description": "A picture", "content": {"image/svg+xml": {"schema": text}}}}
    stream = {
        "200": {"description": "Events of type presence", "content": {"text/event-stream": {"schema": text}}}
    }
    plain = {"200": {"description": "Metrics", "content": {"text/plain": {"schema": text}}}}
    room = {
        "name": "room",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": f"^({DEFAULT_ROOM}|{ROOM_NAME.pattern})$"},
    }
    handshake = _operation(
        "Open a WebSocket; docs/reference/protocol.md has its messages",
        {"101": {"description": "Switching protocols"}, "426": {"description": "This is no handshake"}},
    )
    rooms = {
        "": {"get": _operation("Who is here now", _answer("Presence", "Presence") | cached)},
        "/config": {"get": _operation("How the room works", _answer("Config", "Config") | cached)},
        "/heartbeat": {
            "post": _operation(
                "Join, name a mood, or give a sign of life", _answer("Presence", "Presence"), body="Report"
            )
        },
        "/leave": {"post": _operation("Say goodbye", {"204": {"description": "Goodbye"}}, body="Goodbye")},
        "/events": {"get": _operation("Every change, as Server-Sent Events", stream)},
        "/history": {
            "get": _operation("Averages by hour of the week", _answer("History", "Averages") | cached)
        },
        "/badge.svg": {"get": _operation("A badge with the label", svg | cached)},
        "/socket": {"get": handshake},
    }
    ok = _answer("Ok", "Yes")
    operator: dict[str, Any] = {}
    if config.admin_token:
        operator["/admin.json"] = {
            "parameters": [room | {"in": "query", "required": False}],
            "get": _operation(
                "What the operator's page shows; needs the token", _answer("Admin", "Everything")
            )
            | {"security": [{"token": []}]},
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Breathing Room",
            "version": version("breathing-room"),
            "description": "How many people are here with you right now, and how they feel.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {f"/v1/rooms/{{room}}{path}": {"parameters": [room]} | item for path, item in rooms.items()}
        | {
            "/api/presence": {
                "get": _operation(
                    "Presence, as the planning document's app has it",
                    _answer("CompatPresence", "Presence") | cached,
                )
            },
            "/api/config": {
                "get": _operation("That app's config", _answer("CompatConfig", "Config") | cached)
            },
            "/api/heartbeat": {
                "post": _operation(
                    "That app's heartbeat", _answer("CompatPresence", "Presence"), body="Heartbeat"
                )
            },
            "/api/room": {"get": handshake},
            "/metrics": {"get": _operation("Metrics for Prometheus", plain, errors=False)},
            "/healthz": {"get": _operation("Is it alive?", ok, errors=False)},
            "/readyz": {"get": _operation("May people be sent here?", ok)},
            "/openapi.json": {
                "get": _operation("This description", {"200": {"description": "OpenAPI 3.1"}}, errors=False)
            },
        }
        | operator,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Presence": _object(
                    {
                        "room": text,
                        "count": _MAYBE,
                        "low": _WHOLE,
                        "high": _MAYBE,
                        "method": {"enum": ["counted", "sampled", "stale", "estimated", "unknown"]},
                        "sample_rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                        "epoch": _WHOLE,
                        "moods": {"type": "object", "additionalProperties": _MAYBE},
                        "unspoken": _MAYBE,
                        "mood_intervals": {
                            "type": "object",
                            "additionalProperties": {
                                "type": ["array", "null"],
                                "prefixItems": [_WHOLE, _MAYBE],
                                "minItems": 2,
                                "maxItems": 2,
                            },
                        },
                        "label": text,
                        "as_of_ms": _WHOLE,
                        "stale_after_ms": _WHOLE,
                        "poll_ms": _WHOLE,
                    }
                ),
                "Config": _object(
                    {
                        "room": text,
                        "moods": {"type": "array", "items": text},
                        "mode": {"enum": list(MODES)},
                        "breath": _object(
                            {"pattern": text, "phases": {"type": "array", "items": {"type": "array"}}}
                        ),
                        "ping_ms": _WHOLE,
                        "heartbeat_ms": _WHOLE,
                        "poll_ms": _WHOLE,
                        "lease_ms": _WHOLE,
                        "grace_ms": _WHOLE,
                        "presence_url": {"type": ["string", "null"]},
                        "now_ms": _WHOLE,
                    }
                ),
                "Report": _object(
                    {"visitor": visitor, "mood": mood, "epoch": _WHOLE}, optional=("mood", "epoch")
                ),
                "Goodbye": _object({"visitor": visitor}),
                "History": _object(
                    {
                        "room": text,
                        "timezone": text,
                        "hour_0": text,
                        "hours": {
                            "type": "array",
                            "items": _object(
                                {
                                    "hour": {"type": "integer", "minimum": 0, "maximum": 167},
                                    "count": {"type": "number"},
                                    "moods": people_by_mood,
                                    "observed_h": {"type": "number"},
                                    "low": {"type": ["integer", "null"]},
                                    "high": {"type": ["integer", "null"]},
                                }
                            ),
                        },
                    }
                ),
                "Heartbeat": _object(
                    {
                        "sessionId": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": SESSION_ID_CHARACTERS_MAX,
                        },
                        "mood": mood,
                    },
                    optional=("mood",),
                ),
                "CompatPresence": _object(
                    {
                        "count": _WHOLE,
                        "moods": people_by_mood,
                        "users": {"type": "array", "maxItems": 0},
                        "countryCounts": {"type": "object", "maxProperties": 0},
                        "timestamp": _WHOLE,
                    }
                ),
                "CompatConfig": _object(
                    {
                        "sampleRate": {"type": "number"},
                        "heartbeatIntervalMs": _WHOLE,
                        "supportsWebSocket": {"type": "boolean"},
                        "version": _WHOLE,
                    }
                ),
                "Admin": _object(
                    {
                        "room": {"type": "object"},
                        "rooms": {"type": "array", "items": {"type": "object"}},
                        "nodes": {"type": "array", "items": {"type": "object"}},
                        "store": {"type": "object"},
                        "totals": {"type": "object"},
                        "refusals": {"type": "object"},
                        "sockets": _WHOLE,
                        "sockets_max": _WHOLE,
                        "now_ms": _WHOLE,
                        "started_at_ms": _WHOLE,
                    }
                ),
                "Ok": _object({"ok": {"const": True}}),
                "Error": _object({"error": _object({"code": text, "message": text, "status": _WHOLE})}),
            },
        },
    }
