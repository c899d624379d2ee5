"""Answers that succeeded as calls and yet are not what was wanted."""

from typing import Any

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletion
from sandbox_lab import Lab

from batchata.gateway import ItemFault


def play(lab: Lab, outcome: Any, **settings: Any) -> None:
    lab.play(items=(ItemFault(outcome=outcome, **settings),))


def chat(lab: Lab, prompt: str = "hello") -> ChatCompletion:
    return lab.openai.chat.completions.create(
        model=lab.model, messages=[{"role": "user", "content": prompt}]
    )


def test_a_refusal_has_its_own_place(lab: Lab) -> None:
    play(lab, "refusal")

    message = chat(lab).choices[0].message
    response = lab.openai.responses.create(model=lab.model, input="hello")
    claude = lab.anthropic.messages.create(**lab.params())

    assert message.content is None
    assert message.refusal is not None
    assert response.output[0].content[0].type == "refusal"
    assert (claude.stop_reason, claude.content) == ("refusal", [])
    assert claude.stop_details is not None


def test_a_cut_answer_says_so_everywhere(lab: Lab) -> None:
    play(lab, "length")

    assert chat(lab).choices[0].finish_reason == "length"
    assert lab.openai.responses.create(model=lab.model, input="hi").status == "incomplete"
    assert lab.anthropic.messages.create(**lab.params()).stop_reason == "max_tokens"


def test_a_filtered_answer_is_empty(lab: Lab) -> None:
    play(lab, "content_filter")

    choice = chat(lab).choices[0]
    response = lab.openai.responses.create(model=lab.model, input="hello")

    assert (choice.finish_reason, choice.message.content) == ("content_filter", "")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "content_filter"


def test_a_thinking_block_can_come_first_and_is_billed_as_output(lab: Lab) -> None:
    lab.play("thinking")

    message = lab.anthropic.messages.create(**lab.params())
    response = lab.openai.responses.create(model=lab.model, input="hello")

    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.usage.output_tokens_details is not None
    assert 0 < message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert message.usage.output_tokens <= 200


def test_usage_can_be_null_and_is_billed_all_the_same(lab: Lab) -> None:
    play(lab, "usage_null")

    assert chat(lab).usage is None
    assert lab.box.ledger.live[0].output_tokens > 0


def test_usage_details_can_be_null(lab: Lab) -> None:
    lab.play("usage-details-null")

    usage = chat(lab).usage
    claude = lab.anthropic.messages.create(**lab.params()).usage

    assert usage is not None
    assert usage.prompt_tokens_details is usage.completion_tokens_details is None
    assert claude.cache_read_input_tokens is claude.cache_creation is None


def test_a_response_can_be_200_and_failed_and_is_not_billed(lab: Lab) -> None:
    play(lab, "failed")

    response = lab.openai.responses.create(model=lab.model, input="hello")

    assert (response.status, response.output, response.usage) == ("failed", [], None)
    assert response.error is not None
    assert lab.box.ledger.live == []


@pytest.mark.parametrize(
    ("outcome", "openai_status", "anthropic_status", "anthropic_type"),
    [
        ("server_error", 500, 500, "api_error"),
        ("overloaded", 503, 529, "overloaded_error"),
        ("rate_limited", 429, 429, "rate_limit_error"),
        ("invalid_request", 400, 400, "invalid_request_error"),
    ],
)
def test_a_live_call_can_end_in_an_error_of_the_vendor(
    lab: Lab, outcome: str, openai_status: int, anthropic_status: int, anthropic_type: str
) -> None:
    play(lab, outcome)

    with pytest.raises(openai.APIStatusError) as first:
        chat(lab)
    with pytest.raises(anthropic.APIStatusError) as second:
        lab.anthropic.messages.create(**lab.params())

    assert first.value.status_code == openai_status
    assert second.value.status_code == anthropic_status
    assert second.value.body["error"]["type"] == anthropic_type


def test_items_fail_at_their_first_attempt_and_pass_at_the_second(lab: Lab) -> None:
    play(lab, "server_error", share=0.5, attempts=1)
    first = lab.poll(lab.batch(40))
    failed = [line["custom_id"] for line in lab.lines(first.error_file_id)]

    second = lab.poll(lab.batch([lab.chat_line(name) for name in failed]))

    assert 5 < len(failed) < 35
    assert second.error_file_id is None
    assert sorted(lab.box.ledger.custom_ids) == sorted(f"id-{i}" for i in range(40))


def test_invalid_items_fail_each_time(lab: Lab) -> None:
    play(lab, "invalid_request", custom_id="id-1")

    for _ in range(2):
        done = lab.poll(lab.batch(3))
        line = lab.lines(done.error_file_id)[0]
        assert (line["custom_id"], line["response"]["status_code"]) == ("id-1", 400)


def test_errored_items_of_a_message_batch_name_their_kind(lab: Lab) -> None:
    play(lab, "overloaded", custom_id="id-0")
    batch = lab.claude_poll(lab.claude_batch(2))

    rows = {row.custom_id: row.result for row in lab.anthropic.messages.batches.results(batch.id)}

    assert rows["id-0"].type == "errored"
    assert rows["id-0"].error.error.type == "overloaded_error"
    assert rows["id-1"].type == "succeeded"


def test_a_fault_can_strike_one_prompt_and_only_so_often(lab: Lab) -> None:
    play(lab, "refusal", prompt="dangerous", times=1)

    refusals = [
        chat(lab, prompt).choices[0].message.refusal for prompt in ("x", "dangerous", "dangerous")
    ]

    assert [refusal is not None for refusal in refusals] == [False, True, False]
