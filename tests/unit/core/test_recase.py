from __future__ import annotations

import json
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from batchata.core.answer_extra import extra_json
from batchata.core.parse import Parsed, parse_answer
from batchata.core.result import Answer, Failure
from batchata.core.schema_checker import Checker
from batchata.core.verdict import Verdict, verdict_of


class State(Enum):
    PAID = "paid"
    OPEN = "open"


class Card(BaseModel):
    kind: Literal["Card"]
    number: str


class Cash(BaseModel):
    kind: Literal["Cash"]
    amount: Decimal


class Line(BaseModel):
    state: State | None
    price: Decimal


class Bill(BaseModel):
    state: State
    method: Card | Cash
    lines: list[Line]


GOOD: dict[str, Any] = {
    "state": "paid",
    "method": {"kind": "Cash", "amount": 1.10},
    "lines": [{"state": None, "price": 12.10}, {"state": "open", "price": 1}],
}
OTHER = """{"state": "PAID", "method": {"kind": "cash", "amount": 1.10},
  "lines": [{"state": null, "price": 12.10}, {"state": " Open", "price": 1}]}"""
NOTES = (
    "state: 'PAID' taken as 'paid'",
    "method.kind: 'cash' taken as 'Cash'",
    "lines[1].state: ' Open' taken as 'open'",
)


def test_words_of_an_enum_in_another_case_are_read_and_said_and_no_digit_changes() -> None:
    found = parse_answer(OTHER, model=Bill)

    assert isinstance(found, Parsed), found
    assert found.value == Bill.model_validate(GOOD)
    assert b'"price":12.10' in found.json
    assert found.repairs == NOTES
    assert found.is_repaired


@pytest.mark.parametrize("wrap", [lambda schema: schema, Checker])
def test_a_plain_schema_is_treated_the_same(wrap: Any) -> None:
    found = parse_answer(OTHER, schema=wrap(Bill.model_json_schema()))

    assert isinstance(found, Parsed), found
    assert found.value == {**GOOD, "lines": GOOD["lines"]}
    assert found.repairs == NOTES


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        ("paidd", {"enum": ["paid"]}),
        ("a", {"enum": ["A", "á", "A "]} | {"minLength": 5}),
        ("PAID", {"enum": ["paid", "Paid"]}),
        (5, {"enum": ["5"]}),
        ("PAID", {"type": "string", "pattern": "^p"}),
    ],
)
def test_what_is_no_enum_word_in_another_case_stays_a_failure(answer: Any, schema: Any) -> None:
    assert isinstance(parse_answer(json.dumps(answer), schema=schema), Failure)


def test_an_answer_that_is_one_word_is_read() -> None:
    found = parse_answer('"YES"', schema={"enum": ["yes", "no"]})

    assert isinstance(found, Parsed)
    assert (found.value, found.json) == ("yes", b'"yes"')


def test_a_failure_tells_what_was_wrong_before_any_repair() -> None:
    found = parse_answer('{"state": "PAID"}', model=Bill)

    assert isinstance(found, Failure)
    assert "state: Input should be 'paid' or 'open'" in found.message


def test_what_was_repaired_is_kept_with_the_result() -> None:
    answer = Answer(text=f"```json\n{OTHER}\n```", finish_reason="stop", usage=None)

    verdict = verdict_of(answer, Bill, None)

    kept = json.loads(extra_json(answer, verdict) or b"{}")
    assert verdict.failure is None
    assert kept["extra"]["repaired"][0].startswith("a code fence")
    assert kept["extra"]["repaired"][1:] == list(NOTES)
    assert extra_json(answer, Verdict()) is None


@given(st.lists(st.sampled_from(["paid", "open"]), max_size=5), st.data())
def test_any_mix_of_case_comes_back_as_the_enum_writes_it(words: list[str], data: Any) -> None:
    mixed = ["".join(data.draw(st.sampled_from([c.upper(), c])) for c in word) for word in words]
    schema = {"type": "array", "items": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/S"}]}}

    found = parse_answer(
        json.dumps(mixed), schema={**schema, "$defs": {"S": {"enum": ["paid", "open"]}}}
    )

    assert isinstance(found, Parsed)
    assert found.value == words


def test_words_are_changed_for_the_one_of_several_schemas_that_then_fits() -> None:
    cash = {"kind": {"enum": ["Cash"]}, "amount": {"type": "number"}}
    bill = {"kind": {"enum": ["cash"]}, "state": {"enum": ["paid"]}}
    schema = {
        "anyOf": [
            {"type": "object", "properties": each, "required": list(each)} for each in (cash, bill)
        ]
    }

    found = parse_answer('{"kind": "cash", "state": "PAID"}', schema=schema)
    neither = parse_answer('{"kind": "CASH"}', schema=schema)

    assert isinstance(found, Parsed), found
    assert found.value == {"kind": "cash", "state": "paid"}
    assert found.repairs == ("state: 'PAID' taken as 'paid'",)
    assert isinstance(neither, Failure)
