"""Answers that are not quite as their protocol says are read, and errors in them are errors."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batchata.core.result import Answer, Failure, Reason
from batchata.core.submission import Shape
from batchata.core.verdict import verdict_of
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.openai.codec import OpenAICodec

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
ENDPOINTS = pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, EMBEDDINGS, "/v1/messages"])
ANSWER: dict[str, Any] = {
    "id": "c",
    "model": "m",
    "choices": [{"message": {"content": "said"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


def decode(body: bytes, endpoint: str = CHAT) -> Answer | Failure:
    if endpoint == "/v1/messages":
        shape = Shape(provider="anthropic", endpoint=endpoint, model="m")
        return AnthropicCodec().decode(shape, body)
    return OpenAICodec().decode(Shape(provider="openai", endpoint=endpoint, model="m"), body)


def chat(**changes: Any) -> Answer:
    found = decode(orjson.dumps(ANSWER | changes))
    assert isinstance(found, Answer)
    return found


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "5", "completion_tokens": 2},
        {"prompt_tokens": None, "completion_tokens": 2},
        {"prompt_tokens": 5, "completion_tokens": 2.5},
        {"prompt_tokens": 5, "prompt_tokens_details": []},
        "none",
    ],
)
def test_an_answer_is_kept_whose_usage_cannot_be_read_and_its_usage_is_unknown(usage: Any) -> None:
    found = chat(usage=usage)

    assert found.text == "said"
    assert found.usage is None  # and not 0: what it can have cost at most stays counted


@pytest.mark.parametrize("change", [{"model": None}, {"id": 7}, {"service_tier": {}}])
def test_an_answer_is_kept_whose_labels_are_odd(change: dict[str, Any]) -> None:
    found = chat(**change)

    assert found.text == "said"
    assert found.usage is not None
    assert found.usage.input_tokens == 5


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + orjson.dumps(ANSWER),
        orjson.dumps(ANSWER).replace(b'"id":"c"', b'"id":NaN'),
        orjson.dumps(ANSWER).replace(b'"id":"c"', b'"id":"\xff"'),
    ],
    ids=["byte order mark", "NaN", "no UTF-8"],
)
def test_an_answer_is_kept_that_strict_json_would_not_have(body: bytes) -> None:
    found = decode(body)

    assert isinstance(found, Answer)
    assert found.text == "said"


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, ANSWER | {"choices": [{"message": "said"}]}),
        (RESPONSES, {"output": [], "incomplete_details": "max_output_tokens"}),
        ("/v1/messages", {"content": [{"type": "text", "text": "said"}], "stop_reason": 7}),
    ],
)
def test_a_part_that_matters_is_not_left_out(endpoint: str, body: dict[str, Any]) -> None:
    found = decode(orjson.dumps(body), endpoint)

    assert isinstance(found, Failure)
    assert found.reason is Reason.UNREADABLE


@ENDPOINTS
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"message": "CUDA out of memory", "code": 500}}, Reason.SERVER_ERROR),
        ({"error": {"message": "slow", "code": 429}}, Reason.RATE_LIMITED),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, Reason.OVERLOADED),
        ({"error": {"message": "pay", "code": "insufficient_quota"}}, Reason.ACCOUNT),
        ({"error": {"message": "odd", "type": "invalid_request_error"}}, Reason.INVALID_REQUEST),
        ({"error": "model is loading"}, Reason.SERVER_ERROR),
        ({"object": "error", "message": "too long", "code": 400}, Reason.INVALID_REQUEST),
    ],
)
def test_an_error_with_a_good_status_is_that_error(
    endpoint: str, body: dict[str, Any], reason: Reason
) -> None:
    found = decode(orjson.dumps(body), endpoint)

    assert isinstance(found, Failure)
    assert found.reason is reason
    assert "answered 200 with an error: " in found.message


@ENDPOINTS
@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"{}", b""])
def test_what_is_no_answer_is_shown(endpoint: str, body: bytes) -> None:
    found = decode(body, endpoint)

    assert isinstance(found, Failure)
    assert found.reason is Reason.UNREADABLE
    assert (body.decode() or "it is empty") in found.message


@pytest.mark.parametrize("word", ["abort", "error"])
def test_an_answer_that_the_server_broke_off_is_no_answer(word: str) -> None:
    found = verdict_of(Answer(text="half an ans", finish_reason=word, usage=None), None, None)

    assert found.failure is not None
    assert found.failure.reason is Reason.SERVER_ERROR
