"""The schema that asks for a quote with each field."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from batchata.core.citing import split_quotes, with_quotes
from batchata.core.parse import Parsed, parse_answer
from batchata.core.schema import Dialect, normalise


class Item(BaseModel):
    name: str
    price: float


class Party(BaseModel):
    name: str
    city: str | None = None


class Invoice(BaseModel):
    vendor: Party
    buyer: Party | None = None
    items: list[Item]
    tags: list[str]
    kind: Literal["a", "b"]
    total: float = Field(alias="grandTotal")


class Card(BaseModel):
    type: Literal["card"]
    digits: str


class Cash(BaseModel):
    type: Literal["cash"]
    till: int


class Payment(BaseModel):
    by: Card | Cash


class Node(BaseModel):
    name: str
    children: list[Node]


ANSWER: dict[str, Any] = {
    "vendor": {"name": "Acme", "city": None},
    "buyer": None,
    "items": [{"name": "Bolt", "price": 1.1}],
    "tags": ["x"],
    "kind": "a",
    "grandTotal": 1.1,
}
QUOTES: dict[str, Any] = {
    "vendor": {"name": "ACME Corp", "city": ""},
    "buyer": {"name": "", "city": ""},
    "items": [{"name": "Bolt", "price": "1.10"}],
    "tags": ["x"],
    "kind": "",
    "grandTotal": "Total 1.10",
}


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("model", [Invoice, Party, Payment])
def test_strict_modes_take_the_schema(model: type[BaseModel], dialect: Dialect) -> None:
    normalised = normalise(with_quotes(model), dialect=dialect)

    assert set(normalised.schema["properties"]) == {"answer", "quotes"}


def test_a_model_that_contains_itself_has_quotes_too() -> None:
    normalised = normalise(with_quotes(Node), dialect="openai")

    assert normalised.schema["required"] == ["answer", "quotes"]


def test_a_schema_that_refers_to_its_own_root_is_put_right() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["n", "next"],
        "additionalProperties": False,
    }

    found = with_quotes(schema)

    assert normalise(found, dialect="openai").schema["required"] == ["answer", "quotes"]
    text = (
        '{"answer":{"n":1,"next":{"n":2,"next":null}},'
        '"quotes":{"n":"one","next":{"n":"two","next":null}}}'
    )
    assert isinstance(parse_answer(text, schema=found), Parsed)


def test_quotes_have_the_same_objects_and_lists_as_the_answer() -> None:
    parsed = parse_answer(
        str({"answer": ANSWER, "quotes": QUOTES}).replace("'", '"').replace("None", "null"),
        schema=with_quotes(Invoice),
    )

    assert isinstance(parsed, Parsed), parsed


def test_the_answer_and_its_quotes_are_parted_by_field_path() -> None:
    answer, quotes = split_quotes({"answer": ANSWER, "quotes": QUOTES}, model=Invoice)

    assert answer == ANSWER
    assert quotes == {
        "vendor.name": "ACME Corp",
        "items[0].name": "Bolt",
        "items[0].price": "1.10",
        "tags[0]": "x",
        "total": "Total 1.10",
    }


@pytest.mark.parametrize("value", [None, 5, [], {"total": 5}, {"answer": 1, "other": 2}, "text"])
def test_another_value_is_an_answer_without_quotes(value: Any) -> None:
    assert split_quotes(value) == (value, {})
