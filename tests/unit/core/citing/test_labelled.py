"""Labelled lines: the instruction, and back to the fields."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from thoroughness import how_often

from batchata.core.citing import CitedBlock, labelled_prompt, map_citations, parse_labelled
from batchata.core.parse import Parsed
from batchata.core.result import Citation, Failure, Reason


class State(Enum):
    OPEN = "in-progress"
    DONE = "done"


class Item(BaseModel):
    name: str
    quantity: int
    price: Decimal


class Party(BaseModel):
    name: str
    city: str | None = None


class Order(BaseModel):
    vendor: Party
    buyer: Party | None = None
    items: list[Item] = []
    tags: list[str] = []
    total: float | None = Field(default=None, description="with tax")
    share: float | None = Field(default=None, le=1)
    due: date | None = None
    opens: time | None = None
    state: State | None = None
    kind: Literal["a", "b"] | None = None
    paid: bool | None = None
    code: int | str | None = None
    rates: dict[str, float] = {}


class Node(BaseModel):
    name: str
    children: list[Node] = []


def read(text: str) -> Any:
    found = parse_labelled(f"vendor.name: Acme\n{text}", Order)
    assert isinstance(found, Parsed), found
    return found.value


def test_the_instruction_has_a_line_for_each_field_with_its_type() -> None:
    lines = labelled_prompt(Order).splitlines()

    for line in (
        "vendor.name: <text>",
        "items[0].quantity: <whole number>",
        "items[0].price: <number>",
        "tags[0]: <text>",
        "total: <number> (with tax)",
        "due: <date>",
        "state: <one of [in-progress, done]>",
        "paid: <yes or no>",
        "rates.<name>: <number>",
    ):
        assert line in lines


def test_a_model_that_contains_itself_has_an_end() -> None:
    assert "children[0].children[0].name: <text>" in labelled_prompt(Node)


def test_a_flat_model_is_not_told_about_lists() -> None:
    assert "[0]" not in labelled_prompt(Party)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("total: 1234.5", "total", 1234.5),
        ("- **Total**: $1,234.50", "total", 1234.5),
        ("- **Total:** 1.234,50 EUR", "total", 1234.5),
        ("Total = (500)", "total", -500.0),
        ("total: 1.2 million", "total", 1_200_000.0),
        ("total: 12.5%", "total", 12.5),
        ("share: 12.5%", "share", 0.125),
        ("| total | 7 |", "total", 7.0),
        ("3. total: 7", "total", 7.0),
        ("total\uff1a7", "total", 7.0),
        ("total: none", "total", None),
        ("total: n/a", "total", None),
        ("due: 2024-03-15", "due", date(2024, 3, 15)),
        ("due: March 15, 2024", "due", date(2024, 3, 15)),
        ("due: 15. März 2024", "due", date(2024, 3, 15)),
        ("due: 15/03/2024", "due", date(2024, 3, 15)),
        ("due: 2024年3月15日", "due", date(2024, 3, 15)),
        ("opens: 3 pm", "opens", time(15)),
        ("opens: 15:30", "opens", time(15, 30)),
        ("state: In Progress", "state", State.OPEN),
        ("kind: `B`", "kind", "b"),
        ("paid: Yes.", "paid", True),
        ("paid: nein", "paid", False),
        ('tags: red, "green", blue', "tags", ["red", "green", "blue"]),
        ('tags: ["red", "green"]', "tags", ["red", "green"]),
        ("tags[0]: red\ntags[1]: green", "tags", ["red", "green"]),
        ("tags[1]: red\ntags[2]: green", "tags", ["red", "green"]),
        ("tags:\n- red\n- green", "tags", ["red", "green"]),
        ("tags: none", "tags", []),
        ("code: 12", "code", 12),
        ("code: 12-B", "code", "12-B"),
        ("rates.eur: 1.5\nrates.usd: 2", "rates", {"eur": 1.5, "usd": 2.0}),
        ("buyer: none", "buyer", None),
        ("buyer.name: none\nbuyer.city: none", "buyer", None),
        ("items: none", "items", []),
        ("items[0].name: none\nitems[0].quantity: none\nitems[0].price: none", "items", []),
    ],
)
def test_a_line_is_read_as_the_type_of_its_field(text: str, name: str, value: Any) -> None:
    assert getattr(read(text), name) == value


def test_items_several_in_a_line_and_numbers_to_the_digit() -> None:
    order = read(
        "items[0].name: Bolt, long; items[0].quantity: 1,000; items[0].price: $0.10\n"
        "items[1].name: Nut | items[1].quantity: 20 pcs | items[1].price: 12345678901234567.89"
    )

    assert order.items == [
        Item(name="Bolt, long", quantity=1000, price=Decimal("0.10")),
        Item(name="Nut", quantity=20, price=Decimal("12345678901234567.89")),
    ]


def test_headings_give_their_path_to_the_lines_under_them() -> None:
    found = parse_labelled("Vendor:\n  Name: Zed\n  City: Ulm\n\nBuyer:\n- name: Yan\n", Order)

    assert isinstance(found, Parsed)
    assert found.value.vendor == Party(name="Zed", city="Ulm")
    assert found.value.buyer == Party(name="Yan")


def test_a_text_keeps_its_colons_commas_and_further_lines() -> None:
    found = parse_labelled("name: Acme: the firm, total: none of it\nand sons", Party)

    assert isinstance(found, Parsed)
    assert found.value.name == "Acme: the firm, total: none of it and sons"


def test_words_around_the_lines_do_no_harm() -> None:
    found = parse_labelled("Here is what I found:\n\nname: Acme\ncity: Ulm\n", Party)

    assert isinstance(found, Parsed)
    assert found.value == Party(name="Acme", city="Ulm")


def test_json_is_taken_when_the_model_answers_with_it_all_the_same() -> None:
    found = parse_labelled('```json\n{"name": "Acme"}\n```', Party)

    assert isinstance(found, Parsed)
    assert found.value == Party(name="Acme")


def test_a_json_schema_gives_plain_values() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "when": {"type": "string", "format": "date"}},
        "required": ["n"],
    }

    found = parse_labelled("n: 5\nwhen: 1 May 2024", schema)

    assert isinstance(found, Parsed)
    assert found.value == {"n": 5, "when": "2024-05-01"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no labelled line"),
        ("I cannot help with that.", "no labelled line"),
        ("city: Ulm", "name"),
        ("name: A\nname: B", "'A' and 'B'"),
    ],
)
def test_what_cannot_be_read_is_a_failure_that_says_why(text: str, said: str) -> None:
    found = parse_labelled(text, Party)

    assert isinstance(found, Failure)
    assert found.reason is Reason.INVALID_ANSWER
    assert said in found.message


def test_a_date_that_could_be_two_days_is_not_guessed() -> None:
    found = parse_labelled("vendor.name: A\ndue: 03/04/2024", Order)

    assert isinstance(found, Failure)
    assert "due" in found.message


def test_fields_and_citations_come_from_one_answer() -> None:
    acme = Citation(text="ACME Corp, Leeds", source="a.pdf", page=1)
    bolt = Citation(text="1,000 bolts at 0.10", source="a.pdf", page=2)
    blocks = [
        CitedBlock("vendor.name: "),
        CitedBlock("Acme Corp", (acme,)),
        CitedBlock("\nitems[0].name: "),
        CitedBlock("bolts", (bolt,)),
        CitedBlock("\nitems[0].quantity: "),
        CitedBlock("1000", (bolt,)),
        CitedBlock("\nitems[0].price: "),
        CitedBlock("0.10", (bolt,)),
        CitedBlock("\ntotal: none\n"),
    ]

    found = parse_labelled(blocks, Order)

    assert isinstance(found, Parsed)
    mapped = map_citations(blocks, found.value)
    assert {path: [each.page for each in got] for path, got in mapped.fields.items()} == {
        "vendor.name": [1],
        "items[0].name": [2],
        "items[0].quantity": [2],
        "items[0].price": [2],
    }
    assert {each.confidence for got in mapped.fields.values() for each in got} == {"high"}


@settings(max_examples=how_often(200), deadline=None)
@given(st.text(alphabet="vendor.nameitems[0] :;|-*\n\"'(),1%", max_size=80) | st.text(max_size=60))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    assert isinstance(parse_labelled(text, Order), Parsed | Failure)
