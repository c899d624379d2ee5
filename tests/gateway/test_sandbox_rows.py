"""Questions about several rows: the sandbox answers each row under its own id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchata.gateway.sandbox.row_answers import row_answers, row_ids


def body(content: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def test_ids_are_read_from_a_list_of_rows() -> None:
    content = json.dumps([{"input_id": "b", "input_text": "x"}, {"input_id": "a"}])

    assert row_ids(body(content)) == ["b", "a"]


@pytest.mark.parametrize(
    "content",
    ["input_id", "[input_id", '[{"input_id": 5}]', '["input_id"]', [{"type": "input_id"}], None],
)
def test_other_questions_have_no_rows(content: Any) -> None:
    assert row_ids(body(content)) == []


def test_each_row_has_an_answer_though_scripted_lists_may_be_empty() -> None:
    def make(seed: int) -> Any:
        return {"n": 1, "all_results": [{"input_id": "?", "mood": seed}] * (seed % 2)}

    made = row_answers(["a", "b"], make, 10)

    assert made["all_results"] == [{"input_id": "a", "mood": 11}, {"input_id": "b", "mood": 13}]


def test_answers_of_another_form_are_left_as_they_are() -> None:
    assert row_answers(["a"], lambda seed: {"mood": seed}, 3) == {"mood": 3}
