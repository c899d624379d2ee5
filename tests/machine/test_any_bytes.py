"""Whatever bytes a vendor's result file holds, a bad line fails its own job and nothing else."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import how_often

from batchata.core.answer_extra import extra_json
from batchata.core.result import Answer, Failure
from batchata.core.verdict import Verdict
from batchata.providers.anthropic import batch as anthropic_batch
from batchata.providers.anthropic.decode import decode_message
from batchata.providers.openai import batch as openai_batch
from batchata.providers.openai.decode import decode_body

CHAT = {
    "id": "c1",
    "model": "m",
    "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
RESPONSE = {
    "id": "r1",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
MESSAGE = {
    "id": "m1",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
REFUSED = {"error": {"message": "no", "type": "server_error"}}
OPENAI_LINES = [
    {"custom_id": "a", "response": {"status_code": 200, "body": CHAT}, "error": None},
    {"custom_id": "a", "response": {"status_code": 200, "body": RESPONSE}, "error": None},
    {"custom_id": "a", "response": {"status_code": 500, "body": REFUSED}, "error": None},
    {"custom_id": "a", "response": None, "error": {"code": "batch_expired", "message": "late"}},
]
ANTHROPIC_LINES = [
    {"custom_id": "a", "result": {"type": "succeeded", "message": MESSAGE}},
    {"custom_id": "a", "result": {"type": "errored", "error": {"error": {"message": "no"}}}},
    {"custom_id": "a", "result": {"type": "expired"}},
]
NASTY = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([b"\xff", b"\\ud800", b"[" * 3000, b"null", b"1e999", b'"', b"{}", b"\x00"]),
)


@st.composite
def spoiled(draw: st.DrawFn, lines: list[dict[str, object]]) -> bytes:
    """A line of a vendor, with something in it replaced."""
    line = orjson.dumps(draw(st.sampled_from(lines)))
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(len(line), start + 12)))
    return line[:start] + draw(NASTY) + line[end:]


@settings(max_examples=how_often(400), deadline=None, derandomize=True)
@given(line=spoiled(OPENAI_LINES))
def test_no_line_of_openai_raises(line: bytes) -> None:
    item = openai_batch.read_line(line, 1, "results.jsonl")

    assert isinstance(item.custom_id, str)
    if item.body is not None:
        for endpoint in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings"):
            assert isinstance(decode_body(endpoint, item.body), (Answer, Failure))


@settings(max_examples=how_often(400), deadline=None, derandomize=True)
@given(line=spoiled(ANTHROPIC_LINES))
def test_no_line_of_anthropic_raises(line: bytes) -> None:
    item = anthropic_batch.read_line(line, 1, "results.jsonl")

    assert isinstance(item.custom_id, str)
    if item.body is not None:
        assert isinstance(decode_message(item.body), (Answer, Failure))


@pytest.mark.parametrize("text", [b"\xff", b"[" * 5000])
def test_text_that_is_no_unicode_or_too_deep_is_a_failure(text: bytes) -> None:
    lines = [
        b'{"custom_id":"a","response":{"status_code":500,"body":{"error":%b}}}' % text,
        b'{"custom_id":"a","error":{"message":"%b"}}' % text,
        b'{"custom_id":"%b"}' % text,
    ]

    for line in lines:
        assert openai_batch.read_line(line, 1, "x").failure is not None
    body = b'{"choices":[{"message":{"content":[{"text":"%b"}]}}]}' % text
    assert decode_body("/v1/chat/completions", body)
    assert isinstance(decode_message(b'{"content":%b}' % text), Failure)


def test_a_number_beyond_64_bits_in_a_tool_call_is_kept() -> None:
    number = 2**70
    call = b'{"type":"tool_use","name":"add","input":{"n":%d}}' % number
    answer = decode_message(b'{"content":[%b],"stop_reason":"tool_use"}' % call)
    asked = decode_message(b'{"content":[%b]}' % call, forced_tool="add")

    assert isinstance(answer, Answer)
    assert str(number).encode() in (extra_json(answer, Verdict()) or b"")
    assert isinstance(asked, Answer)
    assert str(number) in asked.text
