"""Whole conversations as questions, and what answers hold beside their text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from generation_lab import GenerationLab, read, said, server_of, write

from batchata.core.errors import ValidationError
from batchata.generate import load_config

TALK = [
    {"role": "user", "content": "Name a river."},
    {"role": "assistant", "content": "The Elbe."},
    {"role": "user", "content": "Another one."},
]
ANCHORED = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("source", [".parquet", ".jsonl"])
def test_a_column_of_messages_is_sent_as_the_conversation_it_is(
    made: GenerationLab, source: str
) -> None:
    rows = [{"question": TALK}, {"question": [ANCHORED, *TALK]}]
    given = write(made.folder / f"rows{source}", rows)
    with server_of(lambda _: [said("The Rhine.")]) as server:
        made.run(
            data={"input_path": str(given)},
            model={"url": server.url, "name": "tiny", "concurrency": 1},
            generation={"system_prompt": "Be kind."},
        )

    sent = [body["messages"] for body in server.bodies]
    assert sent == [[{"role": "system", "content": "Be kind."}, *TALK], [ANCHORED, *TALK]]
    assert [row["response"] for row in read(made.out)] == ["The Rhine."] * 2


def test_a_message_without_content_fails_its_row_and_is_not_sent(made: GenerationLab) -> None:
    made.rows = [{"question": [{"role": "user", "content": None}]}, {"question": TALK}]

    summary = made.run()

    first, second = read(made.out)
    assert (summary.failed, len(made.calls)) == (1, 1)
    assert first["error"] == "bad_input: row 0 cannot be asked: messages[0] has no content"
    assert second["response"]


def test_other_lists_are_json_in_the_prompt(made: GenerationLab) -> None:
    made.rows = [{"question": ["a", "b"]}]
    with server_of(lambda _: [said("yes")]) as server:
        made.run(model={"url": server.url, "name": "tiny"})

    assert server.bodies[0]["messages"] == [{"role": "user", "content": '["a", "b"]'}]


def answers(body: dict[str, Any]) -> list[dict[str, Any]]:
    """As many as asked for, each with a call and its log probabilities."""
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return [
        {**said(f"{number}", tool_calls=[call]), "logprobs": {"content": [number]}}
        for number in range(body.get("n", 1))
    ]


@pytest.mark.parametrize("together", [False, True])
def test_log_probabilities_and_tool_calls_that_are_asked_for_are_columns(
    made: GenerationLab, together: bool
) -> None:
    made.rows = [{"question": "Look."}]
    asked = {"logprobs": True, "tools": [{"type": "function", "function": {"name": "look"}}]}
    with server_of(answers) as server:
        made.run(
            model={"url": server.url, "name": "tiny"},
            generation={"num_samples": 2, "one_request": together, "extra_body": asked},
        )

    rows = read(made.out)
    assert list(rows[0])[-5:] == ["sample_idx", "logprobs", "tool_calls", "finish_reason", "error"]
    assert [json.loads(row["logprobs"])["content"] for row in rows] == [[0], [int(together)]]
    assert all(json.loads(row["tool_calls"])[0]["function"]["name"] == "look" for row in rows)


def test_samples_have_the_numbers_that_the_server_gives_them(made: GenerationLab) -> None:
    made.rows = [{"question": "Count."}]

    def backwards(body: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**said(str(number)), "index": number} for number in reversed(range(body["n"]))]

    with server_of(backwards) as server:
        made.run(
            model={"url": server.url, "name": "tiny"},
            generation={"num_samples": 3, "one_request": True},
        )

    assert [(row["sample_idx"], row["response"]) for row in read(made.out)] == [
        (0, "0"),
        (1, "1"),
        (2, "2"),
    ]


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("generation: {max_tokens: 5}\nmodel: {name: m}\ngeneration: {seed: 1}\n")

    with pytest.raises(ValidationError, match=r"'generation' twice in one place.*line 3"):
        load_config(file)


@pytest.mark.parametrize("key", [{"seed": 2**70}, {"temperature": float("inf")}])
def test_numbers_that_no_request_can_hold_are_refused(
    made: GenerationLab, key: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=next(iter(key))):
        made.config(generation=key)


@pytest.mark.parametrize(
    "key", [{"api_key": "${VLLM_KEY}"}, {"headers": {"X-Key": "${VLLM_KEY}", "X-Own": "secret"}}]
)
def test_a_variable_in_place_of_a_key_is_refused_and_not_sent(
    made: GenerationLab, key: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="BATCHATA_MODEL_API_KEY") as told:
        made.config(model=key)

    assert "secret" not in f"{told.value}{told.value.hint}"
