"""A whole answer as events says what it says as a whole."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batchata.gateway.proxy.exchange import CHAT, MESSAGES, RESPONSES
from batchata.gateway.proxy.reading.answer_facts import facts_of
from batchata.gateway.proxy.reading.sse import EventParser
from batchata.gateway.proxy.reading.streamed import reader_for
from batchata.gateway.wire.event_streams import chat_events, message_events, response_events

TEXT = "A river is water that flows, and the longest of them is in Africa."
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
ANSWERS: list[tuple[str, dict[str, Any]]] = [
    (
        CHAT,
        {
            "id": "c",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": TEXT, "tool_calls": [CALL]},
                    "finish_reason": "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        },
    ),
    (
        RESPONSES,
        {
            "id": "r",
            "object": "response",
            "model": "m",
            "status": "completed",
            "output": [
                {"type": "reasoning", "id": "rs", "summary": []},
                {
                    "type": "message",
                    "id": "m",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
                },
                {
                    "type": "function_call",
                    "id": "f",
                    "call_id": "call_1",
                    "name": "look",
                    "arguments": '{"a":1}',
                    "status": "completed",
                },
            ],
            "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
        },
    ),
    (
        MESSAGES,
        {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": TEXT},
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"a": 1}},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 5},
        },
    ),
]


def events_of(endpoint: str, body: dict[str, Any]) -> list[bytes]:
    if endpoint == CHAT:
        return chat_events(body, wants_usage=True)
    return response_events(body) if endpoint == RESPONSES else message_events(body)


@pytest.mark.parametrize(("endpoint", "body"), ANSWERS, ids=[each[0] for each in ANSWERS])
def test_the_events_of_an_answer_say_what_it_says(endpoint: str, body: dict[str, Any]) -> None:
    reader, parser = reader_for(endpoint), EventParser()
    assert reader is not None

    for event in events_of(endpoint, body):
        for data in parser.feed(event):
            reader.take(data)

    facts, whole = reader.facts(), facts_of(endpoint, 200, orjson.dumps(body))
    assert (facts.text, facts.usage) == (whole.text, whole.usage)
    assert facts.finish_reason == whole.finish_reason
    assert [(each.id, each.name, orjson.loads(each.arguments)) for each in facts.tool_calls] == [
        ("call_1", "look", {"a": 1})
    ]


def test_a_choice_that_says_more_than_text_keeps_it() -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm."}
    body = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}

    said = b"".join(chat_events(body, wants_usage=False))

    assert b'"reasoning_content":"Hm."' in said
    assert said.endswith(b"data: [DONE]\n\n")
