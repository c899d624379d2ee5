"""Thoughts in front of an answer are told apart from it."""

from __future__ import annotations

import pytest

from batchata.core.thinking import split_thinking


@pytest.mark.parametrize(
    ("text", "answer", "thoughts"),
    [
        ("42", "42", None),
        ("<think>six times seven</think>42", "42", "six times seven"),
        ("\n<think>\nsix times seven\n</think>\n\n42", "42", "six times seven"),
        ("<think></think>42", "42", None),
        ("<think>six times", "", "six times"),
        ("six times seven</think>\n42", "42", "six times seven"),
        ("Write <think> and </think> around it", "Write <think> and </think> around it", None),
        ("", "", None),
    ],
    ids=["none", "inline", "lines", "empty", "unclosed", "unopened", "quoted", "nothing"],
)
def test_splits_thoughts_from_the_answer(text: str, answer: str, thoughts: str | None) -> None:
    assert split_thinking(text) == (answer, thoughts)
