from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from batchata.core.errors import ValidationError
from batchata.core.schema import Dialect, normalise
from batchata.core.schema_violations import violations

BOTH = pytest.mark.parametrize("dialect", ["openai", "anthropic"])
T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    name: str = Field(min_length=1, max_length=50, description="what was sold")
    price: float = Field(ge=0, le=1_000_000)
    tags: list[str] = Field(default_factory=list, max_length=5)


class Invoice(BaseModel):
    """One invoice."""

    model_config = ConfigDict(title="Bill")

    zebra: str
    issued: date
    paid_at: datetime | None = None
    total: Decimal
    colour: Colour = Colour.RED
    kind: Literal["a", "b"]
    first: Line = Field(description="the first line")
    lines: list[Line]


class Node(BaseModel):
    name: str
    children: list[Node]
    best: Node | None = Field(default=None, description="the best child")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


def build(**fields: Any) -> type[BaseModel]:
    from pydantic import create_model

    made: type[BaseModel] = create_model(
        "Made", **{name: (kind, ...) for name, kind in fields.items()}
    )  # type: ignore[call-overload]
    return made


def nodes(schema: Any) -> list[dict[str, Any]]:
    """Every schema below, never the mappings of names in between."""
    found = [schema]
    for each in (
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", ()),
        *schema.get("$defs", {}).values(),
        *([schema["items"]] if "items" in schema else ()),
    ):
        found += nodes(each)
    return found


@BOTH
def test_fields_keep_their_order_and_only_keywords_of_the_subset_are_left(
    dialect: Dialect,
) -> None:
    found = normalise(Invoice, dialect=dialect).schema

    assert list(found["properties"])[:3] == ["zebra", "issued", "paid_at"]
    for node in nodes(found):
        assert not {"title", "default", "minLength", "maxLength", "allOf", "oneOf"} & set(node)
        if "properties" in node:
            assert node["additionalProperties"] is False
        if "$ref" in node:
            assert set(node) == {"$ref"}
    assert found["properties"]["issued"] == {"type": "string", "format": "date"}
    assert found["properties"]["kind"] == {"type": "string", "enum": ["a", "b"]}


@BOTH
def test_the_same_model_always_gives_the_same_schema(dialect: Dialect) -> None:
    assert repr(normalise(Invoice, dialect=dialect)) == repr(normalise(Invoice, dialect=dialect))


def test_openai_gets_every_field_required_and_optional_ones_stay_as_nullable_as_they_were() -> None:
    found = normalise(Invoice, dialect="openai").schema

    assert found["required"] == list(Invoice.model_fields)
    assert found["properties"]["paid_at"]["anyOf"][1] == {"type": "null"}
    assert "anyOf" not in found["properties"]["colour"]


def test_anthropic_keeps_optional_fields_optional() -> None:
    found = normalise(Invoice, dialect="anthropic").schema

    assert found["required"] == ["zebra", "issued", "total", "kind", "first", "lines"]


def test_openai_keeps_limits_of_numbers_and_lists_and_tells_those_of_text() -> None:
    line = normalise(Line, dialect="openai").schema["properties"]

    assert line["price"] == {"type": "number", "minimum": 0, "maximum": 1_000_000}
    assert line["tags"]["maxItems"] == 5
    assert line["name"]["description"] == "what was sold (minLength 1, maxLength 50)"


def test_anthropic_is_told_every_limit_in_words() -> None:
    line = normalise(Line, dialect="anthropic").schema["properties"]

    assert line["price"] == {"type": "number", "description": "(minimum 0, maximum 1000000)"}
    assert line["tags"] == {
        "type": "array",
        "description": "(maxItems 5)",
        "items": {"type": "string"},
    }


@BOTH
def test_a_described_reference_is_written_out_and_a_plain_one_stays(dialect: Dialect) -> None:
    found = normalise(Invoice, dialect=dialect).schema["properties"]

    assert found["first"]["description"] == "the first line"
    assert found["first"]["type"] == "object"
    assert found["lines"]["items"] == {"$ref": "#/$defs/Line"}


def test_recursion_works_on_openai() -> None:
    found = normalise(Node, dialect="openai").schema

    assert found["type"] == "object"
    assert found["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert "Node" in found["$defs"]


def test_recursion_is_an_error_on_anthropic_that_names_the_field() -> None:
    with pytest.raises(ValidationError, match=r"children\[\]"):
        normalise(Node, dialect="anthropic")


@BOTH
def test_a_tagged_union_becomes_anyof(dialect: Dialect) -> None:
    pet = normalise(Pet, dialect=dialect).schema["properties"]["pet"]

    assert pet == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}


