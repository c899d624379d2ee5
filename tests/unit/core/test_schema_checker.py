from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from thoroughness import how_often

from batchata.core.parse import Parsed, parse_answer
from batchata.core.schema_checker import Checker, checker_of
from batchata.core.schema_violations import violations

WORDS = st.sampled_from(["a", "b", "A", "long word"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 2.0]) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array", "?"])
LEAVES = (
    st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(0, 3),
            "pattern": st.sampled_from(["^a", "b$", "(?P<bad"]),
            "minimum": st.integers(-2, 2),
            "exclusiveMaximum": st.integers(-2, 2),
            "multipleOf": st.sampled_from([1, 0.5]),
            "$ref": st.sampled_from(["#/$defs/One", "#/$defs/Gone", "#"]),
        },
    )
    | st.booleans()
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, max_size=2),
        },
    ),
    max_leaves=6,
)


@settings(max_examples=how_often(300))
@given(VALUES, SCHEMAS, LEAVES)
def test_the_quick_check_and_the_one_that_explains_agree(value: Any, schema: Any, one: Any) -> None:
    whole = {**(schema if isinstance(schema, dict) else {"allOf": [schema]}), "$defs": {"One": one}}

    try:
        slow = violations(value, whole, most=1)
    except RecursionError:
        return  # a schema that refers to itself without end

    assert Checker(whole).fits(value) is (not slow)
    assert Checker(whole).violations(value, most=1) == slow


def test_a_checker_is_made_once_for_a_schema() -> None:
    assert checker_of('{"type": "string"}') is checker_of('{"type": "string"}')


class Item(BaseModel):
    name: str
    quantity: int
    price: float
    kind: str | None


class Bill(BaseModel):
    number: str
    vendor: str
    total: float
    paid: bool
    items: list[Item]


def calls_of(work: Callable[[], object]) -> int:
    """How many functions are called, which does not depend on the machine as a time does."""
    count = 0

    def seen(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_an_everyday_answer_is_checked_at_a_fraction_of_the_slow_way() -> None:
    items = [{"name": f"Widget {n}", "quantity": n, "price": 9.5, "kind": None} for n in range(10)]
    bill = {"number": "INV-1", "vendor": "Acme", "total": 1, "paid": True, "items": items}
    text, schema = json.dumps(bill), Bill.model_json_schema()
    checker = Checker(schema)

    quick = calls_of(lambda: checker.fits(bill))
    slow = calls_of(lambda: violations(bill, schema))

    assert isinstance(parse_answer(text, schema=checker), Parsed)
    assert quick < slow / 5


def test_a_checked_answer_says_what_is_wrong_as_a_plain_schema_does() -> None:
    schema = Bill.model_json_schema()

    for text in ('{"number": 5}', "[]", '{"items": [{"price": "x"}]}'):
        assert parse_answer(text, schema=Checker(schema)) == parse_answer(text, schema=schema)
