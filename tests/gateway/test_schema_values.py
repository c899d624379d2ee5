"""Values made for JSON schemas, read back by the models the schemas came from."""

import re
from datetime import date, datetime
from enum import Enum
from random import Random
from typing import Annotated, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, HttpUrl

from batchata.gateway.sandbox.input_tokens import input_tokens
from batchata.gateway.sandbox.pattern_values import text_matching
from batchata.gateway.sandbox.schema_rules import anthropic_fault, openai_fault
from batchata.gateway.sandbox.schema_values import BadSchemaError, SchemaValues
from batchata.gateway.wire.openai import CHAT


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Tree(BaseModel):
    name: str
    children: list["Tree"] = Field(min_length=0)
    parent: "Tree | None"


class Line(BaseModel):
    sku: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{4}$")]
    amount: Annotated[int, Field(ge=1, le=3)]
    price: Annotated[float, Field(gt=0, lt=1)]
    even: Annotated[int, Field(multiple_of=2, ge=11)]


class Everything(BaseModel):
    kind: Literal["invoice"]
    colour: Colour
    lines: Annotated[list[Line], Field(min_length=2, max_length=3)]
    day: date
    moment: datetime
    key: UUID
    site: HttpUrl
    short: Annotated[str, Field(max_length=4)]
    long: Annotated[str, Field(min_length=40)]
    either: int | str | None
    pair: tuple[int, str]
    extra: dict[str, int] = {}
    low: Annotated[int, Field(lt=-5)]
    tags: set[Colour] = set()


@pytest.mark.parametrize("model", [Tree, Everything])
def test_a_value_fits_the_model_its_schema_came_from(model: type[BaseModel]) -> None:
    values = SchemaValues(model.model_json_schema())

    for seed in range(200):
        model.model_validate(values.value(seed))


def test_the_same_seed_makes_the_same_value_and_others_differ() -> None:
    values = SchemaValues(Everything.model_json_schema())

    assert values.value(5) == values.value(5)
    assert len({str(values.value(seed)) for seed in range(50)}) > 40


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{2,5}$",
        r"^(cat|dog)s?$",
        r"^\d{3}-\w+$",
        r"a.c",
        r"^[^a-z]+$",
        r"^\+?[0-9 ]{7,}$",
        r"x*",
    ],
)
def test_a_text_matches_its_pattern(pattern: str) -> None:
    random = Random(1)

    for _ in range(50):
        assert re.search(pattern, text_matching(pattern, random.randrange))


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/none"}, {"enum": []}, {"properties": []}])
def test_a_broken_schema_is_an_error_of_its_own(schema: dict[str, object]) -> None:
    with pytest.raises(BadSchemaError):
        SchemaValues(
            {"type": "object", "required": ["a"], "properties": {"a": schema}} | schema
        ).value(1)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (b'{"type":"object","properties":{},"required":[],"additionalProperties":false}', None),
        (b'{"type":"array"}', "schema must be a JSON Schema of 'type: \"object\"'"),
        (b'{"type":"object","properties":{},"required":[]}', "'additionalProperties' is required"),
        (b'{"type":"object","additionalProperties":false,"properties":{"a":{}}}', "Missing 'a'"),
        (b'{"type":"object","additionalProperties":false,"allOf":[]}', "'allOf' is not permitted"),
    ],
)
def test_openais_rules_for_schemas(schema: bytes, says: str | None) -> None:
    found = openai_fault(schema)

    assert found is None if says is None else says in (found or "")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (
            b'{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}}}',
            None,
        ),
        (b'{"type":"integer","minimum":3}', "'minimum' is not supported"),
        (
            b'{"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"}]}},"anyOf":[{"$ref":"#/$defs/a"}]}',
            "Recursive schemas",
        ),
    ],
)
def test_anthropics_rules_for_schemas(schema: bytes, says: str | None) -> None:
    found = anthropic_fault(schema)

    assert found is None if says is None else says in (found or "")


@pytest.mark.parametrize("text", ["", "a", "hello world", "ünïcödé ✓", "日本語" * 50])
def test_input_tokens_never_exceed_the_bytes_of_the_text(text: str) -> None:
    body = f'{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}'.encode()

    tokens = input_tokens(CHAT.decode(body))

    assert (1 if text else 0) <= tokens <= len(text.encode())
