"""The live endpoints of OpenAI, through the real SDK."""

from typing import Any

import openai
import orjson
import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from sandbox_lab import Lab

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "size": {"type": "integer", "minimum": 3, "maximum": 9},
        "kind": {"enum": ["town", "village"]},
    },
    "required": ["city", "size", "kind"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
TOOL = {"type": "function", "function": {"name": "find", "parameters": SCHEMA}}
ASK = [{"role": "user", "content": "hello there"}]


def ask(lab: Lab, **body: Any) -> ChatCompletion:
    given: dict[str, Any] = {"model": lab.model, "messages": ASK}
    return lab.openai.chat.completions.create(**(given | body))


def test_a_chat_answer_validates_against_the_sdk_model_and_names_the_sandbox(lab: Lab) -> None:
    raw = lab.openai.chat.completions.with_raw_response.create(model=lab.model, messages=ASK)

    answer = ChatCompletion.model_validate_json(raw.content)
    assert answer.system_fingerprint == "sandbox"
    assert answer.id.startswith("chatcmpl-sandbox-")
    assert raw.headers["x-batchata-sandbox"] == "scripted answers, no model"
    assert raw.headers["x-request-id"].startswith("req_sandbox_")


def test_the_same_chat_request_gets_the_same_answer(lab: Lab) -> None:
    first, second, other = ask(lab), ask(lab), ask(lab, seed=2)

    assert first.choices == second.choices
    assert first.id != other.id


def test_chat_usage_adds_up_and_input_stays_below_the_bytes_of_the_text(lab: Lab) -> None:
    usage = ask(lab).usage

    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.prompt_tokens <= len(b"hello there")


def test_a_chat_answer_longer_than_its_cap_is_cut_and_says_length(lab: Lab) -> None:
    answer = ask(lab, max_completion_tokens=3)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_a_chat_answer_follows_the_schema_it_is_given(lab: Lab) -> None:
    answer = ask(lab, response_format=FORMAT)

    made = orjson.loads(answer.choices[0].message.content or "")
    assert list(made) == ["city", "size", "kind"]
    assert 3 <= made["size"] <= 9
    assert made["kind"] in ("town", "village")


def test_an_answer_may_be_sent_back_as_the_sdk_has_it(lab: Lab) -> None:
    choice = {"type": "function", "function": {"name": "find"}}
    asked = ask(lab, tools=[TOOL], tool_choice=choice, n=2)
    said = asked.choices[1].message
    assert said.tool_calls

    came = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "42"}
    answer = ask(lab, messages=[*ASK, said, came])

    ids = {each.message.tool_calls[0].id for each in asked.choices if each.message.tool_calls}
    assert len(ids) == 2
    assert answer.choices[0].finish_reason == "stop"


def test_a_forced_tool_is_called_with_arguments_that_fit(lab: Lab) -> None:
    choice = {"type": "function", "function": {"name": "find"}}

    answer = ask(lab, tools=[TOOL], tool_choice=choice)

    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.name == "find"
    assert set(orjson.loads(calls[0].function.arguments)) == {"city", "size", "kind"}


def test_two_choices_cost_twice_the_output(lab: Lab) -> None:
    one, two = ask(lab), ask(lab, n=2)

    assert len(two.choices) == 2
    assert one.usage is not None
    assert two.usage is not None
    assert two.usage.completion_tokens % 2 == 0


def test_a_streamed_chat_answer_ends_with_its_usage(lab: Lab) -> None:
    stream = lab.openai.chat.completions.create(
        model=lab.model,
        messages=ASK,
        stream=True,
        stream_options={"include_usage": True},
    )

    chunks = list(stream)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("Scripted sandbox answer, no model")
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


