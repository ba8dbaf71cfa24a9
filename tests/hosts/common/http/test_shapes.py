"""Shapes, and the JSON Schemas that follow from them."""

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from breathing_room.hosts.common.http.shapes import (
    Field,
    Schema,
    Shape,
    a,
    by_name,
    described_as,
    json_schema,
    json_schemas,
    list_of,
    one_of,
    row,
    text,
    type_is,
    whole,
)

GREETING = Shape(
    "Greeting",
    "a greeting",
    (
        type_is("greeting"),
        Field("name", text(low=1), "whom it greets", instead="title"),
        Field("title", text(), "how it greets", optional=True, served=False),
        Field("times", whole(high=3), "how often", optional=True),
        Field("place", a("Place", null=True), "where", served=False),
    ),
)
PLACE = Shape("Place", "a place", (Field("name", text(), "its name"),), served=False)


def test_what_is_served_is_described_alone() -> None:
    """The schema of what is served has no key that is not, and asks for every key that may not be absent."""
    assert json_schema(GREETING, served_only=True, references="#/x/") == {
        "type": "object",
        "description": "A greeting",
        "properties": {
            "type": {"const": "greeting", "description": "Always `greeting`"},
            "name": {"type": "string", "minLength": 1, "description": "Whom it greets"},
            "times": {"type": "integer", "minimum": 0, "maximum": 3, "description": "How often"},
        },
        "required": ["type", "name"],
    }
    assert json_schemas((GREETING, PLACE), served_only=True, references="").keys() == {"Greeting"}


def test_what_is_not_yet_served_is_marked_and_may_be_absent() -> None:
    """
    The schema of the whole says of each key that is not served that it is not, asks for none of them, and
    takes a key or the one in its place.
    """
    schema = json_schema(GREETING, served_only=False, references="#/x/")
    assert schema["properties"]["title"]["description"] == "Not yet served. How it greets"
    assert schema["properties"]["place"]["anyOf"] == [{"$ref": "#/x/Place"}, {"type": "null"}]
    assert schema["required"] == ["type"]
    assert schema["allOf"] == [{"anyOf": [{"required": ["name"]}, {"required": ["title"]}]}]
    assert (
        json_schemas((PLACE,), served_only=False, references="")["Place"]["description"]
        == "Not yet served. A place"
    )
    assert described_as("`x` is", served=True) == "`x` is"


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (text(), ["", "x"], [1, None]),
        (text(pattern="[a-z]+"), ["abc"], ["", "A", "a1"]),
        (text(low=1, high=2, null=True), ["a", None], ["", "abc"]),
        (whole(), [0, 2**53], [-1, 2**53 + 1, 1.5, "1", None, True]),
        (whole(low=1, high=9, null=True), [1, 9, None], [0, 10]),
        (one_of("a", "b"), ["a", "b"], ["c", None]),
        (list_of(whole(), high=2), [[], [1, 2]], [[1, 2, 3], ["a"], 1]),
        (row(("low", whole()), ("high", whole(null=True)), null=True), [[1, 2], [1, None], None], [[1], [1, 2, 3], [None, 1]]),
        (by_name(whole(), names="[a-z]+"), [{}, {"a": 1}], [{"A": 1}, {"a": "1"}, []]),
        (type_is("x").schema, ["x"], ["y", None]),
    ],
)  # fmt: skip
def test_a_value_is_accepted_or_refused(schema: Schema, good: list[object], bad: list[object]) -> None:
    """Each kind of value is described so that its limits hold."""
    validator = Draft202012Validator(schema)
    assert [value for value in good if not validator.is_valid(value)] == []
    assert [value for value in bad if validator.is_valid(value)] == []
