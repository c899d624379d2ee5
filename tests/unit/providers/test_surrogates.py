"""Half a character in a paid answer costs that character, and not the answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.result import Answer
from batchata.core.submission import Shape
from batchata.providers.anthropic import batch as claude
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.openai import batch as gpt
from batchata.providers.openai.codec import OpenAICodec
from batchata.providers.surrogates import decoded

CUT = "so long \ud83d"
CHAT = {
    "choices": [{"message": {"content": CUT}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}
MESSAGE = {
    "content": [{"type": "text", "text": CUT}],
    "stop_reason": "max_tokens",
    "usage": {"input_tokens": 5, "output_tokens": 2},
}


@pytest.mark.parametrize(
    ("module", "codec", "endpoint", "line"),
    [
        (
            gpt,
            OpenAICodec(),
            "/v1/chat/completions",
            {"custom_id": "a", "response": {"status_code": 200, "body": CHAT}},
        ),
        (
            claude,
            AnthropicCodec(),
            "/v1/messages",
            {"custom_id": "a", "result": {"type": "succeeded", "message": MESSAGE}},
        ),
    ],
    ids=["openai", "anthropic"],
)
def test_an_answer_that_was_cut_in_a_character_is_read(
    module: Any, codec: Any, endpoint: str, line: dict[str, Any]
) -> None:
    item = module.read_line(json.dumps(line).encode(), 1, "out.jsonl")
    answer = codec.decode(Shape(provider="p", endpoint=endpoint, model="m"), item.body)

    assert isinstance(answer, Answer)
    assert answer.text == "so long \ufffd"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 2


@pytest.mark.parametrize(
    ("codec", "endpoint", "body"),
    [
        (OpenAICodec(), "/v1/chat/completions", CHAT),
        (AnthropicCodec(), "/v1/messages", MESSAGE),
    ],
    ids=["openai", "anthropic"],
)
def test_a_live_answer_is_read_alike(codec: Any, endpoint: str, body: dict[str, Any]) -> None:
    shape = Shape(provider="p", endpoint=endpoint, model="m")

    answer = codec.decode(shape, json.dumps(body).encode())

    assert isinstance(answer, Answer)
    assert answer.text == "so long \ufffd"


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from('\\"ud8\ud83d\ude00')))
def test_all_else_of_a_text_stays_as_it_is(text: str) -> None:
    found = decoded(msgspec.json.decode, json.dumps([text]).encode())

    # two halves side by side are one character
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert [each.replace("\ufffd", "") for each in found] == [whole.replace("\ufffd", "")]


@given(st.binary())
def test_what_is_no_json_stays_an_error(data: bytes) -> None:
    try:
        msgspec.json.decode(data)
    except ValueError as error:  # of msgspec, or of its decoder of UTF-8
        if b"\\u" not in data:
            with pytest.raises(type(error)):
                decoded(msgspec.json.decode, data)
