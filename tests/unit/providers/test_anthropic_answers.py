"""Anthropic's messages in our words; the first is the vendor's documented shape."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from batchata.core.result import Answer, Failure, Reason
from batchata.core.submission import Shape
from batchata.core.usage import Usage
from batchata.core.verdict import verdict_of
from batchata.providers.anthropic.codec import AnthropicCodec

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-5-5",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
        "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 1},
        "server_tool_use": {"web_search_requests": 6},
        "service_tier": "batch",
    },
}
TEXT = {"type": "text", "text": "hi"}
USE = {"type": "tool_use", "id": "t", "name": "Invoice", "input": {"n": 1}}


def decode(tool: str | None = None, **changes: Any) -> Answer | Failure:
    """The message with these fields changed, decoded."""
    shape = Shape(provider="anthropic", endpoint="/v1/messages", model="m", schema_name=tool)
    return AnthropicCodec().decode(shape, orjson.dumps({**MESSAGE, **changes}))


def answer(tool: str | None = None, **changes: Any) -> Answer:
    """The same, which must be an answer."""
    found = decode(tool, **changes)
    assert isinstance(found, Answer)
    return found


def usage(**changes: Any) -> dict[str, Any]:
    """The message's usage with these fields changed."""
    return {**MESSAGE["usage"], **changes}


def test_a_documented_answer_is_read_whole_with_cached_tokens_inside_the_input() -> None:
    found = answer()

    assert (found.text, found.finish_reason, found.model) == ("hi", "stop", "claude-haiku-5-5")
    assert found.usage == Usage(18, 4, 3, 5, 1, 2, 6)
    assert (found.service_tier, found.request_id) == ("batch", "msg_1")


def test_a_thinking_block_before_the_text_is_no_part_of_it() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "s"}, TEXT, TEXT]

    found = answer(content=blocks)

    assert (found.text, found.thinking) == ("hihi", "hm")


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("something_new", "something_new"),
        (None, "unknown"),
    ],
)
def test_every_stop_reason_has_its_word(word: str | None, finish: str) -> None:
    assert answer(stop_reason=word).finish_reason == finish


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ({"type": "refusal", "explanation": "Not that."}, "Not that."),
        ({"type": "refusal", "category": "harm", "explanation": None}, "harm"),
        (None, "the model refused"),
    ],
)
def test_a_refusal_says_why_where_the_vendor_does(details: Any, says: str) -> None:
    found = answer(stop_reason="refusal", stop_details=details, content=[])

    assert (found.refusal, found.text) == (says, "")


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (None, None),
        ({}, None),
        (usage(input_tokens=None), None),
        (usage(input_tokens=-10), None),
        (usage(output_tokens=2**63), None),
        (usage(cache_creation=None, output_tokens_details=None), Usage(18, 4, 3, 5, 0, 0, 6)),
        (usage(cache_creation_input_tokens=None, server_tool_use=None), Usage(13, 4, 3, 0, 1, 2)),
        ({"input_tokens": 7, "output_tokens": 2}, Usage(7, 2)),
    ],
)
def test_usage_is_what_was_told_or_nothing(told: Any, known: Usage | None) -> None:
    assert answer(usage=told).usage == known


def test_the_forced_tools_input_is_the_answers_text() -> None:
    found = answer("Invoice", content=[TEXT, USE], stop_reason="tool_use")

    assert (found.text, found.finish_reason, found.extra) == ('{"n":1}', "stop", None)


def test_other_tool_calls_are_kept_beside_the_text() -> None:
    found = answer(content=[TEXT, USE], stop_reason="tool_use")

    assert (found.text, found.finish_reason) == ("hi", "tool_calls")
    assert found.extra == {"tool_calls": [USE]}


def test_citations_come_with_their_place_in_the_source() -> None:
    cited = {
        "type": "page_location",
        "cited_text": "The sky is green.",
        "document_index": 1,
        "document_title": "a.pdf",
        "start_page_number": 3,
        "end_page_number": 4,
        "file_id": None,
    }

    (found,) = answer(content=[{**TEXT, "citations": [cited]}]).citations

    assert (found.text, found.source, found.page) == ("The sky is green.", "a.pdf", 3)
    assert (found.start, found.end, found.document_index) == (3, 4, 1)


@pytest.mark.parametrize(
    "cited",
    [
        [None],
        "words",
        {},
        [{"cited_text": 5, "document_index": "0"}],
        [{"cited_text": {}, "start_page_number": "1", "document_title": 7}],
    ],
)
def test_what_is_no_citation_costs_nobody_the_answer(cited: Any) -> None:
    class Invoice(BaseModel):
        total: int

    shape = Shape(
        provider="anthropic",
        endpoint="/v1/messages",
        model="m",
        schema=orjson.dumps(Invoice.model_json_schema()).decode(),
        schema_name="Invoice",
        citations=True,
    )
    found = answer(content=[{"type": "text", "text": "total: 5", "citations": cited}])

    verdict = verdict_of(found, Invoice, None, shape=shape)

    assert (found.text, verdict.failure, verdict.parsed) == ("total: 5", None, b'{"total":5}')
    assert all((each.text, each.source, each.page) == ("", "", None) for each in found.citations)


def test_a_text_that_is_none_is_unreadable_beside_a_tool_too() -> None:
    found = decode("Invoice", content=[{"type": "text", "text": 5}, USE])

    assert isinstance(found, Failure)
    assert found.reason is Reason.UNREADABLE


@pytest.mark.parametrize("content", [None, "text", [1], {"type": "text"}])
def test_a_message_without_content_is_unreadable(content: Any) -> None:
    found = decode(content=content)

    assert isinstance(found, Failure)
    assert found.reason is Reason.UNREADABLE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
SPOTS = ["content", "usage", "stop_reason", "stop_details", "model", "id"]
BLOCKS = ["type", "text", "citations", "thinking", "input", "name"]


@given(data=st.data(), value=JSON)
def test_whatever_a_vendor_sends_is_an_answer_or_a_failure(data: st.DataObject, value: Any) -> None:
    message = copy.deepcopy(MESSAGE)
    message["content"].append(dict(USE))
    place = data.draw(st.sampled_from([message, message["usage"], *message["content"]]))
    place[data.draw(st.sampled_from([*SPOTS, *BLOCKS, *MESSAGE["usage"]]))] = value

    found = decode(data.draw(st.none() | st.just("Invoice")), **message)

    assert isinstance(found, (Answer, Failure))


@pytest.mark.parametrize(
    ("said", "tier", "factor"),
    [
        ({}, "standard", "1"),
        ({"speed": "standard", "inference_geo": "not_available"}, "standard", "1"),
        ({"speed": "fast", "inference_geo": "us"}, "fast", "1.1"),
    ],
)
def test_what_makes_an_answer_dearer_is_read(said: dict[str, str], tier: str, factor: str) -> None:
    found = answer(usage=usage(service_tier="standard", **said))

    assert (found.service_tier, found.price_factor) == (tier, Decimal(factor))
