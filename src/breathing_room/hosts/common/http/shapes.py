"""The shape of a JSON object on the wire, as a value, and the JSON Schema that follows from it.

``schemas.py`` declares every message and answer with these. From the same values come the components of
``openapi.py``, ``docs/reference/schemas/v1.json``, the tables of ``docs/reference/protocol.md`` and the types
of ``web/client/wire.d.ts`` (``scripts/reference.py`` writes the last three).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Schema: TypeAlias = dict[str, Any]

WHOLE_MAX: Final = 2**53
"""The greatest integer that every JSON parser holds exactly (RFC 8259, section 6)."""

NOT_YET_SERVED: Final = "Not yet served."
"""The beginning of the description of what clients must not rely on yet."""


@dataclass(frozen=True, slots=True)
class Field:
    """One key of an object.

    Attributes:
        name: The key.
        schema: The JSON Schema of its value.
        meaning: Its description, as Markdown without links, with the unit and what its absence means.
        optional: Whether it may be absent.
        served: Whether servers of this version send or read it; what is not served may always be absent.
        instead: Another key that may be there in place of this one; empty for none.
    """

    name: str
    schema: Schema
    meaning: str
    optional: bool = False
    served: bool = True
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A JSON object: a message, a body, an answer, or a part of one. Unknown keys are ignored.

    Attributes:
        name: The name of its schema.
        meaning: What it is.
        fields: Its keys.
        served: Whether servers of this version send or read it.
    """

    name: str
    meaning: str
    fields: tuple[Field, ...]
    served: bool = True


def text(*, pattern: str = "", low: int | None = None, high: int | None = None, null: bool = False) -> Schema:
    """Describe a string: by a pattern, or by how many characters it has."""
    limits: Schema = {"pattern": f"^{pattern}$"} if pattern else {}
    limits |= {} if low is None else {"minLength": low}
    limits |= {} if high is None else {"maxLength": high}
    return {"type": ["string", "null"] if null else "string", **limits}


def whole(*, low: int = 0, high: int = WHOLE_MAX, null: bool = False) -> Schema:
    """Describe a whole number."""
    return {"type": ["integer", "null"] if null else "integer", "minimum": low, "maximum": high}


def one_of(*words: str) -> Schema:
    """Describe a string that is one of a few."""
    return {"enum": list(words)}


def list_of(item: Schema, *, high: int | None = None) -> Schema:
    """Describe an array of one kind of value."""
    return {"type": "array", "items": item} | ({} if high is None else {"maxItems": high})


def row(*items: tuple[str, Schema], null: bool = False) -> Schema:
    """Describe an array with a fixed number of values (a tuple), each with a name for its reader."""
    return {
        "type": ["array", "null"] if null else "array",
        "prefixItems": [{"title": title, **item} for title, item in items],
        "minItems": len(items),
        "maxItems": len(items),
    }


def by_name(value: Schema, *, names: str = "") -> Schema:
    """Describe an object whose keys are names, of which a pattern may be given."""
    described = {"type": "object", "additionalProperties": value}
    return described | ({"propertyNames": {"pattern": f"^{names}$"}} if names else {})


def a(shape: str, *, null: bool = False) -> Schema:
    """Refer to another shape by its name."""
    reference = {"$ref": shape}
    return {"anyOf": [reference, {"type": "null"}]} if null else reference


def type_is(name: str) -> Field:
    """Declare the key ``type``, which identifies the message."""
    return Field("type", {"const": name}, f"always `{name}`")


def json_schema(shape: Shape, *, served_only: bool, references: str) -> Schema:
    """Describe a shape as a JSON Schema of draft 2020-12.

    Args:
        shape: The shape.
        served_only: Leave out the keys that are not served yet; otherwise their descriptions begin with
            ``NOT_YET_SERVED``.
        references: What stands before the names of other shapes, such as ``#/$defs/``.
    """
    fields = [field for field in shape.fields if field.served or not served_only]
    names = {field.name for field in fields}
    alternatives = [field for field in fields if field.instead in names]
    required = [
        field.name for field in fields if not field.optional and field.served and field not in alternatives
    ]
    described: Schema = {
        "type": "object",
        "description": described_as(shape.meaning, served=shape.served),
        "properties": {
            field.name: _resolved(field.schema, references)
            | {"description": described_as(field.meaning, served=field.served)}
            for field in fields
        },
        "required": required,
    }
    if alternatives:
        described["allOf"] = [
            {"anyOf": [{"required": [field.name]}, {"required": [field.instead]}]} for field in alternatives
        ]
    return described


def json_schemas(shapes: Iterable[Shape], *, served_only: bool, references: str) -> dict[str, Schema]:
    """Describe shapes as ``json_schema`` does, by name; with ``served_only``, those that are served."""
    return {
        shape.name: json_schema(shape, served_only=served_only, references=references)
        for shape in shapes
        if shape.served or not served_only
    }


def described_as(meaning: str, *, served: bool) -> str:
    """Return a description, marked where what it describes is not served yet."""
    sentence = meaning[0].upper() + meaning[1:]
    return sentence if served else f"{NOT_YET_SERVED} {sentence}"


def _resolved(schema: Any, references: str) -> Any:
    match schema:
        case Mapping():
            return {
                key: references + value if key == "$ref" else _resolved(value, references)
                for key, value in schema.items()
            }
        case list():
            return [_resolved(item, references) for item in schema]
        case _:
            return schema
