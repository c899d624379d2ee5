from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from batchata.core.parse import Parsed, parse_answer, value_of
from batchata.core.result import Failure, Reason

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=15,
)


class Item(BaseModel):
    name: str
    price: float = Field(ge=0)


class Bill(BaseModel):
    total: Decimal
    items: list[Item]


GOOD = '{"total": 12.10, "items": [{"name": "a", "price": 1}]}'


def parsed(text: str, **how: Any) -> Parsed:
    found = parse_answer(text, **how)
    assert isinstance(found, Parsed), found
    return found


def failure(text: str, **how: Any) -> str:
    found = parse_answer(text, **how)
    assert isinstance(found, Failure), found
    assert found.reason is Reason.INVALID_ANSWER
    return found.message


def test_a_good_answer_gives_the_model_and_its_own_digits() -> None:
    found = parsed(GOOD, model=Bill)

    assert found.value == Bill(total=Decimal("12.10"), items=[Item(name="a", price=1)])
    assert found.json == b'{"total":12.10,"items":[{"name":"a","price":1}]}'
    assert not found.is_repaired


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}```",
        f"\n\ufeff{GOOD}\n",
        f"  ```JSON\n{GOOD}\n```\n\n",
        f"\ufeff```json\r\n{GOOD}\r\n```",
    ],
)
def test_a_fence_or_a_byte_order_mark_is_taken_off_and_said(text: str) -> None:
    found = parsed(text, model=Bill)

    assert found.is_repaired
    assert found.value.total == Decimal("12.10")


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is: {GOOD}",
        f"{GOOD} I hope it helps.",
        f"Sure!\n```json\n{GOOD}\n```",
        GOOD[:-3],
        GOOD.replace('"', "'"),
        GOOD[:-1] + ",}",
        "",
        "```",
        "``````",
        "null and void",
    ],
)
def test_what_could_only_be_guessed_is_a_failure(text: str) -> None:
    assert "cannot be read" in failure(text, model=Bill)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("how", [{"model": Item}, {"schema": {"type": "object"}}, {}])
def test_what_is_no_number_is_a_failure(number: str, how: dict[str, Any]) -> None:
    assert "no JSON" in failure(f'{{"name": "NaN", "price": {number}}}', **how)


class Rates(BaseModel):
    name: str
    rates: list[dict[str, float]]


@pytest.mark.parametrize("word", ["NaN", "nan", "Infinity", "-inf"])
def test_a_word_that_pydantic_takes_for_a_float_is_a_failure(word: str) -> None:
    said = {"name": "NaN", "rates": [{"a": 1.5}, {"b": word}]}

    assert "rates[1].b: it is not a number" in failure(json.dumps(said), model=Rates)


def test_a_text_may_be_any_word() -> None:
    found = parse_answer('{"name":"NaN","rates":[]}', model=Rates)

    assert isinstance(found, Parsed)
    assert found.value == Rates(name="NaN", rates=[])


def test_the_first_fields_that_do_not_fit_are_named() -> None:
    items = [{"name": 1, "price": -1}, {"price": 5}, {"name": "x", "price": "?"}]

    message = failure(json.dumps({"total": 1, "items": items}), model=Bill)

    assert "the answer does not fit Bill: items[0].name: " in message
    assert "(got 1); items[0].price: " in message
    assert message.endswith("and 1 more")


class NotOurNameError(Exception):
    """An error of the user's own, of no kind that pydantic expects."""


