from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, Field

from batchata.core.errors import ValidationError
from batchata.core.job import Job
from batchata.core.result import Answer, Reason
from batchata.core.submission import Shape
from batchata.core.verdict import verdict_of
from batchata.ports import Encoded
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.openai.codec import OpenAICodec

GPT = "gpt-6-luna"
CLAUDE = "claude-haiku-5-5"
OLD_CLAUDE = "claude-sonnet-4-20250514"


class Bill(BaseModel):
    """A bill."""

    number: str = Field(min_length=2)
    total: float


class Node(BaseModel):
    name: str
    below: list[Node] = []


class Labels(BaseModel):
    labels: dict[str, str]


def encoded(model: str, **more: Any) -> Encoded:
    codec = AnthropicCodec() if model.startswith("claude") else OpenAICodec()
    values = {"prompt": "Read it.", "response_model": Bill, **more}
    return codec.encode(Job("a", model, **values), model)


def body(model: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(encoded(model, **more).body)
    return found


SCHEMA = Bill.model_json_schema()


def test_a_schema_goes_in_the_vendors_own_mode_where_there_is_one() -> None:
    chat, response = body(GPT), body(GPT, endpoint="responses")
    message = body(CLAUDE)

    assert chat["response_format"]["json_schema"]["strict"] is True
    assert response["text"]["format"]["name"] == "Bill"
    assert message["output_config"]["format"]["type"] == "json_schema"
    assert "tools" not in {**chat, **response, **message}


@pytest.mark.parametrize(
    ("model", "is_native"),
    [
        ("claude-3-5-haiku-latest", False),
        ("claude-3-opus-20240229", False),
        (OLD_CLAUDE, False),
        ("claude-opus-4-0", False),
        ("claude-opus-4-1-20250805", False),
        ("claude-opus-4-5", True),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-haiku-4-5", True),
        ("claude-opus-5", True),
        ("claude-fable-5", True),
    ],
)
def test_models_without_the_mode_are_given_a_tool_to_call(model: str, is_native: bool) -> None:
    found = body(model)

    assert ("output_config" in found) is is_native
    assert ("tools" in found) is not is_native


def test_the_answers_tool_holds_the_whole_schema_and_must_be_called() -> None:
    more = {"structured": "tool"}
    chat, response = body(GPT, **more), body(GPT, endpoint="responses", **more)
    message = body(CLAUDE, **more)

    assert chat["tools"] == [
        {
            "type": "function",
            "function": {"name": "Bill", "description": "A bill.", "parameters": SCHEMA},
        }
    ]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "Bill"}}
    assert response["tools"][0] == {
        "type": "function",
        "name": "Bill",
        "description": "A bill.",
        "parameters": SCHEMA,
        "strict": False,
    }
    assert response["tool_choice"] == {"type": "function", "name": "Bill"}
    assert message["tools"] == [{"name": "Bill", "description": "A bill.", "input_schema": SCHEMA}]
    assert message["tool_choice"] == {"type": "tool", "name": "Bill"}


@pytest.mark.parametrize(
    ("model", "more"),
    [
        (OLD_CLAUDE, {"params": {"thinking": {"type": "enabled", "budget_tokens": 2_000}}}),
        ("claude-fable-5", {}),
    ],
)
def test_a_model_that_thinks_is_asked_and_not_forced(model: str, more: dict[str, Any]) -> None:
    found = body(model, structured="tool", **more)

    assert found["tool_choice"] == {"type": "auto"}
    assert "calling the tool 'Bill'" in found["system"]


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_in_words_the_schema_is_a_part_of_the_instructions(model: str) -> None:
    found = json.dumps(body(model, structured="prompt", params={"system": "Be brief."}))

    assert "Be brief." in found
    assert "must fit this JSON Schema" in found
    assert '\\"number\\"' in found
    assert "response_format" not in found
    assert "output_config" not in found


