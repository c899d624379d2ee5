"""Requests that somebody else has written: their bounds, and bodies that no server takes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from batchata.core.errors import ValidationError
from batchata.core.result import Answer
from batchata.core.submission import Shape
from batchata.ports import Codec, Encoded
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.openai.codec import CHAT, MODEL_MOST, RESPONSES, OpenAICodec
from batchata.providers.raw_requests import BodyCodec, RawJob


def encoded(endpoint: str = CHAT, **body: Any) -> Encoded:
    job = RawJob("a", "openai:m", endpoint=endpoint, body=orjson.dumps({"model": "m", **body}))
    return BodyCodec(OpenAICodec(), "openai").encode(job, "m")


@pytest.mark.parametrize(
    ("endpoint", "body", "most"),
    [
        (CHAT, {"max_tokens": 7}, 7),
        (CHAT, {"max_tokens": 7, "max_completion_tokens": 9, "n": 2}, 18),
        # what was foreseen and does not come is paid for too: 32 bytes of it
        (CHAT, {"max_tokens": 7, "prediction": {"type": "content", "content": "x"}}, 39),
        (CHAT, {"max_output_tokens": 7}, MODEL_MOST),
        (CHAT, {"max_tokens": True}, MODEL_MOST),
        (RESPONSES, {"max_output_tokens": 7}, 7),
        (RESPONSES, {"max_tokens": 7}, MODEL_MOST),
    ],
)
def test_only_a_cap_of_its_own_endpoint_bounds_a_request(
    endpoint: str, body: dict[str, Any], most: int
) -> None:
    assert encoded(endpoint, **body).output_bound == most


@pytest.mark.parametrize("body", [{"tools": 5}, {"n": "two"}, {"max_tokens": -1}])
def test_a_body_that_no_server_takes_is_refused_with_the_value(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        encoded(**body)


def test_an_answer_that_may_be_audio_is_told() -> None:
    assert encoded(modalities=["text", "audio"]).speaks
    assert not encoded(modalities=["text"]).speaks
    assert not encoded(modalities=7).speaks


def test_a_dearer_tier_is_told() -> None:
    assert encoded(service_tier="priority").dearer_tier == "priority"
    assert encoded(service_tier="flex").dearer_tier is None
    assert encoded(service_tier=["fast"]).dearer_tier is None


def test_an_answer_keeps_what_its_price_is_told_by() -> None:
    def answer(codec: Codec, shape: Shape, body: dict[str, Any]) -> Answer:
        found = BodyCodec(codec, shape.provider).decode(shape, orjson.dumps(body))
        assert isinstance(found, Answer)
        return found

    choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    chat = {"model": "m", "choices": [choice], "usage": usage, "service_tier": "priority"}
    spent = {"input_tokens": 3, "output_tokens": 2, "inference_geo": "us"}
    text = [{"type": "text", "text": "hi"}]
    message = {"model": "m", "content": text, "stop_reason": "end_turn", "usage": spent}

    dearer = answer(OpenAICodec(), Shape(provider="openai", endpoint=CHAT, model="m"), chat)
    assert dearer.service_tier == "priority"
    shape = Shape(provider="anthropic", endpoint="/v1/messages", model="m")
    assert answer(AnthropicCodec(), shape, message).price_factor == Decimal("1.1")
