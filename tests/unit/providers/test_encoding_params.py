"""What a codec refuses before it is sent, and what it takes from tables."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from batchata.core.errors import ValidationError
from batchata.core.job import Job
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.openai.codec import OpenAICodec

GPT, CLAUDE = "gpt-6-luna", "claude-haiku-5-5"


class Mood(BaseModel):
    """An answer's form."""

    mood: str


def encode(model: str = GPT, **given: Any) -> dict[str, Any]:
    """The body that is sent for a job with these parameters."""
    fields = {name: given.pop(name) for name in list(given) if name in Job.__dataclass_fields__}
    job = Job("a", model, prompt="q", params=given, **fields)
    codec = AnthropicCodec() if model == CLAUDE else OpenAICodec()
    body: dict[str, Any] = json.loads(codec.encode(job, model).body)
    return body


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"top_p": math.nan}, "top_p is nan"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"seed": -math.inf}, "seed is -inf"),
        ({"logit_bias": {"50256": math.nan}}, r"logit_bias\.50256 is nan"),
        ({"top_p": np.float64("nan")}, "top_p is nan"),
        ({"stop": None, "extra": {"row": [1.0, math.inf]}}, r"extra\.row\[1\] is inf"),
    ],
)
def test_a_number_that_json_has_no_word_for_is_named_with_its_place(
    params: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        encode(**params)

    assert "finite" in str(caught.value.hint)


def test_null_and_the_word_null_are_sent_as_they_are() -> None:
    body = encode(stop=None, user="null, nan and inf", top_p=0.5)

    assert body["stop"] is None
    assert (body["user"], body["top_p"]) == ("null, nan and inf", 0.5)


def test_numbers_of_a_table_are_sent_as_numbers() -> None:
    body = encode(top_p=np.float64(0.5), seed=np.int64(7))

    assert (body["top_p"], body["seed"]) == (0.5, 7)


def test_a_whole_number_beyond_64_bits_is_named() -> None:
    with pytest.raises(ValidationError, match=r"^seed cannot be sent"):
        encode(seed=2**70)


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (GPT, {"n": "three"}, "n is 'three'"),
        (GPT, {"n": -1}, "n is -1"),
        (GPT, {"max_completion_tokens": "100"}, "max_completion_tokens is '100'"),
        (GPT, {"tools": 5}, "tools is 5, not a list"),
        (GPT, {"tools": ["search"], "response_model": Mood}, "not a list of mappings"),
        (GPT, {"tools": 5, "response_model": Mood, "structured": "tool"}, "tools is 5"),
        (GPT, {"text": "short", "endpoint": "responses"}, "text is 'short', not a mapping"),
        (CLAUDE, {"output_config": "high"}, "output_config is 'high', not a mapping"),
        (CLAUDE, {"thinking": True, "response_model": Mood}, "thinking is True, not a mapping"),
        (
            CLAUDE,
            {"system": 5, "response_model": Mood, "structured": "prompt"},
            "the system prompt is 5",
        ),
    ],
)
def test_a_parameter_that_is_read_and_cannot_be_is_named_with_its_value(
    model: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        encode(model, **given)

    assert caught.value.hint


def test_what_a_prediction_has_beyond_the_answer_is_in_the_bound() -> None:
    def bound(**params: Any) -> int:
        job = Job("a", GPT, prompt="q", max_tokens=7, params=params)
        return OpenAICodec().encode(job, GPT).output_bound

    assert bound(n=2) == 14
    assert bound(n=2, prediction={"type": "content", "content": "x"}) == 2 * (7 + 32)


@pytest.mark.parametrize("structured", ["native", "tool"])
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_no_tools_is_no_tools(model: str, structured: Any) -> None:
    body = encode(model, tools=None, response_model=Mood, structured=structured)

    assert len(body["tools"] or ()) == (structured == "tool")


def test_a_number_without_end_in_a_message_is_named() -> None:
    block = {"type": "text", "text": "q", "weight": math.nan}
    job = Job("a", GPT, messages=[{"role": "user", "content": [block]}])

    with pytest.raises(ValidationError, match=r"messages\[0\]\.content\[0\]\.weight is nan"):
        OpenAICodec().encode(job, GPT)