@pytest.mark.parametrize("error", [KeyError, ZeroDivisionError, NotOurNameError])
def test_a_validator_that_breaks_fails_the_answer_and_nothing_else(
    error: type[Exception],
) -> None:
    class Fragile(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def look(cls, value: str) -> str:
            raise error(value)

    assert error.__name__ in failure('{"name": "x"}', model=Fragile)


def test_ten_megabytes_are_read_or_refused_with_a_short_message() -> None:
    good = '{"name": "' + "x" * 10_000_000 + '", "price": 1}'
    bad = "[" + ",".join(["{}"] * 200_000) + "]"

    assert len(parsed(good, model=Item).value.name) == 10_000_000
    assert len(failure(good, schema={"properties": {"name": {"maxLength": 5}}})) < 300
    assert len(failure("x" * 10_000_000, model=Item)) < 300
    assert "200000 problems" in failure(
        '{"total": 1, "items": [' + "1," * 199_999 + "1]}", model=Bill
    )
    assert len(failure(bad, schema={"items": {"required": ["a"]}})) < 300


@pytest.mark.parametrize("how", [{"model": Item}, {"schema": {}}])
@pytest.mark.parametrize("depth", [900, 100_000])
def test_deep_nesting_is_no_crash(how: dict[str, Any], depth: int) -> None:
    found = parse_answer("[" * depth + "]" * depth, **how)

    assert isinstance(found, (Failure, Parsed))


def test_half_a_character_is_a_failure() -> None:
    assert failure('{"name": "\ud800", "price": 1}', model=Item)
    assert failure('{"name": "\\ud800", "price": 1}', model=Item)


def test_a_long_number_keeps_its_digits_without_a_model() -> None:
    found = parsed('{"id": 123456789012345678901234567890}', schema={"type": "object"})

    assert found.value == {"id": 123456789012345678901234567890}
    assert found.json == b'{"id":123456789012345678901234567890}'


SCHEMA = {
    "title": "Order",
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^A", "minLength": 2},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "rate": {"type": ["number", "null"], "exclusiveMinimum": 0, "multipleOf": 0.1},
        "kind": {"enum": ["x", "y", 1]},
        "flag": {"const": True},
        "tree": {"$ref": "#/$defs/Tree"},
        "either": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]},
        "list": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
    },
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"id": "B1"}, "id: 'B1' does not match '^A'"),
        ({"id": "A"}, "id: 1 characters, at least 2"),
        ({"id": 5}, "id: 5 is not string"),
        ({"count": 0}, "count: 0 breaks minimum 1"),
        ({"count": 10}, "count: 10 breaks maximum 9"),
        ({"count": True}, "count: True is not integer"),
        ({"count": 1.5}, "count: 1.5 is not integer"),
        ({"rate": 0}, "rate: 0 breaks exclusiveMinimum 0"),
        ({"rate": 0.25}, "rate: 0.25 breaks multipleOf 0.1"),
        ({"rate": "x"}, "rate: 'x' is not number or null"),
        ({"kind": "z"}, "kind: 'z' is none of ['x', 'y', 1]"),
        ({"kind": True}, "kind: True is none of"),
        ({"flag": 1}, "flag: 1 is not True"),
        ({"tree": {"below": [{}, {"below": [{"odd": 1}]}]}}, "tree.below[1].below[0].odd: no such"),
        ({"either": [1, "x"]}, "either[1]: 'x' is not integer"),
        ({"list": []}, "list: 0 items, at least 1"),
        ({"list": ["a", "b", "c"]}, "list: 3 items, at most 2"),
        ({"extra": 1}, "extra: no such field"),
    ],
)
def test_a_value_that_breaks_the_schema_is_named_by_its_path(
    more: dict[str, Any], message: str
) -> None:
    text = json.dumps({"id": "A1", **more})

    assert f"does not fit Order: {message}" in failure(text, schema=SCHEMA)


def test_a_missing_field_is_named() -> None:
    assert "id: missing" in failure("{}", schema=SCHEMA)


def test_a_value_that_fits_every_rule_is_parsed() -> None:
    value = {
        "id": "A1",
        "count": 2.0,
        "rate": 0.3,
        "kind": "x",
        "flag": True,
        "tree": {"below": [{"below": []}]},
        "either": [1, 2],
        "list": ["a"],
    }

    assert parsed(json.dumps(value), schema=SCHEMA).value == value


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, {"$ref": "#/gone"}]
)
def test_a_reference_that_leads_nowhere_is_no_crash(schema: dict[str, Any]) -> None:
    assert isinstance(parse_answer("[1]", schema=schema), (Failure, Parsed))


@given(JSON)
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    found = parsed(json.dumps(value, indent=2))

    assert found.value == value
    assert orjson.loads(found.json) == value


@given(st.text())
def test_any_text_is_parsed_or_a_failure(text: str) -> None:
    assert isinstance(parse_answer(text, model=Item), (Failure, Parsed))
    assert isinstance(parse_answer(text, schema=SCHEMA), (Failure, Parsed))


@pytest.mark.parametrize("text", ["12345678901234567890123", '{"a":[-9007199254740993,0.1]}', "{}"])
def test_what_is_kept_of_an_answer_is_read_back_digit_for_digit(text: str) -> None:
    assert value_of(parsed(text).json) == json.loads(text)