def test_in_words_there_is_one_system_message_in_a_chat_and_one_text_of_instructions() -> None:
    more: dict[str, Any] = {"structured": "prompt", "params": {"system": "Be brief."}}

    chat = body(GPT, **more)["messages"]
    response = body(GPT, endpoint="responses", **more)["instructions"]

    assert [message["role"] for message in chat] == ["system", "user"]
    assert chat[0]["content"].startswith("Be brief.\n\nAnswer with one JSON object")
    assert response.startswith("Be brief.\n\nAnswer with one JSON object")
    assert [m["role"] for m in body(GPT, structured="prompt")["messages"]] == ["system", "user"]


def test_the_users_own_tools_stay_beside_the_answers() -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]

    found = body(GPT, structured="tool", params={"tools": tools})

    assert [tool["function"]["name"] for tool in found["tools"]] == ["look", "Bill"]


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"tools": [{"name": "Bill"}]}, "a tool has the name of the schema"),
        ({"tools": [{"function": {"name": "Bill"}}]}, "a tool has the name of the schema"),
        ({"tool_choice": "auto"}, "tool_choice names another"),
    ],
)
def test_a_tool_that_would_be_taken_for_the_answer_is_an_error(
    params: dict[str, Any], what: str
) -> None:
    with pytest.raises(ValidationError, match=what):
        body(CLAUDE, structured="tool", params=params)


def test_a_model_that_contains_itself_is_taken_where_it_can_be() -> None:
    native = body(GPT, response_model=Node)
    tool = body(CLAUDE, response_model=Node, structured="tool")
    words = body(CLAUDE, response_model=Node, structured="prompt")

    assert native["response_format"]["json_schema"]["schema"]["type"] == "object"
    assert tool["tools"][0]["input_schema"]["type"] == "object"
    assert "Node" in tool["tools"][0]["input_schema"]["$defs"]
    assert "Node" in words["system"]
    with pytest.raises(ValidationError, match="contains itself") as caught:
        body(CLAUDE, response_model=Node)
    assert 'structured="tool"' in (caught.value.hint or "")


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_free_keys_are_an_error_that_names_the_field_or_go_by_tool(model: str) -> None:
    with pytest.raises(ValidationError, match="labels"):
        body(model, response_model=Labels)

    assert "labels" in json.dumps(body(model, response_model=Labels, structured="tool"))


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(ValidationError, match="structured is 'magic'"):
        Job("a", GPT, prompt="x", structured="magic")  # type: ignore[arg-type]


def shape(endpoint: str) -> Shape:
    return Shape(
        provider="openai",
        endpoint=endpoint,
        model=GPT,
        schema=json.dumps(SCHEMA),
        schema_name="Bill",
    )


CALL = '{"number": "A1", "total": 5}'
USAGE = {"prompt_tokens": 1, "completion_tokens": 1}


def chat_answer(finish: str = "tool_calls", **message: Any) -> bytes:
    choice = {"finish_reason": finish, "message": {"role": "assistant", **message}}
    return orjson.dumps({"choices": [choice], "usage": USAGE})


def response_answer(*output: dict[str, Any], status: str = "completed") -> bytes:
    return orjson.dumps({"status": status, "output": output})


def message_answer(*content: dict[str, Any], stop: str = "tool_use") -> bytes:
    return orjson.dumps({"content": content, "stop_reason": stop})


def decoded(endpoint: str, data: bytes) -> Answer:
    codec = AnthropicCodec() if endpoint == "/v1/messages" else OpenAICodec()
    found = codec.decode(shape(endpoint), data)
    assert isinstance(found, Answer)
    return found


def called(name: str, arguments: Any = CALL) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("endpoint", "data"),
    [
        ("/v1/chat/completions", chat_answer(content=None, tool_calls=[called("Bill")])),
        ("/v1/chat/completions", chat_answer(finish="stop", tool_calls=[called("Bill")])),
        ("/v1/chat/completions", chat_answer(tool_calls=[called("Bill", json.loads(CALL))])),
        (
            "/v1/responses",
            response_answer(
                {"type": "message", "content": [{"type": "output_text", "text": "Here:"}]},
                {"type": "function_call", "name": "Bill", "arguments": CALL},
            ),
        ),
        (
            "/v1/responses",
            response_answer(
                {"type": "function_call", "name": "Bill", "arguments": json.loads(CALL)}
            ),
        ),
        (
            "/v1/messages",
            message_answer(
                {"type": "text", "text": "Here:"},
                {"type": "tool_use", "name": "Bill", "input": json.loads(CALL)},
            ),
        ),
    ],
)
def test_the_tools_arguments_are_the_answer(endpoint: str, data: bytes) -> None:
    found = decoded(endpoint, data)

    assert json.loads(found.text) == json.loads(CALL)
    assert (found.finish_reason, found.extra) == ("stop", None)
    assert verdict_of(found, Bill, None).failure is None


