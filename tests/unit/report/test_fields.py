from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from batchata.report.fields import MOST_FIELDS, Field, clip, flatten, parents


class Line(BaseModel):
    name: str
    due: date


def test_names_values_by_their_path() -> None:
    fields, left_out = flatten({"a": {"b": [{"c": 1}, {"c": "x"}]}, "d": True})

    assert fields == [
        Field("a.b[0].c", "1", "number"),
        Field("a.b[1].c", "x", "text"),
        Field("d", "true", "text"),
    ]
    assert left_out == 0


def test_takes_pydantic_models_as_their_json() -> None:
    fields, _ = flatten(Line(name="n", due=date(2026, 1, 2)))

    assert [field.text for field in fields] == ["n", "2026-01-02"]


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        (None, "null", "none"),
        ("", "empty", "none"),
        ([], "empty", "none"),
        ({}, "empty", "none"),
        (0, "0", "number"),
        (False, "false", "text"),
        (2**80, str(2**80), "number"),
        (0.1, "0.1", "number"),
    ],
)
def test_says_every_value_with_all_its_digits(value: Any, text: str, kind: str) -> None:
    assert flatten({"x": value})[0] == [Field("x", text, kind)]


def test_takes_an_answer_that_is_one_value_or_a_list() -> None:
    assert flatten("yes")[0] == [Field("value", "yes", "text")]
    assert flatten(["a"])[0] == [Field("[0]", "a", "text")]
    assert flatten({})[0] == []


def test_tells_how_many_fields_it_left_out() -> None:
    fields, left_out = flatten(list(range(MOST_FIELDS + 7)))

    assert (len(fields), left_out) == (MOST_FIELDS, 7)


def test_takes_an_answer_nested_deeper_than_python_calls() -> None:
    deep: Any = "end"
    for _ in range(5_000):
        deep = [deep]

    assert flatten(deep)[0][0].text == "end"


def test_knows_what_a_value_is_inside_of() -> None:
    assert list(parents("a.b[0].c")) == ["a.b[0]", "a.b", "a"]
    assert list(parents("[0].c")) == ["[0]"]


def test_says_how_much_of_a_long_text_is_missing() -> None:
    assert clip("x" * 12, 10) == "x" * 10 + "… (2 more characters)"
    assert clip("x" * 10, 10) == "x" * 10
