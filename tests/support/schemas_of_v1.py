"""Holds what was sent against the schemas of the wire."""

import functools
import json
from collections.abc import Iterable
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from breathing_room.hosts.common.http.message_schemas import CLIENT_MESSAGES, SERVER_MESSAGES
from breathing_room.hosts.common.http.schemas import EVERY
from breathing_room.hosts.common.http.shapes import Shape, json_schemas

REFERENCES = "#/$defs/"


@functools.cache
def validator(name: str, *, closed: bool = False, served_only: bool = True) -> Any:
    """Make the validator of a shape; ``closed`` refuses the keys that
    are not declared, as no receiver does.
    """
    defined = json_schemas(EVERY.values(), served_only=served_only, references=REFERENCES)
    if closed:
        for schema in defined.values():
            schema["additionalProperties"] = False
    return Draft202012Validator({"$ref": REFERENCES + name, "$defs": defined})


def validate(name: str, text: str | bytes, *, closed: bool = True) -> None:
    """Check a JSON text against a shape, in which nothing is sent that is not declared."""
    validator(name, closed=closed).validate(json.loads(text))


def by_type(shapes: Iterable[Shape]) -> dict[str, Shape]:
    """Sort messages by their type."""
    return {str(shape.fields[0].schema["const"]): shape for shape in shapes}


FROM_CLIENT = by_type(CLIENT_MESSAGES)
FROM_SERVER = by_type(SERVER_MESSAGES)


def validate_message(text: str | bytes, messages: dict[str, Shape]) -> None:
    """Check a message of a connection against the shape of its type."""
    validate(messages[json.loads(text)["type"]].name, text)
