"""What an answer says about itself: text, tools, usage, errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from batchata.core.logged import to_json
from batchata.core.result import Answer, Failure
from batchata.gateway.proxy.exchange import (
    COMPLETIONS,
    MESSAGES,
    MODEL_ENDPOINTS,
    RESPONSES,
    Answered,
    AnswerFacts,
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
    facts = AnswerFacts()
    tell(facts, endpoint, status, body)
    return facts


def tell(said: AnswerFacts, endpoint: str | None, status: int, body: bytes) -> None:
    """Write what a whole body says into facts that are new, or have an error, which stays."""
    if status >= 400:
        _refusal(said, status, body)
    elif endpoint not in MODEL_ENDPOINTS:
        return
    elif endpoint == MESSAGES:
        _message(said, body)
    elif endpoint == COMPLETIONS:
        _completion(said, body)
    elif endpoint == RESPONSES:
        _response(said, body)
    else:
        _answer(said, decode_body(endpoint, body))


def tell_facts(answered: Answered, facts: AnswerFacts) -> None:
    """Write the facts of a stream into its answer; an error that it already has stays."""
    error, kind = answered.error, answered.error_type
    for name in AnswerFacts.__struct_fields__:
        setattr(answered, name, getattr(facts, name))
    answered.error, answered.error_type = error or facts.error, kind or facts.error_type


def _error(said: AnswerFacts, message: str, kind: str | None) -> None:
    said.error, said.error_type = said.error or message, said.error_type or kind


def _answer(said: AnswerFacts, found: Answer | Failure) -> None:
    if isinstance(found, Failure):
        _error(said, found.message, found.reason)
        return
    said.usage = found.usage
    said.model = found.model
    said.text = found.text
    said.thinking = found.thinking
    said.refusal = found.refusal
    said.finish_reason = found.finish_reason
    said.response_id = found.request_id
    said.service_tier = found.service_tier
    said.price_factor = found.price_factor
    if found.extra is not None:
        _add_extra(said, found.extra)


def _add_extra(said: AnswerFacts, extra: Mapping[str, Any]) -> None:
    """Add what few answers have: tool calls, and choices after the first."""
    others = extra.get("choices", ())[1:]
    calls = _tool_calls(extra, 0)
    for number, other in enumerate(others, 1):
        calls += _tool_calls(other, number)
    said.choices = tuple([str(each.get("text") or "") for each in others])
    said.tool_calls = tuple(calls)


def _tool_calls(item: Mapping[str, Any], choice: int) -> list[ToolCall]:
    asked = item.get("tool_calls")
    found = asked if isinstance(asked, Sequence) else ()
    return [tool_call(each, choice) for each in found if isinstance(each, Mapping)]


def _message(said: AnswerFacts, body: bytes) -> None:
    _answer(said, decode_message(body))
    if b'tool_result"' in body:
        said.tool_results = _results(body, "content")


def _response(said: AnswerFacts, body: bytes) -> None:
    _answer(said, decode_body(RESPONSES, body))
    if said.tool_calls and _RESULTS.search(body):
        said.tool_results = _results(body, "output")


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
    error = body.get("error") or body if isinstance(body, dict) else body
    if isinstance(error, dict):
        kind = error.get("type") or error.get("code")
        message = error.get("message") or error.get("detail") or error
        text = message if isinstance(message, str) else to_json(message).decode()
        return text[:_MOST_MESSAGE], None if kind is None else str(kind)
    return str(error)[:_MOST_MESSAGE], None


def thoughts_in(parts: Sequence[Any]) -> str:
    """The thoughts among the parts of a content."""
    thoughts = (each.get("thinking") for each in parts if isinstance(each, dict))
    return "".join(each if isinstance(each, str) else text_of(each) for each in thoughts)


def _refusal(said: AnswerFacts, status: int, body: bytes) -> None:
    try:
        message, kind = error_of(orjson.loads(body))
    except ValueError:
        message, kind = body[:500].decode("utf-8", "replace") or f"status {status}", None
    _error(said, message, kind)


def _completion(said: AnswerFacts, body: bytes) -> None:
    try:
        found = _decode_completion(body)
    except (msgspec.DecodeError, RecursionError) as error:
        _error(said, f"the answer cannot be read: {error}", "unreadable")
        return
    choice = found.choices[0] if found.choices else _CompletionChoice()
    said.usage = chat_usage(found.usage)
    said.model = found.model
    said.text = choice.text or ""
    said.finish_reason = choice.finish_reason
    said.response_id = found.id