def test_a_scripted_reply_answers_the_prompt_it_is_written_for(lab: Lab) -> None:
    lab.play(replies={"hello": "world"})

    assert ask(lab).choices[0].message.content == "world"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"extra_body": {"colour": "red"}}, "colour", "unknown_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"max_tokens": 10}, "max_tokens", "unsupported_parameter"),
        ({"n": 1000}, "n", "integer_above_max_value"),
        ({"temperature": 3}, "temperature", "integer_above_max_value"),
        ({"metadata": {"k" * 65: "v"}}, f"metadata.{'k' * 65}", "string_above_max_length"),
        ({"model": "llama-3"}, None, "model_not_found"),
    ],
)
def test_a_chat_request_is_checked_as_the_vendor_does(
    lab: Lab, body: dict[str, Any], param: str | None, code: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(lab, **body)

    assert (caught.value.param, caught.value.code) == (param, code)


def test_an_older_model_takes_max_tokens(lab: Lab) -> None:
    assert ask(lab, model="gpt-4.1-mini", max_tokens=5).choices[0].finish_reason == "length"


def test_json_mode_wants_the_word_json_in_the_prompt(lab: Lab) -> None:
    with pytest.raises(openai.BadRequestError, match="must contain the word 'json'"):
        ask(lab, response_format={"type": "json_object"})

    told = [{"role": "user", "content": "answer in JSON"}]
    answer = ask(lab, messages=told, response_format={"type": "json_object"})
    assert "answer" in orjson.loads(answer.choices[0].message.content or "")


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True},
        {"required": ["city"]},
        {"properties": SCHEMA["properties"] | {"city": {"type": "string", "default": "Rome"}}},
        {"type": "array"},
    ],
)
def test_a_strict_schema_that_breaks_the_rules_is_refused(lab: Lab, change: dict[str, Any]) -> None:
    schema = {"name": "place", "schema": SCHEMA | change, "strict": True}

    with pytest.raises(
        openai.BadRequestError, match="Invalid schema for response_format 'place': "
    ):
        ask(lab, response_format={"type": "json_schema", "json_schema": schema})


def test_a_request_without_a_key_gets_the_vendors_401(lab: Lab) -> None:
    client = lab.openai.with_options(api_key="")

    with pytest.raises(openai.AuthenticationError) as caught:
        client.get("/models", cast_to=object, options={"headers": {"Authorization": ""}})

    assert caught.value.code == "invalid_api_key"


def test_a_response_validates_against_the_sdk_model(lab: Lab) -> None:
    raw = lab.openai.responses.with_raw_response.create(model=lab.model, input="hello")

    answer = Response.model_validate_json(raw.content)
    assert answer.status == "completed"
    assert answer.output_text.startswith("Scripted sandbox answer")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_a_response_cut_by_its_cap_is_incomplete(lab: Lab) -> None:
    lab.play(replies={"": "a long answer " * 50})

    answer = lab.openai.responses.create(model=lab.model, input="hello", max_output_tokens=16)

    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


def test_a_response_follows_the_schema_it_is_given(lab: Lab) -> None:
    answer = lab.openai.responses.create(
        model=lab.model,
        input="hello",
        text={"format": {"type": "json_schema", "name": "p", "schema": SCHEMA, "strict": True}},
    )

    assert set(orjson.loads(answer.output_text)) == {"city", "size", "kind"}


def test_a_streamed_response_ends_with_the_whole_response(lab: Lab) -> None:
    events = list(lab.openai.responses.create(model=lab.model, input="hi", stream=True))

    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_have_the_size_that_was_asked_for(lab: Lab, encoding: Any) -> None:
    raw = lab.openai.embeddings.with_raw_response.create(
        model="text-embedding-3-small", input=["a", "bc"], dimensions=8, encoding_format=encoding
    )

    answer = raw.parse()
    assert isinstance(answer, CreateEmbeddingResponse)
    assert [row.index for row in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 2
    if encoding == "float":
        assert len(answer.data[0].embedding) == 8


def test_models_are_listed_and_shown(lab: Lab) -> None:
    names = [model.id for model in lab.openai.models.list()]

    assert "gpt-6-luna" in names
    assert lab.openai.models.retrieve("gpt-6-luna").owned_by == "sandbox"
    with pytest.raises(openai.NotFoundError):
        lab.openai.models.retrieve("llama-3")


def test_an_unknown_path_gets_an_error_body(lab: Lab) -> None:
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        lab.openai.get("/nowhere", cast_to=object)