@BOTH
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"tags": dict[str, str]}, "tags"),
        ({"tags": dict[str, Any]}, "tags"),
        ({"tags": dict}, "tags"),
        ({"lines": list[dict[str, int]]}, r"lines\[\]"),
        ({"thing": Any}, "thing"),
        ({"things": list[Any]}, r"things\[\]|things"),
        ({"things": list}, "things"),
        ({"pair": tuple[int, str]}, "pair"),
        ({"inner": build(deep=dict[str, int])}, "inner.deep"),
    ],
)
def test_what_cannot_be_said_is_an_error_that_names_the_field(
    dialect: Dialect, fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(ValidationError, match=f"^{path}: ") as caught:
        normalise(build(**fields), dialect=dialect)

    assert caught.value.hint


@BOTH
@pytest.mark.parametrize(
    "source",
    [
        RootModel[list[int]],
        RootModel[Cat | Dog],
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"type": "object", "properties": {}},
        {},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$ref": "https://a.example/schema.json"},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/None"}}},
        {"type": "object", "properties": {"a": {"type": "text"}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"anyOf": []}}},
        {"type": "object", "properties": {"a": {"type": "string", "not": {"const": "x"}}}},
        {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}], "minLength": 1}}},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": "5"}}},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["b"]},
        type("Empty", (BaseModel,), {}),
        int,
    ],
)
def test_a_schema_that_no_vendor_takes_is_an_error_with_a_hint(
    dialect: Dialect, source: Any
) -> None:
    with pytest.raises(ValidationError) as caught:
        normalise(source, dialect=dialect)

    assert caught.value.hint


def test_a_type_that_json_cannot_hold_is_our_error() -> None:
    class Odd(BaseModel):
        call: Callable[[], int]

    with pytest.raises(ValidationError, match="Odd has no JSON Schema"):
        normalise(Odd, dialect="openai")


@BOTH
def test_a_field_may_be_called_like_a_keyword(dialect: Dialect) -> None:
    found = normalise(build(title=str, default=int, items=list[str]), dialect=dialect).schema

    assert list(found["properties"]) == ["title", "default", "items"]


@BOTH
def test_patterns_with_look_around_are_left_to_the_local_check(dialect: Dialect) -> None:
    class Money(BaseModel):
        hard: str = Field(json_schema_extra={"pattern": "^(?!x)a"})
        plain: str = Field(pattern="^[a-z]+$")

    found = normalise(Money, dialect=dialect).schema["properties"]

    assert "pattern" not in found["hard"]
    assert found["plain"]["pattern"] == "^[a-z]+$"


@BOTH
def test_definitions_of_an_older_dialect_are_found(dialect: Dialect) -> None:
    schema = {
        "title": "My answer!",
        "type": "object",
        "properties": {
            "a": {"$ref": "#/definitions/A"},
            "b": {"allOf": [{"$ref": "#/definitions/A"}]},
        },
        "definitions": {"A": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    }

    found = normalise(schema, dialect=dialect)

    assert found.name == "My_answer_"
    assert found.schema["properties"]["a"] == {"$ref": "#/$defs/A"}
    assert "definitions" not in found.schema


def test_names_fit_the_vendors_rule() -> None:
    class Box(BaseModel, Generic[T]):
        value: T

    assert normalise(Box[list[int]], dialect="openai").name.startswith("Box_list_int")
    assert normalise({**Cat.model_json_schema(), "title": "x" * 90}, dialect="openai").name == (
        "x" * 64
    )


@pytest.mark.parametrize(
    ("dialect", "fields", "what"),
    [
        ("anthropic", {f"f{i}": int | None for i in range(17)}, "17 unions"),
        ("openai", {"e": Literal[tuple(str(i) for i in range(1001))]}, "1001 enum values"),
        ("openai", {"e": Literal[tuple("x" * 90 + str(i) for i in range(300))]}, "in one enum"),
        ("openai", {f"f{i}": int for i in range(5001)}, "5001 fields"),
    ],
)
def test_more_than_the_vendor_takes_is_an_error(
    dialect: Dialect, fields: dict[str, Any], what: str
) -> None:
    with pytest.raises(ValidationError, match=what):
        normalise(build(**fields), dialect=dialect)


def test_too_many_optional_fields_are_an_error_on_anthropic() -> None:
    fields = {f"f{i}": {"type": "string"} for i in range(25)}

    with pytest.raises(ValidationError, match="25 optional fields"):
        normalise({"type": "object", "properties": fields}, dialect="anthropic")


@pytest.mark.parametrize("levels", [10, 11])
def test_openai_takes_ten_levels_of_objects(levels: int) -> None:
    made = build(x=int)
    for _ in range(levels - 1):
        made = build(inner=made)

    if levels == 10:
        assert normalise(made, dialect="openai")
    else:
        with pytest.raises(ValidationError, match="11 levels"):
            normalise(made, dialect="openai")


def test_models_of_a_union_that_begin_alike_are_an_error_on_openai() -> None:
    left, right = build(name=str, x=int), build(name=str, y=int)

    with pytest.raises(ValidationError, match="both begin with the field 'name'"):
        normalise(build(either=left | right), dialect="openai")


@BOTH
def test_a_decimal_as_text_has_nothing_but_digits(dialect: Dialect) -> None:
    found = normalise(build(price=Decimal, least=Decimal | None), dialect=dialect).schema

    for name in ("price", "least"):
        (text,) = [c for c in found["properties"][name]["anyOf"] if c["type"] == "string"]
        assert re.search(text["pattern"], "-1234.50")
        assert not re.search(text["pattern"], "$1,234.50")


@BOTH
def test_an_instance_of_the_model_fits_the_normalised_schema(dialect: Dialect) -> None:
    line = Line(name="x", price=1)
    invoice = Invoice(
        zebra="z",
        issued=date(2026, 1, 2),
        total=Decimal("1.50"),
        kind="a",
        first=line,
        lines=[line],
    )

    assert (
        violations(invoice.model_dump(mode="json"), normalise(Invoice, dialect=dialect).schema)
        == []
    )
