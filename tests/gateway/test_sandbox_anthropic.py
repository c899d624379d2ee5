"""The endpoints of Anthropic, through the real SDK."""

from typing import Any

import anthropic
import orjson
import pytest
from anthropic.types import Message
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from sandbox_lab import OLD_VERSION, START, Lab

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "kind": {"enum": ["town", "village"]}},
    "required": ["city", "kind"],
    "additionalProperties": False,
}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A"}}


def ask(lab: Lab, **extra: Any) -> Message:
    return lab.anthropic.messages.create(**lab.params(**extra))


def format_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "schema": schema}}


def test_a_message_validates_against_the_sdk_model_and_names_the_sandbox(lab: Lab) -> None:
    raw = lab.anthropic.messages.with_raw_response.create(**lab.params())

    message = Message.model_validate_json(raw.read())
    assert message.id.startswith("msg_sandbox_")
    assert message.stop_reason == "end_turn"
    assert raw.headers["x-batchata-sandbox"] == "scripted answers, no model"
    assert raw.headers["request-id"].startswith("req_sandbox_")


def test_a_message_longer_than_max_tokens_is_cut(lab: Lab) -> None:
    message = ask(lab, max_tokens=3)

    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 3


def test_a_message_follows_the_schema_it_is_given(lab: Lab) -> None:
    message = ask(lab, output_config=format_of(SCHEMA))

    made = orjson.loads(message.content[0].text)
    assert set(made) == {"city", "kind"}


def test_a_forced_tool_is_used_with_an_input_that_fits(lab: Lab) -> None:
    tool = {"name": "find", "input_schema": SCHEMA}

    message = ask(lab, tools=[tool], tool_choice={"type": "tool", "name": "find"})

    assert message.stop_reason == "tool_use"
    assert message.content[0].type == "tool_use"
    assert set(message.content[0].input) == {"city", "kind"}


def test_cached_tokens_are_counted_apart_from_input_tokens(lab: Lab) -> None:
    lab.play("cached-tokens")

    usage = ask(lab, prompt="x" * 400).usage

    assert (usage.input_tokens, usage.cache_read_input_tokens) == (50, 50)


def test_an_enabled_citation_comes_with_the_text(lab: Lab) -> None:
    document = DOCUMENT | {"citations": {"enabled": True}}
    content = [document, {"type": "text", "text": "What?"}]

    message = ask(lab, messages=[{"role": "user", "content": content}])

    assert message.content[1].citations[0].type == "char_location"


def test_a_streamed_message_arrives_whole(lab: Lab) -> None:
    with lab.anthropic.messages.stream(**lab.params()) as stream:
        message = stream.get_final_message()

    assert message.content[0].text.startswith("Scripted sandbox answer")
    assert message.usage.output_tokens > 1
    assert message.stop_reason == "end_turn"


def test_tokens_are_counted_as_they_are_billed(lab: Lab) -> None:
    params = lab.params("x" * 100)
    del params["max_tokens"]

    counted = lab.anthropic.messages.count_tokens(**params).input_tokens

    assert counted == ask(lab, prompt="x" * 100).usage.input_tokens == 25


def test_models_are_listed_for_whoever_sends_the_version_header(lab: Lab) -> None:
    models = list(lab.anthropic.models.list())

    assert "claude-haiku-5-5" in [model.id for model in models]
    assert lab.anthropic.models.retrieve("claude-haiku-5-5").type == "model"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"extra_body": {"colour": "red"}}, "colour: Extra inputs are not permitted"),
        ({"extra_body": {"temperature": 1.0}}, "temperature: Extra inputs are not permitted"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "prefill"),
        (
            {
                "model": "claude-sonnet-4-6",
                "thinking": {"type": "enabled", "budget_tokens": 5},
            },
            "budget_tokens",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "use adaptive"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "text content blocks must be non-empty",
        ),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5},
            "maximum of 4 blocks",
        ),
        ({"tool_choice": {"type": "any"}}, "while providing tools"),
        (
            {"output_config": format_of(SCHEMA | {"additionalProperties": True})},
            "'additionalProperties' must be explicitly set to false",
        ),
        (
            {"output_config": format_of({"type": "array", "minItems": 2, "items": {}})},
            "'minItems' values other than 0 or 1",
        ),
    ],
)
def test_a_message_request_is_checked_as_the_vendor_does(
    lab: Lab, extra: dict[str, Any], message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message):
        ask(lab, **extra)


def test_a_missing_max_tokens_is_refused(lab: Lab) -> None:
    body = lab.params()
    del body["max_tokens"]

    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
        lab.anthropic.post("/v1/messages", body=body, cast_to=object)


def test_the_older_version_takes_sampling_parameters(lab: Lab) -> None:
    body = {"extra_body": {"temperature": 0.5}, "extra_headers": OLD_VERSION}

    assert ask(lab, **body).stop_reason == "end_turn"


def test_the_newest_models_take_no_sampling_parameters_in_any_version(lab: Lab) -> None:
    body = {"extra_body": {"temperature": 0.5}, "extra_headers": OLD_VERSION}

    with pytest.raises(anthropic.BadRequestError, match="only the default"):
        ask(lab, model="claude-opus-4-8", **body)


def test_citations_and_a_schema_exclude_each_other(lab: Lab) -> None:
    content = [DOCUMENT | {"citations": {"enabled": True}}]

    with pytest.raises(anthropic.BadRequestError, match="cannot be used together"):
        ask(lab, messages=[{"role": "user", "content": content}], output_config=format_of(SCHEMA))


