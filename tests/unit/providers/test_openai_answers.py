"""OpenAI's answer bodies in our words; the first ones are the vendor's documented shapes."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.result import Answer, Failure, Reason
from batchata.core.submission import Shape
from batchata.core.usage import Usage
from batchata.providers.openai.codec import CHAT, EMBEDDINGS, RESPONSES, OpenAICodec

CHAT_BODY: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1790000000,
    "model": "gpt-6-luna",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": None,
}
RESPONSE_BODY: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1790000000,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-6-luna",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "hi ", "annotations": []},
                {"type": "output_text", "text": "there", "annotations": []},
            ],
        },
    ],
    "usage": {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 14,
    },
}
EMBEDDING_BODY: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
BODIES = {CHAT: CHAT_BODY, RESPONSES: RESPONSE_BODY, EMBEDDINGS: EMBEDDING_BODY}
DELETED = object()


def decode(endpoint: str, *changes: tuple[str, Any], tool: str | None = None) -> Answer | Failure:
    """The endpoint's body with these changes (path, value), decoded."""
    body = copy.deepcopy(BODIES[endpoint])
    for path, value in changes:
        *way, last = path.split(".")
        place: Any = body
        for step in way:
            place = place[int(step)] if step.isdigit() else place[step]
        if value is DELETED:
            del place[last]
        else:
            place[int(last) if last.isdigit() else last] = value
    shape = Shape(provider="openai", endpoint=endpoint, model="m", schema_name=tool)
    return OpenAICodec().decode(shape, orjson.dumps(body))


def answer(endpoint: str, *changes: tuple[str, Any], tool: str | None = None) -> Answer:
    """The same, which must be an answer."""
    found = decode(endpoint, *changes, tool=tool)
    assert isinstance(found, Answer)
    return found


@pytest.mark.parametrize(
    ("endpoint", "text", "thinking"), [(CHAT, "hi", None), (RESPONSES, "hi there", "hm")]
)
def test_a_documented_answer_is_read_whole(endpoint: str, text: str, thinking: str | None) -> None:
    found = answer(endpoint)

    assert (found.text, found.finish_reason, found.model) == (text, "stop", "gpt-6-luna")
    assert found.usage == Usage(10, 4, 3, 2, 1)
    assert (found.thinking, found.refusal, found.extra) == (thinking, None, None)


def test_audio_in_a_chat_is_counted_apart_as_it_costs_more() -> None:
    found = answer(
        CHAT,
        ("usage.prompt_tokens_details.audio_tokens", 6),
        ("usage.completion_tokens_details.audio_tokens", 2),
    )

    assert found.usage == Usage(10, 4, 3, 2, 1, input_audio_tokens=6, output_audio_tokens=2)


def test_one_embedding_and_several_are_kept_beside_the_text() -> None:
    two = [{"embedding": [1.0]}, {"embedding": [2.0]}]

    assert answer(EMBEDDINGS).extra == {"embedding": [0.5, -0.25]}
    assert answer(EMBEDDINGS).usage == Usage(5, 0)
    assert answer(EMBEDDINGS, ("data", two)).extra == {"embeddings": [[1.0], [2.0]]}


@pytest.mark.parametrize("endpoint", BODIES)
@pytest.mark.parametrize("usage", [None, DELETED])
def test_usage_that_is_not_told_is_none_and_not_zero(endpoint: str, usage: Any) -> None:
    assert answer(endpoint, ("usage", usage)).usage is None


@pytest.mark.parametrize("details", [None, {}, DELETED])
def test_details_of_usage_may_be_missing(details: Any) -> None:
    chat = answer(
        CHAT,
        ("usage.prompt_tokens_details", details),
        ("usage.completion_tokens_details", details),
    )
    response = answer(
        RESPONSES,
        ("usage.input_tokens_details", details),
        ("usage.output_tokens_details", details),
    )

    assert chat.usage == response.usage == Usage(10, 4)


@pytest.mark.parametrize("tokens", [-1, 2**41, 2**63, 1e300, 0.5])
def test_numbers_of_tokens_that_cannot_be_are_not_believed(tokens: float) -> None:
    chat = decode(CHAT, ("usage.prompt_tokens", tokens))
    response = decode(RESPONSES, ("usage.output_tokens", tokens))

    for found in (chat, response):
        assert isinstance(found, Failure) or found.usage is None


def test_a_refusal_is_no_answer() -> None:
    chat = answer(
        CHAT, ("choices.0.message.content", None), ("choices.0.message.refusal", "I cannot.")
    )
    part = {"type": "refusal", "refusal": "I cannot."}
    response = answer(RESPONSES, ("output.1.content", [part]))

    for found in (chat, response):
        assert (found.finish_reason, found.refusal, found.text) == ("refusal", "I cannot.", "")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "incomplete")],
)
def test_an_incomplete_response_says_why(reason: str | None, finish: str) -> None:
    details = None if reason is None else {"reason": reason}

    found = answer(RESPONSES, ("status", "incomplete"), ("incomplete_details", details))

    assert found.finish_reason == finish


def test_a_200_with_status_failed_is_a_failure() -> None:
    error = {"code": "server_error", "message": "The model fell over."}

    found = decode(RESPONSES, ("status", "failed"), ("error", error))

    assert isinstance(found, Failure)
    assert (found.reason, found.message) == (Reason.SERVER_ERROR, "The model fell over.")


def test_tool_calls_are_kept_and_further_choices_too() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    more = [CHAT_BODY["choices"][0], {"message": {"content": "ho"}, "finish_reason": "length"}]

    called = answer(
        CHAT,
        ("choices.0.message.tool_calls", [call]),
        ("choices.0.finish_reason", "tool_calls"),
    )
    chosen = answer(CHAT, ("choices", more))

    assert called.extra == {"tool_calls": [call]}
    assert chosen.text == "hi"
    assert chosen.extra is not None
    assert [each["text"] for each in chosen.extra["choices"]] == ["hi", "ho"]


@pytest.mark.parametrize(
    ("endpoint", "change"),
    [
        (CHAT, ("choices", [])),
        (CHAT, ("choices", None)),
        (CHAT, ("choices.0.message", DELETED)),
        (RESPONSES, ("output", "text")),
        (EMBEDDINGS, ("data", DELETED)),
        (EMBEDDINGS, ("data", [{}])),
    ],
)
def test_a_body_without_an_answer_is_unreadable(endpoint: str, change: tuple[str, Any]) -> None:
    found = decode(endpoint, change)

    assert isinstance(found, Failure)
    assert found.reason is Reason.UNREADABLE


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def paths(value: Any, path: str = "") -> list[str]:
    """Every place inside a body."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for name, each in steps:
        here = f"{path}.{name}".lstrip(".")
        found.append(here)
        if isinstance(each, (dict, list)):
            found.extend(paths(each, here))
    return found


@given(st.data())
def test_whatever_a_vendor_sends_is_an_answer_or_a_failure(data: st.DataObject) -> None:
    endpoint = data.draw(st.sampled_from(sorted(BODIES)))
    place = data.draw(st.sampled_from(paths(BODIES[endpoint])))
    value = data.draw(JSON)

    found = decode(endpoint, (place, value), tool=data.draw(st.none() | st.just("Invoice")))

    assert isinstance(found, (Answer, Failure))


@given(st.binary(max_size=40))
def test_bytes_that_are_no_json_are_unreadable(body: bytes) -> None:
    shape = Shape(provider="openai", endpoint=CHAT, model="m")

    found = OpenAICodec().decode(shape, body)

    assert isinstance(found, Failure)
