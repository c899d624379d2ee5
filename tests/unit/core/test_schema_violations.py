"""What does not fit a JSON Schema, and where."""

from __future__ import annotations

from typing import Any

import pytest

from batchata.core.schema_violations import violations

DEFS = {"$defs": {"Count": {"type": "integer", "minimum": 1}}}
TEXT_OR_NULL = {"type": ["string", "null"]}
PRICED = {"type": "object", "properties": {"price": {"type": "number"}}}
TWO_FIELDS = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "schema", "said"),
    [
        (5, {"type": "string"}, "answer: 5 is not string"),
        (True, {"type": "integer"}, "answer: True is not integer"),
        (1.5, {"type": "integer"}, "answer: 1.5 is not integer"),
        (["a", None, 3], {"type": "array", "items": TEXT_OR_NULL}, "answer[2]: 3 is not string"),
        (
            [{"price": "x"}],
            {"type": "array", "items": PRICED},
            "answer[0].price: 'x' is not number",
        ),
        ({"a": "x"}, TWO_FIELDS, "b: missing"),
        ({"a": 1, "b": 1}, TWO_FIELDS, "a: 1 is not string"),
        ({"a": "x", "b": 1, "c": 1}, TWO_FIELDS, "c: no such field"),
        ([1, 2, 3], {"maxItems": 2}, "answer: 3 items, at most 2"),
        ([], {"minItems": 1}, "answer: 0 items, at least 1"),
        ("abc", {"maxLength": 2}, "answer: 3 characters, at most 2"),
        ("abc", {"pattern": "^b"}, "answer: 'abc' does not match '^b'"),
        (0, {"$ref": "#/$defs/Count"}, "answer: 0 breaks minimum 1"),
        ("c", {"enum": ["a", "b"]}, "answer: 'c' is none of ['a', 'b']"),
        (True, {"enum": [1]}, "answer: True is none of [1]"),
        (1, {"const": 2}, "answer: 1 is not 2"),
        (7, {"multipleOf": 2}, "answer: 7 breaks multipleOf 2"),
        (7, {"exclusiveMaximum": 7}, "answer: 7 breaks exclusiveMaximum 7"),
        ("a", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "answer: 'a' is not integer"),
        (3, {"allOf": [{"minimum": 2}, {"maximum": 2}]}, "answer: 3 breaks maximum 2"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(value: Any, schema: Any, said: str) -> None:
    found = violations(value, {**schema, **DEFS})

    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1.0, {"type": "integer"}),
        (1, {"type": "number"}),
        (7, {"maximum": 7}),
        (2, {"$ref": "#/$defs/Count"}),
        (["a", None], {"type": "array", "items": TEXT_OR_NULL}),
        ({"a": "x", "b": None}, TWO_FIELDS),
        (None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ([1, 2], {"minItems": 2, "maxItems": 2}),
    ],
)
def test_what_fits_is_left_in_peace(value: Any, schema: Any) -> None:
    assert violations(value, {**schema, **DEFS}) == []


def test_only_the_first_places_are_named() -> None:
    whole = {"type": "array", "items": {"type": "string"}}

    assert violations([1, 2, 3], whole, most=2) == [
        "answer[0]: 1 is not string",
        "answer[1]: 2 is not string",
    ]