def test_an_unknown_model_is_not_found(lab: Lab) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model: gpt-6-luna"):
        ask(lab, model="gpt-6-luna")


def test_both_ways_to_send_the_key_are_accepted_and_none_is_refused(lab: Lab) -> None:
    old = anthropic.Anthropic(base_url=lab.box.anthropic_base_url, auth_token="k", max_retries=0)
    bare: Any = {"Authorization": anthropic.Omit(), "x-api-key": anthropic.Omit()}

    with old as client:
        assert client.messages.create(**lab.params()).type == "message"
    assert ask(lab, extra_headers=bare | {"x-api-key": "k"}).type == "message"
    with pytest.raises(anthropic.AuthenticationError) as caught:
        ask(lab, extra_headers=bare)
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_a_batch_ends_at_the_first_poll_and_answers_every_id(lab: Lab) -> None:
    created = lab.claude_batch(5)
    raw = lab.anthropic.messages.batches.with_raw_response.retrieve(created.id)
    done = MessageBatch.model_validate_json(raw.read())

    assert (created.processing_status, done.processing_status) == ("in_progress", "ended")
    assert created.request_counts.processing == done.request_counts.succeeded == 5
    rows = list(lab.anthropic.messages.batches.results(done.id))
    assert {row.custom_id for row in rows} == {f"id-{i}" for i in range(5)}
    assert rows[0].result.type == "succeeded"
    assert rows[0].result.message.usage.service_tier == "batch"


def test_result_lines_validate_against_the_sdk_model(lab: Lab) -> None:
    lab.play("item-errors")
    batch = lab.claude_poll(lab.claude_batch(30))

    for line in lab.claude_raw(batch).split(b"\n")[:-1]:
        MessageBatchIndividualResponse.model_validate_json(line)


def test_counters_stay_at_zero_until_the_batch_ends(lab: Lab) -> None:
    lab.play(latency_seconds=100)
    batch = lab.claude_batch(10)
    lab.clock.now += 99

    late = lab.claude_poll(batch)

    assert late.processing_status == "in_progress"
    assert (late.request_counts.processing, late.request_counts.succeeded) == (10, 0)
    assert late.results_url is None
    with pytest.raises(anthropic.NotFoundError):
        lab.claude_raw(batch)


def test_a_cancelled_batch_ends_with_what_was_done(lab: Lab) -> None:
    lab.play(latency_seconds=100, cancel_seconds=30)
    batch = lab.claude_batch(10)
    lab.clock.now += 60
    canceling = lab.anthropic.messages.batches.cancel(batch.id)
    lab.clock.now += 30

    done = lab.claude_poll(batch)

    assert (canceling.processing_status, done.processing_status) == ("canceling", "ended")
    counts = done.request_counts
    assert (counts.succeeded, counts.canceled, counts.processing) == (5, 5, 0)
    assert len(lab.box.ledger.items) == 5


def test_a_batch_slower_than_its_window_ends_with_expired_items(lab: Lab) -> None:
    lab.play(latency_seconds=200, window_seconds=100)
    batch = lab.claude_batch(10)
    lab.clock.now += 100

    done = lab.claude_poll(batch)

    assert (done.request_counts.succeeded, done.request_counts.expired) == (5, 5)


def test_bad_params_are_errored_items_and_not_errors_of_the_create_call(lab: Lab) -> None:
    batch = lab.claude_poll(lab.claude_batch(1, stream=True))

    row = next(iter(lab.anthropic.messages.batches.results(batch.id)))
    assert row.result.type == "errored"
    assert row.result.error.error.type == "invalid_request_error"
    assert lab.box.ledger.items == []


def test_batches_are_listed_newest_first_in_pages(lab: Lab) -> None:
    ids = [lab.claude_batch(1).id for _ in range(5)]
    batches = lab.anthropic.messages.batches

    first = batches.list(limit=2)
    before = batches.list(limit=2, before_id=ids[0])

    assert [batch.id for batch in first.data] == [ids[4], ids[3]]
    assert [batch.id for batch in batches.list(limit=2)] == ids[::-1]
    assert [batch.id for batch in before.data] == [ids[2], ids[1]]


def test_a_batch_can_be_deleted_once_it_has_ended(lab: Lab) -> None:
    lab.play(latency_seconds=100)
    batch = lab.claude_batch(1)
    with pytest.raises(anthropic.BadRequestError, match="while it is in progress"):
        lab.anthropic.messages.batches.delete(batch.id)
    lab.clock.now = START + 100

    assert lab.anthropic.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        lab.claude_poll(batch)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "a"], "custom_ids must be unique"),
        (["not ok"], "String should match pattern"),
        (["x" * 65], "String should match pattern"),
        ([], "at least 1 item"),
    ],
)
def test_a_create_call_is_checked_at_once(lab: Lab, ids: list[str], message: str) -> None:
    requests: Any = [{"custom_id": name, "params": lab.params()} for name in ids]

    with pytest.raises(anthropic.BadRequestError, match=message):
        lab.anthropic.messages.batches.create(requests=requests)


@pytest.mark.parametrize("limit", [{"anthropic_max_requests": 2}, {"anthropic_max_bytes": 100}])
def test_a_batch_beyond_the_limits_is_too_large(lab: Lab, limit: dict[str, int]) -> None:
    lab.play(**limit)

    with pytest.raises(anthropic.APIStatusError) as caught:
        lab.claude_batch(3)

    assert caught.value.status_code == 413
    assert caught.value.body["error"]["type"] == "request_too_large"


def test_a_missing_version_header_is_refused(lab: Lab) -> None:
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version: header is required"):
        ask(lab, extra_headers={"anthropic-version": ""})