@pytest.mark.parametrize(
    ("endpoint", "data"),
    [
        (
            "/v1/chat/completions",
            chat_answer(tool_calls=[called("look", "{}"), called("Bill")]),
        ),
        (
            "/v1/responses",
            response_answer(
                {"type": "function_call", "name": "look", "arguments": "{}"},
                {"type": "function_call", "name": "Bill", "arguments": CALL},
            ),
        ),
        (
            "/v1/messages",
            message_answer(
                {"type": "tool_use", "name": "look", "input": {}},
                {"type": "tool_use", "name": "Bill", "input": json.loads(CALL)},
            ),
        ),
    ],
)
def test_calls_of_other_tools_stay_calls(endpoint: str, data: bytes) -> None:
    found = decoded(endpoint, data)

    assert json.loads(found.text) == json.loads(CALL)
    assert found.finish_reason == "tool_calls"
    assert found.extra is not None
    assert len(found.extra["tool_calls"]) == 1


@pytest.mark.parametrize(
    ("endpoint", "data"),
    [
        (
            "/v1/chat/completions",
            chat_answer(finish="length", tool_calls=[called("Bill", '{"numb')]),
        ),
        (
            "/v1/messages",
            message_answer({"type": "tool_use", "name": "Bill", "input": {}}, stop="max_tokens"),
        ),
    ],
)
def test_a_tool_call_that_was_cut_is_a_truncated_answer(endpoint: str, data: bytes) -> None:
    verdict = verdict_of(decoded(endpoint, data), Bill, None)

    assert verdict.failure is not None
    assert verdict.failure.reason is Reason.TRUNCATED


def test_without_the_call_the_text_is_the_answer() -> None:
    found = decoded("/v1/chat/completions", chat_answer(finish="stop", content=CALL))

    assert verdict_of(found, Bill, None).failure is None


ERRORS = ["number: String should have at least 2 characters (got 'A')", "total: missing"]


@pytest.mark.parametrize(
    ("model", "more", "name"),
    [
        (GPT, {}, "messages"),
        (GPT, {"endpoint": "responses"}, "input"),
        (CLAUDE, {}, "messages"),
        (CLAUDE, {"structured": "tool"}, "messages"),
    ],
)
def test_a_refused_answer_is_shown_again_with_what_was_wrong(
    model: str, more: dict[str, Any], name: str
) -> None:
    codec = AnthropicCodec() if model == CLAUDE else OpenAICodec()
    first = encoded(model, **more)

    again = orjson.loads(codec.with_errors(first.shape, first.body, '{"number": "A"}', ERRORS))

    before = orjson.loads(first.body)
    *_, asked, said, told = again[name]
    assert asked["content"] == "Read it."
    assert said == {"role": "assistant", "content": '{"number": "A"}'}
    assert told["role"] == "user"
    assert all(error in told["content"] for error in ERRORS)
    assert {**again, name: 0} == {**before, name: 0}


def test_a_huge_or_empty_answer_is_shown_in_short() -> None:
    codec, first = OpenAICodec(), encoded(GPT)

    huge = codec.with_errors(first.shape, first.body, "x" * 10_000_000, ERRORS * 50)
    empty = orjson.loads(codec.with_errors(first.shape, first.body, " \n", ERRORS))

    assert len(huge) < 25_000
    assert empty["messages"][-2]["content"] == "(no answer)"


def test_the_marks_of_files_survive_being_asked_again() -> None:
    codec, mark = OpenAICodec(), "\ue000batchata-file:abc\ue001"
    first = codec.encode(Job("a", GPT, prompt=mark), GPT)

    assert mark.encode() in codec.with_errors(first.shape, first.body, "x", ERRORS)
