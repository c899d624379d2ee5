"""What an answer says about itself: text, tools, usage, errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import orjson

from batchata.core.result import Answer, Failure
from batchata.core.usage import Usage
from batchata.gateway.proxy.exchange import (
    COMPLETIONS,
    MESSAGES,
    MODEL_ENDPOINTS,
    RESPONSES,
    Answered,
)
from batchata.gateway.proxy.reading.tools import ToolCall, ToolResult, results_of, tool_call
from batchata.providers.anthropic.decode import decode_message
from batchata.providers.openai.decode import chat_usage, decode_body, text_of
from batchata.providers.openai.wire import ChatUsage

#: what came of tools that a vendor ran is among its items, or blocks
_MOST_MESSAGE: Final = 2000  #: characters of an error
_RESULTS: Final = re.compile(
    rb'"(?:\w+_call_output|(?:mcp|code_interpreter|file_search|web_search|image_generation)_call)"'
)


class AnswerFacts(msgspec.Struct):
    """The parts of an answer that sessions, prices and events need."""

    usage: Usage | None = None
    model: str = ""
    text: str = ""
    choices: tuple[str, ...] = ()
    thinking: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    price_factor: Decimal = Decimal(1)  #: for the region that made it
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    error: str | None = None
    error_type: str | None = None

    def put_into(self, answered: Answered) -> None:
        """Write these into an answer; an error that it already has stays."""
        answered.usage = self.usage
        answered.model = self.model
        answered.text = self.text
        answered.choices = self.choices
        answered.thinking = self.thinking
        answered.refusal = self.refusal
        answered.finish_reason = self.finish_reason
        answered.response_id = self.response_id
        answered.service_tier = self.service_tier
        answered.price_factor = self.price_factor
        answered.tool_calls = self.tool_calls
        answered.tool_results = self.tool_results
        answered.error = answered.error or self.error
        answered.error_type = answered.error_type or self.error_type


class _CompletionChoice(msgspec.Struct):
    text: str | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_CompletionChoice] = []
    usage: ChatUsage | None = None
    id: str | None = None
    model: str = ""


_decode_completion = msgspec.json.Decoder(_Completion).decode


def facts_of(endpoint: str | None, status: int, body: bytes) -> AnswerFacts:
    """What a whole body says; never raises for what a vendor sends."""
    if status >= 400:
        return _refusal(status, body)
    if endpoint not in MODEL_ENDPOINTS:
        return AnswerFacts()
    if endpoint == MESSAGES:
        return facts_of_message(body)
    if endpoint == COMPLETIONS:
        return _completion(body)
    if endpoint == RESPONSES:
        return facts_of_response(body)
    return facts_of_answer(decode_body(endpoint, body))


def facts_of_answer(found: Answer | Failure) -> AnswerFacts:
    """The facts of a decoded answer."""
    if isinstance(found, Failure):
        return AnswerFacts(error=found.message, error_type=found.reason)
    facts = AnswerFacts(
        usage=found.usage,
        model=found.model,
        text=found.text,
        thinking=found.thinking,
        refusal=found.refusal,
        finish_reason=found.finish_reason,
        response_id=found.request_id,
        service_tier=found.service_tier,
        price_factor=found.price_factor,
    )
    if found.extra is not None:
        _add_extra(facts, found.extra)
    return facts


def _add_extra(facts: AnswerFacts, extra: Mapping[str, Any]) -> None:
    """Add what few answers have: tool calls, and choices after the first."""
    others = extra.get("choices", ())[1:]
    calls = [tool_call(each) for each in extra.get("tool_calls") or ()]
    for number, other in enumerate(others, 1):
        calls.extend(tool_call(each, number) for each in other.get("tool_calls") or ())
    facts.choices = tuple([str(each.get("text") or "") for each in others])
    facts.tool_calls = tuple(calls)


def facts_of_message(body: bytes) -> AnswerFacts:
    """What an answer of the messages API says."""
    facts = facts_of_answer(decode_message(body))
    if b'tool_result"' in body:
        facts.tool_results = _results(body, "content")
    return facts


def facts_of_response(body: bytes) -> AnswerFacts:
    """What an answer of the responses API says."""
    facts = facts_of_answer(decode_body(RESPONSES, body))
    if facts.tool_calls and _RESULTS.search(body):
        facts.tool_results = _results(body, "output")
    return facts


def _results(body: bytes, place: str) -> tuple[ToolResult, ...]:
    """The results of tools that the vendor itself ran."""
    try:
        return tuple(results_of(orjson.loads(body)[place]))
    except (ValueError, KeyError, TypeError):
        return ()


def error_of(body: Any) -> tuple[str, str | None]:
    """Message and type of a vendor's error body."""
    if isinstance(body, list) and body:  # Gemini's
        return error_of(body[0])
    error = body.get("error") or body if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):
        kind = error.get("type") or error.get("code")
        message = error.get("message") or error.get("detail") or error
        text = message if isinstance(message, str) else orjson.dumps(message).decode()
        return text[:_MOST_MESSAGE], None if kind is None else str(kind)
    return str(error)[:_MOST_MESSAGE], None


def thoughts_in(parts: Sequence[Any]) -> str:
    """The thoughts among the parts of a content."""
    thoughts = (each.get("thinking") for each in parts if isinstance(each, Mapping))
    return "".join(each if isinstance(each, str) else text_of(each) for each in thoughts)


def _refusal(status: int, body: bytes) -> AnswerFacts:
    try:
        message, kind = error_of(orjson.loads(body))
    except ValueError:
        message, kind = body[:500].decode("utf-8", "replace") or f"status {status}", None
    return AnswerFacts(error=message, error_type=kind)


def _completion(body: bytes) -> AnswerFacts:
    try:
        found = _decode_completion(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return AnswerFacts(error=f"the answer cannot be read: {error}", error_type="unreadable")
    choice = found.choices[0] if found.choices else _CompletionChoice()
    return AnswerFacts(
        usage=chat_usage(found.usage),
        model=found.model,
        text=choice.text or "",
        finish_reason=choice.finish_reason,
        response_id=found.id,
    )
