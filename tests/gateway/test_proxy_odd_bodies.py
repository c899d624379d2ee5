"""Whatever a body holds, looking at it breaks nothing: the upstream is to say what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import count
from typing import Any

import orjson
import pytest
from conversation_lab import HI, conversation, response, text, tools
from exchange_lab import an_exchange
from hypothesis import example, given
from hypothesis import strategies as st

from batchata.core.errors import UnknownPriceError, ValidationError
from batchata.gateway.proxy.disk.lines import as_json
from batchata.gateway.proxy.exchange import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Answered
from batchata.gateway.proxy.interceptors.event_recorder import event_row
from batchata.gateway.proxy.interceptors.message_logger import MessageLogger
from batchata.gateway.proxy.interceptors.parquet import logged_event
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.gateway.proxy.interceptors.trace_export import PRESETS, TraceExport
from batchata.gateway.proxy.isolation import Isolation
from batchata.gateway.proxy.money.bounds import (
    HEARD_AGAIN,
    card_of,
    text_worst_case,
    tools_asked,
    uncounted,
    worst_case,
)
from batchata.gateway.proxy.telemetry.emitter import EventEmitter
from batchata.gateway.proxy.telemetry.event_queue import EventQueue
from batchata.gateway.proxy.telemetry.events import GatewayEvent
from batchata.gateway.proxy.telemetry.sessions import Sessions
from batchata.prices import GenaiPriceBook

BOOK = GenaiPriceBook({"m": {"input": 1, "output": 1}})
#: where code that reads a body looks
NAMES = (
    *("messages", "input", "system", "instructions", "prompt", "tools", "tool_calls", "function"),
    *("content", "role", "type", "text", "id", "call_id", "tool_use_id", "arguments", "name"),
    *("conversation", "previous_response_id", "output", "image_url", "source", "data", "n"),
    *("max_tokens", "max_uses", "max_tool_calls", "service_tier", "speed", "file"),
    *("modalities", "context_management", "edits", "fallbacks", "prediction", "environment"),
)
WORDS = (
    "web_search",
    "user",
    "assistant",
    "tool",
    "tool_use",
    "tool_result",
    "function_call",
    "image_url",
)
LEAVES = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(WORDS) | st.text(max_size=3)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=12,
)
TURNS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5) | VALUES, max_size=4)
BODIES = st.builds(
    lambda turns, name, rest: {**rest, name: turns},
    TURNS,
    st.sampled_from(["messages", "input"]),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
)


async def shaped(exporting: TraceExport, events: list[GatewayEvent]) -> list[Any]:
    await exporting.start()
    await exporting.aclose()
    return [orjson.loads(body) for body in exporting.shape(events)]


@example({"messages": [{"role": "assistant", "tool_calls": 5}]}, CHAT)
@example({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": [1]}]}]}, CHAT)
@given(body=BODIES, endpoint=st.sampled_from([CHAT, RESPONSES, MESSAGES]))
def test_a_call_with_any_body_is_told_and_remembered(body: Any, endpoint: str) -> None:
    recorder = TestRecorder()

    async def tell() -> None:
        ids = count()
        await recorder.start()
        queue = EventQueue([recorder], Isolation())
        queue.start()
        sessions = Sessions(
            max_sessions=3, ttl_seconds=9, clock=time.monotonic, new_id=lambda: str(next(ids))
        )
        emitter = EventEmitter(queue, sessions, time.monotonic)
        for _ in range(2):
            asked = an_exchange(endpoint, body)
            emitter.began(asked, "")
            asked.answer = Answered(status=200, text="Fine.")
            emitter.ended(asked, asked.answer)
            MessageLogger()._row(asked)
        await queue.aclose()

    asyncio.run(tell())

    assert len(recorder.events) >= 5
    for event in recorder.events:
        assert orjson.loads(as_json(event_row(event)))
        logged_event(event)
    for preset in PRESETS:
        exporting = TraceExport(url="http://h", preset=preset, content=True)
        assert asyncio.run(shaped(exporting, list(recorder.events)))


@pytest.mark.parametrize("kind", [[1], {"a": 1}, 5, None])
def test_a_turn_of_any_type_may_follow_a_tool_call(kind: Any) -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "42"}
    odd = {"type": kind, "content": "?"}

    sessions, events = conversation(
        RESPONSES,
        ({"input": [HI]}, response("r1", call)),
        ({"input": [odd, result], "previous_response_id": "r1"}, response("r2", text("42"))),
    )

    assert len(set(sessions)) == 1
    assert [each[4] for each in tools(events)] == [{}, "42"]


@example({"messages": [], "tools": 7}, CHAT)
@example({"messages": [], "modalities": 7}, CHAT)
@example({"messages": [], "modalities": [""], "tools": [{"type": ""}]}, CHAT)
@example({"messages": [], "tools": [{"type": "shell", "environment": {"type": 5}}]}, CHAT)
@example({"messages": [], "context_management": {"edits": 7}}, MESSAGES)
@example({"input": "", "tools": [{"type": "web_search", "max_uses": -9}]}, RESPONSES)
@given(body=BODIES, endpoint=st.sampled_from([CHAT, RESPONSES, MESSAGES]))
def test_a_body_has_a_bound_or_is_refused_with_a_reason(body: Any, endpoint: str) -> None:
    with contextlib.suppress(ValidationError, UnknownPriceError):
        asked = an_exchange(endpoint, body)
        card = card_of(asked, BOOK)
        tools = tools_asked(asked)
        assert worst_case(asked, card, tools) > 0
        assert all(uncounted(asked, card, tools))


#: all that bears on what a call may cost
BEARING = (
    *("tools", "modalities", "web_search_options", "fallbacks", "models", "plugins", "prediction"),
    *("context_management", "reasoning", "n", "best_of", "prompt", "previous_response_id"),
    *("conversation", "thread", "mcp_servers", "output_config", "compaction", "inference_geo"),
)
SAID = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(WORDS), "content": st.text(max_size=5)}),
    max_size=3,
)
TEXTS = st.builds(
    lambda turns, name, rest, cap: {**rest, name: turns, "max_tokens": cap},
    SAID | TURNS | st.text(max_size=5),
    st.sampled_from(["messages", "input", "system"]),
    st.dictionaries(st.sampled_from([*NAMES, *BEARING]), VALUES, max_size=2),
    st.none() | st.integers(-2, 9),
)
HEARING = GenaiPriceBook({"m": {"input": 1, "output": 1, "input_audio": 99, "output_audio": 99}})


@given(
    body=TEXTS,
    endpoint=st.sampled_from([CHAT, RESPONSES, MESSAGES, EMBEDDINGS]),
    model=st.sampled_from(["m", "gpt-audio", "gpt-4o-mini-search-preview"]),
)
def test_texts_alone_have_the_same_bound_as_when_all_is_looked_for(
    body: Any, endpoint: str, model: str
) -> None:
    with contextlib.suppress(ValidationError, UnknownPriceError):
        asked = an_exchange(endpoint, body, model=model)
        card = card_of(asked, HEARING)
        worst = text_worst_case(asked, card)
        if worst is not None:
            tools = tools_asked(asked)
            assert (tools, worst) == ([], worst_case(asked, card, tools))
            assert uncounted(asked, card, tools) == []


def test_a_question_of_texts_is_known_as_such() -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    asked = an_exchange(CHAT, {"messages": turns, "max_tokens": 5, "stream": True}, model="m")

    assert text_worst_case(asked, card_of(asked, BOOK)) is not None


def test_an_earlier_audio_answer_without_a_role_is_not_taken_for_a_text() -> None:
    turns = [{"content": "Say it again.", "audio": {"id": "audio_1"}}]
    asked = an_exchange(CHAT, {"messages": turns, "max_tokens": 5}, model="m")
    card = card_of(asked, HEARING)

    assert text_worst_case(asked, card) is None
    assert uncounted(asked, card, []) == [HEARD_AGAIN]


@pytest.mark.parametrize("name", BEARING)
def test_what_may_cost_more_is_not_taken_for_a_text(name: str) -> None:
    asked = an_exchange(CHAT, {"messages": [], name: [{"type": "x"}]}, model="m")

    assert text_worst_case(asked, card_of(asked, BOOK)) is None
